//! What a chaincode may ask for while it runs: the requests of its stream, answered from the simulator.

mod collections;
mod query;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge_identity::{ChannelConfig, Identity};
use selvedge_ledger::simulator::{Metadata, SimulationError, Simulator};
use selvedge_proto::protos::write_record::Type as WriteType;
use selvedge_proto::protos::{
    GetStateMultipleResult, SignedProposal, StateMetadata, StateMetadataResult, WriteRecord,
};
use selvedge_session::query::{BATCH, ReplySize, is_paged, total_results};
use selvedge_session::request::{
    AnyRequest, DelState, GetPrivateDataHash, GetState, GetStateMetadata, GetStateMultiple,
    PurgePrivateState, PutState, PutStateMetadata, Request, WriteBatchState,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use self::collections::Permissions;
use self::query::Iterators;
use super::executor::Executor;
use super::state::{OVERHEAD, SharedState};
use crate::channel::Channel;
use crate::invocation::TransactionContext;

/// Fabric's answer to private data operations of an initialisation.
const NOT_IN_INIT: &str = "private data APIs are not allowed in chaincode Init()";

/// A transaction on one channel, whichever of its chaincodes runs.
#[derive(Clone)]
pub(super) struct Transaction {
    pub(super) channel: Arc<Channel>,
    pub(super) config: Arc<ChannelConfig>,
    pub(super) tx_id: String,
    pub(super) proposal: SignedProposal,
    /// The chaincode that the client called.
    pub(super) chaincode: String,
    pub(super) creator: Arc<Identity>,
    pub(super) state: SharedState,
}

/// One chaincode's part in a transaction.
pub(super) struct Context<'a> {
    transaction: &'a Transaction,
    executor: &'a Executor,
    namespace: &'a str,
    is_init: bool,
    iterators: Iterators,
    permissions: Permissions,
}

impl<'a> Context<'a> {
    pub(super) fn new(
        transaction: &'a Transaction,
        executor: &'a Executor,
        namespace: &'a str,
        is_init: bool,
    ) -> Self {
        Self {
            transaction,
            executor,
            namespace,
            is_init,
            iterators: Iterators::new(executor.queries),
            permissions: Permissions::default(),
        }
    }

    fn get(&mut self, GetState { key, collection }: GetState) -> Result<Bytes, String> {
        let namespace = self.namespace;
        let value = if collection.is_empty() {
            self.with(|state| state.get(namespace, &key))?
        } else {
            self.may_read(&collection)?;
            self.with(|state| state.get_private(namespace, &collection, &key))?
        };
        Ok(value.unwrap_or_default())
    }

    fn get_multiple(&mut self, request: GetStateMultiple) -> Result<GetStateMultipleResult, String> {
        let GetStateMultiple { keys, collection } = request;
        if !collection.is_empty() {
            self.may_read(&collection)?;
        }
        let namespace = self.namespace;
        let mut size = ReplySize::default();
        let mut values = Vec::new();
        for key in keys {
            let value = self.with(|state| match collection.as_str() {
                "" => state.get(namespace, &key),
                collection => state.get_private_of_multiple(namespace, collection, &key),
            })?;
            let value = value.unwrap_or_default();
            size.add(value.len()).map_err(|error| error.to_string())?;
            values.push(value);
        }
        Ok(GetStateMultipleResult { values })
    }

    fn get_hash(&mut self, request: GetPrivateDataHash) -> Result<Bytes, String> {
        let GetPrivateDataHash { key, collection } = request;
        self.not_in_init()?;
        self.define_collections()?;
        let namespace = self.namespace;
        let hash = self.with(|state| state.get_private_hash(namespace, &collection, &key))?;
        Ok(hash.unwrap_or_default())
    }

    fn put(&mut self, PutState { key, value, collection }: PutState) -> Result<(), String> {
        let namespace = self.namespace;
        if collection.is_empty() {
            return self.with(|state| state.put(namespace, &key, value));
        }
        self.may_write(&collection)?;
        self.with(|state| state.put_private(namespace, &collection, &key, value))
    }

    fn delete(&mut self, DelState { key, collection }: DelState) -> Result<(), String> {
        self.put(PutState { key, value: Bytes::new(), collection })
    }

