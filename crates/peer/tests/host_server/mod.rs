//! A chaincode server whose every stream is played by the test itself, and a peer's host that uses it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use selvedge_package::pack::PackageBuilder;
use selvedge_package::{Connection, GoDuration};
use selvedge_peer::host::{Host, HostConfig};
use selvedge_pki::{Authority, AuthoritySpec, Leaf, LeafSpec};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::chaincode_server::{Chaincode, ChaincodeServer};
use selvedge_proto::protos::{ChaincodeId, ChaincodeMessage, GetState, PutState, Response};
use selvedge_tls::{Identity, Limits, Listener, ServerSecurity, ServerTls};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

/// A safety net: nothing here is meant to take as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One authority with a server's and a client's certificate.
pub(crate) struct Certificates {
    pub(crate) authority: Authority,
    pub(crate) server: Leaf,
    pub(crate) client: Leaf,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let authority = Authority::new(&AuthoritySpec::default()).unwrap();
        let issue = |name: &str, sans: &[&str]| {
            let sans = sans.iter().map(|san| (*san).to_owned()).collect();
            authority.issue(&LeafSpec { common_name: name.into(), sans, ..LeafSpec::default() }).unwrap()
        };
        let server = issue("chaincode", &["127.0.0.1"]);
        let client = issue("peer", &[]);
        Self { authority, server, client }
    }

    /// Mutual TLS that lets in this authority's clients.
    pub(crate) fn mutual(&self) -> ServerSecurity {
        self.mutual_for(&self.authority)
    }

    pub(crate) fn mutual_for(&self, clients: &Authority) -> ServerSecurity {
        let builder = ServerTls::builder(self.server_identity());
        builder.require_client_certificates(clients.certificate_pem()).build().unwrap().into()
    }

    /// The connection.json that fits [`Certificates::mutual`].
    pub(crate) fn connection(&self, address: SocketAddr) -> Connection {
        Connection {
            address: address.to_string(),
            dial_timeout: GoDuration::from_secs(10),
            tls_required: true,
            client_auth_required: true,
            root_cert: self.authority.certificate_pem().to_owned(),
            client_key: self.client.key_pem.as_str().to_owned(),
            client_cert: self.client.certificate_pem.clone(),
            ..Connection::default()
        }
    }

    fn server_identity(&self) -> Identity {
        Identity::from_pem(&self.server.certificate_pem, self.server.key_pem.as_str()).unwrap()
    }
}

/// A chaincode server. Each stream that a peer opens comes out of [`Server::accept`].
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    sessions: mpsc::Receiver<Session>,
    task: JoinHandle<()>,
}

struct Service(mpsc::Sender<Session>);

impl Server {
    pub(crate) async fn start(security: ServerSecurity) -> Self {
        Self::start_at(([127, 0, 0, 1], 0).into(), security).await
    }

    pub(crate) async fn start_at(address: SocketAddr, security: ServerSecurity) -> Self {
        Self::serve(address, security, tonic::transport::Server::builder()).await
    }

    /// Announces the end of every connection when it has this age.
    pub(crate) async fn start_with_connection_age(security: ServerSecurity, age: Duration) -> Self {
        let server = tonic::transport::Server::builder().max_connection_age(age);
        Self::serve(([127, 0, 0, 1], 0).into(), security, server).await
    }

