//! A channel's organizations, an orderer behind a TLS listener, and clients of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_identity::channel::ChannelConfig;
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization};
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_identity::{SigningIdentity, VerificationCache};
use selvedge_ledger::block;
use selvedge_ledger::log::LogOptions;
use selvedge_ledger::storage::{MemoryStorage, Storage};
use selvedge_orderer::{BroadcastService, ChainSource, Cutting, Orderer, OrdererConfig};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage, Validity};
use selvedge_proto::common::{
    Block, ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader, Status,
};
use selvedge_proto::orderer::atomic_broadcast_client::AtomicBroadcastClient;
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{
    BroadcastResponse, DeliverResponse, SeekInfo, SeekNewest, SeekNextCommit, SeekOldest, SeekPosition,
    SeekSpecified,
};
use selvedge_proto::prost_types::Timestamp;
use selvedge_tls::{
    ClientTls, DialOptions, Identity as TlsIdentity, Limits, Listener, ServerTls, Target, channel,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Server};

/// A safety net only; nothing here takes long.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CHANNEL: &str = "weave";

const MESSAGE_BYTES: usize = 100 << 20;

pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

/// An organization's authority.
pub(crate) struct Org {
    msp_id: &'static str,
    authority: Authority,
}

impl Org {
    fn new(msp_id: &'static str) -> Self {
        let spec = AuthoritySpec { common_name: format!("ca.{msp_id}"), ..AuthoritySpec::default() };
        Self { msp_id, authority: Authority::new(&spec).expect("an authority") }
    }

    fn msp(&self) -> selvedge_proto::msp::MspConfig {
        msp_config(&MspDescription {
            id: self.msp_id.to_owned(),
            root: self.authority.certificate_pem().to_owned().into(),
            ..MspDescription::default()
        })
    }

    pub(crate) fn member(&self, role: &str) -> SigningIdentity {
        self.member_until(role, Validity::default())
    }

    pub(crate) fn member_until(&self, role: &str, validity: Validity) -> SigningIdentity {
        let spec = LeafSpec {
            common_name: format!("{role} of {}", self.msp_id),
            organizational_units: vec![role.to_owned()],
            usage: Usage::Signing,
            validity,
            ..LeafSpec::default()
        };
        let leaf = self.authority.issue(&spec).expect("a certificate");
        let pem = leaf.certificate_pem.as_bytes();
        SigningIdentity::from_pem(self.msp_id, pem, leaf.key_pem.as_bytes()).expect("an identity")
    }
}

/// Who there is. The third organization is not in the channel.
pub(crate) struct World {
    pub(crate) org1: Org,
    org2: Org,
    pub(crate) org3: Org,
    pub(crate) orderers: Org,
    pub(crate) alice: SigningIdentity,
    pub(crate) genesis: Block,
    pub(crate) node: Arc<SigningIdentity>,
    pub(crate) signatures: Arc<VerificationCache>,
}

