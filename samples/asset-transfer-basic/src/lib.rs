//! Fabric's sample asset-transfer-basic, as chaincode in Rust.
//!
//! Functions, arguments, results and the JSON on the ledger are those of the official sample, so that its client
//! applications work unchanged.

use selvedge::{Bytes, Chaincode, Context, LedgerError, Query, Response, async_trait};
use serde::{Deserialize, Serialize};

/// A thing that somebody owns. The fields are in alphabetical order on the ledger, so that every endorser writes
/// the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Debug, thiserror::Error)]
enum AssetError {
    #[error("the asset {0} already exists")]
    Exists(String),
    #[error("the asset {0} does not exist")]
    Missing(String),
    #[error("failed to read from world state: {0}")]
    Ledger(#[from] LedgerError),
    #[error("the asset on the ledger is not what it should be: {0}")]
    Stored(#[from] serde_json::Error),
    #[error("incorrect number of params. Expected {expected}, received {received}")]
    Count { expected: usize, received: usize },
    #[error("the parameter {name} is {value:?}, which is not a whole number")]
    Number { name: &'static str, value: String },
    #[error("Function {0} not found in contract AssetTransfer")]
    Function(String),
}

#[async_trait]
impl Chaincode for AssetTransfer {
    async fn invoke(&self, ctx: &Context) -> Response {
        let (function, parameters) = match ctx.function_and_parameters() {
            Ok(call) => call,
            Err(error) => return Response::error(error.to_string()),
        };
        match route(ctx, function, &parameters).await {
            Ok(payload) => Response::success(payload),
            Err(error) => Response::error(error.to_string()),
        }
    }
}

async fn route(ctx: &Context, function: &str, parameters: &[&str]) -> Result<Bytes, AssetError> {
    match function {
        "InitLedger" => init_ledger(ctx).await.map(|()| Bytes::new()),
        "CreateAsset" => {
            let asset = asset_from(parameters)?;
            if exists(ctx, &asset.id).await? {
                return Err(AssetError::Exists(asset.id));
            }
            put(ctx, &asset).await.map(|()| Bytes::new())
        }
        "ReadAsset" => {
            let [id] = exactly(parameters)?;
            json(&read(ctx, id).await?)
        }
        "UpdateAsset" => {
            let asset = asset_from(parameters)?;
            if !exists(ctx, &asset.id).await? {
                return Err(AssetError::Missing(asset.id));
            }
            put(ctx, &asset).await.map(|()| Bytes::new())
        }
        "DeleteAsset" => {
            let [id] = exactly(parameters)?;
            if !exists(ctx, id).await? {
                return Err(AssetError::Missing(id.to_owned()));
            }
            ctx.delete(id).await?;
            Ok(Bytes::new())
        }
        "AssetExists" => {
            let [id] = exactly(parameters)?;
            json(&exists(ctx, id).await?)
        }
        "TransferAsset" => {
            let [id, new_owner] = exactly(parameters)?;
            let mut asset = read(ctx, id).await?;
            let old_owner = std::mem::replace(&mut asset.owner, new_owner.to_owned());
            put(ctx, &asset).await?;
            Ok(old_owner.into())
        }
        "GetAllAssets" => json(&all(ctx).await?),
        unknown => Err(AssetError::Function(unknown.to_owned())),
    }
}

async fn init_ledger(ctx: &Context) -> Result<(), AssetError> {
    let assets = [
        ("asset1", "blue", 5, "Tomoko", 300),
        ("asset2", "red", 5, "Brad", 400),
        ("asset3", "green", 10, "Jin Soo", 500),
        ("asset4", "yellow", 10, "Max", 600),
        ("asset5", "black", 15, "Adriana", 700),
        ("asset6", "white", 15, "Michel", 800),
    ];
    for (id, color, size, owner, appraised_value) in assets {
        let asset = Asset {
            appraised_value,
            color: color.to_owned(),
            id: id.to_owned(),
            owner: owner.to_owned(),
            size,
        };
        put(ctx, &asset).await?;
    }
    Ok(())
}

async fn all(ctx: &Query) -> Result<Vec<Asset>, AssetError> {
    let mut assets = Vec::new();
    let mut entries = ctx.range("", "").await?;
    while let Some(entry) = entries.next().await? {
        assets.push(serde_json::from_slice(&entry.value)?);
    }
    entries.close().await?;
    Ok(assets)
}

async fn read(ctx: &Query, id: &str) -> Result<Asset, AssetError> {
    let stored = ctx.get(id).await?.ok_or_else(|| AssetError::Missing(id.to_owned()))?;
    Ok(serde_json::from_slice(&stored)?)
}

async fn exists(ctx: &Query, id: &str) -> Result<bool, AssetError> {
    Ok(ctx.get(id).await?.is_some())
}

async fn put(ctx: &Context, asset: &Asset) -> Result<(), AssetError> {
    Ok(ctx.put(&asset.id, json(asset)?).await?)
}

fn json(value: &impl Serialize) -> Result<Bytes, AssetError> {
    Ok(serde_json::to_vec(value)?.into())
}

fn asset_from(parameters: &[&str]) -> Result<Asset, AssetError> {
    let [id, color, size, owner, appraised_value] = exactly(parameters)?;
    Ok(Asset {
        appraised_value: number("appraisedValue", appraised_value)?,
        color: color.to_owned(),
        id: id.to_owned(),
        owner: owner.to_owned(),
        size: number("size", size)?,
    })
}

fn exactly<'a, const N: usize>(parameters: &[&'a str]) -> Result<[&'a str; N], AssetError> {
    parameters.try_into().map_err(|_| AssetError::Count { expected: N, received: parameters.len() })
}

fn number(name: &'static str, value: &str) -> Result<i64, AssetError> {
    value.parse().map_err(|_| AssetError::Number { name, value: value.to_owned() })
}
