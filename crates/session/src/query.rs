//! The peer's bookkeeping of a transaction's open iterators.
//!
//! A query without paging is answered in batches of [`BATCH`] results. The peer looks one result ahead, so
//! that `has_more` is true only if there is a next batch; the result it has read is the first of that batch.
//! With the last batch the iterator is closed. A query with paging is answered at once, as one page of any
//! length.
//!
//! All results of one iterator count against the total limit (`ledger.state.totalQueryLimit`). When it is
//! reached the results end there, without an error and without another read.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::MESSAGE_BYTES;
use selvedge_proto::protos::{QueryMetadata, QueryResponse, QueryResponseMetadata, QueryResultBytes};

/// The most results in one answer to a query without paging; Fabric's peer cannot be told another number.
pub const BATCH: usize = 100;

/// The most bytes that the payload of a reply may have: what a message has room for beside both ids at their longest.
///
/// A Fabric peer that cannot send a reply because of its size fails the transaction, and ends the stream with it. Here
/// the request is refused, as soon as it is known that the reply would be too large.
pub const REPLY_BYTES: usize = MESSAGE_BYTES - 4096;

/// What an element of a reply takes on the wire beside its content, at most.
const ELEMENT_BYTES: usize = 16;

/// A reply would have more than [`REPLY_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the reply exceeds the limit of {MESSAGE_BYTES} bytes for a message; ask for less at a time, for example with pages"
)]
pub struct ReplyTooLarge;

/// Counts the bytes of a reply while it is put together, so that it is refused before its elements fill the memory.
#[derive(Debug)]
pub struct ReplySize {
    left: usize,
}

impl Default for ReplySize {
    fn default() -> Self {
        Self { left: REPLY_BYTES }
    }
}

impl ReplySize {
    /// Counts one more element with its content of this many bytes.
    ///
    /// # Errors
    /// When the reply would be too large with it.
    pub fn add(&mut self, bytes: usize) -> Result<(), ReplyTooLarge> {
        let cost = bytes.saturating_add(ELEMENT_BYTES);
        self.left = self.left.checked_sub(cost).ok_or(ReplyTooLarge)?;
        Ok(())
    }
}

/// How much the queries of one transaction may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most results of one iterator (`ledger.state.totalQueryLimit`, 100000 in Fabric's sample
    /// configuration).
    pub total_results: usize,
    /// The most iterators that are open at the same time.
    pub open_iterators: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total_results: 100_000, open_iterators: 1024 }
    }
}

/// Why a query has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError<E> {
    /// QUERY_STATE_NEXT names no open iterator. The text is Fabric's.
    #[error("query iterator not found")]
    NotFound,
    /// The id names an open iterator already.
    #[error("query iterator exists")]
    Exists,
    /// Too many iterators are open.
    #[error("{limit} query iterators are open, which is the limit of a transaction")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The results of one answer are too large for a message. The iterator is closed.
    #[error(transparent)]
    TooLarge(#[from] ReplyTooLarge),
    /// A result could not be read. The iterator is closed.
    #[error("{0}")]
    Results(E),
}

/// The open iterators of one transaction, by id. Dropping it closes them, which the peer does when the
/// transaction ends.
///
/// `I` gives the results as they go on the wire: encoded `KV` or `KeyModification` messages. It must not be
/// polled after its end or an error, and is not.
#[derive(Debug)]
pub struct Iterators<I> {
    limits: Limits,
    open: HashMap<String, Open<I>>,
}

#[derive(Debug)]
struct Open<I> {
    results: I,
    /// The result that was read ahead.
    ahead: Option<Bytes>,
    /// The results read so far.
    count: usize,
}

