//! Tests of contracts on a real ledger in memory.
//!
//! A test starts a network of its own: a peer for each organisation, with real certificates, real endorsement policies,
//! simulation, signatures, validation and commits, and the contract behind the library's own end of the chaincode stream.
//! What a test network lacks is what contracts do not see: sockets, TLS, files, and an ordering service of several nodes.
//!
//! ```
//! use selvedge::{Context, LedgerError, contract};
//! use selvedge_network::testing::{self, Identity};
//!
//! struct Counter;
//!
//! #[contract(rename_all = "PascalCase")]
//! impl Counter {
//!     #[transaction]
//!     async fn count(&self, ctx: &Context, key: String, step: u64) -> Result<u64, LedgerError> {
//!         let before = ctx.get(&key).await?;
//!         let before: u64 = before.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok()).unwrap_or(0);
//!         ctx.put(&key, (before + step).to_string()).await?;
//!         Ok(before + step)
//!     }
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), testing::TestError> {
//! let ledger = testing::start(Counter).await?;
//! let alice = Identity::client("Org1MSP", "alice");
//! assert_eq!(ledger.submit(&alice, Counter::count_call("visitors", 2)).await?, 2);
//! assert_eq!(ledger.submit(&alice, Counter::count_call("visitors", 3)).await?, 5);
//! assert_eq!(ledger.state("visitors")?.as_deref(), Some(&b"5"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! [`Setup`] describes larger networks, [`Ledger::transaction`] a transaction in detail. `docs/testing.md` is the guide.
//!
//! Authorities and identities are made once per process and shared by its tests; everything else belongs to one network.

mod compare;
mod endorsed;
mod error;
mod identity;
mod ledger;
mod network;
mod ordering;
mod run;
mod rwset;
mod setup;

use selvedge::Chaincode;

pub use endorsed::{Committed, Endorsed};
pub use error::TestError;
pub use identity::Identity;
pub use ledger::Ledger;
pub use network::TestNetwork;
pub use run::Transaction;
pub use rwset::ReadWriteSet;
pub use selvedge_proto::protos::{ChaincodeEvent, Endorsement, TxValidationCode};
pub use setup::{Deploy, Setup};

pub use crate::RequestSettings;

/// The guide for authors, whose code is compiled and run as tests of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/testing.md")]
struct Guide;

/// Starts a network of two organisations, `Org1MSP` and `Org2MSP`, with this contract on the channel `mychannel` under the
/// name `chaincode`. Both organisations must endorse, since that is a majority.
///
/// # Errors
/// When it cannot be set up.
pub async fn start(chaincode: impl Chaincode) -> Result<Ledger, TestError> {
    Setup::new().start_with(chaincode).await
}
