//! Mistakes in what this end was configured with.

use crate::pem::{PemError, PemOrigin};

/// A TLS configuration cannot be used. Nothing has touched the network yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A certificate, key or bundle of authorities cannot be read.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Certificate and key are both sound but do not belong together.
    #[error(
        "the private key in {key} does not belong to the certificate in {chain} ({subject}); were two pairs mixed up?"
    )]
    KeyMismatch {
        /// Where the certificate came from.
        chain: PemOrigin,
        /// Where the key came from.
        key: PemOrigin,
        /// The certificate's subject.
        subject: String,
    },
    /// The name to expect in the server's certificate is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address, so no certificate can be checked against it")]
    ServerName {
        /// The name as given, escaped.
        name: String,
    },
    /// One authority stands for two organizations, so a client could not be told apart.
    #[error(
        "the client authority {subject} is mapped to two MSPs, {first} and {second}; one authority serves one MSP"
    )]
    AmbiguousMsp {
        /// The authority's subject.
        subject: String,
        /// The MSP it was mapped to first.
        first: String,
        /// The MSP it was mapped to again.
        second: String,
    },
    /// A rule names an MSP that no authority is mapped to, so it can never match.
    #[error("a rule allows clients of {msp}, but no client authority is mapped to that MSP")]
    UnknownMsp {
        /// The MSP's name.
        msp: String,
    },
    /// `host:port` is wanted.
    #[error("{text:?} is no address of the form host:port: {reason}")]
    Address {
        /// The text as given, escaped.
        text: String,
        /// Which part is wrong.
        reason: &'static str,
    },
    /// The TLS library refused the combination.
    #[error("the TLS library refused the configuration: {reason}")]
    Library {
        /// Its words.
        reason: String,
    },
}
