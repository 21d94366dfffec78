//! Connecting, with a verdict for everything that can go wrong.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use crate::client::ClientTls;
use crate::connection::{Connection, PeerInfo, Session, Stream};
use crate::dialled::{Dialled, FirstRead};
use crate::provider::H2;
use crate::sniff::{PREFACE, SETTINGS, Speech, speech};
use crate::socket::Socket;
use crate::text::escape;
use crate::verdict::{DialError, Phase, Verdict};
use crate::{ClientSecurity, Target};

/// How long a server may take to send its first frame unasked. All known gRPC servers do at once; one that
/// does not is asked after this time.
const UNASKED: Duration = Duration::from_millis(500);

/// Connects and, under TLS, does the handshake, all within `timeout`. The connection carries no HTTP/2 yet.
///
/// Under TLS 1.3 a server's refusal of the client certificate arrives only after the client's handshake is
/// done: use [`probe`] or [`channel`](crate::channel) to learn of it; a plain read on this connection fails
/// with a [`DialError`] inside.
///
/// # Errors
/// With the [`Verdict`] that says why.
pub async fn dial(
    target: &Target,
    security: &ClientSecurity,
    timeout: Duration,
) -> Result<Connection, DialError> {
    dial_until(target, security, Deadline::after(timeout)).await
}

/// Connects as [`dial`] does, then starts HTTP/2 and waits for the server's first frame, so that a late
/// refusal is found too. Closes the connection and tells who is there.
///
/// # Errors
/// With the [`Verdict`] that says why.
pub async fn probe(
    target: &Target,
    security: &ClientSecurity,
    timeout: Duration,
) -> Result<PeerInfo, DialError> {
    let deadline = Deadline::after(timeout);
    let (mut connection, confirmed) = dial_confirmed(target, security, deadline).await?;
    if confirmed {
        return Ok(connection.peer().clone());
    }
    let info = connection.peer().clone();
    let Some(watcher) = connection.first_read() else { return Ok(info) };
    let dialled = watcher.dialled().clone();
    let receiver = watcher.subscribe();
    let greeting = [PREFACE, &SETTINGS].concat();
    let talk = async move {
        let mut buffer = [0; 1024];
        // A failed write is explained by what the read then finds.
        let _ = connection.write_all(&greeting).await;
        let _ = connection.flush().await;
        let _ = connection.read(&mut buffer).await;
        connection
    };
    match deadline.limit(talk).await {
        None => Err(silent(&dialled, deadline).await),
        Some(_) => match receiver.await {
            Ok(Ok(())) => Ok(info),
            Ok(Err(error)) => Err(second_look(error, deadline).await),
            Err(_) => Err(dialled.no_answer(Phase::Http2)),
        },
    }
}

/// When dialling began and when it has to be done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(crate) started: Instant,
    at: Instant,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        /// Beyond any sensible wait, and far from overflowing the clock.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        let started = Instant::now();
        Self { started, at: started + timeout.min(LONGEST) }
    }

    fn remaining(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    pub(crate) async fn limit<F: Future>(self, work: F) -> Option<F::Output> {
        timeout_at(self.at, work).await.ok()
    }
}

/// Dials and reads the server's first frame if it comes unasked. Nothing is written before that: a server that
/// refuses and closes while unread bytes wait would lose its alert to a TCP reset.
pub(crate) async fn dial_confirmed(
    target: &Target,
    security: &ClientSecurity,
    deadline: Deadline,
) -> Result<(Connection, bool), DialError> {
    let mut connection = dial_until(target, security, deadline).await?;
    if matches!(security, ClientSecurity::Plaintext) {
        return Ok((connection, false));
    }
    let patience = UNASKED.min(deadline.remaining() / 2);
    let mut buffer = [0; 1024];
    match tokio::time::timeout(patience, connection.read(&mut buffer)).await {
        Err(_) => Ok((connection, false)),
        Ok(Ok(count)) => {
            connection.put_back(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default()));
            Ok((connection, true))
        }
        Ok(Err(error)) => Err(unwrap(error, target, connection.peer())),
    }
}

/// A plaintext server that closed or stayed silent may be waiting for TLS. Looks, with a connection of its own.
pub(crate) async fn second_look(error: DialError, deadline: Deadline) -> DialError {
    let Some(remote) = error.remote else { return error };
    let plaintext = error.server_chain.is_empty();
    let inconclusive = matches!(
        *error.verdict,
        Verdict::Closed { phase: Phase::Http2 }
            | Verdict::NoAnswer { phase: Phase::Http2, .. }
            | Verdict::Broken { .. }
    );
    if !plaintext || !inconclusive {
        return error;
    }
    // Granted even when the time is used up: without it a silent server could never be told apart.
    let patience = deadline.remaining().max(UNASKED);
    match tokio::time::timeout(patience, answers_tls(remote)).await {
        Ok(Ok(true)) => DialError {
            verdict: Box::new(Verdict::ServerIsTls {
                evidence: "a second connection got a TLS answer to a TLS greeting",
            }),
            ..error
        },
        _ => error,
    }
}

/// The verdict for a server that did not send its first frame in time.
pub(crate) async fn silent(dialled: &Dialled, deadline: Deadline) -> DialError {
    second_look(dialled.no_answer(Phase::Http2), deadline).await
}

impl Dialled {
    pub(crate) fn of_peer(
        target: &Target,
        security: &ClientSecurity,
        info: &PeerInfo,
        started: Instant,
    ) -> Self {
        let tls = match security {
            ClientSecurity::Tls(tls) => Some(tls),
            ClientSecurity::Plaintext => None,
        };
        Self {
            target: target.clone(),
            remote: info.remote_addr,
            started,
            tls: tls.is_some(),
            identity: tls
                .and_then(ClientTls::identity)
                .map(|identity| identity.certificate().subject.clone()),
            requested: None,
            server_chain: info.certificates.to_vec(),
        }
    }
}

