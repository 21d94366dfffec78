use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use selvedge::tls::ServerSecurity;
use selvedge::{Chaincode, Server};
use selvedge_client::Definition;
use selvedge_client::definition::{collections, signature_policy};
use selvedge_peer::host::DEFAULT_EXECUTE_TIMEOUT;

use super::{Ledger, TestError, TestNetwork};
use crate::RequestSettings;

/// The name of a chaincode that is started alone.
const ALONE: &str = "chaincode";

/// The version that chaincodes under test have.
const VERSION: &str = "1.0";

/// Describes a network for a test.
///
/// Unless told otherwise it has the organisations `Org1MSP` and `Org2MSP`, one peer each, and the channel `mychannel` that
/// both have joined.
pub struct Setup {
    pub(super) organizations: Vec<String>,
    pub(super) channels: Vec<String>,
    pub(super) chaincodes: Vec<Deploy>,
    pub(super) requests: RequestSettings,
    pub(super) execute_timeout: Duration,
    pub(super) compare_batching: bool,
}

/// A chaincode and what the organisations of a channel agree on for it.
pub struct Deploy {
    pub(super) name: String,
    pub(super) package_id: String,
    pub(super) server: Server,
    /// The channels; `None` for all.
    pub(super) channels: Option<Vec<String>>,
    policy: Option<String>,
    collections: Option<Vec<u8>>,
    init_required: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            organizations: vec!["Org1MSP".to_owned(), "Org2MSP".to_owned()],
            channels: vec!["mychannel".to_owned()],
            chaincodes: Vec::new(),
            requests: RequestSettings::default(),
            execute_timeout: DEFAULT_EXECUTE_TIMEOUT,
            compare_batching: false,
        }
    }
}

impl Setup {
    /// The defaults, without a chaincode.
    pub fn new() -> Self {
        Self::default()
    }

    /// The MSP ids of the organisations, each of which has one peer. The first one's answers to strangers.
    #[must_use]
    pub fn organizations<O: Into<String>>(mut self, organizations: impl IntoIterator<Item = O>) -> Self {
        self.organizations = organizations.into_iter().map(Into::into).collect();
        self
    }

    /// The channels, which all organisations have joined.
    #[must_use]
    pub fn channels<C: Into<String>>(mut self, channels: impl IntoIterator<Item = C>) -> Self {
        self.channels = channels.into_iter().map(Into::into).collect();
        self
    }

    /// Adds a chaincode.
    #[must_use]
    pub fn chaincode(mut self, chaincode: Deploy) -> Self {
        self.chaincodes.push(chaincode);
        self
    }

    /// Offers chaincodes no batch operations, as peers before Fabric 3.1. By default both are offered.
    #[must_use]
    pub fn without_batching(mut self) -> Self {
        self.requests.runtime_params = None;
        self
    }

    /// Runs every transaction twice more before it is endorsed or evaluated, with batch operations offered and without, and
    /// fails with [`TestError::Batching`] unless both come to the same bytes: read/write set, event and response.
    #[must_use]
    pub fn compare_batching(mut self) -> Self {
        self.compare_batching = true;
        self
    }

    /// What peers offer chaincode, and how much it may ask for: the limit of results, histories, rich queries, batches.
    #[must_use]
    pub fn requests(mut self, requests: RequestSettings) -> Self {
        self.requests = requests;
        self
    }

    /// How long a transaction may run, 30 seconds by default. Below a second it counts as 30 s, as in Fabric.
    #[must_use]
    pub fn execute_timeout(mut self, limit: Duration) -> Self {
        self.execute_timeout = limit;
        self
    }

    /// Starts the network with this chaincode alone, under the name `chaincode`, and gives it on the first channel.
    ///
    /// # Errors
    /// As [`Setup::start`].
    pub async fn start_with(self, chaincode: impl Chaincode) -> Result<Ledger, TestError> {
        Ok(self.chaincode(Deploy::new(ALONE, chaincode)).start().await?.ledger(ALONE))
    }

    /// Starts the network, and brings the chaincodes to their channels with approvals and commits as in Fabric. It must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    /// When a policy or a list of collections is none, or Fabric's lifecycle refuses a definition.
    pub async fn start(self) -> Result<TestNetwork, TestError> {
        TestNetwork::start(self).await
    }
}

impl Deploy {
    /// A contract, several in one ([`selvedge::Contracts`]), or a raw [`Chaincode`], under this name.
    ///
    /// It is on all channels, has no collections, needs no initialisation, and the channel's own policy has a majority of
    /// the organisations endorse.
    pub fn new(name: impl Into<String>, chaincode: impl Chaincode) -> Self {
        let name = name.into();
        // There is no package of which this could be the hash.
        let package_id = format!("{name}_{VERSION}:{}", "0".repeat(64));
        Self {
            server: Server::new(chaincode, &package_id, ServerSecurity::Plaintext),
            name,
            package_id,
            channels: None,
            policy: None,
            collections: None,
            init_required: false,
        }
    }

    /// Who must endorse, such as `AND('Org1MSP.peer','Org2MSP.peer')`.
    #[must_use]
    pub fn endorsement_policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// The private data collections, in the JSON form that Fabric's peer command takes.
    #[must_use]
    pub fn collections(mut self, json: impl AsRef<[u8]>) -> Self {
        self.collections = Some(json.as_ref().to_vec());
        self
    }

    /// Has clients initialise it before anything else.
    #[must_use]
    pub fn init_required(mut self) -> Self {
        self.init_required = true;
        self
    }

    /// Brings it to these channels only.
    #[must_use]
    pub fn on<C: Into<String>>(mut self, channels: impl IntoIterator<Item = C>) -> Self {
        self.channels = Some(channels.into_iter().map(Into::into).collect());
        self
    }

    /// Changes how it is served: batching, strict checks, limits, threads. What concerns connections has no effect.
    #[must_use]
    pub fn server(mut self, change: impl FnOnce(Server) -> Server) -> Self {
        self.server = change(self.server);
        self
    }

    pub(super) fn definition(&self) -> Result<Arc<Definition>, TestError> {
        let validation_parameter = match &self.policy {
            Some(policy) => signature_policy(policy).map_err(TestError::setup)?,
            None => Bytes::new(),
        };
        let collections =
            self.collections.as_deref().map(collections).transpose().map_err(TestError::setup)?;
        Ok(Arc::new(Definition {
            name: self.name.clone(),
            version: VERSION.to_owned(),
            sequence: 1,
            validation_parameter,
            collections,
            init_required: self.init_required,
        }))
    }
}