/// The limits of the channel's blocks.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) messages: u32,
    pub(crate) absolute: u32,
    pub(crate) preferred: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self { messages: 10, absolute: 10 << 20, preferred: 2 << 20 }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_batch(Batch::default())
    }

    pub(crate) fn with_batch(batch: Batch) -> Self {
        let [org1, org2, org3, orderers] = ["Org1MSP", "Org2MSP", "Org3MSP", "OrdererMSP"].map(Org::new);
        let genesis = genesis([&org1, &org2], &orderers, batch);
        let alice = org1.member("client");
        let node = Arc::new(orderers.member("orderer"));
        let signatures = VerificationCache::new(1000);
        Self { genesis: genesis.block(), alice, node, signatures, org1, org2, org3, orderers }
    }

    /// The same members in a channel with other limits.
    pub(crate) fn set_batch(&mut self, batch: Batch) {
        self.genesis = genesis([&self.org1, &self.org2], &self.orderers, batch).block();
    }

    pub(crate) fn config(&self) -> ChannelConfig {
        ChannelConfig::from_block(&self.genesis).expect("a configuration")
    }

    /// An orderer that has joined no channel yet.
    pub(crate) fn orderer(&self, storage: Arc<dyn Storage>, folder: PathBuf, cutting: Cutting) -> Orderer {
        Orderer::new(OrdererConfig {
            identity: Arc::clone(&self.node),
            storage,
            folder,
            log: LogOptions::default(),
            cutting,
            signatures: Arc::clone(&self.signatures),
            queue: 100,
        })
    }

    /// An orderer of the channel that keeps nothing.
    pub(crate) fn joined(&self, cutting: Cutting) -> (Orderer, ChainSource) {
        let orderer = self.orderer(Arc::new(MemoryStorage::new()), PathBuf::from("orderer"), cutting);
        let source = orderer.join(&self.genesis).expect("a new channel");
        (orderer, source)
    }

    /// A transaction of Alice's whose content is `data`.
    pub(crate) fn transaction(&self, data: impl Into<Bytes>) -> Envelope {
        sign(&self.alice, &header(HeaderType::EndorserTransaction, CHANNEL), data)
    }

    pub(crate) fn seek(&self, info: &SeekInfo) -> Envelope {
        sign(&self.alice, &header(HeaderType::DeliverSeekInfo, CHANNEL), info.encode_to_vec())
    }

    /// Blocks that follow each other, are signed by the orderer, and hold what a real one's metadata do.
    pub(crate) fn check_chain(&self, blocks: &[Block]) {
        let config = self.config();
        assert_eq!(blocks.first(), Some(&self.genesis));
        for pair in blocks.windows(2) {
            let [previous, block] = pair else { unreachable!("a window of two") };
            let previous = previous.header.as_ref().expect("a header");
            let header = block.header.as_ref().expect("a header");
            assert_eq!(header.number, previous.number + 1);
            assert_eq!(header.previous_hash, block::header_hash(previous).as_slice());
            let entries = &block.data.as_ref().expect("data").data;
            assert!(!entries.is_empty());
            assert_eq!(header.data_hash, block::data_hash(entries).as_slice());
            config.verify_block(block).expect("the orderer's signature");
            block::check_well_formed(entries).expect("a block that a peer takes");
            let slots = &block.metadata.as_ref().expect("metadata").metadata;
            assert_eq!(slots.len(), block::METADATA_SLOTS);
            assert!(
                slots[1..].iter().all(Bytes::is_empty),
                "as in the recorded blocks after a genesis block"
            );
            assert_eq!(block::last_config_of(block), Some(0));
        }
    }
}

fn genesis(members: [&Org; 2], orderers: &Org, batch: Batch) -> Genesis {
    let member = |name: &str, org: &Org| Organization {
        name: name.to_owned(),
        msp_id: org.msp_id.to_owned(),
        msp: org.msp(),
        anchor_peers: Vec::new(),
    };
    Genesis {
        channel_id: CHANNEL.to_owned(),
        organizations: vec![member("Org1", members[0]), member("Org2", members[1])],
        orderers: vec![OrderingOrganization {
            name: "OrdererOrg".to_owned(),
            msp_id: orderers.msp_id.to_owned(),
            msp: orderers.msp(),
            endpoints: vec!["localhost:7050".to_owned()],
        }],
        consenters: Vec::new(),
        max_message_count: batch.messages,
        absolute_max_bytes: batch.absolute,
        preferred_max_bytes: batch.preferred,
        batch_timeout: "2s".to_owned(),
        channel_capability: "V2_0".to_owned(),
        orderer_capability: "V2_0".to_owned(),
        application_capability: "V2_5".to_owned(),
        access: Default::default(),
        created_at: 1,
        nonce: Bytes::from_static(&[7; 24]),
    }
}

pub(crate) fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970");
    Timestamp { seconds: now.as_secs().try_into().expect("a near year"), nanos: 0 }
}

