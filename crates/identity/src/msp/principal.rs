//! Principals: what a policy asks an identity to be.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::msp_identity_anonymity::MspIdentityAnonymityType;
use selvedge_proto::common::msp_principal::Classification;
use selvedge_proto::common::msp_role::MspRoleType;
use selvedge_proto::common::{
    CombinedPrincipal, MspIdentityAnonymity, MspPrincipal, MspRole, OrganizationUnit,
};

use super::units::NodeRole;
use super::{Identity, IdentityError, Rules};
use crate::certificate::MAX_CERTIFICATE_BYTES;

/// How deep combined principals may nest.
const MAX_DEPTH: usize = 16;
/// How many principals one may combine, over all levels.
const MAX_COMBINED: usize = 256;

/// A decoded `MSPPrincipal`. One that cannot be decoded is kept as such, because Fabric only minds when an identity
/// is compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Principal {
    /// Members of an MSP in a role.
    Role {
        /// The MSP's id.
        msp_id: String,
        /// The number of the role, a `MSPRole.MSPRoleType`.
        role: i32,
    },
    /// Members of an MSP with an organizational unit.
    OrganizationalUnit {
        /// The MSP's id.
        msp_id: String,
        /// The unit's name.
        name: String,
        /// The hash of the chain that must vouch for the unit.
        certifier: Bytes,
    },
    /// One identity, as an encoded `SerializedIdentity`.
    Identity(Bytes),
    /// Identities that name their holder, or that do not; a `MSPIdentityAnonymityType`.
    Anonymity(i32),
    /// Identities that satisfy all of several principals.
    Combined(Vec<Principal>),
    /// Nobody; the text says what is wrong with the principal.
    Undecodable(String),
}

impl Principal {
    /// Decodes a principal.
    pub fn read(principal: &MspPrincipal) -> Self {
        Self::read_within(principal, MAX_DEPTH, &mut MAX_COMBINED.clone())
    }

    fn read_within(principal: &MspPrincipal, depth: usize, budget: &mut usize) -> Self {
        let bytes = principal.principal.clone();
        let undecodable = |what: &str, error: prost::DecodeError| {
            Self::Undecodable(format!("could not unmarshal {what} from principal: {error}"))
        };
        let invalid =
            || Self::Undecodable(format!("invalid principal type {}", principal.principal_classification));
        let Ok(classification) = Classification::try_from(principal.principal_classification) else {
            return invalid();
        };
        match classification {
            Classification::Role => match MspRole::decode(bytes) {
                Ok(role) => Self::Role { msp_id: role.msp_identifier, role: role.role },
                Err(error) => undecodable("MSPRole", error),
            },
            Classification::OrganizationUnit => match OrganizationUnit::decode(bytes) {
                Ok(unit) => Self::OrganizationalUnit {
                    msp_id: unit.msp_identifier,
                    name: unit.organizational_unit_identifier,
                    certifier: unit.certifiers_identifier,
                },
                Err(error) => undecodable("OU", error),
            },
            Classification::Identity => Self::Identity(bytes),
            Classification::Anonymity => match MspIdentityAnonymity::decode(bytes) {
                Ok(anonymity) => Self::Anonymity(anonymity.anonymity_type),
                Err(error) => undecodable("MSPIdentityAnonymity", error),
            },
            Classification::Combined => match CombinedPrincipal::decode(bytes) {
                Ok(combined) if combined.principals.is_empty() => {
                    Self::Undecodable("No principals in CombinedPrincipal".to_owned())
                }
                Ok(combined) if depth == 0 || combined.principals.len() > *budget => {
                    Self::Undecodable("the combined principal is too large".to_owned())
                }
                Ok(combined) => {
                    *budget -= combined.principals.len();
                    let read = |inner: &MspPrincipal| Self::read_within(inner, depth - 1, budget);
                    Self::Combined(combined.principals.iter().map(read).collect())
                }
                Err(error) => undecodable("CombinedPrincipal", error),
            },
        }
    }
}

