//! A peer's services over a real listener with real certificates.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::convert::Infallible;
use std::future::{Pending, pending};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use committer_support::{LONG, Network};
use selvedge_ledger::storage::MemoryStorage;
use selvedge_peer::endorser::{EndorserConfig, EndorserService, LocalEndorser};
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::gateway::EvaluateRequest;
use selvedge_proto::gateway::gateway_client::GatewayClient;
use selvedge_proto::protos::SignedProposal;
use selvedge_proto::protos::endorser_client::EndorserClient;
use selvedge_tls::{
    ClientSecurity, ClientTls, DialOptions, Identity, Limits, Listener, ServerSecurity, ServerTls,
};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::metadata::AsciiMetadataValue;
use tonic::server::NamedService;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// A peer without channels that serves its endorser.
struct Served {
    channel: Channel,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Served {
    async fn new(limits: ServiceLimits) -> Self {
        let (network, folder) = (Network::new(), tempfile::tempdir().unwrap());
        let peer = network.peer(0, Arc::new(MemoryStorage::new()), folder.path());
        let endorser = LocalEndorser::new(
            Arc::clone(peer.identity()),
            Arc::clone(peer.local_msp()),
            peer.host().clone(),
            peer.channels().clone(),
            EndorserConfig::new("localhost:7051"),
        );
        let services = Services::new(limits).with(EndorserService::new(Arc::new(endorser)).server());

        let authority = Authority::new(&AuthoritySpec::default()).unwrap();
        let sans = vec!["127.0.0.1".to_owned()];
        let leaf = authority.issue(&LeafSpec { sans, ..LeafSpec::default() }).unwrap();
        let identity = || Identity::from_pem(&leaf.certificate_pem, leaf.key_pem.as_bytes()).unwrap();
        let server = ServerTls::builder(identity())
            .require_client_certificates(authority.certificate_pem())
            .build()
            .unwrap();
        let client = ClientTls::builder(authority.certificate_pem()).identity(identity()).build().unwrap();
        let listener = Listener::bind("127.0.0.1:0", server, Limits::default()).await.unwrap();
        let address = listener.local_addr().to_string();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let stopped = async {
                stopped.await.unwrap();
            };
            services.serve(listener, stopped).await.unwrap();
            peer.shutdown().await;
        });
        let target = address.parse().unwrap();
        let channel = selvedge_tls::channel(&target, &client.into(), &DialOptions::default()).await.unwrap();
        Self { channel, stop, serving, _folder: folder }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_and_large_headers_do_not() {
    let served = Served::new(ServiceLimits::default()).await;
    let mut client = EndorserClient::new(served.channel.clone()).max_encoding_message_size(200 << 20);
    let proposal = |size: usize| SignedProposal {
        proposal_bytes: vec![0xff; size].into(),
        signature: Bytes::from_static(b"signature"),
    };
    // The endorser itself refuses these proposals, as Fabric's does without a status of its own.
    for size in [1, 20 << 20] {
        let refused = client.process_proposal(proposal(size)).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unknown, "{refused}");
    }
    let refused = client.process_proposal(proposal(100 << 20)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
    let size = prost::Message::encoded_len(&proposal(100 << 20));
    assert_eq!(refused.message(), format!("grpc: received message larger than max ({size} vs. 104857600)"));

    let mut request = Request::new(proposal(1));
    let value = AsciiMetadataValue::try_from("a".repeat(100_000)).unwrap();
    request.metadata_mut().insert("large", value);
    let refused = client.process_proposal(request).await.unwrap_err();
    assert!(refused.message().contains("431"), "{refused}");

    let mut gateway = GatewayClient::new(served.channel.clone());
    let missing = gateway.evaluate(EvaluateRequest::default()).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unimplemented);
    served.stop.send(()).unwrap();
    tokio::time::timeout(LONG, served.serving).await.unwrap().unwrap();
}

/// Takes calls of the endorser's, tells of them, and never answers.
#[derive(Clone)]
struct Silent(Arc<Notify>);

impl NamedService for Silent {
    const NAME: &'static str = "protos.Endorser";
}

impl Service<http::Request<Body>> for Silent {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pending<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<Body>) -> Self::Future {
        self.0.notify_one();
        pending()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_lasts_does_not_hold_up_the_end() {
    let mut limits = ServiceLimits::default();
    limits.drain = Duration::from_millis(100);
    let listener = Listener::bind("127.0.0.1:0", ServerSecurity::Plaintext, Limits::default()).await.unwrap();
    let target = listener.local_addr().to_string().parse().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let called = Arc::new(Notify::new());
    let services = Services::new(limits).with(Silent(Arc::clone(&called)));
    let serving = tokio::spawn(services.serve(listener, async { stopped.await.unwrap() }));
    let channel =
        selvedge_tls::channel(&target, &ClientSecurity::Plaintext, &DialOptions::default()).await.unwrap();
    let call = tokio::spawn(async move {
        EndorserClient::new(channel).process_proposal(SignedProposal::default()).await
    });
    tokio::time::timeout(LONG, called.notified()).await.expect("in time");
    stop.send(()).unwrap();
    tokio::time::timeout(LONG, serving).await.expect("in time").unwrap().unwrap();
    assert!(!call.is_finished());
    call.abort();
}
