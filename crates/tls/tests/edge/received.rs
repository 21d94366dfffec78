//! The budget of what a server receives, over real connections.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use http_body::{Body as HttpBody, Frame};
use selvedge_proto::common::Envelope;
use selvedge_proto::orderer::atomic_broadcast_client::AtomicBroadcastClient;
use selvedge_proto::orderer::atomic_broadcast_server::AtomicBroadcast;
use selvedge_proto::orderer::{BroadcastResponse, DeliverResponse};
use selvedge_proto::protos::SignedProposal;
use selvedge_proto::protos::endorser_client::EndorserClient;
use selvedge_tls::{ReceiveBudget, ReceiveLimits};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Duration;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status, Streaming};
use tower::Service;

use crate::support::*;

const MESSAGE: usize = 3 << 20;
const FREE: usize = 64 << 10;

/// One large message for each connection, and two for all.
fn limits() -> ReceiveLimits {
    ReceiveLimits {
        message: MESSAGE,
        connection: MESSAGE + FREE,
        process: 2 * MESSAGE,
        free: FREE,
        ..ReceiveLimits::default()
    }
}

/// Answers each message of a stream.
pub(crate) struct Echo;

#[tonic::async_trait]
impl AtomicBroadcast for Echo {
    type BroadcastStream = BoxStream<'static, Result<BroadcastResponse, Status>>;
    type DeliverStream = BoxStream<'static, Result<DeliverResponse, Status>>;

    async fn broadcast(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::BroadcastStream>, Status> {
        let answer =
            |envelope: Envelope| BroadcastResponse { status: 200, info: envelope.payload.len().to_string() };
        Ok(Response::new(request.into_inner().map(move |envelope| envelope.map(answer)).boxed()))
    }

    async fn deliver(
        &self,
        _: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        Ok(Response::new(stream::empty().boxed()))
    }
}

/// The body of a call that announces a message, sends its beginning, and then waits to be broken off.
struct Half {
    beginning: Option<Bytes>,
    broken_off: oneshot::Receiver<()>,
}

impl HttpBody for Half {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(beginning) = self.beginning.take() {
            return Poll::Ready(Some(Ok(Frame::data(beginning))));
        }
        let _ = ready!(Pin::new(&mut self.broken_off).poll(cx));
        Poll::Ready(Some(Err(Status::cancelled("broken off"))))
    }
}

/// Begins a call with half a message, and gives what breaks it off and what it ends with.
fn half_sent(channel: &Channel, announced: usize) -> (oneshot::Sender<()>, JoinHandle<Status>) {
    let (break_off, broken_off) = oneshot::channel();
    let length = u32::try_from(announced).expect("a length").to_be_bytes();
    let beginning = Bytes::from([&[0], &length[..], &[7; 100]].concat());
    let request = http::Request::post("/protos.Endorser/ProcessProposal")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Half { beginning: Some(beginning), broken_off }))
        .expect("a request");
    let mut channel = channel.clone();
    let call = tokio::spawn(async move {
        std::future::poll_fn(|cx| channel.poll_ready(cx)).await.expect("a connection");
        match channel.call(request).await {
            Ok(response) => Status::from_header_map(response.headers()).expect("a status"),
            Err(error) => Status::unknown(error.to_string()),
        }
    });
    (break_off, call)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn refused(call: JoinHandle<Status>) -> String {
    let status = tokio::time::timeout(PATIENCE, call).await.expect("an answer in time").expect("no panic");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    status.message().to_owned()
}

#[tokio::test]
async fn half_sent_messages_take_no_more_than_the_budget() {
    let ca = authority("CA");
    let budget = ReceiveBudget::new(limits());
    let server = Running::start_within(mutual(&ca, &ca), &budget).await;
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let connection = async || connect(&server.target(), &security).await.expect("a connection");

    let first = connection().await;
    let (break_first_off, _first) = half_sent(&first, MESSAGE);
    until("the first is counted", || budget.used() == MESSAGE - FREE).await;
    for _ in 0..50 {
        let text = refused(half_sent(&first, MESSAGE).1).await;
        assert!(text.contains("the messages of this connection exceed"), "{text}");
    }
    let second = connection().await;
    let (_second_goes_on, _second) = half_sent(&second, MESSAGE);
    until("the second is counted", || budget.used() == 2 * (MESSAGE - FREE)).await;
    let third = connection().await;
    for _ in 0..50 {
        let text = refused(half_sent(&third, MESSAGE).1).await;
        assert!(text.contains("as many bytes of messages as it may"), "{text}");
    }
    assert_eq!(budget.used(), 2 * (MESSAGE - FREE), "what was refused takes nothing");

    for channel in [&first, &third, &connection().await] {
        who_am_i(channel.clone()).await.expect("calls of ordinary size are served all the same");
    }
    break_first_off.send(()).expect("the call waits");
    until("the first is given back", || budget.used() == MESSAGE - FREE).await;
    let large = SignedProposal { proposal_bytes: vec![7; MESSAGE / 2].into(), ..SignedProposal::default() };
    EndorserClient::new(third).process_proposal(large).await.expect("there is room again");
    until("an answered call holds nothing", || budget.used() == MESSAGE - FREE).await;
}

#[tokio::test]
async fn a_stream_holds_its_last_message_only() {
    let ca = authority("CA");
    let budget = ReceiveBudget::new(limits());
    let server = Running::start_within(mutual(&ca, &ca), &budget).await;
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let channel = connect(&server.target(), &security).await.expect("a connection");
    let size = MESSAGE - 100;
    let envelopes = (0..20).map(move |_| Envelope { payload: vec![7; size].into(), ..Envelope::default() });
    let mut client = AtomicBroadcastClient::new(channel);
    let answers = client.broadcast(stream::iter(envelopes)).await.expect("a stream").into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.expect("an answer").info).collect().await;
    assert_eq!(answers, vec![size.to_string(); 20]);
    until("the stream is over", || budget.used() == 0).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_in_the_words_of_go() {
    let ca = authority("CA");
    let server = Running::start_within(mutual(&ca, &ca), &ReceiveBudget::new(limits())).await;
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let channel = connect(&server.target(), &security).await.expect("a connection");
    let text = refused(half_sent(&channel, MESSAGE + 1).1).await;
    assert_eq!(text, "grpc: received message larger than max (3145729 vs. 3145728)");
}

#[tokio::test]
async fn a_message_has_its_time() {
    let ca = authority("CA");
    let budget = ReceiveBudget::new(ReceiveLimits { time: Duration::from_millis(100), ..limits() });
    let server = Running::start_within(mutual(&ca, &ca), &budget).await;
    let security = trusting_as(ca.certificate_pem(), &client_leaf(&ca));
    let channel = connect(&server.target(), &security).await.expect("a connection");
    let (_goes_on, call) = half_sent(&channel, MESSAGE);
    let status = tokio::time::timeout(PATIENCE, call).await.expect("in time").expect("no panic");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    until("nothing is held any more", || budget.used() == 0).await;
}
