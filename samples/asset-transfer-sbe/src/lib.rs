//! Fabric's sample asset-transfer-sbe, as chaincode in Rust: who owns an asset must endorse its changes.
//!
//! Functions, arguments, results and the JSON on the ledger are those of the official sample in TypeScript, so that its
//! client application works unchanged.

use selvedge::schemars::JsonSchema;
use selvedge::{
    ClientIdentityError, Context, ErrorCode, KeyPolicy, KeyRole, LedgerError, Query, State, contract,
};
use serde::{Deserialize, Serialize};

/// A thing that somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(rename_all = "PascalCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// Its key on the ledger.
    #[key]
    #[serde(rename = "ID")]
    pub id: String,
    /// What it is worth.
    pub value: i64,
    /// Who owns it.
    pub owner: String,
    /// The owner's organisation, by its MSP's name, which must endorse every change.
    pub owner_org: String,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// An asset cannot be created twice.
    #[error("The asset {0} already exists")]
    #[code("ASSET_EXISTS")]
    Exists(String),
    /// There is no asset of this id.
    #[error("The asset {0} does not exist")]
    #[code("ASSET_MISSING")]
    Missing(String),
    /// The sender is nobody with a certificate.
    #[error(transparent)]
    #[code("IDENTITY")]
    Identity(#[from] ClientIdentityError),
    /// The ledger could not be read or written.
    #[error(transparent)]
    #[code("LEDGER")]
    Ledger(#[from] LedgerError),
}

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssetContract;

#[contract(rename_all = "PascalCase")]
impl AssetContract {
    /// Creates an asset of the sender's organisation, which alone endorses its changes from then on.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        asset_id: String,
        value: i64,
        owner: String,
    ) -> Result<(), AssetError> {
        if ctx.load::<Asset>(&asset_id).await?.is_some() {
            return Err(AssetError::Exists(asset_id));
        }
        let owner_org = ctx.client_identity()?.msp_id().to_owned();
        put_owned(ctx, &Asset { id: asset_id, value, owner, owner_org }).await
    }

    /// Gives an asset.
    #[transaction]
    async fn read_asset(&self, ctx: &Query, asset_id: String) -> Result<Asset, AssetError> {
        load(ctx, asset_id).await
    }

    /// Gives an asset a new value.
    #[transaction]
    async fn update_asset(&self, ctx: &Context, asset_id: String, new_value: i64) -> Result<(), AssetError> {
        let asset = load(ctx, asset_id).await?;
        Ok(ctx.store(&Asset { value: new_value, ..asset }).await?)
    }

    /// Deletes an asset.
    #[transaction]
    async fn delete_asset(&self, ctx: &Context, asset_id: String) -> Result<(), AssetError> {
        let asset = load(ctx, asset_id).await?;
        Ok(ctx.remove::<Asset>(&asset.id).await?)
    }

    /// Gives an asset to a new owner, whose organisation alone endorses its changes from then on.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        asset_id: String,
        new_owner: String,
        new_owner_org: String,
    ) -> Result<(), AssetError> {
        let asset = load(ctx, asset_id).await?;
        put_owned(ctx, &Asset { owner: new_owner, owner_org: new_owner_org, ..asset }).await
    }

    /// Whether there is an asset of this id.
    #[transaction]
    async fn asset_exists(&self, ctx: &Query, asset_id: String) -> Result<bool, AssetError> {
        Ok(ctx.load::<Asset>(&asset_id).await?.is_some())
    }
}

async fn load(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
}

/// Writes an asset and leaves its changes to its owner's organisation.
async fn put_owned(ctx: &Context, asset: &Asset) -> Result<(), AssetError> {
    ctx.store(asset).await?;
    let policy = KeyPolicy::all_of(KeyRole::Member, [&asset.owner_org]);
    Ok(ctx.set_endorsement_policy(&asset.id, &policy).await?)
}
