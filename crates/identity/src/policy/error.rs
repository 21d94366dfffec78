//! What can be wrong with policies, and why they are not satisfied.

use thiserror::Error;

/// Why a policy cannot be used, or is not satisfied.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyError {
    /// A signature policy is not satisfied.
    #[error("signature set did not satisfy policy")]
    NotSatisfied,
    /// An implicit meta policy is not satisfied.
    #[error(
        "implicit policy evaluation failed - {satisfied} sub-policies were satisfied, but this policy requires {required} of the '{sub_policy}' sub-policies to be satisfied"
    )]
    ImplicitNotSatisfied {
        /// How many policies of the groups below were satisfied.
        satisfied: usize,
        /// How many must be.
        required: usize,
        /// Their name.
        sub_policy: String,
    },
    /// No policy at that path.
    #[error("no such policy: '{0}'")]
    Unknown(String),
    /// The policy's bytes cannot be decoded.
    #[error("the policy cannot be decoded: {0}")]
    Malformed(String),
    /// The policy's type is not one of those in use.
    #[error("unknown policy type: {0}")]
    UnknownType(i32),
    /// A signature policy of another version than zero.
    #[error("this evaluator only understands messages of version 0, but version was {0}")]
    Version(i32),
    /// A rule without contents.
    #[error("Empty policy element")]
    Empty,
    /// A rule refers to a principal that is not there.
    #[error("identity index out of range, requested {requested}, but identities length is {length}")]
    IdentityIndex {
        /// The index in the rule.
        requested: i32,
        /// How many principals there are.
        length: usize,
    },
    /// The policy is deeper or larger than any real one.
    #[error("the policy is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A policy of a configuration group is not usable.
    #[error("policy {name} at path {path} is not usable: {reason}")]
    AtPath {
        /// The policy's name.
        name: String,
        /// The path of its group.
        path: String,
        /// What is wrong.
        reason: Box<PolicyError>,
    },
}
