//! Peers, an ordering service, certificate authorities and channels in one process.

mod broadcaster;
mod config;
mod control;
mod cut;
pub mod demo;
mod deploy;
mod description;
mod edge;
mod error;
mod genesis;
mod hold;
pub mod identities;
mod network;
mod peer;
pub mod sample;
mod status;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{ChaincodeTimeouts, Keeping, NetworkConfig, OrganizationConfig, Ports, RequestSettings};
pub use cut::{Closed, cut};
pub use deploy::Deployment;
pub use description::{Description, Node, OrganizationDescription, User, quoted};
pub use edge::{Edge, EdgeServer};
pub use error::NetworkError;
pub use hold::Holder;
pub use network::Network;
pub use peer::NetworkPeer;
pub use selvedge_orderer::{Cut, Cutting};
pub use selvedge_peer::host::ExternalBuilder;
pub use status::{CommittedChaincode, Heights, PeerStatus, Status};
