//! Fabric's sample asset-transfer-events, as chaincode in Rust: every change of an asset is an event.
//!
//! Functions, arguments, results, events and the JSON on the ledger are those of the official sample in Go, so that its
//! client applications work unchanged. The private properties are those of its versions in JavaScript and Java.

use selvedge::schemars::JsonSchema;
use selvedge::{ArgumentError, ClientIdentityError, Context, ErrorCode, LedgerError, Query, State, contract};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where clients pass what only their own organisation is to keep.
const PROPERTIES: &str = "asset_properties";

/// A thing that somebody owns. The fields are in alphabetical order, so that events and the ledger hold the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(rename_all = "PascalCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// What it would be sold for.
    pub appraised_value: i64,
    /// Its colour.
    pub color: String,
    /// Its key on the ledger.
    #[key]
    #[serde(rename = "ID")]
    pub id: String,
    /// Who owns it.
    pub owner: String,
    /// Its size.
    pub size: i64,
}

/// An asset as it is read: with the private properties, if the reader's organisation keeps some on this peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct AssetView {
    /// What everybody knows.
    #[serde(flatten)]
    pub asset: Asset,
    /// What only the reader's organisation knows, whatever JSON it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset_properties: Option<Value>,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// An asset cannot be created twice.
    #[error("the asset {0} already exists")]
    #[code("ASSET_EXISTS")]
    Exists(String),
    /// There is no asset of this id.
    #[error("the asset {0} does not exist")]
    #[code("ASSET_MISSING")]
    Missing(String),
    /// The private properties are not JSON, or the asset is not.
    #[error("{PROPERTIES} is not JSON")]
    #[code("PROPERTIES")]
    Properties,
    /// The asset cannot be told in an event.
    #[error("the asset cannot be written as JSON: {0}")]
    #[code("JSON")]
    Json(#[from] serde_json::Error),
    /// The sender is nobody with a certificate.
    #[error(transparent)]
    #[code("IDENTITY")]
    Identity(#[from] ClientIdentityError),
    /// A key cannot be used, or the server was not told whose peer it serves.
    #[error(transparent)]
    #[code("ARGUMENT")]
    Argument(#[from] ArgumentError),
    /// The ledger could not be read or written.
    #[error(transparent)]
    #[code("LEDGER")]
    Ledger(#[from] LedgerError),
}

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssetTransferEvents;

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl AssetTransferEvents {
    /// Creates an asset, with the private properties of the transient map if there are some.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        id: String,
        color: String,
        size: i64,
        owner: String,
        appraised_value: i64,
    ) -> Result<(), AssetError> {
        if ctx.load::<Asset>(&id).await?.is_some() {
            return Err(AssetError::Exists(id));
        }
        save_properties(ctx, &id).await?;
        put(ctx, "CreateAsset", &Asset { appraised_value, color, id, owner, size }).await
    }

    /// Gives an asset, with its private properties if the sender's organisation keeps some on this peer.
    #[transaction]
    async fn read_asset(&self, ctx: &Query, id: String) -> Result<AssetView, AssetError> {
        let asset = load(ctx, id).await?;
        let sender = ctx.client_identity()?;
        let asset_properties = match ctx.peer_msp_id() {
            Ok(peer) if peer == sender.msp_id() => read_properties(ctx, peer, &asset.id).await?,
            _ => None,
        };
        Ok(AssetView { asset, asset_properties })
    }

    /// Gives an asset new values, and new private properties if the transient map holds some.
    #[transaction]
    async fn update_asset(
        &self,
        ctx: &Context,
        id: String,
        color: String,
        size: i64,
        owner: String,
        appraised_value: i64,
    ) -> Result<(), AssetError> {
        load(ctx, id.clone()).await?;
        save_properties(ctx, &id).await?;
        put(ctx, "UpdateAsset", &Asset { appraised_value, color, id, owner, size }).await
    }

    /// Deletes an asset and the private properties that the sender's organisation keeps on this peer.
    #[transaction]
    async fn delete_asset(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        let asset = load(ctx, id).await?;
        let sender = ctx.client_identity()?;
        if let Ok(peer) = ctx.peer_msp_id()
            && peer == sender.msp_id()
            && read_properties(ctx, peer, &asset.id).await?.is_some()
        {
            ctx.implicit_collection(peer).delete(&asset.id).await?;
        }
        ctx.set_event("DeleteAsset", serde_json::to_vec(&asset)?)?;
        Ok(ctx.remove::<Asset>(&asset.id).await?)
    }

    /// Gives an asset to a new owner and tells the old one.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        id: String,
        new_owner: String,
    ) -> Result<String, AssetError> {
        let mut asset = load(ctx, id).await?;
        let old_owner = std::mem::replace(&mut asset.owner, new_owner);
        save_properties(ctx, &asset.id).await?;
        put(ctx, "TransferAsset", &asset).await?;
        Ok(old_owner)
    }
}

async fn load(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
}

async fn put(ctx: &Context, event: &str, asset: &Asset) -> Result<(), AssetError> {
    ctx.set_event(event, serde_json::to_vec(asset)?)?;
    Ok(ctx.store(asset).await?)
}

/// Keeps the transient map's properties in the collection of the sender's organisation. Only its own peers do so: to
/// others of the endorsers they are none of their business.
async fn save_properties(ctx: &Context, id: &str) -> Result<(), AssetError> {
    let Some(properties) = ctx.transient().get(PROPERTIES) else { return Ok(()) };
    let (sender, peer) = (ctx.client_identity()?, ctx.peer_msp_id()?);
    if peer != sender.msp_id() {
        return Ok(());
    }
    serde_json::from_slice::<Value>(properties).map_err(|_| AssetError::Properties)?;
    Ok(ctx.implicit_collection(peer).put(id, properties.clone()).await?)
}

async fn read_properties(ctx: &Query, msp_id: &str, id: &str) -> Result<Option<Value>, AssetError> {
    let properties = ctx.implicit_collection(msp_id).get(id).await?;
    properties.map(|json| serde_json::from_slice(&json)).transpose().map_err(|_| AssetError::Properties)
}
