//! A key's history: the places of its writes come from an index beside the state, the values from the log.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_proto::common::Block;
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::queryresult::KeyModification;

use super::entry::{self, Entry};
use super::{Ledger, recovery};
use crate::block::{self, TransactionView};
use crate::mvcc::Candidate;
use crate::state::{Places, StateStore, ValidSets};
use crate::{StoreError, log::BlockLog};

/// The changes of a public key by valid transactions, the newest first, deletions included.
///
/// Each result is read from the block log when it is asked for, which may block on the disk. After an error there are
/// no more results.
pub struct History {
    ledger: Arc<Ledger>,
    namespace: String,
    key: String,
    places: Option<Places>,
}

impl Ledger {
    /// The history of a key as it was when the ledger had `height` blocks. Metadata and private values have none.
    ///
    /// # Errors
    /// [`StoreError::NoHistory`] if the ledger is kept without [`LedgerConfig::history`](super::LedgerConfig).
    pub fn history(self: &Arc<Self>, namespace: &str, key: &str, height: u64) -> Result<History, StoreError> {
        if !self.keeps_history {
            return Err(StoreError::NoHistory);
        }
        let places = self.state.snapshot().history(namespace, key.as_bytes(), height)?;
        Ok(History {
            ledger: Arc::clone(self),
            namespace: namespace.to_owned(),
            key: key.to_owned(),
            places: Some(places),
        })
    }
}

impl History {
    fn read(&self, number: u64, index: u32) -> Result<KeyModification, StoreError> {
        let entry = self.ledger.entry(number, index)?;
        self.modification(&entry).ok_or_else(|| {
            let (namespace, key) = (&self.namespace, self.key.escape_debug());
            let reason = format!("transaction {index} of block {number} does not write {namespace}/{key}");
            recovery::inconsistent(&self.ledger.folder, reason)
        })
    }

    /// What a transaction does to the key. If it writes it twice, the first counts, as in Fabric.
    fn modification(&self, entry: &Bytes) -> Option<KeyModification> {
        let header = TransactionView::parse(entry).ok()?.channel_header;
        let set = entry::read_set(entry).ok()?;
        let writes = set.namespaces.into_iter().filter(|set| set.namespace == self.namespace);
        let write = writes.flat_map(|set| set.public.writes).find(|write| write.key == self.key)?;
        Some(KeyModification {
            tx_id: header.tx_id,
            timestamp: header.timestamp,
            is_delete: write.is_delete || write.value.is_empty(),
            value: write.value,
        })
    }
}

impl Iterator for History {
    type Item = Result<KeyModification, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.places.as_mut()?.next()?;
        let read = place.and_then(|(number, index)| self.read(number, index));
        if read.is_err() {
            self.places = None;
        }
        Some(read)
    }
}

impl fmt::Debug for History {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("History")
            .field("namespace", &self.namespace)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What of a block's transactions goes into the index.
pub(super) fn valid_sets(candidates: Vec<Candidate>, codes: &[TxValidationCode]) -> ValidSets {
    (0..)
        .zip(candidates)
        .zip(codes)
        .filter_map(|((index, candidate), code)| {
            let set = candidate.set.filter(|_| *code == TxValidationCode::Valid)?;
            Some((index, set))
        })
        .collect()
}

/// Takes the blocks into the index that the state has taken in without it.
pub(super) fn catch_up(log: &BlockLog, state: &StateStore, durable_every: u64) -> Result<(), StoreError> {
    let snapshot = state.snapshot();
    let (from, to) = (snapshot.history_height(), snapshot.tip().height);
    drop(snapshot);
    if from < to {
        tracing::info!(from, to, "taking blocks into the index of keys' histories");
    }
    for number in from..to {
        let Some(block) = log.block(number)? else { break };
        state.add_history(number, &sets_of(&block), (number + 1) % durable_every.max(1) == 0)?;
    }
    Ok(())
}

fn sets_of(block: &Block) -> ValidSets {
    let codes = block::validation_codes(block);
    let entries = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    let candidates =
        entries.iter().zip(&codes).map(|(entry, code)| Entry::read(entry, *code, None).candidate);
    valid_sets(candidates.collect(), &codes)
}
