//! The accept loop.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::Stream as Incoming;
use rustls::AlertDescription;
use rustls::server::Acceptor;
use rustls_pki_types::UnixTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use crate::certificate::{CertificateFacts, Timestamp};
use crate::connection::{Connection, PeerInfo, Session, Stream};
use crate::live::Living;
use crate::provider::H2;
use crate::refusal::{Refusal, RefusalReason};
use crate::server::{ClientRecord, ServerSecurity, ServerTls};
use crate::sniff::{PREFACE, Speech, show, speech};
use crate::socket::Socket;
use crate::text::escape;
use crate::{Limits, alert};

/// The listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}{}", bind_hint(.source))]
pub struct BindError {
    /// Where.
    pub address: String,
    /// The system's words.
    pub source: io::Error,
}

/// Accepts connections, does their handshakes and refuses strangers, all within its [`Limits`].
///
/// It is a stream of connections for tonic's `serve_with_incoming`; dropping it closes the port and every
/// connection that is still in its handshake.
#[derive(Debug)]
pub struct Listener {
    local: SocketAddr,
    ready: mpsc::Receiver<Connection>,
    refusals: broadcast::Sender<Refusal>,
    security: SecuritySwitch,
    accepting: JoinHandle<()>,
}

/// Changes a listener's security while it runs.
///
/// Connections that exist are judged again, as if they came now, and those that would be refused are closed; what they
/// agreed on in their handshake stays as it is.
#[derive(Debug, Clone)]
pub struct SecuritySwitch {
    security: Arc<ArcSwap<ServerSecurity>>,
    living: Arc<Living>,
}

impl SecuritySwitch {
    /// From now on, this is what counts.
    pub fn replace(&self, security: impl Into<ServerSecurity>) {
        self.security.store(Arc::new(security.into()));
        self.living.replaced();
    }

    /// What counts now.
    #[must_use]
    pub fn current(&self) -> Arc<ServerSecurity> {
        self.security.load_full()
    }
}

impl Listener {
    /// Opens the port and starts accepting.
    ///
    /// # Errors
    /// When the address is taken, not this machine's, or needs privileges.
    pub async fn bind(
        address: impl ToSocketAddrs + std::fmt::Debug,
        security: impl Into<ServerSecurity>,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let fail = |source| BindError { address: escape(&format!("{address:?}")), source };
        let tcp = TcpListener::bind(&address).await.map_err(fail)?;
        let local = tcp.local_addr().map_err(fail)?;
        let security = SecuritySwitch {
            security: Arc::new(ArcSwap::from_pointee(security.into())),
            living: Arc::default(),
        };
        let (sender, ready) = mpsc::channel(limits.backlog.max(1));
        let (refusals, _) = broadcast::channel(limits.refusals.max(1));
        let gate = Gate {
            security: security.clone(),
            refusals: refusals.clone(),
            handshakes: Arc::new(Semaphore::new(limits.handshakes.clamp(1, Semaphore::MAX_PERMITS))),
            limits,
        };
        let accepting = tokio::spawn(async move {
            tokio::select! {
                () = gate.watch_over() => {}
                () = accept(tcp, gate.clone(), sender) => {}
            }
        });
        Ok(Self { local, ready, refusals, security, accepting })
    }

    /// The address that is listened on, with the port the system chose when 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Tells of every refusal from now on. A reader that falls behind misses the oldest.
    #[must_use]
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    /// Changes the security later, for example when files were renewed.
    #[must_use]
    pub fn security(&self) -> SecuritySwitch {
        self.security.clone()
    }
}

impl Incoming for Listener {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|connection| connection.map(Ok))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn bind_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another process listens there: stop it or choose another port",
        io::ErrorKind::AddrNotAvailable => "; that address is not this machine's",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need privileges",
        _ => "",
    }
}

/// Everything a new connection is judged with.
#[derive(Clone)]
struct Gate {
    security: SecuritySwitch,
    refusals: broadcast::Sender<Refusal>,
    handshakes: Arc<Semaphore>,
    limits: Limits,
}

async fn accept(tcp: TcpListener, gate: Gate, ready: mpsc::Sender<Connection>) {
    /// Out of file descriptors or memory: waiting a little lets others give some back.
    const BREATH: Duration = Duration::from_millis(50);
    let places = Arc::new(Semaphore::new(gate.limits.connections.clamp(1, Semaphore::MAX_PERMITS)));
    // Dropped with this task, and its tasks with it.
    let mut newcomers = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = tcp.accept() => accepted,
            Some(_) = newcomers.join_next() => continue,
        };
        let (stream, remote) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(BREATH).await;
                continue;
            }
        };
        match Arc::clone(&places).try_acquire_owned() {
            Ok(place) => {
                newcomers.spawn(gate.clone().admit(stream, remote, place, ready.clone()));
            }
            Err(_) => {
                let limit = gate.limits.connections;
                gate.report(remote, RefusalReason::TooManyConnections { limit }, None);
            }
        }
    }
}

