//! How large a message may be.

pub(crate) use selvedge_proto::MESSAGE_BYTES;
use selvedge_session::TxKey;

/// The most bytes of a message beside its ids and the contents of its payload and event: tags, lengths and numbers.
const FRAME: usize = 128;

/// The bytes of a transaction's message, not less than it will have.
///
/// A message over the limit would end its stream, and with it every other transaction.
pub(crate) fn size(transaction: &TxKey, payload: usize) -> usize {
    payload.saturating_add(transaction.channel_id.len() + transaction.tx_id.len() + FRAME)
}
