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
        let summary = TransactionSummary::of(bytes);
        let candidate = match (code, summary.header_type.map(HeaderType::try_from)) {
            (TxValidationCode::Valid, Some(Ok(HeaderType::EndorserTransaction))) => match read_set(bytes) {
                Ok(set) => Candidate { code, set: Some(set), private },
                Err(error) => Candidate::invalid(error.code),
            },
            (TxValidationCode::Valid, None) => Candidate::invalid(TxValidationCode::BadPayload),
            _ => Candidate { code, set: None, private: None },
        };
        let id = Some(summary.transaction_id).filter(|id| (1..=LONGEST_ID).contains(&id.len()));
        Self { id, candidate }
    }
}

/// What an endorsed transaction read and wrote.
pub(super) fn read_set(bytes: &Bytes) -> Result<ReadWriteSet, ViewError> {
    let action = TransactionView::parse(bytes)?.endorsed_action()?.chaincode_action()?;
    ReadWriteSet::parse(&action.results)
        .map_err(|error| ViewError { code: TxValidationCode::BadRwset, reason: error.to_string() })
}
