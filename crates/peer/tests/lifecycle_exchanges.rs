//! Calls of `_lifecycle` that a real peer answered, put to ours.
//!
//! The recordings do not say how many blocks a peer had when it answered. Its height never falls, so each answer is
//! looked for at the heights from that of the answer before it on. Where a read/write set was recorded it must be equal
//! to the byte, and its versions pin the height.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod lifecycle_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::ChannelConfig;
use selvedge_identity::channel::Access;
use selvedge_identity::policy::{SignedData, role_principal};
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::lifecycle::{self, CallChannel, LifecycleCall, NAMESPACE};
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::{ChannelHeader, Header, SignatureHeader};
use selvedge_proto::lifecycle::{
    QueryApprovedChaincodeDefinitionsResult, QueryInstalledChaincodeResult, QueryInstalledChaincodesResult,
};
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeInvocationSpec, ChaincodeProposalPayload, Proposal, ProposalResponse,
    ProposalResponsePayload, Response, SignedProposal,
};
use serde_json::Value;

use lifecycle_support::Chain;

/// What authorisation says in front of its reasons. The reasons are the endorser's business.
const UNAUTHORISED: &str = "Failed to authorize invocation due to failed ACL check: ";
/// What a failed build says in front of its reasons. The recorded peer would have used Docker.
const UNBUILT: &str =
    "failed to invoke backing implementation of 'InstallChaincode': could not build chaincode: ";
/// What a package that is no archive is refused with, in front of the reason that the gzip library gives.
const NO_GZIP: &str = "failed to invoke backing implementation of 'InstallChaincode': could not parse as a chaincode install package: error reading as gzip stream: ";

/// One recorded call that reached `_lifecycle`.
struct Exchange {
    label: String,
    organisation: String,
    channel: String,
    signed: SignedData,
    args: Vec<Bytes>,
    response: Response,
    /// The recorded read/write set, if the call was endorsed.
    results: Option<Bytes>,
}

impl Exchange {
    /// Reads a line of the recording. `None` for a proposal that the peer refused before it called anything.
    fn read(line: &Value) -> Option<Self> {
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let Some(response) = line["response"].as_str() else {
            assert_ne!(line["grpc"]["code"], 0, "neither response nor error");
            return None;
        };
        let proposal = SignedProposal::decode(hex::decode(text("request")).unwrap().as_slice()).unwrap();
        let (data, signature) = (proposal.proposal_bytes, proposal.signature);
        let proposal = Proposal::decode(data.clone()).unwrap();
        let header = Header::decode(proposal.header).unwrap();
        let channel = ChannelHeader::decode(header.channel_header).unwrap().channel_id;
        let identity = SignatureHeader::decode(header.signature_header).unwrap().creator;
        let payload = ChaincodeProposalPayload::decode(proposal.payload).unwrap();
        let spec = ChaincodeInvocationSpec::decode(payload.input).unwrap().chaincode_spec.unwrap();
        assert_eq!(spec.chaincode_id.unwrap().name, NAMESPACE);
        let response = ProposalResponse::decode(hex::decode(response).unwrap().as_slice()).unwrap();
        Some(Self {
            label: text("label"),
            organisation: text("target").rsplit(' ').next().unwrap().to_owned(),
            channel,
            signed: SignedData { data, identity, signature },
            args: spec.input.unwrap().args,
            results: results(&response),
            response: response.response.unwrap(),
        })
    }

    fn function(&self) -> String {
        String::from_utf8_lossy(&self.args[0]).into_owned()
    }
}

fn results(response: &ProposalResponse) -> Option<Bytes> {
    if response.payload.is_empty() {
        return None;
    }
    let payload = ProposalResponsePayload::decode(response.payload.clone()).unwrap();
    Some(ChaincodeAction::decode(payload.extension).unwrap().results)
}

/// The peers that answered: per organisation its channels and its host.
struct Peers {
    chains: BTreeMap<(String, String), Chain>,
    hosts: BTreeMap<String, Host>,
    /// The height at which the last answer was found.
    heights: BTreeMap<(String, String), u64>,
    _folders: Vec<tempfile::TempDir>,
}

impl Peers {
    fn new() -> Self {
        let networks = Corpus::get().json("manifest.json")["networks"].clone();
        let parts = networks.as_object().unwrap().values().map(|parts| parts.as_array().unwrap());
        let network = parts.into_iter().find(|parts| parts.iter().any(|part| part == "exchanges")).unwrap();
        let recorded = Corpus::get().channels();
        let channels = network.iter().filter_map(Value::as_str).filter(|part| recorded.contains(part));
        let mut peers = Self {
            chains: BTreeMap::new(),
            hosts: BTreeMap::new(),
            heights: BTreeMap::new(),
            _folders: Vec::new(),
        };
        for channel in channels {
            for organisation in Chain::organisations(channel) {
                let chain = Chain::replay(channel, &organisation);
                peers.hosts.entry(organisation.clone()).or_insert_with(|| {
                    let folder = tempfile::tempdir().unwrap();
                    let host = Host::open(HostConfig::new(folder.path())).unwrap();
                    peers._folders.push(folder);
                    host
                });
                let place = (organisation, channel.to_owned());
                peers.heights.insert(place.clone(), 1);
                peers.chains.insert(place, chain);
            }
        }
        peers
    }

