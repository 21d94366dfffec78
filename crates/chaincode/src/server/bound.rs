//! A server that listens, and then serves.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use selvedge_tls::{Listener, ReceiveBudget, Refusal, Reloading, Reloads, SecuritySwitch};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::DropGuard;

use super::expiry;
use super::readiness::Readiness;
use super::service::Services;
use super::{Keepalive, ServerError};
use crate::stream::Settings;

/// Requests that one connection may have open. A peer needs one for each chaincode it reaches here.
const REQUESTS_PER_CONNECTION: u32 = 64;

/// The most bytes of headers that a request may have. A peer sends a few hundred.
const HEADER_BYTES: u32 = 16 << 10;

/// How much a peer may send ahead of what is read: on one stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A server whose port is open; connections wait until it serves.
pub struct BoundServer {
    pub(super) listener: Listener,
    /// Keeps the listener's security as its files say, when it is made of files.
    pub(super) reloading: Option<Reloading>,
    pub(super) keepalive: Keepalive,
    pub(super) budget: ReceiveBudget,
    /// How long a connection may take to close.
    pub(super) linger: Duration,
    pub(super) readiness: Readiness,
    pub(super) settings: Settings,
    /// Ends the streams, and with them the server's readiness, however the server ends.
    pub(super) ending: DropGuard,
}

impl BoundServer {
    /// The address that is listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Tells of every connection that is refused, with the reason.
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.listener.refusals()
    }

    /// What counts for connections, to look at or to change.
    pub fn security(&self) -> SecuritySwitch {
        self.listener.security()
    }

    /// Tells what became of changes of the TLS configuration's files, when the server was made with
    /// [`Server::reloading`](crate::Server::reloading).
    pub fn reloads(&self) -> Option<watch::Receiver<Reloads>> {
        self.reloading.as_ref().map(Reloading::reloads)
    }

    /// Serves until `shutdown` completes; then running transactions may end and every stream is closed.
    ///
    /// # Errors
    /// When the connections cannot be served.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self { listener, reloading, keepalive, budget, linger, readiness, settings, ending } = self;
        // Kept until this returns or is dropped.
        let _kept = (reloading, ending);
        let security = listener.security();
        let stopping = settings.stopping.clone();
        let limit = settings.drain.saturating_add(linger);
        let services = Services::new(settings, readiness);
        let stop = async {
            shutdown.await;
            stopping.cancel();
        };
        let served = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(keepalive.interval))
            .http2_keepalive_timeout(Some(keepalive.timeout))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(Some(HEADER_BYTES))
            .max_concurrent_streams(Some(REQUESTS_PER_CONNECTION))
            .layer(budget)
            .serve_with_incoming_shutdown(services, listener, stop);
        let out_of_time = async {
            stopping.cancelled().await;
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            result = served => result.map_err(ServerError::Serving),
            // A peer that does not close its connection must not hold up the end.
            () = out_of_time => Ok(()),
            never = expiry::warn(security) => match never {},
        }
    }
}
