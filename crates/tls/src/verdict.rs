//! Why a connection could not be made, with evidence, cause and fix.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::Target;
use crate::problem::CertificateProblem;
use crate::text::list;

/// A connection could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialError {
    /// Where to.
    pub target: Target,
    /// The address that was reached, when one was.
    pub remote: Option<SocketAddr>,
    /// Why. Boxed, so that results stay small.
    pub verdict: Box<Verdict>,
    /// The chain the server showed (DER, its own certificate first), also when it was refused.
    pub server_chain: Vec<Bytes>,
}

impl std::error::Error for DialError {}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: {}", self.target, self.verdict)?;
        write!(f, "; cause: {}; fix: {}", self.verdict.cause(), self.verdict.fix())
    }
}

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The TLS handshake.
    Handshake,
    /// After it, or without TLS: the server's first HTTP/2 frame.
    Http2,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshake => "the TLS handshake",
            Self::Http2 => "the start of HTTP/2",
        })
    }
}

/// Why a connection could not be made. `Display` tells what happened and the evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Verdict {
    /// The host's name has no address.
    #[error("the name cannot be resolved ({reason})")]
    Unresolved {
        /// The resolver's words.
        reason: String,
    },
    /// Nothing listens there.
    #[error("the connection was refused")]
    Refused,
    /// The network cannot deliver.
    #[error("the address cannot be reached ({reason})")]
    Unreachable {
        /// The system's words.
        reason: String,
    },
    /// No answer to the attempt to connect.
    #[error("no answer to the TCP connection within {} ms", .after.as_millis())]
    ConnectTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// Connected, and then silence.
    #[error("the server accepted the connection, but {phase} got no answer within {} ms", .after.as_millis())]
    NoAnswer {
        /// How far it had come.
        phase: Phase,
        /// How long was waited in all.
        after: Duration,
    },
    /// The server closed the connection without a reason.
    #[error("the server closed the connection during {phase} without a word")]
    Closed {
        /// How far it had come.
        phase: Phase,
    },
    /// TLS was dialled; the server does not speak it.
    #[error("TLS was dialled, but the server speaks plaintext: its first bytes are {first_bytes}")]
    ServerIsPlaintext {
        /// The first bytes, as text or hexadecimal digits.
        first_bytes: String,
    },
    /// Plaintext was dialled; the server speaks TLS.
    #[error("plaintext was dialled, but the server speaks TLS ({evidence})")]
    ServerIsTls {
        /// How that was found.
        evidence: &'static str,
    },
    /// Something else is there.
    #[error("the server does not speak HTTP/2: its first bytes are {first_bytes}")]
    NotHttp2 {
        /// The first bytes, as text or hexadecimal digits.
        first_bytes: String,
    },
    /// The server's certificate was refused.
    #[error("{0}")]
    Certificate(CertificateProblem),
    /// The host can stand in no certificate.
    #[error("{name} is neither a DNS name nor an IP address, so no certificate can be checked against it")]
    InvalidServerName {
        /// The host.
        name: String,
    },
    /// The server agreed to TLS but not to HTTP/2 in it.
    #[error("the server did not agree on HTTP/2: ALPN \"h2\" was offered and {}", .answer.as_deref().unwrap_or("nothing was chosen"))]
    NoHttp2Alpn {
        /// What it did instead.
        answer: Option<String>,
    },
    /// The server insists on a client certificate and none was configured.
    #[error("the server demands a client certificate and none is configured ({evidence}; authorities it names: {})", list(.authorities))]
    ClientCertificateRequired {
        /// The alert or the close that showed it.
        evidence: String,
        /// The authorities it accepts, if it says.
        authorities: Vec<String>,
    },
    /// The server refused the client certificate.
    #[error("the server refused the client certificate {subject} ({evidence}; authorities it names: {})", list(.authorities))]
    ClientCertificateRefused {
        /// The certificate's subject.
        subject: String,
        /// The alert or the close that showed it.
        evidence: String,
        /// The authorities it accepts, if it says.
        authorities: Vec<String>,
        /// `None` when the alert does not tell what was wrong.
        reason: Option<&'static str>,
    },
    /// No TLS version, cipher or key exchange in common.
    #[error("no common TLS version, cipher or key exchange ({evidence})")]
    NothingInCommon {
        /// The alert or the library's words.
        evidence: String,
    },
    /// Any other failure of TLS.
    #[error("TLS failed: {reason}")]
    Tls {
        /// The alert or the library's words.
        reason: String,
    },
    /// The connection broke in another way.
    #[error("the connection broke during {phase} ({reason})")]
    Broken {
        /// How far it had come.
        phase: Phase,
        /// The system's words.
        reason: String,
    },
}

