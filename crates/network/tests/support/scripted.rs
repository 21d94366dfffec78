//! A chaincode server under mutual TLS whose every stream is played by the test itself, to the byte.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use http_body_util::{BodyExt, Full, StreamBody};
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeId, ChaincodeMessage, GetState, PutState, Response};
use selvedge_tls::{Limits, Listener, ServerSecurity};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{self, HeaderMap, HeaderValue};
use tonic::server::NamedService;

use super::line::{frame, message_of};
use super::{Place, server_tls, within};

/// Each stream that a peer opens comes out of [`Scripted::accept`].
pub(crate) struct Scripted {
    sessions: mpsc::Receiver<Session>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(crate) async fn start(place: &Place) -> Self {
        let address: SocketAddr = place.server.address.parse().unwrap();
        let security = ServerSecurity::Tls(server_tls(&place.server));
        let listener = Listener::bind(address, security, Limits::default()).await.unwrap();
        let (sender, sessions) = mpsc::channel(16);
        let server = tonic::transport::Server::builder().add_service(Streams(sender));
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

/// `protos.Chaincode/Connect`, without a limit of its own, so that the peer's are the ones that show.
#[derive(Clone)]
struct Streams(mpsc::Sender<Session>);

impl NamedService for Streams {
    const NAME: &'static str = "protos.Chaincode";
}

impl Service<http::Request<Body>> for Streams {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (outgoing, bytes) = mpsc::channel(16);
        let (messages, incoming) = mpsc::channel(16);
        tokio::spawn(read(request.into_body(), messages));
        let session = Session { incoming, outgoing };
        let sessions = self.0.clone();
        async move {
            if sessions.send(session).await.is_err() {
                return Ok(tonic::Status::unavailable("the test is over").into_http());
            }
            let frames = ReceiverStream::new(bytes)
                .then(|bytes: Bytes| async { Full::new(bytes).frame().await.expect("some bytes") });
            let end = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            let body = StreamBody::new(frames).with_trailers(std::future::ready(Some(Ok(end))));
            let mut response = http::Response::new(Body::new(body));
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
            Ok(response)
        }
        .boxed()
    }
}

/// Hands on the messages of a peer until its stream ends or nobody wants them any more.
async fn read(mut body: Body, messages: mpsc::Sender<ChaincodeMessage>) {
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { return };
            bytes.extend_from_slice(&data);
            while let Some(message) = message_of(&mut bytes) {
                let message = ChaincodeMessage::decode(message).expect("a peer sends messages");
                if messages.send(message).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = messages.closed() => {}
    }
}

/// The chaincode's end of one stream. Dropping it ends the stream, whether or not the peer has noticed yet.
pub(crate) struct Session {
    incoming: mpsc::Receiver<ChaincodeMessage>,
    outgoing: mpsc::Sender<Bytes>,
}

impl Session {
    pub(crate) async fn send(&self, message: ChaincodeMessage) {
        self.send_raw(frame(&message.encode_to_vec())).await;
    }

    /// Sends bytes that need not be messages, nor whole.
    pub(crate) async fn send_raw(&self, bytes: impl Into<Bytes>) {
        assert!(self.send_if_open(bytes).await, "the peer keeps the stream open");
    }

    /// Sends bytes unless the peer has ended the stream.
    pub(crate) async fn send_if_open(&self, bytes: impl Into<Bytes>) -> bool {
        within(self.outgoing.send(bytes.into())).await.is_ok()
    }

    pub(crate) async fn receive(&mut self) -> ChaincodeMessage {
        within(self.next()).await.expect("the peer keeps the stream open")
    }

    /// The next message, however long that takes; `None` when the peer has ended the stream.
    pub(crate) async fn next(&mut self) -> Option<ChaincodeMessage> {
        self.incoming.recv().await
    }

    /// Waits until the peer has ended the stream.
    pub(crate) async fn closed(&mut self) {
        while within(self.next()).await.is_some() {}
    }

    /// Ends the stream, and waits until the peer has noticed.
    pub(crate) async fn end(self) {
        let Self { mut incoming, outgoing } = self;
        drop(outgoing);
        while within(incoming.recv()).await.is_some() {}
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
        self.send(completed(of, payload)).await;
    }
}

/// The good end of a transaction.
pub(crate) fn completed(of: &ChaincodeMessage, payload: impl Into<Bytes>) -> ChaincodeMessage {
    let response = Response { status: 200, payload: payload.into(), ..Default::default() };
    ChaincodeMessage {
        txid: of.txid.clone(),
        channel_id: of.channel_id.clone(),
        ..message(Type::Completed, response.encode_to_vec())
    }
}

pub(crate) fn message(kind: Type, payload: impl Into<Bytes>) -> ChaincodeMessage {
    ChaincodeMessage { r#type: kind.into(), payload: payload.into(), ..Default::default() }
}
