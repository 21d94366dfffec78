//! The server's side of TLS: who it is and which clients it lets in.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::DistinguishedName;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoClientAuth, NoServerSessionStorage, ServerConfig};
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::anchors::Anchors;
use crate::certificate::{CertificateFacts, Fingerprint};
use crate::pem::PemOrigin;
use crate::problem::CertificateProblem;
use crate::provider::{H2, VERSIONS, provider, verify_handshake_signatures};
use crate::{ConfigError, Identity};

/// What a listener does with connections.
#[derive(Debug, Clone)]
pub enum ServerSecurity {
    /// TLS, with or without client certificates.
    Tls(ServerTls),
    /// No encryption and no proof of who is at the other end.
    Plaintext,
}

impl From<ServerTls> for ServerSecurity {
    fn from(tls: ServerTls) -> Self {
        Self::Tls(tls)
    }
}

/// A client that is let in. With no rules, every client with a valid chain is; with rules, one must match.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRule {
    /// A DNS name among the certificate's alternative names, without regard to case; no wildcards.
    DnsName(String),
    /// A URI among them, byte for byte, such as the SPIFFE id `spiffe://example.com/peer0`.
    Uri(String),
    /// Exactly this certificate.
    Fingerprint(Fingerprint),
    /// Any certificate of an authority that is mapped to this MSP.
    Msp(String),
}

impl ClientRule {
    fn matches(&self, facts: &CertificateFacts, msp: Option<&str>) -> bool {
        match self {
            Self::DnsName(name) => facts.raw_dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name)),
            Self::Uri(uri) => facts.raw_uris.contains(uri),
            Self::Fingerprint(fingerprint) => facts.fingerprint == *fingerprint,
            Self::Msp(name) => msp == Some(name),
        }
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
        let authorities = vec![(roots.as_ref().to_vec(), None)];
        ClientPolicyBuilder { identity: self.identity, authorities, rules: Vec::new() }
    }

    /// Clients must show a certificate of an authority of one of these MSPs, as `(MSP, authorities in PEM)`.
    /// The certificate itself carries no MSP; this map is what gives it one.
    #[must_use]
    pub fn require_clients_of<M, R>(self, msps: impl IntoIterator<Item = (M, R)>) -> ClientPolicyBuilder
    where
        M: Into<String>,
        R: AsRef<[u8]>,
    {
        let authorities =
            msps.into_iter().map(|(msp, roots)| (roots.as_ref().to_vec(), Some(msp.into()))).collect();
        ClientPolicyBuilder { identity: self.identity, authorities, rules: Vec::new() }
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
    authorities: Vec<(Vec<u8>, Option<String>)>,
    rules: Vec<ClientRule>,
}

impl ClientPolicyBuilder {
    /// Adds authorities (PEM, one or more) whose clients belong to an MSP.
    #[must_use]
    pub fn client_authority(mut self, roots: impl AsRef<[u8]>, msp: impl Into<String>) -> Self {
        self.authorities.push((roots.as_ref().to_vec(), Some(msp.into())));
        self
    }

    /// Adds a rule. From the first one on, a valid chain alone is no longer enough.
    #[must_use]
    pub fn allow(mut self, rule: ClientRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Adds rules.
    #[must_use]
    pub fn allow_all(mut self, rules: impl IntoIterator<Item = ClientRule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Reads the authorities and finishes the configuration.
    ///
    /// # Errors
    /// When an authority cannot be read, one is mapped to two MSPs, or a rule names an unknown MSP.
    pub fn build(self) -> Result<ServerTls, ConfigError> {
        let mut anchors = Anchors::default();
        for (text, msp) in &self.authorities {
            anchors.add(text, &PemOrigin::Text("client authorities"), msp.as_deref())?;
        }
        for rule in &self.rules {
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
    rules: Vec<ClientRule>,
}

impl ClientPolicy {
    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Option<Arc<str>>, CertificateProblem> {
        let (facts, msp) = self.anchors.judge_client(leaf, intermediates, now)?;
        if self.rules.is_empty() || self.rules.iter().any(|rule| rule.matches(&facts, msp.as_deref())) {
            return Ok(msp);
        }
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
        let (msp, problem) = match verdict {
            Ok(msp) => (msp, None),
            Err(problem) => (None, Some(problem)),
        };
        let outcome = problem.as_ref().map_or(Ok(()), |problem| Err(problem.to_rustls()));
        self.seen.set(ClientRecord { chain, msp, problem });
        outcome.map(|()| ClientCertVerified::assertion())
    }

    verify_handshake_signatures!();
}
