//! Blocks: their hashes, their metadata, their form, and the transactions in them.

mod commit_hash;
mod hashes;
mod metadata;
mod view;
mod well_formed;

use bytes::Bytes;
use selvedge_proto::common::{Block, BlockData, BlockHeader, BlockMetadata};

pub use commit_hash::{commit_hash, encode_version};
pub use hashes::{data_hash, header_hash};
pub use metadata::{
    commit_hash_of, last_config_of, set_commit_hash, set_transactions_filter, transactions_filter,
    validation_code, validation_codes,
};
pub use view::{EndorsedAction, TransactionSummary, TransactionView, ViewError};
pub use well_formed::{IllFormed, check_well_formed};

/// How many metadata slots a block has.
pub const METADATA_SLOTS: usize = 5;

/// A block of the given entries with its data hash and with all metadata slots empty. `previous` is the header
/// of the block before it, `None` for the genesis block.
pub fn build(previous: Option<&BlockHeader>, entries: Vec<Bytes>) -> Block {
    let header = BlockHeader {
        number: previous.map_or(0, |header| header.number + 1),
        previous_hash: previous
            .map(|header| Bytes::copy_from_slice(&header_hash(header)))
            .unwrap_or_default(),
        data_hash: Bytes::copy_from_slice(&data_hash(&entries)),
    };
    Block {
        header: Some(header),
        data: Some(BlockData { data: entries }),
        metadata: Some(BlockMetadata { metadata: vec![Bytes::new(); METADATA_SLOTS] }),
    }
}