impl Verdict {
    /// A stable short name for machines and tests.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "unresolved",
            Self::Refused => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::ConnectTimeout { .. } => "connect-timeout",
            Self::NoAnswer { .. } => "no-answer",
            Self::Closed { .. } => "closed",
            Self::ServerIsPlaintext { .. } => "server-is-plaintext",
            Self::ServerIsTls { .. } => "server-is-tls",
            Self::NotHttp2 { .. } => "not-http2",
            Self::Certificate(problem) => problem.name(),
            Self::InvalidServerName { .. } => "invalid-server-name",
            Self::NoHttp2Alpn { .. } => "no-http2-alpn",
            Self::ClientCertificateRequired { .. } => "client-certificate-required",
            Self::ClientCertificateRefused { .. } => "client-certificate-refused",
            Self::NothingInCommon { .. } => "nothing-in-common",
            Self::Tls { .. } => "tls-failed",
            Self::Broken { .. } => "broken",
        }
    }

    /// What usually leads here.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } => "the host is misspelt, or only known inside another network",
            Self::Refused => {
                "nothing listens on that port: the server is not running, or on another port or interface"
            }
            Self::Unreachable { .. } => "there is no route to that address from here",
            Self::ConnectTimeout { .. } => "a firewall drops the packets, or the host is down",
            Self::NoAnswer { .. } => "the process on that port hangs, or it is not a gRPC server",
            Self::Closed { phase: Phase::Handshake } => {
                "the server does not accept TLS here, or is shutting down"
            }
            Self::Closed { phase: Phase::Http2 } => {
                "the server is not a gRPC server, is full, or is shutting down"
            }
            Self::ServerIsPlaintext { .. } => "TLS is switched off in the server",
            Self::ServerIsTls { .. } => {
                "TLS is switched off on this side (tls_required false in connection.json)"
            }
            Self::NotHttp2 { .. } => "another service listens on that port",
            Self::Certificate(problem) => problem.cause(),
            Self::InvalidServerName { .. } => "the address is misspelt",
            Self::NoHttp2Alpn { .. } => "the server is not a gRPC server, or a proxy in between ends its TLS",
            Self::ClientCertificateRequired { .. } => {
                "the server verifies its clients, and this side shows no certificate (client_auth_required false in connection.json)"
            }
            Self::ClientCertificateRefused { reason: Some(reason), .. } => reason,
            Self::ClientCertificateRefused { reason: None, .. } => {
                "the certificate's authority, dates, usage or name is not what the server accepts"
            }
            Self::NothingInCommon { .. } => "one side is too old, or restricted to other algorithms",
            Self::Tls { .. } | Self::Broken { .. } => "the server or something in between misbehaves",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Certificate(problem) => problem.fix(),
            Self::ClientCertificateRequired { .. } => {
                "configure a client certificate and key of an authority the server accepts (client_auth_required, client_cert, client_key)".into()
            }
            Self::ClientCertificateRefused { .. } => {
                "give the server this certificate's authority as a client CA, or use a certificate it accepts, valid now and for clientAuth; the server's log tells which".into()
            }
            other => other.plain_fix().to_owned(),
        }
    }

    fn plain_fix(&self) -> &'static str {
        match self {
            Self::Unresolved { .. } | Self::InvalidServerName { .. } => {
                "correct the address, or name the host in DNS or /etc/hosts"
            }
            Self::Refused => {
                "start the server, and let it listen on an interface that this side can reach (0.0.0.0 in a container)"
            }
            Self::Unreachable { .. } | Self::ConnectTimeout { .. } => "check address, network and firewall",
            Self::NoAnswer { .. } | Self::NotHttp2 { .. } => {
                "check that address and port are the gRPC server's"
            }
            Self::Closed { .. } => "read the server's log: it knows why it closed",
            Self::ServerIsPlaintext { .. } => "switch TLS on in the server (preferred), or off on this side",
            Self::ServerIsTls { .. } => {
                "switch TLS on here: tls_required true and root_cert in connection.json"
            }
            Self::NoHttp2Alpn { .. } => {
                "let the server offer ALPN h2; a proxy must pass TLS through or speak h2 itself"
            }
            Self::NothingInCommon { .. } => "let both sides speak TLS 1.2 or 1.3 with ECDHE and AES-GCM",
            _ => "read the server's log",
        }
    }
}
