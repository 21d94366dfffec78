//! A chaincode server under mutual TLS whose every stream is played by the test itself.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::chaincode_server::{Chaincode, ChaincodeServer};
use selvedge_proto::protos::{ChaincodeId, ChaincodeMessage, GetState, PutState, Response};
use selvedge_tls::{Limits, Listener, ServerSecurity};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use super::{Place, server_tls, within};

/// Larger than what a peer takes, so that the peer's limit is the one that shows.
const MESSAGE_BYTES: usize = 200 << 20;

/// Each stream that a peer opens comes out of [`Scripted::accept`].
pub(crate) struct Scripted {
    sessions: mpsc::Receiver<Session>,
    task: JoinHandle<()>,
}

struct Service(mpsc::Sender<Session>);

impl Scripted {
    pub(crate) async fn start(place: &Place) -> Self {
        let address: SocketAddr = place.server.address.parse().unwrap();
        let security = ServerSecurity::Tls(server_tls(&place.server));
        let listener = Listener::bind(address, security, Limits::default()).await.unwrap();
        let (sender, sessions) = mpsc::channel(16);
        let service = ChaincodeServer::new(Service(sender))
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let server = tonic::transport::Server::builder().add_service(service);
        let task = tokio::spawn(async move { server.serve_with_incoming(listener).await.unwrap() });
        Self { sessions, task }
    }

    /// The next stream.
    pub(crate) async fn accept(&mut self) -> Session {
        within(self.sessions.recv()).await.unwrap()
    }

    /// The next stream, however long that takes.
    pub(crate) async fn accept_forever(&mut self) -> Session {
        self.sessions.recv().await.unwrap()
    }

    /// The next stream, registered under this id and ready.
    pub(crate) async fn accept_ready(&mut self, package_id: &str) -> Session {
        let mut session = self.accept().await;
        session.register(package_id).await;
        assert_eq!(session.receive().await.r#type(), Type::Registered);
        assert_eq!(session.receive().await.r#type(), Type::Ready);
        session
    }

    /// Closes the port. Connections that are there end with their streams.
    pub(crate) async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

#[tonic::async_trait]
impl Chaincode for Service {
    type ConnectStream = ReceiverStream<Result<ChaincodeMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ChaincodeMessage>>,
    ) -> Result<tonic::Response<Self::ConnectStream>, Status> {
        let (outgoing, messages) = mpsc::channel(16);
        let session = Session { incoming: request.into_inner(), outgoing };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(tonic::Response::new(ReceiverStream::new(messages)))
    }
}

/// The chaincode's end of one stream. Dropping it ends the stream, whether or not the peer has noticed yet.
pub(crate) struct Session {
    incoming: Streaming<ChaincodeMessage>,
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
}

impl Session {
    pub(crate) async fn send(&self, message: ChaincodeMessage) {
        within(self.outgoing.send(Ok(message))).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> ChaincodeMessage {
        within(self.incoming.message()).await.unwrap().expect("the peer keeps the stream open")
    }

    /// The next message, however long that takes; `None` when the peer has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<ChaincodeMessage> {
        self.incoming.message().await.ok().flatten()
    }

    /// Waits until the peer has ended the stream.
    pub(crate) async fn closed(&mut self) {
        while let Ok(Some(_)) = within(self.incoming.message()).await {}
    }

    /// Ends the stream, and waits until the peer has noticed.
    pub(crate) async fn end(self) {
        let Self { mut incoming, outgoing } = self;
        drop(outgoing);
        while let Ok(Some(_)) = within(incoming.message()).await {}
    }

    pub(crate) async fn register(&self, name: &str) {
        let id = ChaincodeId { name: name.into(), ..Default::default() };
        self.send(message(Type::Register, id.encode_to_vec())).await;
    }

    /// Sends a message of the transaction that `of` belongs to.
    pub(crate) async fn reply(&self, of: &ChaincodeMessage, kind: Type, payload: impl Into<Bytes>) {
        let of = of.clone();
        self.send(ChaincodeMessage { txid: of.txid, channel_id: of.channel_id, ..message(kind, payload) })
            .await;
    }

    pub(crate) async fn ask_get(&self, of: &ChaincodeMessage, key: &str) {
        let get = GetState { key: key.into(), collection: String::new() };
        self.reply(of, Type::GetState, get.encode_to_vec()).await;
    }

    pub(crate) async fn ask_put(&self, of: &ChaincodeMessage, key: &str, value: Bytes) {
        let put = PutState { key: key.into(), value, ..Default::default() };
        self.reply(of, Type::PutState, put.encode_to_vec()).await;
    }

    pub(crate) async fn complete(&self, of: &ChaincodeMessage, payload: impl Into<Bytes>) {
        let response = Response { status: 200, payload: payload.into(), ..Default::default() };
        self.reply(of, Type::Completed, response.encode_to_vec()).await;
    }
}

pub(crate) fn message(kind: Type, payload: impl Into<Bytes>) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), payload: payload.into(), ..Default::default() }
}
