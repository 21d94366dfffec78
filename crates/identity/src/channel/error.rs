//! What can be wrong with a channel's configuration.

use thiserror::Error;

use crate::block::BlockSignatureError;
use crate::msp::MspError;
use crate::policy::PolicyError;

/// Why a channel's configuration is not usable.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelError {
    /// The block holds no configuration.
    #[error("the block is no configuration block: {0}")]
    NotConfiguration(&'static str),
    /// A part cannot be decoded.
    #[error("{what} cannot be decoded: {reason}")]
    Malformed {
        /// Which part.
        what: String,
        /// Why not.
        reason: String,
    },
    /// The channel's id is not one.
    #[error(
        "'{0}' is no channel id: it must begin with a lower-case letter and consist of at most 249 of a-z, 0-9, `.` and `-`"
    )]
    ChannelId(String),
    /// A group every channel has is absent.
    #[error("the configuration has no group {0}")]
    MissingGroup(&'static str),
    /// A value every group of its kind has is absent.
    #[error("the group {group} has no value {value}")]
    MissingValue {
        /// The group's name.
        group: String,
        /// The value's name.
        value: &'static str,
    },
    /// A value is out of range.
    #[error("the value {value} of the configuration is not usable: {reason}")]
    Value {
        /// The value's name.
        value: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration asks for a feature this software does not have.
    #[error("the {level} capability {name} is required but not supported; supported are {supported}")]
    UnsupportedCapability {
        /// Channel, Orderer or Application.
        level: &'static str,
        /// The capability's name.
        name: String,
        /// The names supported at that level.
        supported: String,
    },
    /// The configuration's rules are older than those supported.
    #[error(
        "the {level} capabilities ask for rules older than {oldest}, which are not supported; update the channel's capabilities"
    )]
    TooOld {
        /// Channel, Orderer or Application.
        level: &'static str,
        /// The oldest capability supported.
        oldest: &'static str,
    },
    /// An organization's MSP is not usable.
    #[error(transparent)]
    Msp(#[from] MspError),
    /// A policy is not usable.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Why a block's signatures do not suffice.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockError {
    /// The signatures cannot be read.
    #[error(transparent)]
    Signatures(#[from] BlockSignatureError),
    /// Too few orderers signed, or the configuration has no policy for it.
    #[error("the block does not satisfy the policy /Channel/Orderer/BlockValidation: {0}")]
    Policy(#[from] PolicyError),
}