async fn dial_until(
    target: &Target,
    security: &ClientSecurity,
    deadline: Deadline,
) -> Result<Connection, DialError> {
    let name = match security {
        ClientSecurity::Plaintext => None,
        ClientSecurity::Tls(tls) => Some((tls, expected_name(target, tls)?)),
    };
    let (tcp, remote) = connect(target, deadline).await?;
    let info = PeerInfo::plaintext(remote);
    let dialled = Dialled::of_peer(target, security, &info, deadline.started);
    let socket = Socket::new(tcp);
    match name {
        None => {
            let mut connection = Connection::dialled(Stream::Plain(socket), info);
            connection.watch_first_read(FirstRead::new(dialled));
            Ok(connection)
        }
        Some((tls, name)) => shake_hands(socket, tls, name, dialled, deadline).await,
    }
}

fn expected_name(target: &Target, tls: &ClientTls) -> Result<ServerName<'static>, DialError> {
    tls.name_for(&target.host).ok_or_else(|| DialError {
        target: target.clone(),
        remote: None,
        verdict: Box::new(Verdict::InvalidServerName { name: escape(&target.host) }),
        server_chain: Vec::new(),
    })
}

/// Tries every address of the host in turn, each with its share of the remaining time.
async fn connect(target: &Target, deadline: Deadline) -> Result<(TcpStream, SocketAddr), DialError> {
    let fail = |remote, verdict| DialError {
        target: target.clone(),
        remote,
        verdict: Box::new(verdict),
        server_chain: Vec::new(),
    };
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    let addresses: Vec<SocketAddr> = match deadline.limit(lookup).await {
        None => {
            return Err(fail(
                None,
                Verdict::Unresolved { reason: "the resolver did not answer in time".into() },
            ));
        }
        Some(Err(error)) => {
            return Err(fail(None, Verdict::Unresolved { reason: escape(&error.to_string()) }));
        }
        Some(Ok(addresses)) => addresses.collect(),
    };
    let mut last = fail(None, Verdict::Unresolved { reason: "the name has no address".into() });
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        let share = deadline.remaining() / left.max(1);
        left = left.saturating_sub(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                // Requests are small and waited for; delaying them to fill packets would cost 40 ms each.
                let _ = tcp.set_nodelay(true);
                return Ok((tcp, address));
            }
            Ok(Err(error)) => last = fail(Some(address), connect_verdict(&error)),
            Err(_) => {
                last = fail(Some(address), Verdict::ConnectTimeout { after: deadline.started.elapsed() })
            }
        }
    }
    Err(last)
}

fn connect_verdict(error: &io::Error) -> Verdict {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Verdict::Refused,
        io::ErrorKind::TimedOut => Verdict::Unreachable { reason: "the system's own time-out".into() },
        _ => Verdict::Unreachable { reason: error.to_string() },
    }
}

async fn shake_hands(
    socket: Socket,
    tls: &ClientTls,
    name: ServerName<'static>,
    mut dialled: Dialled,
    deadline: Deadline,
) -> Result<Connection, DialError> {
    let (config, seen) =
        tls.for_connection().map_err(|error| dialled.error(Verdict::Tls { reason: error.to_string() }))?;
    let asked = match &name {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    };
    let handshake = TlsConnector::from(config).connect(name, socket).into_fallible();
    let stream = match deadline.limit(handshake).await {
        None => return Err(dialled.no_answer(Phase::Handshake)),
        Some(Err((error, socket))) => {
            return Err(dialled.handshake(&error, seen.record(), socket.first_bytes()));
        }
        Some(Ok(stream)) => stream,
    };
    let record = seen.record();
    dialled.server_chain.clone_from(&record.chain);
    dialled.requested = record.requested;
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(H2) {
        return Err(dialled.error(Verdict::NoHttp2Alpn { answer: None }));
    }
    let info = PeerInfo {
        remote_addr: dialled.remote,
        certificates: record.chain.into(),
        msp_id: None,
        session: Some(Session::of(session, asked)),
        received: Arc::default(),
    };
    let mut connection = Connection::dialled(Stream::Client(Box::new(stream)), info);
    connection.watch_first_read(FirstRead::new(dialled));
    Ok(connection)
}

/// A first read's error carries its verdict inside.
fn unwrap(error: io::Error, target: &Target, info: &PeerInfo) -> DialError {
    error.downcast::<DialError>().unwrap_or_else(|other| DialError {
        target: target.clone(),
        remote: Some(info.remote_addr),
        verdict: Box::new(Verdict::Broken { phase: Phase::Http2, reason: other.to_string() }),
        server_chain: info.certificates.to_vec(),
    })
}

/// Whether a TLS greeting gets a TLS answer. Nothing is verified and nothing but the greeting is sent.
async fn answers_tls(remote: SocketAddr) -> io::Result<bool> {
    let mut tcp = TcpStream::connect(remote).await?;
    tcp.write_all(&greeting(remote)?).await?;
    let mut first = [0; 5];
    let count = tcp.read(&mut first).await?;
    Ok(speech(first.get(..count).unwrap_or_default()) == Speech::Tls)
}

fn greeting(remote: SocketAddr) -> io::Result<Vec<u8>> {
    let config = crate::client::greeting_only().map_err(io::Error::other)?;
    let mut session =
        rustls::ClientConnection::new(config, ServerName::from(remote.ip())).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes)?;
    Ok(bytes)
}
