//! Membership service providers: whose certificates an organization vouches for, and in which role.

mod chain;
mod config;
mod error;
mod manager;
mod principal;
mod setup;
mod units;

use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use prost::Message;
use quick_cache::sync::Cache;
use selvedge_proto::common::MspPrincipal;
use selvedge_proto::msp::{MspConfig, SerializedIdentity};

use crate::certificate::{Certificate, MAX_CERTIFICATE_BYTES};
use crate::signature::{KeyKind, PublicKey, SignatureError, VerificationCache, sha256};
use chain::{RevocationList, TrustPool};
use units::Units;

pub use config::{MspDescription, msp_config};
pub use error::{AccessDenied, ChainError, IdentityError, MspError};
pub use manager::MspManager;
pub use principal::Principal;
pub use units::OrganizationalUnit;

/// Parsed identities an MSP keeps; a network's peers and clients are far fewer.
const REMEMBERED_IDENTITIES: usize = 512;
/// Larger identities are read anew each time, so that padded ones cannot fill the memory.
const MAX_REMEMBERED_BYTES: usize = 8 * 1024;

/// The rules an MSP follows, decided by the channel's capabilities. Rules older than those of Fabric 1.4.3 are not
/// supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum MspVersion {
    /// Capabilities V1_4_3 and V2_0.
    V1_4_3,
    /// Capability V3_0: Ed25519 keys are accepted too.
    V3_0,
}

/// An organization's membership rules, from its X.509 configuration.
pub struct Msp {
    rules: Arc<Rules>,
    identities: Cache<Bytes, Arc<Identity>>,
    signatures: Option<Arc<VerificationCache>>,
}

/// The part of an MSP that its identities refer to.
#[derive(Debug)]
pub(crate) struct Rules {
    id: String,
    version: MspVersion,
    trust: TrustPool,
    /// Encodings of the certificates that issued an intermediate CA and hence no identities.
    inner_nodes: Vec<Bytes>,
    administrators: Vec<Arc<Certificate>>,
    revocations: Vec<RevocationList>,
    units: Units,
    tls_roots: Vec<Bytes>,
    tls_intermediates: Vec<Bytes>,
}

/// An identity whose certificate chains to a root of its MSP. Being deserialized does not yet make it valid: see
/// [`Identity::validate`].
pub struct Identity {
    rules: Arc<Rules>,
    signatures: Option<Arc<VerificationCache>>,
    serialized: Bytes,
    certificate: Arc<Certificate>,
    key: PublicKey,
    identifier: [u8; 32],
    chain: Vec<Arc<Certificate>>,
    units: Vec<OrganizationalUnit>,
    validity: OnceLock<Result<(), IdentityError>>,
}

impl Msp {
    /// Sets up an MSP with the newest rules.
    pub fn from_config(config: &MspConfig) -> Result<Self, MspError> {
        Self::with_version(config, MspVersion::V3_0, None)
    }

    /// Sets up an MSP with the rules a channel's capabilities call for, and a memory of good signatures.
    pub fn with_version(
        config: &MspConfig,
        version: MspVersion,
        signatures: Option<Arc<VerificationCache>>,
    ) -> Result<Self, MspError> {
        Ok(Self {
            rules: Arc::new(setup::rules(config, version)?),
            identities: Cache::new(REMEMBERED_IDENTITIES),
            signatures,
        })
    }

    /// The MSP's id.
    pub fn id(&self) -> &str {
        &self.rules.id
    }

    /// The PEM certificates that TLS connections of this organization's members chain to.
    pub fn tls_roots(&self) -> &[Bytes] {
        &self.rules.tls_roots
    }

    /// Further PEM certificates between TLS certificates and the roots.
    pub fn tls_intermediates(&self) -> &[Bytes] {
        &self.rules.tls_intermediates
    }

    /// The root and intermediate certificates in DER.
    pub fn authorities(&self) -> impl Iterator<Item = &Bytes> {
        let trust = &self.rules.trust;
        trust.roots().iter().chain(trust.intermediates()).map(|certificate| certificate.der())
    }

    /// Reads an encoded `SerializedIdentity` of this MSP and finds its chain.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        if serialized.len() > MAX_CERTIFICATE_BYTES {
            return Err(IdentityError::TooLarge(serialized.len()));
        }
        if let Some(identity) = self.identities.get(serialized) {
            return Ok(identity);
        }
        let parsed = decode(serialized)?;
        self.rules.check_name(&parsed.mspid)?;
        let serialized = Bytes::copy_from_slice(serialized);
        let identity = Arc::new(Rules::identity(
            &self.rules,
            self.signatures.clone(),
            &parsed.id_bytes,
            serialized.clone(),
        )?);
        if serialized.len() <= MAX_REMEMBERED_BYTES {
            self.identities.insert(serialized, identity.clone());
        }
        Ok(identity)
    }

    /// Whether an identity is valid under this MSP, whichever MSP read it.
    pub fn validate(&self, identity: &Identity) -> Result<(), IdentityError> {
        if Arc::ptr_eq(&self.rules, &identity.rules) {
            return identity.validate();
        }
        self.deserialize(&identity.serialized)?.validate()
    }

    /// Whether an identity satisfies a principal under this MSP, whichever MSP read it.
    pub fn satisfies(&self, identity: &Identity, principal: &MspPrincipal) -> Result<(), IdentityError> {
        let principal = Principal::read(principal);
        if Arc::ptr_eq(&self.rules, &identity.rules) {
            return identity.satisfies(&principal);
        }
        self.deserialize(&identity.serialized)?.satisfies(&principal)
    }
}

