//! What a block's signatures cover.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use selvedge_proto::common::{Block, BlockHeader, BlockMetadataIndex, Metadata, SignatureHeader};
use thiserror::Error;

use crate::der;
use crate::policy::SignedData;

/// More signatures than any ordering service has nodes.
const MAX_SIGNATURES: usize = 256;

/// Why a block's signatures cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockSignatureError {
    /// The block has no header.
    #[error("the block has no header")]
    NoHeader,
    /// The block has no metadata entry for signatures.
    #[error("the block has no signatures entry in its metadata")]
    NoSignatures,
    /// The metadata entry or a signature header cannot be decoded.
    #[error("the block's signatures are malformed: {0}")]
    Malformed(String),
    /// More signatures than are looked at.
    #[error("the block has {0} signatures, more than the {MAX_SIGNATURES} allowed")]
    TooMany(usize),
}

/// A block header in DER: a sequence of the number, the previous hash and the data hash. Its SHA-256 is the block's
/// hash, and every orderer's signature covers it.
pub fn header_bytes(header: &BlockHeader) -> Bytes {
    let mut contents = Vec::with_capacity(80);
    der::write_integer(&header.number.to_be_bytes(), &mut contents);
    der::write(der::OCTET_STRING, &header.previous_hash, &mut contents);
    der::write(der::OCTET_STRING, &header.data_hash, &mut contents);
    let mut bytes = Vec::with_capacity(contents.len() + 4);
    der::write(der::SEQUENCE, &contents, &mut bytes);
    bytes.into()
}

/// The signed parts of a block for the policy `/Channel/Orderer/BlockValidation`: each orderer's signature covers
/// the metadata value, its own signature header and the block header. Signatures that name their signer by a
/// consenter number instead of an identity (BFT ordering) are left out.
pub fn signed_data(block: &Block) -> Result<Vec<SignedData>, BlockSignatureError> {
    let malformed = |error: prost::DecodeError| BlockSignatureError::Malformed(error.to_string());
    let header = header_bytes(block.header.as_ref().ok_or(BlockSignatureError::NoHeader)?);
    let entry = block
        .metadata
        .as_ref()
        .and_then(|metadata| metadata.metadata.get(BlockMetadataIndex::Signatures as usize))
        .ok_or(BlockSignatureError::NoSignatures)?;
    let metadata = Metadata::decode(entry.clone()).map_err(malformed)?;
    if metadata.signatures.len() > MAX_SIGNATURES {
        return Err(BlockSignatureError::TooMany(metadata.signatures.len()));
    }
    let mut signed = Vec::with_capacity(metadata.signatures.len());
    for signature in metadata.signatures {
        if signature.signature_header.is_empty() {
            continue;
        }
        let signer = SignatureHeader::decode(signature.signature_header.clone()).map_err(malformed)?;
        let mut data =
            BytesMut::with_capacity(metadata.value.len() + signature.signature_header.len() + header.len());
        data.put_slice(&metadata.value);
        data.put_slice(&signature.signature_header);
        data.put_slice(&header);
        signed.push(SignedData {
            data: data.freeze(),
            identity: signer.creator,
            signature: signature.signature,
        });
    }
    Ok(signed)
}
