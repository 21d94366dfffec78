//! Implicit meta policies: rules over the policies of one name in the groups below.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::ImplicitMetaPolicy as ImplicitMetaMessage;
use selvedge_proto::common::implicit_meta_policy::Rule;

use super::{Policy, PolicyError};
use crate::msp::Identity;

/// A compiled implicit meta policy.
#[derive(Debug)]
pub struct ImplicitMetaPolicy {
    sub_policy: String,
    required: usize,
    /// The policy of that name in each group below; a group without one can never be satisfied.
    members: Vec<Option<Arc<Policy>>>,
}

impl ImplicitMetaPolicy {
    /// Compiles an encoded `ImplicitMetaPolicy`; `find` looks a policy up in every group below.
    pub(super) fn decode(
        message: Bytes,
        find: impl Fn(&str) -> Vec<Option<Arc<Policy>>>,
    ) -> Result<Self, PolicyError> {
        let message = ImplicitMetaMessage::decode(message)
            .map_err(|error| PolicyError::Malformed(error.to_string()))?;
        let members = find(&message.sub_policy);
        let required = match Rule::try_from(message.rule) {
            // Where there are no groups nothing can be asked of them.
            Ok(_) if members.is_empty() => 0,
            Ok(Rule::Any) => 1,
            Ok(Rule::All) => members.len(),
            Ok(Rule::Majority) => members.len() / 2 + 1,
            Err(_) => return Err(PolicyError::UnknownType(message.rule)),
        };
        Ok(Self { sub_policy: message.sub_policy, required, members })
    }

    /// Whether distinct identities satisfy enough of the policies below. One identity may count for several.
    pub fn evaluate_identities(&self, identities: &[Arc<Identity>]) -> Result<(), PolicyError> {
        let satisfied = self
            .members
            .iter()
            .flatten()
            .filter(|policy| policy.evaluate_identities(identities).is_ok())
            .take(self.required)
            .count();
        if satisfied >= self.required {
            return Ok(());
        }
        Err(PolicyError::ImplicitNotSatisfied {
            satisfied,
            required: self.required,
            sub_policy: self.sub_policy.clone(),
        })
    }
}
