use selvedge_proto::protos::QueryResponse;
use selvedge_session::query::{self, Limits};
use selvedge_session::request::{GetQueryResult, GetStateByRange};
use uuid::Uuid;

use super::Context;

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
            let results = self.transaction.state.results(namespace, range);
            return self.iterators.open(id, results, paging).map_err(|error| error.to_string());
        }
        if let Some(paging) = paging.filter(|paging| query::is_paged(Some(paging))) {
            let start = if paging.bookmark.is_empty() { &start_key } else { &paging.bookmark };
            let range = self.with(|state| state.paged_range(namespace, start, &end_key))?;
            let results = self.transaction.state.results(namespace, range);
            return query::page(id, results, Limits::default(), paging, super::Results::bookmark);
        }
        let range = self.with(|state| Ok(state.range(namespace, &start_key, &end_key)))?;
        let results = self.transaction.state.results(namespace, range);
        self.iterators.open(id, results, paging).map_err(|error| error.to_string())
    }

    pub(super) fn next(&mut self, id: &str) -> Result<QueryResponse, String> {
        self.iterators.next(id).map_err(|error| error.to_string())
    }

    /// As on a Fabric peer whose state database is LevelDB.
    pub(super) fn rich_query(&mut self, request: &GetQueryResult) -> Result<QueryResponse, String> {
        if !request.collection.is_empty() {
            self.may_read(&request.collection)?;
        }
        Err("ExecuteQuery not supported for leveldb".to_owned())
    }
}
