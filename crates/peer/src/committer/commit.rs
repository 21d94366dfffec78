//! Judges a prepared block and puts it into the ledger.

use tokio::sync::Notify;

use super::error::CommitError;
use super::prepare::Prepared;
use crate::channel::Channel;
use crate::private_data::{self, Asker};

/// Commits a block and gives the ledger's height after it. When it returns, the configuration is that of the block,
/// and whoever waits for its transactions was told.
///
/// It asks other peers for private data that this one lacks, and tells `missing` when nobody has it.
pub(super) fn commit(
    channel: &Channel,
    asker: &Asker,
    missing: &Notify,
    prepared: Prepared,
) -> Result<u64, CommitError> {
    let Prepared { number, block, examined, .. } = prepared;
    let ledger = channel.ledger();
    let of_ledger = |source| CommitError::Ledger { number, source };
    let of_judging = |source| CommitError::Judging { number, source };

    let snapshot = ledger.snapshot();
    let judged = examined.judge(&snapshot).map_err(of_judging)?;
    let gathered =
        private_data::gather(channel, asker, &snapshot, &examined, &judged.codes).map_err(of_ledger)?;
    let validated = ledger.validate(block, judged.codes, gathered.writes).map_err(of_ledger)?;
    let committed = ledger.commit(validated).map_err(of_ledger)?;
    if gathered.missing > 0 {
        missing.notify_one();
    }
    if let Some(config) = judged.config {
        tracing::info!(
            channel = channel.id(),
            sequence = config.sequence(),
            "a new configuration is in force"
        );
        channel.set_config(config);
    }
    channel.notifier().committed(committed);
    Ok(number + 1)
}