    fn purge(&mut self, request: PurgePrivateState) -> Result<(), String> {
        let PurgePrivateState { key, collection } = request;
        if !self.transaction.config.capabilities().application().contains("V2_5") {
            return Err(
                "purge private data is not enabled, channel application capability of V2_5 or later is \
                        required"
                    .to_owned(),
            );
        }
        if collection.is_empty() {
            return Err("only applicable for private data".to_owned());
        }
        self.may_write(&collection)?;
        let namespace = self.namespace;
        self.with(|state| state.purge_private(namespace, &collection, &key))
    }

    fn metadata(&mut self, request: GetStateMetadata) -> Result<StateMetadataResult, String> {
        let GetStateMetadata { key, collection } = request;
        let namespace = self.namespace;
        let metadata = if collection.is_empty() {
            self.with(|state| state.metadata(namespace, &key))?
        } else {
            self.may_read(&collection)?;
            self.with(|state| state.private_metadata(namespace, &collection, &key))?
        };
        let entry = |(metakey, value)| StateMetadata { metakey, value };
        Ok(StateMetadataResult { entries: metadata.into_iter().map(entry).collect() })
    }

    fn put_metadata(&mut self, request: PutStateMetadata) -> Result<(), String> {
        let PutStateMetadata { key, collection, metadata } = request;
        let metadata = Metadata::from([(metadata.metakey, metadata.value)]);
        let namespace = self.namespace;
        if collection.is_empty() {
            return self.with(|state| state.put_metadata(namespace, &key, metadata));
        }
        self.may_write(&collection)?;
        self.with(|state| state.put_private_metadata(namespace, &collection, &key, metadata))
    }

    /// What stands before a record that fails stays written.
    fn write_batch(&mut self, batch: WriteBatchState) -> Result<(), String> {
        for WriteRecord { key, value, collection, metadata, r#type } in batch.rec {
            match WriteType::try_from(r#type) {
                Ok(WriteType::PutState) => self.put(PutState { key, value, collection })?,
                Ok(WriteType::DelState) => self.delete(DelState { key, collection })?,
                Ok(WriteType::PurgePrivateData) => self.purge(PurgePrivateState { key, collection })?,
                Ok(WriteType::PutStateMetadata) => {
                    let metadata = metadata.unwrap_or_default();
                    self.put_metadata(PutStateMetadata { key, collection, metadata })?;
                }
                Ok(WriteType::Undefined) | Err(_) => return Err("unknown operation type".to_owned()),
            }
        }
        Ok(())
    }

    fn not_in_init(&self) -> Result<(), String> {
        if self.is_init { Err(NOT_IN_INIT.to_owned()) } else { Ok(()) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Simulator) -> Result<T, SimulationError>) -> Result<T, String> {
        self.transaction.state.with(act)
    }

    async fn answer(&mut self, request: AnyRequest) -> Result<Bytes, String> {
        /// Encodes a reply as its request says.
        fn reply<R: Request>(
            _: fn(R) -> AnyRequest,
            reply: Result<R::Reply, String>,
        ) -> Result<Bytes, String> {
            reply.map(|reply| R::encode_reply(&reply))
        }
        use AnyRequest as Any;
        self.transaction.state.charge(size(&request))?;
        let much = reads_much(&request);
        match request {
            Any::GetState(request) => reply(Any::GetState, self.get(request)),
            Any::GetStateMultiple(request) => {
                reply(Any::GetStateMultiple, aside(much, || self.get_multiple(request)))
            }
            Any::GetPrivateDataHash(request) => reply(Any::GetPrivateDataHash, self.get_hash(request)),
            Any::PutState(request) => reply(Any::PutState, self.put(request)),
            Any::DelState(request) => reply(Any::DelState, self.delete(request)),
            Any::PurgePrivateState(request) => reply(Any::PurgePrivateState, self.purge(request)),
            Any::GetStateMetadata(request) => reply(Any::GetStateMetadata, self.metadata(request)),
            Any::PutStateMetadata(request) => reply(Any::PutStateMetadata, self.put_metadata(request)),
            Any::WriteBatchState(request) => reply(Any::WriteBatchState, self.write_batch(request)),
            Any::GetStateByRange(request) => reply(Any::GetStateByRange, aside(much, || self.range(request))),
            Any::QueryStateClose(request) => {
                reply(Any::QueryStateClose, Ok(self.iterators.close(&request.id)))
            }
            Any::GetQueryResult(request) => reply(Any::GetQueryResult, self.rich_query(request).await),
            Any::QueryStateNext(request) => reply(Any::QueryStateNext, self.next(request.id).await),
            Any::GetHistoryForKey(request) => reply(Any::GetHistoryForKey, self.history(request).await),
            Any::InvokeChaincode(request) => {
                reply(Any::InvokeChaincode, self.executor.call(self.transaction, request).await)
            }
            other => Err(format!("{} is no request", other.message_type().as_str_name())),
        }
    }
}

