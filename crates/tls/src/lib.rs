//! The TLS edge: configurations, trust, verdicts, the accept loop and the connector.
//!
//! This is the only crate that names rustls. Both ends speak TLS 1.3 or 1.2 with X25519MLKEM768 preferred and
//! ALPN exactly `h2`; sessions are never resumed; a configuration trusts exactly the authorities it is given.
//!
//! * A server makes a [`ServerTls`], binds a [`Listener`] and hands it to tonic as its stream of connections, with a
//!   [`ReceiveBudget`] as a layer before its services.
//! * A client makes a [`ClientTls`] and calls [`channel`], or [`dial`] for a bare connection.
//! * What fails is a [`DialError`] with a [`Verdict`] on the client's side and a [`Refusal`] on the server's.

mod alert;
mod anchors;
mod certificate;
mod channel;
mod client;
mod connection;
mod dial;
mod dialled;
mod error;
mod files;
mod identity;
mod limits;
mod listener;
mod live;
mod pem;
mod problem;
mod provider;
mod received;
mod refusal;
mod reload;
mod revocation;
mod rule;
mod server;
mod sniff;
mod socket;
mod target;
mod text;
mod verdict;

pub use certificate::{CertificateFacts, Fingerprint, NotAFingerprint, Timestamp};
pub use channel::{Connector, DialOptions, KeepAlive, channel};
pub use client::{ClientSecurity, ClientTls, ClientTlsBuilder};
pub use connection::{Connection, PeerInfo, Session};
pub use dial::{dial, probe};
pub use error::ConfigError;
pub use files::{ClientFiles, DialFiles, PemFile, ServerFiles};
pub use identity::Identity;
pub use limits::Limits;
pub use listener::{BindError, Listener, SecuritySwitch};
pub use pem::{PemError, PemOrigin, PemProblem};
pub use problem::CertificateProblem;
pub use received::{Budgeted, ReceiveBudget, ReceiveLimits};
pub use refusal::{Refusal, RefusalReason};
pub use reload::{Loaded, Reloading, Reloads};
pub use revocation::{RevocationListFacts, UnknownRevocation};
pub use rule::{ClientRule, NotARule};
pub use server::{ClientPolicyBuilder, ServerSecurity, ServerTls, ServerTlsBuilder};
pub use target::Target;
pub use text::escape;
pub use verdict::{DialError, Phase, Verdict};
