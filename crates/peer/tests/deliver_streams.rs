//! Deliver and ChaincodeEvents over a real listener under mutual TLS.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use prost::Message;
use selvedge_client::{BlockPosition, BlockRange, Checkpoint, ClientError, Deliver, Gateway};
use selvedge_identity::SigningIdentity;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_peer::channel::Channel;
use selvedge_peer::deliver::DeliverService;
use selvedge_peer::gateway::{Gateway as PeerGateway, GatewayChannel, GatewayConfig, GatewayService};
use selvedge_peer::node::Peer;
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::common::Status;
use selvedge_proto::protos::filtered_transaction::Data;
use selvedge_proto::protos::{ChaincodeAction, ChaincodeEvent, ChaincodeId, TxValidationCode};
use selvedge_tls::{ClientTls, DialOptions, Identity, Limits, Listener, ServerTls};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use committer_support::source::TestSource;
use committer_support::{CHANNEL, Draft, LONG, Network};

/// Streams of each service at a time.
const STREAMS: usize = 3;

/// A peer of Org1 on a channel with the chaincodes of [`Network::definitions`], served.
struct Served {
    network: Network,
    peer: Peer,
    channel: Arc<Channel>,
    source: TestSource,
    connection: tonic::transport::Channel,
    certificate_hash: [u8; 32],
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Served {
    async fn new(folder: &Path) -> Self {
        let network = Network::new();
        let source = TestSource::new(network.genesis.clone());
        let peer = network.peer(0, Arc::new(MemoryStorage::new()), folder);
        let channel = peer.join(network.genesis.clone(), Arc::new(source.clone())).await.unwrap();
        let gateway = PeerGateway::new("Org1MSP", GatewayConfig::default());
        let (endorsers, broadcasters) = (Vec::new(), Vec::new());
        gateway.set_channel(GatewayChannel { channel: Arc::clone(&channel), endorsers, broadcasters });
        let stop = CancellationToken::new();
        let deliver = DeliverService::with_limit(peer.channels().clone(), "Org1MSP", stop.clone(), STREAMS);
        let services = Services::new(ServiceLimits::default())
            .with(deliver.server())
            .with(GatewayService::new(gateway).until(stop.clone()).server());

        let authority = Authority::new(&AuthoritySpec::default()).unwrap();
        let sans = vec!["127.0.0.1".to_owned()];
        let leaf = authority.issue(&LeafSpec { sans, ..LeafSpec::default() }).unwrap();
        let identity = || Identity::from_pem(&leaf.certificate_pem, leaf.key_pem.as_bytes()).unwrap();
        let certificate_hash = identity().certificate().fingerprint.0;
        let server = ServerTls::builder(identity())
            .require_client_certificates(authority.certificate_pem())
            .build()
            .unwrap();
        let client = ClientTls::builder(authority.certificate_pem()).identity(identity()).build().unwrap();
        let listener = Listener::bind("127.0.0.1:0", server, Limits::default()).await.unwrap();
        let target = listener.local_addr().to_string().parse().unwrap();
        let stopped = stop.clone().cancelled_owned();
        let serving = tokio::spawn(async move { services.serve(listener, stopped).await.unwrap() });
        let connection =
            selvedge_tls::channel(&target, &client.into(), &DialOptions::default()).await.unwrap();
        let served = Self { network, peer, channel, source, connection, certificate_hash, stop, serving };
        served.commit(vec![served.network.definitions()]).await;
        served
    }

    /// Commits a block of these entries and gives its number.
    async fn commit(&self, entries: Vec<Bytes>) -> u64 {
        let block = self.network.block(&self.source.last(), entries);
        let number = committer_support::header(&block).number;
        self.source.push(block);
        let mut heights = self.channel.ledger().subscribe();
        tokio::time::timeout(LONG, heights.wait_for(|height| *height > number)).await.unwrap().unwrap();
        number
    }

    fn unbound(&self, by: &Arc<SigningIdentity>) -> Deliver {
        Deliver::new(self.connection.clone(), Arc::clone(by))
    }

    fn deliver(&self, org: usize) -> Deliver {
        self.unbound(&self.network.orgs[org].client).certificate_hash(self.certificate_hash)
    }

    fn gateway(&self) -> Gateway {
        Gateway::new(self.connection.clone(), Arc::clone(&self.network.orgs[0].client))
    }

    async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(LONG, self.serving).await.unwrap().unwrap();
        self.peer.shutdown().await;
    }
}

