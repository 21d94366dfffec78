//! Recordings of a real network, decoded and encoded again, give the bytes that were recorded.
//!
//! The order of a map is the encoder's choice, and so is whether an entry writes a key or value that is zero.
//! Where recordings hold maps they are therefore read twice: as a list of entries, which has one encoding, and
//! as the message itself, which must hold the same entries.

use std::collections::BTreeMap;

use selvedge_golden::Corpus;
use selvedge_proto::bytes::Bytes;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{self, ChaincodeMessage};
use selvedge_proto::{common, gateway, google, kvrwset, msp, orderer, queryresult, rwset};
use serde_json::Value;

#[test]
fn golden_blocks() {
    let corpus = Corpus::get();
    let mut count = 0;
    for channel in corpus.channels() {
        for (number, bytes) in corpus.blocks(channel) {
            let block: common::Block = same_bytes(&format!("block {number} of {channel}"), bytes);
            assert_eq!(block.header.map(|header| header.number), Some(number), "in {channel}");
            count += 1;
        }
    }
    assert_ne!(count, 0, "no block recorded");
}

#[test]
fn golden_private_blocks() {
    let corpus = Corpus::get();
    let mut collections = 0;
    for path in corpus.paths("chains/").filter(|path| path.ends_with(".bpd")) {
        let recorded = private_block(path, corpus.file(path));
        for namespace in recorded.private_data_map.values().flat_map(|set| &set.ns_pvt_rwset) {
            for collection in &namespace.collection_pvt_rwset {
                same_bytes::<kvrwset::KvrwSet>(path, &collection.rwset);
                collections += 1;
            }
        }
    }
    assert_ne!(collections, 0, "no private data recorded");
}

#[test]
fn golden_chaincode_messages() {
    let corpus = Corpus::get();
    let mut count = 0;
    for path in corpus.paths("streams/").filter(|path| path.ends_with(".jsonl")) {
        let mut open = Open::default();
        for line in corpus.json_lines(path).iter().filter(|line| line["hex"].is_string()) {
            let what = format!("{path} line {}", line["seq"]);
            let message: ChaincodeMessage = same_bytes(&what, &bytes(&line["hex"]));
            // A type without a name is recorded as its number.
            let number = message.r#type;
            let name = Type::try_from(number)
                .map_or_else(|_| number.to_string(), |known| known.as_str_name().to_owned());
            assert_eq!(line["type"].as_str(), Some(name.as_str()), "{what}");
            let stream = line["stream"].as_str().expect("each line names its stream");
            match line["dir"].as_str() {
                Some("peer->cc") => open.peer_sent(&what, stream, &message),
                Some("cc->peer") => open.chaincode_sent(&what, stream, &message),
                other => panic!("{what}: direction {other:?}"),
            }
            count += 1;
        }
    }
    assert_ne!(count, 0, "no chaincode message recorded");
}

#[test]
fn golden_exchanges() {
    let corpus = Corpus::get();
    let mut count = 0;
    for path in corpus.paths("exchanges/").filter(|path| path.ends_with(".jsonl")) {
        for line in corpus.json_lines(path) {
            let what = format!("{path}: {}", line["label"]);
            let (request, response) =
                method(line["method"].as_str().expect("each exchange names its method"));
            messages(&line, "request").iter().for_each(|bytes| request(&what, bytes));
            messages(&line, "response").iter().for_each(|bytes| response(&what, bytes));
            if let Some(status) = line["grpc"]["status_hex"].as_str() {
                let status: google::rpc::Status = same_bytes(&what, &hex::decode(status).expect("hex"));
                assert_eq!(Some(i64::from(status.code)), line["grpc"]["code"].as_i64(), "{what}");
                for detail in
                    status.details.iter().filter(|any| any.type_url.ends_with("gateway.ErrorDetail"))
                {
                    same_bytes::<gateway::ErrorDetail>(&what, &detail.value);
                }
            }
            count += 1;
        }
    }
    assert_ne!(count, 0, "no exchange recorded");
}

