//! Plays recorded chaincode streams against the simulator: its replies and read/write sets must be the peer's.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod rules_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use rules_support::Memory;
use selvedge_golden::Corpus;
use selvedge_ledger::block::{self, TransactionView};
use selvedge_ledger::mvcc::{self, Candidate};
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::simulator::{KeyValue, Metadata, RangeId, SimulationError, Simulator};
use selvedge_ledger::{Snapshot, Space};
use selvedge_proto::common::Block;
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    BlockAndPrivateData, ChaincodeInterest, ChaincodeMessage, CollectionConfigPackage, DelState, GetState,
    GetStateByRange, GetStateMetadata, GetStateMultiple, GetStateMultipleResult, PurgePrivateState, PutState,
    PutStateMetadata, QueryMetadata, QueryResponse, QueryResponseMetadata, QueryResultBytes, QueryStateClose,
    QueryStateNext, StateMetadata, StateMetadataResult, WriteBatchState, collection_config, write_record,
};
use selvedge_proto::queryresult::Kv;
use serde_json::Value;

const LIFECYCLE: &str = "_lifecycle";
const BATCH: usize = 100;
/// The key that a chaincode with a required Init is checked by.
const INITIALIZED: &str = "\u{0}\u{10ffff}initialized";

/// The states of a channel by height, for the peer of one organisation.
fn states(channel: &str, organisation: &str) -> Vec<Arc<Memory>> {
    let private_blocks = Corpus::get().private_blocks(channel, &format!("pvt-{organisation}"));
    let mut states = vec![Arc::new(Memory::default())];
    for (number, bytes) in Corpus::get().blocks(channel) {
        let block = Block::decode(bytes).unwrap();
        let private = private_blocks.get(&number).map(|bytes| BlockAndPrivateData::decode(*bytes).unwrap());
        let mut private = private.unwrap_or_default().private_data_map;
        let codes = block::validation_codes(&block);
        let candidates: Vec<_> = (0..)
            .zip(&block.data.unwrap().data)
            .zip(codes)
            .map(|((index, entry), code)| {
                let set = TransactionView::parse(entry)
                    .and_then(|view| view.endorsed_action()?.chaincode_action())
                    .ok()
                    .map(|action| ReadWriteSet::parse(&action.results).unwrap());
                Candidate { code, set, private: private.remove(&index) }
            })
            .collect();
        let mut state = Memory::clone(states.last().unwrap());
        state.apply(&mvcc::replay(&state, number, &candidates).unwrap().updates);
        states.push(Arc::new(state));
    }
    states
}

/// The peer's side of one transaction as far as the simulator is concerned.
struct Host {
    simulator: Simulator,
    chaincode: String,
    iterators: BTreeMap<String, (RangeId, Vec<KeyValue>)>,
}

type Reply = Result<Bytes, SimulationError>;

impl Host {
    fn new(state: &Arc<Memory>, transaction: &str, chaincode: &str) -> Self {
        let mut simulator = Simulator::new(Arc::clone(state) as Arc<dyn Snapshot>, transaction);
        simulator.define_collections(chaincode, collections(state, chaincode));
        Self { simulator, chaincode: chaincode.to_owned(), iterators: BTreeMap::new() }
    }

