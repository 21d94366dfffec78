use prost::DecodeError;
use selvedge_proto::common::HeaderType;
use thiserror::Error;

use crate::channel::ChannelError;
use crate::policy::PolicyError;

/// Why a configuration update is refused. The texts are Fabric's.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpdateError {
    /// The envelope holds no update.
    #[error("error converting envelope to config update: {reason}")]
    NoUpdate {
        /// Why not.
        reason: Box<UpdateError>,
    },
    /// The update may not be made.
    #[error("error authorizing update: {reason}")]
    Unauthorized {
        /// Why not.
        reason: Box<UpdateError>,
    },
    /// Part of the update is wrong.
    #[error("{what}: {reason}")]
    Within {
        /// Which step found it.
        what: &'static str,
        /// What is wrong.
        reason: Box<UpdateError>,
    },
    /// A message cannot be decoded.
    #[error("{0}")]
    Undecodable(&'static str),
    /// The envelope has no header.
    #[error("envelope must have a Header")]
    NoHeader,
    /// The envelope is of another type.
    #[error("invalid type {}, expected CONFIG_UPDATE", type_name(*found))]
    Type {
        /// Its type, a `common.HeaderType`.
        found: i32,
    },
    /// There is no configuration where one must be.
    #[error("config envelope has nil config")]
    NoConfiguration,
    /// A configuration has another number than the next one.
    #[error("config currently at sequence {current}, cannot validate config at sequence {found}")]
    Sequence {
        /// The number of the configuration in force.
        current: u64,
        /// The number found.
        found: u64,
    },
    /// There can be no further configuration.
    #[error("the configuration has the highest sequence there is")]
    LastSequence,
    /// The configuration does not follow from the update that it names.
    #[error("ConfigEnvelope LastUpdate did not produce the supplied config result")]
    OtherResult,
    /// The update is for another channel.
    #[error("ConfigUpdate for channel '{found}' but envelope for channel '{channel}'")]
    OtherChannel {
        /// The channel that it names.
        found: String,
        /// The channel at hand.
        channel: String,
    },
    /// The name of an element is none.
    #[error("illegal characters in key: {path}: {reason}")]
    Key {
        /// What kind of element it is.
        path: &'static str,
        /// What is wrong with the name.
        reason: Box<UpdateError>,
    },
    /// A name is empty.
    #[error("config ID illegal, cannot be empty")]
    EmptyName,
    /// A name is too long.
    #[error("config ID illegal, cannot be longer than {0}")]
    LongName(usize),
    /// A name is one of those that are not allowed.
    #[error("name '{0}' for config ID is not allowed")]
    ForbiddenName(String),
    /// A name has characters that are not allowed.
    #[error("config ID '{0}' contains illegal characters")]
    NameCharacters(String),
    /// Groups are nested deeper than any channel's.
    #[error("config groups are nested deeper than {0}")]
    Depth(usize),
    /// The update reads what does not exist.
    #[error("existing config does not contain element for {path} but was in the read set")]
    UnknownRead {
        /// The element.
        path: String,
    },
    /// The update was made for an older configuration.
    #[error(
        "proposed update requires that key {path} be at version {wanted}, but it is currently at version {found}"
    )]
    ReadVersion {
        /// The element.
        path: String,
        /// The version that the update was made for.
        wanted: u64,
        /// The version in force.
        found: u64,
    },
    /// The update changes nothing.
    #[error("delta set was empty -- update would have no effect")]
    NoEffect,
    /// Nobody could change an element any more.
    #[error("invalid mod_policy for element {path}: {reason}")]
    ModPolicy {
        /// The element.
        path: String,
        /// What is wrong with the policy's path.
        reason: Box<UpdateError>,
    },
    /// An element names no policy.
    #[error("mod_policy not set")]
    NoModPolicy,
    /// A part of a policy's path is no name.
    #[error("path element at {at} is invalid: {reason}")]
    PathElement {
        /// Which part, from 0.
        at: usize,
        /// What is wrong with it.
        reason: Box<UpdateError>,
    },
    /// A new element does not begin with version 0.
    #[error("attempted to set key {path} to version {version}, but key does not exist")]
    NewVersion {
        /// The element.
        path: String,
        /// Its version in the update.
        version: u64,
    },
    /// A changed element does not get the next version.
    #[error("attempt to set key {path} to version {version}, but key is at version {current}")]
    NextVersion {
        /// The element.
        path: String,
        /// Its version in the update.
        version: u64,
        /// Its version in force.
        current: u64,
    },
    /// The policy that guards an element does not exist.
    #[error("unexpected missing policy {policy} for item {element}")]
    MissingPolicy {
        /// The policy's path.
        policy: String,
        /// The element's name.
        element: String,
    },
    /// Those who signed may not change an element.
    #[error("policy for {path} not satisfied: {reason}")]
    NotSatisfied {
        /// The element.
        path: String,
        /// Why not.
        reason: PolicyError,
    },
    /// The update sets an element that the result does not have.
    #[error("writeset contained key {path} which did not appear in proposed config")]
    Lost {
        /// The element.
        path: String,
    },
    /// A group names an element that the update does not bring.
    #[error("could not turn configMap back to channelGroup: missing {kind} at path: {path}")]
    Missing {
        /// `group`, `value` or `policy`.
        kind: &'static str,
        /// The element.
        path: String,
    },
    /// The resulting configuration cannot be used.
    #[error("{reason}")]
    Unusable {
        /// Why not.
        reason: Box<ChannelError>,
    },
    /// The ordering service would work in another way.
    #[error("attempted to change consensus type from {before} to {after}")]
    ConsensusType {
        /// How it works.
        before: String,
        /// How it would work.
        after: String,
    },
    /// With the capability V3_0 every ordering organization has endpoints.
    #[error("illegal orderer config update detected: endpoints of org {org} are missing")]
    NoEndpoints {
        /// The organization.
        org: String,
    },
    /// An organization would become another one.
    #[error("{kind} org {org} attempted to change MSP ID from {before} to {after}")]
    MspId {
        /// `orderer` or `application`.
        kind: &'static str,
        /// The organization.
        org: String,
        /// Its MSP's id.
        before: String,
        /// The id in the update.
        after: String,
    },
}

impl UpdateError {
    pub(super) fn within(what: &'static str) -> impl FnOnce(Self) -> Self {
        move |reason| Self::Within { what, reason: Box::new(reason) }
    }

    /// Go's text for bytes that are no message.
    pub(super) fn undecodable(error: DecodeError) -> Self {
        Self::Undecodable(if error.to_string().contains("UTF-8") {
            "string field contains invalid UTF-8"
        } else {
            "proto: cannot parse invalid wire-format data"
        })
    }
}

fn type_name(found: i32) -> String {
    HeaderType::try_from(found).map_or_else(|_| found.to_string(), |known| known.as_str_name().to_owned())
}