/// The entry of a draft that sets an event.
fn with_event(draft: &Draft<'_>, name: &str, payload: &'static str) -> Bytes {
    let event = ChaincodeEvent {
        chaincode_id: draft.chaincode.clone(),
        tx_id: draft.id(),
        event_name: name.to_owned(),
        payload: payload.into(),
    };
    let id = ChaincodeId { name: draft.chaincode.clone(), version: "1".to_owned(), ..ChaincodeId::default() };
    let action = ChaincodeAction {
        results: draft.results(),
        events: event.encode_to_vec().into(),
        chaincode_id: Some(id),
        ..ChaincodeAction::default()
    };
    draft.entry_with(action.encode_to_vec().into())
}

async fn next<T>(stream: &mut BoxStream<'static, T>) -> Option<T> {
    tokio::time::timeout(LONG, stream.next()).await.expect("in time")
}

fn only(number: u64) -> BlockRange {
    BlockRange::new(BlockPosition::Number(number), BlockPosition::Number(number))
}

fn status_of<T>(answer: Option<Result<T, ClientError>>) -> Status {
    match answer.expect("an answer") {
        Err(ClientError::Refused { status, .. }) => Status::try_from(status).unwrap(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a block"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seeks_are_bound_to_their_connection_and_their_readers() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path()).await;
    let client = Arc::clone(&served.network.orgs[0].client);
    let mut unbound = served.unbound(&client).blocks(CHANNEL, only(0)).await.unwrap();
    assert_eq!(status_of(next(&mut unbound).await), Status::BadRequest);
    assert!(next(&mut unbound).await.is_none());

    let mut bound = served.deliver(0).blocks(CHANNEL, only(0)).await.unwrap();
    assert_eq!(next(&mut bound).await.unwrap().unwrap(), served.channel.ledger().block(0).unwrap().unwrap());
    assert!(next(&mut bound).await.is_none());

    let stranger = Arc::clone(&Network::new().orgs[0].client);
    let stranger = served.unbound(&stranger).certificate_hash(served.certificate_hash);
    let mut refused = stranger.filtered_blocks(CHANNEL, only(0)).await.unwrap();
    assert_eq!(status_of(next(&mut refused).await), Status::Forbidden);
    let mut unknown = served.deliver(0).blocks("elsewhere", only(0)).await.unwrap();
    assert_eq!(status_of(next(&mut unknown).await), Status::NotFound);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn private_data_go_to_members_only() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path()).await;
    let draft = served.network.draft("basic").put_private("secrets", "key", "hidden");
    served.channel.transient().put(&draft.id(), 1, &draft.private()).unwrap();
    let number = served.commit(vec![draft.entry()]).await;

    let mut member = served.deliver(0).blocks_with_private_data(CHANNEL, only(number)).await.unwrap();
    let answer = next(&mut member).await.unwrap().unwrap();
    assert_eq!(answer.private_data_map.get(&0), Some(&draft.private()));
    assert_eq!(answer.block, served.channel.ledger().block(number).unwrap());
    let mut other = served.deliver(1).blocks_with_private_data(CHANNEL, only(number)).await.unwrap();
    let answer = next(&mut other).await.unwrap().unwrap();
    assert!(answer.block.is_some() && answer.private_data_map.is_empty());
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_from_valid_transactions_of_one_chaincode() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path()).await;
    let network = &served.network;
    let one_endorser = || network.draft("basic").put("k", "v").endorsed_by(&[&network.orgs[0].peer]);
    let (first, second) = (network.draft("basic").put("a", "1"), network.draft("basic").put("b", "2"));
    let invalid = one_endorser();
    let other = network.draft("open").put("c", "3");
    let entries = vec![
        with_event(&first, "first", "one"),
        with_event(&invalid, "invalid", "none"),
        with_event(&other, "other", "three"),
        with_event(&second, "second", "two"),
    ];
    let number = served.commit(entries).await;

    let gateway = served.gateway();
    let mut events = gateway.chaincode_events(CHANNEL, "basic", &Checkpoint::start()).await.unwrap();
    let event = next(&mut events).await.unwrap().unwrap();
    assert_eq!((event.block, event.name.as_str(), &event.payload[..]), (number, "first", &b"one"[..]));
    assert_eq!(event.tx_id, first.id());
    assert_eq!(next(&mut events).await.unwrap().unwrap().name, "second");
    let mut rest = gateway.chaincode_events(CHANNEL, "basic", &event.checkpoint()).await.unwrap();
    assert_eq!(next(&mut rest).await.unwrap().unwrap().tx_id, second.id());
    let mut later = gateway.chaincode_events(CHANNEL, "basic", &Checkpoint::now()).await.unwrap();
    // The last one waits for a block without events, which is skipped, and the one after that.
    served.commit(vec![network.draft("basic").put("d", "4").entry()]).await;
    let third = network.draft("basic").put("e", "5");
    let last = served.commit(vec![with_event(&third, "third", "3")]).await;
    for stream in [&mut events, &mut rest, &mut later] {
        let event = next(stream).await.unwrap().unwrap();
        assert_eq!((event.block, event.tx_id), (last, third.id()));
    }

    let mut blocks = served.deliver(0).filtered_blocks(CHANNEL, only(number)).await.unwrap();
    let block = next(&mut blocks).await.unwrap().unwrap();
    assert_eq!((block.channel_id.as_str(), block.number), (CHANNEL, number));
    let told = block.filtered_transactions.iter().map(|transaction| {
        let Some(Data::TransactionActions(actions)) = &transaction.data else { panic!("no actions") };
        let event = actions.chaincode_actions[0].chaincode_event.as_ref().unwrap();
        assert!(event.payload.is_empty());
        (transaction.txid.clone(), transaction.tx_validation_code(), event.event_name.as_str())
    });
    let expected = [
        (first.id(), TxValidationCode::Valid, "first"),
        (invalid.id(), TxValidationCode::EndorsementPolicyFailure, "invalid"),
        (other.id(), TxValidationCode::Valid, "other"),
        (second.id(), TxValidationCode::Valid, "second"),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    served.end().await;
}

/// Readers that follow the chain hold up neither the end of the service nor each other, and take no place for longer
/// than they are there.
#[tokio::test(flavor = "multi_thread")]
async fn streams_last_until_either_end_goes() {
    let folder = tempfile::tempdir().unwrap();
    let served = Served::new(folder.path()).await;
    let follow = || async {
        let deliver = served.deliver(0);
        deliver.blocks(CHANNEL, BlockRange::from(BlockPosition::Newest)).await
    };
    let mut readers = Vec::new();
    for _ in 0..STREAMS {
        let mut reader = follow().await.unwrap();
        assert!(next(&mut reader).await.unwrap().is_ok());
        readers.push(reader);
    }
    let refused = follow().await.map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("too many requests for /protos.Deliver"), "{refused}");
    drop(readers.pop());
    let freed = async {
        loop {
            // The peer learns of it a moment later.
            if let Ok(reader) = follow().await {
                return reader;
            }
            tokio::task::yield_now().await;
        }
    };
    readers.push(tokio::time::timeout(LONG, freed).await.unwrap());
    assert!(next(&mut readers[STREAMS - 1]).await.unwrap().is_ok());
    let mut events = served.gateway().chaincode_events(CHANNEL, "basic", &Checkpoint::start()).await.unwrap();

    served.stop.cancel();
    for reader in &mut readers {
        assert_eq!(code_of(next(reader).await), Code::Unavailable);
    }
    assert_eq!(code_of(next(&mut events).await), Code::Unavailable);
    served.end().await;
}

fn code_of<T>(answer: Option<Result<T, ClientError>>) -> Code {
    match answer.expect("an answer") {
        Err(ClientError::Service { code, .. }) => code,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an answer"),
    }
}
