//! The sample's transactions, through the gateway of a peer, and what each of them must answer.

use selvedge_client::{ClientError, Gateway, ProposalBuilder};
use serde_json::Value;

use super::DemoError;
use super::step::{Recorder, Told};

/// The assets that InitLedger writes.
const INITIAL_ASSETS: usize = 6;
const MISSING: &str = "asset70";

pub(super) struct Transactions<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) channel: &'a str,
    pub(super) chaincode: &'a str,
}

impl Transactions<'_> {
    /// Runs them one after the other. `None` says that one did not do what it should.
    pub(super) async fn run(&self, recorder: &mut Recorder<'_>) -> Option<()> {
        recorder.step("init-ledger", "InitLedger", self.init_ledger()).await?;
        recorder.step("get-all-assets", "GetAllAssets", self.get_all_assets()).await?;
        recorder.step("create-asset", "CreateAsset", self.create_asset()).await?;
        recorder.step("read-asset", "ReadAsset", self.read_asset()).await?;
        recorder.step("transfer-asset", "TransferAsset", self.transfer_asset()).await?;
        let title = "ReadAsset of a missing asset is answered with the contract's error";
        recorder.step("read-missing-asset", title, self.read_missing_asset()).await
    }

    async fn init_ledger(&self) -> Result<((), Told), DemoError> {
        let (_, block) = self.submit(&["InitLedger"]).await?;
        Ok(((), Told::default().fact("committed", format!("in block {block}"))))
    }

    async fn get_all_assets(&self) -> Result<((), Told), DemoError> {
        let assets: Value = self.evaluate(&["GetAllAssets"]).await?;
        match assets.as_array().map(Vec::len) {
            Some(INITIAL_ASSETS) => {
                Ok(((), Told::default().fact("evaluated", format!("{INITIAL_ASSETS} assets on the ledger"))))
            }
            _ => Err(DemoError::unexpected(
                format!("{INITIAL_ASSETS} assets"),
                format!("it answered {assets}"),
            )),
        }
    }

    async fn create_asset(&self) -> Result<((), Told), DemoError> {
        let (_, block) = self.submit(&["CreateAsset", "asset7", "purple", "20", "Ada", "900"]).await?;
        Ok(((), Told::default().fact("committed", format!("asset7, Ada's, in block {block}"))))
    }

    async fn read_asset(&self) -> Result<((), Told), DemoError> {
        let asset = self.owned_by("Ada").await?;
        Ok(((), Told::default().fact("evaluated", describe(&asset))))
    }

    async fn transfer_asset(&self) -> Result<((), Told), DemoError> {
        let (old_owner, block) = self.submit(&["TransferAsset", "asset7", "Grace"]).await?;
        if old_owner != "Ada" {
            return Err(DemoError::unexpected("the old owner Ada", format!("it answered {old_owner:?}")));
        }
        self.owned_by("Grace").await?;
        Ok(((), Told::default().fact("committed", format!("asset7 from Ada to Grace, in block {block}"))))
    }

    async fn read_missing_asset(&self) -> Result<((), Told), DemoError> {
        let wanted = format!("the asset {MISSING} does not exist");
        let expected = || format!("the contract's error {wanted:?}");
        match self.gateway.evaluate(self.call(&["ReadAsset", MISSING])).await {
            Err(ClientError::Service { code, message, details, .. }) => {
                let texts = std::iter::once(&message).chain(details.iter().map(|detail| &detail.message));
                if texts.into_iter().any(|text| text.contains(&wanted)) {
                    return Ok(((), Told::default().fact("answered", format!("{code:?}: {message}"))));
                }
                Err(DemoError::unexpected(expected(), format!("the answer was {code:?}: {message}")))
            }
            Err(other) => Err(other.into()),
            Ok(response) => {
                let payload = String::from_utf8_lossy(&response.payload).into_owned();
                Err(DemoError::unexpected(expected(), format!("it answered {payload}")))
            }
        }
    }

    async fn owned_by(&self, owner: &str) -> Result<Value, DemoError> {
        let asset: Value = self.evaluate(&["ReadAsset", "asset7"]).await?;
        if asset.get("Owner").and_then(Value::as_str) == Some(owner) {
            Ok(asset)
        } else {
            Err(DemoError::unexpected(format!("asset7 to be {owner}'s"), format!("it is {asset}")))
        }
    }

    async fn evaluate(&self, arguments: &[&str]) -> Result<Value, DemoError> {
        let response = self.gateway.evaluate(self.call(arguments)).await?;
        serde_json::from_slice(&response.payload).map_err(|error| {
            let payload = String::from_utf8_lossy(&response.payload).into_owned();
            DemoError::unexpected("JSON", format!("it answered {payload:?} ({error})"))
        })
    }

    /// What the chaincode answered, and the block.
    async fn submit(&self, arguments: &[&str]) -> Result<(String, u64), DemoError> {
        let (submitted, commit) = self.gateway.submit_and_wait(self.call(arguments), &[]).await?;
        let payload = String::from_utf8_lossy(&submitted.response.payload).into_owned();
        Ok((payload, commit.block))
    }

    fn call(&self, arguments: &[&str]) -> ProposalBuilder {
        let arguments = arguments.iter().map(|argument| argument.as_bytes().to_vec());
        ProposalBuilder::new(self.channel, self.chaincode).args(arguments)
    }
}

/// The fields of an asset with spaces between them, so that the text can be wrapped.
fn describe(asset: &Value) -> String {
    let fields = asset.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}
