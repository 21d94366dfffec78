//! A connection to a node of the network on which tests send whatever bytes they like.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody};
use prost::Message;
use selvedge_proto::gateway::ErrorDetail;
use selvedge_proto::google::rpc;
use selvedge_proto::prost_types::Any;
use selvedge_tls::{ClientSecurity, ClientTls, Connector};
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::request::Builder;
use tonic::codegen::http::{HeaderMap, Request, Uri};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::{PATIENCE, within};

/// A gRPC connection that counts how often it had to be dialled.
pub(crate) struct Line {
    pub(crate) channel: Channel,
    dials: Arc<AtomicUsize>,
}

/// What came back of a call.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) messages: Vec<Bytes>,
    /// The status; absent if the call goes on.
    pub(crate) status: Option<Status>,
}

impl Line {
    /// Connects to a node at `address`, whose certificate comes from `roots_pem`.
    pub(crate) async fn dial(address: SocketAddr, roots_pem: &str) -> Self {
        Self::dial_with(address, ClientTls::builder(roots_pem).build().unwrap()).await
    }

    pub(crate) async fn dial_with(address: SocketAddr, tls: ClientTls) -> Self {
        let security: ClientSecurity = tls.into();
        let connector = Connector::new(address.to_string().parse().unwrap(), security, PATIENCE);
        let dials = Arc::new(AtomicUsize::new(0));
        let connector = Counted { connector, dials: Arc::clone(&dials) };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let endpoint = endpoint.origin(format!("https://{address}").parse().unwrap());
        let channel = within(endpoint.connect_with_connector(connector)).await.unwrap();
        Self { channel, dials }
    }

    /// Whether the first connection is still in use.
    pub(crate) fn is_unbroken(&self) -> bool {
        self.dials.load(Ordering::Relaxed) == 1
    }

    /// Calls a method with these messages, and reads until it ends or `enough` messages have come.
    pub(crate) async fn call(&self, path: &str, messages: &[Bytes], enough: usize) -> Answer {
        self.send(path, messages.iter().map(|message| frame(message)).collect::<Vec<_>>().concat(), enough)
            .await
    }

    /// Calls a method with whatever bytes.
    pub(crate) async fn send(&self, path: &str, body: impl Into<Bytes>, enough: usize) -> Answer {
        let request = request(path).body(Body::new(Full::new(body.into()))).unwrap();
        within(self.read(request, enough)).await
    }

    /// Calls a method with these bytes, and leaves the request open until enough has been read.
    pub(crate) async fn send_on(&self, path: &str, bytes: impl Into<Bytes>, enough: usize) -> Answer {
        let first = Full::new(bytes.into()).frame().await.unwrap();
        let (_open, closed) = oneshot::channel::<()>();
        let end = stream::once(closed).filter_map(|_| std::future::ready(None));
        let request =
            request(path).body(Body::new(StreamBody::new(stream::iter([first]).chain(end)))).unwrap();
        within(self.read(request, enough)).await
    }

    /// Calls a method with these bytes, and then resets the call.
    pub(crate) async fn give_up(&self, path: &str, bytes: impl Into<Bytes>) {
        let Ok(first) = Full::new(bytes.into()).frame().await.unwrap();
        let frames = stream::iter([Ok(first), Err(std::io::Error::other("given up"))]);
        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let call = channel.call(request(path).body(Body::new(StreamBody::new(frames))).unwrap());
        if let Ok(response) = within(call).await {
            // The server has begun to answer before it learned of the reset. Nobody reads on.
            drop(response);
        }
    }

    async fn read(&self, request: Request<Body>, enough: usize) -> Answer {
        let mut channel = self.channel.clone();
        std::future::poll_fn(|context| channel.poll_ready(context)).await.unwrap();
        let response = channel.call(request).await.unwrap();
        assert_eq!(response.status(), 200, "gRPC tells errors in its own way");
        let mut answer = Answer { messages: Vec::new(), status: status_of(response.headers()) };
        let (mut body, mut bytes) = (response.into_body(), BytesMut::new());
        while answer.status.is_none() && answer.messages.len() < enough {
            let frame = body.frame().await.expect("a stream ends with a status").unwrap();
            match frame.into_data() {
                Ok(data) => {
                    bytes.extend_from_slice(&data);
                    while let Some(message) = message_of(&mut bytes) {
                        answer.messages.push(message);
                    }
                }
                Err(trailers) => answer.status = trailers.trailers_ref().and_then(status_of),
            }
        }
        answer
    }
}

impl Answer {
    /// The status of a call that ended.
    #[track_caller]
    pub(crate) fn ended(&self) -> (Code, &str) {
        let status = self.status.as_ref().unwrap();
        (status.code(), status.message())
    }

    /// What each node said that the gateway asked, if it failed for that.
    pub(crate) fn details(&self) -> Vec<String> {
        let status = rpc::Status::decode(self.status.as_ref().unwrap().details()).unwrap();
        let detail = |any: &Any| ErrorDetail::decode(&*any.value).unwrap().message;
        status.details.iter().map(detail).collect()
    }
}

fn request(path: &str) -> Builder {
    Request::post(path.parse::<Uri>().unwrap())
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("grpc-timeout", "60S")
}

/// A message with gRPC's five bytes in front.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap();
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// Bytes that a call's body may consist of, none of them a whole message of the right kind.
pub(crate) fn broken() -> Vec<(&'static str, Vec<u8>)> {
    let length = |length: u32, content: &[u8]| [&[0], &length.to_be_bytes()[..], content].concat();
    vec![
        ("a frame's head in half", vec![0, 0, 0]),
        ("a message that ends too early", length(100, b"abc")),
        ("a message of 4 GiB", length(u32::MAX, b"abc")),
        ("a message just above the limit", length((100 << 20) + 1, b"abc")),
        ("a compressed message", [&[1], &frame(b"abc")[1..]].concat()),
        ("a frame of no kind", [&[7], &frame(b"abc")[1..]].concat()),
        ("no protobuf", frame(b"\xff\xff\xff")),
        ("a field that ends too early", frame(b"\x0a\x7fabc")),
    ]
}

/// Takes the next message out of what has come, once it is whole.
pub(crate) fn message_of(bytes: &mut BytesMut) -> Option<Bytes> {
    let length = u32::from_be_bytes(bytes.get(1..5)?.try_into().ok()?) as usize;
    if bytes.len() < 5 + length {
        return None;
    }
    bytes.advance(5);
    Some(bytes.split_to(length).freeze())
}

fn status_of(headers: &HeaderMap) -> Option<Status> {
    let code = headers.get("grpc-status")?;
    let status = Status::from_header_map(headers).unwrap();
    assert_eq!(code.to_str().unwrap(), (status.code() as i32).to_string());
    Some(status)
}

#[derive(Clone)]
struct Counted {
    connector: Connector,
    dials: Arc<AtomicUsize>,
}

impl Service<Uri> for Counted {
    type Response = <Connector as Service<Uri>>::Response;
    type Error = <Connector as Service<Uri>>::Error;
    type Future = <Connector as Service<Uri>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::<Uri>::poll_ready(&mut self.connector, context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        self.dials.fetch_add(1, Ordering::Relaxed);
        self.connector.call(uri)
    }
}
