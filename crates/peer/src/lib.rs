//! The peer: chaincode host, lifecycle, endorser, gateway, committer and deliver services.
//!
//! A proposal's way: [`endorser`] verifies and simulates it, with [`lifecycle`] to say what a chaincode's name runs and
//! [`host`] to run it. A block's way: the committer takes it from a source, [`validator`] judges it, the channel's
//! ledger takes it in, [`notifier`] tells those who wait, and [`deliver`] hands it to those who read blocks. [`private_data`]
//! carries private writes between peers, beside both.
//!
//! [`node::Peer`] holds the [`channel::Channel`]s that a peer has joined, and [`services::Services`] serves it.

pub mod channel;
mod committer;
pub mod deliver;
pub mod endorser;
mod error;
mod event;
mod follower;
pub mod gateway;
pub mod host;
pub mod invocation;
mod lasting;
pub mod lifecycle;
pub mod node;
pub mod notifier;
pub mod private_data;
pub mod services;
pub mod validator;
mod wire;

pub use error::{ChannelError, JoinError};
