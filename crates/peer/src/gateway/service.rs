use std::time::Duration;

use selvedge_proto::gateway::gateway_server::{Gateway as Service, GatewayServer};
use selvedge_proto::gateway::{
    ChaincodeEventsResponse, CommitStatusResponse, EndorseRequest, EndorseResponse, EvaluateRequest,
    EvaluateResponse, SignedChaincodeEventsRequest, SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::{Gateway, GatewayError};
use crate::endorser::{MAX_MESSAGE, too_many};
use crate::lasting::{AnswerStream, Lasting};

/// How many requests are served at a time (Fabric's `peer.limits.concurrency.gatewayService`).
pub const MAX_CONCURRENT_REQUESTS: usize = 500;

const SERVICE: &str = "/gateway.Gateway";

/// The gRPC service `gateway.Gateway`.
pub struct GatewayService {
    gateway: Gateway,
    places: Semaphore,
    /// Those who wait for a transaction may wait for ever, so they do not take the places of requests that end.
    waits: Semaphore,
    limit: usize,
    /// Streams of events last, so they do not take the places of requests either.
    events: Lasting,
}

impl GatewayService {
    /// A service of this gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self::with_limit(gateway, MAX_CONCURRENT_REQUESTS)
    }

    /// A service with another limit of requests at a time, as many that wait for transactions, and as many streams of
    /// events.
    pub fn with_limit(gateway: Gateway, limit: usize) -> Self {
        let events = Lasting::new(SERVICE, limit, CancellationToken::new());
        let places = || Semaphore::new(limit);
        Self { gateway, places: places(), waits: places(), limit, events }
    }

    /// Ends streams of events when `stop` is cancelled. Otherwise they last as long as their clients.
    #[must_use]
    pub fn until(mut self, stop: CancellationToken) -> Self {
        self.events = Lasting::new(SERVICE, self.limit, stop);
        self
    }

    /// The service for a gRPC server.
    pub fn server(self) -> GatewayServer<Self> {
        GatewayServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    /// Serves one request if there is a place for it, within the time that the client gives. A client that goes away
    /// ends it too, since its future is dropped then.
    async fn serve<Q, A>(
        &self,
        places: &Semaphore,
        request: Request<Q>,
        expired: &str,
        serve: impl AsyncFnOnce(Q) -> Result<A, GatewayError>,
    ) -> Result<Response<A>, Status> {
        let _place = places.try_acquire().map_err(|_| too_many(SERVICE, self.limit))?;
        let limit = time_limit(request.metadata());
        let work = serve(request.into_inner());
        let answer = match limit {
            Some(limit) => tokio::time::timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(GatewayError::new(Code::DeadlineExceeded, expired))),
            None => work.await,
        };
        answer.map(Response::new).map_err(Status::from)
    }
}

#[tonic::async_trait]
impl Service for GatewayService {
    type ChaincodeEventsStream = AnswerStream<ChaincodeEventsResponse>;

    async fn endorse(&self, request: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        let expired = "endorsement timeout expired while collecting endorsements";
        self.serve(&self.places, request, expired, async |request| self.gateway.endorse(request).await).await
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let expired = "submit timeout expired while broadcasting to ordering service";
        self.serve(&self.places, request, expired, async |request| self.gateway.submit(request).await).await
    }

    async fn commit_status(
        &self,
        request: Request<SignedCommitStatusRequest>,
    ) -> Result<Response<CommitStatusResponse>, Status> {
        let expired = "context deadline exceeded";
        self.serve(&self.waits, request, expired, async |request| self.gateway.commit_status(request).await)
            .await
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let expired = "evaluate timeout expired";
        self.serve(&self.places, request, expired, async |request| self.gateway.evaluate(request).await).await
    }

    async fn chaincode_events(
        &self,
        request: Request<SignedChaincodeEventsRequest>,
    ) -> Result<Response<Self::ChaincodeEventsStream>, Status> {
        let place = self.events.place()?;
        let mut events = self.gateway.chaincode_events(request.into_inner())?;
        let stream = self.events.start(place, |answers| async move {
            // The events of a block are read only when there is a place for them.
            while let Ok(place) = answers.reserve().await {
                let next = events.next().await;
                let has_failed = next.is_err();
                place.send(next.map_err(Status::from));
                if has_failed {
                    return;
                }
            }
        });
        Ok(Response::new(stream))
    }
}

/// The time that the client gives, from the header `grpc-timeout`: up to eight digits and a unit.
fn time_limit(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let unit = text.chars().next_back()?;
    let digits = text.strip_suffix(unit)?;
    if digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        'H' => Some(Duration::from_secs(value * 3600)),
        'M' => Some(Duration::from_secs(value * 60)),
        'S' => Some(Duration::from_secs(value)),
        'm' => Some(Duration::from_millis(value)),
        'u' => Some(Duration::from_micros(value)),
        'n' => Some(Duration::from_nanos(value)),
        _ => None,
    }
}
