//! Configurations that arrive in blocks.

use std::sync::Arc;

use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_identity::channel::update;
use selvedge_ledger::block::{TransactionView, ViewError};
use selvedge_proto::common::ConfigEnvelope;
use selvedge_proto::protos::TxValidationCode;

use super::transaction::refusal;

/// Reads the configuration that follows `current`. It must be what the update that it carries makes of `current`, as
/// the channel's policies allow.
///
/// # Errors
/// `INVALID_CONFIG_TRANSACTION`.
pub(super) fn read(
    view: &TransactionView,
    current: &ChannelConfig,
    is_alone: bool,
) -> Result<Arc<ChannelConfig>, ViewError> {
    let refuse = |reason: String| refusal(TxValidationCode::InvalidConfigTransaction, reason);
    if !is_alone {
        return Err(refuse("a configuration does not stand alone in its block".to_owned()));
    }
    let envelope = ConfigEnvelope::decode(view.data.clone()).map_err(|error| refuse(error.to_string()))?;
    update::validate(current, &envelope).map_err(|error| refuse(error.to_string()))?;
    let config = envelope.config.unwrap_or_default();
    let next = current.following(config).map_err(|error| refuse(error.to_string()))?;
    update::check_follows(current, &next).map_err(|error| refuse(error.to_string()))?;
    Ok(Arc::new(next))
}
