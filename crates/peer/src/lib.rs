//! The peer: chaincode host, lifecycle, endorser, gateway, committer and deliver services.

pub mod host;
pub mod invocation;
