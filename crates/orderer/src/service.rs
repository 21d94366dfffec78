use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt};
use prost::Message;
use selvedge_proto::common::{Envelope, Status as Code};
use selvedge_proto::orderer::atomic_broadcast_server::{AtomicBroadcast, AtomicBroadcastServer};
use selvedge_proto::orderer::{BroadcastResponse, DeliverResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::{Orderer, deliver};

/// Fabric's limit of one message, in both directions: 100 MiB.
const MESSAGE_BYTES: usize = 100 << 20;

/// Answers of one stream that wait for the connection to take them.
const ANSWERS: usize = 16;

/// `orderer.AtomicBroadcast`, for a gRPC server.
pub type BroadcastServer = AtomicBroadcastServer<BroadcastService>;

/// Serves an orderer to clients and peers.
#[derive(Clone, Debug)]
pub struct BroadcastService {
    orderer: Arc<Orderer>,
}

impl BroadcastService {
    /// The service of an orderer, with Fabric's limits of messages.
    pub fn server(orderer: Arc<Orderer>) -> BroadcastServer {
        AtomicBroadcastServer::new(Self { orderer })
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES)
    }
}

#[tonic::async_trait]
impl AtomicBroadcast for BroadcastService {
    type BroadcastStream = ReceiverStream<Result<BroadcastResponse, Status>>;
    type DeliverStream = ReceiverStream<Result<DeliverResponse, Status>>;

    async fn broadcast(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::BroadcastStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS);
        let orderer = Arc::clone(&self.orderer);
        tokio::spawn(async move {
            let mut envelopes = request.into_inner();
            while let Some(envelope) = next(&mut envelopes, &answers).await {
                let answer = orderer.broadcast(envelope).await;
                // As Fabric's orderer does, end the stream after an answer that is not a success for reasons of ours.
                let end = answer.status == i32::from(Code::ServiceUnavailable);
                if answers.send(Ok(answer)).await.is_err() || end {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn deliver(
        &self,
        request: Request<Streaming<Envelope>>,
    ) -> Result<Response<Self::DeliverStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS);
        let orderer = Arc::clone(&self.orderer);
        tokio::spawn(async move {
            let mut envelopes = request.into_inner();
            while let Some(envelope) = next(&mut envelopes, &answers).await {
                if !deliver::serve(&orderer, envelope, &answers).await {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// The next envelope; `None` when the other end has closed or broken the stream.
async fn next<S, A>(envelopes: &mut S, answers: &mpsc::Sender<Result<A, Status>>) -> Option<Envelope>
where
    S: Stream<Item = Result<Envelope, Status>> + Unpin,
{
    tokio::select! {
        envelope = envelopes.next() => envelope?.ok(),
        () = answers.closed() => None,
    }
}

impl Orderer {
    /// Orders an envelope. SUCCESS means that it will be in a block.
    pub async fn broadcast(&self, envelope: Envelope) -> BroadcastResponse {
        let bytes = envelope.encode_to_vec();
        match self.admit(&envelope, bytes.len()) {
            Ok(channel) => match channel.order(bytes.into()).await {
                Ok(()) => BroadcastResponse { status: Code::Success.into(), info: String::new() },
                Err(error) => {
                    BroadcastResponse { status: Code::ServiceUnavailable.into(), info: error.to_string() }
                }
            },
            Err(refusal) => {
                tracing::debug!(status = ?refusal.status, info = refusal.info, "an envelope was refused");
                BroadcastResponse { status: refusal.status.into(), info: refusal.info }
            }
        }
    }
}