#[test]
fn golden_policies_and_configurations() {
    let corpus = Corpus::get();
    for line in corpus.json_lines("vectors/policies.jsonl").iter().filter(|line| line["error"].is_null()) {
        same_bytes::<common::SignaturePolicyEnvelope>(&line["policy"].to_string(), &bytes(&line["envelope"]));
    }
    for line in corpus.json_lines("vectors/collections.jsonl").iter().filter(|line| line["error"].is_null()) {
        same_bytes::<protos::CollectionConfigPackage>(&line["json"].to_string(), &bytes(&line["package"]));
    }
    for path in corpus.paths("vectors/msp/config-") {
        let config: msp::MspConfig = same_bytes(path, corpus.file(path));
        same_bytes::<msp::FabricMspConfig>(path, &config.config);
    }
}

/// The requests that wait for their answers, and the histories among the open iterators: what an answer
/// holds depends on both.
#[derive(Default)]
struct Open {
    requests: BTreeMap<(String, String, String), Type>,
    histories: Vec<String>,
}

impl Open {
    fn chaincode_sent(&mut self, what: &str, stream: &str, message: &ChaincodeMessage) {
        // Streams of this name carry payloads which no shim made, damaged ones among them.
        if stream.starts_with("raw") {
            return;
        }
        self.requests.insert(transaction(stream, message), message.r#type());
        let payload = &message.payload;
        match message.r#type() {
            Type::Register => drop(same_bytes::<protos::ChaincodeId>(what, payload)),
            Type::Completed => drop(same_bytes::<protos::Response>(what, payload)),
            Type::GetState | Type::GetPrivateDataHash => drop(same_bytes::<protos::GetState>(what, payload)),
            Type::PutState => drop(same_bytes::<protos::PutState>(what, payload)),
            Type::DelState => drop(same_bytes::<protos::DelState>(what, payload)),
            Type::PurgePrivateData => drop(same_bytes::<protos::PurgePrivateState>(what, payload)),
            Type::InvokeChaincode => drop(same_bytes::<protos::ChaincodeSpec>(what, payload)),
            Type::GetStateByRange => {
                let request: protos::GetStateByRange = same_bytes(what, payload);
                same_bytes::<protos::QueryMetadata>(what, &request.metadata);
            }
            Type::GetQueryResult => {
                let request: protos::GetQueryResult = same_bytes(what, payload);
                same_bytes::<protos::QueryMetadata>(what, &request.metadata);
            }
            Type::QueryStateNext => drop(same_bytes::<protos::QueryStateNext>(what, payload)),
            Type::QueryStateClose => drop(same_bytes::<protos::QueryStateClose>(what, payload)),
            Type::GetHistoryForKey => drop(same_bytes::<protos::GetHistoryForKey>(what, payload)),
            Type::GetStateMetadata => drop(same_bytes::<protos::GetStateMetadata>(what, payload)),
            Type::PutStateMetadata => drop(same_bytes::<protos::PutStateMetadata>(what, payload)),
            Type::WriteBatchState => drop(same_bytes::<protos::WriteBatchState>(what, payload)),
            Type::GetStateMultiple => drop(same_bytes::<protos::GetStateMultiple>(what, payload)),
            Type::Error | Type::Keepalive => {}
            other => panic!("{what}: a chaincode does not send {other:?}"),
        }
    }

