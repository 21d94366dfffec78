//! `_lifecycle`: which chaincodes a channel has, and which package this peer runs for each of them.
//!
//! Organisations approve a definition, each in its own implicit collection, and then one of them commits it to the
//! public state. Both lie in the ledger's namespace `_lifecycle` exactly as Fabric's peers write them.
//!
//! * [`invoke`] runs the functions of the system chaincode, on a transaction's simulator.
//! * [`Definitions`] says what runs when a chaincode is called, and remembers it until the next block.
//! * [`read_collections`] goes before private data of a chaincode; it adds the reads that Fabric's peer records.
//! * [`validation_info`] and [`collection_config`] say what the validator and those who pass on private data need.
//!
//! Chaincodes of the lifecycle before Fabric 2.0 are not run. Their namespace `lscc` is still read where Fabric's peer
//! reads it, because those reads are part of the transaction.

mod approval;
mod arguments;
mod check;
mod collections;
mod commit;
mod definition;
mod error;
mod installed;
mod invoke;
mod layout;
mod resolve;
mod state;
mod validation;

pub use collections::{
    Collections, collection_config, explicit_collections, implicit_collection, implicit_collection_name,
    implicit_collection_org, read_collections,
};
pub use definition::{Definition, all_committed, committed};
pub use error::{Conflict, DefinitionError, Difference, LifecycleError, ResolveError};
pub use invoke::{CallChannel, LifecycleCall, invoke};
pub use resolve::{Definitions, Runnable};
pub use validation::{CollectionPolicyError, ValidationInfo, validation_info};

/// The namespace of definitions and approvals, and the name of the system chaincode.
pub const NAMESPACE: &str = "_lifecycle";
/// The endorsement plugin of definitions that name none.
pub const DEFAULT_ENDORSEMENT_PLUGIN: &str = "escc";
/// The validation plugin of definitions that name none.
pub const DEFAULT_VALIDATION_PLUGIN: &str = "vscc";
/// The channel policy that definitions without a policy refer to.
pub const DEFAULT_ENDORSEMENT_POLICY: &str = "/Channel/Application/Endorsement";
/// The channel policy that writes to `_lifecycle` have to satisfy.
pub const LIFECYCLE_ENDORSEMENT_POLICY: &str = "/Channel/Application/LifecycleEndorsement";

/// The namespace of the lifecycle before Fabric 2.0.
const LEGACY_NAMESPACE: &str = "lscc";
