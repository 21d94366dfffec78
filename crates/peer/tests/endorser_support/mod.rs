//! A network of one organization with an administrator, a peer with a gateway, and an ordering service that makes a
//! block of every transaction.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use prost::Message;
use selvedge_identity::block::header_bytes;
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization};
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_identity::{Msp, SigningIdentity};
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::block::build;
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_ledger::storage::{MemoryStorage, Storage};
use selvedge_peer::endorser::{Endorser, EndorserConfig, LocalEndorser};
use selvedge_peer::gateway::{
    BroadcastError, Broadcaster, Gateway, GatewayChannel, GatewayConfig, GatewayError,
};
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::node::{Peer, PeerConfig};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage, Validity};
use selvedge_proto::common::{
    Block, ChannelHeader, Envelope, Header, HeaderType, LastConfig, Metadata, MetadataSignature,
    OrdererBlockMetadata, SignatureHeader, Status,
};
use selvedge_proto::etcdraft::Consenter;
use selvedge_proto::gateway::{
    CommitStatusRequest, CommitStatusResponse, EndorseRequest, EvaluateRequest, SignedCommitStatusRequest,
    SubmitRequest,
};
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CommitChaincodeDefinitionArgs,
    InstallChaincodeArgs, InstallChaincodeResult, chaincode_source,
};
use selvedge_proto::msp::MspConfig;
use selvedge_proto::orderer::BroadcastResponse;
use selvedge_proto::protos::{
    ChaincodeHeaderExtension, ChaincodeId, ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload,
    ChaincodeSpec, Proposal, Response, SignedProposal, TxValidationCode,
};
use selvedge_session::query::Limits;
use tokio::sync::watch;

pub(crate) const LIFECYCLE: &str = "_lifecycle";

pub(crate) const CHANNEL: &str = "testchannel";

/// Far more than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// An organization with one identity for each role.
pub(crate) struct Org {
    pub(crate) msp: MspConfig,
    pub(crate) peer: Arc<SigningIdentity>,
    pub(crate) client: Arc<SigningIdentity>,
    pub(crate) admin: Arc<SigningIdentity>,
    /// A client whose certificate is over.
    pub(crate) expired: Arc<SigningIdentity>,
}

impl Org {
    fn new(msp_id: &str, node: &str) -> Self {
        let spec = AuthoritySpec { common_name: format!("ca.{msp_id}"), ..AuthoritySpec::default() };
        let authority = Authority::new(&spec).unwrap();
        let identity_until = |role: &str, validity: Validity| {
            let spec = LeafSpec {
                validity,
                common_name: format!("{role}0"),
                organizational_units: vec![role.to_owned()],
                usage: Usage::Signing,
                ..LeafSpec::default()
            };
            let leaf = authority.issue(&spec).unwrap();
            let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes());
            Arc::new(SigningIdentity::from_pem(msp_id, certificate, key).unwrap())
        };
        let identity = |role| identity_until(role, Validity::default());
        let root = Bytes::copy_from_slice(authority.certificate_pem().as_bytes());
        let msp = msp_config(&MspDescription { id: msp_id.to_owned(), root, ..MspDescription::default() });
        // It was valid when the authority was there, so that nothing but its end speaks against it.
        let valid = Validity::default();
        let over = Validity { not_after: valid.not_before + Duration::from_secs(60), ..valid };
        let expired = identity_until("client", over);
        Self { msp, peer: identity(node), client: identity("client"), admin: identity("admin"), expired }
    }
}

/// The ordering service.
#[derive(Clone)]
pub(crate) struct Solo {
    signer: Arc<SigningIdentity>,
    blocks: watch::Sender<Vec<Block>>,
}

impl Solo {
    fn order(&self, entry: Bytes) {
        self.blocks.send_modify(|blocks| {
            let mut block = build(blocks.last().unwrap().header.as_ref(), vec![entry]);
            sign(&self.signer, &mut block);
            blocks.push(block);
        });
    }
}

