//! What a peer is: an identity, its chaincodes, and the channels it has joined.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use selvedge_identity::channel::config_envelope;
use selvedge_identity::{ChannelConfig, Msp, SigningIdentity, VerificationCache};
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::source::BlockSource;
use selvedge_ledger::storage::Storage;
use selvedge_proto::common::Block;
use tokio::task::spawn_blocking;

use crate::channel::Channel;
use crate::committer::Committer;
use crate::endorser::Channels;
use crate::error::{ChannelError, JoinError};
use crate::host::Host;
use crate::private_data::{Asker, EmbeddedPeer, PrivateDataPeers};

/// What a peer is made of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PeerConfig {
    /// Signs endorsements.
    pub identity: Arc<SigningIdentity>,
    /// The MSP of the peer's organization, which says who administers the peer.
    pub local_msp: Arc<Msp>,
    /// Where the files lie.
    pub storage: Arc<dyn Storage>,
    /// How ledgers are kept. Its folder has one folder for each channel, named by the channel's id.
    pub ledgers: LedgerConfig,
    /// The memory of good signatures. Nodes of one process may share one: it holds what was verified with a key,
    /// whoever may use that key for what.
    pub signatures: Arc<VerificationCache>,
}

impl PeerConfig {
    /// A peer of this identity, with its ledgers below the folder of `ledgers`, and a memory of its own.
    pub fn new(
        identity: Arc<SigningIdentity>,
        local_msp: Arc<Msp>,
        storage: Arc<dyn Storage>,
        ledgers: LedgerConfig,
    ) -> Self {
        let signatures = VerificationCache::new(VerificationCache::DEFAULT_ENTRIES);
        Self { identity, local_msp, storage, ledgers, signatures }
    }
}

/// A peer. It serves nobody by itself: endorsers and gateways are built upon [`Peer::identity`], [`Peer::host`] and
/// [`Peer::channels`], and served by [`crate::services::Services`].
pub struct Peer {
    config: PeerConfig,
    host: Host,
    channels: Channels,
    private_data_peers: PrivateDataPeers,
    committers: Mutex<Committers>,
}

#[derive(Default)]
struct Committers {
    /// The channels that are joined or being joined; `None` while the ledger is opened.
    by_channel: BTreeMap<String, Option<Committer>>,
    stopped: bool,
}

impl Peer {
    /// A peer without channels, which runs its chaincode in `host`.
    pub fn new(config: PeerConfig, host: Host) -> Self {
        Self {
            config,
            host,
            channels: Channels::default(),
            private_data_peers: PrivateDataPeers::default(),
            committers: Mutex::default(),
        }
    }

    /// Signs endorsements.
    pub fn identity(&self) -> &Arc<SigningIdentity> {
        &self.config.identity
    }

    /// The MSP id of the peer's organization.
    pub fn msp_id(&self) -> &str {
        self.config.identity.msp_id()
    }

    /// The MSP of the peer's organization.
    pub fn local_msp(&self) -> &Arc<Msp> {
        &self.config.local_msp
    }

    /// Where chaincode runs.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The channels, as endorsers and gateways share them. Only [`Peer::join`] adds to them.
    pub fn channels(&self) -> &Channels {
        &self.channels
    }

    /// The memory of good signatures that all channels share.
    pub fn signatures(&self) -> &Arc<VerificationCache> {
        &self.config.signatures
    }

    /// The other peers with which this one shares private data; nobody until they are set.
    pub fn private_data_peers(&self) -> &PrivateDataPeers {
        &self.private_data_peers
    }

    /// This peer as other peers of the process share private data with it.
    pub fn as_private_data_peer(&self) -> EmbeddedPeer {
        let identity = self.config.identity.serialized().clone();
        EmbeddedPeer::new(identity, self.msp_id().to_owned(), self.channels.clone())
    }

    /// Joins a channel, or continues with one that an earlier run joined, and commits the blocks that the source
    /// gives from now on.
    ///
    /// # Errors
    /// When the genesis block is none, the ledger on the disk is another channel's, the channel is joined already, or
    /// the peer was shut down.
    pub async fn join(
        &self,
        genesis: Block,
        source: Arc<dyn BlockSource>,
    ) -> Result<Arc<Channel>, JoinError> {
        let (id, _) = config_envelope(&genesis).map_err(ChannelError::from)?;
        // The id becomes the name of a folder, so the whole configuration is checked before.
        let config = ChannelConfig::from_block_with(&genesis, Some(Arc::clone(&self.config.signatures)));
        let begun = (genesis, config.map_err(ChannelError::from)?);
        let place = Place::reserve(&self.committers, &id)?;
        let mut ledger = self.config.ledgers.clone();
        ledger.folder.push(&id);
        let (storage, signatures) = (Arc::clone(&self.config.storage), Arc::clone(&self.config.signatures));
        let opened = spawn_blocking(move || Channel::open_begun(storage, ledger, Some(begun), signatures));
        let channel = Arc::new(opened.await.map_err(|_| JoinError::BrokenOff(id.clone()))??);
        let asker = Asker {
            msp_id: self.msp_id().to_owned(),
            identity: self.config.identity.serialized().clone(),
            peers: self.private_data_peers.clone(),
        };
        place.fill(|| Committer::start(Arc::clone(&channel), source, asker))?;
        self.channels.insert(Arc::clone(&channel));
        tracing::info!(channel = id, height = channel.ledger().height(), "the peer has joined");
        Ok(channel)
    }

    /// Stops committing and ends all chaincode. Channels can still be read.
    pub async fn shutdown(&self) {
        let committers = {
            let mut committers = self.lock();
            committers.stopped = true;
            std::mem::take(&mut committers.by_channel)
        };
        for committer in committers.into_values().flatten() {
            committer.stop().await;
        }
        self.host.shutdown().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Committers> {
        self.committers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Peer")
            .field("identity", &self.config.identity)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// A channel's place among the committers. Dropping it unfilled gives the place back.
struct Place<'a> {
    committers: &'a Mutex<Committers>,
    id: String,
    filled: bool,
}

impl<'a> Place<'a> {
    fn reserve(committers: &'a Mutex<Committers>, id: &str) -> Result<Self, JoinError> {
        let mut locked = committers.lock().unwrap_or_else(PoisonError::into_inner);
        if locked.stopped {
            return Err(JoinError::ShutDown);
        }
        if locked.by_channel.contains_key(id) {
            return Err(JoinError::Joined(id.to_owned()));
        }
        locked.by_channel.insert(id.to_owned(), None);
        Ok(Self { committers, id: id.to_owned(), filled: false })
    }

    fn fill(mut self, committer: impl FnOnce() -> Committer) -> Result<(), JoinError> {
        let mut locked = self.committers.lock().unwrap_or_else(PoisonError::into_inner);
        if locked.stopped {
            return Err(JoinError::ShutDown);
        }
        locked.by_channel.insert(self.id.clone(), Some(committer()));
        self.filled = true;
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.filled {
            self.committers.lock().unwrap_or_else(PoisonError::into_inner).by_channel.remove(&self.id);
        }
    }
}
