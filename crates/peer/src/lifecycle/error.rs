//! What can go wrong in `_lifecycle`. The texts are Fabric's, since clients get to see them.

use selvedge_identity::PolicyError;
use selvedge_ledger::simulator::SimulationError;

use crate::host::InstallError;

/// Why a function of `_lifecycle` failed, or why a definition cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    // The caller is at fault.
    /// No definition of that name was committed. The response has the status 404.
    #[error("namespace {0} is not defined")]
    NotDefined(String),
    /// The definition is not one that could ever be committed on this channel.
    #[error("error validating chaincode definition: {0}")]
    Definition(Box<DefinitionError>),
    /// The definition does not fit what was committed or approved.
    #[error(transparent)]
    Conflict(Box<Conflict>),
    /// The organisation has not approved that definition.
    #[error(
        "could not fetch approved chaincode definition (name: '{name}', sequence: '{sequence}') on channel '{channel}'"
    )]
    NoApproval {
        /// The chaincode's name.
        name: String,
        /// The sequence that was asked for.
        sequence: i64,
        /// The channel.
        channel: String,
    },
    /// The definition is not the one that this peer's organisation approved.
    #[error("chaincode definition not agreed to by this org ({0})")]
    NotAgreed(String),
    /// The package is not installed on this peer.
    #[error("could not find chaincode with package id '{0}'")]
    UnknownPackage(String),
    /// The package is not installed on this peer, or its file cannot be read.
    #[error("could not load cc install package: chaincode install package '{0}' not found")]
    NoPackage(String),
    /// The package was not installed.
    #[error(transparent)]
    Install(Box<InstallError>),
    /// The argument is not the message that the function takes.
    #[error("could not decode input arg for *lifecycle.Invocation.{function}: {reason}")]
    Argument {
        /// The function.
        function: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// There is no such function.
    #[error("receiver *lifecycle.Invocation.{0} does not exist")]
    UnknownFunction(String),
    /// The function reads or writes a channel, and the proposal names none.
    #[error("no application config for channel ''")]
    NoChannel,

    // The channel's configuration is at fault.
    /// There is no policy that a definition without one could refer to.
    #[error(
        "could not set defaults for chaincode definition in channel {channel}: policy '{}' must be defined for channel '{channel}' before chaincode operations can be attempted",
        super::DEFAULT_ENDORSEMENT_POLICY
    )]
    NoDefaultPolicy {
        /// The channel.
        channel: String,
    },
    /// The peer's organisation is none of the channel's.
    #[error("impossibly, this peer's org is processing requests for a channel it is not a member of")]
    NotAMember,

    // The ledger is at fault.
    /// A value cannot be read or written.
    #[error("{what}: {source}")]
    State {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: Box<SimulationError>,
    },
    /// A stored message cannot be decoded.
    #[error("{what}: {reason}")]
    Malformed {
        /// What was being done.
        what: String,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A stored structure is of another type.
    #[error("type name mismatch '{expected}' != '{stored}'")]
    TypeName {
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        stored: String,
    },
    /// A stored field is of another type.
    #[error("expected key {key} to encode a value of type {expected}, but was {stored}")]
    FieldType {
        /// The field's key.
        key: String,
        /// The type it should have.
        expected: &'static str,
        /// The type it has.
        stored: &'static str,
    },
    /// A namespace is defined, but not as a chaincode.
    #[error("not a chaincode type: {0}")]
    NotAChaincode(String),
    /// An approval lacks a part.
    #[error("{0}")]
    Incomplete(String),
    /// A task of this peer broke off.
    #[error("the peer could not finish the request: {0}")]
    Broken(String),

    /// What was being done when an error occurred.
    #[error("{what}: {source}")]
    During {
        /// What was being done.
        what: String,
        /// The error.
        #[source]
        source: Box<LifecycleError>,
    },
}

impl LifecycleError {
    /// Says what was being done when the state failed.
    pub(super) fn reading(what: impl FnOnce() -> String) -> impl FnOnce(SimulationError) -> Self {
        move |source| Self::State { what: what(), source: Box::new(source) }
    }

