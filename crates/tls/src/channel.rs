//! gRPC channels over connections of this crate.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint};
use tower::Service;

use crate::connection::Connection;
use crate::dial::{Deadline, dial_confirmed, second_look, silent};
use crate::dialled::Dialled;
use crate::verdict::{DialError, Phase, Verdict};
use crate::{ClientSecurity, Target};

/// How a channel dials and keeps its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialOptions {
    /// For every attempt to connect, from name resolution to the server's first frame. Default 3 s, as Fabric
    /// has it when connection.json gives none.
    pub timeout: Duration,
    /// HTTP/2 pings. Default as Fabric's peer: every 60 s, dead after 20 s, also without streams.
    pub keep_alive: Option<KeepAlive>,
}

/// HTTP/2 pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepAlive {
    /// Between two pings. Servers may refuse clients that ping more often than once a minute.
    pub interval: Duration,
    /// Without an answer for this long, the connection is given up.
    pub timeout: Duration,
    /// Also while no stream is open.
    pub while_idle: bool,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(60), timeout: Duration::from_secs(20), while_idle: true }
    }
}

impl Default for DialOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), keep_alive: Some(KeepAlive::default()) }
    }
}

/// Connects, waits until the server has shown that it lets this client in, and returns the channel. Later,
/// when the connection is lost, the channel connects anew at its next call; a failure then is a gRPC status
/// `UNAVAILABLE` with a [`DialError`] among its sources.
///
/// # Errors
/// With the [`Verdict`] that says why.
pub async fn channel(
    target: &Target,
    security: &ClientSecurity,
    options: &DialOptions,
) -> Result<Channel, DialError> {
    let deadline = Deadline::after(options.timeout);
    let (mut connection, confirmed) = dial_confirmed(target, security, deadline).await?;
    let (dialled, judgement) = match connection.first_read() {
        Some(watcher) if !confirmed => (watcher.dialled().clone(), Some(watcher.subscribe())),
        _ => (Dialled::of_peer(target, security, connection.peer(), deadline.started), None),
    };
    let broken = |reason: String| dialled.error(Verdict::Broken { phase: Phase::Http2, reason });

    let endpoint = endpoint(target, security, options).map_err(|error| broken(error.to_string()))?;
    let connector = Connector::new(target.clone(), security.clone(), options.timeout);
    connector.prepare(connection);
    let connected = deadline.limit(endpoint.connect_with_connector(connector)).await;
    let failure = match connected {
        Some(Ok(channel)) => match judgement {
            None => return Ok(channel),
            Some(receiver) => match deadline.limit(receiver).await {
                Some(Ok(Ok(()))) => return Ok(channel),
                Some(Ok(Err(error))) => error,
                Some(Err(_)) => dialled.error(Verdict::Closed { phase: Phase::Http2 }),
                None => return Err(silent(&dialled, deadline).await),
            },
        },
        // The connection exists already, so only writing HTTP/2's first bytes to it can have failed.
        Some(Err(_)) => dialled.error(Verdict::Closed { phase: Phase::Http2 }),
        None => dialled.no_answer(Phase::Http2),
    };
    Err(second_look(failure, deadline).await)
}

/// Dials for a tonic [`Endpoint`]; whatever URI it is asked for, it connects to its own target.
#[derive(Debug, Clone)]
pub struct Connector {
    target: Target,
    security: ClientSecurity,
    timeout: Duration,
    prepared: Arc<Mutex<Option<Connection>>>,
}

impl Connector {
    /// A connector whose every attempt, the server's first frame included, takes at most `timeout`.
    #[must_use]
    pub fn new(target: Target, security: ClientSecurity, timeout: Duration) -> Self {
        Self { target, security, timeout, prepared: Arc::default() }
    }

    /// Hands out this connection at the next call instead of dialling.
    fn prepare(&self, connection: Connection) {
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Self { target, security, timeout, .. } = self.clone();
        Box::pin(async move {
            let connection = match prepared {
                Some(connection) => connection,
                None => dial_confirmed(&target, &security, Deadline::after(timeout)).await?.0,
            };
            Ok(TokioIo::new(connection))
        })
    }
}

fn endpoint(
    target: &Target,
    security: &ClientSecurity,
    options: &DialOptions,
) -> Result<Endpoint, Box<dyn std::error::Error>> {
    // The endpoint itself must look like plaintext, or tonic would want TLS of its own; the origin is what
    // goes into each request.
    let mut endpoint = Endpoint::from_shared(format!("http://{target}"))?;
    if let ClientSecurity::Tls(tls) = security {
        // grpc-go puts an overriding server name there too.
        let authority = tls.server_name().unwrap_or_else(|| target.to_string());
        endpoint = endpoint.origin(format!("https://{authority}").parse()?);
    }
    if let Some(keep_alive) = options.keep_alive {
        endpoint = endpoint
            .http2_keep_alive_interval(keep_alive.interval)
            .keep_alive_timeout(keep_alive.timeout)
            .keep_alive_while_idle(keep_alive.while_idle);
    }
    Ok(endpoint)
}
