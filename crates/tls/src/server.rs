//! The server's side of TLS: who it is and which clients it lets in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::DistinguishedName;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, NoServerSessionStorage, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::anchors::{Anchors, Standing};
use crate::certificate::{CertificateFacts, Timestamp};
use crate::connection::PeerInfo;
use crate::pem::PemOrigin;
use crate::problem::CertificateProblem;
use crate::provider::{H2, VERSIONS, provider, verify_handshake_signatures};
use crate::refusal::RefusalReason;
use crate::revocation::{RevocationListFacts, Revocations, UnknownRevocation};
use crate::rule::ClientRule;
use crate::{ConfigError, Identity};

/// What a listener does with connections.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// TLS, with or without client certificates.
    Tls(ServerTls),
    /// No encryption and no proof of who is at the other end.
    Plaintext,
}

impl ServerSecurity {
    /// Judges a connection that lives as if it came now, and tells until when the judgement holds.
    pub(crate) fn judge(&self, peer: &PeerInfo, now: UnixTime) -> Result<Option<Timestamp>, RefusalReason> {
        let Self::Tls(tls) = self else { return Ok(None) };
        if peer.session.is_none() {
            return Err(RefusalReason::PlaintextClient { http2: true });
        }
        let Some(policy) = &tls.clients else { return Ok(None) };
        let chain: Vec<CertificateDer<'_>> =
            peer.certificates.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        let (leaf, intermediates) = chain.split_first().ok_or(RefusalReason::NoClientCertificate)?;
        let standing = policy.judge(leaf, intermediates, now).map_err(RefusalReason::Certificate)?;
        Ok(Some(standing.until))
    }
}

impl From<ServerTls> for ServerSecurity {
    fn from(tls: ServerTls) -> Self {
        Self::Tls(tls)
    }
}

/// A server's TLS configuration. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls {
    identity: Identity,
    clients: Option<Arc<ClientPolicy>>,
}

impl ServerTls {
    /// Starts a configuration. Whether clients must show a certificate has to be said before anything else.
    #[must_use]
    pub fn builder(identity: Identity) -> ServerTlsBuilder {
        ServerTlsBuilder { identity }
    }

    /// Who the server is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether clients must show a certificate.
    #[must_use]
    pub fn requires_client_certificates(&self) -> bool {
        self.clients.is_some()
    }

    /// The authorities whose clients are let in, and single clients' certificates that are; empty when clients need
    /// none.
    pub fn client_authorities(&self) -> impl Iterator<Item = &CertificateFacts> {
        self.clients.iter().flat_map(|policy| policy.anchors.certificates())
    }

    /// The revocation lists by which clients are judged.
    pub fn revocation_lists(&self) -> impl Iterator<Item = &RevocationListFacts> {
        let lists = self.clients.iter().filter_map(|policy| policy.anchors.revocations());
        lists.flat_map(Revocations::facts)
    }

    /// The library's configuration for one connection, and the place where its verifier leaves what it saw.
    pub(crate) fn for_connection(&self) -> Result<(Arc<ServerConfig>, Arc<SeenClient>), rustls::Error> {
        let seen = Arc::new(SeenClient::default());
        let verifier: Arc<dyn ClientCertVerifier> = match &self.clients {
            Some(policy) => Arc::new(ClientVerifier { policy: Arc::clone(policy), seen: Arc::clone(&seen) }),
            None => Arc::new(NoClientAuth),
        };
        let resolver = SingleCertAndKey::from(self.identity.certified());
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![H2.to_vec()];
        // No resumption: every connection proves anew who it is, so a reloaded list counts at once.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok((Arc::new(config), seen))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("identity", &self.identity)
            .field("requires_client_certificates", &self.requires_client_certificates())
            .finish()
    }
}

/// The first decision: are clients asked for certificates?
#[derive(Debug)]
pub struct ServerTlsBuilder {
    identity: Identity,
}

