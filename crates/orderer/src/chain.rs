//! One channel's chain: envelopes in order, cut into signed blocks, and written to the log.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use selvedge_identity::{ChannelConfig, SigningIdentity};
use selvedge_ledger::log::{BlockLog, PrivateWrites};
use selvedge_ledger::storage::Lock;
use selvedge_proto::common::BlockHeader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::current::{Admitted, Current};
use crate::cutter::Cutter;
use crate::source::{ChainSource, End, Progress};
use crate::{OrdererError, seal};

/// What all envelopes in line may hold together, in bytes. A single larger one waits until it is alone.
const LINE_BYTES: u32 = 128 << 20;

/// How many may ask at once for a block to be closed; others wait.
const CUTS: usize = 16;

/// When a block that is not full is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cutting {
    /// As soon as no further envelope waits. An idle channel commits at once; on a busy one envelopes gather while
    /// the block before is written, so blocks grow with the load.
    #[default]
    Adaptive,
    /// This long after the block's first envelope.
    Interval(Duration),
    /// As long after the block's first envelope as the channel's `BatchTimeout` says, as a real ordering service does.
    BatchTimeout,
    /// When somebody asks for it: [`Orderer::cut`](crate::Orderer::cut).
    Manual,
}

/// What closing a block on demand has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The newest block.
    pub block: u64,
    /// How many envelopes it and those before it, if there are several, have taken from the line.
    pub envelopes: usize,
}

/// How a chain cuts and signs.
pub(crate) struct ChainSettings {
    pub(crate) identity: Arc<SigningIdentity>,
    /// The configuration, which the chain replaces.
    pub(crate) current: Arc<Current>,
    pub(crate) cutting: Cutting,
    /// How many envelopes may wait before whoever sends one waits too.
    pub(crate) queue: usize,
    /// Guards the log's folder until the chain has ended.
    pub(crate) lock: Box<dyn Lock>,
}

/// A running chain.
#[derive(Debug)]
pub(crate) struct Chain {
    source: ChainSource,
    line: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    cuts: mpsc::Sender<oneshot::Sender<Cut>>,
    pending: watch::Receiver<usize>,
    stopping: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// An envelope in line, with the room it takes there.
#[derive(Debug)]
struct Waiting {
    envelope: Admitted,
    _room: OwnedSemaphorePermit,
}

impl Chain {
    /// Continues the chain whose blocks are in `log`, which holds the genesis block at least.
    pub(crate) fn start(log: BlockLog, settings: ChainSettings) -> Result<Self, OrdererError> {
        let height = log.height();
        let last = log.block(height.saturating_sub(1))?.ok_or(OrdererError::EmptyLog)?;
        let last_config = seal::last_config(&last);
        let log = Arc::new(log);
        let (progress, reader) = watch::channel(Progress { height, end: None });
        let (line, envelopes) = mpsc::channel(settings.queue.max(1));
        let room = Arc::new(Semaphore::new(LINE_BYTES as usize));
        let (cuts, asked) = mpsc::channel(CUTS);
        let (told, pending) = watch::channel(0);
        let stopping = CancellationToken::new();
        let worker = Worker {
            writer: Some(Writer {
                log: Arc::clone(&log),
                last_config,
                previous: last.header.ok_or(OrdererError::EmptyLog)?,
                identity: settings.identity,
            }),
            progress,
            envelopes,
            cuts: asked,
            pending: told,
            room: Arc::clone(&room),
            cutter: Cutter::new(settings.current.limits()),
            current: settings.current,
            cutting: settings.cutting,
            deadline: None,
            stopping: stopping.clone(),
        };
        let task = tokio::spawn(worker.run(settings.lock));
        let source = ChainSource::new(log, reader);
        Ok(Self { source, line, room, cuts, pending, stopping, task: Mutex::new(Some(task)) })
    }

    /// Puts an envelope in line. It will be in a block unless the process dies or the log fails before.
    ///
    /// # Errors
    /// When the chain has stopped because its log could not be written, or is being shut down.
    pub(crate) async fn order(&self, envelope: Admitted) -> Result<(), OrdererError> {
        let size = u32::try_from(envelope.bytes.len()).unwrap_or(u32::MAX).min(LINE_BYTES);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await.map_err(|_| self.ended())?;
        self.line.send(Waiting { envelope, _room: room }).await.map_err(|_| self.ended())
    }

