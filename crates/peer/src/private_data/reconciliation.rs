//! Goes on asking for private data that blocks were committed without.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use selvedge_ledger::LateWrites;
use selvedge_ledger::state::Missing;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::asking::{BATCH, ask};
use super::membership::Collections;
use super::{Asker, Wanted};
use crate::channel::Channel;

/// The pause after a round in which nothing was found, at first and at most; the longest is Fabric's
/// `reconcileSleepInterval`. Something new that is missing, and new peers to ask, shorten it again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A running reconciler of one channel.
#[derive(Debug)]
pub(crate) struct Reconciler {
    stopping: CancellationToken,
    task: JoinHandle<()>,
}

impl Reconciler {
    /// Starts asking. `missing` tells that a block was committed without some of its private data.
    pub(crate) fn start(channel: Arc<Channel>, asker: Asker, missing: Arc<Notify>) -> Self {
        let stopping = CancellationToken::new();
        let task = tokio::spawn({
            let stopping = stopping.clone();
            async move { run(channel, asker, missing, stopping).await }
        });
        Self { stopping, task }
    }

    /// Stops asking. When this returns, the reconciler uses the ledger no more.
    pub(crate) async fn stop(self) {
        self.stopping.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the reconciler's task ended badly");
        }
    }
}

async fn run(channel: Arc<Channel>, asker: Asker, missing: Arc<Notify>, stopping: CancellationToken) {
    let mut peers = asker.peers.watch();
    let mut pause = PAUSES.0;
    while !stopping.is_cancelled() {
        match round(&channel, &asker, &stopping).await {
            Ok(0) => {}
            Ok(found) => {
                tracing::info!(channel = channel.id(), found, "missing private data was found");
                pause = PAUSES.0;
            }
            Err(error) => {
                tracing::warn!(channel = channel.id(), error, "missing private data cannot be reconciled");
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = missing.notified() => pause = PAUSES.0,
            Ok(()) = peers.changed() => pause = PAUSES.0,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSES.1),
        }
    }
}

/// Asks once for everything that is missing and that this peer should have, the newest first, and returns how much was
/// found.
async fn round(
    channel: &Arc<Channel>,
    asker: &Asker,
    stopping: &CancellationToken,
) -> Result<usize, Box<dyn Error + Send + Sync>> {
    let mut found = 0;
    for (namespace, collection) in eligible(channel, asker).await? {
        let mut before = None;
        while !stopping.is_cancelled() {
            let missing = batch(channel, &namespace, &collection, before).await?;
            let Some(oldest) = missing.last() else { break };
            before = Some((oldest.block, oldest.transaction));
            let late = late(channel, asker, missing).await;
            if !late.is_empty() {
                let channel = Arc::clone(channel);
                found += spawn_blocking(move || channel.ledger().reconcile(late)).await??;
            }
        }
    }
    Ok(found)
}

/// The collections of which something is missing and that this peer's organisation is a member of now.
async fn eligible(
    channel: &Arc<Channel>,
    asker: &Asker,
) -> Result<Vec<(String, String)>, Box<dyn Error + Send + Sync>> {
    let (channel, msp_id) = (Arc::clone(channel), asker.msp_id.clone());
    let read = spawn_blocking(move || {
        let (snapshot, config) = (channel.ledger().snapshot(), channel.config());
        let mut members = Collections::new(&*snapshot, &config, &msp_id);
        let mut collections = snapshot.missing_collections()?;
        collections.retain(|(namespace, collection)| members.is_member(namespace, collection));
        Ok::<_, selvedge_ledger::Error>(collections)
    });
    Ok(read.await??)
}

async fn batch(
    channel: &Arc<Channel>,
    namespace: &str,
    collection: &str,
    before: Option<(u64, u64)>,
) -> Result<Vec<Missing>, Box<dyn Error + Send + Sync>> {
    let channel = Arc::clone(channel);
    let (namespace, collection) = (namespace.to_owned(), collection.to_owned());
    let read: Result<_, JoinError> = spawn_blocking(move || {
        channel.ledger().snapshot().missing_of(&namespace, &collection, before, BATCH)
    })
    .await;
    Ok(read??)
}

/// What other peers have of this. The ledger checks whether it is what was endorsed; a wrong answer is asked of nobody
/// else in this round.
async fn late(channel: &Channel, asker: &Asker, missing: Vec<Missing>) -> Vec<LateWrites> {
    let wanted = missing.into_iter().map(|of| Wanted { of, transaction_id: String::new() }).collect();
    let mut late = Vec::new();
    ask(channel.id(), asker, wanted, |given| {
        let Some(rwset) = given.sets.into_iter().next() else { return false };
        late.push(LateWrites { of: given.of, rwset });
        true
    })
    .await;
    late
}