/// The bytes of a request that stay in memory until the transaction ends.
fn size(request: &AnyRequest) -> usize {
    match request {
        AnyRequest::PutState(PutState { key, value, .. }) => key.len() + value.len(),
        AnyRequest::GetState(GetState { key, .. })
        | AnyRequest::GetPrivateDataHash(GetPrivateDataHash { key, .. })
        | AnyRequest::GetStateMetadata(GetStateMetadata { key, .. })
        | AnyRequest::DelState(DelState { key, .. })
        | AnyRequest::PurgePrivateState(PurgePrivateState { key, .. }) => key.len(),
        AnyRequest::PutStateMetadata(PutStateMetadata { key, metadata, .. }) => {
            key.len() + metadata.metakey.len() + metadata.value.len()
        }
        AnyRequest::GetStateMultiple(GetStateMultiple { keys, .. }) => {
            keys.iter().map(|key| key.len() + OVERHEAD).sum()
        }
        AnyRequest::WriteBatchState(WriteBatchState { rec }) => rec.iter().map(record_size).sum(),
        AnyRequest::GetStateByRange(range) => range.start_key.len() + range.end_key.len(),
        AnyRequest::GetQueryResult(query) => query.query.len(),
        _ => 0,
    }
}

fn record_size(record: &WriteRecord) -> usize {
    let metadata = record.metadata.as_ref().map_or(0, |entry| entry.metakey.len() + entry.value.len());
    record.key.len() + record.value.len() + metadata + OVERHEAD
}

/// Whether a request reads more values than a batch of results has. Up to there reading takes less time, 0.5 µs for a
/// value that is cached, than handing the other tasks of the thread over.
fn reads_much(request: &AnyRequest) -> bool {
    match request {
        AnyRequest::GetStateMultiple(GetStateMultiple { keys, .. }) => keys.len() > BATCH,
        AnyRequest::GetStateByRange(range) => {
            let paging = range.paging.as_ref().filter(|_| range.collection.is_empty());
            is_paged(paging) && total_results(usize::MAX, paging) > BATCH
        }
        _ => false,
    }
}

/// Does work that may take long, if it is `much`. The other tasks of the thread go on elsewhere meanwhile, if the runtime
/// has other threads.
fn aside<T>(much: bool, work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) if much => tokio::task::block_in_place(work),
        _ => work(),
    }
}

impl TransactionContext for Context<'_> {
    fn handle(&mut self, request: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
        self.answer(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use selvedge_proto::protos::QueryMetadata;
    use selvedge_session::request::GetStateByRange;

    use super::*;

    #[test]
    fn only_what_reads_more_than_a_batch_goes_aside() {
        let keys = |count| GetStateMultiple { keys: vec![String::new(); count], ..Default::default() };
        assert!(reads_much(&keys(BATCH + 1).into()) && !reads_much(&keys(BATCH).into()));
        let page = |page_size, collection: &str| {
            let paging = Some(QueryMetadata { page_size, ..Default::default() });
            AnyRequest::from(GetStateByRange { paging, collection: collection.into(), ..Default::default() })
        };
        assert!(reads_much(&page(101, "")) && reads_much(&page(-1, "")), "as many results as there are");
        assert!(!reads_much(&page(100, "")) && !reads_much(&page(0, "")) && !reads_much(&page(101, "c")));
    }

    /// The only thread of the runtime is busy until the other task has run.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_beside_long_work() {
        let busy = tokio::spawn(async {
            let (sender, receiver) = sync_channel(1);
            tokio::spawn(async move { sender.send(()) });
            aside(true, || receiver.recv_timeout(Duration::from_secs(60)))
        });
        assert_eq!(busy.await.unwrap(), Ok(()));
    }
}
