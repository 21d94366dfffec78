//! What is known about a connection that this end dialled, and the verdicts that follow from it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rustls::{AlertDescription as A, Error as TlsError, PeerMisbehaved};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::client::ServerRecord;
use crate::sniff::{Speech, show, speech};
use crate::verdict::{DialError, Phase, Verdict};
use crate::{Target, alert};

/// A dialled connection's circumstances.
#[derive(Debug, Clone)]
pub(crate) struct Dialled {
    pub(crate) target: Target,
    pub(crate) remote: SocketAddr,
    pub(crate) started: Instant,
    pub(crate) tls: bool,
    /// The subject of the client certificate that was configured.
    pub(crate) identity: Option<String>,
    /// The authorities the server named when it asked for a client certificate.
    pub(crate) requested: Option<Vec<String>>,
    pub(crate) server_chain: Vec<Bytes>,
}

impl Dialled {
    pub(crate) fn error(&self, verdict: Verdict) -> DialError {
        DialError {
            target: self.target.clone(),
            remote: Some(self.remote),
            verdict: Box::new(verdict),
            server_chain: self.server_chain.clone(),
        }
    }

    pub(crate) fn no_answer(&self, phase: Phase) -> DialError {
        self.error(Verdict::NoAnswer { phase, after: self.waited() })
    }

    /// A failed handshake. `first` are the first bytes that came over TCP.
    pub(crate) fn handshake(&mut self, error: &io::Error, record: ServerRecord, first: &[u8]) -> DialError {
        self.requested = record.requested;
        self.server_chain = record.chain;
        let verdict = match record.problem {
            Some(problem) => Verdict::Certificate(problem),
            None if !first.is_empty() && speech(first) != Speech::Tls => {
                Verdict::ServerIsPlaintext { first_bytes: show(first) }
            }
            None => self.classify(error, Phase::Handshake),
        };
        self.error(verdict)
    }

    /// The first read after the handshake, or of all without TLS.
    pub(crate) fn first_read(&self, outcome: &io::Result<()>, received: &[u8]) -> Result<(), DialError> {
        match outcome {
            Err(error) => Err(self.error(self.classify(error, Phase::Http2))),
            Ok(()) if received.is_empty() => Err(self.error(self.closed(Phase::Http2))),
            Ok(()) => match speech(received) {
                Speech::Http2 => Ok(()),
                Speech::Tls if !self.tls => {
                    Err(self.error(Verdict::ServerIsTls { evidence: "it answered with a TLS record" }))
                }
                // Too little to tell; the HTTP/2 layer will.
                _ if received.len() < 4 && received.first() == Some(&0) => Ok(()),
                _ => Err(self.error(Verdict::NotHttp2 { first_bytes: show(first_of(received)) })),
            },
        }
    }

    fn waited(&self) -> Duration {
        self.started.elapsed()
    }

    fn classify(&self, error: &io::Error, phase: Phase) -> Verdict {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
        match inner {
            Some(TlsError::AlertReceived(alert)) => self.alert(*alert),
            Some(TlsError::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol)) => {
                Verdict::NoHttp2Alpn { answer: Some("another protocol was chosen".into()) }
            }
            Some(error @ TlsError::PeerIncompatible(_)) => {
                Verdict::NothingInCommon { evidence: error.to_string() }
            }
            Some(error) => Verdict::Tls { reason: error.to_string() },
            None if is_close(error.kind()) => self.closed(phase),
            None => Verdict::Broken { phase, reason: error.to_string() },
        }
    }

    fn alert(&self, alert: A) -> Verdict {
        let evidence = format!("alert {}", alert::name(alert));
        // TLS 1.2 servers answer a missing certificate with a general alert.
        let blames_client = alert::about_certificate(alert).is_some() || alert == A::HandshakeFailure;
        match (&self.requested, &self.identity) {
            _ if alert == A::NoApplicationProtocol => {
                Verdict::NoHttp2Alpn { answer: Some(format!("the server answered with {evidence}")) }
            }
            (Some(authorities), None) if blames_client => {
                Verdict::ClientCertificateRequired { evidence, authorities: authorities.clone() }
            }
            (Some(authorities), Some(subject)) if blames_client => Verdict::ClientCertificateRefused {
                subject: subject.clone(),
                evidence,
                authorities: authorities.clone(),
                reason: alert::about_certificate(alert),
            },
            _ if matches!(alert, A::HandshakeFailure | A::ProtocolVersion | A::InsufficientSecurity) => {
                Verdict::NothingInCommon { evidence }
            }
            _ => Verdict::Tls { reason: evidence },
        }
    }

    fn closed(&self, phase: Phase) -> Verdict {
        match (&self.requested, &self.identity) {
            (Some(authorities), None) => Verdict::ClientCertificateRequired {
                evidence: "it asked for one, got none and closed without an alert".into(),
                authorities: authorities.clone(),
            },
            _ => Verdict::Closed { phase },
        }
    }
}

/// Judges a connection's first read and tells whoever waits for it.
#[derive(Debug)]
pub(crate) struct FirstRead {
    dialled: Dialled,
    notify: Option<oneshot::Sender<Result<(), DialError>>>,
}

impl FirstRead {
    pub(crate) fn new(dialled: Dialled) -> Self {
        Self { dialled, notify: None }
    }

    pub(crate) fn dialled(&self) -> &Dialled {
        &self.dialled
    }

    /// A receiver for the judgement; it fails when the connection is dropped before anything arrives.
    pub(crate) fn subscribe(&mut self) -> oneshot::Receiver<Result<(), DialError>> {
        let (sender, receiver) = oneshot::channel();
        self.notify = Some(sender);
        receiver
    }

    pub(crate) fn judge(self, outcome: io::Result<()>, received: &[u8]) -> io::Result<()> {
        let judgement = self.dialled.first_read(&outcome, received);
        let kind = outcome.as_ref().err().map_or(io::ErrorKind::InvalidData, io::Error::kind);
        let result = judgement.clone().map_err(|error| io::Error::new(kind, error));
        if let Some(notify) = self.notify {
            // Whoever waited may have given up; then nobody needs to know.
            let _ = notify.send(judgement);
        }
        result
    }
}

fn is_close(kind: io::ErrorKind) -> bool {
    use io::ErrorKind as K;
    matches!(
        kind,
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::NotConnected
    )
}

fn first_of(bytes: &[u8]) -> &[u8] {
    /// As much as shows what it is.
    const SHOWN: usize = 32;
    bytes.get(..SHOWN).unwrap_or(bytes)
}
