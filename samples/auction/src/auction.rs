//! What is on the ledger, and what is refused.

use std::collections::BTreeMap;

use selvedge::schemars::JsonSchema;
use selvedge::{ArgumentError, Bytes, ClientIdentityError, ErrorCode, LedgerError};
use serde::{Deserialize, Serialize};

/// What everybody knows of an auction. It lies under its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct Auction {
    /// Its kind: `auction`.
    pub object_type: String,
    /// What is sold.
    pub item: String,
    /// Who sells it: `x509::<subject>::<issuer>` of their certificate.
    pub seller: String,
    /// The organisations that take part, by their MSPs' names. All of them must endorse its changes.
    pub organizations: Vec<String>,
    /// The bids that were made, by their keys in the bidders' collections.
    pub private_bids: BTreeMap<String, BidHash>,
    /// The bids that were revealed.
    pub revealed_bids: BTreeMap<String, FullBid>,
    /// Who gets it, once it has ended.
    pub winner: String,
    /// For how much.
    pub price: i64,
    /// How far it is.
    pub status: Status,
}

/// How far an auction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(crate = "selvedge::schemars")]
pub enum Status {
    /// Bids can be made.
    Open,
    /// Bids can be revealed.
    Closed,
    /// There is a winner.
    Ended,
}

/// What everybody knows of a bid before it is revealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "selvedge::schemars")]
pub struct BidHash {
    /// The bidder's organisation.
    pub org: String,
    /// The SHA-256 of the bid, in hexadecimal digits.
    pub hash: String,
}

/// A bid: the transient `bid`. Until it is revealed its bytes stay in the collection of the bidder's organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(crate = "selvedge::schemars")]
pub struct FullBid {
    /// Its kind: `bid`.
    #[serde(default)]
    pub object_type: String,
    /// How much.
    pub price: i64,
    /// The bidder's organisation.
    pub org: String,
    /// Who bids: `x509::<subject>::<issuer>` of their certificate.
    pub bidder: String,
}

/// Why a transaction was refused. Behind the code stands the official sample's text.
#[derive(Debug, thiserror::Error, ErrorCode)]
#[non_exhaustive]
pub enum AuctionError {
    /// An auction cannot be created twice.
    #[error("auction already exists")]
    #[code("AUCTION_EXISTS")]
    Exists,
    /// There is no auction of this id.
    #[error("auction does not exist")]
    #[code("AUCTION_MISSING")]
    Missing,
    /// Bids are made while the auction is open.
    #[error("cannot join closed or ended auction")]
    #[code("NOT_OPEN")]
    NotOpen,
    /// Bids are revealed while the auction is closed.
    #[error("cannot reveal bid for open or ended auction")]
    #[code("NOT_CLOSED")]
    NotClosed,
    /// An auction is closed once.
    #[error("cannot close auction that is not open")]
    #[code("NOT_OPEN")]
    CannotClose,
    /// An auction is closed before it ends, and ends once.
    #[error("can only end a closed auction")]
    #[code("NOT_CLOSED")]
    CannotEnd,
    /// The seller alone closes and ends an auction.
    #[error("auction can only be {0} by seller")]
    #[code("NOT_SELLER")]
    NotSeller(&'static str),
    /// Nobody could win.
    #[error("no bids have been revealed, cannot end auction")]
    #[code("NO_BIDS")]
    NoBids,
    /// A bid that is not revealed yet is higher than the highest one that is.
    #[error("cannot end auction: cannot close auction, bidder has a higher price")]
    #[code("HIGHER_BID")]
    HigherBid,
    /// A bid is kept by its bidder's organisation, on its own peers.
    #[error(
        "{what}client from org {client} is not authorized to read or write private data from an org {peer} peer"
    )]
    #[code("FOREIGN_PEER")]
    ForeignPeer {
        /// What the client wanted.
        what: &'static str,
        /// The client's organisation.
        client: String,
        /// The peer's organisation.
        peer: String,
    },
    /// The bidder's organisation keeps no such bid.
    #[error("bid {0} does not exist")]
    #[code("BID_MISSING")]
    NoBid(String),
    /// The ledger knows of no such bid.
    #[error("bid hash does not exist: {0}")]
    #[code("BID_MISSING")]
    NoBidHash(String),
    /// The bid that is revealed is not the one that was made.
    #[error("hash {revealed:x} for bid JSON does not match hash in auction: {stored:x}")]
    #[code("BIDS_DIFFER")]
    BidsDiffer {
        /// Of the bid that is revealed.
        revealed: Bytes,
        /// Of the bid that the bidder's organisation keeps.
        stored: Bytes,
    },
    /// The bid is not the one that was submitted to the auction, or none was.
    #[error(
        "hash {submitted} for bid JSON does not match hash in auction: {stored:x}, bidder must have changed bid"
    )]
    #[code("BID_CHANGED")]
    BidChanged {
        /// In the auction.
        submitted: String,
        /// Of the bid that the bidder's organisation keeps.
        stored: Bytes,
    },
    /// A bid is its bidder's own.
    #[error("permission denied, client id {0} is not the owner of the bid")]
    #[code("NOT_BIDDER")]
    NotBidder(String),
    /// The bid or the auction is no JSON of its kind.
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
