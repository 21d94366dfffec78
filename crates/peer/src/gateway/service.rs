use std::time::Duration;

use futures_util::stream::BoxStream;
use selvedge_proto::gateway::gateway_server::{Gateway as Service, GatewayServer};
use selvedge_proto::gateway::{
    ChaincodeEventsResponse, CommitStatusResponse, EndorseRequest, EndorseResponse, EvaluateRequest,
    EvaluateResponse, SignedChaincodeEventsRequest, SignedCommitStatusRequest, SubmitRequest, SubmitResponse,
};
use tokio::sync::Semaphore;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::{Gateway, GatewayError};
use crate::endorser::{MAX_MESSAGE, too_many};

/// How many requests are served at a time (Fabric's `peer.limits.concurrency.gatewayService`).
pub const MAX_CONCURRENT_REQUESTS: usize = 500;

/// The gRPC service `gateway.Gateway`.
pub struct GatewayService {
    gateway: Gateway,
    places: Semaphore,
    limit: usize,
}

impl GatewayService {
    /// A service of this gateway.
    pub fn new(gateway: Gateway) -> Self {
        Self::with_limit(gateway, MAX_CONCURRENT_REQUESTS)
    }

    /// A service with another limit of requests at a time.
    pub fn with_limit(gateway: Gateway, limit: usize) -> Self {
        Self { gateway, places: Semaphore::new(limit), limit }
    }

    /// The service for a gRPC server.
    pub fn server(self) -> GatewayServer<Self> {
        GatewayServer::new(self).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE)
    }

    /// Serves one request if there is a place for it, within the time that the client gives.
    async fn serve<Q, A>(
        &self,
        request: Request<Q>,
        expired: &str,
        serve: impl AsyncFnOnce(Q) -> Result<A, GatewayError>,
    ) -> Result<Response<A>, Status> {
        let _place = self.places.try_acquire().map_err(|_| too_many("/gateway.Gateway", self.limit))?;
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
    type ChaincodeEventsStream = BoxStream<'static, Result<ChaincodeEventsResponse, Status>>;

    async fn endorse(&self, request: Request<EndorseRequest>) -> Result<Response<EndorseResponse>, Status> {
        let expired = "endorsement timeout expired while collecting endorsements";
        self.serve(request, expired, async |request| self.gateway.endorse(request).await).await
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let expired = "submit timeout expired while broadcasting to ordering service";
        self.serve(request, expired, async |request| self.gateway.submit(request).await).await
    }

    async fn commit_status(
        &self,
        request: Request<SignedCommitStatusRequest>,
    ) -> Result<Response<CommitStatusResponse>, Status> {
        let expired = "context deadline exceeded";
        self.serve(request, expired, async |request| self.gateway.commit_status(request).await).await
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let expired = "evaluate timeout expired";
        self.serve(request, expired, async |request| self.gateway.evaluate(request).await).await
    }

    async fn chaincode_events(
        &self,
        _: Request<SignedChaincodeEventsRequest>,
    ) -> Result<Response<Self::ChaincodeEventsStream>, Status> {
        Err(Status::unimplemented("this peer does not serve chaincode events yet"))
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
