use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use selvedge_identity::{ChannelConfig, SigningIdentity, VerificationCache};
use selvedge_ledger::log::{BlockLog, LogOptions, PrivateWrites};
use selvedge_ledger::storage::{Lock, LockError, Storage};
use selvedge_ledger::{StoreError, block};
use selvedge_proto::common::{Block, Envelope, Status};
use selvedge_proto::orderer::BroadcastResponse;
use tokio::sync::watch;

use crate::OrdererError;
use crate::admission::{self, Refusal};
use crate::chain::{Chain, ChainSettings, Cut, Cutting};
use crate::current::Current;
use crate::seal;
use crate::service::MESSAGE_BYTES;
use crate::source::ChainSource;

/// What a block holds beside its envelopes, at most, in bytes: header, metadata, and the wire's framing.
const FRAME_BYTES: u32 = 256 << 10;

/// What an orderer is made of.
#[derive(Clone, Debug)]
pub struct OrdererConfig {
    /// Signs the blocks.
    pub identity: Arc<SigningIdentity>,
    /// Where the files lie.
    pub storage: Arc<dyn Storage>,
    /// The folder of the orderer; each channel has one below it.
    pub folder: PathBuf,
    /// How the logs keep their files.
    pub log: LogOptions,
    /// When a block that is not full is closed.
    pub cutting: Cutting,
    /// The memory of good signatures, which the peers of the same process may share.
    pub signatures: Arc<VerificationCache>,
    /// How many envelopes of a channel may wait before whoever sends one waits too; at least one may.
    pub queue: usize,
}

/// An ordering service of one node, for any number of channels.
#[derive(Debug)]
pub struct Orderer {
    config: OrdererConfig,
    channels: RwLock<Channels>,
}

#[derive(Debug, Default)]
struct Channels {
    by_id: BTreeMap<String, Arc<Channel>>,
    stopped: bool,
}

/// One channel of an orderer.
#[derive(Debug)]
pub(crate) struct Channel {
    current: Arc<Current>,
    chain: Chain,
}

impl Channel {
    /// The configuration in force.
    pub(crate) fn config(&self) -> Arc<ChannelConfig> {
        self.current.config()
    }

    pub(crate) fn source(&self) -> ChainSource {
        self.chain.source()
    }
}

impl Orderer {
    /// An orderer without channels.
    pub fn new(config: OrdererConfig) -> Self {
        Self { config, channels: RwLock::default() }
    }

    /// Begins or continues a channel. It must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the genesis block is none, the log holds another one, the log cannot be used or is in use, or the
    /// orderer is stopped.
    pub fn join(&self, genesis: &Block) -> Result<ChainSource, OrdererError> {
        let config =
            ChannelConfig::from_block(genesis).map_err(|error| OrdererError::Config(error.into()))?;
        let id = config.channel_id().to_owned();
        check_genesis(&id, genesis)?;
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        if channels.stopped {
            return Err(OrdererError::Stopped);
        }
        if channels.by_id.contains_key(&id) {
            return Err(OrdererError::ChannelExists(id));
        }
        let (lock, log) = self.open(&id, genesis)?;
        let config = last_config(&log, &self.config.signatures)?;
        // Whatever the configuration allows, the log and a message to a peer must be able to carry a block.
        let carried = self.config.log.part_bytes.min(MESSAGE_BYTES).saturating_sub(FRAME_BYTES);
        let current = Arc::new(Current::new(config, Arc::clone(&self.config.identity), carried));
        let settings = ChainSettings {
            identity: Arc::clone(&self.config.identity),
            current: Arc::clone(&current),
            cutting: self.config.cutting,
            queue: self.config.queue,
            lock,
        };
        let chain = Chain::start(log, settings)?;
        let source = chain.source();
        channels.by_id.insert(id, Arc::new(Channel { current, chain }));
        Ok(source)
    }

    /// The blocks of a channel.
    pub fn source(&self, channel_id: &str) -> Option<ChainSource> {
        self.channel(channel_id).map(|channel| channel.source())
    }

    /// Orders an envelope. SUCCESS means that it will be in a block, unless the process dies or the log fails
    /// before.
    pub async fn broadcast(&self, envelope: Envelope) -> BroadcastResponse {
        match self.order(&envelope).await {
            Ok(()) => BroadcastResponse { status: Status::Success.into(), info: String::new() },
            Err(refusal) => {
                tracing::debug!(status = ?refusal.status, info = refusal.info, "an envelope was refused");
                BroadcastResponse { status: refusal.status.into(), info: refusal.info }
            }
        }
    }

