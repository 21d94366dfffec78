//! Makes signed blocks.

use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_identity::block::header_bytes;
use selvedge_identity::channel::is_config_block;
use selvedge_ledger::block;
use selvedge_proto::common::{
    Block, BlockHeader, BlockMetadataIndex, LastConfig, Metadata, MetadataSignature, OrdererBlockMetadata,
    SignatureHeader,
};

use crate::OrdererError;

/// The length of a signature header's nonce, in bytes, as Fabric has it.
const NONCE_BYTES: usize = 24;

/// The number of the block with the configuration that holds after this block.
pub(crate) fn last_config(block: &Block) -> u64 {
    let number = block.header.as_ref().map_or(0, |header| header.number);
    if is_config_block(block) { number } else { block::last_config_of(block).unwrap_or(0) }
}

/// The block of a batch that follows `previous`, with the metadata that orderers fill in: the slot for signatures,
/// whose value names the last configuration, and the older slot that only names it. An etcdraft orderer would put
/// its place in the raft log into the value too; an ordering service of one node has none.
///
/// `last_config` is the number of the block with the configuration in force. The header that is returned is the block's.
///
/// # Errors
/// When the signature fails or the system gives no random bytes.
pub fn seal(
    previous: &BlockHeader,
    batch: Vec<Bytes>,
    last_config: u64,
    identity: &SigningIdentity,
) -> Result<(BlockHeader, Block), OrdererError> {
    let mut block = block::build(Some(previous), batch);
    let header = block.header.clone().ok_or(OrdererError::EmptyLog)?;
    let last_config = LastConfig { index: last_config };
    let value: Bytes =
        OrdererBlockMetadata { last_config: Some(last_config), ..Default::default() }.encode_to_vec().into();
    let signature_header: Bytes =
        SignatureHeader { creator: identity.serialized().clone(), nonce: nonce()? }.encode_to_vec().into();
    let signed = [value.as_ref(), signature_header.as_ref(), &header_bytes(&header)].concat();
    let signature =
        MetadataSignature { signature: identity.sign(&signed)?, signature_header, ..Default::default() };
    set(&mut block, BlockMetadataIndex::Signatures, &Metadata { value, signatures: vec![signature] });
    let older = Metadata { value: last_config.encode_to_vec().into(), signatures: Vec::new() };
    set(&mut block, BlockMetadataIndex::LastConfig, &older);
    Ok((header, block))
}

/// Random bytes that no other message of the same creator has.
pub(crate) fn nonce() -> Result<Bytes, OrdererError> {
    let mut nonce = vec![0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| OrdererError::Randomness)?;
    Ok(nonce.into())
}

fn set(block: &mut Block, index: BlockMetadataIndex, content: &Metadata) {
    let slots = &mut block.metadata.get_or_insert_default().metadata;
    if let Some(slot) = slots.get_mut(index as usize) {
        *slot = content.encode_to_vec().into();
    }
}
