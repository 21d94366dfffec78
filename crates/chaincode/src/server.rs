use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_server;
use selvedge_session::chaincode::Limits as SessionLimits;
use selvedge_tls::{
    BindError, Limits as ConnectionLimits, Listener, PeerInfo, ReceiveBudget, Refusal, ServerSecurity,
};
use tokio::net::ToSocketAddrs;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::Chaincode;
use crate::message::MESSAGE_BYTES;
use crate::stream::{self, Settings};
use crate::workers::Workers;

/// Messages of one stream that the connection has taken and not yet sent.
pub(crate) const OUTGOING: usize = 16;

/// Requests that one connection may have open. A peer needs one for each chaincode it reaches here.
const REQUESTS_PER_CONNECTION: u32 = 64;

/// The most bytes of headers that a request may have. A peer sends a few hundred.
const HEADER_BYTES: u32 = 16 << 10;

/// How much a peer may send ahead of what is read: on one stream, and on all streams of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

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
    security: ServerSecurity,
    connection_limits: ConnectionLimits,
    session_limits: SessionLimits,
    batching: bool,
    strict: bool,
    peer_msp_id: Option<String>,
    threads: usize,
    registration: Duration,
    drain: Duration,
}

impl Server {
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
            security: security.into(),
            connection_limits: ConnectionLimits::default(),
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
        self.connection_limits = limits;
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
        let (security, limits, settings) = self.into_parts()?;
        let linger = limits.linger;
        let listener = Listener::bind(address, security, limits).await?;
        Ok(BoundServer { listener, linger, settings })
    }

    /// Who may connect, and what every stream needs.
    pub(crate) fn into_parts(self) -> Result<(ServerSecurity, ConnectionLimits, Settings), ServerError> {
        if self.package_id.is_empty() {
            return Err(ServerError::NoPackageId);
        }
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
        };
        Ok((self.security, self.connection_limits, settings))
    }
}

/// A server whose port is open; connections wait until it serves.
pub struct BoundServer {
    listener: Listener,
    /// How long a connection may take to close.
    linger: Duration,
    settings: Settings,
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

    /// Serves until `shutdown` completes; then running transactions may end and every stream is closed.
    ///
    /// # Errors
    /// When the connections cannot be served.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self { listener, linger, settings } = self;
        let stopping = settings.stopping.clone();
        let limit = settings.drain.saturating_add(linger);
        let service = chaincode_server::ChaincodeServer::new(Service { settings: Arc::new(settings) })
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        let stop = async {
            shutdown.await;
            stopping.cancel();
        };
        let served = tonic::transport::Server::builder()
            .tcp_nodelay(true)
            .http2_keepalive_interval(Some(PING_INTERVAL))
            .http2_keepalive_timeout(Some(PING_TIMEOUT))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_max_header_list_size(Some(HEADER_BYTES))
            .max_concurrent_streams(Some(REQUESTS_PER_CONNECTION))
            .layer(ReceiveBudget::default())
            .serve_with_incoming_shutdown(service, listener, stop);
        let out_of_time = async {
            stopping.cancelled().await;
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            result = served => result.map_err(ServerError::Serving),
            // A peer that does not close its connection must not hold up the end.
            () = out_of_time => Ok(()),
        }
    }
}

/// Why a server could not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// A peer would not answer such a registration.
    #[error("the package id is empty; it must be the one that the peer shows for the installed package")]
    NoPackageId,
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