    /// Any channel of an organisation.
    fn any(&self, organisation: &str) -> &Chain {
        let mut chains = self.chains.iter().filter(|((of, _), _)| of == organisation);
        chains.next().expect("the organisation has a channel").1
    }

    async fn ask(
        &self,
        exchange: &Exchange,
        at: Option<(&Chain, u64)>,
        channels: &(dyn Fn() -> Vec<(String, Arc<dyn Snapshot>)> + Send + Sync),
    ) -> (Response, Bytes) {
        let known = self.any(&exchange.organisation);
        let config = at.map(|(chain, height)| chain.config(height));
        let local = known.config(known.height());
        let authorize = |resource: &str| authorize(resource, config, local, &known.msp_id, &exchange.signed);
        let mut simulator = at.map(|(chain, height)| {
            let snapshot: Arc<dyn Snapshot> = Arc::clone(chain.snapshot(height)) as _;
            Simulator::new(snapshot, "tx")
        });
        let channel = config.zip(simulator.as_mut());
        let mut call = LifecycleCall {
            own_msp_id: &known.msp_id,
            host: &self.hosts[&exchange.organisation],
            channel: channel.map(|(config, simulator)| CallChannel { config, simulator }),
            authorize: &authorize,
            channels,
        };
        let response = lifecycle::invoke(&mut call, &exchange.args).await;
        (response, simulator.map(|simulator| simulator.finish().public).unwrap_or_default())
    }
}

/// Fabric's access rules, by the real policies and signatures.
fn authorize(
    resource: &str,
    channel: Option<&ChannelConfig>,
    local: &ChannelConfig,
    own_msp_id: &str,
    signed: &SignedData,
) -> Result<(), String> {
    match channel.unwrap_or(local).access(resource) {
        None => Err(format!("Unmapped policy for {resource}")),
        Some(Access::LocalAdmins) => {
            let msp = local.msps().msp(own_msp_id).unwrap();
            let admin = role_principal(own_msp_id, MspRoleType::Admin);
            let creator = msp.deserialize(&signed.identity).map_err(|error| error.to_string())?;
            msp.satisfies(&creator, &admin).map_err(|error| error.to_string())
        }
        Some(Access::Policy(path)) => {
            let channel = channel.ok_or_else(|| "no channel".to_owned())?;
            let policy = channel.policy(&path).map_err(|error| error.to_string())?;
            policy.evaluate(std::slice::from_ref(signed)).map_err(|error| error.to_string())
        }
        other => panic!("{resource} needs {other:?}"),
    }
}

/// Whether two refusals say the same, as far as it is `_lifecycle` that says it.
fn same_message(ours: &str, recorded: &str) -> bool {
    let same_start = |start: &str| ours.starts_with(start) && recorded.starts_with(start);
    ours == recorded || [UNAUTHORISED, UNBUILT, NO_GZIP].into_iter().any(same_start)
}

/// Compares payloads. Lists that Fabric makes of maps have no order, and maps none on the wire.
fn same_payload(function: &str, ours: &Bytes, recorded: &Bytes) -> bool {
    use selvedge_proto::lifecycle::{
        CheckCommitReadinessResult, QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsResult,
    };

    fn both<M: Message + Default + PartialEq>(ours: &Bytes, recorded: &Bytes, order: fn(&mut M)) -> bool {
        let [mut ours, mut recorded] = [ours, recorded].map(|bytes| M::decode(bytes.clone()).unwrap());
        order(&mut ours);
        order(&mut recorded);
        ours == recorded
    }
    match function {
        "CheckCommitReadiness" => both::<CheckCommitReadinessResult>(ours, recorded, |_| ()),
        "QueryChaincodeDefinition" => both::<QueryChaincodeDefinitionResult>(ours, recorded, |_| ()),
        "QueryChaincodeDefinitions" => both::<QueryChaincodeDefinitionsResult>(ours, recorded, |result| {
            result.chaincode_definitions.sort_by(|a, b| a.name.cmp(&b.name));
        }),
        "QueryApprovedChaincodeDefinitions" => {
            both::<QueryApprovedChaincodeDefinitionsResult>(ours, recorded, |result| {
                let key = |approved: &selvedge_proto::lifecycle::query_approved_chaincode_definitions_result::ApprovedChaincodeDefinition| (approved.name.clone(), approved.sequence);
                result.approved_chaincode_definitions.sort_by_key(key);
            })
        }
        _ => ours == recorded,
    }
}

