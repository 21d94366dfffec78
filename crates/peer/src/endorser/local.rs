use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use selvedge_identity::{Msp, SigningIdentity};
use selvedge_proto::protos::{ProposalResponse, SignedProposal};
use selvedge_session::query::Limits;

use super::endorsed::failure;
use super::executor::Executor;
use super::{Channels, Endorser, EndorserError, Received, is_system_chaincode};
use crate::host::Host;
use crate::private_data::PrivateDataPeers;

/// How long an endorser waits for its committer to reach what another peer of the process has committed, which takes
/// milliseconds unless the disk is slow.
const CATCH_UP: Duration = Duration::from_secs(2);

/// How a peer endorses.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndorserConfig {
    /// Where clients reach the peer, `host:port`; error details name it.
    pub address: String,
    /// How far a proposal's time may be from the peer's (Fabric's `peer.authentication.timewindow`).
    pub time_window: Duration,
    /// How much the queries of one transaction may take; the first of it is Fabric's `ledger.state.totalQueryLimit`.
    pub queries: Limits,
    /// The peers that private writes are sent to; nobody by default.
    pub private_data_peers: PrivateDataPeers,
    /// Whether chaincode may ask rich queries, as on a Fabric peer whose `ledger.state.stateDatabase` is `CouchDB`.
    /// Without them the peer answers as one of `goleveldb` does. Keys and values follow LevelDB's rules either way.
    pub rich_queries: bool,
}

impl EndorserConfig {
    /// Fabric's time window of 15 minutes, its sample configuration's 100 000 results of a query, rich
    /// queries, and no other peers.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            time_window: Duration::from_secs(15 * 60),
            queries: Limits::default(),
            private_data_peers: PrivateDataPeers::default(),
            rich_queries: true,
        }
    }
}

/// This peer as an endorser. Cheap to clone.
#[derive(Clone)]
pub struct LocalEndorser(Arc<Inner>);

struct Inner {
    identity: Arc<SigningIdentity>,
    executor: Executor,
    config: EndorserConfig,
}

impl LocalEndorser {
    /// An endorser for a peer with this identity, the MSP of its organisation, its chaincodes and its channels.
    pub fn new(
        identity: Arc<SigningIdentity>,
        local_msp: Arc<Msp>,
        host: Host,
        channels: Channels,
        config: EndorserConfig,
    ) -> Self {
        let executor = Executor::new(host, local_msp, channels, config.queries, config.rich_queries);
        Self(Arc::new(Inner { identity, executor, config }))
    }
}

impl Inner {
    /// When the certificate of a creator expires whom the channel's MSPs know, or the peer's own for no channel.
    fn expiry(&self, channel: &str, creator: &Bytes) -> Option<i64> {
        let identity = match self.executor.channels.get(channel) {
            Some(channel) => channel.config().deserialize(creator),
            None => self.executor.local_msp.deserialize(creator),
        };
        Some(identity.ok()?.expires_at())
    }

    async fn process(
        &self,
        proposal: SignedProposal,
        signer: Option<&SigningIdentity>,
    ) -> Result<ProposalResponse, EndorserError> {
        let known = |channel: &str, creator: &Bytes| self.expiry(channel, creator);
        let received = Received::read(proposal, SystemTime::now(), self.config.time_window, known)?;
        let channel_id = received.channel_id();
        let channel = self.executor.channels.get(channel_id);
        if channel.is_none() && !channel_id.is_empty() {
            return Ok(failure(format!("channel '{channel_id}' not found")));
        }
        let verified = received.verify(channel, &self.executor.local_msp)?;
        let answer = async {
            let mut simulated = verified.simulate(&self.executor).await?;
            if signer.is_some() {
                let own_msp_id = self.executor.own_msp_id();
                simulated.share_private_writes(&self.config.private_data_peers, own_msp_id).await?;
            }
            simulated.endorse(signer)
        };
        Ok(match answer.await {
            Ok(endorsed) => endorsed.into_response(),
            Err(message) => {
                tracing::warn!(message, "a proposal failed");
                failure(message)
            }
        })
    }
}

#[async_trait]
impl Endorser for LocalEndorser {
    fn msp_id(&self) -> &str {
        self.0.identity.msp_id()
    }

    fn address(&self) -> &str {
        &self.0.config.address
    }

    fn identity(&self) -> &Bytes {
        self.0.identity.serialized()
    }

    fn runs(&self, channel: &str, chaincode: &str) -> bool {
        let executor = &self.0.executor;
        let Some(channel) = executor.channels.get(channel) else { return false };
        if is_system_chaincode(chaincode) {
            return true;
        }
        let snapshot = channel.ledger().snapshot();
        let definitions = executor.definitions(&channel);
        definitions.runnable(snapshot.as_ref(), channel.id(), chaincode, &executor.host).is_ok()
    }

    /// Waits for the channel's committer, at most for two seconds.
    async fn catch_up(&self, channel: &str, height: u64) {
        let Some(channel) = self.0.executor.channels.get(channel) else { return };
        let mut committed = channel.ledger().subscribe();
        // Whether it was reached or not, the endorser answers with what it has.
        let reached = committed.wait_for(|committed| *committed >= height);
        drop(tokio::time::timeout(CATCH_UP, reached).await);
    }

    async fn process_proposal(&self, proposal: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        self.0.process(proposal, Some(&self.0.identity)).await
    }

    /// Signs nothing and neither keeps nor sends private writes, since nobody can submit the result.
    async fn evaluate(&self, proposal: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        self.0.process(proposal, None).await
    }
}