#[async_trait]
impl Broadcaster for Solo {
    fn msp_id(&self) -> &str {
        self.signer.msp_id()
    }

    fn address(&self) -> &str {
        "127.0.0.1:7050"
    }

    async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        self.order(envelope.encode_to_vec().into());
        Ok(BroadcastResponse { status: Status::Success as i32, info: String::new() })
    }
}

impl BlockSource for Solo {
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>> {
        let start = (self.blocks.subscribe(), usize::try_from(from).unwrap());
        stream::unfold(start, |(mut receiver, number)| async move {
            let block = receiver.wait_for(|blocks| blocks.len() > number).await.ok()?[number].clone();
            Some((Ok(block), (receiver, number + 1)))
        })
        .boxed()
    }
}

fn sign(signer: &SigningIdentity, block: &mut Block) {
    let value = OrdererBlockMetadata { last_config: Some(LastConfig { index: 0 }), ..Default::default() };
    let value = encode(&value);
    let creator = signer.serialized().clone();
    let signature_header = encode(&SignatureHeader { creator, nonce: Bytes::from_static(b"nonce") });
    let signed = [&value[..], &signature_header, &header_bytes(block.header.as_ref().unwrap())].concat();
    let signature = signer.sign(&signed).unwrap();
    let signature = MetadataSignature { signature_header, signature, ..MetadataSignature::default() };
    block.metadata.as_mut().unwrap().metadata[0] = encode(&Metadata { value, signatures: vec![signature] });
}

/// A peer with its gateway on a channel.
pub(crate) struct Network {
    pub(crate) org: Org,
    pub(crate) peer: Peer,
    pub(crate) endorser: LocalEndorser,
    pub(crate) gateway: Gateway,
    _folder: tempfile::TempDir,
}

impl Network {
    pub(crate) async fn start() -> Self {
        Self::with(true, Limits::default()).await
    }

    /// A network whose peer keeps its ledgers there.
    pub(crate) async fn start_on(storage: Arc<dyn Storage>) -> Self {
        Self::built(storage, true, Limits::default()).await
    }

    /// A network whose peer keeps histories or does not, and bounds queries like this.
    pub(crate) async fn with(history: bool, queries: Limits) -> Self {
        Self::built(Arc::new(MemoryStorage::new()), history, queries).await
    }

    async fn built(storage: Arc<dyn Storage>, history: bool, queries: Limits) -> Self {
        let org = Org::new("Org1MSP", "peer");
        let ordering = Org::new("OrdererMSP", "orderer");
        let genesis = genesis(&org, &ordering).block();
        let blocks = watch::Sender::new(vec![genesis.clone()]);
        let orderer = Solo { signer: Arc::clone(&ordering.peer), blocks };
        let folder = tempfile::tempdir().unwrap();
        let mut config = HostConfig::new(folder.path().join("peer"));
        config.temp_dir = folder.path().to_owned();
        let host = Host::open(config).unwrap();
        let msp = Arc::new(Msp::from_config(&org.msp).unwrap());
        let mut ledgers = LedgerConfig::new("/ledgers");
        ledgers.history = history;
        let config = PeerConfig::new(Arc::clone(&org.peer), Arc::clone(&msp), storage, ledgers);
        let peer = Peer::new(config, host.clone());
        let channel = peer.join(genesis, Arc::new(orderer.clone())).await.unwrap();
        let mut config = EndorserConfig::new("127.0.0.1:7051");
        config.queries = queries;
        let endorser = LocalEndorser::new(Arc::clone(&org.peer), msp, host, peer.channels().clone(), config);
        let gateway = Gateway::new("Org1MSP", GatewayConfig::default());
        let endorsers: Vec<Arc<dyn Endorser>> = vec![Arc::new(endorser.clone())];
        gateway.set_channel(GatewayChannel { channel, endorsers, broadcasters: vec![Arc::new(orderer)] });
        Self { org, peer, endorser, gateway, _folder: folder }
    }

