//! The contract of `docs/from-go-and-node.md`, and what the page says of it. Every Rust block of the page is from here.

use std::sync::Arc;

use selvedge::{
    ArgumentError, ClientIdentityError, CollectionContext, Context, ErrorCode, KeyPolicy, KeyRole,
    LedgerError, Query, State, contract,
};
use selvedge_network::testing::{self, Deploy, Identity, Setup, TestError, TxValidationCode};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize, State)]
struct Asset {
    #[key]
    id: String,
    owner: String,
    value: u64,
}

#[derive(Debug, thiserror::Error, ErrorCode)]
enum AssetError {
    #[code("ASSET_MISSING", status = 404)]
    #[error("there is no asset {0}")]
    Missing(String),
    #[code("ASSET_EXISTS", status = 409)]
    #[error("there is an asset {0} already")]
    Exists(String),
    #[code("FORBIDDEN", status = 403)]
    #[error("only its owner may")]
    Forbidden,
    #[code("IDENTITY")]
    #[error(transparent)]
    Identity(#[from] ClientIdentityError),
    #[code("LEDGER")]
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[code("ARGUMENT")]
    #[error(transparent)]
    Argument(#[from] ArgumentError),
}

/// Who is calling, found out once.
struct Caller {
    id: String,
    msp_id: String,
}

#[derive(Serialize, Deserialize)]
struct Page {
    assets: Vec<Asset>,
    bookmark: String,
}

struct Assets;

#[contract(rename_all = "PascalCase")]
impl Assets {
    #[before_transaction]
    async fn know_the_caller(&self, ctx: &Query) -> Result<(), AssetError> {
        let client = ctx.client_identity()?;
        ctx.set_data(Caller { id: client.id(), msp_id: client.msp_id().to_owned() });
        Ok(())
    }

    #[unknown_transaction]
    async fn unknown(&self, _ctx: &Query, function: &str) -> Result<(), String> {
        Err(format!("{function} is no function; try Create, Read or Transfer"))
    }

    /// Makes an asset, which belongs to whoever asks.
    #[transaction]
    async fn create(&self, ctx: &Context, id: String, value: u64) -> Result<Asset, AssetError> {
        if ctx.load::<Asset>(&id).await?.is_some() {
            return Err(AssetError::Exists(id));
        }
        let asset = Asset { id, owner: caller(ctx)?.id.clone(), value };
        ctx.store(&asset).await?;
        ctx.set_event("Created", asset.id.clone())?;
        Ok(asset)
    }

    #[transaction]
    async fn read(&self, ctx: &Query, id: String) -> Result<Asset, AssetError> {
        ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
    }

    /// Gives an asset to somebody else.
    #[transaction]
    async fn transfer(&self, ctx: &Context, id: String, owner: String) -> Result<(), AssetError> {
        let asset = self.read(ctx, id).await?;
        if asset.owner != caller(ctx)?.id {
            return Err(AssetError::Forbidden);
        }
        Ok(ctx.store(&Asset { owner, ..asset }).await?)
    }

    #[transaction]
    async fn total(&self, ctx: &Query) -> Result<u64, AssetError> {
        let mut total = 0;
        let mut entries = ctx.range("", "").await?;
        while let Some(entry) = entries.next().await? {
            total += entry.json::<Asset>()?.value;
        }
        Ok(total)
    }

    #[transaction]
    async fn page(&self, ctx: &Query, size: i32, bookmark: String) -> Result<Page, AssetError> {
        let page = ctx.range_page("", "", size, &bookmark).await?;
        let assets = page.entries.iter().map(|entry| entry.json()).collect::<Result<_, _>>()?;
        Ok(Page { assets, bookmark: page.bookmark })
    }

    #[transaction]
    async fn appraise(
        &self,
        _ctx: &Context,
        id: String,
        #[transient] price: u64,
        #[private("appraisals")] appraisals: CollectionContext,
    ) -> Result<(), AssetError> {
        Ok(appraisals.put(&id, price.to_string()).await?)
    }

    #[transaction]
    async fn guard(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        let policy = KeyPolicy::all_of(KeyRole::Peer, [caller(ctx)?.msp_id.clone()]);
        Ok(ctx.set_endorsement_policy(&id, &policy).await?)
    }

    #[transaction]
    async fn init_ledger(&self, ctx: &Context) -> Result<(), AssetError> {
        let owner = caller(ctx)?.id.clone();
        Ok(ctx.store(&Asset { id: "asset0".to_owned(), owner, value: 1 }).await?)
    }

    #[transaction]
    async fn empty(&self, ctx: &Context, id: String) -> Result<bool, AssetError> {
        ctx.put(&id, "").await?;
        Ok(ctx.get(&id).await?.is_some())
    }
}

fn caller(ctx: &Query) -> Result<Arc<Caller>, AssetError> {
    ctx.data().ok_or(AssetError::Forbidden)
}

#[expect(dead_code, reason = "it is compiled, which is what is tested of it")]
mod program {
    use super::Assets;

    #[tokio::main]
    async fn main() -> selvedge::Result<()> {
        selvedge::serve(Assets).await
    }
}

#[tokio::test]
async fn assets_change_hands() -> Result<(), TestError> {
    let ledger = testing::start(Assets).await?;
    let (alice, bob) = (Identity::client("Org1MSP", "alice"), Identity::client("Org2MSP", "bob"));
    ledger.submit(&alice, Assets::create_call("a1", 5)).await?;

    let stolen = ledger.submit(&bob, Assets::transfer_call("a1", bob.id()?)).await.unwrap_err();
    assert_eq!((stolen.code(), stolen.status()), (Some("FORBIDDEN"), Some(403)));

    ledger.submit(&alice, Assets::transfer_call("a1", bob.id()?)).await?;
    let asset = ledger.evaluate(&bob, Assets::read_call("a1")).await?;
    assert_eq!(asset, Asset { id: "a1".to_owned(), owner: bob.id()?, value: 5 });
    assert_eq!(ledger.events()?[0].event_name, "Created");
    Ok(())
}

#[tokio::test]
async fn the_rest_of_the_guides_contract_does_what_the_guide_says() -> Result<(), TestError> {
    const COLLECTIONS: &str = r#"[{"name":"appraisals","policy":"OR('Org1MSP.member')","requiredPeerCount":0,
        "maxPeerCount":1,"blockToLive":0,"memberOnlyRead":true,"memberOnlyWrite":true}]"#;
    let assets = Deploy::new("assets", Assets).init_required().collections(COLLECTIONS);
    let assets = assets.endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')");
    let ledger = Setup::new().chaincode(assets).start().await?.ledger("assets");
    let alice = Identity::client("Org1MSP", "alice");
    assert!(ledger.submit(&alice, Assets::create_call("a1", 5)).await.is_err(), "it was not initialised");
    ledger.transaction(&alice, Assets::init_ledger_call()).init().submit().await?;
    ledger.submit(&alice, Assets::create_call("a1", 5)).await?;

