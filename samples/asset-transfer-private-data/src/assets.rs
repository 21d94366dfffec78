//! What is on the ledger, what clients send beside the arguments, and what is refused.

use selvedge::schemars::JsonSchema;
use selvedge::{ArgumentError, Bytes, ClientIdentityError, ErrorCode, LedgerError, State};
use serde::{Deserialize, Serialize};

/// What both organisations know of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// Its kind, for rich queries.
    #[serde(rename = "objectType")]
    pub object_type: String,
    /// Its key in the collection.
    #[key]
    #[serde(rename = "assetID")]
    pub id: String,
    /// Its colour.
    pub color: String,
    /// Its size.
    pub size: i64,
    /// Who owns it: `x509::<subject>::<issuer>` of their certificate.
    pub owner: String,
}

/// What only the owner's organisation knows of an asset, and what a buyer's organisation agrees to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(default)]
#[schemars(crate = "selvedge::schemars")]
pub struct AssetPrivateDetails {
    /// The asset, and the key in the collection.
    #[key]
    #[serde(rename = "assetID")]
    pub id: String,
    /// What it is worth.
    #[serde(rename = "appraisedValue")]
    pub appraised_value: i64,
}

/// That somebody wants to buy an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct TransferAgreement {
    /// The asset.
    #[serde(rename = "assetID")]
    pub id: String,
    /// Who wants it.
    #[serde(rename = "buyerID")]
    pub buyer_id: String,
}

/// The transient `asset_properties` of `CreateAsset`. What is missing counts as empty, and is refused as such.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AssetProperties {
    /// Its kind.
    pub object_type: String,
    /// Its id.
    #[serde(rename = "assetID")]
    pub id: String,
    /// Its colour.
    pub color: String,
    /// Its size.
    pub size: i64,
    /// What it is worth.
    pub appraised_value: i64,
}

/// The transient `asset_owner` of `TransferAsset`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssetBuyer {
    /// The asset.
    #[serde(rename = "assetID")]
    pub id: String,
    /// The buyer's organisation, by its MSP's name.
    #[serde(rename = "buyerMSP")]
    pub msp_id: String,
}

/// Names an asset in the transient map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AssetName {
    /// The asset.
    #[serde(rename = "assetID")]
    pub id: String,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// A text is empty or missing.
    #[error("{0} field must be a non-empty string")]
    #[code("FIELD_EMPTY")]
    Empty(&'static str),
    /// A number is zero or less, or missing.
    #[error("{0} field must be a positive integer")]
    #[code("FIELD_NOT_POSITIVE")]
    NotPositive(&'static str),
    /// An asset cannot be created twice.
    #[error("this asset already exists: {0}")]
    #[code("ASSET_EXISTS")]
    Exists(String),
    /// There is no asset of this id.
    #[error("{0} does not exist")]
    #[code("ASSET_MISSING")]
    Missing(String),
    /// There is no asset of this id to be deleted.
    #[error("asset not found: {0}")]
    #[code("ASSET_MISSING")]
    NotFound(String),
    /// The asset is another organisation's.
    #[error("asset not found in owner's private Collection {collection}: {id}")]
    #[code("NOT_OWNER")]
    NotInCollection {
        /// Of the sender's organisation.
        collection: String,
        /// The asset.
        id: String,
    },
    /// Private data of an organisation is only for its own clients, on its own peers.
    #[error(
        "client from org {client} is not authorized to read or write private data from an org {peer} peer"
    )]
    #[code("FOREIGN_PEER")]
    ForeignPeer {
        /// The client's organisation.
        client: String,
        /// The peer's organisation.
        peer: String,
    },
    /// The asset is somebody else's.
    #[error("failed transfer verification: error: submitting client identity does not own asset")]
    #[code("NOT_OWNER")]
    NotOwner,
    /// The owner's organisation keeps no value of the asset any more.
    #[error(
        "failed transfer verification: hash of appraised value for {id} does not exist in collection {collection}"
    )]
    #[code("VALUE_MISSING")]
    NoValue {
        /// The asset.
        id: String,
        /// The owner's.
        collection: String,
    },
    /// The buyer has not agreed.
    #[error(
        "failed transfer verification: hash of appraised value for {id} does not exist in collection {collection}. \
         AgreeToTransfer must be called by the buyer first"
    )]
    #[code("NOT_AGREED")]
    NotAgreed {
        /// The asset.
        id: String,
        /// The buyer's.
        collection: String,
    },
    /// The buyer has agreed to another value.
    #[error(
        "failed transfer verification: hash for appraised value for owner {owner:x} does not match value for buyer \
         {buyer:x}"
    )]
    #[code("VALUES_DIFFER")]
    ValuesDiffer {
        /// Of the owner's value.
        owner: Bytes,
        /// Of the buyer's value.
        buyer: Bytes,
    },
    /// Nobody has said who buys.
    #[error("BuyerID not found in TransferAgreement for {0}")]
    #[code("NOT_AGREED")]
    NoBuyer(String),
    /// There is no agreement to be withdrawn.
    #[error("asset's transfer_agreement does not exist: {0}")]
    #[code("AGREEMENT_MISSING")]
    NoAgreement(String),
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

/// Refuses an empty text.
pub(crate) fn filled(field: &'static str, value: &str) -> Result<(), AssetError> {
    if value.is_empty() { Err(AssetError::Empty(field)) } else { Ok(()) }
}

/// Refuses what is not at least 1.
pub(crate) fn positive(field: &'static str, value: i64) -> Result<(), AssetError> {
    if value < 1 { Err(AssetError::NotPositive(field)) } else { Ok(()) }
}