    /// Says what was being done when an error occurred.
    pub(super) fn during(what: impl FnOnce() -> String) -> impl FnOnce(Self) -> Self {
        move |source| Self::During { what: what(), source: Box::new(source) }
    }
}

impl From<InstallError> for LifecycleError {
    fn from(error: InstallError) -> Self {
        Self::Install(Box::new(error))
    }
}

impl From<DefinitionError> for LifecycleError {
    fn from(error: DefinitionError) -> Self {
        Self::Definition(Box::new(error))
    }
}

impl From<Conflict> for LifecycleError {
    fn from(error: Conflict) -> Self {
        Self::Conflict(Box::new(error))
    }
}

/// Why a definition can never be committed on this channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// The proposal names no channel.
    #[error("could not get channelconfig for channel ''")]
    NoChannel,
    /// The name is none for a chaincode.
    #[error(
        "invalid chaincode name '{0}'. Names can only consist of alphanumerics, '_', and '-' and can only begin with alphanumerics"
    )]
    Name(String),
    /// The name is taken.
    #[error("chaincode name '{0}' is the name of a system chaincode")]
    SystemChaincode(String),
    /// The version is none.
    #[error(
        "invalid chaincode version '{0}'. Versions can only consist of alphanumerics, '_', '-', '+', and '.'"
    )]
    Version(String),
    /// An entry of the collections is empty.
    #[error("collection config contains unexpected payload type: <nil>")]
    EmptyCollection,
    /// The name is none for a collection.
    #[error(
        "invalid collection name '{0}'. Names can only consist of alphanumerics, '_', and '-' and cannot begin with '_'"
    )]
    CollectionName(String),
    /// Two collections have one name.
    #[error("collection-name: {0} -- found duplicate in collection configuration")]
    DuplicateCollection(String),
    /// Fewer peers may receive private data than must.
    #[error(
        "collection-name: {collection} -- maximum peer count ({maximum}) cannot be less than the required peer count ({required})"
    )]
    PeerCounts {
        /// The collection.
        collection: String,
        /// The most peers.
        maximum: i32,
        /// The fewest.
        required: i32,
    },
    /// A negative number of peers must receive private data.
    #[error("collection-name: {collection} -- requiredPeerCount ({required}) cannot be less than zero")]
    NegativePeerCount {
        /// The collection.
        collection: String,
        /// The number.
        required: i32,
    },
    /// A collection has no members.
    #[error("collection member policy is not set for collection '{0}'")]
    NoMembers(String),
    /// A collection's members are not given as a signature policy.
    #[error("collection member org policy is empty for collection '{0}'")]
    EmptyMembers(String),
    /// The signature policy of a collection's members is faulty.
    #[error("invalid member org policy for collection '{collection}': {source}")]
    Members {
        /// The collection.
        collection: String,
        /// What is wrong with the policy.
        #[source]
        source: PolicyError,
    },
    /// Membership would need several signatures.
    #[error(
        "collection-name: {collection} -- error in member org policy: signature policy is not an OR concatenation, NOutOf {n}"
    )]
    NotAnyOf {
        /// The collection.
        collection: String,
        /// How many signatures a rule asks for.
        n: i32,
    },
    /// A principal of a collection's members cannot be decoded.
    #[error("collection-name: {collection} -- cannot unmarshal identity bytes into {kind}: {reason}")]
    Principal {
        /// The collection.
        collection: String,
        /// The message it should be.
        kind: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// A member is no organisation of the channel.
    #[error("collection-name: {collection} -- collection member '{msp_id}' is not part of the channel")]
    Stranger {
        /// The collection.
        collection: String,
        /// The MSP id.
        msp_id: String,
    },
    /// A member is a single identity, and none of the channel's.
    #[error("collection-name: {0} -- contains an identity that is not part of the channel")]
    StrangeIdentity(String),
    /// Members cannot be given in this way.
    #[error("collection-name: {collection} -- principal type {kind} is not supported")]
    PrincipalKind {
        /// The collection.
        collection: String,
        /// The kind of principal.
        kind: String,
    },
    /// What is committed cannot be read.
    #[error(
        "could not retrieve committed definition for chaincode '{name}': could not get info about chaincode: {source}"
    )]
    Committed {
        /// The chaincode's name.
        name: String,
        /// Why not.
        #[source]
        source: Box<LifecycleError>,
    },
    /// There are no collections although the committed definition has some.
    #[error("the proposed collection config does not contain previously defined collections")]
    CollectionsDropped,
    /// A committed collection is missing.
    #[error("existing collection [{0}] missing in the proposed collection configuration")]
    CollectionDropped(String),
    /// A committed entry of the collections is empty.
    #[error("unknown collection configuration type")]
    CommittedCollection,
    /// A committed collection would keep its data for another time.
    #[error(
        "the BlockToLive in an existing collection [{collection}] modified. Existing value [{committed}]"
    )]
    BlockToLive {
        /// The collection.
        collection: String,
        /// How many blocks its data lives by the committed definition; 0 means for ever.
        committed: u64,
    },
}

