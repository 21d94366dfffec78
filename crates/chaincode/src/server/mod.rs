//! Serving a chaincode: what is configured here, what runs in [`bound`], what answers in [`service`] and [`health`].

mod bound;
mod expiry;
mod health;
mod readiness;
mod service;

use std::sync::Arc;
use std::time::Duration;

use selvedge_session::chaincode::Limits as SessionLimits;
#[cfg(feature = "operations")]
use selvedge_tls::Reloading;
use selvedge_tls::{
    BindError, ConfigError, DialOptions, KeepAlive, Limits as ConnectionLimits, Listener, Loaded,
    ReceiveBudget, ServerSecurity,
};
use tokio::net::ToSocketAddrs;
use tokio_util::sync::CancellationToken;

pub use self::bound::BoundServer;
#[cfg(feature = "operations")]
pub(crate) use self::expiry::Expiry;
pub use self::readiness::NotReady;
pub(crate) use self::readiness::Readiness;
pub(crate) use self::service::OUTGOING;
use crate::Chaincode;
#[cfg(not(feature = "operations"))]
use crate::meter::Meter;
use crate::settings;
use crate::stream::Settings;
use crate::workers::Workers;

/// Where Fabric's shims look for the MSP of the peer that they serve.
const PEER_MSP_ID: &str = "CORE_PEER_LOCALMSPID";

/// How often an idle connection is asked whether it lives, and how long the answer may take: Fabric's figures.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves a chaincode to peers: chaincode as a service.
///
/// ```no_run
/// use selvedge::tls::{Identity, ServerTls};
/// use selvedge::{Chaincode, Server};
///
/// async fn run(chaincode: impl Chaincode) -> Result<(), Box<dyn std::error::Error>> {
///     let identity = Identity::from_pem(std::fs::read("server.crt")?, std::fs::read("server.key")?)?;
///     let tls = ServerTls::builder(identity)
///         .require_client_certificates(std::fs::read("peer-ca.crt")?)
///         .build()?;
///     let server = Server::new(chaincode, "basic:0123…", tls).bind("0.0.0.0:9999").await?;
///     server.serve(std::future::pending()).await?;
///     Ok(())
/// }
/// ```
pub struct Server {
    chaincode: Arc<dyn Chaincode>,
    package_id: String,
    edge: Edge,
    session_limits: SessionLimits,
    batching: bool,
    strict: bool,
    peer_msp_id: Option<String>,
    threads: usize,
    registration: Duration,
    drain: Duration,
}

/// What concerns connections.
pub(crate) struct Edge {
    security: Security,
    keepalive: Keepalive,
    budget: ReceiveBudget,
    limits: ConnectionLimits,
    #[cfg(feature = "operations")]
    operations: Option<Arc<crate::operations::Shared>>,
}

impl Edge {
    /// The same for a connection that is dialled.
    pub(crate) fn dial_options(&self) -> DialOptions {
        let Keepalive { interval, timeout } = self.keepalive;
        let keep_alive = Some(KeepAlive { interval, timeout, while_idle: true });
        DialOptions { keep_alive, ..DialOptions::default() }
    }
}

/// What the listener begins with, and whether it is read again later.
enum Security {
    Fixed(ServerSecurity),
    Files(Box<Loaded>),
}

/// When a silent connection counts as dead.
#[derive(Clone, Copy)]
struct Keepalive {
    interval: Duration,
    timeout: Duration,
}

impl Server {
    /// A server that is set up as it is told from outside. The address is not among what it takes: see [`Server::bind`].
    ///
    /// # Errors
    /// When the files of the TLS configuration cannot be used.
    pub fn from_settings(
        chaincode: impl Chaincode,
        settings: &settings::Settings,
    ) -> Result<Self, ServerError> {
        let id = settings.package_id.as_str();
        let mut server = match &settings.tls {
            Some(files) => Self::reloading(chaincode, id, Loaded::read(files.clone())?),
            None => Self::new(chaincode, id, ServerSecurity::Plaintext),
        };
        let Keepalive { interval, timeout } = &mut server.edge.keepalive;
        *interval = settings.keepalive_interval.unwrap_or(*interval);
        *timeout = settings.keepalive_timeout.unwrap_or(*timeout);
        server.peer_msp_id = settings.peer_msp_id.clone().or(server.peer_msp_id);
        server.drain = settings.drain.unwrap_or(server.drain);
        server.registration = settings.registration_timeout.unwrap_or(server.registration);
        server.threads = settings.contract_threads.map_or(server.threads, |threads| threads.max(1));
        server.batching = settings.batching.unwrap_or(server.batching);
        server.strict = settings.strict.unwrap_or(server.strict);
        Ok(server)
    }

