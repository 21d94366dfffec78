//! `protos.Deliver`: hands out blocks, filtered blocks, and blocks with private data.
//!
//! A reader sends signed seeks, one after the other, and gets the blocks of each range as they exist or come to exist,
//! then a status. The rules of a seek are those of [`selvedge_ledger::deliver`], which orderers share.

mod filtered;
mod private;
mod reader;
#[cfg(test)]
mod replay;
mod service;

pub use service::{DeliverService, MAX_CONCURRENT_DELIVERIES};
