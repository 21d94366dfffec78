use std::sync::Arc;

use futures_util::stream::{Stream, StreamExt};
use selvedge_proto::common::{Envelope, Status as Code};
use selvedge_proto::orderer::atomic_broadcast_server::{AtomicBroadcast, AtomicBroadcastServer};
use selvedge_proto::orderer::{BroadcastResponse, DeliverResponse};
use selvedge_tls::PeerInfo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::Orderer;
use crate::deliver::Reader;

/// Fabric's limit of one message, in both directions: 100 MiB.
pub(crate) const MESSAGE_BYTES: u32 = selvedge_proto::MESSAGE_BYTES as u32;

/// Streams of one method at once, as Fabric limits them by default.
const STREAMS: usize = 2500;

/// Answers of one stream that wait for the connection to take them. One is enough, and a slow reader holds no more
/// than that many blocks.
const ANSWERS: usize = 1;

/// `orderer.AtomicBroadcast`, for a gRPC server.
pub type BroadcastServer = AtomicBroadcastServer<BroadcastService>;

/// Serves an orderer to clients and peers.
#[derive(Clone, Debug)]
pub struct BroadcastService {
    orderer: Arc<Orderer>,
    broadcasts: Arc<Semaphore>,
    delivers: Arc<Semaphore>,
}

impl BroadcastService {
    /// The service of an orderer, with Fabric's limits of messages and streams.
    ///
    /// On a listener with mutual TLS readers must name the certificate they use, which Fabric calls TLS binding;
    /// the service learns of it through the [`PeerInfo`] in a request's extensions.
    pub fn server(orderer: Arc<Orderer>) -> BroadcastServer {
        let places = || Arc::new(Semaphore::new(STREAMS));
        AtomicBroadcastServer::new(Self { orderer, broadcasts: places(), delivers: places() })
            .max_decoding_message_size(MESSAGE_BYTES as usize)
            .max_encoding_message_size(MESSAGE_BYTES as usize)
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
        let place = place(&self.broadcasts, "/orderer.AtomicBroadcast/Broadcast")?;
        let (answers, stream) = mpsc::channel(ANSWERS);
        let orderer = Arc::clone(&self.orderer);
        tokio::spawn(async move {
            let _place = place;
            let mut envelopes = request.into_inner();
            while let Some(envelope) = next(&mut envelopes, &answers).await {
                let answer = orderer.broadcast(envelope).await;
                // As in Fabric, an answer that is not a success ends the stream.
                let end = answer.status != i32::from(Code::Success);
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
        let place = place(&self.delivers, "/orderer.AtomicBroadcast/Deliver")?;
        let (answers, stream) = mpsc::channel(ANSWERS);
        let certificate =
            request.extensions().get::<PeerInfo>().and_then(|peer| peer.certificates.first().cloned());
        let orderer = Arc::clone(&self.orderer);
        tokio::spawn(async move {
            let _place = place;
            let reader = Reader { certificate, answers };
            let mut envelopes = request.into_inner();
            while let Some(envelope) = next(&mut envelopes, &reader.answers).await {
                if !reader.serve(&orderer, envelope).await {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A place for one more stream.
fn place(places: &Arc<Semaphore>, method: &str) -> Result<OwnedSemaphorePermit, Status> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        let text = format!("too many requests for {method}, exceeding concurrency limit ({STREAMS})");
        Status::resource_exhausted(text)
    })
}

/// The next envelope; `None` when the other end has closed or broken the stream. If it sent something else than an
/// envelope, it is told so.
async fn next<S, A>(envelopes: &mut S, answers: &mpsc::Sender<Result<A, Status>>) -> Option<Envelope>
where
    S: Stream<Item = Result<Envelope, Status>> + Unpin,
{
    let envelope = tokio::select! {
        envelope = envelopes.next() => envelope?,
        () = answers.closed() => return None,
    };
    match envelope {
        Ok(envelope) => Some(envelope),
        Err(status) => {
            // If the other end has gone away, that is the end as well.
            let _ = answers.send(Err(status)).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tonic::Code;

    use super::place;

    #[test]
    fn a_stream_too_many_is_refused_until_another_ends() {
        let places = Arc::new(Semaphore::new(1));
        let first = place(&places, "/a/B").unwrap();
        let refusal = place(&places, "/a/B").unwrap_err();
        assert_eq!(refusal.code(), Code::ResourceExhausted);
        assert!(refusal.message().starts_with("too many requests for /a/B, exceeding concurrency limit"));
        drop(first);
        assert!(place(&places, "/a/B").is_ok());
    }
}
