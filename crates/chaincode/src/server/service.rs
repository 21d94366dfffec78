//! The services of the port: Fabric's Chaincode, and gRPC's Health.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_server::{self, ChaincodeServer};
use selvedge_tls::PeerInfo;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_server::HealthServer;

use super::health::Health;
use super::readiness::Readiness;
use crate::message::MESSAGE_BYTES;
use crate::stream::{self, Settings};

/// Messages of one stream that the connection has taken and not yet sent.
pub(crate) const OUTGOING: usize = 16;

/// Gives each request to the service that its path names. What none knows is answered by the chaincode's, with
/// UNIMPLEMENTED.
#[derive(Clone)]
pub(super) struct Services {
    chaincode: ChaincodeServer<Service>,
    health: HealthServer<Health>,
}

impl Services {
    pub(super) fn new(settings: Settings, readiness: Readiness) -> Self {
        let chaincode = ChaincodeServer::new(Service { settings: Arc::new(settings) })
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Self { chaincode, health: HealthServer::new(Health::new(readiness)) }
    }
}

impl tower::Service<http::Request<Body>> for Services {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Both are always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path().starts_with("/grpc.health.v1.Health/") {
            self.health.call(request)
        } else {
            self.chaincode.call(request)
        }
    }
}

struct Service {
    settings: Arc<Settings>,
}

#[tonic::async_trait]
impl chaincode_server::Chaincode for Service {
    type ConnectStream = ReceiverStream<Result<ChaincodeMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ChaincodeMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let remote = request.extensions().get::<PeerInfo>().map(|info| info.remote_addr);
        let (outgoing, messages) = mpsc::channel(OUTGOING);
        let settings = Arc::clone(&self.settings);
        let incoming = request.into_inner();
        tokio::spawn(async move {
            tracing::info!(?remote, package_id = settings.package_id, "a peer has connected");
            // Boxed, since a stream's state is large and lives long.
            match stream::serve(incoming, outgoing, settings).boxed().await {
                Ok(()) => tracing::info!(?remote, "the peer's stream has ended"),
                Err(error) => tracing::warn!(?remote, %error, "the peer's stream has ended"),
            }
        });
        // The peer waits for the response's headers before it reads, and the chaincode speaks first.
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
