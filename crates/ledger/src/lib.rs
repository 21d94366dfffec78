//! Simulation, read/write sets, validation rules, blocks, the block log and the state store.
//!
//! The rules are pure: they know no file, clock or socket. They read committed state through [`Snapshot`] and
//! say what a block changes in [`Updates`].

pub mod block;
mod error;
mod hash;
pub mod mvcc;
pub mod rwset;
pub mod simulator;
mod snapshot;
mod space;
mod updates;
mod version;
mod wire;

pub use error::Error;
pub use snapshot::{RangeIterator, Snapshot};
pub use space::{Space, StoredValue};
pub use updates::{Update, Updates};
pub use version::Version;
