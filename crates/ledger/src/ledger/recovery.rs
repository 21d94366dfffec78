use std::path::Path;

use selvedge_proto::common::Block;

use super::validated::Validated;
use crate::log::BlockLog;
use crate::reconciled::ReconciledStore;
use crate::state::StateStore;
use crate::{StoreError, block};

/// Refuses a log of another channel, and an empty one if there is nothing to begin it with.
pub(super) fn check_genesis(
    log: &BlockLog,
    folder: &Path,
    genesis: Option<&Block>,
) -> Result<(), StoreError> {
    let stored = log.block(0)?;
    let hash = |block: &Block| block.header.as_ref().map(block::header_hash).unwrap_or_default();
    match (stored, genesis) {
        (None, None) => Err(StoreError::NoGenesis { folder: folder.to_owned() }),
        (Some(stored), Some(genesis)) if hash(&stored) != hash(genesis) => Err(StoreError::OtherGenesis {
            folder: folder.to_owned(),
            expected: hex(&hash(genesis)),
            found: hex(&hash(&stored)),
        }),
        _ => Ok(()),
    }
}

/// Applies the blocks that the state lacks.
pub(super) fn replay(
    log: &BlockLog,
    reconciled: &ReconciledStore,
    state: &StateStore,
    folder: &Path,
    durable_every: u64,
    history: bool,
) -> Result<(), StoreError> {
    let tip = state.snapshot().tip().clone();
    if tip.height > log.height() {
        let reason =
            format!("its state counts {} blocks, but its log holds only {}", tip.height, log.height());
        return Err(inconsistent(folder, reason));
    }
    if let Some(last) = tip.height.checked_sub(1) {
        let hash = log.block(last)?.and_then(|block| block.header).map(|header| block::header_hash(&header));
        if hash.is_none_or(|hash| tip.block_hash != hash[..]) {
            return Err(inconsistent(
                folder,
                format!("its state followed another block {last} than its log"),
            ));
        }
    }
    if tip.height < log.height() {
        tracing::info!(from = tip.height, to = log.height(), "applying blocks to the state");
    }
    for number in tip.height..log.height() {
        let mut record = log.record(number)?.ok_or_else(|| inconsistent(folder, missing(number)))?;
        reconciled.complete(number, &mut record.private)?;
        let stored = record.block.clone();
        let again = Validated::replay(
            &state.snapshot(),
            record.block,
            block::validation_codes(&stored),
            record.private,
        )?;
        if *again.block() != stored {
            let reason = format!("block {number} has another outcome now than when it was committed");
            return Err(inconsistent(folder, reason));
        }
        state.apply(&again.changes(history), (number + 1) % durable_every.max(1) == 0)?;
    }
    state.flush()
}

/// The files of the ledger do not fit each other.
pub(super) fn inconsistent(folder: &Path, reason: String) -> StoreError {
    StoreError::Inconsistent { folder: folder.to_owned(), reason }
}

/// Bytes for an error message.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn missing(number: u64) -> String {
    format!("block {number} is missing from its log")
}
