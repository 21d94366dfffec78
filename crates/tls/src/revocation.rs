//! Certificate revocation lists.
//!
//! The rules are those of `docs/server.md`: once lists are configured, each certificate of a client's chain must be
//! covered by a current list of its issuer, unless the configuration says that such a certificate is let in.

use rustls_pki_types::CertificateRevocationListDer;
use rustls_pki_types::pem::PemObject;
use webpki::{
    CertRevocationList, ExpirationPolicy, OwnedCertRevocationList, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

use crate::certificate::Timestamp;
use crate::pem::{self, PemError, PemOrigin, PemProblem};
use crate::text::escape;

/// What happens to a client whose issuer has no current revocation list among those that are configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownRevocation {
    /// It is refused: whoever keeps a list from arriving gains nothing.
    #[default]
    Refuse,
    /// It is let in. A list that has expired still refuses those that it names.
    Allow,
}

/// What a revocation list says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationListFacts {
    /// The distinguished name of the authority that issued it, escaped.
    pub issuer: String,
    /// When it was issued.
    pub this_update: Timestamp,
    /// From when on it is expired; `None` if it does not say.
    pub next_update: Option<Timestamp>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// The lists of a configuration.
#[derive(Debug)]
pub(crate) struct Revocations {
    /// The newest first: of several lists of one issuer the first counts.
    lists: Vec<(RevocationListFacts, CertRevocationList<'static>)>,
    unknown: UnknownRevocation,
}

impl Revocations {
    pub(crate) fn new(unknown: UnknownRevocation) -> Self {
        Self { lists: Vec::new(), unknown }
    }

    /// Adds every list of a PEM text.
    pub(crate) fn add(&mut self, text: &[u8], origin: &PemOrigin) -> Result<(), PemError> {
        let fail = |problem| PemError { origin: origin.clone(), problem };
        let labels = pem::labels(text).map_err(fail)?;
        if let Some(found) = labels.iter().find(|label| *label != "X509 CRL") {
            return Err(fail(PemProblem::WrongKind { found: escape(found), wanted: "X509 CRL" }));
        }
        let before = self.lists.len();
        for list in CertificateRevocationListDer::pem_slice_iter(text) {
            let list = list.map_err(|error| fail(PemProblem::Malformed { reason: error.to_string() }))?;
            let number = self.lists.len() - before + 1;
            let broken = |reason: String| fail(PemProblem::NotACrl { number, reason: escape(&reason) });
            let (_, parsed) =
                CertificateRevocationList::from_der(&list).map_err(|error| broken(error.to_string()))?;
            let owned =
                OwnedCertRevocationList::from_der(&list).map_err(|error| broken(error.to_string()))?;
            let facts = RevocationListFacts {
                issuer: escape(&parsed.issuer().to_string()),
                this_update: Timestamp(parsed.last_update().timestamp()),
                next_update: parsed.next_update().map(|moment| Timestamp(moment.timestamp())),
                revoked: parsed.iter_revoked_certificates().count(),
            };
            self.lists.push((facts, owned.into()));
        }
        if self.lists.len() - before != labels.len() {
            return Err(fail(PemProblem::Malformed { reason: "a block is not closed".into() }));
        }
        self.lists.sort_by_key(|(facts, _)| std::cmp::Reverse(facts.this_update));
        Ok(())
    }

    pub(crate) fn facts(&self) -> impl Iterator<Item = &RevocationListFacts> {
        self.lists.iter().map(|(facts, _)| facts)
    }

    /// The moment from which a judgement by these lists no longer holds.
    pub(crate) fn until(&self) -> Option<Timestamp> {
        match self.unknown {
            UnknownRevocation::Refuse => self.facts().filter_map(|list| list.next_update).min(),
            UnknownRevocation::Allow => None,
        }
    }

    /// Calls a function with the library's form of the lists.
    pub(crate) fn with_options<T>(&self, judge: impl FnOnce(Option<RevocationOptions<'_>>) -> T) -> T {
        let lists: Vec<&CertRevocationList<'_>> = self.lists.iter().map(|(_, list)| list).collect();
        let (status, expiration) = match self.unknown {
            UnknownRevocation::Refuse => (UnknownStatusPolicy::Deny, ExpirationPolicy::Enforce),
            UnknownRevocation::Allow => (UnknownStatusPolicy::Allow, ExpirationPolicy::Ignore),
        };
        // Without any list there is nothing to build, and nothing that could be revoked.
        let options = RevocationOptionsBuilder::new(&lists).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(status)
                .with_expiration_policy(expiration)
                .build()
        });
        judge(options)
    }
}