    /// As [`Server::new`], with a TLS configuration that is read again whenever its files change. Good streams go on;
    /// those of clients that would be refused now are closed. What cannot be used is reported, and the old
    /// configuration kept: see [`BoundServer::reloads`].
    pub fn reloading(chaincode: impl Chaincode, package_id: impl Into<String>, files: Loaded) -> Self {
        let mut server = Self::new(chaincode, package_id, ServerSecurity::Plaintext);
        server.edge.security = Security::Files(Box::new(files));
        server
    }

    /// A server for the chaincode whose package has this id (`label:sha256-in-hex`). The id must be exactly the one
    /// that the peer shows for the installed package.
    pub fn new(
        chaincode: impl Chaincode,
        package_id: impl Into<String>,
        security: impl Into<ServerSecurity>,
    ) -> Self {
        Self {
            chaincode: Arc::new(chaincode),
            package_id: package_id.into(),
            edge: Edge {
                security: Security::Fixed(security.into()),
                keepalive: Keepalive { interval: PING_INTERVAL, timeout: PING_TIMEOUT },
                budget: ReceiveBudget::default(),
                limits: ConnectionLimits::default(),
                #[cfg(feature = "operations")]
                operations: None,
            },
            session_limits: SessionLimits::default(),
            batching: true,
            strict: false,
            peer_msp_id: std::env::var(PEER_MSP_ID).ok().filter(|id| !id.is_empty()),
            threads: 512,
            registration: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }

    /// Bounds of connections and their handshakes.
    #[must_use]
    pub fn connection_limits(mut self, limits: ConnectionLimits) -> Self {
        self.edge.limits = limits;
        self
    }

    /// Bounds of each stream's transactions and requests.
    #[must_use]
    pub fn session_limits(mut self, limits: SessionLimits) -> Self {
        self.session_limits = limits;
        self
    }

    /// Whether the batch operations are used that a peer offers (Fabric 3.1 and newer), as it is by default: reads that
    /// stand next to each other become one GET_STATE_MULTIPLE, and public writes are collected into WRITE_BATCH_STATE.
    /// The read/write set is the same with and without. A write that is collected is refused later than one that is not:
    /// see [`LedgerError::Unwritten`](crate::LedgerError::Unwritten).
    #[must_use]
    pub fn batching(mut self, batching: bool) -> Self {
        self.batching = batching;
        self
    }

    /// Whether calls fail with [`CheckError`](crate::CheckError) that hint at a mistake: reading a key after writing it,
    /// writing two values to one key, setting two events. By default they are a warning in the log.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// The organisation whose peers this server serves, by its MSP's name, for [`Query::peer_msp_id`](crate::Query::peer_msp_id).
    /// Without it the environment's `CORE_PEER_LOCALMSPID` counts. A peer does not tell, so the server must be told.
    #[must_use]
    pub fn peer_msp_id(mut self, msp_id: impl Into<String>) -> Self {
        self.peer_msp_id = Some(msp_id.into());
        self
    }

    /// The most threads that contracts may hold at once, 512 by default. They are started as they are needed and end
    /// after ten idle seconds; a transaction that waits for the peer holds none. While contracts that block hold all of
    /// them, other transactions wait; streams and connections are served all the same.
    #[must_use]
    pub fn contract_threads(mut self, threads: usize) -> Self {
        self.threads = threads.max(1);
        self
    }

    /// After how much silence a connection is asked whether it lives, 60 seconds by default, and how long the answer may
    /// take, 20 seconds by default: Fabric's figures. A connection that does not answer is closed, and its streams with
    /// it. The peer's own questions are answered however often they come.
    #[must_use]
    pub fn keepalive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.edge.keepalive = Keepalive { interval, timeout };
        self
    }

