//! Peers, an ordering service, certificate authorities and channels in one process.

mod broadcaster;
mod config;
pub mod demo;
mod deploy;
mod edge;
mod error;
mod genesis;
pub mod identities;
mod network;
mod peer;

pub use config::{Keeping, NetworkConfig, OrganizationConfig, Ports};
pub use deploy::Deployment;
pub use edge::{Edge, EdgeServer};
pub use error::NetworkError;
pub use network::Network;
pub use peer::NetworkPeer;
