use std::sync::Arc;

use selvedge_proto::protos::endorser_server::{Endorser as Service, EndorserServer};
use selvedge_proto::protos::{ProposalResponse, SignedProposal};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::{Endorser, MAX_MESSAGE};

/// How many proposals are served at a time (Fabric's `peer.limits.concurrency.endorserService`).
pub const MAX_CONCURRENT_PROPOSALS: usize = 2500;

/// The gRPC service `protos.Endorser`.
pub struct EndorserService {
    endorser: Arc<dyn Endorser>,
    places: Semaphore,
    limit: usize,
}

impl EndorserService {
    /// A service that asks this endorser.
    pub fn new(endorser: Arc<dyn Endorser>) -> Self {
        Self::with_limit(endorser, MAX_CONCURRENT_PROPOSALS)
    }

    /// A service with another limit of proposals at a time.
    pub fn with_limit(endorser: Arc<dyn Endorser>, limit: usize) -> Self {
        Self { endorser, places: Semaphore::new(limit), limit }
    }

    /// The service for a gRPC server.
    pub fn server(self) -> EndorserServer<Self> {
        EndorserServer::new(self)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }
}

#[tonic::async_trait]
impl Service for EndorserService {
    async fn process_proposal(
        &self,
        request: Request<SignedProposal>,
    ) -> Result<Response<ProposalResponse>, Status> {
        let _place = self.places.try_acquire().map_err(|_| too_many("/protos.Endorser", self.limit))?;
        let answered = self.endorser.process_proposal(request.into_inner()).await;
        // Go's gRPC gives errors without a status the code Unknown.
        answered.map(Response::new).map_err(|error| Status::unknown(error.to_string()))
    }
}

/// Fabric's error for one request too many.
pub(crate) fn too_many(service: &str, limit: usize) -> Status {
    Status::unknown(format!("too many requests for {service}, exceeding concurrency limit ({limit})"))
}