    /// Answers a request; `None` for one that the simulator has no part in.
    fn answer(&mut self, request: &ChaincodeMessage, recorded: &ChaincodeMessage) -> Option<Reply> {
        let (simulator, chaincode) = (&mut self.simulator, self.chaincode.as_str());
        let payload = request.payload.clone();
        let reply = match request.r#type() {
            Type::GetState => {
                let get = GetState::decode(payload).unwrap();
                let value = match get.collection.as_str() {
                    "" => simulator.get(chaincode, &get.key),
                    collection => simulator.get_private(chaincode, collection, &get.key),
                };
                value.map(Option::unwrap_or_default)
            }
            Type::GetStateMultiple => self.get_multiple(&GetStateMultiple::decode(payload).unwrap()),
            Type::GetPrivateDataHash => {
                let get = GetState::decode(payload).unwrap();
                let hash = simulator.get_private_hash(chaincode, &get.collection, &get.key);
                hash.map(Option::unwrap_or_default)
            }
            Type::GetStateMetadata => {
                let get = GetStateMetadata::decode(payload).unwrap();
                let metadata = match get.collection.as_str() {
                    "" => simulator.metadata(chaincode, &get.key),
                    collection => simulator.private_metadata(chaincode, collection, &get.key),
                };
                metadata.map(|metadata| {
                    let entry = |(metakey, value)| StateMetadata { metakey, value };
                    let entries = metadata.into_iter().map(entry).collect();
                    StateMetadataResult { entries }.encode_to_vec().into()
                })
            }
            Type::PutState => {
                let put = PutState::decode(payload).unwrap();
                self.write(write_record::Type::PutState, &put.key, put.value, &put.collection, None)
            }
            Type::DelState => {
                let del = DelState::decode(payload).unwrap();
                self.write(write_record::Type::DelState, &del.key, Bytes::new(), &del.collection, None)
            }
            Type::PurgePrivateData => {
                let purge = PurgePrivateState::decode(payload).unwrap();
                let kind = write_record::Type::PurgePrivateData;
                self.write(kind, &purge.key, Bytes::new(), &purge.collection, None)
            }
            Type::PutStateMetadata => {
                let put = PutStateMetadata::decode(payload).unwrap();
                let kind = write_record::Type::PutStateMetadata;
                self.write(kind, &put.key, Bytes::new(), &put.collection, put.metadata)
            }
            Type::WriteBatchState => {
                let batch = WriteBatchState::decode(payload).unwrap();
                let mut records = batch.rec.into_iter();
                records.try_fold(Bytes::new(), |_, record| {
                    // Metadata that are missing from a batch are an entry without a name.
                    let metadata = Some(record.metadata.clone().unwrap_or_default());
                    self.write(record.r#type(), &record.key, record.value, &record.collection, metadata)
                })
            }
            Type::GetStateByRange => {
                // The recorded reply gives the id, which is random.
                let id = QueryResponse::decode(recorded.payload.clone()).map(|response| response.id);
                self.range(&GetStateByRange::decode(payload).unwrap(), id.unwrap_or_default())
            }
            Type::QueryStateNext => {
                let id = QueryStateNext::decode(payload).unwrap().id;
                if !self.iterators.contains_key(&id) {
                    return None;
                }
                self.batch(id)
            }
            Type::QueryStateClose => {
                let id = QueryStateClose::decode(payload).unwrap().id;
                if let Some((range, _)) = self.iterators.remove(&id) {
                    self.simulator.close(range);
                }
                Ok(QueryResponse { id, ..QueryResponse::default() }.encode_to_vec().into())
            }
            _ => return None,
        };
        Some(reply)
    }

    fn get_multiple(&mut self, get: &GetStateMultiple) -> Reply {
        let values = get.keys.iter().map(|key| match get.collection.as_str() {
            "" => self.simulator.get(&self.chaincode, key),
            collection => self.simulator.get_private_of_multiple(&self.chaincode, collection, key),
        });
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let values = values.into_iter().map(Option::unwrap_or_default).collect();
        Ok(GetStateMultipleResult { values }.encode_to_vec().into())
    }

    fn write(
        &mut self,
        kind: write_record::Type,
        key: &str,
        value: Bytes,
        collection: &str,
        metadata: Option<StateMetadata>,
    ) -> Reply {
        let (simulator, chaincode) = (&mut self.simulator, self.chaincode.as_str());
        let metadata: Metadata = metadata.into_iter().map(|entry| (entry.metakey, entry.value)).collect();
        match (kind, collection) {
            (write_record::Type::PutState, "") => simulator.put(chaincode, key, value),
            (write_record::Type::PutState, _) => simulator.put_private(chaincode, collection, key, value),
            (write_record::Type::DelState, "") => simulator.delete(chaincode, key),
            (write_record::Type::DelState, _) => simulator.delete_private(chaincode, collection, key),
            (write_record::Type::PutStateMetadata, "") => simulator.put_metadata(chaincode, key, metadata),
            (write_record::Type::PutStateMetadata, _) => {
                simulator.put_private_metadata(chaincode, collection, key, metadata)
            }
            (write_record::Type::PurgePrivateData, _) => simulator.purge_private(chaincode, collection, key),
            (write_record::Type::Undefined, _) => panic!("the recorded peer took a write of no kind"),
        }?;
        Ok(Bytes::new())
    }

