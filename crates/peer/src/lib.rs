//! The peer: chaincode host, lifecycle, endorser, gateway, committer and deliver services.

pub mod channel;
mod error;
pub mod host;
pub mod invocation;
pub mod notifier;

pub use error::ChannelError;
