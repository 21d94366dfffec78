//! Chains of trust, built and checked as Go's X.509 library does for Fabric's MSP.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::error::ChainError;
use crate::certificate::Certificate;
use crate::der;
use crate::signature::{is_ecdsa, lower, verify_issued};

/// Signature checks spent on one certificate before its chain counts as unknown.
const MAX_SIGNATURE_CHECKS: usize = 100;
/// Certificates in a chain, the leaf and the root included.
const MAX_CHAIN: usize = 10;

/// Root and intermediate certificates.
#[derive(Debug, Default)]
pub(super) struct TrustPool {
    roots: Vec<Arc<Certificate>>,
    intermediates: Vec<Arc<Certificate>>,
}

impl TrustPool {
    pub(super) fn new(roots: Vec<Arc<Certificate>>, intermediates: Vec<Arc<Certificate>>) -> Self {
        Self { roots: distinct(roots), intermediates: distinct(intermediates) }
    }

    pub(super) fn roots(&self) -> &[Arc<Certificate>] {
        &self.roots
    }

    pub(super) fn intermediates(&self) -> &[Arc<Certificate>] {
        &self.intermediates
    }

    /// The chain of a certificate that may come from anywhere, the certificate itself in its sanitized form. A CA
    /// that signed itself is a chain of its own here, trusted or not: it is no identity in any case.
    pub(super) fn sanitized_chain(
        &self,
        leaf: &Arc<Certificate>,
    ) -> Result<Vec<Arc<Certificate>>, ChainError> {
        if leaf.is_ca() && issued(leaf, leaf).is_ok() {
            return Ok(vec![sanitized(leaf, leaf)]);
        }
        let mut chain = self.unique_chain(leaf)?;
        if let [first, issuer, ..] = chain.as_mut_slice() {
            *first = sanitized(first, issuer);
        }
        Ok(chain)
    }

    /// The one chain of a certificate, from itself to a root. It is checked at the time the certificate became
    /// valid plus one second: Fabric does not let identities expire here.
    pub(super) fn unique_chain(&self, leaf: &Arc<Certificate>) -> Result<Vec<Arc<Certificate>>, ChainError> {
        let mut search = Search {
            pool: self,
            time: leaf.not_before.saturating_add(1),
            checks: 0,
            failure: None,
            chains: Vec::new(),
        };
        search.check_link(leaf, None)?;
        if self.roots.iter().any(|root| root.der == leaf.der) {
            search.chains.push(vec![leaf.clone()]);
        } else {
            search.extend(std::slice::from_ref(leaf));
        }
        let Search { failure, mut chains, .. } = search;
        if chains.is_empty() {
            return Err(failure.unwrap_or(ChainError::UnknownAuthority));
        }
        chains.retain(|chain| chain.iter().all(|link| link.extensions.admits_servers.unwrap_or(true)));
        match chains.len() {
            0 => Err(ChainError::KeyUsage),
            1 => Ok(chains.remove(0)),
            several => Err(ChainError::Ambiguous(several)),
        }
    }
}

struct Search<'a> {
    pool: &'a TrustPool,
    time: i64,
    checks: usize,
    failure: Option<ChainError>,
    chains: Vec<Vec<Arc<Certificate>>>,
}