fn same(exchange: &Exchange, response: &Response, results: &Bytes) -> bool {
    let recorded = &exchange.response;
    response.status == recorded.status
        && same_message(&response.message, &recorded.message)
        && same_payload(&exchange.function(), &response.payload, &recorded.payload)
        && exchange.results.as_ref().is_none_or(|recorded| recorded == results)
}

#[tokio::test]
async fn golden_calls_are_answered_as_recorded() {
    let mut peers = Peers::new();
    let (mut answered, mut endorsed, mut refused_before) = (0, 0, 0);
    for line in Corpus::get().json_lines("exchanges/lifecycle.jsonl") {
        let Some(exchange) = Exchange::read(&line) else {
            refused_before += 1;
            continue;
        };
        let label = &exchange.label;
        if exchange.channel.is_empty() {
            match exchange.function().as_str() {
                "QueryInstalledChaincode" | "QueryInstalledChaincodes" => installed(&peers, &exchange).await,
                _ => {
                    let (response, results) = peers.ask(&exchange, None, &Vec::new).await;
                    assert!(same(&exchange, &response, &results), "{label}: {response:?}");
                }
            }
        } else {
            let place = (exchange.organisation.clone(), exchange.channel.clone());
            let chain = &peers.chains[&place];
            let mut first = None;
            let mut found = None;
            for height in peers.heights[&place]..=chain.height() {
                let (response, results) = peers.ask(&exchange, Some((chain, height)), &Vec::new).await;
                if same(&exchange, &response, &results) {
                    found = Some(height);
                    break;
                }
                first.get_or_insert((height, response));
            }
            let found = found.unwrap_or_else(|| {
                panic!("{label}: recorded {:?}, ours {first:?}", exchange.response);
            });
            peers.heights.insert(place, found);
            endorsed += usize::from(exchange.results.is_some());
        }
        answered += 1;
    }
    assert!(answered > 0 && endorsed > 0, "{answered} answered, {endorsed} of them endorsed");
    // What the endorser refuses by itself is the one kind of exchange that does not come here.
    assert!(refused_before < answered);
}

/// Compares what runs the installed packages, channel by channel. Packages that the recorded peer got without a recorded
/// call cannot be compared.
async fn installed(peers: &Peers, exchange: &Exchange) {
    let label = &exchange.label;
    let recorded = &exchange.response;
    let refused = recorded.status != 200;
    for ((organisation, channel), chain) in &peers.chains {
        if organisation != &exchange.organisation {
            continue;
        }
        let mut agreed = false;
        let mut last = None;
        for height in 1..=chain.height() {
            let snapshot: Arc<dyn Snapshot> = Arc::clone(chain.snapshot(height)) as _;
            let channels = move || vec![(channel.clone(), Arc::clone(&snapshot))];
            let (response, results) = peers.ask(exchange, None, &channels).await;
            agreed = if refused {
                same(exchange, &response, &results)
            } else {
                let host = &peers.hosts[organisation];
                response.status == 200
                    && installed_in(exchange, &response.payload, channel, host)
                        == installed_in(exchange, &recorded.payload, channel, host)
            };
            last = Some(response);
            if agreed {
                break;
            }
        }
        assert!(agreed, "{label}, {channel}: recorded {recorded:?}, ours at last {last:?}");
    }
}

/// Per package that is installed here its label and what runs it on one channel.
fn installed_in(
    exchange: &Exchange,
    payload: &Bytes,
    channel: &str,
    host: &Host,
) -> BTreeMap<String, (String, Vec<(String, String)>)> {
    let mut all: BTreeMap<String, (String, Vec<(String, String)>)> = BTreeMap::new();
    if exchange.function() == "QueryInstalledChaincode" {
        let result = QueryInstalledChaincodeResult::decode(payload.clone()).unwrap();
        let uses = result.references.get(channel).map(|references| references.chaincodes.as_slice());
        let uses = uses.unwrap_or_default().iter().map(|used| (used.name.clone(), used.version.clone()));
        all.insert(result.package_id, (result.label, uses.collect()));
    } else {
        let result = QueryInstalledChaincodesResult::decode(payload.clone()).unwrap();
        for installed in result.installed_chaincodes {
            let uses = installed.references.get(channel).map(|references| references.chaincodes.as_slice());
            let uses = uses.unwrap_or_default().iter().map(|used| (used.name.clone(), used.version.clone()));
            all.insert(installed.package_id, (installed.label, uses.collect()));
        }
    }
    all.retain(|package_id, _| host.is_installed(package_id));
    all.values_mut().for_each(|(_, uses)| uses.sort());
    all
}
