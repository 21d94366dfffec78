//! What is on the ledger, and what is refused.

use selvedge::schemars::JsonSchema;
use selvedge::{ArgumentError, Bytes, ClientIdentityError, ErrorCode, LedgerError, State};
use serde::{Deserialize, Serialize};

/// What everybody knows of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, State)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Asset {
    /// Its kind: `asset`.
    pub object_type: String,
    /// Its key on the ledger: the SHA-256 of its properties, in hexadecimal digits.
    #[key]
    #[serde(rename = "assetID")]
    pub id: String,
    /// The organisation that owns it, by its MSP's name.
    pub owner_org: String,
    /// What its owner says of it.
    pub public_description: String,
}

/// A price that one side of a sale has agreed to: the transient `asset_price`. Both sides must have agreed to the same bytes.
/// The official tutorial's commands call the fields as they are here, its client application `assetID` and `tradeID`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(crate = "selvedge::schemars")]
pub struct Agreement {
    /// The asset.
    #[serde(rename = "asset_id", alias = "assetID")]
    pub id: String,
    /// How much.
    pub price: i64,
    /// What both sides call the sale; random, so that nobody can guess the price from its hash.
    #[serde(alias = "tradeID")]
    pub trade_id: String,
}

/// What buyer and seller keep of a sale.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// For how much.
    pub price: i64,
    /// When the client made the proposal, as RFC 3339 writes times.
    pub timestamp: String,
}

/// What one transaction made of an asset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct QueryResult {
    /// The asset after it.
    #[serde(rename = "Record")]
    pub record: Option<Asset>,
    /// The transaction.
    #[serde(rename = "txId")]
    pub tx_id: String,
    /// When its client made the proposal, as RFC 3339 writes times.
    pub timestamp: String,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AssetError {
    /// There is no asset of this id.
    #[error("{0} does not exist")]
    #[code("ASSET_MISSING")]
    Missing(String),
    /// There is an asset with the same properties.
    #[error("{0} already exists")]
    #[code("ASSET_EXISTS")]
    Exists(String),
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
    /// The asset is another organisation's.
    #[error("a client from {client} cannot {what} owned by {owner}")]
    #[code("NOT_OWNER")]
    NotOwner {
        /// The client's organisation.
        client: String,
        /// What the client wanted.
        what: &'static str,
        /// The owner's organisation.
        owner: String,
    },
    /// The sender's organisation does not keep the asset's properties.
    #[error("asset private details does not exist in client org's collection: {0}")]
    #[code("PROPERTIES_MISSING")]
    NoProperties(String),
    /// One side of a sale does not keep the asset's properties.
    #[error("asset private properties hash does not exist: {0}")]
    #[code("PROPERTIES_MISSING")]
    NoPropertiesHash(String),
    /// The properties are not those that the owner keeps.
    #[error("hash {passed:x} for passed immutable properties does not match on-chain hash {stored:x}")]
    #[code("PROPERTIES_DIFFER")]
    PropertiesDiffer {
        /// Of what the client passed.
        passed: Bytes,
        /// Of what the owner keeps.
        stored: Bytes,
    },
    /// The owner keeps other properties than the asset was created with.
    #[error(
        "hash {stored:x} for passed immutable properties does match on-chain hash but do not match assetID {id}: asset \
         was altered from its initial form"
    )]
    #[code("PROPERTIES_ALTERED")]
    Altered {
        /// Of what the owner keeps.
        stored: Bytes,
        /// The asset.
        id: String,
    },
    /// Seller and buyer keep different properties.
    #[error(
        "failed transfer verification: on chain hash of seller {seller:x} does not match on-chain hash of buyer {buyer:x}"
    )]
    #[code("PROPERTIES_DIFFER")]
    SidesDiffer {
        /// Of what the seller keeps.
        seller: Bytes,
        /// Of what the buyer keeps.
        buyer: Bytes,
    },
    /// The sender's organisation has not agreed to a price.
    #[error("asset price does not exist: {0}")]
    #[code("PRICE_MISSING")]
    NoPrice(String),
    /// One side of a sale has not agreed to a price.
    #[error("failed transfer verification: {side} price for {id} does not exist")]
    #[code("PRICE_MISSING")]
    NotAgreed {
        /// `seller` or `buyer`.
        side: &'static str,
        /// The asset.
        id: String,
    },
    /// One side of a sale has agreed to another price.
    #[error(
        "failed transfer verification: hash {passed:x} for passed price JSON does not match on-chain hash {stored:x}, \
         {side} hasn't agreed to the passed trade id and price"
    )]
    #[code("PRICES_DIFFER")]
    PricesDiffer {
        /// `seller` or `buyer`.
        side: &'static str,
        /// Of what the client passed.
        passed: Bytes,
        /// Of what that side has agreed to.
        stored: Bytes,
    },
    /// The price is no JSON of its kind, or what is kept is not.
    ///
    /// What is wrong with it is not told: it may be secret, and errors reach clients and logs.
    #[error("failed to read or write JSON")]
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
