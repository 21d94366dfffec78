//! Why a listener did not let a connection in.

use std::net::SocketAddr;
use std::time::Duration;

use rustls::Error as TlsError;

use crate::alert;
use crate::certificate::CertificateFacts;
use crate::problem::CertificateProblem;
use crate::server::ClientRecord;
use crate::sniff::{Speech, show, speech};
use crate::text::list;

/// A connection that was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Whose connection it was.
    pub remote: SocketAddr,
    /// Why.
    pub reason: RefusalReason,
    /// What the client's certificate says, when it showed one.
    pub client: Option<CertificateFacts>,
    /// Whether the connection had been let in before: it was judged again, and closed.
    pub was_let_in: bool,
}

/// Why a connection was not let in. `Display` is one line, with everything remote escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The client's certificate was refused.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// The client showed no certificate.
    #[error(
        "the client showed no certificate, and one is required (Go clients without a certificate of a named authority show none)"
    )]
    NoClientCertificate,
    /// The client refused this server's certificate.
    #[error("the client refused this server's certificate or offer (alert {alert})")]
    RefusedByClient {
        /// The alert it sent.
        alert: String,
    },
    /// The client speaks without TLS on a TLS port.
    #[error("the client speaks plaintext {}, and this port requires TLS", if *.http2 { "HTTP/2 (gRPC with TLS switched off)" } else { "HTTP/1" })]
    PlaintextClient {
        /// HTTP/2, as gRPC has it, or HTTP/1.
        http2: bool,
    },
    /// The client speaks TLS on a plaintext port.
    #[error("the client speaks TLS, and this port is plaintext")]
    TlsClient,
    /// The client speaks neither.
    #[error("the client speaks neither TLS nor HTTP: its first bytes are {first_bytes}")]
    Unintelligible {
        /// The first bytes, as text or hexadecimal digits.
        first_bytes: String,
    },
    /// The client does not offer HTTP/2.
    #[error("the client does not offer ALPN \"h2\" (it offers: {})", list(.offered))]
    NoHttp2Alpn {
        /// What it offers, escaped.
        offered: Vec<String>,
    },
    /// No TLS version, cipher or key exchange in common.
    #[error("no common TLS version, cipher or key exchange ({evidence})")]
    NothingInCommon {
        /// The library's words.
        evidence: String,
    },
    /// The client took too long.
    #[error("the handshake was not done within {} ms", .after.as_millis())]
    HandshakeTimeout {
        /// The limit.
        after: Duration,
    },
    /// The client went away during the handshake.
    #[error("the client closed the connection during the handshake")]
    Closed,
    /// All places are taken.
    #[error("all {limit} connections are in use")]
    TooManyConnections {
        /// The limit.
        limit: usize,
    },
    /// Anything else.
    #[error("the handshake failed: {reason}")]
    Failed {
        /// The library's or the system's words.
        reason: String,
    },
}

impl RefusalReason {
    /// A stable short name for machines, metrics and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Certificate(problem) => problem.name(),
            Self::NoClientCertificate => "no-client-certificate",
            Self::RefusedByClient { .. } => "refused-by-client",
            Self::PlaintextClient { .. } => "plaintext-client",
            Self::TlsClient => "tls-client",
            Self::Unintelligible { .. } => "unintelligible",
            Self::NoHttp2Alpn { .. } => "no-http2-alpn",
            Self::NothingInCommon { .. } => "nothing-in-common",
            Self::HandshakeTimeout { .. } => "handshake-timeout",
            Self::Closed => "closed",
            Self::TooManyConnections { .. } => "too-many-connections",
            Self::Failed { .. } => "handshake-failed",
        }
    }

    /// From a failed handshake, what its verifier saw and the first bytes that came.
    pub(crate) fn of_handshake(error: &std::io::Error, record: &ClientRecord, first: &[u8]) -> Self {
        if let Some(problem) = &record.problem {
            return Self::Certificate(problem.clone());
        }
        let Some(inner) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            use std::io::ErrorKind as K;
            return match error.kind() {
                K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe => Self::Closed,
                _ => Self::Failed { reason: error.to_string() },
            };
        };
        match inner {
            TlsError::NoCertificatesPresented => Self::NoClientCertificate,
            TlsError::AlertReceived(alert) => Self::RefusedByClient { alert: alert::name(*alert) },
            TlsError::PeerIncompatible(_) => Self::NothingInCommon { evidence: inner.to_string() },
            _ if speech(first) != Speech::Tls => Self::Unintelligible { first_bytes: show(first) },
            other => Self::Failed { reason: crate::text::escape(&other.to_string()) },
        }
    }
}