    /// Closes a block with everything that is in line; none if nothing is.
    ///
    /// # Errors
    /// As [`Chain::order`].
    pub(crate) async fn cut(&self) -> Result<Option<Cut>, OrdererError> {
        let (reply, made) = oneshot::channel();
        self.cuts.send(reply).await.map_err(|_| self.ended())?;
        let cut = made.await.map_err(|_| self.ended())?;
        Ok((cut.envelopes > 0).then_some(cut))
    }

    /// How many envelopes wait for their block to be closed, not counting those that are still in line.
    pub(crate) fn pending(&self) -> watch::Receiver<usize> {
        self.pending.clone()
    }

    /// The blocks from `from` on, waiting for those that do not exist yet.
    pub(crate) fn source(&self) -> ChainSource {
        self.source.clone()
    }

    /// Orders what is in line and stops.
    pub(crate) async fn stop(&self) {
        self.stopping.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Err(error)) = futures_util::future::OptionFuture::from(task).await {
            tracing::error!(%error, "the chain's task ended badly");
        }
    }

    fn ended(&self) -> OrdererError {
        self.source.failure().map_or(OrdererError::Stopped, OrdererError::Halted)
    }
}

/// What a waiting chain is woken by.
enum Wake {
    Envelope(Admitted),
    /// What is pending becomes a block now.
    Due,
    /// What is in line becomes a block now, and somebody is told of it.
    Cut(oneshot::Sender<Cut>),
    /// Nothing more will come.
    Closed,
}

/// The chain's task.
struct Worker {
    /// Always there but while a block is being written, and after that failed.
    writer: Option<Writer>,
    progress: watch::Sender<Progress>,
    envelopes: mpsc::Receiver<Waiting>,
    cuts: mpsc::Receiver<oneshot::Sender<Cut>>,
    pending: watch::Sender<usize>,
    room: Arc<Semaphore>,
    cutter: Cutter,
    current: Arc<Current>,
    cutting: Cutting,
    /// When the pending envelopes become a block under [`Cutting::Interval`]; none if nothing is pending.
    deadline: Option<Instant>,
    stopping: CancellationToken,
}

impl Worker {
    /// Cuts and writes until nothing more can come or a block cannot be written, and tells how it ended.
    async fn run(mut self, lock: Box<dyn Lock>) {
        let end = match self.order_all().await {
            Ok(()) => End::Stopped,
            Err(error) => {
                let reason = chain_of(&error);
                tracing::error!(reason, "the orderer cannot write its log and stops ordering");
                End::Failed(reason.into())
            }
        };
        drop(lock);
        // First the reason, so that whoever is turned away finds it.
        self.progress.send_modify(|progress| progress.end = Some(end));
        self.room.close();
    }

    async fn order_all(&mut self) -> Result<(), OrdererError> {
        loop {
            match self.next().await {
                Wake::Envelope(envelope) => {
                    self.order(envelope).await?;
                }
                Wake::Due => {
                    self.flush().await?;
                }
                Wake::Cut(reply) => {
                    let cut = self.cut().await?;
                    self.tell_pending();
                    // Whoever asked may have gone.
                    let _ = reply.send(cut);
                }
                Wake::Closed => return self.flush().await.map(drop),
            }
            let interval = match self.cutting {
                Cutting::Interval(interval) => Some(interval),
                Cutting::BatchTimeout => Some(self.current.timeout()),
                Cutting::Adaptive | Cutting::Manual => None,
            };
            // As in Fabric, a timer that runs goes on when a full block was cut meanwhile.
            self.deadline = interval
                .filter(|_| self.cutter.pending() > 0)
                .map(|interval| self.deadline.unwrap_or_else(|| Instant::now() + interval));
            self.tell_pending();
        }
    }

    /// Tells how many envelopes wait, before anybody hears that a block was closed.
    fn tell_pending(&self) {
        let pending = self.cutter.pending();
        self.pending.send_if_modified(|told| std::mem::replace(told, pending) != pending);
    }

