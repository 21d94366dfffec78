//! One channel's chain: envelopes in order, cut into signed blocks, and written to the log.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_ledger::block;
use selvedge_ledger::log::{BlockLog, PrivateWrites};
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_proto::common::{
    Block, BlockHeader, BlockMetadataIndex, LastConfig, Metadata, MetadataSignature, OrdererBlockMetadata,
    SignatureHeader,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::OrdererError;
use crate::cutter::{BatchLimits, Cutter};

/// When a block that is not full is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutting {
    /// As soon as no further envelope waits. An idle channel commits at once; on a busy one envelopes gather while
    /// the block before is written, so blocks grow with the load.
    #[default]
    Adaptive,
    /// This long after the block's first envelope, as a real ordering service does.
    Interval(Duration),
}

/// A running chain.
#[derive(Debug)]
pub(crate) struct Chain {
    log: Arc<BlockLog>,
    height: watch::Receiver<u64>,
    queue: mpsc::Sender<Bytes>,
    stopping: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// How a chain cuts and signs.
pub(crate) struct ChainSettings {
    pub(crate) identity: Arc<SigningIdentity>,
    pub(crate) limits: BatchLimits,
    pub(crate) cutting: Cutting,
    /// How many envelopes may wait before whoever sends one waits too.
    pub(crate) queue: usize,
}

impl Chain {
    /// Continues the chain whose blocks are in `log`, which holds the genesis block at least.
    pub(crate) fn start(log: BlockLog, settings: ChainSettings) -> Result<Self, OrdererError> {
        let height = log.height();
        let last = log.block(height.saturating_sub(1))?.ok_or(OrdererError::EmptyLog)?;
        let log = Arc::new(log);
        let (height_sender, height) = watch::channel(height);
        let (queue, envelopes) = mpsc::channel(settings.queue);
        let writer = Writer {
            log: Arc::clone(&log),
            height: height_sender,
            last_config: block::last_config_of(&last).unwrap_or(0),
            previous: last.header.ok_or(OrdererError::EmptyLog)?,
            identity: settings.identity,
        };
        let stopping = CancellationToken::new();
        let closing = stopping.clone();
        let cutter = Cutter::new(settings.limits);
        let task = tokio::spawn(run(writer, envelopes, cutter, settings.cutting, closing));
        Ok(Self { log, height, queue, stopping, task: Mutex::new(Some(task)) })
    }

    /// Puts an envelope in line. It will be in a block unless the process dies before.
    ///
    /// # Errors
    /// When the chain has stopped because its log could not be written, or is being shut down.
    pub(crate) async fn order(&self, envelope: Bytes) -> Result<(), OrdererError> {
        self.queue.send(envelope).await.map_err(|_| OrdererError::Stopped)
    }

    /// The blocks from `from` on, waiting for those that do not exist yet.
    pub(crate) fn source(&self) -> ChainSource {
        ChainSource { log: Arc::clone(&self.log), height: self.height.clone() }
    }

    /// Orders what is in line and stops.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = futures_util::future::OptionFuture::from(task).await {
            tracing::error!(%error, "the chain's task ended badly");
        }
    }
}

/// Gives the blocks of a chain of this process.
#[derive(Clone, Debug)]
pub struct ChainSource {
    log: Arc<BlockLog>,
    height: watch::Receiver<u64>,
}

impl ChainSource {
    /// How many blocks there are.
    pub fn height(&self) -> u64 {
        *self.height.borrow()
    }

    /// One block, if it exists.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn block(&self, number: u64) -> Result<Option<Block>, SourceError> {
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

    /// Waits until the block exists. `false` when the chain stops before.
    pub async fn wait_for(&mut self, number: u64) -> bool {
        self.height.wait_for(|height| *height > number).await.is_ok()
    }
}

impl BlockSource for ChainSource {
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>> {
        let start = (self.clone(), from, false);
        stream::unfold(start, |(mut source, number, failed)| async move {
            if failed || !source.wait_for(number).await {
                return None;
            }
            let block = match source.block(number).await {
                Ok(Some(block)) => Ok(block),
                Ok(None) => Err(SourceError::Malformed { reason: format!("block {number} is missing") }),
                Err(error) => Err(error),
            };
            let failed = block.is_err();
            Some((block, (source, number + 1, failed)))
        })
        .boxed()
    }
}