impl fmt::Debug for Msp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Msp").field("id", &self.rules.id).finish_non_exhaustive()
    }
}

impl Identity {
    /// The id of the MSP that read this identity.
    pub fn msp_id(&self) -> &str {
        &self.rules.id
    }

    /// The encoded `SerializedIdentity` this was read from.
    pub fn serialized(&self) -> &Bytes {
        &self.serialized
    }

    /// The certificate, with its issuer's ECDSA signature in the low form.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The same certificate in DER.
    pub fn certificate_der(&self) -> &Bytes {
        self.certificate.der()
    }

    /// What makes two identities of one MSP the same: the SHA-256 of the certificate.
    pub fn identifier(&self) -> &[u8; 32] {
        &self.identifier
    }

    /// The last second of the certificate's validity, in Unix time. Neither reading nor validating an identity
    /// looks at it; a server that cares (the endorser does) compares it with its own clock.
    pub fn expires_at(&self) -> i64 {
        self.certificate.not_after()
    }

    /// The organizational units, each with the chain that vouches for it.
    pub fn organizational_units(&self) -> &[OrganizationalUnit] {
        &self.units
    }

    /// Checks a signature made by this identity.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        match &self.signatures {
            Some(cache) => cache.verify(&self.key, message, signature),
            None => self.key.verify(message, signature),
        }
    }

    /// Whether the identity is valid: issued by a CA that issues identities, not revoked, not a CA itself, and with
    /// the organizational units its MSP asks for. Expiry is not part of it. The verdict is remembered, since it
    /// depends on nothing but the MSP's configuration.
    pub fn validate(&self) -> Result<(), IdentityError> {
        self.validity.get_or_init(|| self.check().map_err(IdentityError::Invalid)).clone()
    }

    fn check(&self) -> Result<(), String> {
        let chain = &self.chain;
        let no_chain = |reason: &str| format!("could not obtain certification chain: {reason}");
        if self.certificate.is_ca() {
            return Err(no_chain(
                "An X509 certificate with Basic Constraint: Certificate Authority equals true cannot be used as an \
                 identity",
            ));
        }
        let Some(parent) = chain.get(1) else {
            return Err(no_chain(&format!("expected a chain of length at least 2, got {}", chain.len())));
        };
        if self.rules.inner_nodes.contains(parent.der()) {
            return Err(no_chain(
                "invalid validation chain. Parent certificate should be a leaf of the certification tree",
            ));
        }
        self.rules
            .check_revocation(&self.certificate, parent)
            .map_err(|reason| format!("could not validate identity against certification chain: {reason}"))?;
        self.rules
            .units
            .validate(&self.rules.id, &self.units)
            .map_err(|reason| format!("could not validate identity's OUs: {reason}"))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("msp_id", &self.rules.id)
            .field("subject", &self.certificate.subject())
            .finish_non_exhaustive()
    }
}

impl Rules {
    fn identity(
        rules: &Arc<Self>,
        signatures: Option<Arc<VerificationCache>>,
        pem: &[u8],
        serialized: Bytes,
    ) -> Result<Identity, IdentityError> {
        let certificate = Arc::new(Certificate::from_pem(pem)?);
        let key = rules.key(&certificate)?;
        let chain = rules.trust.sanitized_chain(&certificate)?;
        let certificate = chain.first().cloned().unwrap_or(certificate);
        let identifier = sha256(&[certificate.der()]);
        let certifier = chain_identifier(chain.get(1..).unwrap_or_default());
        let unit = |name: &str| OrganizationalUnit { name: name.to_owned(), certifier };
        let units = certificate.organizational_units().map(unit).collect();
        Ok(Identity {
            rules: rules.clone(),
            signatures,
            serialized,
            certificate,
            key,
            identifier,
            chain,
            units,
            validity: OnceLock::new(),
        })
    }

    fn check_name(&self, received: &str) -> Result<(), IdentityError> {
        if received == self.id {
            return Ok(());
        }
        Err(IdentityError::OtherMsp { expected: self.id.clone(), received: received.to_owned() })
    }

    fn key(&self, certificate: &Certificate) -> Result<PublicKey, IdentityError> {
        let key = PublicKey::from_certificate(certificate)?;
        if key.kind() == KeyKind::Ed25519 && self.version < MspVersion::V3_0 {
            return Err(IdentityError::UnsupportedKey(crate::signature::UnsupportedKey(
                "Ed25519, which needs the channel capability V3_0".to_owned(),
            )));
        }
        Ok(key)
    }

    fn check_revocation(&self, certificate: &Certificate, issuer: &Certificate) -> Result<(), String> {
        for list in &self.revocations {
            if list.revokes(certificate, issuer)? {
                return Err("The certificate has been revoked".to_owned());
            }
        }
        Ok(())
    }

    fn is_administrator(&self, certificate: &Certificate) -> bool {
        self.administrators.iter().any(|administrator| administrator.der() == certificate.der())
    }
}

fn decode(serialized: &[u8]) -> Result<SerializedIdentity, IdentityError> {
    SerializedIdentity::decode(serialized).map_err(|error| IdentityError::Malformed(error.to_string()))
}

/// The hash by which units tell apart the chains that vouch for them.
fn chain_identifier(issuers: &[Arc<Certificate>]) -> units::Certifier {
    let parts: Vec<&[u8]> = issuers.iter().map(|issuer| issuer.der().as_ref()).collect();
    sha256(&parts)
}
