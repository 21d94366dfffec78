use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{
    Block, BlockMetadata, BlockMetadataIndex, LastConfig, Metadata, OrdererBlockMetadata,
};
use selvedge_proto::protos::TxValidationCode;

use super::METADATA_SLOTS;

/// The filter of a block: one byte per transaction, its validation code. Empty if nobody judged the block.
pub fn transactions_filter(block: &Block) -> Bytes {
    slot(block, BlockMetadataIndex::TransactionsFilter)
}

/// Writes the verdicts into a block.
pub fn set_transactions_filter(block: &mut Block, codes: &[TxValidationCode]) {
    let filter: Vec<u8> = codes.iter().map(|code| byte_of(*code)).collect();
    set_slot(block, BlockMetadataIndex::TransactionsFilter, filter.into());
}

/// The verdict that a filter's byte stands for; one that is not a code is `INVALID_OTHER_REASON`.
pub fn validation_code(byte: u8) -> TxValidationCode {
    TxValidationCode::try_from(i32::from(byte)).unwrap_or(TxValidationCode::InvalidOtherReason)
}

/// The verdicts of a block, one for each transaction; `NOT_VALIDATED` where the filter is too short.
pub fn validation_codes(block: &Block) -> Vec<TxValidationCode> {
    let filter = transactions_filter(block);
    let count = block.data.as_ref().map_or(0, |data| data.data.len());
    let code =
        |index| filter.get(index).map_or(TxValidationCode::NotValidated, |byte| validation_code(*byte));
    (0..count).map(code).collect()
}

/// The commit hash in a block; `None` if it has none, as the genesis block, or if it cannot be decoded.
pub fn commit_hash_of(block: &Block) -> Option<Bytes> {
    let slot = slot(block, BlockMetadataIndex::CommitHash);
    let metadata = Metadata::decode(slot).ok()?;
    (!metadata.value.is_empty()).then_some(metadata.value)
}

/// Writes the commit hash into a block.
pub fn set_commit_hash(block: &mut Block, hash: &[u8]) {
    let metadata = Metadata { value: Bytes::copy_from_slice(hash), signatures: Vec::new() };
    set_slot(block, BlockMetadataIndex::CommitHash, metadata.encode_to_vec().into());
}

/// The number of the block with the configuration in force, from the value that the orderers signed or else,
/// as in a genesis block, from the older slot for it.
pub fn last_config_of(block: &Block) -> Option<u64> {
    let signed = Metadata::decode(slot(block, BlockMetadataIndex::Signatures)).ok()?;
    let orderer = OrdererBlockMetadata::decode(signed.value).ok()?;
    if let Some(last) = orderer.last_config {
        return Some(last.index);
    }
    let older = slot(block, BlockMetadataIndex::LastConfig);
    if older.is_empty() {
        return None;
    }
    let older = Metadata::decode(older).ok()?;
    Some(LastConfig::decode(older.value).ok()?.index)
}

/// The byte that stands for a verdict.
fn byte_of(code: TxValidationCode) -> u8 {
    u8::try_from(i32::from(code)).unwrap_or(u8::MAX)
}

fn slot(block: &Block, index: BlockMetadataIndex) -> Bytes {
    let slots = block.metadata.as_ref().map(|metadata| metadata.metadata.as_slice()).unwrap_or_default();
    slots.get(position(index)).cloned().unwrap_or_default()
}

fn set_slot(block: &mut Block, index: BlockMetadataIndex, content: Bytes) {
    let slots = &mut block.metadata.get_or_insert_with(BlockMetadata::default).metadata;
    if slots.len() < METADATA_SLOTS {
        slots.resize(METADATA_SLOTS, Bytes::new());
    }
    if let Some(slot) = slots.get_mut(position(index)) {
        *slot = content;
    }
}

fn position(index: BlockMetadataIndex) -> usize {
    usize::try_from(i32::from(index)).unwrap_or(METADATA_SLOTS)
}
