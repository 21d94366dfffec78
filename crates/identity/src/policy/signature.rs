//! Signature policies: nested thresholds over principals.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::msp_principal::Classification;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::signature_policy::{NOutOf, Type};
use selvedge_proto::common::{MspPrincipal, MspRole, SignaturePolicy as Rule, SignaturePolicyEnvelope};

use super::{PolicyError, SignedData, valid_identities};
use crate::msp::{Identity, MspManager, Principal};

/// How deep thresholds may nest.
const MAX_DEPTH: usize = 48;
/// How many rules a policy may have, over all levels.
const MAX_RULES: usize = 4096;
/// How many principals a policy may name.
const MAX_PRINCIPALS: usize = 4096;

/// A compiled signature policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignaturePolicy {
    root: Node,
    principals: Vec<Principal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    SignedBy(usize),
    Threshold { needed: i32, rules: Vec<Node> },
}

impl SignaturePolicy {
    /// Decodes and compiles an encoded `SignaturePolicyEnvelope`.
    pub fn decode(envelope: Bytes) -> Result<Self, PolicyError> {
        let envelope = SignaturePolicyEnvelope::decode(envelope)
            .map_err(|error| PolicyError::Malformed(error.to_string()))?;
        Self::compile(&envelope)
    }

    /// Compiles a policy: its version, the shape of its rule and its indices are checked.
    pub fn compile(envelope: &SignaturePolicyEnvelope) -> Result<Self, PolicyError> {
        if envelope.version != 0 {
            return Err(PolicyError::Version(envelope.version));
        }
        if envelope.identities.len() > MAX_PRINCIPALS {
            return Err(PolicyError::TooLarge { what: "principals", limit: MAX_PRINCIPALS });
        }
        let mut budget = MAX_RULES;
        let rule = envelope.rule.as_ref().ok_or(PolicyError::Empty)?;
        let root = compile(rule, envelope.identities.len(), MAX_DEPTH, &mut budget)?;
        Ok(Self { root, principals: envelope.identities.iter().map(Principal::read).collect() })
    }

    /// The principals, in the order of the envelope.
    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }

    /// Whether signatures satisfy the policy; see [`super::Policy::evaluate`].
    pub fn evaluate(&self, msps: &MspManager, signed: &[SignedData]) -> Result<(), PolicyError> {
        self.evaluate_identities(&valid_identities(msps, signed))
    }

    /// Whether distinct identities satisfy the policy. Evaluation is greedy as in Fabric: rules are tried in
    /// order, each leaf takes the first identity that no leaf before took, and there is no going back. A set that
    /// another order would accept may therefore be refused.
    pub fn evaluate_identities(&self, identities: &[Arc<Identity>]) -> Result<(), PolicyError> {
        let mut used = vec![false; identities.len()];
        if self.satisfied(&self.root, identities, &mut used) {
            Ok(())
        } else {
            Err(PolicyError::NotSatisfied)
        }
    }

    fn satisfied(&self, node: &Node, identities: &[Arc<Identity>], used: &mut Vec<bool>) -> bool {
        match node {
            Node::SignedBy(index) => {
                let Some(principal) = self.principals.get(*index) else { return false };
                let mut candidates = identities.iter().zip(used.iter_mut());
                let taken =
                    candidates.find(|(identity, used)| !**used && identity.satisfies(principal).is_ok());
                match taken {
                    Some((_, used)) => {
                        *used = true;
                        true
                    }
                    None => false,
                }
            }
            Node::Threshold { needed, rules } => {
                let mut verified = 0_i32;
                for rule in rules {
                    // A rule that fails must not keep the identities its parts took.
                    let mut attempt = used.clone();
                    if self.satisfied(rule, identities, &mut attempt) {
                        verified = verified.saturating_add(1);
                        *used = attempt;
                    }
                }
                verified >= *needed
            }
        }
    }
}

/// A principal for members of an MSP in a role.
pub fn role_principal(msp_id: &str, role: MspRoleType) -> MspPrincipal {
    let role = MspRole { msp_identifier: msp_id.to_owned(), role: role as i32 };
    MspPrincipal {
        principal_classification: Classification::Role as i32,
        principal: role.encode_to_vec().into(),
    }
}

/// A rule satisfied by a signature of the principal with this index.
pub fn signed_by(index: i32) -> Rule {
    Rule { r#type: Some(Type::SignedBy(index)) }
}

/// A rule satisfied by `n` of the rules.
pub fn n_out_of(n: i32, rules: Vec<Rule>) -> Rule {
    Rule { r#type: Some(Type::NOutOf(NOutOf { n, rules })) }
}

/// A policy that any one of the principals satisfies.
pub fn signed_by_any_role(principals: Vec<MspPrincipal>) -> SignaturePolicyEnvelope {
    threshold(1, principals)
}

/// A policy that needs each of the principals.
pub fn signed_by_each_role(principals: Vec<MspPrincipal>) -> SignaturePolicyEnvelope {
    threshold(i32::try_from(principals.len()).unwrap_or(i32::MAX), principals)
}

/// An envelope of the only version there is.
pub fn envelope_of(rule: Rule, identities: Vec<MspPrincipal>) -> SignaturePolicyEnvelope {
    SignaturePolicyEnvelope { version: 0, rule: Some(rule), identities }
}

fn threshold(n: i32, principals: Vec<MspPrincipal>) -> SignaturePolicyEnvelope {
    let rules = (0..).take(principals.len()).map(signed_by).collect();
    envelope_of(n_out_of(n, rules), principals)
}

fn compile(rule: &Rule, principals: usize, depth: usize, budget: &mut usize) -> Result<Node, PolicyError> {
    *budget = budget.checked_sub(1).ok_or(PolicyError::TooLarge { what: "rules", limit: MAX_RULES })?;
    match rule.r#type.as_ref().ok_or(PolicyError::Empty)? {
        Type::SignedBy(index) => usize::try_from(*index)
            .ok()
            .filter(|index| *index < principals)
            .map(Node::SignedBy)
            .ok_or(PolicyError::IdentityIndex { requested: *index, length: principals }),
        Type::NOutOf(threshold) => {
            let depth = depth
                .checked_sub(1)
                .ok_or(PolicyError::TooLarge { what: "nested rules", limit: MAX_DEPTH })?;
            let rules = threshold.rules.iter().map(|rule| compile(rule, principals, depth, budget));
            Ok(Node::Threshold { needed: threshold.n, rules: rules.collect::<Result<_, _>>()? })
        }
    }
}
