//! The peer: chaincode host, lifecycle, endorser, gateway, committer and deliver services.

pub mod channel;
mod error;
pub mod host;
pub mod invocation;
pub mod lifecycle;
pub mod notifier;
pub mod validator;

pub use error::ChannelError;
