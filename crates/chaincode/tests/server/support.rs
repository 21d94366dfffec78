//! A chaincode server with certificates of its own, and the raw end of a stream that a test holds.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use selvedge::tls::{
    ClientSecurity, ClientTls, DialError, DialOptions, Identity, Refusal, Reloads, SecuritySwitch,
    ServerSecurity, ServerTls, Target, channel,
};
use selvedge::{Chaincode, Context, Response, Server, ServerError};
use selvedge_pki::{Authority, AuthoritySpec, Leaf, LeafSpec, Usage};
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_client::ChaincodeClient;
use selvedge_proto::protos::chaincode_message::Type;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// A safety net only; nothing here takes long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Fabric's limit of one message.
pub(crate) const MESSAGE_BYTES: usize = 100 << 20;

pub(crate) const PACKAGE_ID: &str = "basic:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Waits for something that happens at once unless it is broken.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("in time")
}

/// Chaincode made of one function, which gets a copy of the context.
pub(crate) fn contract<F, R>(invoke: F) -> impl Chaincode
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    Contract(invoke)
}

struct Contract<F>(F);

#[async_trait]
impl<F, R> Chaincode for Contract<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    async fn init(&self, ctx: &Context) -> Response {
        (self.0)(ctx.clone()).await
    }

    async fn invoke(&self, ctx: &Context) -> Response {
        (self.0)(ctx.clone()).await
    }
}

pub(crate) fn authority(name: &str) -> Authority {
    Authority::new(&AuthoritySpec { common_name: name.into(), ..AuthoritySpec::default() })
        .expect("an authority")
}

pub(crate) fn leaf(authority: &Authority, name: &str, usage: Usage) -> Leaf {
    let spec = LeafSpec {
        common_name: name.into(),
        sans: vec!["localhost".into(), "127.0.0.1".into()],
        usage,
        ..LeafSpec::default()
    };
    authority.issue(&spec).expect("a certificate")
}

pub(crate) fn identity(leaf: &Leaf) -> Identity {
    Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).expect("an identity")
}

/// A server that runs, and what its peers need to reach it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) refusals: broadcast::Receiver<Refusal>,
    pub(crate) security: SecuritySwitch,
    pub(crate) reloads: Option<watch::Receiver<Reloads>>,
    /// The server's authority, and the one whose clients it lets in.
    pub(crate) servers: Authority,
    pub(crate) peers: Authority,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), ServerError>>,
}

impl Running {
    pub(crate) async fn start(chaincode: impl Chaincode) -> Self {
        Self::start_with(chaincode, |server| server).await
    }

    /// Starts a server with mutual TLS.
    pub(crate) async fn start_with(
        chaincode: impl Chaincode,
        configure: impl FnOnce(Server) -> Server,
    ) -> Self {
        Self::start_as(PACKAGE_ID, chaincode, configure).await
    }

    pub(crate) async fn start_as(
        package_id: &str,
        chaincode: impl Chaincode,
        configure: impl FnOnce(Server) -> Server,
    ) -> Self {
        let (servers, peers) = (authority("servers"), authority("peers"));
        let tls = ServerTls::builder(identity(&leaf(&servers, "chaincode", Usage::Server)))
            .require_client_certificates(peers.certificate_pem())
            .build()
            .expect("a server's configuration");
        Self::serve(configure(Server::new(chaincode, package_id, tls)), servers, peers).await
    }

    pub(crate) async fn start_plaintext(chaincode: impl Chaincode) -> Self {
        let server = Server::new(chaincode, PACKAGE_ID, ServerSecurity::Plaintext);
        Self::serve(server, authority("servers"), authority("peers")).await
    }

    pub(crate) async fn serve(server: Server, servers: Authority, peers: Authority) -> Self {
        let bound = server.bind("127.0.0.1:0").await.expect("a port");
        let (address, refusals) = (bound.local_addr(), bound.refusals());
        let (security, reloads) = (bound.security(), bound.reloads());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.serve(async {
            drop(stopped.await);
        }));
        Self { address, refusals, security, reloads, servers, peers, stop: Some(stop), task }
    }

    /// A client of the right authority.
    pub(crate) fn peer_tls(&self) -> ClientSecurity {
        self.client(Some(&leaf(&self.peers, "peer0", Usage::Client)))
    }

    pub(crate) fn client(&self, leaf: Option<&Leaf>) -> ClientSecurity {
        let mut builder = ClientTls::builder(self.servers.certificate_pem());
        if let Some(leaf) = leaf {
            builder = builder.identity(identity(leaf));
        }
        builder.build().expect("a client's configuration").into()
    }

    pub(crate) async fn dial(&self, security: &ClientSecurity) -> Result<Channel, DialError> {
        let target = Target { host: self.address.ip().to_string(), port: self.address.port() };
        channel(&target, security, &DialOptions { timeout: PATIENCE, ..DialOptions::default() }).await
    }

    /// Opens a stream as a peer does, on a connection of its own.
    pub(crate) async fn connect(&self) -> Stream {
        let channel = self.dial(&self.peer_tls()).await.expect("a connection");
        Stream::open(channel).await
    }

    /// Tells the server to stop.
    pub(crate) fn tell_to_stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the server has stopped.
    pub(crate) async fn stopped(self) {
        soon(self.task).await.expect("no panic").expect("served");
    }

    pub(crate) async fn stop(mut self) {
        self.tell_to_stop();
        self.stopped().await;
    }
}

/// One stream, message by message.
pub(crate) struct Stream {
    pub(crate) to: mpsc::Sender<ChaincodeMessage>,
    pub(crate) from: Streaming<ChaincodeMessage>,
}

impl Stream {
    pub(crate) async fn open(channel: Channel) -> Self {
        let (to, messages) = mpsc::channel(64);
        let from = ChaincodeClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            // More than a server takes, so that the server's limit is the one that shows.
            .max_encoding_message_size(2 * MESSAGE_BYTES)
            .connect(ReceiverStream::new(messages))
            .await
            .expect("a stream")
            .into_inner();
        Self { to, from }
    }

    pub(crate) async fn send(&self, message: ChaincodeMessage) {
        soon(self.to.send(message)).await.expect("an open stream");
    }

    /// The next message; `None` when the server has closed the stream in good order.
    pub(crate) async fn next(&mut self) -> Result<Option<ChaincodeMessage>, Status> {
        soon(self.from.message()).await
    }

    /// The next message, of this type.
    pub(crate) async fn expect(&mut self, message_type: Type) -> ChaincodeMessage {
        let message = self.next().await.expect("a stream in order").expect("a message");
        assert_eq!(message.r#type(), message_type, "{message:?}");
        message
    }
}