    assert_eq!(ledger.evaluate(&alice, Assets::total_call()).await?, 6);
    let first = ledger.evaluate(&alice, Assets::page_call(1, "")).await?;
    assert_eq!((first.assets.len(), first.assets[0].value), (1, 5));
    let second = ledger.evaluate(&alice, Assets::page_call(1, first.bookmark)).await?;
    assert_eq!(second.assets[0].value, 1);

    let appraised = ledger.transaction(&alice, Assets::appraise_call("a1", 7)).endorsed_by(["Org1MSP"]);
    appraised.submit().await?;
    assert_eq!(ledger.private_state("Org1MSP", "appraisals", "a1")?.as_deref(), Some(&b"7"[..]));
    assert_eq!(ledger.private_state("Org2MSP", "appraisals", "a1")?, None);

    ledger.submit(&alice, Assets::guard_call("a1")).await?;
    let transfer = Assets::transfer_call("a1", "bob");
    let by_org2 = ledger.transaction(&alice, transfer.clone()).endorsed_by(["Org2MSP"]).submit().await;
    let code = by_org2.unwrap_err().validation_code();
    assert_eq!(code, Some(TxValidationCode::EndorsementPolicyFailure));
    ledger.transaction(&alice, transfer).endorsed_by(["Org1MSP"]).submit().await?;

    // The read gives what was committed, and the empty value deletes.
    assert!(ledger.submit(&alice, Assets::empty_call("asset0")).await?);
    assert_eq!(ledger.state("asset0")?, None);
    let unknown = ledger.evaluate(&alice, selvedge::Call::raw("Nothing", [""; 0])).await.unwrap_err();
    assert_eq!(unknown.message(), "Nothing is no function; try Create, Read or Transfer");
    Ok(())
}

#[test]
fn the_guide_shows_what_is_tested_here() {
    let guide = include_str!("../../../../docs/from-go-and-node.md");
    let lines = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
    };
    let here = lines(include_str!("guide.rs"));
    let blocks: Vec<_> =
        guide.split("```rust\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!blocks.is_empty(), "the guide shows Rust");
    for block in blocks {
        let shown = lines(block);
        assert!(here.windows(shown.len()).any(|window| window == shown), "it is not here:\n{block}");
    }
}
