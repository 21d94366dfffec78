use bytes::Bytes;
use selvedge_ledger::block::{EndorsedAction, TransactionView};
use selvedge_proto::protos::ChaincodeEvent;

/// The event of a block's entry. `None` if the entry has none, is no endorsed transaction, or cannot be read, which a
/// valid transaction always can.
pub(crate) fn chaincode_event(entry: &Bytes) -> Option<ChaincodeEvent> {
    let action = TransactionView::parse(entry).ok()?.endorsed_action().ok()?.chaincode_action().ok()?;
    EndorsedAction::event(&action).ok()?
}
