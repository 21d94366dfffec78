//! gRPC's health service, on the chaincode's own port and so behind its TLS.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::readiness::Readiness;

/// The services that can be asked for: the whole server, and Fabric's.
const SERVICES: [&str; 2] = ["", "protos.Chaincode"];

/// How soon whoever watches hears that the certificate has expired. The end is told at once.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Health {
    readiness: Readiness,
}

impl Health {
    pub(super) fn new(readiness: Readiness) -> Self {
        Self { readiness }
    }
}

fn serving(readiness: &Readiness) -> ServingStatus {
    match readiness.check() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !SERVICES.contains(&request.get_ref().service.as_str()) {
            return Err(Status::not_found("no such service here"));
        }
        Ok(Response::new(HealthCheckResponse { status: serving(&self.readiness).into() }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let is_known = SERVICES.contains(&request.get_ref().service.as_str());
        let readiness = self.readiness.clone();
        let changes = stream::unfold(None, move |told: Option<ServingStatus>| {
            let readiness = readiness.clone();
            async move {
                loop {
                    // Read before the status: whoever is told of the end must have been told the status of the end.
                    let is_last = readiness.stopping().is_cancelled();
                    let status = if is_known { serving(&readiness) } else { ServingStatus::ServiceUnknown };
                    if told != Some(status) {
                        return Some((Ok(HealthCheckResponse { status: status.into() }), Some(status)));
                    }
                    if is_last {
                        // A watcher must not hold up the end of the server.
                        return None;
                    }
                    tokio::select! {
                        () = readiness.stopping().cancelled() => {}
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                    }
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
