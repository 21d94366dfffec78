use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use selvedge_ledger::StoreError;
use selvedge_ledger::log::PrivateWrites;
use selvedge_proto::rwset::TxPvtReadWriteSet;
use tokio::task::spawn_blocking;

use super::membership::Collections;
use super::{Given, PrivateDataError, PrivateDataPeer, Wanted};
use crate::channel::Channel;
use crate::endorser::Channels;

/// The most bytes of one answer; what does not fit in is not given, and asked for again.
const GIVEN_BYTES: usize = 64 << 20;

/// A peer that shares the process.
#[derive(Clone, Debug)]
pub struct EmbeddedPeer {
    identity: Bytes,
    msp_id: String,
    channels: Channels,
}

impl EmbeddedPeer {
    pub(crate) fn new(identity: Bytes, msp_id: String, channels: Channels) -> Self {
        Self { identity, msp_id, channels }
    }

    fn channel(&self, id: &str) -> Result<Arc<Channel>, PrivateDataError> {
        self.channels.get(id).ok_or_else(|| PrivateDataError::NotJoined(id.to_owned()))
    }
}

#[async_trait]
impl PrivateDataPeer for EmbeddedPeer {
    fn identity(&self) -> &Bytes {
        &self.identity
    }

    fn has_joined(&self, channel: &str) -> bool {
        self.channels.get(channel).is_some()
    }

    async fn keep(
        &self,
        channel: &str,
        transaction_id: &str,
        height: u64,
        writes: TxPvtReadWriteSet,
    ) -> Result<(), PrivateDataError> {
        let channel = self.channel(channel)?;
        let id = transaction_id.to_owned();
        let kept = spawn_blocking(move || channel.transient().put(&id, height, &writes));
        Ok(kept.await.map_err(|_| PrivateDataError::BrokenOff)??)
    }

    async fn give(
        &self,
        channel: &str,
        asker: &Bytes,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Given>, PrivateDataError> {
        let channel = self.channel(channel)?;
        let (asker, msp_id) = (asker.clone(), self.msp_id.clone());
        let given = spawn_blocking(move || give(&channel, &asker, &msp_id, wanted));
        given.await.map_err(|_| PrivateDataError::BrokenOff)?
    }
}

/// Looks in the transient store and then in the ledger: a commit moves what it finds in this direction.
fn give(
    channel: &Channel,
    asker: &Bytes,
    own_msp_id: &str,
    wanted: Vec<Wanted>,
) -> Result<Vec<Given>, PrivateDataError> {
    let config = channel.config();
    let asker = config.deserialize(asker).map_err(PrivateDataError::Unknown)?;
    let snapshot = channel.ledger().snapshot();
    let mut collections = Collections::new(&*snapshot, &config, own_msp_id);
    let mut blocks = Blocks { channel, last: None };
    let mut room = GIVEN_BYTES;
    let mut all = Vec::new();
    for Wanted { of, transaction_id } in wanted {
        if !collections.admits(&of.namespace, &of.collection, &asker) {
            tracing::debug!(
                namespace = of.namespace,
                collection = of.collection,
                "private data is not given"
            );
            continue;
        }
        let mut sets = Vec::new();
        if !transaction_id.is_empty() {
            for kept in channel.transient().get(&transaction_id)? {
                sets.extend(find(&kept, &of.namespace, &of.collection));
            }
        }
        let committed = blocks.private(of.block)?.and_then(|private| private.get(&of.transaction));
        sets.extend(committed.and_then(|writes| find(writes, &of.namespace, &of.collection)));
        let size: usize = sets.iter().map(Bytes::len).sum();
        let Some(left) = room.checked_sub(size) else { continue };
        room = left;
        if !sets.is_empty() {
            all.push(Given { of, sets });
        }
    }
    Ok(all)
}

/// Reads each block once if those of one block are asked for together.
struct Blocks<'a> {
    channel: &'a Channel,
    last: Option<(u64, PrivateWrites)>,
}

impl Blocks<'_> {
    fn private(&mut self, number: u64) -> Result<Option<&PrivateWrites>, StoreError> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let record = self.channel.ledger().record(number)?;
            self.last = record.map(|record| (number, record.private));
        }
        Ok(self.last.as_ref().map(|(_, private)| private))
    }
}

/// A transaction's private writes to one collection.
pub(super) fn find(writes: &TxPvtReadWriteSet, namespace: &str, collection: &str) -> Option<Bytes> {
    let set = writes.ns_pvt_rwset.iter().find(|set| set.namespace == namespace)?;
    let set = set.collection_pvt_rwset.iter().find(|set| set.collection_name == collection)?;
    Some(set.rwset.clone())
}