    /// Takes an envelope in, makes blocks of those that it fills, and returns how many envelopes these have. One that a
    /// newer configuration does not let in any more is dropped, as in Fabric.
    async fn order(&mut self, mut envelope: Admitted) -> Result<usize, OrdererError> {
        if envelope.sequence != self.current.config().sequence() {
            envelope = match self.current.admit_again(envelope, SystemTime::now()) {
                Ok(envelope) => envelope,
                Err(refusal) => {
                    tracing::warn!(info = refusal.info, "an envelope in line is dropped");
                    return Ok(0);
                }
            };
        }
        let Some(change) = envelope.change else {
            let mut written = 0;
            for batch in self.cutter.order(envelope.bytes, envelope.size) {
                written += batch.len();
                self.write(batch, None).await?;
            }
            return Ok(written);
        };
        let before = self.flush().await?;
        self.write(vec![envelope.bytes], Some(change.next)).await?;
        self.cutter.set_limits(self.current.limits());
        Ok(before + 1)
    }

    /// Makes blocks of everything that is in line at this moment.
    async fn cut(&mut self) -> Result<Cut, OrdererError> {
        let mut envelopes = 0;
        for _ in 0..self.envelopes.len() {
            let Ok(waiting) = self.envelopes.try_recv() else { break };
            envelopes += self.order(waiting.envelope).await?;
        }
        envelopes += self.flush().await?;
        let block = self.progress.borrow().height.saturating_sub(1);
        Ok(Cut { block, envelopes })
    }

    /// What happens next. While something is pending under [`Cutting::Adaptive`], this does not wait.
    async fn next(&mut self) -> Wake {
        let at_once = self.cutting == Cutting::Adaptive && self.cutter.pending() > 0;
        loop {
            let due = self.deadline;
            return tokio::select! {
                biased;
                () = self.stopping.cancelled(), if !self.envelopes.is_closed() => {
                    // What is in line is still ordered; then the line reports that it is closed.
                    self.envelopes.close();
                    self.room.close();
                    continue;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Wake::Due,
                Some(reply) = self.cuts.recv() => Wake::Cut(reply),
                waiting = self.envelopes.recv() => {
                    waiting.map_or(Wake::Closed, |waiting| Wake::Envelope(waiting.envelope))
                }
                () = std::future::ready(()), if at_once => Wake::Due,
            };
        }
    }

    /// Makes a block of what is pending, and returns how many envelopes it has.
    async fn flush(&mut self) -> Result<usize, OrdererError> {
        let Some(batch) = self.cutter.cut() else { return Ok(0) };
        let envelopes = batch.len();
        self.write(batch, None).await?;
        Ok(envelopes)
    }

    /// Makes a block of the batch, on a thread that may wait for the disk, and shows it to readers. If the block brings a
    /// configuration, that is in force then.
    async fn write(
        &mut self,
        batch: Vec<Bytes>,
        next: Option<Arc<ChannelConfig>>,
    ) -> Result<(), OrdererError> {
        let writer = self.writer.take().ok_or(OrdererError::Stopped)?;
        let is_configuration = next.is_some();
        let writing = tokio::task::spawn_blocking(move || writer.write(batch, is_configuration));
        let writer = writing.await.map_err(|_| OrdererError::Stopped)??;
        let height = writer.previous.number + 1;
        self.writer = Some(writer);
        if let Some(next) = next {
            tracing::info!(
                channel = next.channel_id(),
                sequence = next.sequence(),
                "a new configuration is in force"
            );
            self.current.set(next);
        }
        self.progress.send_modify(|progress| progress.height = height);
        Ok(())
    }
}

/// What a chain continues from.
struct Writer {
    log: Arc<BlockLog>,
    previous: BlockHeader,
    last_config: u64,
    identity: Arc<SigningIdentity>,
}

impl Writer {
    fn write(mut self, batch: Vec<Bytes>, is_configuration: bool) -> Result<Self, OrdererError> {
        if is_configuration {
            self.last_config = self.previous.number + 1;
        }
        let (header, block) = seal::seal(&self.previous, batch, self.last_config, &self.identity)?;
        self.log.append(&block, &PrivateWrites::new())?;
        self.previous = header;
        Ok(self)
    }
}

/// An error with its causes, on one line.
fn chain_of(error: &OrdererError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
