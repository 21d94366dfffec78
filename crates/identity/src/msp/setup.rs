//! Turns an MSP configuration into the rules it stands for, refusing what Fabric refuses.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::msp::{FabricMspConfig, MspConfig};

use super::chain::{RevocationList, TrustPool};
use super::units::{NodeRole, Units};
use super::{MspError, MspVersion, Rules, chain_identifier};
use crate::certificate::Certificate;

/// The type number of X.509 MSPs.
pub(super) const X509: i32 = 0;

/// Entries per list of an MSP configuration.
const MAX_ENTRIES: usize = 256;
/// The size of a revocation list.
const MAX_REVOCATION_LIST_BYTES: usize = 1024 * 1024;

pub(super) fn rules(config: &MspConfig, version: MspVersion) -> Result<Rules, MspError> {
    if config.r#type != X509 {
        return Err(MspError::UnsupportedType(config.r#type));
    }
    let config = FabricMspConfig::decode(config.config.clone())
        .map_err(|error| MspError::Malformed(error.to_string()))?;
    let setup = Setup { config: &config };
    setup.check_limits()?;
    setup.check_hashes()?;

    let trust = setup.trust()?;
    let revocations = setup.revocations()?;
    let mut rules = Rules {
        id: config.name.clone(),
        version,
        trust,
        inner_nodes: Vec::new(),
        administrators: Vec::new(),
        revocations,
        units: Units::default(),
        tls_roots: config.tls_root_certs.clone(),
        tls_intermediates: config.tls_intermediate_certs.clone(),
    };
    setup.check_authorities(&mut rules)?;
    setup.check_tls()?;
    rules.units = setup.units(&rules)?;
    setup.administrators(rules)
}

struct Setup<'a> {
    config: &'a FabricMspConfig,
}

