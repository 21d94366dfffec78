use std::sync::Arc;

use selvedge_ledger::StoreError;
use selvedge_proto::protos::QueryResponse;
use selvedge_session::query;
use selvedge_session::request::{GetHistoryForKey, GetQueryResult, GetStateByRange};
use uuid::Uuid;

use super::Context;
use crate::endorser::state::{RangeResults, Results, changes};

/// The open queries of a chaincode.
pub(super) type Iterators = query::Iterators<Results>;

impl Context<'_> {
    pub(super) fn range(&mut self, request: GetStateByRange) -> Result<QueryResponse, String> {
        let GetStateByRange { start_key, end_key, collection, paging } = request;
        let paging = paging.as_ref();
        let namespace = self.namespace;
        let id = Uuid::new_v4().to_string();
        if !collection.is_empty() {
            // Fabric does not page collections, but a page size still limits them.
            self.may_read(&collection)?;
            let range =
                self.with(|state| state.private_range(namespace, &collection, &start_key, &end_key))?;
            let results = Box::new(self.transaction.state.range(namespace, range));
            return self.iterators.open(id, results, paging).map_err(|error| error.to_string());
        }
        if let Some(paging) = paging.filter(|paging| query::is_paged(Some(paging))) {
            let start = if paging.bookmark.is_empty() { &start_key } else { &paging.bookmark };
            let range = self.with(|state| state.paged_range(namespace, start, &end_key))?;
            let results = self.transaction.state.range(namespace, range);
            let page = query::page(id, results, self.executor.queries, paging, RangeResults::bookmark);
            return page.map_err(|error| error.to_string());
        }
        let range = self.with(|state| Ok(state.range(namespace, &start_key, &end_key)))?;
        let results = Box::new(self.transaction.state.range(namespace, range));
        self.iterators.open(id, results, paging).map_err(|error| error.to_string())
    }

    /// Reads the changes from the disk, as [`next`](Self::next) may.
    pub(super) async fn history(&mut self, request: GetHistoryForKey) -> Result<QueryResponse, String> {
        let ledger = Arc::clone(self.transaction.channel.ledger());
        let height = self.with(|state| Ok(state.snapshot().height()))?;
        let namespace = self.namespace.to_owned();
        self.off_thread(move |iterators| {
            let history = ledger.history(&namespace, &request.key, height).map_err(chain)?;
            let id = Uuid::new_v4().to_string();
            iterators.open(id, changes(history), None).map_err(|error| error.to_string())
        })
        .await
    }

    /// The next batch of a query, whichever kind it is.
    pub(super) async fn next(&mut self, id: String) -> Result<QueryResponse, String> {
        self.off_thread(move |iterators| iterators.next(&id).map_err(|error| error.to_string())).await
    }

    /// Reads results where waiting for the disk keeps no other transaction waiting.
    async fn off_thread<T: Send + 'static>(
        &mut self,
        read: impl FnOnce(&mut Iterators) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let mut iterators = std::mem::replace(&mut self.iterators, Iterators::new(self.executor.queries));
        let reading = tokio::task::spawn_blocking(move || {
            let answer = read(&mut iterators);
            (iterators, answer)
        });
        let (iterators, answer) = reading.await.map_err(|error| error.to_string())?;
        self.iterators = iterators;
        answer
    }

    /// Answers a rich query, or refuses it as a Fabric peer whose state database is LevelDB. The whole state may have to
    /// be looked at: that is done on other threads, in steps, and ends with the step in which the transaction does.
    pub(super) async fn rich_query(&mut self, request: GetQueryResult) -> Result<QueryResponse, String> {
        let GetQueryResult { query, collection, paging } = request;
        if !collection.is_empty() {
            self.may_read(&collection)?;
        }
        if !self.executor.rich_queries {
            return Err("ExecuteQuery not supported for leveldb".to_owned());
        }
        let namespace = self.namespace;
        let page = paging.as_ref().filter(|paging| collection.is_empty() && query::is_paged(Some(paging)));
        let limits = self.executor.queries;
        let limit = query::total_results(limits.total_results, paging.as_ref());
        let range = self.with(|state| match page {
            _ if !collection.is_empty() => state.private_rich_query(namespace, &collection, &query, limit),
            Some(page) => state.paged_rich_query(namespace, &query, &page.bookmark, limit),
            None => state.rich_query(namespace, &query, limit),
        })?;
        let results = self.transaction.state.range(namespace, range);
        let places = loop {
            let state = self.transaction.state.clone();
            let step = move |_: &mut Iterators| state.with(|simulator| simulator.search(range));
            if let Some(places) = self.off_thread(step).await? {
                break places;
            }
        };
        self.transaction.state.charge(places)?;
        let (id, page) = (Uuid::new_v4().to_string(), page.cloned());
        self.off_thread(move |iterators| {
            let answer = match page {
                Some(page) => query::page(id, results, limits, &page, RangeResults::bookmark),
                None => iterators.open(id, Box::new(results), paging.as_ref()),
            };
            answer.map_err(|error| error.to_string())
        })
        .await
    }
}

/// An error of the ledger with its causes, for a chaincode.
fn chain(error: StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
