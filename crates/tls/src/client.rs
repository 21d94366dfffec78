//! The client's side of TLS: whom it trusts, who it is, and by which name it knows the server.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rustls::SignatureScheme;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::prelude::{FromDer, X509Name};

use crate::anchors::Anchors;
use crate::pem::PemOrigin;
use crate::problem::CertificateProblem;
use crate::provider::{H2, VERSIONS, provider, verify_handshake_signatures};
use crate::text::escape;
use crate::{ConfigError, Identity};

/// How a client reaches a server.
#[derive(Debug, Clone)]
pub enum ClientSecurity {
    /// TLS, with or without a certificate of the client's own.
    Tls(ClientTls),
    /// No encryption and no proof of who is at the other end.
    Plaintext,
}

impl From<ClientTls> for ClientSecurity {
    fn from(tls: ClientTls) -> Self {
        Self::Tls(tls)
    }
}

/// A client's TLS configuration. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    anchors: Arc<Anchors>,
    identity: Option<Identity>,
    server_name: Option<ServerName<'static>>,
}

impl ClientTls {
    /// Starts a configuration that trusts exactly these authorities (PEM, one or more) and the certificates
    /// that are themselves among them; never the system's.
    #[must_use]
    pub fn builder(roots: impl AsRef<[u8]>) -> ClientTlsBuilder {
        ClientTlsBuilder { roots: roots.as_ref().to_vec(), identity: None, server_name: None }
    }

    /// Who the client is, if it can say.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The name expected in the server's certificate, if it is not the address's host.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.server_name.as_ref().map(|name| name.to_str().into_owned())
    }

    pub(crate) fn name_for(&self, host: &str) -> Option<ServerName<'static>> {
        self.server_name.clone().or_else(|| parse_name(host))
    }

    /// The library's configuration for one connection, and the place where it leaves what it saw.
    pub(crate) fn for_connection(&self) -> Result<(Arc<ClientConfig>, Arc<SeenServer>), rustls::Error> {
        let seen = Arc::new(SeenServer::default());
        let verifier = ServerVerifier { anchors: Arc::clone(&self.anchors), seen: Arc::clone(&seen) };
        let resolver = Credentials {
            certified: self.identity.as_ref().map(Identity::certified),
            seen: Arc::clone(&seen),
        };
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(VERSIONS)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = vec![H2.to_vec()];
        // A resumed session would skip both verifiers.
        config.resumption = Resumption::disabled();
        Ok((Arc::new(config), seen))
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Collects a client's configuration.
#[derive(Debug)]
pub struct ClientTlsBuilder {
    roots: Vec<u8>,
    identity: Option<Identity>,
    server_name: Option<String>,
}

impl ClientTlsBuilder {
    /// Shows this certificate when the server asks for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Expects this DNS name or IP address in the server's certificate instead of the address's host
    /// (`domain` in connection.json). A DNS name is also sent as SNI.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads the authorities and finishes the configuration.
    ///
    /// # Errors
    /// When an authority cannot be read or the server's name is none.
    pub fn build(self) -> Result<ClientTls, ConfigError> {
        let mut anchors = Anchors::default();
        anchors.add(&self.roots, &PemOrigin::Text("trusted authorities"), None)?;
        let server_name = self
            .server_name
            .map(|name| parse_name(&name).ok_or_else(|| ConfigError::ServerName { name: escape(&name) }))
            .transpose()?;
        let tls = ClientTls { anchors: Arc::new(anchors), identity: self.identity, server_name };
        tls.for_connection().map_err(|error| ConfigError::Library { reason: error.to_string() })?;
        Ok(tls)
    }
}

/// What one connection's verifier and credentials saw.
#[derive(Debug, Default)]
pub(crate) struct SeenServer(Mutex<ServerRecord>);

#[derive(Debug, Default, Clone)]
pub(crate) struct ServerRecord {
    /// The chain the server showed, whether or not it was accepted.
    pub(crate) chain: Vec<Bytes>,
    pub(crate) problem: Option<CertificateProblem>,
    /// The server asked for a client certificate, naming these authorities (often none).
    pub(crate) requested: Option<Vec<String>>,
}

impl SeenServer {
    pub(crate) fn record(&self) -> ServerRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn update(&self, change: impl FnOnce(&mut ServerRecord)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Hosts may be written with brackets (IPv6) and DNS names with a final dot, which certificates never have.
fn parse_name(host: &str) -> Option<ServerName<'static>> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    ServerName::try_from(bare.to_owned()).ok()
}

#[derive(Debug)]
struct ServerVerifier {
    anchors: Arc<Anchors>,
    seen: Arc<SeenServer>,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain =
            std::iter::once(leaf).chain(intermediates).map(|der| Bytes::copy_from_slice(der)).collect();
        let problem = self.anchors.judge_server(leaf, intermediates, name, now).err();
        let outcome = problem.as_ref().map_or(Ok(()), |problem| Err(problem.to_rustls()));
        self.seen.update(|record| {
            record.chain = chain;
            record.problem = problem;
        });
        outcome.map(|()| ServerCertVerified::assertion())
    }

    verify_handshake_signatures!();
}

/// Shows the client's certificate whenever one is asked for, whatever authorities the server names: a server
/// that refuses it says why, one that gets none can only say that it got none.
struct Credentials {
    certified: Option<Arc<CertifiedKey>>,
    seen: Arc<SeenServer>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("present", &self.certified.is_some()).finish_non_exhaustive()
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        /// Enough for a message; a server may name as many as fit in its handshake.
        const SHOWN: usize = 16;
        let names = hints.iter().take(SHOWN).filter_map(|der| X509Name::from_der(der).ok());
        let names = names.map(|(_, name)| escape(&name.to_string())).collect();
        self.seen.update(|record| record.requested = Some(names));
        self.certified.clone()
    }

    fn has_certs(&self) -> bool {
        // Also without a certificate: the request itself is evidence.
        true
    }
}

/// A configuration that can greet and trusts nobody.
pub(crate) fn greeting_only() -> Result<Arc<ClientConfig>, rustls::Error> {
    let nobody = ClientTls { anchors: Arc::new(Anchors::default()), identity: None, server_name: None };
    nobody.for_connection().map(|(config, _)| config)
}
