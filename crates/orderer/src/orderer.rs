use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::{ChannelConfig, SigningIdentity};
use selvedge_ledger::log::{BlockLog, LogOptions, PrivateWrites};
use selvedge_ledger::storage::Storage;
use selvedge_proto::common::{Block, Envelope, Status};

use crate::OrdererError;
use crate::admission::{self, Refusal};
use crate::chain::{Chain, ChainSettings, ChainSource, Cutting};
use crate::cutter::BatchLimits;

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
    /// How many envelopes of a channel may wait before whoever sends one waits too.
    pub queue: usize,
}

/// An ordering service of one node, for any number of channels.
#[derive(Debug)]
pub struct Orderer {
    config: OrdererConfig,
    channels: RwLock<BTreeMap<String, Arc<Channel>>>,
}

/// One channel of an orderer.
#[derive(Debug)]
pub(crate) struct Channel {
    config: Arc<ChannelConfig>,
    chain: Chain,
}

impl Channel {
    pub(crate) fn config(&self) -> Arc<ChannelConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn source(&self) -> ChainSource {
        self.chain.source()
    }

    pub(crate) async fn order(&self, envelope: Bytes) -> Result<(), OrdererError> {
        self.chain.order(envelope).await
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
    /// When the genesis block is none, the log holds another one, or the log cannot be used.
    pub fn join(&self, genesis: &Block) -> Result<ChainSource, OrdererError> {
        let config =
            ChannelConfig::from_block(genesis).map_err(|error| OrdererError::Config(error.into()))?;
        let id = config.channel_id().to_owned();
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        if channels.contains_key(&id) {
            return Err(OrdererError::ChannelExists(id));
        }
        let folder = self.config.folder.join(&id);
        let log = BlockLog::open(Arc::clone(&self.config.storage), &folder, self.config.log)?;
        match log.block(0)? {
            None => log.append(genesis, &PrivateWrites::new())?,
            Some(first) if first.encode_to_vec() == genesis.encode_to_vec() => {}
            Some(_) => return Err(OrdererError::OtherGenesis(id)),
        }
        let batch = config.batch();
        let settings = ChainSettings {
            identity: Arc::clone(&self.config.identity),
            limits: BatchLimits {
                max_messages: batch.max_message_count,
                preferred_max_bytes: batch.preferred_max_bytes,
            },
            cutting: self.config.cutting,
            queue: self.config.queue,
        };
        let chain = Chain::start(log, settings)?;
        let source = chain.source();
        channels.insert(id, Arc::new(Channel { config: Arc::new(config), chain }));
        Ok(source)
    }

    /// The blocks of a channel.
    pub fn source(&self, channel_id: &str) -> Option<ChainSource> {
        self.channel(channel_id).map(|channel| channel.source())
    }

    /// Orders what is in line on every channel and stops.
    pub async fn stop(&self) {
        let channels = std::mem::take(&mut *self.channels.write().unwrap_or_else(PoisonError::into_inner));
        for channel in channels.into_values() {
            channel.chain.stop().await;
        }
    }

    pub(crate) fn channel(&self, channel_id: &str) -> Option<Arc<Channel>> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).get(channel_id).cloned()
    }

    pub(crate) fn admit(&self, envelope: &Envelope, size: usize) -> Result<Arc<Channel>, Refusal> {
        let header = admission::channel_header(envelope)?;
        let channel = self
            .channel(&header.channel_id)
            .ok_or_else(|| Refusal::new(Status::BadRequest, "channel does not exist"))?;
        admission::admit(&channel.config, &header, envelope, size, SystemTime::now())?;
        Ok(channel)
    }
}
