//! Blocks reduced to ids, verdicts and the names of events.

use bytes::Bytes;
use selvedge_ledger::block::{TransactionSummary, validation_codes};
use selvedge_proto::common::{Block, HeaderType};
use selvedge_proto::protos::filtered_transaction::Data;
use selvedge_proto::protos::{
    ChaincodeEvent, FilteredBlock, FilteredChaincodeAction, FilteredTransaction, FilteredTransactionActions,
    TxValidationCode,
};

use crate::event::chaincode_event;

/// The filtered form of a block.
///
/// As in Fabric an entry without headers is left out. Where Fabric would give no block at all, since the action of a
/// transaction that is not valid cannot be read, the transaction is listed without an event.
pub(super) fn filtered(block: &Block) -> FilteredBlock {
    let codes = validation_codes(block);
    let entries = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    let mut filtered = FilteredBlock {
        number: block.header.as_ref().map(|header| header.number).unwrap_or_default(),
        ..FilteredBlock::default()
    };
    for (index, entry) in entries.iter().enumerate() {
        let summary = TransactionSummary::of(entry);
        let Some(header_type) = summary.header_type else { continue };
        filtered.channel_id = summary.channel_id;
        let code = codes.get(index).copied().unwrap_or(TxValidationCode::NotValidated);
        filtered.filtered_transactions.push(FilteredTransaction {
            txid: summary.transaction_id,
            r#type: header_type,
            tx_validation_code: code.into(),
            data: (header_type == i32::from(HeaderType::EndorserTransaction)).then(|| actions(entry)),
        });
    }
    filtered
}

fn actions(entry: &Bytes) -> Data {
    let event = chaincode_event(entry).filter(|event| !event.chaincode_id.is_empty());
    let actions = event.into_iter().map(|event| FilteredChaincodeAction {
        chaincode_event: Some(ChaincodeEvent { payload: Bytes::new(), ..event }),
    });
    Data::TransactionActions(FilteredTransactionActions { chaincode_actions: actions.collect() })
}
