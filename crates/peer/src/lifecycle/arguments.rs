//! Decodes what clients pass to the functions of `_lifecycle`.

use bytes::Bytes;
use prost::Message;

use super::error::LifecycleError;
use crate::endorser::INVALID_WIRE;
use crate::wire::each_field;

/// The longest argument of a function other than `InstallChaincode`, in bytes. Definitions have a few thousand.
pub(super) const MAX_ARGUMENT_BYTES: usize = 1 << 20;
/// The most collections of a definition.
pub(super) const MAX_COLLECTIONS: usize = 4096;

/// The field of a definition's collections in all messages that have one.
const COLLECTIONS: u32 = 7;

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
    if bytes.len() <= MAX_ARGUMENT_BYTES {
        let mut count = 0_usize;
        let counted = each_field(bytes, |field, content| {
            if field != COLLECTIONS {
                return Ok(());
            }
            each_field(content, |_, _| {
                count += 1;
                Ok(())
            })
        });
        counted.map_err(|error| malformed(error.to_string()))?;
        if count > MAX_COLLECTIONS {
            return Err(malformed(format!("{count} collections, more than {MAX_COLLECTIONS}")));
        }
    }
    decode(function, bytes)
}