    /// Closes a block of a channel with everything that has been ordered and is in none; `None` if nothing is.
    ///
    /// # Errors
    /// When there is no such channel, or it has stopped.
    pub async fn cut(&self, channel_id: &str) -> Result<Option<Cut>, OrdererError> {
        let unknown = || OrdererError::UnknownChannel(channel_id.to_owned());
        self.channel(channel_id).ok_or_else(unknown)?.chain.cut().await
    }

    /// How many envelopes of a channel wait for their block to be closed.
    pub fn pending(&self, channel_id: &str) -> Option<watch::Receiver<usize>> {
        self.channel(channel_id).map(|channel| channel.chain.pending())
    }

    /// Orders what is in line on every channel and stops. Whoever sends an envelope from now on is told that the
    /// service is unavailable, and readers that wait for further blocks wait no more.
    pub async fn stop(&self) {
        let channels: Vec<_> = {
            let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
            channels.stopped = true;
            channels.by_id.values().cloned().collect()
        };
        futures_util::future::join_all(channels.iter().map(|channel| channel.chain.stop())).await;
    }

    pub(crate) fn channel(&self, channel_id: &str) -> Option<Arc<Channel>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).by_id.get(channel_id).cloned()
    }

    async fn order(&self, envelope: &Envelope) -> Result<(), Refusal> {
        let header = admission::channel_header(envelope)?;
        let channel = self
            .channel(&header.channel_id)
            .ok_or_else(|| Refusal::new(Status::BadRequest, "channel does not exist"))?;
        let admitted = channel.current.admit(&header, envelope, SystemTime::now())?;
        let ordered = channel.chain.order(admitted).await;
        ordered.map_err(|error| Refusal::new(Status::ServiceUnavailable, error.to_string()))
    }

    /// Opens a channel's log, and begins it with the genesis block if it is new.
    fn open(&self, id: &str, genesis: &Block) -> Result<(Box<dyn Lock>, BlockLog), OrdererError> {
        let folder = self.config.folder.join(id);
        let lock = lock(&*self.config.storage, &folder)?;
        let log = BlockLog::open(Arc::clone(&self.config.storage), &folder, self.config.log)?;
        match log.block(0)? {
            None => log.append(genesis, &PrivateWrites::new())?,
            Some(first) if first == *genesis => {}
            Some(_) => return Err(OrdererError::OtherGenesis(id.to_owned())),
        }
        Ok((lock, log))
    }
}

/// The configuration that holds after the last block.
fn last_config(log: &BlockLog, signatures: &Arc<VerificationCache>) -> Result<ChannelConfig, OrdererError> {
    let block = |number| log.block(number)?.ok_or(OrdererError::EmptyLog);
    let last = block(log.height().saturating_sub(1))?;
    ChannelConfig::from_block_with(&block(seal::last_config(&last))?, Some(Arc::clone(signatures)))
        .map_err(|error| OrdererError::Config(error.into()))
}

fn check_genesis(channel: &str, genesis: &Block) -> Result<(), OrdererError> {
    let wrong = |reason| OrdererError::Genesis { channel: channel.to_owned(), reason };
    let header = genesis.header.as_ref().ok_or_else(|| wrong("it has no header"))?;
    let entries = genesis.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    if header.number != 0 || !header.previous_hash.is_empty() {
        return Err(wrong("it is not the first block of a chain"));
    }
    if header.data_hash != block::data_hash(entries).as_slice() {
        return Err(wrong("its data have another hash than its header says"));
    }
    Ok(())
}

fn lock(storage: &dyn Storage, folder: &Path) -> Result<Box<dyn Lock>, StoreError> {
    let failed = |action| {
        let path = folder.to_owned();
        move |source| StoreError::Io { action, path, source }
    };
    storage.create_folder(folder).map_err(failed("create"))?;
    storage.lock(&folder.join("lock")).map_err(|error| match error {
        LockError::Held { holder } => StoreError::Locked { folder: folder.to_owned(), holder },
        LockError::Io(source) => failed("lock")(source),
        other => failed("lock")(io::Error::other(other)),
    })
}
