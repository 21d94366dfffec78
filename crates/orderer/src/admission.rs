//! Which envelopes a channel takes, with the answers that Fabric's orderers give.

use std::time::SystemTime;

use prost::Message;
use selvedge_identity::channel::ConsensusState;
use selvedge_identity::{ChannelConfig, SignedData};
use selvedge_ledger::deliver::Expiry;
use selvedge_proto::common::{ChannelHeader, Envelope, Payload, Status};

/// Why an envelope is not ordered, as it is told to whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{info}")]
pub struct Refusal {
    /// The status of the answer.
    pub status: Status,
    /// The text of the answer.
    pub info: String,
}

impl Refusal {
    pub(crate) fn new(status: Status, info: impl Into<String>) -> Self {
        Self { status, info: info.into() }
    }

    pub(crate) fn bad_request(info: impl Into<String>) -> Self {
        Self::new(Status::BadRequest, info)
    }

    /// The same, with the step that found it.
    pub(crate) fn within(self, step: &str) -> Self {
        Self { info: format!("{step}: {}", self.info), ..self }
    }
}

/// The header that says for which channel an envelope is.
///
/// # Errors
/// When there is none, or it cannot be decoded.
pub(crate) fn channel_header(envelope: &Envelope) -> Result<ChannelHeader, Refusal> {
    let refuse = |what: &str| {
        let reason = "proto: cannot parse invalid wire-format data";
        Refusal::bad_request(format!("could not determine channel ID: error unmarshalling {what}: {reason}"))
    };
    let payload = Payload::decode(envelope.payload.clone()).map_err(|_| refuse("Payload"))?;
    let Some(header) = payload.header else {
        return Err(Refusal::bad_request("could not determine channel ID: header not set"));
    };
    ChannelHeader::decode(header.channel_header).map_err(|_| refuse("ChannelHeader"))
}

/// What counts for an envelope's size, in bytes, as Fabric measures it.
pub(crate) fn size_of(envelope: &Envelope) -> usize {
    envelope.payload.len() + envelope.signature.len()
}

/// Checks an envelope of whatever type, of at most `limit` bytes: its size, and who has sent it.
///
/// # Errors
/// With the answer that Fabric gives.
pub(crate) fn check(
    config: &ChannelConfig,
    envelope: &Envelope,
    limit: u32,
    now: SystemTime,
) -> Result<(), Refusal> {
    let size = size_of(envelope);
    if size > limit as usize {
        let info = format!("message payload is {size} bytes and exceeds maximum allowed {limit} bytes");
        return Err(Refusal::bad_request(info));
    }
    let signed = SignedData::from_envelope(envelope).map_err(|_| {
        let reason = "GetSignatureHeaderFromBytes failed, err proto: cannot parse invalid wire-format data";
        Refusal::bad_request(format!("could not convert message to signedData: {reason}"))
    })?;
    if Expiry::under(config, &signed.identity).is_some_and(|expiry| expiry.is_over(now)) {
        return Err(Refusal::bad_request("broadcast client identity expired"));
    }
    let policy = match is_in_maintenance(config) {
        true => "/Channel/Orderer/Writers",
        false => "/Channel/Writers",
    };
    authorize(config, policy, signed)
}

/// Whether the signature satisfies a policy of the channel.
///
/// # Errors
/// FORBIDDEN with the policy's reason.
pub(crate) fn authorize(config: &ChannelConfig, policy: &str, signed: SignedData) -> Result<(), Refusal> {
    config
        .policy(policy)
        .and_then(|policy| policy.evaluate(&[signed]))
        .map_err(|error| Refusal::new(Status::Forbidden, format!("{error}: permission denied")))
}

/// Whether the channel is being moved to another consensus and takes no transactions meanwhile.
pub(crate) fn is_in_maintenance(config: &ChannelConfig) -> bool {
    config.consensus().state == ConsensusState::Maintenance
}