pub(crate) fn header(kind: HeaderType, channel: &str) -> ChannelHeader {
    ChannelHeader {
        r#type: kind.into(),
        channel_id: channel.to_owned(),
        timestamp: Some(now()),
        ..ChannelHeader::default()
    }
}

pub(crate) fn sign(who: &SigningIdentity, header: &ChannelHeader, data: impl Into<Bytes>) -> Envelope {
    let nonce = Bytes::from_static(b"nonce");
    let signature_header = SignatureHeader { creator: who.serialized().clone(), nonce };
    let header = Header {
        channel_header: header.encode_to_vec().into(),
        signature_header: signature_header.encode_to_vec().into(),
    };
    sign_payload(who, Payload { header: Some(header), data: data.into() }.encode_to_vec())
}

pub(crate) fn sign_payload(who: &SigningIdentity, payload: impl Into<Bytes>) -> Envelope {
    let payload = payload.into();
    let signature = who.sign(&payload).expect("a signature");
    Envelope { payload, signature }
}

pub(crate) fn oldest() -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(Position::Oldest(SeekOldest {})) })
}

pub(crate) fn newest() -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(Position::Newest(SeekNewest {})) })
}

pub(crate) fn next_commit() -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(Position::NextCommit(SeekNextCommit {})) })
}

