//! The operations port: `/livez`, `/readyz` and `/metrics` over plain HTTP, beside the port that peers use.

mod metrics;
mod port;

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::registry::Registry;
use selvedge_tls::{ReceiveBudget, Refusal, Reloads, SecuritySwitch};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

pub(crate) use self::metrics::{Gauge, ServerMetrics};
use self::metrics::{Metrics, labels_of};
use crate::meter::Meter;
use crate::server::{Expiry, Readiness};

/// An operations port that is open. Dropping it closes it.
///
/// `/livez` says that the process answers; `/readyz` that each server which was given this port listens, has a
/// certificate that is valid now, and was not told to stop; whether a peer is connected plays no part. `/metrics` is in
/// the text form of OpenMetrics, which Prometheus reads. `docs/server.md` lists the metrics.
///
/// It is plain HTTP without any proof of who asks, so it belongs on loopback or on a network of the operator's own.
///
/// ```no_run
/// # use selvedge::{Chaincode, Operations, Server};
/// # use selvedge::tls::ServerTls;
/// # async fn run(one: impl Chaincode, other: impl Chaincode, tls: ServerTls) -> Result<(), Box<dyn std::error::Error>> {
/// // Two chaincodes in one process, watched at one place.
/// let operations = Operations::bind("127.0.0.1:9443").await?;
/// let one = Server::new(one, "one:0123…", tls.clone()).operations(&operations).bind("0.0.0.0:9998").await?;
/// let other = Server::new(other, "other:4567…", tls).operations(&operations).bind("0.0.0.0:9999").await?;
/// tokio::try_join!(one.serve(std::future::pending()), other.serve(std::future::pending()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Operations {
    pub(crate) shared: Arc<Shared>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Operations {
    /// Opens the port and answers from now on. Until a server was given it, `/readyz` says no.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "the operations port can be reached from other machines, without TLS");
        }
        let (metrics, registry) = Metrics::new();
        let shared = Arc::new(Shared { metrics, registry, servers: Mutex::default() });
        let serving = tokio::spawn(port::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, serving })
    }

    /// The address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What the port tells of.
pub(crate) struct Shared {
    metrics: Metrics,
    registry: Registry,
    servers: Mutex<Vec<Watched>>,
}

/// A server that listens.
pub(crate) struct Watched {
    pub(crate) package_id: String,
    pub(crate) readiness: Readiness,
    pub(crate) security: SecuritySwitch,
    pub(crate) reloads: Option<watch::Receiver<Reloads>>,
    pub(crate) budget: ReceiveBudget,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn meter(&self, package_id: &str) -> Meter {
        Meter::new(self.metrics.of(package_id))
    }

    /// Tells of this server from now on, and counts its refusals until it ends.
    pub(crate) fn watch(self: &Arc<Self>, server: Watched, refusals: broadcast::Receiver<Refusal>) {
        tokio::spawn(count_refusals(Arc::clone(self), server.package_id.clone(), refusals));
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        // A server that takes the place of one that has ended.
        servers.retain(|before| before.package_id != server.package_id);
        servers.push(server);
    }

    /// Why peers cannot be served, a line for each reason.
    fn not_ready(&self) -> Result<(), String> {
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.is_empty() {
            return Err("no server listens yet\n".to_owned());
        }
        let mut reasons = String::new();
        for server in servers.iter() {
            if let Err(reason) = server.readiness.check() {
                let _ = writeln!(reasons, "{}: {reason}", server.package_id);
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn render(&self) -> Result<String, std::fmt::Error> {
        self.look();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Brings up to date what is not counted as it happens.
    fn look(&self) {
        let Metrics { ready, reloads, expiry, held_bytes, .. } = &self.metrics;
        // Certificates that were renewed are gone.
        expiry.clear();
        for server in self.servers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let id = server.package_id.as_str();
            let labels = [("package_id", id.to_owned())];
            ready.get_or_create(&labels).set(server.readiness.check().is_ok().into());
            held_bytes.get_or_create(&labels).set(signed(server.budget.used()));
            if let Some(seen) = server.reloads.as_ref().map(|reloads| reloads.borrow().clone()) {
                for (result, count) in [("taken", seen.taken), ("refused", seen.refused)] {
                    reloads.get_or_create(&labels_of(id, "result", result)).set(signed(count));
                }
            }
            for Expiry { kind, name, moment } in Expiry::all(&server.security.current()) {
                let labels = [("package_id", id.to_owned()), ("kind", kind.to_owned()), ("name", name)];
                expiry.get_or_create(&labels).set(moment.0);
            }
        }
    }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

async fn count_refusals(shared: Arc<Shared>, package_id: String, mut refusals: broadcast::Receiver<Refusal>) {
    loop {
        match refusals.recv().await {
            Ok(refusal) => shared.metrics.refused(&package_id, refusal.reason.name()),
            // So many at once that they were not even read; each counts, its reason is in the log.
            Err(RecvError::Lagged(missed)) => {
                for _ in 0..missed {
                    shared.metrics.refused(&package_id, "not-counted-by-reason");
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}
