//! A client of Fabric's services: it builds and signs proposals and transactions, sends them through a gateway or to
//! an endorser, and follows the lifecycle of chaincode.
//!
//! [`Gateway`] evaluates and submits through any Fabric peer from 2.4 on. [`Lifecycle`] installs, approves and
//! commits; [`definition`] writes the policies and collections that a definition may have. Both take a
//! [`tonic::transport::Channel`], which `selvedge_tls::channel` makes; [`connect`] finds out from options, a network's
//! description or Fabric's environment variables to whom, and in whose name.

pub mod block;
pub mod configuration;
pub mod connect;
pub mod definition;
mod error;
mod events;
mod gateway;
mod lifecycle;
mod proposal;

pub use error::{ClientError, ErrorDetail};
pub use events::{BlockPosition, BlockRange, ChaincodeEvent, Checkpoint, Deliver};
pub use gateway::{Commit, Gateway, Submitted, Timeouts};
pub use lifecycle::{Approval, Definition, InstalledPackage, Lifecycle, Readiness};
pub use proposal::{Proposal, ProposalBuilder, sign_envelope};
pub use tonic::Code;
