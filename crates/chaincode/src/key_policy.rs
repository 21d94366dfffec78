use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::msp_principal::Classification;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::signature_policy::{NOutOf, Type};
use selvedge_proto::common::{MspPrincipal, MspRole, SignaturePolicy, SignaturePolicyEnvelope};

use crate::ArgumentError;

/// Whose signature of an organisation a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRole {
    /// Any member's.
    Member,
    /// A peer's.
    Peer,
}

/// Who must endorse a change of one key: all of the organisations in it, each in a role.
///
/// It takes the place of the chaincode's policy for that key. What it looks like on the ledger is what Go's package
/// `statebased` makes.
///
/// ```
/// # use selvedge::{Context, KeyPolicy, KeyRole, LedgerError};
/// # async fn guard(ctx: &Context) -> Result<(), LedgerError> {
/// let mut policy = ctx.endorsement_policy("asset1").await?.unwrap_or_default();
/// policy.add(KeyRole::Peer, "Org1MSP");
/// ctx.set_endorsement_policy("asset1", &policy).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPolicy {
    organizations: BTreeMap<String, KeyRole>,
}

impl KeyPolicy {
    /// All of these organisations, each by one of its members in this role.
    pub fn all_of<O: Into<String>>(role: KeyRole, organizations: impl IntoIterator<Item = O>) -> Self {
        Self { organizations: organizations.into_iter().map(|name| (name.into(), role)).collect() }
    }

    /// Adds an organisation by its MSP's name, or changes its role.
    pub fn add(&mut self, role: KeyRole, organization: impl Into<String>) {
        self.organizations.insert(organization.into(), role);
    }

    /// Takes an organisation out. Whether it was there.
    pub fn remove(&mut self, organization: &str) -> bool {
        self.organizations.remove(organization).is_some()
    }

    /// The organisations by their MSPs' names, in order.
    pub fn organizations(&self) -> impl Iterator<Item = (&str, KeyRole)> {
        self.organizations.iter().map(|(name, role)| (name.as_str(), *role))
    }

    /// The policy as it stands on the ledger, a marshalled `common.SignaturePolicyEnvelope`.
    pub fn encode(&self) -> Bytes {
        let identities = self.organizations.iter().map(|(name, role)| principal(name, *role)).collect();
        let signed_by = |index| SignaturePolicy { r#type: Some(Type::SignedBy(index)) };
        // There is no room on the ledger for more organisations than that.
        let count = i32::try_from(self.organizations.len()).unwrap_or(i32::MAX);
        let all = NOutOf { n: count, rules: (0..count).map(signed_by).collect() };
        let rule = SignaturePolicy { r#type: Some(Type::NOutOf(all)) };
        SignaturePolicyEnvelope { version: 0, rule: Some(rule), identities }.encode_to_vec().into()
    }

    /// Reads a policy from the ledger. Of one that something else has written only the roles of organisations are kept,
    /// as in Go.
    ///
    /// # Errors
    /// When the bytes are no policy.
    pub fn decode(bytes: Bytes) -> Result<Self, ArgumentError> {
        let wrong = |error: prost::DecodeError| ArgumentError::KeyPolicy { reason: error.to_string() };
        let envelope = SignaturePolicyEnvelope::decode(bytes).map_err(wrong)?;
        let mut organizations = BTreeMap::new();
        for identity in envelope.identities {
            if identity.principal_classification() != Classification::Role {
                continue;
            }
            let role = MspRole::decode(identity.principal).map_err(wrong)?;
            let kind = match role.role() {
                MspRoleType::Peer => KeyRole::Peer,
                _ => KeyRole::Member,
            };
            organizations.insert(role.msp_identifier, kind);
        }
        Ok(Self { organizations })
    }
}

fn principal(organization: &str, role: KeyRole) -> MspPrincipal {
    let role = match role {
        KeyRole::Member => MspRoleType::Member,
        KeyRole::Peer => MspRoleType::Peer,
    };
    let role = MspRole { msp_identifier: organization.to_owned(), role: role.into() };
    MspPrincipal {
        principal_classification: Classification::Role.into(),
        principal: role.encode_to_vec().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyPolicy, KeyRole};

    #[test]
    fn a_policy_comes_back_sorted() {
        let mut policy = KeyPolicy::all_of(KeyRole::Peer, ["Org2MSP", "Org1MSP"]);
        policy.add(KeyRole::Member, "Org3MSP");
        let decoded = KeyPolicy::decode(policy.encode()).expect("a policy");
        assert_eq!(decoded, policy);
        let listed: Vec<_> = decoded.organizations().collect();
        let expected = [("Org1MSP", KeyRole::Peer), ("Org2MSP", KeyRole::Peer), ("Org3MSP", KeyRole::Member)];
        assert_eq!(listed, expected);
        assert!(policy.remove("Org3MSP") && !policy.remove("Org3MSP"));
        assert!(KeyPolicy::decode("\x0a\x7f".into()).is_err());
    }
}
