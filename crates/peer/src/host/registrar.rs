//! Chaincode that dials the peer, because a builder runs it: `protos.ChaincodeSupport/Register`.
//!
//! Every start gets a certificate of its own from an authority that lives as long as the registrar. Only the bearer of
//! that certificate may register, once, and only under the id of the package that was started.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use prost::Message;
use selvedge_pki::{Authority, AuthoritySpec, Leaf, LeafSpec, PkiError, Usage};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::chaincode_support_server::{ChaincodeSupport, ChaincodeSupportServer};
use selvedge_proto::protos::{ChaincodeId, ChaincodeMessage};
use selvedge_tls::{ConfigError, Fingerprint, Identity, PeerInfo, ServerTls};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::attached::AttachedStream;
use super::stream::MAX_MESSAGE;

/// How long a chaincode that has connected may take to register.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where chaincode that builders run finds the peer. Cheap to clone; clones are one registrar.
#[derive(Clone)]
pub struct Registrar(Arc<Shared>);

struct Shared {
    authority: Authority,
    /// Those that were started and have not registered, by package id.
    expected: Mutex<HashMap<String, Expected>>,
}

struct Expected {
    certificate: Fingerprint,
    /// How many messages may wait for the stream to take them.
    queued: usize,
    registered: oneshot::Sender<AttachedStream>,
}

/// Why a registrar cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarError {
    /// A certificate cannot be made.
    #[error("a certificate for chaincode cannot be made: {0}")]
    Pki(#[from] PkiError),
    /// A certificate that was made cannot be used.
    #[error("a certificate for chaincode cannot be used: {0}")]
    Tls(#[from] ConfigError),
}

impl Registrar {
    /// A registrar with a new authority.
    ///
    /// # Errors
    /// When the system's random source fails.
    pub fn new() -> Result<Self, RegistrarError> {
        let spec =
            AuthoritySpec { common_name: "chaincode registration".to_owned(), ..AuthoritySpec::default() };
        let authority = Authority::new(&spec)?;
        Ok(Self(Arc::new(Shared { authority, expected: Mutex::default() })))
    }

    /// What its listener shows and asks for. `hosts` are the names and addresses under which chaincode reaches it.
    ///
    /// # Errors
    /// When a host can be in no certificate.
    pub fn tls(&self, hosts: &[&str]) -> Result<ServerTls, RegistrarError> {
        let sans = hosts.iter().map(|host| (*host).to_owned()).collect();
        let leaf = self.issue("chaincode listener", Usage::Server, sans)?;
        let identity = Identity::from_pem(&leaf.certificate_pem, leaf.key_pem.as_bytes())?;
        Ok(ServerTls::builder(identity).require_client_certificates(self.root_pem()).build()?)
    }

    /// The service, for a listener with [`Registrar::tls`].
    pub fn server(&self) -> ChaincodeSupportServer<Self> {
        ChaincodeSupportServer::new(self.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The authority that chaincode must trust, PEM.
    pub(super) fn root_pem(&self) -> &str {
        self.0.authority.certificate_pem()
    }

    /// Lets a chaincode register that is about to be started. One launch at a time goes on for each package.
    pub(super) fn expect(&self, package_id: &str, queued: usize) -> Result<Expectation, RegistrarError> {
        let client = self.issue(package_id, Usage::Client, Vec::new())?;
        let identity = Identity::from_pem(&client.certificate_pem, client.key_pem.as_bytes())?;
        let certificate = identity.certificate().fingerprint;
        let (registered, opened) = oneshot::channel();
        self.0.expected.lock().insert(package_id.to_owned(), Expected { certificate, queued, registered });
        Ok(Expectation { registrar: self.clone(), package_id: package_id.to_owned(), client, opened })
    }

    fn issue(&self, name: &str, usage: Usage, sans: Vec<String>) -> Result<Leaf, PkiError> {
        // Fabric names such certificates after the chaincode, too; a name has 64 characters at most.
        let common_name = name.chars().take(64).collect();
        // Nothing of it outlives the process, which may run for long.
        let validity = AuthoritySpec::default().validity;
        self.0.authority.issue(&LeafSpec { common_name, usage, sans, validity, ..LeafSpec::default() })
    }

    /// Who is expected under this id, if it is the one with this certificate.
    fn admit(&self, package_id: &str, certificate: Fingerprint) -> Result<Expected, Status> {
        let mut expected = self.0.expected.lock();
        match expected.get(package_id) {
            Some(found) if found.certificate == certificate => {}
            Some(_) => {
                return Err(Status::permission_denied(
                    "chaincode registration failed: the certificate was made for another start",
                ));
            }
            None => {
                return Err(Status::failed_precondition(
                    "chaincode registration failed: nobody has started a chaincode of this name, or it has registered",
                ));
            }
        }
        expected.remove(package_id).ok_or_else(|| Status::aborted("chaincode registration failed"))
    }
}

impl fmt::Debug for Registrar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registrar").field("expected", &self.0.expected.lock().len()).finish_non_exhaustive()
    }
}

/// A chaincode that may register until this is dropped.
pub(super) struct Expectation {
    registrar: Registrar,
    package_id: String,
    client: Leaf,
    opened: oneshot::Receiver<AttachedStream>,
}

impl Expectation {
    /// The certificate and the key with which the chaincode dials.
    pub(super) fn client(&self) -> &Leaf {
        &self.client
    }

    /// The chaincode's stream, on which REGISTER comes first. Never, if somebody else has taken its place.
    pub(super) async fn opened(&mut self) -> AttachedStream {
        match (&mut self.opened).await {
            Ok(opened) => opened,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        self.opened.close();
        let mut expected = self.registrar.0.expected.lock();
        // Another start of the package may have taken the place.
        if expected.get(&self.package_id).is_some_and(|entry| entry.registered.is_closed()) {
            expected.remove(&self.package_id);
        }
    }
}

#[async_trait]
impl ChaincodeSupport for Registrar {
    type RegisterStream = BoxStream<'static, Result<ChaincodeMessage, Status>>;

    async fn register(
        &self,
        request: Request<Streaming<ChaincodeMessage>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        let info = request.extensions().get::<PeerInfo>();
        let certificate = info.and_then(|info| info.certificates.first()).map(|der| Fingerprint::of(der));
        let certificate =
            certificate.ok_or_else(|| Status::unauthenticated("chaincode shows its certificate"))?;
        let mut incoming = request.into_inner();
        let first = timeout(PATIENCE, incoming.message()).await.map_err(|_| {
            Status::deadline_exceeded(format!("chaincode registers within {} s", PATIENCE.as_secs()))
        })??;
        let first = first.ok_or_else(|| Status::cancelled("the chaincode did not register"))?;
        let expected = self.admit(&registered(&first)?, certificate)?;
        let (outgoing, messages) = mpsc::channel(expected.queued);
        let incoming = stream::iter([Ok(first)]).chain(incoming).boxed();
        expected.registered.send(AttachedStream { incoming, outgoing }).map_err(|_| {
            Status::deadline_exceeded("chaincode registration failed: the start has been given up")
        })?;
        Ok(Response::new(ReceiverStream::new(messages).map(Ok).boxed()))
    }
}

/// The package id under which a chaincode registers.
fn registered(first: &ChaincodeMessage) -> Result<String, Status> {
    if first.r#type != i32::from(Type::Register) {
        return Err(Status::failed_precondition("the first message of a chaincode is REGISTER"));
    }
    let id = ChaincodeId::decode(first.payload.clone());
    id.map(|id| id.name).map_err(|_| Status::invalid_argument("REGISTER has no chaincode id"))
}
