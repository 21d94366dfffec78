use std::collections::VecDeque;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::QueryResponse;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::queryresult::Kv;
use selvedge_session::request::{QueryStateClose, QueryStateNext};

use crate::LedgerError;
use crate::stream::Calls;

/// One key of a range with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
}

/// The keys of a range, in order.
///
/// The peer sends them in pages of 100. The next page is asked for exactly when the last row of a page is taken,
/// as Go's shim does, because the peer records what it has handed out.
#[derive(Debug)]
pub struct StateIterator {
    calls: Calls,
    id: String,
    rows: VecDeque<Bytes>,
    has_more: bool,
}

impl StateIterator {
    pub(crate) fn new(calls: Calls, page: QueryResponse) -> Result<Self, LedgerError> {
        let mut iterator = Self { calls, id: String::new(), rows: VecDeque::new(), has_more: false };
        iterator.take_page(page);
        Ok(iterator)
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// When the peer refuses, its answer cannot be read, or the stream ends.
    pub async fn next(&mut self) -> Result<Option<StateEntry>, LedgerError> {
        let Some(row) = self.rows.pop_front() else { return Ok(None) };
        if self.rows.is_empty() && self.has_more {
            let page = self.calls.call(&QueryStateNext { id: self.id.clone() }).await?;
            self.take_page(page);
        }
        let Kv { key, value, .. } = Kv::decode(row)
            .map_err(|source| LedgerError::Record { request: Type::GetStateByRange.into(), source })?;
        Ok(Some(StateEntry { key, value }))
    }

    /// Tells the peer that no more is wanted, so that it frees the iterator before the transaction ends.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn close(self) -> Result<(), LedgerError> {
        self.calls.call(&QueryStateClose { id: self.id.clone() }).await.map(|_| ())
    }

    fn take_page(&mut self, page: QueryResponse) {
        self.id = page.id;
        self.has_more = page.has_more;
        self.rows = page.results.into_iter().map(|row| row.result_bytes).collect();
    }
}
