//! A connection, accepted or dialled, with or without TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::{client, server};
use tonic::transport::server::Connected;

use crate::dialled::FirstRead;
use crate::live::Life;
use crate::received::Account;
use crate::socket::Socket;

/// A connection that is ready for HTTP/2. Under TLS the handshake is done and the other end is verified.
pub struct Connection {
    stream: Stream,
    info: PeerInfo,
    /// Bytes that were read ahead to learn whether the server lets this client in.
    ahead: Bytes,
    first_read: Option<Box<FirstRead>>,
    /// A place among the listener's connections, given back when the connection is dropped.
    _place: Option<OwnedSemaphorePermit>,
    /// An accepted connection's, which ends when it would not be let in any more.
    life: Option<Life>,
}

/// Who is at the other end. Servers find it in a request's extensions.
#[derive(Debug, Clone)]
pub struct PeerInfo {
    /// The other end's address.
    pub remote_addr: SocketAddr,
    /// The verified chain in DER, the other end's own certificate first; empty without one.
    pub certificates: Arc<[Bytes]>,
    /// On a server: the MSP that the client's authority is mapped to.
    pub msp_id: Option<Arc<str>>,
    /// What was agreed; `None` in plaintext.
    pub session: Option<Session>,
    /// What the connection's calls hold of the messages they have received.
    pub(crate) received: Arc<Account>,
}

impl PeerInfo {
    /// The other end of a connection without TLS.
    pub(crate) fn plaintext(remote_addr: SocketAddr) -> Self {
        Self {
            remote_addr,
            certificates: Arc::new([]),
            msp_id: None,
            session: None,
            received: Arc::default(),
        }
    }
}

/// What the two ends agreed on, in the standards' spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// `TLSv1_3` or `TLSv1_2`.
    pub version: String,
    /// Such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher_suite: String,
    /// Such as `X25519MLKEM768`.
    pub key_exchange: String,
    /// The server name that was asked for; none for an IP address.
    pub server_name: Option<String>,
}

pub(crate) enum Stream {
    Plain(Socket),
    Server(Box<server::TlsStream<Socket>>),
    Client(Box<client::TlsStream<Socket>>),
}

impl Connection {
    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> &PeerInfo {
        &self.info
    }

    pub(crate) fn dialled(stream: Stream, info: PeerInfo) -> Self {
        Self { stream, info, ahead: Bytes::new(), first_read: None, _place: None, life: None }
    }

    pub(crate) fn accepted(stream: Stream, info: PeerInfo, place: OwnedSemaphorePermit, life: Life) -> Self {
        Self { _place: Some(place), life: Some(life), ..Self::dialled(stream, info) }
    }

    /// Lets the first read be judged, so that a refusal which arrives only then gets its verdict.
    pub(crate) fn watch_first_read(&mut self, watcher: FirstRead) {
        self.first_read = Some(Box::new(watcher));
    }

    pub(crate) fn first_read(&mut self) -> Option<&mut FirstRead> {
        self.first_read.as_deref_mut()
    }

    /// Puts bytes back that were read ahead.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.ahead = bytes;
    }
}

impl Session {
    pub(crate) fn of(connection: &rustls::CommonState, server_name: Option<String>) -> Self {
        let word = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        Self {
            version: word(connection.protocol_version().and_then(|v| v.as_str().map(str::to_owned))),
            cipher_suite: word(
                connection
                    .negotiated_cipher_suite()
                    .and_then(|suite| suite.suite().as_str().map(str::to_owned)),
            ),
            key_exchange: word(
                connection
                    .negotiated_key_exchange_group()
                    .and_then(|group| group.name().as_str().map(str::to_owned)),
            ),
            server_name,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = PeerInfo;

    fn connect_info(&self) -> PeerInfo {
        self.info.clone()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.info).finish_non_exhaustive()
    }
}

/// Both ends see the connection break; the server's log says why.
fn no_longer_let_in() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client would not be let in any more")
}

macro_rules! each {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.stream {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Server(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
            Stream::Client(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.life.as_mut().is_some_and(|life| life.is_over(cx)) {
            return Poll::Ready(Err(no_longer_let_in()));
        }
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let outcome = each!(this, stream => stream.poll_read(cx, buffer));
        let Poll::Ready(outcome) = outcome else { return Poll::Pending };
        Poll::Ready(match this.first_read.take() {
            Some(watcher) => watcher.judge(outcome, buffer.filled().get(before..).unwrap_or_default()),
            None => outcome,
        })
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.life.as_mut().is_some_and(Life::is_over_by_now) {
            return Poll::Ready(Err(no_longer_let_in()));
        }
        each!(self, stream => stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.life.as_mut().is_some_and(Life::is_over_by_now) {
            return Poll::Ready(Err(no_longer_let_in()));
        }
        each!(self, stream => stream.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Server(stream) => stream.is_write_vectored(),
            Stream::Client(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
