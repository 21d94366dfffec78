//! The contracts of these tests.

use selvedge::{Chaincode, Context, ErrorCode, LedgerError, Query, Response, async_trait, contract};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asset {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) tags: Option<Vec<String>>,
}

#[derive(Debug, thiserror::Error, ErrorCode)]
pub(crate) enum AssetError {
    #[code("ASSET_MISSING", status = 404)]
    #[error("there is no asset {0}")]
    Missing(String),
    #[code("FORBIDDEN", status = 403)]
    #[error("{0} is not the owner")]
    Forbidden(String),
    #[code("LEDGER")]
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[code("STORED")]
    #[error(transparent)]
    Stored(#[from] serde_json::Error),
}

/// Assets with owners, who may hand them on.
pub(crate) struct Assets;

#[contract(rename_all = "PascalCase")]
impl Assets {
    #[transaction]
    async fn create(&self, ctx: &Context, asset: Asset) -> Result<(), AssetError> {
        ctx.put(&asset.id, serde_json::to_vec(&asset)?).await?;
        Ok(ctx.set_event("Created", asset.id).map_err(LedgerError::from)?)
    }

    #[transaction]
    async fn read(&self, ctx: &Query, id: String) -> Result<Asset, AssetError> {
        let stored = ctx.get(&id).await?.ok_or(AssetError::Missing(id))?;
        Ok(serde_json::from_slice(&stored)?)
    }

    /// Only who has the attribute `transfer` may.
    #[transaction]
    async fn transfer(&self, ctx: &Context, id: String, owner: String) -> Result<String, AssetError> {
        let mut asset = self.read(ctx, id).await?;
        let client = ctx.client_identity().map_err(|error| AssetError::Forbidden(error.to_string()))?;
        if client.assert_attribute("transfer", "true").is_err() {
            return Err(AssetError::Forbidden(client.certificate().subject()));
        }
        let before = std::mem::replace(&mut asset.owner, owner);
        ctx.put(&asset.id, serde_json::to_vec(&asset)?).await?;
        Ok(before)
    }

    #[transaction]
    async fn delete(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        Ok(ctx.delete(&id).await?)
    }

    /// How many there are from `start` to `end`, kept under the key `count`.
    #[transaction]
    async fn count(&self, ctx: &Context, start: String, end: String) -> Result<u32, AssetError> {
        let mut entries = ctx.range(&start, &end).await?;
        let mut count = 0;
        while entries.next().await?.is_some() {
            count += 1;
        }
        entries.close().await?;
        ctx.put("count", count.to_string()).await?;
        Ok(count)
    }

    /// Whose peer carries it out.
    #[transaction]
    async fn peer(&self, ctx: &Query) -> Result<String, AssetError> {
        Ok(ctx.peer_msp_id().map_err(LedgerError::from)?.to_owned())
    }

    /// The proposal's time in seconds.
    #[transaction]
    async fn now(&self, ctx: &Query) -> Result<i64, AssetError> {
        Ok(ctx.timestamp().map_or(0, |time| time.seconds))
    }
}

/// Says what it was asked, beneath the contract layer.
pub(crate) struct Echo;

#[async_trait]
impl Chaincode for Echo {
    async fn init(&self, ctx: &Context) -> Response {
        match ctx.put("initialised", "yes").await {
            Ok(()) => Response::success(""),
            Err(error) => Response::error(error.to_string()),
        }
    }

    async fn invoke(&self, ctx: &Context) -> Response {
        match ctx.args() {
            [function] if function == "fail" => Response::error("as asked"),
            args => Response::success(args.concat()),
        }
    }
}
