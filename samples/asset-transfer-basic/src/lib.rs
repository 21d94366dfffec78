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

/// The texts are those that clients of the official sample see.
#[derive(Debug, thiserror::Error)]
enum AssetError {
    #[error("the asset {0} already exists")]
    Exists(String),
    #[error("the asset {0} does not exist")]
    Missing(String),
    #[error("failed to read from world state: {0}")]
    Read(#[source] LedgerError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the asset on the ledger is not what it should be: {0}")]
    Stored(#[from] serde_json::Error),
    #[error("incorrect number of params. Expected {expected}, received {received}")]
    Count { expected: usize, received: usize },
    #[error(
        "error managing parameter param{index}. conversion error. value {value} was not passed in expected format int"
    )]
    Number { index: usize, value: String },
    #[error("Blank function name passed")]
    Blank,
    #[error("Function {0} not found in contract SmartContract")]
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
    match upper_first(function).as_str() {
        "InitLedger" => init_ledger(ctx).await?,
        "CreateAsset" => {
            let asset = asset_from(parameters)?;
            if exists(ctx, &asset.id).await? {
                return Err(AssetError::Exists(asset.id));
            }
            put(ctx, &asset).await?;
        }
        "ReadAsset" => {
            let [id] = first(parameters)?;
            return json(&read(ctx, id).await?);
        }
        "UpdateAsset" => {
            let asset = asset_from(parameters)?;
            if !exists(ctx, &asset.id).await? {
                return Err(AssetError::Missing(asset.id));
            }
            put(ctx, &asset).await?;
        }
        "DeleteAsset" => {
            let [id] = first(parameters)?;
            if !exists(ctx, id).await? {
                return Err(AssetError::Missing(id.to_owned()));
            }
            ctx.delete(id).await?;
        }
        "AssetExists" => {
            let [id] = first(parameters)?;
            return json(&exists(ctx, id).await?);
        }
        "TransferAsset" => {
            let [id, new_owner] = first(parameters)?;
            let mut asset = read(ctx, id).await?;
            let old_owner = std::mem::replace(&mut asset.owner, new_owner.to_owned());
            put(ctx, &asset).await?;
            return Ok(old_owner.into());
        }
        "GetAllAssets" => return json(&all(ctx).await?),
        "" => return Err(AssetError::Blank),
        unknown => return Err(AssetError::Function(unknown.to_owned())),
    }
    Ok(Bytes::new())
}

/// Functions are found by either case of their first letter, as with Go's contracts.
fn upper_first(function: &str) -> String {
    let mut letters = function.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
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
    let stored = ctx.get(id).await.map_err(AssetError::Read)?;
    let stored = stored.ok_or_else(|| AssetError::Missing(id.to_owned()))?;
    Ok(serde_json::from_slice(&stored)?)
}

async fn exists(ctx: &Query, id: &str) -> Result<bool, AssetError> {
    Ok(ctx.get(id).await.map_err(AssetError::Read)?.is_some())
}

async fn put(ctx: &Context, asset: &Asset) -> Result<(), AssetError> {
    Ok(ctx.put(&asset.id, json(asset)?).await?)
}

fn json(value: &impl Serialize) -> Result<Bytes, AssetError> {
    Ok(serde_json::to_vec(value)?.into())
}

fn asset_from(parameters: &[&str]) -> Result<Asset, AssetError> {
    let [id, color, size, owner, appraised_value] = first(parameters)?;
    Ok(Asset {
        appraised_value: number(4, appraised_value)?,
        color: color.to_owned(),
        id: id.to_owned(),
        owner: owner.to_owned(),
        size: number(2, size)?,
    })
}

/// The parameters of a function that takes so many. Further ones are ignored, as Go's contracts do.
fn first<'a, const N: usize>(parameters: &[&'a str]) -> Result<[&'a str; N], AssetError> {
    let wrong = AssetError::Count { expected: N, received: parameters.len() };
    parameters.first_chunk().copied().ok_or(wrong)
}

/// A whole number; an empty text counts as zero, as with Go's contracts.
fn number(index: usize, value: &str) -> Result<i64, AssetError> {
    match value {
        "" => Ok(0),
        _ => value.parse().map_err(|_| AssetError::Number { index, value: value.to_owned() }),
    }
}
