//! A channel that this peer has joined.

use std::sync::Arc;

use arc_swap::ArcSwap;
use selvedge_identity::channel::is_config_block;
use selvedge_identity::{ChannelConfig, VerificationCache};
use selvedge_ledger::storage::Storage;
use selvedge_ledger::transient::TransientStore;
use selvedge_ledger::{Ledger, LedgerConfig, block};
use selvedge_proto::common::Block;
use selvedge_proto::protos::TxValidationCode;
use tokio::sync::watch;

use crate::error::ChannelError;
use crate::notifier::CommitNotifier;

/// Whether a channel takes in blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelState {
    /// Blocks are committed as they come.
    Running,
    /// The peer was shut down, or has not begun yet.
    Stopped,
    /// A block could not be committed. The channel can be read; it takes no more blocks until the peer is started
    /// again. The text says what happened, with its causes.
    Failed(Arc<str>),
}

/// A channel: its ledger, its configuration as of the last block, and who waits for its transactions.
#[derive(Debug)]
pub struct Channel {
    id: String,
    ledger: Arc<Ledger>,
    config: ArcSwap<ChannelConfig>,
    signatures: Arc<VerificationCache>,
    notifier: CommitNotifier,
    state: watch::Sender<ChannelState>,
}

impl Channel {
    /// Opens the channel whose ledger is at `config`, or begins it with its genesis block. It takes in no blocks
    /// until a committer runs ([`Peer::join`](crate::node::Peer::join) starts one). May block on the disk.
    ///
    /// `signatures` remembers good signatures; all channels and services of a peer share one.
    ///
    /// # Errors
    /// When the ledger cannot be opened, or its configuration cannot be used.
    pub fn open(
        storage: Arc<dyn Storage>,
        config: LedgerConfig,
        genesis: Option<Block>,
        signatures: Arc<VerificationCache>,
    ) -> Result<Self, ChannelError> {
        // A block that is no configuration must not become the first one of a ledger.
        let read = |block: &Block| ChannelConfig::from_block_with(block, Some(Arc::clone(&signatures)));
        let begun = genesis.map(|genesis| read(&genesis).map(|begun| (genesis, begun))).transpose()?;
        Self::open_begun(storage, config, begun, signatures)
    }

    /// The same for a genesis block whose configuration was read with these signatures.
    pub(crate) fn open_begun(
        storage: Arc<dyn Storage>,
        config: LedgerConfig,
        begun: Option<(Block, ChannelConfig)>,
        signatures: Arc<VerificationCache>,
    ) -> Result<Self, ChannelError> {
        let (genesis, begun) = begun.unzip();
        let ledger = Arc::new(Ledger::open(storage, config, genesis)?);
        let config = match begun {
            // The ledger has made sure that its first block is this one.
            Some(begun) if ledger.height() == 1 => begun,
            _ => ChannelConfig::from_block_with(&last_config(&ledger)?, Some(Arc::clone(&signatures)))?,
        };
        Ok(Self {
            id: config.channel_id().to_owned(),
            notifier: CommitNotifier::new(Arc::clone(&ledger)),
            ledger,
            config: ArcSwap::from_pointee(config),
            signatures,
            state: watch::Sender::new(ChannelState::Stopped),
        })
    }

    /// The channel's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The channel's ledger. Its calls may block on the disk.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The configuration as of the last block.
    pub fn config(&self) -> Arc<ChannelConfig> {
        self.config.load_full()
    }

    /// The block with the configuration in force. May block on the disk.
    ///
    /// # Errors
    /// When the ledger cannot be read.
    pub(crate) fn config_block(&self) -> Result<Block, ChannelError> {
        last_config(&self.ledger)
    }

    /// The private writes of transactions that are endorsed and not committed.
    pub fn transient(&self) -> &TransientStore {
        self.ledger.transient()
    }

    /// The memory of good signatures.
    pub fn signatures(&self) -> &Arc<VerificationCache> {
        &self.signatures
    }

    /// Tells of commits.
    pub fn notifier(&self) -> &CommitNotifier {
        &self.notifier
    }

    /// Whether the channel takes in blocks.
    pub fn state(&self) -> ChannelState {
        self.state.borrow().clone()
    }

    /// Tells of every change of [`Channel::state`].
    pub fn watch_state(&self) -> watch::Receiver<ChannelState> {
        self.state.subscribe()
    }

    /// Says whether the channel takes in blocks; the committer does.
    pub(crate) fn set_state(&self, state: ChannelState) {
        self.state.send_replace(state);
    }

    /// Replaces the configuration; the committer does when a block brings a new one.
    pub(crate) fn set_config(&self, config: Arc<ChannelConfig>) {
        self.config.store(config);
    }
}

/// The block with the configuration in force: the last one whose configuration was found valid. Blocks say where the
/// orderers' last configuration is, which peers may have found invalid.
fn last_config(ledger: &Ledger) -> Result<Block, ChannelError> {
    let mut number = ledger.height().saturating_sub(1);
    loop {
        let lost = || ChannelError::NoConfiguration { block: number };
        let found = ledger.block(number)?.ok_or_else(lost)?;
        let verdict = block::validation_codes(&found).first().copied();
        if is_config_block(&found) && verdict == Some(TxValidationCode::Valid) {
            return Ok(found);
        }
        let said = block::last_config_of(&found).filter(|said| *said < number);
        number = said.or_else(|| number.checked_sub(1)).ok_or_else(lost)?;
    }
}