    fn range(&mut self, range: &GetStateByRange, id: String) -> Reply {
        let chaincode = self.chaincode.clone();
        if !range.collection.is_empty() {
            let (start, end) = (&range.start_key, &range.end_key);
            let range = self.simulator.private_range(&chaincode, &range.collection, start, end)?;
            self.iterators.insert(id.clone(), (range, Vec::new()));
            return self.batch(id);
        }
        let page = QueryMetadata::decode(range.metadata.clone()).unwrap();
        if page.page_size == 0 && page.bookmark.is_empty() {
            let range = self.simulator.range(&chaincode, &range.start_key, &range.end_key);
            self.iterators.insert(id.clone(), (range, Vec::new()));
            return self.batch(id);
        }
        let start = if page.bookmark.is_empty() { &range.start_key } else { &page.bookmark };
        let range = self.simulator.paged_range(&chaincode, start, &range.end_key)?;
        let limit = usize::try_from(page.page_size).ok().filter(|size| *size > 0).unwrap_or(usize::MAX);
        let mut results = Vec::new();
        while results.len() < limit
            && let Some(result) = self.simulator.next(range)?
        {
            results.push(result);
        }
        let fetched_records_count = i32::try_from(results.len()).unwrap();
        let bookmark = self.simulator.bookmark(range)?;
        let metadata = QueryResponseMetadata { fetched_records_count, bookmark }.encode_to_vec().into();
        Ok(self.response(results, false, id, metadata))
    }

    /// Up to a hundred results. The one after them is looked at, and kept for the next batch.
    fn batch(&mut self, id: String) -> Reply {
        let (range, mut results) = self.iterators.remove(&id).expect("the iterator is open");
        while results.len() <= BATCH {
            match self.simulator.next(range)? {
                Some(result) => results.push(result),
                None => {
                    self.simulator.close(range);
                    return Ok(self.response(results, false, id, Bytes::new()));
                }
            }
        }
        let kept = results.split_off(BATCH);
        self.iterators.insert(id.clone(), (range, kept));
        Ok(self.response(results, true, id, Bytes::new()))
    }

    fn response(&self, results: Vec<KeyValue>, has_more: bool, id: String, metadata: Bytes) -> Bytes {
        let encode = |KeyValue { key, value }| {
            let result = Kv { namespace: self.chaincode.clone(), key, value };
            QueryResultBytes { result_bytes: result.encode_to_vec().into() }
        };
        let results = results.into_iter().map(encode).collect();
        QueryResponse { results, has_more, id, metadata }.encode_to_vec().into()
    }
}

/// The defined collections of a chaincode, and the implicit ones of the organisations that have approved.
fn collections(state: &Memory, chaincode: &str) -> Vec<String> {
    let mut names: Vec<_> = state
        .spaces
        .keys()
        .filter(|space| &**space.namespace() == LIFECYCLE)
        .filter_map(|space| space.collection().map(ToString::to_string))
        .collect();
    let key = format!("namespaces/fields/{chaincode}/Collections");
    if let Some(stored) = state.get(&Space::public(LIFECYCLE), key.as_bytes()).unwrap()
        && let Some(state_data::Type::Bytes(package)) = StateData::decode(stored.value).unwrap().r#type
    {
        for config in CollectionConfigPackage::decode(package).unwrap().config {
            if let Some(collection_config::Payload::StaticCollectionConfig(config)) = config.payload {
                names.push(config.name);
            }
        }
    }
    names
}

/// Whether an error comes from the simulator. The other ones come from the peer's handler around it.
fn is_simulators(text: &str) -> bool {
    ["unsuppored transaction", "matching public hash version", "not defined in the collection config"]
        .iter()
        .any(|part| text.contains(part))
}

fn messages(file: &str) -> Vec<(bool, ChaincodeMessage)> {
    let lines = Corpus::get().json_lines(&format!("streams/{file}"));
    let message = |line: &Value| {
        let bytes = Bytes::from(hex::decode(line["hex"].as_str().unwrap()).unwrap());
        (line["dir"] == "cc->peer", ChaincodeMessage::decode(bytes).unwrap())
    };
    lines.iter().map(message).collect()
}

