use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Stream;
use prost::{DecodeError, Message};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{QueryResponse, QueryResponseMetadata};
use selvedge_proto::queryresult::{self, Kv};
use selvedge_session::request::{QueryStateClose, QueryStateNext};
use serde::de::DeserializeOwned;

use crate::LedgerError;
use crate::calls::{Calls, Pending};

/// One key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: Bytes,
}

impl StateEntry {
    /// The value, read as JSON.
    ///
    /// # Errors
    /// When the value is not of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, LedgerError> {
        serde_json::from_slice(&self.value)
            .map_err(|source| LedgerError::Json { key: self.key.clone(), source })
    }
}

/// What one transaction made of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyModification {
    /// The transaction.
    pub tx_id: String,
    /// The value that it wrote; empty if it deleted the key.
    pub value: Bytes,
    /// When its client made the proposal, by the client's own clock.
    pub timestamp: Option<Timestamp>,
    /// Whether it deleted the key.
    pub is_delete: bool,
}

/// A page of keys with their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatePage {
    /// The keys, in order.
    pub entries: Vec<StateEntry>,
    /// Where the next page begins; empty at the end.
    pub bookmark: String,
}

/// Keys with their values, in order.
pub type StateIterator = ResultIterator<StateEntry>;

/// What transactions made of a key, the last one first.
pub type HistoryIterator = ResultIterator<KeyModification>;

/// What a peer sends in the pages of a result: [`StateEntry`] and [`KeyModification`].
pub trait ResultRow: Sized + sealed::Sealed {
    #[doc(hidden)]
    fn decode(row: Bytes) -> Result<Self, DecodeError>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::StateEntry {}
    impl Sealed for super::KeyModification {}
}

impl ResultRow for StateEntry {
    fn decode(row: Bytes) -> Result<Self, DecodeError> {
        let Kv { key, value, .. } = Kv::decode(row)?;
        Ok(Self { key, value })
    }
}

impl ResultRow for KeyModification {
    fn decode(row: Bytes) -> Result<Self, DecodeError> {
        let queryresult::KeyModification { tx_id, value, timestamp, is_delete } = Message::decode(row)?;
        Ok(Self { tx_id, value, timestamp, is_delete })
    }
}

/// The rows of a query, one after the other; also a [`Stream`].
///
/// The peer sends them in pages of 100. The next page is asked for exactly when the last row of a page is taken,
/// as Go's shim does, because the peer records what it has handed out. Dropping the iterator tells the peer that no more
/// is wanted, if there is more.
///
/// A peer stops at its own limit (`ledger.state.totalQueryLimit`, 100000 in Fabric's sample configuration) without
/// an error, as if there were no more rows.
///
/// ```
/// use futures_util::TryStreamExt;
/// # use selvedge::{LedgerError, Query};
/// # async fn example(ctx: &Query) -> Result<(), LedgerError> {
/// // Row by row, or as a stream.
/// let mut history = ctx.history("asset1").await?;
/// let last = history.next().await?;
/// let values: Vec<_> = ctx.range("", "").await?.map_ok(|entry| entry.value).try_collect().await?;
/// # Ok(())
/// # }
/// ```
pub struct ResultIterator<T> {
    calls: Calls,
    request: Type,
    id: String,
    rows: VecDeque<Bytes>,
    has_more: bool,
    /// The page that was asked for by a call of `next` which was then dropped.
    page: Option<Pending<QueryStateNext>>,
    row: std::marker::PhantomData<fn() -> T>,
}

impl<T: ResultRow> ResultIterator<T> {
    /// `request` is what the page answers.
    pub(crate) fn new(calls: Calls, request: Type, page: QueryResponse) -> Result<Self, LedgerError> {
        let mut iterator = Self {
            calls,
            request,
            id: String::new(),
            rows: VecDeque::new(),
            has_more: false,
            page: None,
            row: std::marker::PhantomData,
        };
        iterator.take_page(page)?;
        Ok(iterator)
    }

    /// The next row; `None` at the end. A call that is dropped before it is done loses nothing: the next one goes
    /// on where it was.
    ///
    /// # Errors
    /// When the peer refuses, its answer cannot be read, or the stream ends. After a refusal the same row can be
    /// asked for again.
    pub async fn next(&mut self) -> Result<Option<T>, LedgerError> {
        poll_fn(|cx| self.poll_row(cx)).await
    }

    /// All rows that are left, `limit` at most.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn take(mut self, limit: usize) -> Result<Vec<T>, LedgerError> {
        let mut rows = Vec::new();
        while rows.len() < limit
            && let Some(row) = self.next().await?
        {
            rows.push(row);
        }
        Ok(rows)
    }

    /// Tells the peer that no more is wanted, and waits until it knows. Dropping the iterator does the same without
    /// waiting.
    ///
    /// # Errors
    /// When the peer refuses or the stream ends.
    pub async fn close(mut self) -> Result<(), LedgerError> {
        self.has_more = false;
        self.calls.call(&QueryStateClose { id: self.id.clone() }).await.map(|_| ())
    }

    fn poll_row(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, LedgerError>> {
        if self.has_more && self.rows.len() == 1 {
            let page = match &mut self.page {
                Some(page) => page,
                // Never more than one for each iterator.
                None => match self.calls.begin(&QueryStateNext { id: self.id.clone() }) {
                    Ok(page) => self.page.insert(page),
                    Err(error) => return Poll::Ready(Err(error)),
                },
            };
            let page = ready!(page.poll(cx));
            self.page = None;
            let last = self.rows.pop_front();
            if let Err(error) = page.and_then(|page| self.take_page(page)) {
                self.rows.extend(last);
                return Poll::Ready(Err(error));
            }
            return Poll::Ready(last.map(|row| self.row(row)).transpose());
        }
        let row = self.rows.pop_front();
        Poll::Ready(row.map(|row| self.row(row)).transpose())
    }

    fn row(&self, row: Bytes) -> Result<T, LedgerError> {
        T::decode(row).map_err(|source| LedgerError::Record { request: self.request.into(), source })
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

impl<T: ResultRow> Stream for ResultIterator<T> {
    type Item = Result<T, LedgerError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_row(cx).map(Result::transpose)
    }
}

impl<T> Drop for ResultIterator<T> {
    fn drop(&mut self) {
        if self.has_more {
            // The transaction may be over; then the peer has closed all of its iterators.
            drop(self.calls.begin(&QueryStateClose { id: std::mem::take(&mut self.id) }));
        }
    }
}

impl<T> fmt::Debug for ResultIterator<T> {
    /// Without the rows, which may be nobody else's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultIterator")
            .field("id", &self.id)
            .field("rows", &self.rows.len())
            .field("has_more", &self.has_more)
            .finish_non_exhaustive()
    }
}

/// The page that a paged query is answered with. A page size of 0 without a bookmark counts as no paging: then the peer
/// sends everything, in its own pages.
pub(crate) async fn page(
    calls: &Calls,
    request: Type,
    response: QueryResponse,
) -> Result<StatePage, LedgerError> {
    let QueryResponseMetadata { bookmark, .. } = QueryResponseMetadata::decode(response.metadata.clone())
        .map_err(|source| LedgerError::Record { request: request.into(), source })?;
    let entries = StateIterator::new(calls.clone(), request, response)?.take(usize::MAX).await?;
    Ok(StatePage { entries, bookmark })
}
