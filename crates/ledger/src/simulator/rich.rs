use std::sync::Arc;
use std::vec;

use super::cursor::Cursor;
use super::{KeyValue, RangeId, SimulationError, Simulator, Source};
use crate::query::{Query, Search};
use crate::{Error, Snapshot, Space, Version};

/// How many keys of the snapshot one step of a search looks at.
const STEP: usize = 1000;

/// After how many bytes of values a step ends sooner.
const STEP_BYTES: usize = 1 << 20;

/// A rich query over one space: first the search, then its results.
pub(super) struct RichQuery {
    space: Space,
    query: Arc<Query>,
    stage: Stage,
}

enum Stage {
    Searching {
        cursor: Cursor,
        search: Search,
    },
    Found {
        keys: vec::IntoIter<String>,
        bookmark: String,
    },
    /// The search failed; it has no results.
    Failed,
}

impl Simulator {
    /// Begins a rich query of at most `limit` results. Each result that [`next`](Self::next) hands out is recorded as a
    /// read of its key; documents that match only later go unnoticed.
    ///
    /// # Errors
    /// When the query is refused.
    pub fn rich_query(
        &mut self,
        namespace: &str,
        query: &str,
        limit: usize,
    ) -> Result<RangeId, SimulationError> {
        self.open_query(namespace, Space::public(namespace), Query::parse(query, "")?, limit)
    }

    /// Begins a paged rich query, which makes the transaction read-only.
    ///
    /// # Errors
    /// [`SimulationError::PagedAfterWrite`] if the transaction wrote, or when the query or the bookmark is refused.
    pub fn paged_rich_query(
        &mut self,
        namespace: &str,
        query: &str,
        bookmark: &str,
        limit: usize,
    ) -> Result<RangeId, SimulationError> {
        self.before_page()?;
        self.open_query(namespace, Space::public(namespace), Query::parse(query, bookmark)?, limit)
    }

    /// Begins a rich query over private values, which makes the transaction read-only and is not recorded.
    ///
    /// # Errors
    /// [`SimulationError::PrivateQueryAfterWrite`] if the transaction wrote, or when there is no such collection or the
    /// query is refused.
    pub fn private_rich_query(
        &mut self,
        namespace: &str,
        collection: &str,
        query: &str,
        limit: usize,
    ) -> Result<RangeId, SimulationError> {
        self.before_private_query(namespace, collection)?;
        self.open_query(namespace, Space::private(namespace, collection), Query::parse(query, "")?, limit)
    }

    /// Looks at the next keys for a rich query. Says how many bytes the places of its results take once it has seen
    /// them all, and `None` before; the caller may do something else in between. [`next`](Self::next) and
    /// [`bookmark`](Self::bookmark) do what is left of a search.
    ///
    /// # Errors
    /// [`SimulationError::UnknownRange`] if the query was closed, or when the search fails.
    pub fn search(&mut self, query: RangeId) -> Result<Option<usize>, SimulationError> {
        match self.ranges.get_mut(query.0).and_then(|open| open.source.as_mut()) {
            Some(Source::Query(query)) => query.step(self.snapshot.as_ref()),
            Some(Source::Range(_)) => Ok(Some(0)),
            None => Err(SimulationError::UnknownRange),
        }
    }

    fn open_query(
        &mut self,
        namespace: &str,
        space: Space,
        query: Query,
        limit: usize,
    ) -> Result<RangeId, SimulationError> {
        let query = RichQuery::new(space, query, limit);
        Ok(self.push(None, namespace, Source::Query(Box::new(query))))
    }
}

impl RichQuery {
    fn new(space: Space, query: Query, limit: usize) -> Self {
        let query = Arc::new(query);
        let cursor = Cursor::new(space.clone(), &query.start(), "");
        let search = Search::new(Arc::clone(&query), limit);
        Self { space, query, stage: Stage::Searching { cursor, search } }
    }

    /// Whether its results are recorded.
    pub(super) fn is_public(&self) -> bool {
        self.space.collection().is_none()
    }

    /// The next result with its version.
    pub(super) fn next(
        &mut self,
        snapshot: &dyn Snapshot,
    ) -> Result<Option<(KeyValue, Version)>, SimulationError> {
        while self.step(snapshot)?.is_none() {}
        let Stage::Found { keys, .. } = &mut self.stage else { return Ok(None) };
        let Some(key) = keys.next() else { return Ok(None) };
        let stored = snapshot.get(&self.space, key.as_bytes())?.ok_or_else(|| Error::Corrupt {
            what: format!("a key of {} is there in a range and absent by itself", self.space),
        })?;
        let value = self.query.result(&key, stored.value);
        Ok(Some((KeyValue { key, value }, stored.version)))
    }

    /// Where the next page begins.
    pub(super) fn into_bookmark(mut self, snapshot: &dyn Snapshot) -> Result<String, SimulationError> {
        while self.step(snapshot)?.is_none() {}
        match self.stage {
            Stage::Found { bookmark, .. } => Ok(bookmark),
            Stage::Searching { .. } | Stage::Failed => Err(SimulationError::UnknownRange),
        }
    }

    fn step(&mut self, snapshot: &dyn Snapshot) -> Result<Option<usize>, SimulationError> {
        let (mut cursor, mut search) = match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Searching { cursor, search } => (cursor, search),
            Stage::Failed => return Err(SimulationError::UnknownRange),
            found @ Stage::Found { .. } => {
                self.stage = found;
                return Ok(Some(0));
            }
        };
        let (mut keys, mut bytes) = (0, 0);
        while keys < STEP && bytes < STEP_BYTES {
            let more = match cursor.next(snapshot)? {
                Some((key, stored)) => {
                    (keys, bytes) = (keys + 1, bytes + stored.value.len());
                    search.offer(&key, &stored.value)?
                }
                None => false,
            };
            if !more {
                let matches = search.finish();
                let bytes = matches.keys.iter().map(|key| size_of::<String>() + key.len()).sum();
                self.stage = Stage::Found { keys: matches.keys.into_iter(), bookmark: matches.bookmark };
                return Ok(Some(bytes));
            }
        }
        self.stage = Stage::Searching { cursor, search };
        Ok(None)
    }
}
