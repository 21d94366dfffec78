//! Hyperledger Fabric identities: who signed something, and whether that is enough.
//!
//! * [`creator`] reads the creator of a proposal: its MSP id, certificate, attributes and client id.
//! * [`msp`] holds membership service providers: chains, revocation, organizational units, principals.
//! * [`signature`] and [`signing`] check and make signatures the way Fabric does (low-S ECDSA, Ed25519).
//! * [`policy`] compiles and evaluates signature policies and implicit meta policies, and reads the policy language.
//! * [`channel`] turns a configuration block into MSPs, policies, access rules and ordering parameters.
//! * [`genesis`] builds the first block of a channel.
//!
//! Everything a function here is given may be hostile: sizes, depths and counts are bounded, and bad input is an
//! error, never a panic. Nothing reads a clock, a file or a socket.
//!
//! Without the default feature `msp` only [`creator`] and [`certificate`] are built; that is what contract authors
//! need, and it pulls in no cryptography.

pub mod certificate;
pub mod creator;

#[cfg(feature = "msp")]
pub mod block;
#[cfg(feature = "msp")]
pub mod channel;
#[cfg(feature = "msp")]
mod der;
#[cfg(feature = "msp")]
pub mod genesis;
#[cfg(feature = "msp")]
pub mod msp;
#[cfg(feature = "msp")]
pub mod policy;
#[cfg(feature = "msp")]
pub mod signature;
#[cfg(feature = "msp")]
pub mod signing;

pub use certificate::{Certificate, CertificateError};
pub use creator::{Creator, CreatorError};

#[cfg(feature = "msp")]
pub use {
    channel::ChannelConfig,
    msp::{AccessDenied, Identity, IdentityError, Msp, MspError, MspManager},
    policy::{PolicyError, SignedData},
    signature::{SignatureError, VerificationCache},
    signing::{SigningError, SigningIdentity},
};
