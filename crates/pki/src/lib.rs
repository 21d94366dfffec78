//! Makes certificate authorities, certificates and keys for networks, servers and tests.
//!
//! Keys are ECDSA P-256, as Fabric's own tools make them, and leave this crate as PKCS#8 PEM in [`KeyPem`],
//! which is wiped when dropped and never printed. An [`Authority`] satisfies what Fabric's MSP asks of a CA:
//! a subject key identifier, the CA flag and keyCertSign. Deliberately odd certificates (expired, without
//! names, for the wrong usage) are ordinary values of [`LeafSpec`].

mod authority;
mod error;
mod key;
mod leaf;
mod subject;
mod validity;

pub use authority::{Authority, AuthoritySpec};
pub use error::PkiError;
pub use key::KeyPem;
pub use leaf::{Leaf, LeafSpec, Usage, self_signed};
pub use time;
pub use validity::Validity;
