//! Takes a channel's blocks from a source into its ledger.
//!
//! ```text
//! BlockSource --prepare--> Prepared --commit--> ledger, then configuration, then those who wait
//! ```
//!
//! One task reads blocks, checks that each is the next one and signed by the ordering service, and examines its
//! transactions. Another thread judges and commits, one block at a time, so that the disk never holds up a task. The
//! first is a few blocks ahead at most; after a block with a configuration it waits until that is in force.
//!
//! A block that is not acceptable is the source's fault: the committer says so and asks again, ever less often. A
//! failure of this peer's own, such as a full disk, ends the channel's commits for good
//! ([`ChannelState::Failed`]).

mod commit;
mod error;
mod prepare;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use selvedge_ledger::source::BlockSource;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;

use self::commit::commit;
use self::error::CommitError;
use self::prepare::{Position, Prepared};
use crate::channel::{Channel, ChannelState};
use crate::private_data::{Asker, Reconciler};

/// How many blocks may be prepared and wait for the one that is being committed.
const AHEAD: usize = 1;

/// How long to wait before asking a source again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// How often the state is made safe.
const FLUSH_EVERY: Duration = Duration::from_secs(5);

/// A running committer.
#[derive(Debug)]
pub(crate) struct Committer {
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Committer {
    /// Continues the channel from its ledger's height. `asker` is the peer as it asks others for private data. It must
    /// be called within a tokio runtime.
    pub(crate) fn start(channel: Arc<Channel>, source: Arc<dyn BlockSource>, asker: Asker) -> Self {
        let stopping = CancellationToken::new();
        channel.notifier().start();
        channel.set_state(ChannelState::Running);
        let task = tokio::spawn(run(channel, source, asker, stopping.clone()));
        Self { stopping, task }
    }

    /// Commits what is prepared, and stops.
    pub(crate) async fn stop(mut self) {
        self.stopping.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the committer's task ended badly");
        }
    }
}

/// One that is dropped stops too, though nobody waits for it: its threads and its ledger would outlive the peer.
impl Drop for Committer {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

async fn run(channel: Arc<Channel>, source: Arc<dyn BlockSource>, asker: Asker, stopping: CancellationToken) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let (settled_sender, settled) = watch::channel(channel.ledger().height());
    let missing = Arc::new(Notify::new());
    let reconciler = Reconciler::start(Arc::clone(&channel), asker.clone(), Arc::clone(&missing));
    let committing = spawn_blocking({
        let channel = Arc::clone(&channel);
        move || commit_all(&channel, &asker, &missing, receiver, &settled_sender)
    });
    let reader = Reader { channel: &channel, source: &*source, sender, settled };
    let read = tokio::select! {
        () = stopping.cancelled() => Ok(()),
        read = reader.run() => read,
        never = flush_now_and_then(&channel) => match never {},
    };
    // The reader is gone, so the committing thread ends with what it has.
    reconciler.stop().await;
    let state = match (committing.await, read) {
        (Ok(Ok(())), Ok(())) => ChannelState::Stopped,
        (Ok(Err(error)), _) => ChannelState::Failed(chain(&error).into()),
        (Err(broken), _) | (_, Err(broken)) => ChannelState::Failed(chain(&broken).into()),
    };
    if let ChannelState::Failed(reason) = &state {
        tracing::error!(channel = channel.id(), %reason, "the channel takes in no more blocks");
    }
    channel.set_state(state);
    channel.notifier().stop();
}

/// Commits prepared blocks until no more come, and tells the height reached after each.
fn commit_all(
    channel: &Channel,
    asker: &Asker,
    missing: &Notify,
    mut receiver: mpsc::Receiver<Prepared>,
    settled: &watch::Sender<u64>,
) -> Result<(), CommitError> {
    while let Some(prepared) = receiver.blocking_recv() {
        settled.send_replace(commit(channel, asker, missing, prepared)?);
    }
    Ok(())
}

/// Reads and prepares blocks.
struct Reader<'a> {
    channel: &'a Arc<Channel>,
    source: &'a dyn BlockSource,
    sender: mpsc::Sender<Prepared>,
    settled: watch::Receiver<u64>,
}

/// Why a reader stopped reading.
enum Stop {
    /// The source failed.
    Source(String),
    /// Nobody takes prepared blocks any more.
    Unheard,
    /// Preparing a block broke off, which is a defect of the peer.
    Broken(JoinError),
}

impl Reader<'_> {
    /// Ends when nobody takes prepared blocks any more, or with a defect.
    async fn run(mut self) -> Result<(), JoinError> {
        let mut position = Position::of(self.channel.ledger());
        let mut pause = PAUSES.0;
        loop {
            let before = position.next;
            let unheard = self.sender.clone();
            let stop = tokio::select! {
                () = unheard.closed() => Stop::Unheard,
                stop = self.read(&mut position) => stop,
            };
            let reason = match stop {
                Stop::Source(reason) => reason,
                Stop::Unheard => return Ok(()),
                Stop::Broken(error) => return Err(error),
            };
            if position.next > before {
                pause = PAUSES.0;
            }
            // A peer that is stopped together with its source is done, and has nothing to complain of.
            tokio::select! {
                () = self.sender.closed() => return Ok(()),
                () = sleep(pause) => {}
            }
            tracing::warn!(
                channel = self.channel.id(), block = position.next, reason, after = ?pause,
                "the source of blocks gave no more, and is asked again"
            );
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Reads until something stops it; `position` is then that of the first block that is lacking.
    async fn read(&mut self, position: &mut Position) -> Stop {
        let mut blocks = self.source.blocks(position.next);
        while let Some(block) = blocks.next().await {
            let block = match block {
                Ok(block) => block,
                Err(error) => return Stop::Source(chain(&error)),
            };
            let prepared = spawn_blocking({
                let (channel, position) = (Arc::clone(self.channel), position.clone());
                move || Prepared::new(&channel, &position, block)
            });
            let prepared = match prepared.await {
                Ok(Ok(prepared)) => prepared,
                Ok(Err(error)) => return Stop::Source(chain(&error)),
                Err(error) => return Stop::Broken(error),
            };
            *position = prepared.position_after();
            let is_configuration = prepared.is_configuration();
            if self.sender.send(prepared).await.is_err() {
                return Stop::Unheard;
            }
            // The next block is checked by the configuration of this one.
            let next = position.next;
            if is_configuration && self.settled.wait_for(|height| *height >= next).await.is_err() {
                return Stop::Unheard;
            }
        }
        Stop::Source("it ended".to_owned())
    }
}

/// Makes the state safe from time to time, for ever.
async fn flush_now_and_then(channel: &Arc<Channel>) -> Infallible {
    let mut ticks = interval(FLUSH_EVERY);
    loop {
        ticks.tick().await;
        let ledger = Arc::clone(channel.ledger());
        let error = match spawn_blocking(move || ledger.flush()).await {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => chain(&error),
            Err(error) => chain(&error),
        };
        tracing::warn!(channel = channel.id(), error, "the state was not made safe; nothing is lost by that");
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
