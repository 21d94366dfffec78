//! Follows a channel's blocks for a client.

use std::sync::Arc;

use selvedge_identity::{ChannelConfig, SignedData};
use selvedge_ledger::StoreError;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use crate::channel::{Channel, ChannelState};
use crate::endorser::{AccessError, check_signed};

/// Why a channel cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    /// The channel takes in no more blocks.
    #[error("the channel takes in no more blocks")]
    Ended,
    /// The client may not read the channel any more.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A block cannot be read.
    #[error("the ledger cannot be read")]
    Ledger(#[from] StoreError),
    /// A block that was committed is not there, or reading it was broken off.
    #[error("block {0} could not be read")]
    Lost(u64),
}

/// A client that follows a channel, and what it has signed to be let in.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    channel: Arc<Channel>,
    heights: watch::Receiver<u64>,
    states: watch::Receiver<ChannelState>,
    resource: &'static str,
    signed: Arc<SignedData>,
    /// The sequence of the configuration that has let the client in.
    sequence: u64,
}

impl Follower {
    /// Lets a client follow a channel if it may use the resource.
    pub(crate) fn new(
        channel: Arc<Channel>,
        resource: &'static str,
        signed: SignedData,
    ) -> Result<Self, AccessError> {
        let config = channel.config();
        check_signed(&config, resource, &signed)?;
        Ok(Self {
            heights: channel.ledger().subscribe(),
            states: channel.watch_state(),
            resource,
            signed: Arc::new(signed),
            sequence: config.sequence(),
            channel,
        })
    }

    /// The channel.
    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Who follows.
    pub(crate) fn signed(&self) -> &Arc<SignedData> {
        &self.signed
    }

    /// How many blocks there are.
    pub(crate) fn height(&self) -> u64 {
        self.channel.ledger().height()
    }

    /// Waits until a block exists, and makes something of it on a thread that may wait for the disk. As in Fabric a
    /// configuration that came meanwhile is asked whether the client may still read.
    ///
    /// Dropping the future ends the wait.
    pub(crate) async fn read<T: Send + 'static>(
        &mut self,
        number: u64,
        read: impl FnOnce(&Channel) -> Result<Option<T>, StoreError> + Send + 'static,
    ) -> Result<T, FollowError> {
        self.wait_for(number).await?;
        self.check(&self.channel.config())?;
        let channel = Arc::clone(&self.channel);
        match spawn_blocking(move || read(&channel)).await {
            Ok(found) => found?.ok_or(FollowError::Lost(number)),
            Err(_) => Err(FollowError::Lost(number)),
        }
    }

    async fn wait_for(&mut self, number: u64) -> Result<(), FollowError> {
        tokio::select! {
            biased;
            exists = self.heights.wait_for(|height| *height > number) => {
                exists.map(|_| ()).map_err(|_| FollowError::Ended)
            }
            _ = self.states.wait_for(|state| matches!(state, ChannelState::Failed(_))) => {
                Err(FollowError::Ended)
            }
        }
    }

    fn check(&mut self, config: &ChannelConfig) -> Result<(), AccessError> {
        if config.sequence() != self.sequence {
            check_signed(config, self.resource, &self.signed)?;
            self.sequence = config.sequence();
        }
        Ok(())
    }
}