    pub(crate) async fn evaluate(&self, chaincode: &str, args: &[&[u8]]) -> Result<Response, GatewayError> {
        let proposal = Draft::new(chaincode, args).sign(&self.org.client);
        let request = EvaluateRequest { proposed_transaction: Some(proposal), ..EvaluateRequest::default() };
        within(self.gateway.evaluate(request)).await.map(|response| response.result.unwrap())
    }

    /// What the endorser itself answers to a call of the chaincode `basic`.
    pub(crate) async fn endorser_says(&self, args: &[&[u8]]) -> Response {
        let proposal = Draft::new("basic", args).sign(&self.org.client);
        within(self.endorser.process_proposal(proposal)).await.unwrap().response.unwrap()
    }

    /// Endorses, signs, submits and waits for the verdict.
    pub(crate) async fn submit(
        &self,
        by: &SigningIdentity,
        draft: Draft,
    ) -> Result<CommitStatusResponse, GatewayError> {
        let transaction_id = draft.tx_id(by);
        let request =
            EndorseRequest { proposed_transaction: Some(draft.sign(by)), ..EndorseRequest::default() };
        let endorsed = within(self.gateway.endorse(request)).await?;
        let mut transaction = endorsed.prepared_transaction.unwrap();
        transaction.signature = by.sign(&transaction.payload).unwrap();
        let request = SubmitRequest {
            channel_id: CHANNEL.to_owned(),
            prepared_transaction: Some(transaction),
            ..SubmitRequest::default()
        };
        within(self.gateway.submit(request)).await?;
        let identity = by.serialized().clone();
        let request = CommitStatusRequest { transaction_id, channel_id: CHANNEL.to_owned(), identity };
        let request = encode(&request);
        let signature = by.sign(&request).unwrap();
        within(self.gateway.commit_status(SignedCommitStatusRequest { request, signature })).await
    }
}

/// A proposal to be.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) channel: &'static str,
    pub(crate) chaincode: String,
    pub(crate) input: ChaincodeInput,
    pub(crate) transient: BTreeMap<String, Bytes>,
    pub(crate) nonce: Bytes,
}

static NONCES: AtomicU64 = AtomicU64::new(0);

impl Draft {
    pub(crate) fn new(chaincode: &str, args: &[&[u8]]) -> Self {
        let args = args.iter().map(|arg| Bytes::copy_from_slice(arg)).collect();
        let number = NONCES.fetch_add(1, Ordering::Relaxed);
        Self {
            channel: CHANNEL,
            chaincode: chaincode.to_owned(),
            input: ChaincodeInput { args, ..ChaincodeInput::default() },
            transient: BTreeMap::new(),
            nonce: Bytes::copy_from_slice(&[&[3; 16][..], &number.to_be_bytes()].concat()),
        }
    }

    pub(crate) fn tx_id(&self, by: &SigningIdentity) -> String {
        hex::encode(digest(&SHA256, &[&self.nonce[..], by.serialized()].concat()))
    }

    pub(crate) fn proposal(&self, by: &SigningIdentity) -> Proposal {
        let id = ChaincodeId { name: self.chaincode.clone(), ..ChaincodeId::default() };
        let extension = ChaincodeHeaderExtension { chaincode_id: Some(id.clone()) };
        let channel = ChannelHeader {
            r#type: HeaderType::EndorserTransaction as i32,
            timestamp: Some(SystemTime::now().into()),
            channel_id: self.channel.to_owned(),
            tx_id: self.tx_id(by),
            extension: encode(&extension),
            ..ChannelHeader::default()
        };
        let spec = ChaincodeSpec {
            chaincode_id: Some(id),
            input: Some(self.input.clone()),
            ..ChaincodeSpec::default()
        };
        let payload = ChaincodeProposalPayload {
            input: encode(&ChaincodeInvocationSpec { chaincode_spec: Some(spec) }),
            transient_map: self.transient.clone(),
        };
        let signature = SignatureHeader { creator: by.serialized().clone(), nonce: self.nonce.clone() };
        let header = Header { channel_header: encode(&channel), signature_header: encode(&signature) };
        Proposal { header: encode(&header), payload: encode(&payload), ..Proposal::default() }
    }