    /// The budget of the bytes that are received. Servers of one process share one by being given clones of it; without
    /// that each has its own.
    #[must_use]
    pub fn receive_budget(mut self, budget: ReceiveBudget) -> Self {
        self.edge.budget = budget;
        self
    }

    /// Lets an operations port tell of this server. Several may share one.
    #[cfg(feature = "operations")]
    #[must_use]
    pub fn operations(mut self, operations: &crate::Operations) -> Self {
        self.edge.operations = Some(Arc::clone(&operations.shared));
        self
    }

    /// How long a peer may take to accept the registration, 60 seconds by default. Then the stream is closed: a peer
    /// that refuses, because it knows no package of that id, says nothing at all.
    #[must_use]
    pub fn registration_timeout(mut self, registration: Duration) -> Self {
        self.registration = registration;
        self
    }

    /// How long running transactions may go on after the server was told to stop, 10 seconds by default. Meanwhile new
    /// ones are refused, and a stream without any is closed at once; whoever still runs after that time is cancelled.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Opens the port.
    ///
    /// # Errors
    /// When the package id is empty, the address cannot be listened on, or no thread can be started.
    pub async fn bind(
        self,
        address: impl ToSocketAddrs + std::fmt::Debug,
    ) -> Result<BoundServer, ServerError> {
        let (edge, settings) = self.into_parts()?;
        let linger = edge.limits.linger;
        let (security, files) = match edge.security {
            Security::Fixed(security) => (security, None),
            Security::Files(loaded) => (loaded.tls().clone().into(), Some(loaded)),
        };
        let listener = Listener::bind(address, security, edge.limits).await?;
        let reloading = files.map(|files| files.keep(listener.security()));
        let readiness = Readiness::new(settings.stopping.clone(), listener.security());
        #[cfg(feature = "operations")]
        if let Some(shared) = &edge.operations {
            let watched = crate::operations::Watched {
                package_id: settings.package_id.clone(),
                readiness: readiness.clone(),
                security: listener.security(),
                reloads: reloading.as_ref().map(Reloading::reloads),
                budget: edge.budget.clone(),
            };
            shared.watch(watched, listener.refusals());
        }
        let Edge { keepalive, budget, .. } = edge;
        let ending = settings.stopping.clone().drop_guard();
        Ok(BoundServer { listener, reloading, keepalive, budget, linger, readiness, settings, ending })
    }

    /// What concerns connections, and what every stream needs.
    pub(crate) fn into_parts(self) -> Result<(Edge, Settings), ServerError> {
        if self.package_id.is_empty() {
            return Err(ServerError::NoPackageId);
        }
        #[cfg(feature = "operations")]
        let operations = self.edge.operations.as_ref();
        #[cfg(feature = "operations")]
        let meter = operations.map(|shared| shared.meter(&self.package_id)).unwrap_or_default();
        #[cfg(not(feature = "operations"))]
        let meter = Meter::default();
        let settings = Settings {
            chaincode: self.chaincode,
            package_id: self.package_id,
            limits: self.session_limits,
            batching: self.batching,
            strict: self.strict,
            peer_msp_id: self.peer_msp_id.map(Into::into),
            workers: Arc::new(Workers::new(self.threads).map_err(ServerError::Threads)?),
            registration: self.registration,
            stopping: CancellationToken::new(),
            drain: self.drain,
            meter,
        };
        Ok((self.edge, settings))
    }
}

/// Why a server could not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A peer would not answer such a registration.
    #[error("the package id is empty; it must be the one that the peer shows for the installed package")]
    NoPackageId,
    /// The TLS configuration cannot be used.
    #[error(transparent)]
    Tls(#[from] ConfigError),
    /// The address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The threads for contracts could not be started.
    #[error("the threads for contracts could not be started")]
    Threads(#[source] std::io::Error),
    /// The connections could not be served.
    #[error("the connections could not be served")]
    Serving(#[source] tonic::transport::Error),
}