/// Plays a transcript. Returns how many requests the simulator answered.
fn play(transcript: &Value, state: &Arc<Memory>) -> usize {
    let text = |name: &str| transcript[name].as_str().unwrap_or_default();
    let messages = messages(text("file"));
    let recorded = hex::decode(transcript["simulated"]["rwset"].as_str().unwrap()).unwrap();
    let mut recorded = ReadWriteSet::parse(&recorded.into()).unwrap();
    // What the peer itself read of the chaincode's definition.
    recorded.namespaces.retain(|set| set.namespace != LIFECYCLE);

    let mut host = Host::new(state, text("txid"), text("chaincode"));
    let own = recorded.namespace(text("chaincode"));
    if own.is_some_and(|set| set.public.reads.iter().any(|read| read.key == INITIALIZED)) {
        host.simulator.get(text("chaincode"), INITIALIZED).unwrap();
    }
    if let Some(write) = own.and_then(|set| set.public.writes.iter().find(|write| write.key == INITIALIZED)) {
        host.simulator.put(text("chaincode"), INITIALIZED, write.value.clone()).unwrap();
    }
    let mut answered = 0;
    for (at, (from_chaincode, request)) in messages.iter().enumerate() {
        if !from_chaincode || request.txid != text("txid") {
            continue;
        }
        let is_reply =
            |(chaincode, reply): &&(bool, ChaincodeMessage)| !chaincode && reply.txid == request.txid;
        let Some((_, reply)) = messages[at + 1..].iter().find(is_reply) else { continue };
        let is_error = reply.r#type() == Type::Error;
        let error = String::from_utf8_lossy(&reply.payload).into_owned();
        if is_error && !is_simulators(&error) {
            continue;
        }
        match host.answer(request, reply) {
            None => continue,
            Some(Ok(payload)) => {
                assert!(!is_error, "{}: {:?} gets no error, but {error}", text("file"), request.r#type());
                assert_eq!(payload, reply.payload, "{}: {:?}", text("file"), request.r#type());
            }
            Some(Err(found)) => {
                assert!(error.ends_with(&found.to_string()), "{}: {found} is not {error}", text("file"));
            }
        }
        answered += 1;
    }
    let simulated = host.simulator.finish();
    assert_eq!(ReadWriteSet::parse(&simulated.public).unwrap(), recorded, "{}", text("file"));
    if let Some(expected) = transcript["interest"]["hex"].as_str() {
        check_interest(text("file"), simulated.interest(|name| name == LIFECYCLE).unwrap(), expected);
    }
    answered
}

/// Compares what discovery is told. The order of the calls means nothing.
fn check_interest(file: &str, found: ChaincodeInterest, expected: &str) {
    let expected = ChaincodeInterest::decode(Bytes::from(hex::decode(expected).unwrap())).unwrap();
    let sorted = |interest: ChaincodeInterest| {
        let mut calls: Vec<_> = interest.chaincodes.iter().map(Message::encode_to_vec).collect();
        calls.sort();
        calls
    };
    assert_eq!(sorted(found), sorted(expected), "{file}");
}

#[test]
fn golden_streams_give_the_peers_replies_and_sets() {
    let index = Corpus::get().json("streams/index.json");
    let channel = index["channel"].as_str().unwrap();
    let mut by_organisation: BTreeMap<String, Vec<Arc<Memory>>> = BTreeMap::new();
    let (mut played, mut answered) = (0, 0);
    for transcript in index["transcripts"].as_array().unwrap() {
        let messages = messages(transcript["file"].as_str().unwrap());
        let calls_another = messages.iter().any(|(_, message)| message.r#type() == Type::InvokeChaincode);
        // A batch that fails has written some of its records, and its reply does not say which.
        let is_broken_off = messages
            .windows(2)
            .any(|pair| pair[0].1.r#type() == Type::WriteBatchState && pair[1].1.r#type() == Type::Error);
        // Calls and the total limit of queries are the peer's part.
        let is_limited = transcript["group"].as_str().unwrap().ends_with("-params-small");
        if transcript["simulated"]["rwset"].is_null() || calls_another || is_broken_off || is_limited {
            continue;
        }
        let organisation = transcript["peer"].as_str().unwrap().to_owned();
        let states = by_organisation
            .entry(organisation)
            .or_insert_with_key(|organisation| states(channel, organisation));
        let height = usize::try_from(transcript["ledger_height"].as_u64().unwrap()).unwrap();
        answered += play(transcript, &states[height]);
        played += 1;
    }
    assert!(played > 0 && answered > 0, "the corpus has no transcript to play");
}