impl ServerTlsBuilder {
    /// Clients must show a certificate of one of these authorities (PEM, one or more), or one that is itself
    /// among them.
    #[must_use]
    pub fn require_client_certificates(self, roots: impl AsRef<[u8]>) -> ClientPolicyBuilder {
        self.no_clients_yet().authority(roots.as_ref(), CLIENT_AUTHORITIES, None)
    }

    /// Clients must show a certificate of an authority of one of these MSPs, as `(MSP, authorities in PEM)`.
    /// The certificate itself carries no MSP; this map is what gives it one.
    #[must_use]
    pub fn require_clients_of<M, R>(self, msps: impl IntoIterator<Item = (M, R)>) -> ClientPolicyBuilder
    where
        M: Into<String>,
        R: AsRef<[u8]>,
    {
        msps.into_iter().fold(self.no_clients_yet(), |builder, (msp, roots)| {
            builder.authority(roots.as_ref(), CLIENT_AUTHORITIES, Some(msp.into()))
        })
    }

    pub(crate) fn no_clients_yet(self) -> ClientPolicyBuilder {
        ClientPolicyBuilder {
            identity: self.identity,
            authorities: Vec::new(),
            rules: None,
            revocation_lists: Vec::new(),
            unknown_revocation: UnknownRevocation::default(),
        }
    }

    /// Whoever reaches the port may use it; only the server proves who it is.
    ///
    /// # Errors
    /// When the library refuses the identity.
    pub fn without_client_certificates(self) -> Result<ServerTls, ConfigError> {
        finish(ServerTls { identity: self.identity, clients: None })
    }
}

/// Which clients with a certificate are let in.
#[derive(Debug)]
pub struct ClientPolicyBuilder {
    identity: Identity,
    authorities: Vec<(Vec<u8>, PemOrigin, Option<String>)>,
    /// `None` until something narrows the clients.
    rules: Option<Vec<ClientRule>>,
    revocation_lists: Vec<(Vec<u8>, PemOrigin)>,
    unknown_revocation: UnknownRevocation,
}

/// Where text came from that was handed over in memory.
const CLIENT_AUTHORITIES: PemOrigin = PemOrigin::Text("client authorities");

impl ClientPolicyBuilder {
    /// Adds authorities (PEM, one or more) whose clients belong to an MSP.
    #[must_use]
    pub fn client_authority(self, roots: impl AsRef<[u8]>, msp: impl Into<String>) -> Self {
        self.authority(roots.as_ref(), CLIENT_AUTHORITIES, Some(msp.into()))
    }

    pub(crate) fn authority(mut self, roots: &[u8], origin: PemOrigin, msp: Option<String>) -> Self {
        self.authorities.push((roots.to_vec(), origin, msp));
        self
    }

    /// Adds a rule. From the first one on, a valid chain alone is no longer enough.
    #[must_use]
    pub fn allow(mut self, rule: ClientRule) -> Self {
        self.rules.get_or_insert_default().push(rule);
        self
    }

    /// Adds rules.
    #[must_use]
    pub fn allow_all(self, rules: impl IntoIterator<Item = ClientRule>) -> Self {
        rules.into_iter().fold(self, Self::allow)
    }

    /// Adds a list of rules that narrows the clients even when it is empty.
    pub(crate) fn allow_only(mut self, rules: Vec<ClientRule>) -> Self {
        self.rules.get_or_insert_default().extend(rules);
        self
    }

    /// Adds revocation lists (PEM, one or more). From the first one on, each certificate of a client's chain below the
    /// trusted authority must be covered by a current list of its issuer, unless [`UnknownRevocation`] says otherwise.
    /// A certificate that is itself configured is not looked up: taking it out of the configuration is its revocation.
    #[must_use]
    pub fn revocation_list(self, list: impl AsRef<[u8]>) -> Self {
        self.revocations(list.as_ref(), PemOrigin::Text("revocation lists"))
    }

    pub(crate) fn revocations(mut self, list: &[u8], origin: PemOrigin) -> Self {
        self.revocation_lists.push((list.to_vec(), origin));
        self
    }

