//! Peers, an ordering service, certificate authorities and channels in one process.

mod config;
mod error;
mod genesis;
pub mod identities;

pub use config::{Keeping, NetworkConfig, OrganizationConfig, Ports};
pub use error::NetworkError;
