//! Decodes what clients pass to the functions of `_lifecycle`.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::wire::{Shape, has_at_most};

use super::error::LifecycleError;
use crate::endorser::INVALID_WIRE;

/// The longest argument of a function other than `InstallChaincode`, in bytes. Definitions have a few thousand.
pub(super) const MAX_ARGUMENT_BYTES: usize = 1 << 20;
/// The most collections of a definition, its other fields included.
pub(super) const MAX_COLLECTIONS: usize = 4096;

/// All messages that have a definition have its collections in this field.
const DEFINITION: Shape = Shape(&[(7, &Shape::FLAT)]);

/// Decodes the argument of a function that takes no definition.
pub(super) fn decode<M: Message + Default>(
    function: &'static str,
    bytes: &Bytes,
) -> Result<M, LifecycleError> {
    let malformed = |reason| LifecycleError::Argument { function, reason };
    if bytes.len() > MAX_ARGUMENT_BYTES {
        return Err(malformed(format!("{} bytes, more than {MAX_ARGUMENT_BYTES}", bytes.len())));
    }
    M::decode(bytes.clone()).map_err(|_| malformed(INVALID_WIRE.to_owned()))
}

/// Decodes the argument of a function that takes a definition. Empty collections need two bytes here and a hundred
/// times as many in memory, so they are counted before they are made.
pub(super) fn decode_definition<M: Message + Default>(
    function: &'static str,
    bytes: &Bytes,
) -> Result<M, LifecycleError> {
    let malformed = |reason| LifecycleError::Argument { function, reason };
    if bytes.len() <= MAX_ARGUMENT_BYTES && !has_at_most(MAX_COLLECTIONS, bytes, &DEFINITION) {
        return Err(malformed(format!("more than {MAX_COLLECTIONS} collections")));
    }
    decode(function, bytes)
}
