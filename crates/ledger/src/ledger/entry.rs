use bytes::Bytes;
use selvedge_proto::common::HeaderType;
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::TxPvtReadWriteSet;

use crate::block::{TransactionSummary, TransactionView, ViewError};
use crate::mvcc::Candidate;
use crate::rwset::ReadWriteSet;

/// Longer transaction ids are not indexed: a valid one has 64 characters.
const LONGEST_ID: usize = 128;

/// What the ledger needs of one entry of a block.
pub(super) struct Entry {
    /// The transaction's id, if it can be read and may be indexed.
    pub(super) id: Option<String>,
    /// The transaction as the rules of validation take it.
    pub(super) candidate: Candidate,
}

impl Entry {
    /// Reads an entry that other checks gave this verdict. One that they let pass though it cannot be read gets
    /// the verdict that belongs to that.
    pub(super) fn read(bytes: &Bytes, code: TxValidationCode, private: Option<TxPvtReadWriteSet>) -> Self {
        let (id, candidate) = match code {
            TxValidationCode::Valid => match TransactionView::parse(bytes) {
                Ok(view) => (view.channel_header.tx_id.clone(), candidate(&view, private)),
                Err(error) => (TransactionSummary::of(bytes).transaction_id, Candidate::invalid(error.code)),
            },
            code => (TransactionSummary::of(bytes).transaction_id, Candidate::invalid(code)),
        };
        Self { id: Some(id).filter(|id| (1..=LONGEST_ID).contains(&id.len())), candidate }
    }
}

fn candidate(view: &TransactionView, private: Option<TxPvtReadWriteSet>) -> Candidate {
    let code = TxValidationCode::Valid;
    match view.header_type {
        HeaderType::EndorserTransaction => match read_set(view) {
            Ok(set) => Candidate { code, set: Some(set), private },
            Err(error) => Candidate::invalid(error.code),
        },
        _ => Candidate { code, set: None, private: None },
    }
}

fn read_set(view: &TransactionView) -> Result<ReadWriteSet, ViewError> {
    let action = view.endorsed_action()?.chaincode_action()?;
    ReadWriteSet::parse(&action.results)
        .map_err(|error| ViewError { code: TxValidationCode::BadRwset, reason: error.to_string() })
}
