//! Configured authorities and the judgement of a certificate against them.
//!
//! The order of the checks is Go's: dates, name, chain, usage. Two rules differ from rustls' stock verifier
//! and follow Go: a certificate that is byte for byte a configured one is its own chain, and an authority's
//! dates count.

use std::sync::Arc;

use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter};

use crate::ConfigError;
use crate::certificate::{CertificateFacts, Timestamp};
use crate::pem::{self, PemError, PemOrigin, PemProblem};
use crate::problem::CertificateProblem;
use crate::revocation::Revocations;
use crate::text::escape;

/// Authorities and single certificates that are trusted, and what their authorities have revoked.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    list: Vec<Anchor>,
    revocations: Option<Revocations>,
}

/// A client's certificate that was found good.
pub(crate) struct Standing {
    pub(crate) facts: CertificateFacts,
    /// The MSP of the authority it stands on.
    pub(crate) msp: Option<Arc<str>>,
    /// The last moment for which this holds: something in the chain, or a revocation list, expires then.
    pub(crate) until: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Anchor {
    der: CertificateDer<'static>,
    facts: CertificateFacts,
    trust: TrustAnchor<'static>,
    msp: Option<Arc<str>>,
}

/// Which end the certificate stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Server,
    Client,
}

impl Anchors {
    /// Adds every certificate of a PEM text, all mapped to the MSP if one is given.
    pub(crate) fn add(
        &mut self,
        text: &[u8],
        origin: &PemOrigin,
        msp: Option<&str>,
    ) -> Result<(), ConfigError> {
        for (index, der) in pem::certificates(text, origin)?.into_iter().enumerate() {
            let broken = |reason: String| PemError {
                origin: origin.clone(),
                problem: PemProblem::NotACertificate { number: index + 1, reason: escape(&reason) },
            };
            let facts = CertificateFacts::from_der(&der).map_err(broken)?;
            let trust =
                webpki::anchor_from_trusted_cert(&der).map_err(|error| broken(error.to_string()))?.to_owned();
            self.push(Anchor { der, facts, trust, msp: msp.map(Arc::from) })?;
        }
        Ok(())
    }

    pub(crate) fn msps(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter_map(|anchor| anchor.msp.as_deref())
    }

    pub(crate) fn certificates(&self) -> impl Iterator<Item = &CertificateFacts> {
        self.list.iter().map(|anchor| &anchor.facts)
    }

    /// From now on, what is on these lists is refused.
    pub(crate) fn set_revocations(&mut self, revocations: Revocations) {
        self.revocations = Some(revocations);
    }

    pub(crate) fn revocations(&self) -> Option<&Revocations> {
        self.revocations.as_ref()
    }

