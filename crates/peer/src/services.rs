//! Serves a peer's gRPC services on one listener.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use selvedge_tls::{Listener, ReceiveBudget, ReceiveLimits};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;
use tonic::transport::Server;

/// What the services of a peer allow. The services themselves limit the calls they serve at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceLimits {
    /// Calls of one connection at a time. Default 4096: SDKs share one connection among all their calls, and every
    /// service has its own limit below that.
    pub streams: u32,
    /// The bytes of messages that are received and answered at a time. Default 100 MiB for one message, 256 MiB for one
    /// connection, 1 GiB for all.
    pub received: ReceiveLimits,
    /// The most bytes of a call's headers. Default 64 KiB.
    pub header_bytes: u32,
    /// After how long without traffic a connection is asked for a sign of life. Default 2 hours (Fabric's
    /// `peer.keepalive.interval`).
    pub keepalive_interval: Duration,
    /// How long that sign may take. Default 20 s (Fabric's `peer.keepalive.timeout`).
    pub keepalive_timeout: Duration,
    /// Calls that were reset by their caller and are still being cleaned up, per connection. Default 64.
    pub pending_resets: usize,
    /// How long to wait for calls to end when the services are told to stop. Default 5 s.
    pub drain: Duration,
}

/// How much a client may send ahead of what is read, on one stream and on all streams of a connection together.
const WINDOW: u32 = 1 << 20;

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            streams: 4096,
            received: ReceiveLimits::default(),
            header_bytes: 64 << 10,
            keepalive_interval: Duration::from_secs(2 * 60 * 60),
            keepalive_timeout: Duration::from_secs(20),
            pending_resets: 64,
            drain: Duration::from_secs(5),
        }
    }
}

/// Why services could not be served.
#[derive(Debug, thiserror::Error)]
#[error("the connections of the peer's listener could not be served")]
pub struct ServeError(#[from] tonic::transport::Error);

/// The services of a peer.
#[derive(Clone, Debug, Default)]
pub struct Services {
    routes: RoutesBuilder,
    budget: ReceiveBudget,
    limits: ServiceLimits,
}

impl Services {
    /// No services yet, with these limits.
    pub fn new(limits: ServiceLimits) -> Self {
        Self { routes: RoutesBuilder::default(), budget: ReceiveBudget::new(limits.received.clone()), limits }
    }

    /// Receives messages within a budget that other services of the process have a part in too, in place of one of
    /// their own after [`ServiceLimits::received`].
    #[must_use]
    pub fn within(mut self, budget: &ReceiveBudget) -> Self {
        self.budget = budget.clone();
        self
    }

    /// Adds a service, such as [`EndorserService::server`](crate::endorser::EndorserService::server).
    #[must_use]
    pub fn with<S>(mut self, service: S) -> Self
    where
        S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        self.routes.add_service(service);
        self
    }

    /// Serves until `shutdown` completes, and then waits for calls to end, for [`ServiceLimits::drain`] at most. No
    /// connection is accepted from then on; what still goes on ends with the caller or with the runtime.
    ///
    /// # Errors
    /// When the connections cannot be served.
    pub async fn serve(
        self,
        listener: Listener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServeError> {
        let limits = self.limits;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let told = async {
            shutdown.await;
            // The receiver lives as long as this future.
            let _ = stop.send(());
        };
        let served = Server::builder()
            .http2_keepalive_interval(Some(limits.keepalive_interval))
            .http2_keepalive_timeout(Some(limits.keepalive_timeout))
            .http2_max_header_list_size(Some(limits.header_bytes))
            .http2_max_pending_accept_reset_streams(Some(limits.pending_resets))
            .max_concurrent_streams(Some(limits.streams))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .layer(self.budget)
            .add_routes(self.routes.routes().prepare())
            .serve_with_incoming_shutdown(listener, told);
        let out_of_time = async {
            if stopped.await.is_err() {
                // The server ended without being told.
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(limits.drain).await;
        };
        tokio::select! {
            result = served => Ok(result?),
            // Calls that last, such as those that follow events, must not hold up the end.
            () = out_of_time => Ok(()),
        }
    }
}