    fn peer_sent(&mut self, what: &str, stream: &str, message: &ChaincodeMessage) {
        let payload = &message.payload;
        match message.r#type() {
            Type::Registered => assert!(payload.is_empty(), "{what}"),
            Type::Ready => drop(same_bytes::<protos::ChaincodeAdditionalParams>(what, payload)),
            Type::Init | Type::Transaction => {
                same_bytes::<protos::ChaincodeInput>(what, payload);
                proposal(what, message.proposal.as_ref().expect("a call carries its proposal"));
            }
            Type::Response => {
                if let Some(request) = self.requests.remove(&transaction(stream, message)) {
                    self.answer(what, request, payload);
                }
            }
            Type::Error => drop(self.requests.remove(&transaction(stream, message))),
            Type::Keepalive => {}
            other => panic!("{what}: a peer does not send {other:?}"),
        }
    }

    fn answer(&mut self, what: &str, request: Type, payload: &[u8]) {
        match request {
            Type::GetStateByRange
            | Type::GetQueryResult
            | Type::GetHistoryForKey
            | Type::QueryStateNext
            | Type::QueryStateClose => {
                let answer: protos::QueryResponse = same_bytes(what, payload);
                if request == Type::GetHistoryForKey {
                    self.histories.push(answer.id.clone());
                }
                let history = self.histories.contains(&answer.id);
                for result in &answer.results {
                    if history {
                        same_bytes::<queryresult::KeyModification>(what, &result.result_bytes);
                    } else {
                        same_bytes::<queryresult::Kv>(what, &result.result_bytes);
                    }
                }
                same_bytes::<protos::QueryResponseMetadata>(what, &answer.metadata);
            }
            Type::GetStateMetadata => drop(same_bytes::<protos::StateMetadataResult>(what, payload)),
            Type::GetStateMultiple => drop(same_bytes::<protos::GetStateMultipleResult>(what, payload)),
            Type::InvokeChaincode => {
                let callee: ChaincodeMessage = same_bytes(what, payload);
                if callee.r#type() == Type::Completed {
                    same_bytes::<protos::Response>(what, &callee.payload);
                }
            }
            Type::GetState | Type::GetPrivateDataHash => {}
            _ => assert!(payload.is_empty(), "{what}: the answer to {request:?} is empty"),
        }
    }
}

/// The two ends of a stream count requests by stream, channel and transaction.
fn transaction(stream: &str, message: &ChaincodeMessage) -> (String, String, String) {
    (stream.to_owned(), message.channel_id.clone(), message.txid.clone())
}

/// Checks a proposal down to the chaincode's arguments.
fn proposal(what: &str, signed: &protos::SignedProposal) {
    let proposal: protos::Proposal = same_bytes(what, &signed.proposal_bytes);
    let header: common::Header = same_bytes(what, &proposal.header);
    let channel: common::ChannelHeader = same_bytes(what, &header.channel_header);
    same_bytes::<protos::ChaincodeHeaderExtension>(what, &channel.extension);
    let signature: common::SignatureHeader = same_bytes(what, &header.signature_header);
    same_bytes::<msp::SerializedIdentity>(what, &signature.creator);
    let entries: ProposalPayloadEntries = same_bytes(what, &proposal.payload);
    let payload =
        protos::ChaincodeProposalPayload::decode(proposal.payload).expect("it was decoded just now");
    assert_eq!(entries.input, payload.input, "{what}");
    let transient = entries
        .transient_map
        .into_iter()
        .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()));
    assert_eq!(transient.collect::<BTreeMap<_, _>>(), payload.transient_map, "{what}");
    same_bytes::<protos::ChaincodeInvocationSpec>(what, &payload.input);
}

