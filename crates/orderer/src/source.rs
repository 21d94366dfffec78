//! What readers of a chain see.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream, StreamExt};
use selvedge_ledger::log::BlockLog;
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_proto::common::Block;
use tokio::sync::watch;

/// How far a chain has come.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// How many blocks are safe in the log.
    pub(crate) height: u64,
    /// Set once there will be no more.
    pub(crate) end: Option<End>,
}

/// Why a chain has ended.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// Its log could not be written, for this reason.
    Failed(Arc<str>),
}

/// Gives the blocks of a chain of this process.
#[derive(Clone, Debug)]
pub struct ChainSource {
    log: Arc<BlockLog>,
    progress: watch::Receiver<Progress>,
}

impl ChainSource {
    pub(crate) fn new(log: Arc<BlockLog>, progress: watch::Receiver<Progress>) -> Self {
        Self { log, progress }
    }

    /// How many blocks there are.
    pub fn height(&self) -> u64 {
        self.progress.borrow().height
    }

    /// One block, if it exists.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn block(&self, number: u64) -> Result<Option<Block>, SourceError> {
        if number >= self.height() {
            return Ok(None);
        }
        let log = Arc::clone(&self.log);
        let read = tokio::task::spawn_blocking(move || log.block(number)).await;
        let unavailable = |source| SourceError::Unavailable {
            reason: "the orderer's log cannot be read".to_owned(),
            source: Some(source),
        };
        match read {
            Ok(Ok(block)) => Ok(block),
            Ok(Err(error)) => Err(unavailable(error.into())),
            Err(error) => Err(unavailable(error.into())),
        }
    }

    /// Waits until the block exists. `false` when the chain ends before.
    pub async fn wait_for(&mut self, number: u64) -> bool {
        let known = self.progress.wait_for(|progress| progress.height > number || progress.end.is_some());
        known.await.is_ok_and(|progress| progress.height > number)
    }

    /// Whether there will be no more blocks.
    pub fn has_ended(&self) -> bool {
        // A task that was torn down with its runtime leaves no end behind.
        self.progress.borrow().end.is_some() || self.progress.has_changed().is_err()
    }

    /// Why the log could not be written, if that has ended the chain.
    pub fn failure(&self) -> Option<Arc<str>> {
        match &self.progress.borrow().end {
            Some(End::Failed(reason)) => Some(Arc::clone(reason)),
            Some(End::Stopped) | None => None,
        }
    }

    /// The next block for a reader; `None` when the chain was stopped.
    async fn next(&mut self, number: u64) -> Option<Result<Block, SourceError>> {
        if !self.wait_for(number).await {
            let reason = self.failure()?;
            let reason = format!("its log could not be written: {reason}");
            return Some(Err(SourceError::Unavailable { reason, source: None }));
        }
        Some(match self.block(number).await {
            Ok(Some(block)) => Ok(block),
            Ok(None) => Err(SourceError::Malformed { reason: format!("block {number} is missing") }),
            Err(error) => Err(error),
        })
    }
}

impl BlockSource for ChainSource {
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>> {
        stream::unfold(Some((self.clone(), from)), |state| async move {
            let (mut source, number) = state?;
            let block = source.next(number).await?;
            let state = block.is_ok().then(|| (source, number + 1));
            Some((block, state))
        })
        .boxed()
    }
}
