//! Fabric's sample asset-transfer-abac, as chaincode in Rust: attributes of the sender's certificate say who may create
//! assets, and the sender's name says whose they are.
//!
//! Functions, arguments, results and the JSON on the ledger are those of the official sample in Go, so that the commands of
//! its tutorial work unchanged.

use selvedge::schemars::JsonSchema;
use selvedge::{ClientIdentityError, Context, ErrorCode, LedgerError, Query, State, contract};
use serde::{Deserialize, Serialize};

/// A thing that somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// Its key on the ledger.
    #[key]
    #[serde(rename = "ID")]
    pub id: String,
    /// Its colour.
    pub color: String,
    /// Its size.
    pub size: i64,
    /// Who owns it: `x509::<subject>::<issuer>` of their certificate.
    pub owner: String,
    /// What it would be sold for.
    pub appraised_value: i64,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// The sender's certificate lacks the attribute that creating takes.
    #[error("submitting client not authorized to create asset, does not have abac.creator role")]
    #[code("NOT_CREATOR")]
    NotCreator(#[source] ClientIdentityError),
    /// The asset is somebody else's.
    #[error("submitting client not authorized to update asset, does not own asset")]
    #[code("NOT_OWNER")]
    NotOwner,
    /// An asset cannot be created twice.
    #[error("the asset {0} already exists")]
    #[code("ASSET_EXISTS")]
    Exists(String),
    /// There is no asset of this id.
    #[error("the asset {0} does not exist")]
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
pub struct AttributeBasedAccess;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl AttributeBasedAccess {
    /// Creates an asset of the sender, whose certificate must have the attribute `abac.creator` with the value `true`.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        id: String,
        color: String,
        size: i64,
        appraised_value: i64,
    ) -> Result<(), AssetError> {
        let sender = ctx.client_identity()?;
        sender.assert_attribute("abac.creator", "true").map_err(AssetError::NotCreator)?;
        if ctx.load::<Asset>(&id).await?.is_some() {
            return Err(AssetError::Exists(id));
        }
        let owner = sender.decoded_id();
        Ok(ctx.store(&Asset { id, color, size, owner, appraised_value }).await?)
    }

    /// Gives an asset of the sender new values.
    #[transaction]
    async fn update_asset(
        &self,
        ctx: &Context,
        id: String,
        new_color: String,
        new_size: i64,
        new_value: i64,
    ) -> Result<(), AssetError> {
        let asset = load_own(ctx, id).await?;
        let asset = Asset { color: new_color, size: new_size, appraised_value: new_value, ..asset };
        Ok(ctx.store(&asset).await?)
    }

    /// Deletes an asset of the sender.
    #[transaction]
    async fn delete_asset(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        let asset = load_own(ctx, id).await?;
        Ok(ctx.remove::<Asset>(&asset.id).await?)
    }

    /// Gives an asset of the sender to somebody, by the name that `GetSubmittingClientIdentity` gives them.
    #[transaction]
    async fn transfer_asset(&self, ctx: &Context, id: String, new_owner: String) -> Result<(), AssetError> {
        let asset = load_own(ctx, id).await?;
        Ok(ctx.store(&Asset { owner: new_owner, ..asset }).await?)
    }

    /// Gives an asset.
    #[transaction]
    async fn read_asset(&self, ctx: &Query, id: String) -> Result<Asset, AssetError> {
        load(ctx, id).await
    }

    /// Gives all assets, in the order of their ids.
    #[transaction]
    async fn get_all_assets(&self, ctx: &Query) -> Result<Vec<Asset>, AssetError> {
        let (mut assets, mut entries) = (Vec::new(), ctx.range("", "").await?);
        while let Some(entry) = entries.next().await? {
            assets.push(entry.json()?);
        }
        Ok(assets)
    }

    /// Whether there is an asset of this id.
    #[transaction]
    async fn asset_exists(&self, ctx: &Query, id: String) -> Result<bool, AssetError> {
        Ok(ctx.load::<Asset>(&id).await?.is_some())
    }

    /// Gives the sender's name as assets have it.
    #[transaction]
    async fn get_submitting_client_identity(&self, ctx: &Query) -> Result<String, AssetError> {
        Ok(ctx.client_identity()?.decoded_id())
    }
}

async fn load(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
}

/// Loads an asset that the sender may change.
async fn load_own(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    let asset = load(ctx, id).await?;
    match asset.owner == ctx.client_identity()?.decoded_id() {
        true => Ok(asset),
        false => Err(AssetError::NotOwner),
    }
}