/// A `ChaincodeProposalPayload` with its map as the list of entries that travels.
#[derive(Clone, PartialEq, Message)]
struct ProposalPayloadEntries {
    #[prost(bytes = "bytes", tag = "1")]
    input: Bytes,
    #[prost(message, repeated, tag = "2")]
    transient_map: Vec<TransientEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct TransientEntry {
    #[prost(string, optional, tag = "1")]
    key: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    value: Option<Bytes>,
}

fn private_block(what: &str, recorded: &[u8]) -> protos::BlockAndPrivateData {
    let entries: PrivateBlockEntries = same_bytes(what, recorded);
    let message = protos::BlockAndPrivateData::decode(recorded).expect("it was decoded just now");
    assert_eq!(entries.block, message.block, "{what}");
    let sets = entries
        .private_data_map
        .into_iter()
        .map(|entry| (entry.key.unwrap_or_default(), entry.value.unwrap_or_default()));
    assert_eq!(sets.collect::<BTreeMap<_, _>>(), message.private_data_map, "{what}");
    message
}

/// A `BlockAndPrivateData` with its map as the list of entries that travels.
#[derive(Clone, PartialEq, Message)]
struct PrivateBlockEntries {
    #[prost(message, optional, tag = "1")]
    block: Option<common::Block>,
    #[prost(message, repeated, tag = "2")]
    private_data_map: Vec<PrivateEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct PrivateEntry {
    #[prost(uint64, optional, tag = "1")]
    key: Option<u64>,
    #[prost(message, optional, tag = "2")]
    value: Option<rwset::TxPvtReadWriteSet>,
}

/// A `DeliverResponse` as `DeliverWithPrivateData` gives it, with the block still marshalled.
#[derive(Clone, PartialEq, Message)]
struct PrivateDelivery {
    #[prost(int32, optional, tag = "1")]
    status: Option<i32>,
    #[prost(bytes = "bytes", optional, tag = "4")]
    block_and_private_data: Option<Bytes>,
}

type Check = fn(&str, &[u8]);

/// How the requests and the responses of a method are checked.
fn method(path: &str) -> (Check, Check) {
    fn bytes<M: Message + Default>(what: &str, bytes: &[u8]) {
        same_bytes::<M>(what, bytes);
    }
    fn private_delivery(what: &str, bytes: &[u8]) {
        let delivery: PrivateDelivery = same_bytes(what, bytes);
        if let Some(block) = delivery.block_and_private_data {
            private_block(what, &block);
        }
    }
    match path {
        "/protos.Endorser/ProcessProposal" => {
            (bytes::<protos::SignedProposal>, bytes::<protos::ProposalResponse>)
        }
        "/protos.Deliver/Deliver" | "/protos.Deliver/DeliverFiltered" => {
            (bytes::<common::Envelope>, bytes::<protos::DeliverResponse>)
        }
        "/protos.Deliver/DeliverWithPrivateData" => (bytes::<common::Envelope>, private_delivery),
        "/orderer.AtomicBroadcast/Broadcast" => {
            (bytes::<common::Envelope>, bytes::<orderer::BroadcastResponse>)
        }
        "/orderer.AtomicBroadcast/Deliver" => (bytes::<common::Envelope>, bytes::<orderer::DeliverResponse>),
        "/gateway.Gateway/Evaluate" => {
            (bytes::<gateway::EvaluateRequest>, bytes::<gateway::EvaluateResponse>)
        }
        "/gateway.Gateway/Endorse" => (bytes::<gateway::EndorseRequest>, bytes::<gateway::EndorseResponse>),
        "/gateway.Gateway/Submit" => (bytes::<gateway::SubmitRequest>, bytes::<gateway::SubmitResponse>),
        "/gateway.Gateway/CommitStatus" => {
            (bytes::<gateway::SignedCommitStatusRequest>, bytes::<gateway::CommitStatusResponse>)
        }
        "/gateway.Gateway/ChaincodeEvents" => {
            (bytes::<gateway::SignedChaincodeEventsRequest>, bytes::<gateway::ChaincodeEventsResponse>)
        }
        other => panic!("no rule for the method {other}"),
    }
}

/// The messages of one side of an exchange: one for a unary call, a list for a stream.
fn messages(line: &Value, side: &str) -> Vec<Vec<u8>> {
    let one = line.get(side);
    let many = line[format!("{side}s")].as_array().into_iter().flatten();
    one.into_iter().chain(many).map(bytes).collect()
}

fn bytes(text: &Value) -> Vec<u8> {
    hex::decode(text.as_str().expect("bytes are recorded as text"))
        .expect("bytes are recorded in hexadecimal")
}

/// Decodes a message and checks that our encoding of it is the recorded one.
fn same_bytes<M: Message + Default>(what: &str, recorded: &[u8]) -> M {
    let message = M::decode(recorded).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        message.encode_to_vec() == recorded,
        "{what}: recorded {}\nencoded again {}",
        hex::encode(recorded),
        hex::encode(message.encode_to_vec()),
    );
    message
}