/// Why a definition does not fit what was committed or approved before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// Sequences begin at 1.
    #[error("requested sequence is 0, but first definable sequence number is 1")]
    FirstSequence,
    /// A later sequence is committed.
    #[error("currently defined sequence {committed} is larger than requested sequence {requested}")]
    Past {
        /// The committed sequence.
        committed: i64,
        /// The requested one.
        requested: i64,
    },
    /// A sequence would be left out.
    #[error("requested sequence {requested} is larger than the next available sequence number {next}")]
    TooFar {
        /// The requested sequence.
        requested: i64,
        /// The greatest possible.
        next: i64,
    },
    /// What is to be committed is not the next sequence.
    #[error("requested sequence is {requested}, but new definition must be sequence {next}")]
    NotNext {
        /// The requested sequence.
        requested: i64,
        /// The next one.
        next: i64,
    },
    /// The sequence is committed with other parameters.
    #[error(
        "attempted to redefine the current committed sequence ({sequence}) for namespace {name} with different parameters: {difference}"
    )]
    Different {
        /// The sequence.
        sequence: i64,
        /// The chaincode's name.
        name: String,
        /// The first difference.
        difference: Difference,
    },
    /// The organisation has approved just this, and it is committed.
    #[error("attempted to redefine the current committed sequence ({sequence}) for namespace {name}")]
    UnchangedCommitted {
        /// The sequence.
        sequence: i64,
        /// The chaincode's name.
        name: String,
    },
    /// The organisation has approved just this, and it is not committed yet.
    #[error(
        "attempted to redefine uncommitted sequence ({sequence}) for namespace {name} with unchanged content"
    )]
    UnchangedUncommitted {
        /// The sequence.
        sequence: i64,
        /// The chaincode's name.
        name: String,
    },
}

/// In what two definitions differ.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// A field.
    #[error("expected {field} '{expected}' does not match passed {field} '{passed}'")]
    Field {
        /// Its name.
        field: &'static str,
        /// What it is.
        expected: String,
        /// What was given.
        passed: String,
    },
    /// The collections.
    #[error("Collections do not match")]
    Collections,
}

/// Why this peer does not run a chaincode of a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    // The caller is at fault.
    /// The channel has no chaincode of that name.
    #[error("chaincode {0} not found")]
    NotFound(String),

    // The configuration is at fault.
    /// The peer's organisation has not approved the committed definition.
    #[error(
        "chaincode definition for '{name}' at sequence {sequence} on channel '{channel}' has not yet been approved by this org"
    )]
    NotApproved {
        /// The chaincode's name.
        name: String,
        /// The committed sequence.
        sequence: i64,
        /// The channel.
        channel: String,
    },
    /// The package that the organisation approved is not on this peer, or the organisation approved none.
    #[error("chaincode definition for '{0}' exists, but chaincode is not installed")]
    NotInstalled(String),

    // The ledger is at fault.
    /// The definition or the approval cannot be read.
    #[error("could not get current sequence for chaincode '{name}' on channel '{channel}': {source}")]
    Lifecycle {
        /// The chaincode's name.
        name: String,
        /// The channel.
        channel: String,
        /// Why not.
        #[source]
        source: LifecycleError,
    },
}