    pub(crate) fn sign(&self, by: &SigningIdentity) -> SignedProposal {
        sign_proposal(by, encode(&self.proposal(by)))
    }
}

pub(crate) fn sign_proposal(by: &SigningIdentity, proposal_bytes: Bytes) -> SignedProposal {
    let signature = by.sign(&proposal_bytes).unwrap();
    SignedProposal { proposal_bytes, signature }
}

/// Installs a package; returns its id.
pub(crate) async fn install(network: &Network, package: Bytes) -> String {
    let args = InstallChaincodeArgs { chaincode_install_package: package };
    let mut draft = Draft::new(LIFECYCLE, &[b"InstallChaincode", &encode(&args)]);
    draft.channel = "";
    let answer = network.endorser.process_proposal(draft.sign(&network.org.admin)).await.unwrap();
    let response = answer.response.unwrap();
    assert_eq!((response.status, response.message.as_str()), (200, ""));
    assert!(answer.payload.is_empty() && answer.endorsement.is_none(), "there is nothing to endorse");
    InstallChaincodeResult::decode(response.payload).unwrap().package_id
}

/// Approves and commits a definition.
pub(crate) async fn define(network: &Network, name: &str, package_id: &str, init_required: bool) {
    let local = chaincode_source::Local { package_id: package_id.to_owned() };
    let approve = ApproveChaincodeDefinitionForMyOrgArgs {
        sequence: 1,
        name: name.to_owned(),
        version: "1.0".to_owned(),
        init_required,
        source: Some(ChaincodeSource { r#type: Some(chaincode_source::Type::LocalPackage(local)) }),
        ..Default::default()
    };
    let commit = CommitChaincodeDefinitionArgs {
        sequence: 1,
        name: name.to_owned(),
        version: "1.0".to_owned(),
        init_required,
        ..Default::default()
    };
    for (function, args) in [
        ("ApproveChaincodeDefinitionForMyOrg", encode(&approve)),
        ("CommitChaincodeDefinition", encode(&commit)),
    ] {
        let draft = Draft::new(LIFECYCLE, &[function.as_bytes(), &args]);
        let status = network.submit(&network.org.admin, draft).await.unwrap();
        assert_eq!(status.result(), TxValidationCode::Valid, "{function}");
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it should not take that long")
}

pub(crate) fn encode(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

fn genesis(org: &Org, ordering: &Org) -> Genesis {
    let certificate = ordering.peer.certificate_pem().clone();
    Genesis {
        channel_id: CHANNEL.to_owned(),
        organizations: vec![Organization {
            name: "Org1".to_owned(),
            msp_id: "Org1MSP".to_owned(),
            msp: org.msp.clone(),
            anchor_peers: Vec::new(),
        }],
        orderers: vec![OrderingOrganization {
            name: "OrdererOrg".to_owned(),
            msp_id: "OrdererMSP".to_owned(),
            msp: ordering.msp.clone(),
            endpoints: vec!["127.0.0.1:7050".to_owned()],
        }],
        consenters: vec![Consenter {
            host: "127.0.0.1".to_owned(),
            port: 7050,
            client_tls_cert: certificate.clone(),
            server_tls_cert: certificate,
        }],
        max_message_count: 500,
        absolute_max_bytes: 10 << 20,
        preferred_max_bytes: 2 << 20,
        batch_timeout: "2s".to_owned(),
        channel_capability: "V2_0".to_owned(),
        orderer_capability: "V2_0".to_owned(),
        application_capability: "V2_5".to_owned(),
        access: BTreeMap::new(),
        created_at: 1_700_000_000,
        nonce: vec![7; 24].into(),
    }
}