pub(crate) fn at(number: u64) -> Option<SeekPosition> {
    Some(SeekPosition { r#type: Some(Position::Specified(SeekSpecified { number })) })
}

pub(crate) fn from_to(start: Option<SeekPosition>, stop: Option<SeekPosition>) -> SeekInfo {
    SeekInfo { start, stop, ..SeekInfo::default() }
}

pub(crate) fn number(block: &Block) -> u64 {
    block.header.as_ref().expect("a header").number
}

/// An orderer behind a TLS listener.
pub(crate) struct Served {
    pub(crate) orderer: Arc<Orderer>,
    authority: Authority,
    target: Target,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Served {
    pub(crate) async fn start(orderer: Orderer) -> Self {
        Self::start_with(orderer, false).await
    }

    pub(crate) async fn start_with(orderer: Orderer, mutual: bool) -> Self {
        let authority = Authority::new(&AuthoritySpec::default()).expect("an authority");
        let leaf = tls_leaf(&authority);
        let server = ServerTls::builder(TlsIdentity::from_pem(&leaf.0, &leaf.1).expect("a pair"));
        let security = match mutual {
            true => server.require_client_certificates(authority.certificate_pem()).build(),
            false => server.without_client_certificates(),
        };
        let security = security.expect("a server's configuration");
        let listener = Listener::bind("127.0.0.1:0", security, Limits::default()).await.expect("a port");
        let target = Target { host: "localhost".to_owned(), port: listener.local_addr().port() };
        let orderer = Arc::new(orderer);
        let (stop, stopped) = oneshot::channel::<()>();
        let service = BroadcastService::server(Arc::clone(&orderer));
        let task = tokio::spawn(Server::builder().add_service(service).serve_with_incoming_shutdown(
            listener,
            async {
                let _ = stopped.await;
            },
        ));
        Self { orderer, authority, target, stop, task }
    }

    pub(crate) async fn client(&self) -> Client {
        let tls = ClientTls::builder(self.authority.certificate_pem()).build().expect("a client");
        self.connect(tls).await
    }

    /// A client with a certificate, and the hash of it.
    pub(crate) async fn client_with_certificate(&self) -> (Client, Bytes) {
        let leaf = tls_leaf(&self.authority);
        let identity = TlsIdentity::from_pem(&leaf.0, &leaf.1).expect("a pair");
        let hash = Bytes::copy_from_slice(&identity.certificate().fingerprint.0);
        let tls = ClientTls::builder(self.authority.certificate_pem()).identity(identity).build();
        (self.connect(tls.expect("a client")).await, hash)
    }

    async fn connect(&self, tls: ClientTls) -> Client {
        let channel =
            channel(&self.target, &tls.into(), &DialOptions::default()).await.expect("a connection");
        Client { stub: AtomicBroadcastClient::new(channel).max_decoding_message_size(MESSAGE_BYTES) }
    }

    /// Stops the orderer, then the server; all clients must be gone.
    pub(crate) async fn end(self) {
        in_time("stopping the orderer", self.orderer.stop()).await;
        self.stop.send(()).expect("a running server");
        in_time("stopping the server", self.task).await.expect("no panic").expect("a good end");
    }
}

fn tls_leaf(authority: &Authority) -> (String, selvedge_pki::KeyPem) {
    let spec = LeafSpec { sans: vec!["localhost".to_owned()], ..LeafSpec::default() };
    let leaf = authority.issue(&spec).expect("a certificate");
    (leaf.certificate_pem, leaf.key_pem)
}

/// A client of an orderer.
#[derive(Clone)]
pub(crate) struct Client {
    stub: AtomicBroadcastClient<Channel>,
}

/// One open stream of a client.
pub(crate) struct Call<A> {
    sender: mpsc::Sender<Envelope>,
    answers: Streaming<A>,
}

impl Client {
    pub(crate) async fn broadcast(&mut self) -> Call<BroadcastResponse> {
        let (sender, envelopes) = mpsc::channel(16);
        let answers = self.stub.broadcast(ReceiverStream::new(envelopes));
        let answers = in_time("opening a stream", answers).await.expect("a stream").into_inner();
        Call { sender, answers }
    }

    pub(crate) async fn deliver(&mut self) -> Call<DeliverResponse> {
        let (sender, envelopes) = mpsc::channel(16);
        let answers = self.stub.deliver(ReceiverStream::new(envelopes));
        let answers = in_time("opening a stream", answers).await.expect("a stream").into_inner();
        Call { sender, answers }
    }

    /// What one envelope is answered on a stream of its own.
    pub(crate) async fn broadcast_one(&mut self, envelope: Envelope) -> (Status, String) {
        let mut call = self.broadcast().await;
        call.send(envelope).await;
        let answer = call.next().await.expect("an answer");
        if answer.status() != Status::Success {
            assert_eq!(call.next().await, None, "a refusal ends the stream");
        }
        (answer.status(), answer.info)
    }

    /// The answers to one seek on a stream of its own, up to the status that ends them.
    pub(crate) async fn read(&mut self, seek: Envelope) -> (Vec<Block>, Status) {
        let mut call = self.deliver().await;
        call.send(seek).await;
        call.read().await
    }
}

impl<A> Call<A> {
    pub(crate) async fn send(&self, envelope: Envelope) {
        in_time("sending", self.sender.send(envelope)).await.expect("an open stream");
    }

    /// The next answer; `None` when the server has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<A> {
        in_time("an answer", self.answers.message()).await.expect("no error of the transport")
    }

    /// Tells the server that nothing more will be sent.
    pub(crate) fn close(&mut self) {
        self.sender = mpsc::channel(1).0;
    }

    pub(crate) fn split(self) -> (mpsc::Sender<Envelope>, Streaming<A>) {
        (self.sender, self.answers)
    }
}

impl Call<DeliverResponse> {
    /// The answers to one seek, up to the status that ends them.
    pub(crate) async fn read(&mut self) -> (Vec<Block>, Status) {
        let mut blocks = Vec::new();
        loop {
            match self.next().await.expect("an answer").r#type.expect("a kind of answer") {
                Answer::Block(block) => blocks.push(block),
                Answer::Status(status) => return (blocks, Status::try_from(status).expect("a known status")),
            }
        }
    }

    pub(crate) async fn block(&mut self) -> Block {
        match self.next().await.expect("an answer").r#type {
            Some(Answer::Block(block)) => block,
            other => panic!("{other:?} where a block was expected"),
        }
    }
}