/// A refusal, with the socket that an alert has been written to.
struct Refused {
    reason: RefusalReason,
    record: ClientRecord,
    socket: Option<TcpStream>,
}

impl From<RefusalReason> for Refused {
    fn from(reason: RefusalReason) -> Self {
        Self { reason, record: ClientRecord::default(), socket: None }
    }
}

impl Gate {
    async fn admit(
        self,
        stream: TcpStream,
        remote: SocketAddr,
        place: OwnedSemaphorePermit,
        ready: mpsc::Sender<Connection>,
    ) {
        let _ = stream.set_nodelay(true);
        let limit = self.limits.handshake_timeout;
        let outcome = match timeout(limit, self.negotiate(stream, remote)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(RefusalReason::HandshakeTimeout { after: limit }.into()),
        };
        match outcome {
            Ok(admitted) => {
                let Admitted { stream, info, until, security } = admitted;
                let life = self.security.living.enter(info.clone(), until);
                // Whoever replaced the security meanwhile may not have seen this connection among the living.
                let current = self.security.current();
                if !Arc::ptr_eq(&security, &current) {
                    if let Err(reason) = current.judge(&info, UnixTime::now()) {
                        self.report_live(&info, reason);
                        return;
                    }
                    // What it was let in by may end at another moment than what counts now.
                    self.security.living.replaced();
                }
                // The receiver is gone only when the server shuts down.
                let _ = ready.send(Connection::accepted(stream, info, place, life)).await;
            }
            Err(refused) => {
                let client =
                    refused.record.chain.first().and_then(|leaf| CertificateFacts::from_der(leaf).ok());
                self.report(remote, refused.reason, client);
                if let Some(socket) = refused.socket {
                    let _ = timeout(self.limits.linger, linger(socket)).await;
                }
            }
        }
    }

    fn report(&self, remote: SocketAddr, reason: RefusalReason, client: Option<CertificateFacts>) {
        tracing::warn!(%remote, kind = reason.name(), %reason, "connection refused");
        // Nobody may be listening.
        let _ = self.refusals.send(Refusal { remote, reason, client, was_let_in: false });
    }

    /// Judges the connections that live again whenever there is reason to.
    async fn watch_over(&self) {
        let current = || self.security.current();
        self.security.living.watch_over(current, |peer, reason| self.report_live(peer, reason)).await;
    }

    fn report_live(&self, peer: &PeerInfo, reason: RefusalReason) {
        let remote = peer.remote_addr;
        tracing::warn!(%remote, kind = reason.name(), %reason, "connection closed: it would not be let in any more");
        let client = peer.certificates.first().and_then(|leaf| CertificateFacts::from_der(leaf).ok());
        let _ = self.refusals.send(Refusal { remote, reason, client, was_let_in: true });
    }

    async fn negotiate(&self, tcp: TcpStream, remote: SocketAddr) -> Result<Admitted, Refused> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => RefusalReason::Closed,
            _ => RefusalReason::Failed { reason: error.to_string() },
        };
        // Who has not begun to speak holds nobody up.
        let mut first = [0];
        if tcp.peek(&mut first).await.map_err(failed)? == 0 {
            return Err(RefusalReason::Closed.into());
        }
        // Kept until the handshake is over; the semaphore is never closed.
        let _turn = self.handshakes.acquire().await;
        let security = self.security.current();
        let [first] = first;
        let (stream, info, until) = match security.as_ref() {
            ServerSecurity::Plaintext if speech(&[first]) == Speech::Tls => {
                return Err(refuse_tls(tcp).await);
            }
            ServerSecurity::Plaintext => (Stream::Plain(Socket::new(tcp)), PeerInfo::plaintext(remote), None),
            ServerSecurity::Tls(_) if first.is_ascii_uppercase() => return Err(refuse_plaintext(tcp).await),
            ServerSecurity::Tls(tls) => shake_hands(tcp, remote, tls).await?,
        };
        Ok(Admitted { stream, info, until, security })
    }
}

