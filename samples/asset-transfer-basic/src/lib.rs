//! Fabric's sample asset-transfer-basic, as chaincode in Rust.
//!
//! Functions, arguments, results and the JSON on the ledger are those of the official sample, so that its client
//! applications work unchanged.

use selvedge::schemars::JsonSchema;
use selvedge::{Context, LedgerError, Query, contract};
use serde::{Deserialize, Serialize};

/// A thing that somebody owns. The fields are in alphabetical order on the ledger, so that every endorser writes
/// the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// What it would be sold for.
    #[serde(rename = "AppraisedValue")]
    pub appraised_value: i64,
    /// Its colour.
    #[serde(rename = "Color")]
    pub color: String,
    /// Its key on the ledger.
    #[serde(rename = "ID")]
    pub id: String,
    /// Who owns it.
    #[serde(rename = "Owner")]
    pub owner: String,
    /// Its size.
    #[serde(rename = "Size")]
    pub size: i64,
}

/// The chaincode.
#[derive(Clone, Copy, Debug, Default)]
pub struct AssetTransfer;

/// The texts are those that clients of the official sample see.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// An asset cannot be created twice.
    #[error("the asset {0} already exists")]
    Exists(String),
    /// There is no asset of this id.
    #[error("the asset {0} does not exist")]
    Missing(String),
    /// The ledger could not be read.
    #[error("failed to read from world state: {0}")]
    Read(#[source] LedgerError),
    /// The ledger could not be written, or not listed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What is on the ledger is no asset.
    #[error("the asset on the ledger is not what it should be: {0}")]
    Stored(#[from] serde_json::Error),
}

#[contract(name = "SmartContract", rename_all = "PascalCase")]
impl AssetTransfer {
    #[transaction]
    async fn init_ledger(&self, ctx: &Context) -> Result<(), AssetError> {
        let assets = [
            ("asset1", "blue", 5, "Tomoko", 300),
            ("asset2", "red", 5, "Brad", 400),
            ("asset3", "green", 10, "Jin Soo", 500),
            ("asset4", "yellow", 10, "Max", 600),
            ("asset5", "black", 15, "Adriana", 700),
            ("asset6", "white", 15, "Michel", 800),
        ];
        for (id, color, size, owner, appraised_value) in assets {
            let (id, color, owner) = (id.to_owned(), color.to_owned(), owner.to_owned());
            put(ctx, &Asset { appraised_value, color, id, owner, size }).await?;
        }
        Ok(())
    }

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
        if exists(ctx, &id).await? {
            return Err(AssetError::Exists(id));
        }
        put(ctx, &Asset { appraised_value, color, id, owner, size }).await
    }

    #[transaction]
    async fn read_asset(&self, ctx: &Query, id: String) -> Result<Asset, AssetError> {
        read(ctx, id).await
    }

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
        if !exists(ctx, &id).await? {
            return Err(AssetError::Missing(id));
        }
        put(ctx, &Asset { appraised_value, color, id, owner, size }).await
    }

    #[transaction]
    async fn delete_asset(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        if !exists(ctx, &id).await? {
            return Err(AssetError::Missing(id));
        }
        Ok(ctx.delete(&id).await?)
    }

    #[transaction]
    async fn asset_exists(&self, ctx: &Query, id: String) -> Result<bool, AssetError> {
        exists(ctx, &id).await
    }

    /// Gives the owner before.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        id: String,
        new_owner: String,
    ) -> Result<String, AssetError> {
        let mut asset = read(ctx, id).await?;
        let old_owner = std::mem::replace(&mut asset.owner, new_owner);
        put(ctx, &asset).await?;
        Ok(old_owner)
    }

    #[transaction]
    async fn get_all_assets(&self, ctx: &Query) -> Result<Vec<Asset>, AssetError> {
        let mut assets = Vec::new();
        let mut entries = ctx.range("", "").await?;
        while let Some(entry) = entries.next().await? {
            assets.push(serde_json::from_slice(&entry.value)?);
        }
        entries.close().await?;
        Ok(assets)
    }
}

async fn read(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    let stored = ctx.get(&id).await.map_err(AssetError::Read)?;
    let stored = stored.ok_or(AssetError::Missing(id))?;
    Ok(serde_json::from_slice(&stored)?)
}

async fn exists(ctx: &Query, id: &str) -> Result<bool, AssetError> {
    Ok(ctx.get(id).await.map_err(AssetError::Read)?.is_some())
}

async fn put(ctx: &Context, asset: &Asset) -> Result<(), AssetError> {
    Ok(ctx.put(&asset.id, serde_json::to_vec(asset)?).await?)
}
