//! Judges a prepared block and puts it into the ledger.

use super::error::CommitError;
use super::prepare::Prepared;
use super::private;
use crate::channel::Channel;

/// Commits a block and gives the ledger's height after it. When it returns, the configuration is that of the block,
/// and whoever waits for its transactions was told.
pub(super) fn commit(channel: &Channel, msp_id: &str, prepared: Prepared) -> Result<u64, CommitError> {
    let Prepared { number, block, examined, .. } = prepared;
    let ledger = channel.ledger();
    let of_ledger = |source| CommitError::Ledger { number, source };
    let of_judging = |source| CommitError::Judging { number, source };

    let snapshot = ledger.snapshot();
    let judged = examined.judge(&snapshot).map_err(of_judging)?;
    let members = private::Members::new(&*snapshot, examined.config(), msp_id);
    let private =
        private::gather(members, channel.transient(), &examined, &judged.codes).map_err(of_ledger)?;
    let validated = ledger.validate(block, judged.codes, private).map_err(of_ledger)?;
    let committed = ledger.commit(validated).map_err(of_ledger)?;
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
