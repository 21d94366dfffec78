//! Fabric's sample asset-transfer-ledger-queries, as chaincode in Rust: ranges, composite keys, rich queries, pages and
//! history.
//!
//! Functions, arguments, results and the JSON on the ledger are those of the official sample in TypeScript, so that its
//! client applications work unchanged.

use selvedge::schemars::JsonSchema;
use selvedge::{
    ArgumentError, CompositeKey, Context, ErrorCode, KeyModification, LedgerError, Query, State,
    StateIterator, StatePage, contract,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Which assets there are of a colour: composite keys of a colour and an id, without a value of their own.
const COLOR_INDEX: &str = "color~name";

/// What such a key has as its value, since the ledger keeps no empty ones.
const NO_VALUE: &[u8] = &[0];

/// A thing that somebody owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// Its kind, for rich queries: `asset`.
    pub doc_type: String,
    /// Its key on the ledger.
    #[key]
    #[serde(rename = "ID")]
    pub id: String,
    /// Its colour.
    pub color: String,
    /// Its size.
    pub size: i64,
    /// Who owns it.
    pub owner: String,
    /// What it would be sold for.
    pub appraised_value: i64,
}

/// What one transaction made of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct HistoryQueryResult {
    /// The asset after it; `null` if it was deleted.
    pub record: Option<Asset>,
    /// The transaction.
    pub tx_id: String,
    /// When its client made the proposal, as RFC 3339 writes times.
    pub timestamp: String,
    /// Whether it deleted the asset.
    pub is_delete: bool,
}

