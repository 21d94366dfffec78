//! The peer: chaincode host, lifecycle, endorser, gateway, committer and deliver services.

pub mod channel;
mod committer;
pub mod endorser;
mod error;
pub mod gateway;
pub mod host;
pub mod invocation;
pub mod lifecycle;
pub mod node;
pub mod notifier;
pub mod services;
pub mod validator;

pub use error::{ChannelError, JoinError};
