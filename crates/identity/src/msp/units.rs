//! Organizational units: the groups and roles that certificates carry in their subject.

use std::collections::BTreeMap;
use std::fmt;

use selvedge_proto::msp::{FabricMspConfig, FabricOuIdentifier};

/// The hash of a chain of issuers, by which an MSP tells apart equal units of different CAs.
pub(super) type Certifier = [u8; 32];

/// An organizational unit of an identity, together with the chain that vouches for it.
#[derive(Clone, PartialEq, Eq)]
pub struct OrganizationalUnit {
    /// The unit's name.
    pub name: String,
    /// SHA-256 over the encoded issuers, from the immediate one to the root.
    pub certifier: [u8; 32],
}

impl fmt::Debug for OrganizationalUnit {
    /// Writes the name and the first eight bytes of the certifier, as Fabric's messages do.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}(", self.name)?;
        self.certifier.iter().take(8).try_for_each(|byte| write!(formatter, "{byte:02X}"))?;
        formatter.write_str(")")
    }
}

/// The roles an organizational unit can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeRole {
    Client,
    Peer,
    Admin,
    Orderer,
}

impl NodeRole {
    pub(super) const ALL: [Self; 4] = [Self::Client, Self::Peer, Self::Admin, Self::Orderer];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "CLIENT",
            Self::Peer => "PEER",
            Self::Admin => "ADMIN",
            Self::Orderer => "ORDERER",
        }
    }
}

/// A unit that gives a role, optionally only if a certain chain vouches for it.
#[derive(Debug)]
struct RoleUnit {
    role: NodeRole,
    name: String,
    certifier: Option<Certifier>,
}

/// The rules an MSP has for organizational units.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// Units of which every identity must have one, if there are any.
    recognized: BTreeMap<String, Vec<Certifier>>,
    /// The units that give roles, if roles are told apart.
    roles: Option<Vec<RoleUnit>>,
}

impl Units {
    /// Reads the rules; `certifier` resolves a CA certificate of the MSP to the hash of its chain.
    pub(super) fn read(
        config: &FabricMspConfig,
        certifier: impl Fn(&[u8]) -> Result<Certifier, String>,
    ) -> Result<Self, String> {
        let mut units = Self::default();
        for unit in &config.organizational_unit_identifiers {
            let certifier = certifier(&unit.certificate)?;
            units.recognized.entry(unit.organizational_unit_identifier.clone()).or_default().push(certifier);
        }
        let Some(nodes) = &config.fabric_node_ous else { return Ok(units) };
        let of = |role| match role {
            NodeRole::Client => &nodes.client_ou_identifier,
            NodeRole::Peer => &nodes.peer_ou_identifier,
            NodeRole::Admin => &nodes.admin_ou_identifier,
            NodeRole::Orderer => &nodes.orderer_ou_identifier,
        };
        let mut roles = Vec::new();
        for role in NodeRole::ALL {
            if let Some(FabricOuIdentifier { certificate, organizational_unit_identifier: name }) = of(role) {
                let certifier = (!certificate.is_empty()).then(|| certifier(certificate)).transpose()?;
                roles.push(RoleUnit { role, name: name.clone(), certifier });
            }
        }
        if nodes.enable && !roles.is_empty() {
            units.roles = Some(roles);
        }
        Ok(units)
    }

    /// Whether administrators are told by a unit, so that none need be listed.
    pub(super) fn classify_administrators(&self) -> bool {
        self.role_unit(NodeRole::Admin).is_some()
    }

    /// Whether roles are told apart at all.
    pub(super) fn enforced(&self) -> bool {
        self.roles.is_some()
    }

    /// Checks the units of an otherwise valid identity: one recognized unit if the MSP asks for that, and exactly
    /// one role if it tells roles apart.
    pub(super) fn validate(&self, msp: &str, units: &[OrganizationalUnit]) -> Result<(), String> {
        let recognized = |unit: &OrganizationalUnit| {
            self.recognized.get(&unit.name).is_some_and(|certifiers| certifiers.contains(&unit.certifier))
        };
        if !self.recognized.is_empty() && !units.iter().any(recognized) {
            return Err(if units.is_empty() {
                "the identity certificate does not contain an Organizational Unit (OU)".to_owned()
            } else {
                format!("none of the identity's organizational units {units:?} are in MSP {msp}")
            });
        }
        let Some(roles) = &self.roles else { return Ok(()) };
        let mut count = 0;
        for unit in units {
            let Some(role) = roles.iter().find(|role| role.name == unit.name) else { continue };
            if role.certifier.is_some_and(|certifier| certifier != unit.certifier) {
                return Err(format!("certifiersIdentifier does not match: {units:?}, MSP: [{msp}]"));
            }
            count += 1;
        }
        match count {
            1 => Ok(()),
            0 => Err(format!(
                "the identity does not have an OU that resolves to client, peer, orderer, or admin role. \
                 OUs: {units:?}, MSP: [{msp}]"
            )),
            _ => Err(format!(
                "the identity must have a client, a peer, an orderer, or an admin OU role to be valid, not a \
                 combination of them. OUs: {units:?}, MSP: [{msp}]"
            )),
        }
    }

    /// Whether a valid identity has a role.
    pub(super) fn has_role(
        &self,
        msp: &str,
        units: &[OrganizationalUnit],
        role: NodeRole,
    ) -> Result<(), String> {
        if self.roles.is_none() {
            return Err("NodeOUs not activated. Cannot tell apart identities.".to_owned());
        }
        let name = role.name();
        let Some(unit) = self.role_unit(role) else {
            return Err(format!(
                "cannot test for classification, node ou for type [{name}], not defined, msp: [{msp}]"
            ));
        };
        if units.iter().any(|candidate| candidate.name == unit.name) {
            return Ok(());
        }
        Err(format!("The identity does not contain OU [{name}], MSP: [{msp}]"))
    }

    fn role_unit(&self, role: NodeRole) -> Option<&RoleUnit> {
        self.roles.as_ref()?.iter().find(|unit| unit.role == role)
    }
}