/// A page of assets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct PaginatedQueryResult {
    /// The assets; those of a rich query with the fields that it keeps.
    pub records: Vec<Value>,
    /// How many they are.
    pub fetched_records_count: usize,
    /// Where the next page begins.
    pub bookmark: String,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// An asset cannot be created twice.
    #[error("Asset already exists: {0}")]
    #[code("ASSET_EXISTS")]
    Exists(String),
    /// There is no asset of this id.
    #[error("Asset {0} does not exist")]
    #[code("ASSET_MISSING")]
    Missing(String),
    /// What is in the history is no asset.
    #[error("the history of asset {id} holds what is no asset: {source}")]
    #[code("HISTORY")]
    History {
        /// The asset.
        id: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A key cannot be used on the ledger.
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
pub struct AssetTransferContract;

#[contract(rename_all = "PascalCase")]
impl AssetTransferContract {
    /// Creates six assets.
    #[transaction]
    async fn init_ledger(&self, ctx: &Context) -> Result<(), AssetError> {
        for (id, color, size, owner, appraised_value) in [
            ("asset1", "blue", 5, "Tomoko", 300),
            ("asset2", "red", 5, "Brad", 400),
            ("asset3", "green", 10, "Jin Soo", 500),
            ("asset4", "yellow", 10, "Max", 600),
            ("asset5", "black", 15, "Adriana", 700),
            ("asset6", "white", 15, "Michel", 800),
        ] {
            let [id, color, owner] = [id, color, owner].map(str::to_owned);
            create(ctx, id, color, size, owner, appraised_value).await?;
        }
        Ok(())
    }

    /// Creates an asset, and its entry in the index of colours.
    #[transaction]
    async fn create_asset(
        &self,
        ctx: &Context,
        asset_id: String,
        color: String,
        size: i64,
        owner: String,
        appraised_value: i64,
    ) -> Result<(), AssetError> {
        create(ctx, asset_id, color, size, owner, appraised_value).await
    }

    /// Gives an asset.
    #[transaction]
    async fn read_asset(&self, ctx: &Query, asset_id: String) -> Result<Asset, AssetError> {
        load(ctx, asset_id).await
    }

    /// Deletes an asset, and its entry in the index of colours.
    #[transaction]
    async fn delete_asset(&self, ctx: &Context, asset_id: String) -> Result<(), AssetError> {
        let asset = load(ctx, asset_id).await?;
        ctx.remove::<Asset>(&asset.id).await?;
        Ok(ctx.delete(&color_key(&asset)?).await?)
    }

    /// Gives an asset to a new owner.
    #[transaction]
    async fn transfer_asset(
        &self,
        ctx: &Context,
        asset_id: String,
        new_owner: String,
    ) -> Result<(), AssetError> {
        transfer(ctx, asset_id, new_owner).await
    }

    /// Gives all assets of a colour to a new owner. If one is created or deleted before the commit, the transaction is
    /// invalid.
    #[transaction]
    async fn transfer_asset_by_color(
        &self,
        ctx: &Context,
        color: String,
        new_owner: String,
    ) -> Result<(), AssetError> {
        let mut entries = ctx.composite_range(COLOR_INDEX, [&color]).await?;
        while let Some(entry) = entries.next().await? {
            if let Some(id) = CompositeKey::parse(&entry.key)?.attributes().nth(1) {
                transfer(ctx, id.to_owned(), new_owner.clone()).await?;
            }
        }
        Ok(())
    }

    /// Whether there is an asset of this id.
    #[transaction]
    async fn asset_exists(&self, ctx: &Query, asset_id: String) -> Result<bool, AssetError> {
        Ok(ctx.load::<Asset>(&asset_id).await?.is_some())
    }

    /// Gives the assets from one id to before another, in order. Empty bounds are open ones.
    #[transaction]
    async fn get_assets_by_range(
        &self,
        ctx: &Query,
        start_key: String,
        end_key: String,
    ) -> Result<Vec<Asset>, AssetError> {
        all(ctx.range(&start_key, &end_key).await?).await
    }

    /// Gives one page of the assets in a range, from the bookmark on.
    #[transaction]
    async fn get_assets_by_range_with_pagination(
        &self,
        ctx: &Query,
        start_key: String,
        end_key: String,
        page_size: i32,
        bookmark: String,
    ) -> Result<PaginatedQueryResult, AssetError> {
        page(ctx.range_page(&start_key, &end_key, page_size, &bookmark).await?)
    }

    /// Gives somebody's assets. It needs a state database with rich queries.
    #[transaction]
    async fn query_assets_by_owner(&self, ctx: &Query, owner: String) -> Result<Vec<Asset>, AssetError> {
        let query = json!({"selector": {"docType": "asset", "owner": owner}});
        all(ctx.rich_query(&query.to_string()).await?).await
    }

    /// Gives what a query of the state database finds, with the fields that it keeps.
    #[transaction]
    async fn query_assets(&self, ctx: &Query, query_string: String) -> Result<Vec<Value>, AssetError> {
        all(ctx.rich_query(&query_string).await?).await
    }

    /// Gives one page of what a query of the state database finds, from the bookmark on.
    #[transaction]
    async fn query_assets_with_pagination(
        &self,
        ctx: &Query,
        query_string: String,
        page_size: i32,
        bookmark: String,
    ) -> Result<PaginatedQueryResult, AssetError> {
        page(ctx.rich_query_page(&query_string, page_size, &bookmark).await?)
    }

    /// Gives what transactions made of an asset, the last one first.
    #[transaction]
    async fn get_asset_history(
        &self,
        ctx: &Query,
        asset_id: String,
    ) -> Result<Vec<HistoryQueryResult>, AssetError> {
        let (mut results, mut history) = (Vec::new(), ctx.history(&asset_id).await?);
        while let Some(modification) = history.next().await? {
            let result = result(modification);
            results.push(result.map_err(|source| AssetError::History { id: asset_id.clone(), source })?);
        }
        Ok(results)
    }
}

async fn create(
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
    let asset = Asset { doc_type: "asset".to_owned(), id, color, size, owner, appraised_value };
    ctx.store(&asset).await?;
    Ok(ctx.put(&color_key(&asset)?, NO_VALUE).await?)
}

async fn load(ctx: &Query, id: String) -> Result<Asset, AssetError> {
    ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))
}

async fn transfer(ctx: &Context, id: String, owner: String) -> Result<(), AssetError> {
    let asset = load(ctx, id).await?;
    Ok(ctx.store(&Asset { owner, ..asset }).await?)
}

fn color_key(asset: &Asset) -> Result<CompositeKey, AssetError> {
    Ok(CompositeKey::new(COLOR_INDEX, [&asset.color, &asset.id])?)
}

async fn all<T: DeserializeOwned>(mut entries: StateIterator) -> Result<Vec<T>, AssetError> {
    let mut found = Vec::new();
    while let Some(entry) = entries.next().await? {
        found.push(entry.json()?);
    }
    Ok(found)
}

fn page(StatePage { entries, bookmark }: StatePage) -> Result<PaginatedQueryResult, AssetError> {
    let records = entries.iter().map(|entry| entry.json()).collect::<Result<Vec<_>, _>>()?;
    Ok(PaginatedQueryResult { fetched_records_count: records.len(), records, bookmark })
}

fn result(modification: KeyModification) -> Result<HistoryQueryResult, serde_json::Error> {
    let KeyModification { tx_id, value, timestamp, is_delete } = modification;
    let record = if value.is_empty() { None } else { Some(serde_json::from_slice(&value)?) };
    let timestamp = timestamp.map(|time| time.to_string()).unwrap_or_default();
    Ok(HistoryQueryResult { record, tx_id, timestamp, is_delete })
}