struct Writer {
    log: Arc<BlockLog>,
    height: watch::Sender<u64>,
    previous: BlockHeader,
    last_config: u64,
    identity: Arc<SigningIdentity>,
}

/// What a waiting chain is woken by.
enum Wake {
    Envelope(Bytes),
    /// The interval of the pending block is over.
    Due,
    /// The chain is to stop.
    Closed,
}

/// Cuts and writes until the queue closes or a block cannot be written.
async fn run(
    mut writer: Writer,
    mut envelopes: mpsc::Receiver<Bytes>,
    mut cutter: Cutter,
    cutting: Cutting,
    stopping: CancellationToken,
) {
    let mut deadline: Option<Instant> = None;
    loop {
        let due = deadline.unwrap_or_else(Instant::now);
        let wake = tokio::select! {
            envelope = envelopes.recv() => envelope.map_or(Wake::Closed, Wake::Envelope),
            () = sleep_until(due), if deadline.is_some() => Wake::Due,
            () = stopping.cancelled(), if !envelopes.is_closed() => {
                // What is in line is still ordered; then the queue reports that it is closed.
                envelopes.close();
                continue;
            }
        };
        let closing = matches!(wake, Wake::Closed);
        let mut batches = Vec::new();
        match wake {
            Wake::Envelope(envelope) => batches.extend(cutter.order(envelope)),
            Wake::Due | Wake::Closed => batches.extend(cutter.cut()),
        }
        while batches.is_empty() {
            match envelopes.try_recv() {
                Ok(envelope) => batches.extend(cutter.order(envelope)),
                Err(_) if cutting == Cutting::Adaptive => {
                    batches.extend(cutter.cut());
                    break;
                }
                Err(_) => break,
            }
        }
        for batch in batches {
            writer = match writer.write(batch).await {
                Ok(writer) => writer,
                Err(error) => {
                    tracing::error!(%error, "the orderer cannot write its log and stops ordering");
                    return;
                }
            };
        }
        if closing {
            return;
        }
        deadline = match cutting {
            Cutting::Interval(_) if cutter.pending() == 0 => None,
            Cutting::Interval(interval) => deadline.or_else(|| Some(Instant::now() + interval)),
            Cutting::Adaptive => None,
        };
    }
}

impl Writer {
    /// Signs a block of these envelopes and writes it, on a thread that may wait for the disk.
    async fn write(self, batch: Vec<Bytes>) -> Result<Self, OrdererError> {
        tokio::task::spawn_blocking(move || self.write_now(batch)).await.map_err(|_| OrdererError::Stopped)?
    }

    fn write_now(mut self, batch: Vec<Bytes>) -> Result<Self, OrdererError> {
        let mut block = block::build(Some(&self.previous), batch);
        let header = block.header.clone().ok_or(OrdererError::EmptyLog)?;
        sign(&mut block, &header, self.last_config, &self.identity)?;
        self.log.append(&block, &PrivateWrites::new())?;
        self.height.send_replace(header.number + 1);
        self.previous = header;
        Ok(self)
    }
}

/// Fills the slots that orderers fill: the signature over the block's header and what it says of the
/// configuration, and the older slot for the latter.
fn sign(
    block: &mut Block,
    header: &BlockHeader,
    last_config: u64,
    identity: &SigningIdentity,
) -> Result<(), OrdererError> {
    let last_config = LastConfig { index: last_config };
    let value: Bytes =
        OrdererBlockMetadata { last_config: Some(last_config), ..Default::default() }.encode_to_vec().into();
    let mut nonce = vec![0; 24];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| OrdererError::Randomness)?;
    let signature_header: Bytes =
        SignatureHeader { creator: identity.serialized().clone(), nonce: nonce.into() }
            .encode_to_vec()
            .into();
    let signed = [value.as_ref(), signature_header.as_ref(), &block::header_der(header)].concat();
    let signature =
        MetadataSignature { signature: identity.sign(&signed)?, signature_header, ..Default::default() };
    let signatures = Metadata { value, signatures: vec![signature] }.encode_to_vec().into();
    let slots = &mut block.metadata.get_or_insert_default().metadata;
    if let Some(slot) = slots.get_mut(BlockMetadataIndex::Signatures as usize) {
        *slot = signatures;
    }
    Ok(())
}
