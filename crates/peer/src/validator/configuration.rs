//! Configurations that arrive in blocks.

use std::sync::Arc;

use prost::Message;
use selvedge_identity::{ChannelConfig, VerificationCache};
use selvedge_ledger::block::{TransactionView, ViewError};
use selvedge_proto::common::ConfigEnvelope;
use selvedge_proto::protos::TxValidationCode;

use super::transaction::refusal;

/// Reads the configuration that follows `current`. That the ordering service signed the block, and so had the
/// update checked by the channel's policies, is checked before.
///
/// # Errors
/// `INVALID_CONFIG_TRANSACTION`.
pub(super) fn read(
    view: &TransactionView,
    current: &ChannelConfig,
    signatures: &Arc<VerificationCache>,
    is_alone: bool,
) -> Result<Arc<ChannelConfig>, ViewError> {
    let refuse = |reason: String| refusal(TxValidationCode::InvalidConfigTransaction, reason);
    if !is_alone {
        return Err(refuse("a configuration does not stand alone in its block".to_owned()));
    }
    let envelope = ConfigEnvelope::decode(view.data.clone()).map_err(|error| refuse(error.to_string()))?;
    let config = envelope.config.ok_or_else(|| refuse("it has no configuration".to_owned()))?;
    if Some(config.sequence) != current.sequence().checked_add(1) {
        let reason = format!("configuration {} does not follow {}", config.sequence, current.sequence());
        return Err(refuse(reason));
    }
    ChannelConfig::from_config_with(current.channel_id(), config, Some(Arc::clone(signatures)))
        .map(Arc::new)
        .map_err(|error| refuse(error.to_string()))
}