impl Identity {
    /// Whether this identity is what the principal asks for.
    pub fn satisfies(&self, principal: &Principal) -> Result<(), IdentityError> {
        match principal {
            Principal::Role { msp_id, role } => self.has_role(msp_id, *role),
            Principal::OrganizationalUnit { msp_id, name, certifier } => {
                self.check_msp(msp_id)?;
                self.validate()?;
                let matches = |unit: &super::OrganizationalUnit| {
                    unit.name == *name && unit.certifier.as_slice() == certifier.as_ref()
                };
                if self.units.iter().any(matches) { Ok(()) } else { Err(different()) }
            }
            Principal::Identity(serialized) => self.is_identity(serialized),
            Principal::Anonymity(kind) => match MspIdentityAnonymityType::try_from(*kind) {
                Ok(MspIdentityAnonymityType::Nominal) => Ok(()),
                Ok(MspIdentityAnonymityType::Anonymous) => Err(IdentityError::NotSatisfied(
                    "principal is anonymous, but X.509 MSP does not support anonymous identities".to_owned(),
                )),
                Err(_) => {
                    Err(IdentityError::BadPrincipal(format!("unknown principal anonymity type: {kind}")))
                }
            },
            Principal::Combined(principals) => principals.iter().try_for_each(|inner| self.satisfies(inner)),
            Principal::Undecodable(reason) => Err(IdentityError::BadPrincipal(reason.clone())),
        }
    }

    fn check_msp(&self, expected: &str) -> Result<(), IdentityError> {
        if expected == self.rules.id {
            return Ok(());
        }
        Err(IdentityError::NotSatisfied(format!(
            "the identity is a member of a different MSP (expected {expected}, got {})",
            self.rules.id
        )))
    }

    fn has_role(&self, msp_id: &str, role: i32) -> Result<(), IdentityError> {
        self.check_msp(msp_id)?;
        let invalid_role = || IdentityError::BadPrincipal(format!("invalid MSP role type {role}"));
        let enforced = self.rules.units.enforced();
        match MspRoleType::try_from(role).map_err(|_| invalid_role())? {
            MspRoleType::Member => self.validate(),
            MspRoleType::Admin if self.rules.is_administrator(&self.certificate) => Ok(()),
            MspRoleType::Admin if enforced => self.has_unit_of(NodeRole::Admin),
            MspRoleType::Admin => {
                Err(IdentityError::NotSatisfied("This identity is not an admin".to_owned()))
            }
            MspRoleType::Client => self.has_unit_of(NodeRole::Client),
            MspRoleType::Peer => self.has_unit_of(NodeRole::Peer),
            MspRoleType::Orderer if enforced => self.has_unit_of(NodeRole::Orderer),
            MspRoleType::Orderer => Err(invalid_role()),
        }
    }

    fn has_unit_of(&self, role: NodeRole) -> Result<(), IdentityError> {
        let msp = &self.rules.id;
        self.validate().map_err(|reason| {
            IdentityError::Invalid(format!("The identity is not valid under this MSP [{msp}]: {reason}"))
        })?;
        self.rules.units.has_role(msp, &self.units, role).map_err(|reason| {
            IdentityError::NotSatisfied(match role {
                NodeRole::Admin => format!("The identity is not an admin under this MSP [{msp}]: {reason}"),
                _ => format!("The identity is not a [{}] under this MSP [{msp}]: {reason}", role.name()),
            })
        })
    }

    /// Whether this is the identity the principal names, and valid.
    fn is_identity(&self, serialized: &[u8]) -> Result<(), IdentityError> {
        let invalid = |reason: String| {
            IdentityError::BadPrincipal(format!("invalid identity principal, not a certificate: {reason}"))
        };
        if serialized.len() > MAX_CERTIFICATE_BYTES {
            return Err(invalid(format!("{} bytes", serialized.len())));
        }
        let named = super::decode(serialized).map_err(|error| invalid(error.to_string()))?;
        self.rules.check_name(&named.mspid).map_err(|error| invalid(error.to_string()))?;
        let named = Rules::identity(&self.rules, None, &named.id_bytes, Bytes::new())
            .map_err(|error| invalid(error.to_string()))?;
        if named.certificate.der() == self.certificate.der() { self.validate() } else { Err(different()) }
    }
}

fn different() -> IdentityError {
    IdentityError::NotSatisfied("The identities do not match".to_owned())
}