impl Setup<'_> {
    fn entry(&self, what: impl Into<String>, reason: impl ToString) -> MspError {
        MspError::Entry { msp: self.config.name.clone(), what: what.into(), reason: reason.to_string() }
    }

    fn check_limits(&self) -> Result<(), MspError> {
        let config = self.config;
        if config.name.is_empty() {
            return Err(MspError::NoName);
        }
        if config.root_certs.is_empty() {
            return Err(MspError::NoRoots);
        }
        let lists = [
            ("root certificates", config.root_certs.len()),
            ("intermediate certificates", config.intermediate_certs.len()),
            ("administrators", config.admins.len()),
            ("revocation lists", config.revocation_list.len()),
            ("organizational units", config.organizational_unit_identifiers.len()),
            ("TLS root certificates", config.tls_root_certs.len()),
            ("TLS intermediate certificates", config.tls_intermediate_certs.len()),
        ];
        for (what, count) in lists {
            if count > MAX_ENTRIES {
                return Err(MspError::TooMany { msp: config.name.clone(), what, count, limit: MAX_ENTRIES });
            }
        }
        Ok(())
    }

    fn check_hashes(&self) -> Result<(), MspError> {
        let Some(crypto) = &self.config.crypto_config else { return Ok(()) };
        let hash = |name: &str| MspError::Hash { msp: self.config.name.clone(), hash: name.to_owned() };
        match crypto.signature_hash_family.as_str() {
            "" | "SHA2" => {}
            other => return Err(hash(other)),
        }
        match crypto.identity_identifier_hash_function.as_str() {
            "" | "SHA256" => Ok(()),
            other => Err(hash(other)),
        }
    }

    fn read(&self, what: &str, pems: &[Bytes]) -> Result<Vec<Arc<Certificate>>, MspError> {
        let read =
            |pem: &Bytes| Certificate::from_pem(pem).map(Arc::new).map_err(|error| self.entry(what, error));
        pems.iter().map(read).collect()
    }

    /// The roots and intermediates, in the form in which identities are compared with them.
    fn trust(&self) -> Result<TrustPool, MspError> {
        let roots = self.read("a root certificate", &self.config.root_certs)?;
        let intermediates = self.read("an intermediate certificate", &self.config.intermediate_certs)?;
        let given = TrustPool::new(roots.clone(), intermediates.clone());
        let sanitize = |certificates: Vec<Arc<Certificate>>| {
            certificates
                .into_iter()
                .map(|certificate| self.sanitize(&given, certificate))
                .collect::<Result<_, _>>()
        };
        Ok(TrustPool::new(sanitize(roots)?, sanitize(intermediates)?))
    }

    fn sanitize(
        &self,
        pool: &TrustPool,
        certificate: Arc<Certificate>,
    ) -> Result<Arc<Certificate>, MspError> {
        let what = || format!("the CA certificate of {}", certificate.subject());
        let chain = pool.sanitized_chain(&certificate).map_err(|error| self.entry(what(), error))?;
        Ok(chain.into_iter().next().unwrap_or(certificate))
    }

    fn revocations(&self) -> Result<Vec<RevocationList>, MspError> {
        let parse = |list: &Bytes| {
            if list.len() > MAX_REVOCATION_LIST_BYTES {
                return Err(self.entry("a revocation list", format!("it has {} bytes", list.len())));
            }
            RevocationList::parse(list).map_err(|error| self.entry("could not parse RevocationList", error))
        };
        self.config.revocation_list.iter().map(parse).collect()
    }

    /// Checks that the CAs are CAs that chain to a root and are not revoked, and notes which of them issued others.
    fn check_authorities(&self, rules: &mut Rules) -> Result<(), MspError> {
        let mut inner = Vec::new();
        for authority in rules.trust.roots().iter().chain(rules.trust.intermediates()) {
            self.check_authority(authority)?;
            let what = || format!("the CA certificate of {}", authority.subject());
            let chain = rules.trust.unique_chain(authority).map_err(|error| self.entry(what(), error))?;
            if let Some(issuer) = chain.get(1) {
                rules.check_revocation(authority, issuer).map_err(|error| self.entry(what(), error))?;
            }
        }
        for intermediate in rules.trust.intermediates() {
            let chain = rules
                .trust
                .unique_chain(intermediate)
                .map_err(|error| self.entry("failed getting validation chain", error))?;
            inner.extend(chain.iter().skip(1).map(|issuer| issuer.der().clone()));
        }
        inner.sort();
        inner.dedup();
        rules.inner_nodes = inner;
        Ok(())
    }

    fn check_authority(&self, authority: &Certificate) -> Result<(), MspError> {
        let what = || format!("the CA certificate of {}", authority.subject());
        if !authority.is_ca() {
            return Err(self.entry(what(), "CA Certificate did not have the CA attribute"));
        }
        if authority.subject_key_identifier().is_none() {
            return Err(self.entry(what(), "CA Certificate problem with Subject Key Identifier extension"));
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), MspError> {
        let roots = self.read("a TLS root certificate", &self.config.tls_root_certs)?;
        let intermediates =
            self.read("a TLS intermediate certificate", &self.config.tls_intermediate_certs)?;
        let pool = TrustPool::new(roots.clone(), intermediates.clone());
        for authority in roots.iter().chain(&intermediates) {
            self.check_authority(authority)?;
            pool.unique_chain(authority).map_err(|error| {
                self.entry(format!("the TLS CA certificate of {}", authority.subject()), error)
            })?;
        }
        Ok(())
    }

    fn units(&self, rules: &Rules) -> Result<Units, MspError> {
        let certifier = |pem: &[u8]| {
            let certificate = Arc::new(Certificate::from_pem(pem).map_err(|error| error.to_string())?);
            let chain = rules.trust.sanitized_chain(&certificate).map_err(|error| error.to_string())?;
            let der = chain.first().unwrap_or(&certificate).der();
            let listed = |pool: &[Arc<Certificate>]| pool.iter().find(|other| other.der() == der).cloned();
            if let Some(root) = listed(rules.trust.roots()) {
                return Ok(chain_identifier(&[root]));
            }
            let Some(intermediate) = listed(rules.trust.intermediates()) else {
                return Err(format!(
                    "the certificate of {} is not among the root or intermediate certificates",
                    certificate.subject()
                ));
            };
            if rules.inner_nodes.contains(der) {
                return Err(
                    "invalid validation chain. Parent certificate should be a leaf of the certification tree"
                        .into(),
                );
            }
            let chain = rules.trust.unique_chain(&intermediate).map_err(|error| error.to_string())?;
            Ok(chain_identifier(&chain))
        };
        Units::read(self.config, certifier).map_err(|error| self.entry("an organizational unit", error))
    }

    /// Reads the listed administrators, who must be valid, and with roles told apart must be clients or
    /// administrators.
    fn administrators(&self, rules: Rules) -> Result<Rules, MspError> {
        if self.config.admins.is_empty() && !rules.units.classify_administrators() {
            return Err(MspError::NoAdministrators);
        }
        let rules = Arc::new(rules);
        let mut administrators = Vec::with_capacity(self.config.admins.len());
        for (index, pem) in self.config.admins.iter().enumerate() {
            let invalid = |reason: String| self.entry(format!("admin {index} is invalid"), reason);
            let identity = Rules::identity(&rules, None, pem, Bytes::new())
                .map_err(|error| invalid(error.to_string()))?;
            if rules.units.enforced() {
                let role = |role| rules.units.has_role(&rules.id, &identity.units, role);
                role(NodeRole::Client).or_else(|_| role(NodeRole::Admin)).map_err(invalid)?;
            } else {
                identity.validate().map_err(|error| invalid(error.to_string()))?;
            }
            administrators.push(identity.certificate.clone());
        }
        let mut rules =
            Arc::try_unwrap(rules).map_err(|_| self.entry("administrators", "the rules are still in use"))?;
        rules.administrators = administrators;
        Ok(rules)
    }
}
