//! Transactions as traces, at a collector over its real protocol.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message;
use selvedge::tls::ServerSecurity;
use selvedge::{Chaincode, Context, Response, Server, Traces, async_trait};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// A net against hanging.
const PATIENCE: Duration = Duration::from_secs(60);

struct Reader;

#[async_trait]
impl Chaincode for Reader {
    async fn invoke(&self, ctx: &Context) -> Response {
        match ctx.get("key").await {
            Ok(value) => Response::success(value.unwrap_or_default()),
            Err(error) => Response::error(error.to_string()),
        }
    }
}

struct Collector(mpsc::Sender<ExportTraceServiceRequest>);

#[async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.0.send(request.into_inner()).await.unwrap();
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a str {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()).and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?} in {span:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_and_its_requests_are_spans() {
    let (sender, mut received) = mpsc::channel(64);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(Collector(sender));
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener)),
    );
    let traces = Traces::to(&endpoint).unwrap();
    tracing_subscriber::registry().with(traces.layer()).init();

    // A peer by hand: one call that succeeds, and one that it refuses a read.
    let served = Server::new(Reader, "traced:0123", ServerSecurity::Plaintext).in_process().unwrap();
    let peer = served.connect("Org1MSP");
    let mut incoming = std::pin::pin!(peer.incoming);
    let send = |message_type: Type, tx_id: &str, payload: Vec<u8>| {
        let (txid, channel_id) = (tx_id.to_owned(), "mychannel".to_owned());
        let r#type = message_type.into();
        let payload = payload.into();
        peer.outgoing.send(ChaincodeMessage { r#type, txid, channel_id, payload, ..Default::default() })
    };
    let mut next = async || timeout(PATIENCE, incoming.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(next().await.r#type(), Type::Register);
    send(Type::Registered, "", Vec::new()).await.unwrap();
    send(Type::Ready, "", Vec::new()).await.unwrap();
    for (tx_id, answer) in [("first", Type::Response), ("second", Type::Error)] {
        let input =
            ChaincodeInput { args: vec!["Read".into(), "secret argument".into()], ..Default::default() };
        send(Type::Transaction, tx_id, input.encode_to_vec()).await.unwrap();
        let asked = next().await;
        assert_eq!(asked.r#type(), Type::GetState);
        send(answer, tx_id, b"secret value".to_vec()).await.unwrap();
        assert_eq!(next().await.r#type(), Type::Completed);
    }
    tokio::task::spawn_blocking(move || traces.shutdown()).await.unwrap().unwrap();

    let mut spans = Vec::new();
    while let Ok(request) = received.try_recv() {
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
        let resource = request.resource_spans.into_iter();
        spans.extend(resource.flat_map(|one| one.scope_spans).flat_map(|scope| scope.spans));
    }
    assert_eq!(spans.len(), 4, "{spans:?}");
    for (tx_id, outcome, status) in
        [("first", "success", StatusCode::Unset), ("second", "error", StatusCode::Error)]
    {
        let is_it = |span: &&Span| span.name == "Read" && attribute(span, "fabric.tx_id") == tx_id;
        let transaction = spans.iter().find(is_it).unwrap();
        assert_eq!(attribute(transaction, "fabric.channel"), "mychannel");
        assert_eq!(attribute(transaction, "fabric.package_id"), "traced:0123");
        assert_eq!(attribute(transaction, "outcome"), outcome);
        let told = transaction.status.as_ref().map_or(StatusCode::Unset, |status| status.code());
        assert_eq!(told, status);
        let within: Vec<_> = spans.iter().filter(|span| span.parent_span_id == transaction.span_id).collect();
        assert_eq!(within.len(), 1, "{spans:?}");
        assert_eq!(within[0].name, "GET_STATE");
        assert_eq!(within[0].trace_id, transaction.trace_id);
        assert!(within[0].start_time_unix_nano >= transaction.start_time_unix_nano);
        assert!(within[0].end_time_unix_nano <= transaction.end_time_unix_nano);
    }
}