    async fn serve(
        address: SocketAddr,
        security: ServerSecurity,
        mut server: tonic::transport::Server,
    ) -> Self {
        let listener = Listener::bind(address, security, Limits::default()).await.unwrap();
        let address = listener.local_addr();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let incoming = listener.inspect(move |_| {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        let (sender, sessions) = mpsc::channel(16);
        let service = ChaincodeServer::new(Service(sender)).max_decoding_message_size(100 << 20);
        let task = tokio::spawn(async move {
            server.add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
        Self { address, connections, sessions, task }
    }

    /// The next stream.
    pub(crate) async fn accept(&mut self) -> Session {
        within(self.sessions.recv()).await.unwrap()
    }

    /// The next stream, registered under this id and ready.
    pub(crate) async fn accept_ready(&mut self, package_id: &str) -> Session {
        let mut session = self.accept().await;
        session.register(package_id).await;
        assert_eq!(session.receive().await.r#type(), Type::Registered);
        assert_eq!(session.receive().await.r#type(), Type::Ready);
        session
    }

    /// How many connections got through the handshake.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes the port and every connection.
    pub(crate) async fn stop(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tonic::async_trait]
impl Chaincode for Service {
    type ConnectStream = ReceiverStream<Result<ChaincodeMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ChaincodeMessage>>,
    ) -> Result<tonic::Response<Self::ConnectStream>, Status> {
        let (outgoing, messages) = mpsc::channel(1024);
        let session = Session { incoming: request.into_inner(), outgoing };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(tonic::Response::new(ReceiverStream::new(messages)))
    }
}

/// The chaincode's end of one stream. Dropping it ends the stream.
pub(crate) struct Session {
    incoming: Streaming<ChaincodeMessage>,
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
}

impl Session {
    pub(crate) async fn send(&self, message: ChaincodeMessage) {
        within(self.outgoing.send(Ok(message))).await.unwrap();
    }

    /// Sends a message again and again, without reading anything, until the peer has ended the stream.
    pub(crate) async fn send_until_ended(&self, message: ChaincodeMessage) {
        while within(self.outgoing.send(Ok(message.clone()))).await.is_ok() {}
    }

    pub(crate) async fn fail(&self, status: Status) {
        within(self.outgoing.send(Err(status))).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> ChaincodeMessage {
        within(self.incoming.message()).await.unwrap().expect("the peer keeps the stream open")
    }

    /// Waits until the peer has ended the stream.
    pub(crate) async fn closed(&mut self) {
        while let Ok(Some(_)) = within(self.incoming.message()).await {}
    }

    pub(crate) async fn register(&self, name: &str) {
        let id = ChaincodeId { name: name.into(), ..Default::default() };
        let message = ChaincodeMessage {
            r#type: Type::Register.into(),
            payload: id.encode_to_vec().into(),
            ..Default::default()
        };
        self.send(message).await;
    }

    /// Sends a message of the transaction that `of` belongs to.
    pub(crate) async fn reply(&self, of: &ChaincodeMessage, message_type: Type, payload: impl Into<Bytes>) {
        self.send(ChaincodeMessage {
            r#type: message_type.into(),
            payload: payload.into(),
            txid: of.txid.clone(),
            channel_id: of.channel_id.clone(),
            ..Default::default()
        })
        .await;
    }

    pub(crate) async fn ask_get(&self, of: &ChaincodeMessage, key: &str) {
        let get = GetState { key: key.into(), collection: String::new() };
        self.reply(of, Type::GetState, get.encode_to_vec()).await;
    }

    pub(crate) async fn get(&mut self, of: &ChaincodeMessage, key: &str) -> ChaincodeMessage {
        self.ask_get(of, key).await;
        self.receive().await
    }

    pub(crate) async fn put(&mut self, of: &ChaincodeMessage, key: &str, value: &[u8]) -> ChaincodeMessage {
        let put = PutState { key: key.into(), value: Bytes::copy_from_slice(value), ..Default::default() };
        self.reply(of, Type::PutState, put.encode_to_vec()).await;
        self.receive().await
    }

    pub(crate) async fn complete(&self, of: &ChaincodeMessage, status: i32, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let response = Response { status, payload, ..Default::default() };
        self.reply(of, Type::Completed, response.encode_to_vec()).await;
    }

    /// Answers every transaction with the given payload, until the peer ends the stream.
    pub(crate) fn answer_all(mut self, payload: &'static [u8]) -> JoinHandle<()> {
        tokio::spawn(async move {
            while let Ok(Some(message)) = self.incoming.message().await {
                self.complete(&message, 200, payload).await;
            }
        })
    }
}

/// A host in a folder of its own.
pub(crate) struct Peer {
    pub(crate) host: Host,
    _folder: tempfile::TempDir,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HostConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = HostConfig::new(folder.path().join("peer"));
        config.temp_dir = folder.path().to_owned();
        change(&mut config);
        Self { host: Host::open(config).unwrap(), _folder: folder }
    }

    /// Installs a package with this connection.json through the built-in builder; returns its id.
    pub(crate) async fn install(&self, label: &str, connection: &Connection) -> String {
        let package = PackageBuilder::new(label).unwrap().connection(connection).unwrap().build().unwrap();
        self.host.install(package.bytes().clone()).await.unwrap().package_id
    }
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it should not take that long")
}