    /// Judges a server's certificate for the name it was dialled by.
    pub(crate) fn judge_server(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateProblem> {
        let facts = read(leaf)?;
        check_dates(&facts, now)?;
        check_name(leaf, &facts, name)?;
        self.check_chain(leaf, &facts, intermediates, now, Purpose::Server)?;
        Ok(())
    }

    /// Judges a client's certificate.
    pub(crate) fn judge_client(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Standing, CertificateProblem> {
        let facts = read(leaf)?;
        check_dates(&facts, now)?;
        let anchor = self.check_chain(leaf, &facts, intermediates, now, Purpose::Client)?;
        let msp = anchor.msp.clone();
        let lists = self.revocations.as_ref().and_then(Revocations::until);
        let chain = intermediates.iter().filter_map(|der| CertificateFacts::from_der(der).ok());
        let ends = chain.map(|facts| facts.not_after).chain(lists).chain([anchor.facts.not_after]);
        // What has ended already decides nothing, or it would not have been let in.
        let moment = Timestamp::from_unix(now);
        let until = ends.filter(|end| *end >= moment).fold(facts.not_after, Timestamp::min);
        Ok(Standing { facts, msp, until })
    }

    fn push(&mut self, anchor: Anchor) -> Result<(), ConfigError> {
        // Two certificates of one key and name are one authority to a chain, whatever else they say.
        let same = self.list.iter().find(|other| {
            other.trust.subject == anchor.trust.subject
                && other.trust.subject_public_key_info == anchor.trust.subject_public_key_info
        });
        if let Some(same) = same
            && same.msp != anchor.msp
        {
            let name = |msp: &Option<Arc<str>>| msp.as_deref().unwrap_or("none").to_owned();
            return Err(ConfigError::AmbiguousMsp {
                subject: anchor.facts.subject,
                first: name(&same.msp),
                second: name(&anchor.msp),
            });
        }
        if !self.list.iter().any(|other| other.der == anchor.der) {
            self.list.push(anchor);
        }
        Ok(())
    }

    fn check_chain(
        &self,
        leaf: &CertificateDer<'_>,
        facts: &CertificateFacts,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<&Anchor, CertificateProblem> {
        let parsed = EndEntityCert::try_from(leaf)
            .map_err(|error| self.explain(facts, &error, intermediates, purpose, now))?;
        if let Some(anchor) = self.list.iter().find(|anchor| anchor.der == *leaf) {
            return match purpose.allowed_by(facts) {
                true => Ok(anchor),
                false => Err(wrong_usage(facts, purpose)),
            };
        }
        let moment = Timestamp::from_unix(now);
        let issuing = || self.list.iter().filter(|anchor| anchor.facts.may_issue);
        let current: Vec<&Anchor> = issuing().filter(|anchor| anchor.is_valid_at(moment)).collect();
        let error = match self.find_path(&parsed, &current, intermediates, now, purpose) {
            Ok(anchor) => return Ok(anchor),
            Err(error) => error,
        };
        // Only to name the true cause: would the chain hold if the authorities' dates did not count?
        let late: Vec<&Anchor> = issuing().filter(|anchor| !anchor.is_valid_at(moment)).collect();
        if let Ok(anchor) = self.find_path(&parsed, &late, intermediates, now, purpose) {
            return Err(CertificateProblem::AuthorityOutsideValidity {
                subject: facts.subject.clone(),
                authority: anchor.facts.subject.clone(),
                not_before: anchor.facts.not_before,
                not_after: anchor.facts.not_after,
                now: moment,
            });
        }
        Err(self.explain(facts, &error, intermediates, purpose, now))
    }

    fn find_path<'a>(
        &self,
        leaf: &EndEntityCert<'_>,
        anchors: &[&'a Anchor],
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<&'a Anchor, webpki::Error> {
        let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
        let trust: Vec<TrustAnchor<'_>> = anchors.iter().map(|anchor| anchor.trust.clone()).collect();
        let verify = |revocation: Option<webpki::RevocationOptions<'_>>| {
            let path =
                leaf.verify_for_usage(algorithms.all, &trust, intermediates, now, purpose, revocation, None)?;
            let found = path.anchor();
            anchors
                .iter()
                .find(|anchor| {
                    anchor.trust.subject == found.subject
                        && anchor.trust.subject_public_key_info == found.subject_public_key_info
                })
                .copied()
                .ok_or(webpki::Error::UnknownIssuer)
        };
        match &self.revocations {
            Some(revocations) => revocations.with_options(verify),
            None => verify(None),
        }
    }

    fn explain(
        &self,
        facts: &CertificateFacts,
        error: &webpki::Error,
        intermediates: &[CertificateDer<'_>],
        purpose: Purpose,
        now: UnixTime,
    ) -> CertificateProblem {
        use webpki::Error as E;
        let subject = facts.subject.clone();
        match error {
            // A wrong signature under the right name: the authority was made anew with another key.
            E::UnknownIssuer | E::InvalidSignatureForPublicKey => CertificateProblem::UnknownIssuer {
                same_name: self.list.iter().any(|anchor| anchor.facts.raw_subject == facts.raw_issuer),
                issuer: facts.issuer.clone(),
                trusted: self.list.iter().map(|anchor| anchor.facts.subject.clone()).collect(),
                subject,
            },
            E::CertRevoked => CertificateProblem::Revoked { subject },
            E::UnknownRevocationStatus => {
                CertificateProblem::RevocationUnknown { issuer: facts.issuer.clone(), subject }
            }
            E::CrlExpired { next_update, .. } => CertificateProblem::RevocationListExpired {
                subject,
                next_update: Timestamp::from_unix(*next_update),
                now: Timestamp::from_unix(now),
            },
            E::CaUsedAsEndEntity => CertificateProblem::AuthorityAsLeaf { subject },
            E::RequiredEkuNotFoundContext(_) if !purpose.allowed_by(facts) => wrong_usage(facts, purpose),
            // The leaf's own dates were checked first, so it is one of these.
            E::CertExpired { .. } | E::CertNotValidYet { .. } => intermediates
                .iter()
                .filter_map(|der| CertificateFacts::from_der(der).ok())
                .find_map(|intermediate| check_dates(&intermediate, now).err())
                .unwrap_or_else(|| CertificateProblem::Other { subject, reason: error.to_string() }),
            other => CertificateProblem::Other { subject, reason: other.to_string() },
        }
    }
}

impl Anchor {
    fn is_valid_at(&self, moment: Timestamp) -> bool {
        (self.facts.not_before..=self.facts.not_after).contains(&moment)
    }
}

impl Purpose {
    fn allowed_by(self, facts: &CertificateFacts) -> bool {
        match self {
            Self::Server => facts.allows_server,
            Self::Client => facts.allows_client,
        }
    }

    fn usage_name(self) -> &'static str {
        match self {
            Self::Server => "serverAuth",
            Self::Client => "clientAuth",
        }
    }
}

/// Go's rule for every certificate of a chain: no extended key usage, the wanted one, or "any".
impl ExtendedKeyUsageValidator for Purpose {
    fn validate(&self, usages: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        const ANY: [usize; 5] = [2, 5, 29, 37, 0];
        let wanted: [usize; 9] = match self {
            Self::Server => [1, 3, 6, 1, 5, 5, 7, 3, 1],
            Self::Client => [1, 3, 6, 1, 5, 5, 7, 3, 2],
        };
        let mut present = Vec::new();
        for usage in usages {
            let usage = usage?.to_decoded_oid();
            if usage == wanted || usage == ANY {
                return Ok(());
            }
            present.push(usage);
        }
        if present.is_empty() {
            return Ok(());
        }
        let required = match self {
            Self::Server => webpki::KeyUsage::server_auth(),
            Self::Client => webpki::KeyUsage::client_auth(),
        };
        Err(webpki::Error::RequiredEkuNotFoundContext(webpki::RequiredEkuNotFoundContext {
            required,
            present,
        }))
    }
}

fn read(leaf: &CertificateDer<'_>) -> Result<CertificateFacts, CertificateProblem> {
    CertificateFacts::from_der(leaf)
        .map_err(|reason| CertificateProblem::Malformed { reason: escape(&reason) })
}

fn check_dates(facts: &CertificateFacts, now: UnixTime) -> Result<(), CertificateProblem> {
    let now = Timestamp::from_unix(now);
    let subject = || facts.subject.clone();
    if now > facts.not_after {
        return Err(CertificateProblem::Expired { subject: subject(), not_after: facts.not_after, now });
    }
    if now < facts.not_before {
        return Err(CertificateProblem::NotYetValid {
            subject: subject(),
            not_before: facts.not_before,
            now,
        });
    }
    Ok(())
}

fn check_name(
    leaf: &CertificateDer<'_>,
    facts: &CertificateFacts,
    name: &ServerName<'_>,
) -> Result<(), CertificateProblem> {
    let expected = name.to_str().into_owned();
    let subject = facts.subject.clone();
    if facts.alternative_names().is_empty() {
        let common_name = facts.common_name.clone();
        return Err(CertificateProblem::NoAlternativeName { subject, expected, common_name });
    }
    let parsed = EndEntityCert::try_from(leaf)
        .map_err(|error| CertificateProblem::Other { subject: subject.clone(), reason: error.to_string() })?;
    parsed.verify_is_valid_for_subject_name(name).map_err(|_| CertificateProblem::NameMismatch {
        subject,
        expected,
        names: facts.alternative_names(),
    })
}

fn wrong_usage(facts: &CertificateFacts, purpose: Purpose) -> CertificateProblem {
    CertificateProblem::WrongUsage {
        subject: facts.subject.clone(),
        required: purpose.usage_name(),
        present: facts.extended_key_usage.clone().unwrap_or_default(),
    }
}
