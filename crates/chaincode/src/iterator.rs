use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::QueryResponse;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::queryresult::Kv;
use selvedge_session::request::{QueryStateClose, QueryStateNext};

use crate::LedgerError;
use crate::calls::{Calls, Pending};

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
///
/// A peer stops at its own limit (`ledger.state.totalQueryLimit`, 100000 in Fabric's sample configuration) without
/// an error, as if there were no more keys.
pub struct StateIterator {
    calls: Calls,
    id: String,
    rows: VecDeque<Bytes>,
    has_more: bool,
    /// The page that was asked for by a call of `next` which was then dropped.
    page: Option<Pending<QueryStateNext>>,
}

impl StateIterator {
    pub(crate) fn new(calls: Calls, page: QueryResponse) -> Result<Self, LedgerError> {
        let mut iterator =
            Self { calls, id: String::new(), rows: VecDeque::new(), has_more: false, page: None };
        iterator.take_page(page)?;
        Ok(iterator)
    }

    /// The next entry; `None` at the end. A call that is dropped before it is done loses nothing: the next one goes
    /// on where it was.
    ///
    /// # Errors
    /// When the peer refuses, its answer cannot be read, or the stream ends. After a refusal the same entry can be
    /// asked for again.
    pub async fn next(&mut self) -> Result<Option<StateEntry>, LedgerError> {
        if self.has_more && self.rows.len() == 1 {
            let page = match &mut self.page {
                Some(page) => page,
                None => {
                    let request = QueryStateNext { id: self.id.clone() };
                    self.page.insert(self.calls.begin(&request).await?)
                }
            };
            let page = page.wait().await;
            self.page = None;
            let last = self.rows.pop_front();
            if let Err(error) = page.and_then(|page| self.take_page(page)) {
                self.rows.extend(last);
                return Err(error);
            }
            return last.map(entry).transpose();
        }
        self.rows.pop_front().map(entry).transpose()
    }

    /// Tells the peer that no more is wanted, so that it frees the iterator before the transaction ends.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn close(self) -> Result<(), LedgerError> {
        self.calls.call(&QueryStateClose { id: self.id.clone() }).await.map(|_| ())
    }

    fn take_page(&mut self, page: QueryResponse) -> Result<(), LedgerError> {
        // The peer promises more only with a full page; taking this one would end the range too early.
        if page.has_more && page.results.is_empty() {
            return Err(LedgerError::EmptyPage { id: page.id });
        }
        self.id = page.id;
        self.has_more = page.has_more;
        self.rows = page.results.into_iter().map(|row| row.result_bytes).collect();
        Ok(())
    }
}

impl fmt::Debug for StateIterator {
    /// Without the entries, which may be nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateIterator")
            .field("id", &self.id)
            .field("rows", &self.rows.len())
            .field("has_more", &self.has_more)
            .finish_non_exhaustive()
    }
}

fn entry(row: Bytes) -> Result<StateEntry, LedgerError> {
    let Kv { key, value, .. } = Kv::decode(row)
        .map_err(|source| LedgerError::Record { request: Type::GetStateByRange.into(), source })?;
    Ok(StateEntry { key, value })
}
