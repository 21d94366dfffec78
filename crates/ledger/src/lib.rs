//! Simulation, read/write sets, validation rules, blocks, the block log and the state store.
//!
//! The rules are pure: they know no file, clock or socket. They read committed state through [`Snapshot`] and
//! say what a block changes in [`Updates`].

pub mod block;
mod database;
pub mod deliver;
mod error;
mod hash;
mod ledger;
pub mod log;
pub mod mvcc;
pub mod query;
mod reconciled;
pub mod rwset;
pub mod simulator;
mod snapshot;
pub mod source;
mod space;
pub mod state;
pub mod storage;
mod store_error;
pub mod transient;
mod updates;
mod version;

pub use error::Error;
pub use ledger::{Committed, History, Ledger, LedgerConfig, LedgerTransaction, Validated};
pub use reconciled::LateWrites;
pub use snapshot::{RangeIterator, Snapshot};
pub use space::{Space, StoredValue};
pub use store_error::StoreError;
pub use updates::{Update, Updates};
pub use version::Version;
