use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;

use super::{Position, Query, QueryError, document};

/// The most bytes of the places of results that a search may hold.
const MOST_BYTES: usize = 64 << 20;

/// The bookmark of a first page without results, as CouchDB writes it.
const NO_BOOKMARK: &str = "nil";

/// An execution of a query. It holds the places of the results, not their values: of a sorted query the first ones of
/// what was offered so far, of another one those that were found.
#[derive(Debug)]
pub struct Search {
    query: Arc<Query>,
    /// How many results there can be at most, those that are skipped included.
    limit: usize,
    found: BinaryHeap<Ranked>,
    bytes: usize,
}

/// What a search found.
#[derive(Debug, Default, PartialEq)]
pub struct Matches {
    /// The keys of the results in their order.
    pub keys: Vec<String>,
    /// Where the next page begins: behind the last result. Without one it is the bookmark of this page, or `nil`.
    pub bookmark: String,
}

/// A result's place, ordered as the query says.
#[derive(Debug)]
struct Ranked {
    query: Arc<Query>,
    position: Position,
}

impl Search {
    /// A search that gives at most `limit` results.
    pub fn new(query: Arc<Query>, limit: usize) -> Self {
        let limit = limit.saturating_add(usize::try_from(query.skip).unwrap_or(usize::MAX));
        Self { query, limit, found: BinaryHeap::new(), bytes: 0 }
    }

    /// Offers the next key in ascending order and its value. Says whether more keys can change the results.
    ///
    /// # Errors
    /// [`QueryError::TooManyResults`] if the places of the results take too much memory.
    pub fn offer(&mut self, key: &str, value: &[u8]) -> Result<bool, QueryError> {
        let is_sorted = !self.query.sort.is_empty();
        if !is_sorted && self.found.len() >= self.limit {
            return Ok(false);
        }
        let Some(position) = self.position(key, value) else { return Ok(true) };
        self.bytes += position.weight();
        self.found.push(Ranked { query: Arc::clone(&self.query), position });
        if self.found.len() > self.limit
            && let Some(last) = self.found.pop()
        {
            self.bytes -= last.position.weight();
        }
        if self.bytes > MOST_BYTES {
            return Err(QueryError::TooManyResults { limit: MOST_BYTES });
        }
        Ok(is_sorted || self.found.len() < self.limit)
    }

    /// Ends the search.
    pub fn finish(self) -> Matches {
        let skip = usize::try_from(self.query.skip).unwrap_or(usize::MAX);
        let found = self.found.into_sorted_vec();
        let bookmark = match found.last() {
            Some(last) => last.position.to_bookmark(),
            None if self.query.bookmark.is_empty() => NO_BOOKMARK.to_owned(),
            None => self.query.bookmark.clone(),
        };
        Matches { keys: found.into_iter().skip(skip).map(|found| found.position.key).collect(), bookmark }
    }

    /// The place of a document that matches and lies behind the bookmark.
    fn position(&self, key: &str, value: &[u8]) -> Option<Position> {
        let document = document::read(key, value).filter(|document| self.query.selector.matches(document))?;
        let position = Position { values: self.query.sort.values(&document)?, key: key.to_owned() };
        let is_behind = |after: &Position| self.query.compare(&position, after).is_gt();
        self.query.after.as_ref().is_none_or(is_behind).then_some(position)
    }
}

impl Query {
    fn compare(&self, a: &Position, b: &Position) -> Ordering {
        self.sort.compare((&a.values, &a.key), (&b.values, &b.key))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        self.query.compare(&self.position, &other.position)
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ranked {}