impl<I, E> Iterators<I>
where
    I: Iterator<Item = Result<Bytes, E>>,
{
    /// No open iterators.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: HashMap::new() }
    }

    /// The number of open iterators.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no iterator is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Answers a query without paging with its first batch. `id` names the iterator within the transaction;
    /// Fabric uses random UUIDs.
    ///
    /// `paging` is what the request said although it is not paged, as happens with collections: a page size
    /// then still limits this first answer, and with it the whole query.
    ///
    /// # Errors
    /// When too many iterators are open, the id is taken, or a result cannot be read.
    pub fn open(
        &mut self,
        id: impl Into<String>,
        results: I,
        paging: Option<&QueryMetadata>,
    ) -> Result<QueryResponse, QueryError<E>> {
        let id = id.into();
        if self.open.contains_key(&id) {
            return Err(QueryError::Exists);
        }
        if self.open.len() >= self.limits.open_iterators {
            return Err(QueryError::TooMany { limit: self.limits.open_iterators });
        }
        let total = total_results(self.limits.total_results, paging);
        self.batch(id, Open { results, ahead: None, count: 0 }, total)
    }

    /// Answers QUERY_STATE_NEXT with the next batch.
    ///
    /// # Errors
    /// When no such iterator is open, or a result cannot be read.
    pub fn next(&mut self, id: &str) -> Result<QueryResponse, QueryError<E>> {
        let (id, open) = self.open.remove_entry(id).ok_or(QueryError::NotFound)?;
        self.batch(id, open, self.limits.total_results)
    }

    /// Answers QUERY_STATE_CLOSE. It succeeds whatever the id names.
    pub fn close(&mut self, id: &str) -> QueryResponse {
        self.open.remove(id);
        QueryResponse { id: id.to_owned(), ..Default::default() }
    }

    /// Reads one batch and keeps the iterator if there is more.
    fn batch(&mut self, id: String, mut open: Open<I>, total: usize) -> Result<QueryResponse, QueryError<E>> {
        let mut size = ReplySize::default();
        let mut batch: Vec<_> = open.ahead.take().into_iter().collect();
        for result in &batch {
            size.add(result.len())?;
        }
        while open.count < total
            && let Some(result) = open.results.next()
        {
            let result = result.map_err(QueryError::Results)?;
            open.count += 1;
            if batch.len() == BATCH {
                open.ahead = Some(result);
                self.open.insert(id.clone(), open);
                return Ok(response(id, batch, true));
            }
            size.add(result.len())?;
            batch.push(result);
        }
        Ok(response(id, batch, false))
    }
}

/// Whether a request's paging asks for a page. A page size of zero without a bookmark does not; a negative
/// one does.
pub fn is_paged(paging: Option<&QueryMetadata>) -> bool {
    paging.is_some_and(|paging| paging.page_size != 0 || !paging.bookmark.is_empty())
}

/// The most results that one query may have: the total limit, or the page size if that is less. Page sizes of
/// zero and below do not limit.
pub fn total_results(limit: usize, paging: Option<&QueryMetadata>) -> usize {
    match paging.map(|paging| usize::try_from(paging.page_size)) {
        Some(Ok(size)) if size > 0 => limit.min(size),
        _ => limit,
    }
}

/// Answers a query with paging: all results of the page at once, and where the next page begins.
///
/// `bookmark` is called after the last result was read; for ranges it is the next key that the page does not
/// hold, or empty at the end.
///
/// # Errors
/// When a result or the bookmark cannot be read, or the page is too large for a message: Fabric cuts no page short.
pub fn page<I, E>(
    id: impl Into<String>,
    mut results: I,
    limits: Limits,
    paging: &QueryMetadata,
    bookmark: impl FnOnce(I) -> Result<String, E>,
) -> Result<QueryResponse, QueryError<E>>
where
    I: Iterator<Item = Result<Bytes, E>>,
{
    let total = total_results(limits.total_results, Some(paging));
    let mut size = ReplySize::default();
    let mut page = Vec::new();
    for result in results.by_ref().take(total) {
        let result = result.map_err(QueryError::Results)?;
        size.add(result.len())?;
        page.push(result);
    }
    let metadata = QueryResponseMetadata {
        fetched_records_count: i32::try_from(page.len()).unwrap_or(i32::MAX),
        bookmark: bookmark(results).map_err(QueryError::Results)?,
    };
    let mut response = response(id.into(), page, false);
    response.metadata = metadata.encode_to_vec().into();
    Ok(response)
}

fn response(id: String, results: Vec<Bytes>, has_more: bool) -> QueryResponse {
    let results = results.into_iter().map(|result_bytes| QueryResultBytes { result_bytes }).collect();
    QueryResponse { results, has_more, id, metadata: Bytes::new() }
}