    /// What happens to clients for whom there is no current revocation list, once any is configured. They are refused
    /// unless told otherwise.
    #[must_use]
    pub fn unknown_revocation(mut self, unknown: UnknownRevocation) -> Self {
        self.unknown_revocation = unknown;
        self
    }

    /// Reads the authorities and finishes the configuration.
    ///
    /// # Errors
    /// When an authority or a revocation list cannot be read, one authority is mapped to two MSPs, or a rule names an
    /// unknown MSP.
    pub fn build(self) -> Result<ServerTls, ConfigError> {
        let mut anchors = Anchors::default();
        for (text, origin, msp) in &self.authorities {
            anchors.add(text, origin, msp.as_deref())?;
        }
        if !self.revocation_lists.is_empty() {
            let mut revocations = Revocations::new(self.unknown_revocation);
            for (list, origin) in &self.revocation_lists {
                revocations.add(list, origin)?;
            }
            anchors.set_revocations(revocations);
        }
        for rule in self.rules.iter().flatten() {
            if let ClientRule::Msp(msp) = rule
                && !anchors.msps().any(|known| known == msp)
            {
                return Err(ConfigError::UnknownMsp { msp: msp.clone() });
            }
        }
        let clients = Some(Arc::new(ClientPolicy { anchors, rules: self.rules }));
        finish(ServerTls { identity: self.identity, clients })
    }
}

/// Fails now rather than at the first connection.
fn finish(tls: ServerTls) -> Result<ServerTls, ConfigError> {
    tls.for_connection().map_err(|error| ConfigError::Library { reason: error.to_string() })?;
    Ok(tls)
}

#[derive(Debug)]
struct ClientPolicy {
    anchors: Anchors,
    /// `None` lets every client in that has a valid chain.
    rules: Option<Vec<ClientRule>>,
}

impl ClientPolicy {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Standing, CertificateProblem> {
        let standing = self.anchors.judge_client(leaf, intermediates, now)?;
        let Standing { facts, msp, .. } = &standing;
        let matches = |rule: &ClientRule| rule.matches(facts, msp.as_deref());
        if self.rules.as_ref().is_none_or(|rules| rules.iter().any(matches)) {
            return Ok(standing);
        }
        let Standing { facts, msp, .. } = standing;
        Err(CertificateProblem::NotAllowed {
            names: facts.alternative_names(),
            subject: facts.subject,
            msp: msp.as_deref().map(str::to_owned),
            fingerprint: facts.fingerprint,
        })
    }
}

/// What one connection's verifier saw, for the refusal's report and the server's use.
#[derive(Debug, Default)]
pub(crate) struct SeenClient(Mutex<ClientRecord>);

#[derive(Debug, Default, Clone)]
pub(crate) struct ClientRecord {
    pub(crate) chain: Vec<Bytes>,
    pub(crate) msp: Option<Arc<str>>,
    /// Until when the judgement holds.
    pub(crate) until: Option<Timestamp>,
    pub(crate) problem: Option<CertificateProblem>,
}

impl SeenClient {
    pub(crate) fn record(&self) -> ClientRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, record: ClientRecord) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }
}

#[derive(Debug)]
struct ClientVerifier {
    policy: Arc<ClientPolicy>,
    seen: Arc<SeenClient>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Go's client sends nothing at all when its issuer is not among the hints, and then neither side can
        // tell why it was refused. Without hints it sends its certificate and both sides learn the cause.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let chain =
            std::iter::once(leaf).chain(intermediates).map(|der| Bytes::copy_from_slice(der)).collect();
        let verdict = self.policy.judge(leaf, intermediates, now);
        let outcome = verdict.as_ref().map(|_| ClientCertVerified::assertion());
        let outcome = outcome.map_err(|problem| problem.to_rustls());
        self.seen.set(match verdict {
            Ok(Standing { msp, until, .. }) => ClientRecord { chain, msp, until: Some(until), problem: None },
            Err(problem) => ClientRecord { chain, problem: Some(problem), ..ClientRecord::default() },
        });
        outcome
    }

    verify_handshake_signatures!();
}