/// A connection that was let in.
struct Admitted {
    stream: Stream,
    info: PeerInfo,
    /// The last moment for which that holds.
    until: Option<Timestamp>,
    /// What it was judged by.
    security: Arc<ServerSecurity>,
}

async fn shake_hands(
    tcp: TcpStream,
    remote: SocketAddr,
    tls: &ServerTls,
) -> Result<(Stream, PeerInfo, Option<Timestamp>), Refused> {
    let start = greet(tcp).await?;
    let (config, seen) =
        tls.for_connection().map_err(|error| RefusalReason::Failed { reason: error.to_string() })?;
    let stream = match start.into_stream(config).into_fallible().await {
        Ok(stream) => stream,
        Err((error, socket)) => {
            let record = seen.record();
            let reason = RefusalReason::of_handshake(&error, &record, socket.first_bytes());
            return Err(Refused { reason, record, socket: Some(socket.into_tcp()) });
        }
    };
    let record = seen.record();
    let (_, session) = stream.get_ref();
    let name = session.server_name().map(escape);
    let info = PeerInfo {
        remote_addr: remote,
        certificates: record.chain.into(),
        msp_id: record.msp,
        session: Some(Session::of(session, name)),
        received: Arc::default(),
    };
    Ok((Stream::Server(Box::new(stream)), info, record.until))
}

/// Reads the client's greeting and insists on HTTP/2. The library would let a client pass that offers no
/// protocol at all.
async fn greet(tcp: TcpStream) -> Result<StartHandshake<Socket>, Refused> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), Socket::new(tcp));
    let mut start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => {
            let socket = acceptor.take_io();
            let first = socket.as_ref().map(Socket::first_bytes).unwrap_or_default();
            let record = ClientRecord::default();
            let reason = RefusalReason::of_handshake(&error, &record, first);
            return Err(Refused { reason, record, socket: socket.map(Socket::into_tcp) });
        }
    };
    let offered: Vec<Vec<u8>> =
        start.client_hello().alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
    if offered.iter().any(|protocol| protocol == H2) {
        return Ok(start);
    }
    let _ = start.io.write_all(&alert::record(AlertDescription::NoApplicationProtocol)).await;
    /// A greeting has room for many; a log line has not.
    const SHOWN: usize = 8;
    let offered = offered.iter().take(SHOWN).map(|name| escape(&String::from_utf8_lossy(name))).collect();
    Err(Refused {
        reason: RefusalReason::NoHttp2Alpn { offered },
        record: ClientRecord::default(),
        socket: Some(start.io.into_tcp()),
    })
}

async fn refuse_plaintext(mut tcp: TcpStream) -> Refused {
    let mut bytes = [0; PREFACE.len()];
    let mut count = 0;
    // The first bytes may come one by one; they are read until they can be told apart.
    while count < bytes.len() && matches!(speech(bytes.get(..count).unwrap_or_default()), Speech::Other) {
        match tcp.read(bytes.get_mut(count..).unwrap_or_default()).await {
            Ok(0) | Err(_) => break,
            Ok(more) => count += more,
        }
    }
    let first = bytes.get(..count).unwrap_or_default();
    let reason = match speech(first) {
        Speech::Http2 => RefusalReason::PlaintextClient { http2: true },
        Speech::Http1 => RefusalReason::PlaintextClient { http2: false },
        _ => RefusalReason::Unintelligible { first_bytes: show(first) },
    };
    let answer: &[u8] = match reason {
        RefusalReason::PlaintextClient { http2: false } => {
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 24\r\nConnection: close\r\n\r\nThis port requires TLS.\n"
        }
        _ => &alert::record(AlertDescription::ProtocolVersion),
    };
    let _ = tcp.write_all(answer).await;
    Refused { reason, record: ClientRecord::default(), socket: Some(tcp) }
}

/// Answers in HTTP, which makes Go's client say that the first record does not look like a TLS handshake.
async fn refuse_tls(mut tcp: TcpStream) -> Refused {
    let answer =
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 25\r\nConnection: close\r\n\r\nThis port speaks no TLS.\n";
    let _ = tcp.write_all(answer).await;
    Refused { reason: RefusalReason::TlsClient, record: ClientRecord::default(), socket: Some(tcp) }
}

/// Closes the sending side and waits for the other end to close: a socket that is dropped while bytes wait
/// unread resets the connection, and the reset overtakes the alert.
async fn linger(mut socket: TcpStream) {
    /// Nobody in good faith sends more after a refusal.
    const MOST: usize = 64 * 1024;
    if socket.shutdown().await.is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    let mut total = 0;
    while total < MOST {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => total += count,
        }
    }
}