impl Search<'_> {
    fn extend(&mut self, chain: &[Arc<Certificate>]) {
        let pool = self.pool;
        for root in &pool.roots {
            if let Some(chain) = self.append(chain, root, false) {
                self.chains.push(chain);
            }
        }
        for intermediate in &pool.intermediates {
            if chain.len() + 1 < MAX_CHAIN
                && let Some(chain) = self.append(chain, intermediate, true)
            {
                self.extend(&chain);
            }
        }
    }

    /// The chain with one more issuer, if that one issued its last certificate and may have done so.
    fn append(
        &mut self,
        chain: &[Arc<Certificate>],
        issuer: &Arc<Certificate>,
        intermediate: bool,
    ) -> Option<Vec<Arc<Certificate>>> {
        let child = chain.last()?;
        let repeated = |link: &Arc<Certificate>| {
            link.subject.raw == issuer.subject.raw && link.public_key == issuer.public_key
        };
        if child.issuer.raw != issuer.subject.raw
            || chain.iter().any(repeated)
            || self.checks >= MAX_SIGNATURE_CHECKS
        {
            return None;
        }
        self.checks += 1;
        let verdict = issued(child, issuer)
            .and_then(
                |()| if intermediate && !issuer.is_ca() { Err(ChainError::NotAnIssuer) } else { Ok(()) },
            )
            .and_then(|()| self.check_link(issuer, Some(chain.len() - 1)));
        match verdict {
            Ok(()) => {
                let mut longer = chain.to_vec();
                longer.push(issuer.clone());
                Some(longer)
            }
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    /// Checks one certificate by itself; `below` counts the intermediates under an issuer.
    fn check_link(&self, link: &Certificate, below: Option<usize>) -> Result<(), ChainError> {
        if let Some(oid) = &link.extensions.unknown_critical {
            return Err(ChainError::UnknownExtension(oid.clone()));
        }
        if self.time < link.not_before || self.time > link.not_after {
            return Err(ChainError::Time {
                subject: link.subject(),
                not_before: link.not_before,
                not_after: link.not_after,
                time: self.time,
            });
        }
        if let Some(below) = below {
            if link.extensions.has_name_constraints {
                // Not evaluated, and ignoring them would trust more than the CA's issuer does.
                return Err(ChainError::UnknownExtension("2.5.29.30 (name constraints)".to_owned()));
            }
            if let Some((_, Some(limit))) = link.extensions.basic_constraints
                && below > limit as usize
            {
                return Err(ChainError::PathTooLong);
            }
        }
        Ok(())
    }
}

/// Whether `issuer` signed `child` and is a certificate that may sign others.
fn issued(child: &Certificate, issuer: &Certificate) -> Result<(), ChainError> {
    let flagged = match issuer.extensions.basic_constraints {
        Some((flag, _)) => flag,
        None => issuer.version != 3,
    };
    if !flagged || issuer.extensions.may_sign_certificates == Some(false) {
        return Err(ChainError::NotAnIssuer);
    }
    verify_issued(&issuer.public_key, &child.signature_algorithm, &child.to_be_signed, &child.signature)
        .map_err(|_| ChainError::UnknownAuthority)
}

/// The form in which Fabric knows a certificate: with the low form of its issuer's ECDSA signature, so that the two
/// forms of one certificate are one identity.
fn sanitized(certificate: &Arc<Certificate>, issuer: &Certificate) -> Arc<Certificate> {
    let rewritten = || {
        if !is_ecdsa(&certificate.signature_algorithm) {
            return None;
        }
        let low = lower(&issuer.public_key, &certificate.signature)?;
        let (outer, _) = der::read(&certificate.der)?;
        let (body, rest) = der::read(outer.contents)?;
        let (algorithm, _) = der::read(rest)?;
        let mut contents = [body.whole, algorithm.whole].concat();
        der::write(der::BIT_STRING, &[&[0], low.as_slice()].concat(), &mut contents);
        let mut whole = Vec::with_capacity(contents.len() + 4);
        der::write(der::SEQUENCE, &contents, &mut whole);
        Certificate::from_der(whole.into()).ok().map(Arc::new)
    };
    rewritten().unwrap_or_else(|| certificate.clone())
}

/// A revocation list.
#[derive(Debug)]
pub(super) struct RevocationList {
    authority: Option<Bytes>,
    revoked: HashSet<Vec<u8>>,
    to_be_signed: Bytes,
    signature_algorithm: String,
    signature: Bytes,
}

impl RevocationList {
    /// Reads a list in PEM or DER.
    pub(super) fn parse(encoded: &Bytes) -> Result<Self, String> {
        let der = if encoded.starts_with(b"-----BEGIN") {
            Bytes::from(pem::parse(encoded).map_err(|error| error.to_string())?.into_contents())
        } else {
            encoded.clone()
        };
        let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err("trailing data".to_owned());
        }
        let authority = list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(identifier) => {
                identifier.key_identifier.as_ref().map(|key| Bytes::copy_from_slice(key.0))
            }
            _ => None,
        });
        let without_zeros = |serial: &[u8]| serial.iter().copied().skip_while(|byte| *byte == 0).collect();
        Ok(Self {
            authority,
            revoked: list
                .iter_revoked_certificates()
                .map(|entry| without_zeros(entry.raw_serial()))
                .collect(),
            to_be_signed: Bytes::copy_from_slice(list.tbs_cert_list.as_ref()),
            signature_algorithm: list.signature_algorithm.algorithm.to_id_string(),
            signature: Bytes::copy_from_slice(&list.signature_value.data),
        })
    }

    /// Whether this list, made by `issuer`, revokes the certificate. The time of revocation does not matter.
    pub(super) fn revokes(
        &self,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Result<bool, &'static str> {
        let authority = self.authority.as_ref().ok_or("could not obtain Authority Key Identifier for crl")?;
        let identifier = issuer
            .subject_key_identifier()
            .ok_or("could not obtain Subject Key Identifier for signer cert")?;
        Ok(authority == identifier
            && self.revoked.contains(certificate.serial())
            && verify_issued(
                &issuer.public_key,
                &self.signature_algorithm,
                &self.to_be_signed,
                &self.signature,
            )
            .is_ok())
    }
}

fn distinct(certificates: Vec<Arc<Certificate>>) -> Vec<Arc<Certificate>> {
    let mut seen = HashSet::new();
    certificates.into_iter().filter(|certificate| seen.insert(certificate.der.clone())).collect()
}
