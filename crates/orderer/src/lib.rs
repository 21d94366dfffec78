//! An embedded ordering service of one node.
//!
//! An envelope is checked as Fabric's orderers check it, put in line, cut into a block with others, signed, written
//! to the channel's log, and given to peers: in this process through a [`ChainSource`], elsewhere through
//! `orderer.AtomicBroadcast`.

mod admission;
mod chain;
mod current;
mod cutter;
mod deliver;
mod error;
mod orderer;
mod seal;
mod service;
mod source;

pub use admission::Refusal;
pub use chain::{Cut, Cutting};
pub use error::OrdererError;
pub use orderer::{Orderer, OrdererConfig};
pub use seal::seal as seal_block;
pub use service::{BroadcastServer, BroadcastService};
pub use source::ChainSource;
