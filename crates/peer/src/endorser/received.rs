//! The first stage: a proposal that is decoded, sound in its form, and neither expired nor out of its time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use prost::Message;
use prost_types::Timestamp;
use selvedge_identity::Creator;
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::protos::{
    ChaincodeHeaderExtension, ChaincodeInput, ChaincodeInvocationSpec, ChaincodeProposalPayload, Proposal,
    SignedProposal,
};

use super::Refusal;
use crate::wire::proposal_payload_is_bounded;

/// A decoded proposal. Nothing is known yet about who made it.
#[derive(Clone, Debug)]
pub struct Received {
    pub(super) signed: SignedProposal,
    pub(super) channel: ChannelHeader,
    pub(super) signature: SignatureHeader,
    pub(super) chaincode: String,
    pub(super) input: ChaincodeInput,
    /// The chaincode that the payload names, if it names one. Only system chaincodes look at it.
    pub(super) named: Option<String>,
    pub(super) hash: Bytes,
}

impl Received {
    /// Decodes a proposal made at most `window` before or after `now`.
    ///
    /// `known` says when the certificate of a creator expires, in Unix time, if whoever is given a channel's id and the
    /// creator has read it before; reading certificates takes longer than everything else here.
    ///
    /// # Errors
    /// The first of Fabric's checks that fails: the filters', then those of the form.
    pub fn read(
        signed: SignedProposal,
        now: SystemTime,
        window: Duration,
        known: impl FnOnce(&str, &Bytes) -> Option<i64>,
    ) -> Result<Self, Refusal> {
        let unparsable = |part, message| move |_| Refusal::Unparsable { part, message };
        let proposal =
            Proposal::decode(signed.proposal_bytes.clone()).map_err(unparsable("proposal", "Proposal"))?;
        let header = Header::decode(proposal.header.clone()).map_err(unparsable("header", "Header"))?;
        let signature = SignatureHeader::decode(header.signature_header.clone())
            .map_err(unparsable("signature header", "SignatureHeader"))?;
        let channel = ChannelHeader::decode(header.channel_header.clone());
        let channel_id = channel.as_ref().map_or("", |channel| &channel.channel_id);
        check_expiry(known(channel_id, &signature.creator), &signature, now)?;
        let channel = channel.map_err(unparsable("channel header", "ChannelHeader"))?;
        check_timestamp(channel.timestamp.unwrap_or_default(), now, window)?;
        let chaincode = chaincode_name(&channel)?;
        if !proposal_payload_is_bounded(&proposal.payload) {
            return Err(Refusal::TooManyElements);
        }
        let payload: ChaincodeProposalPayload = decode("ChaincodeProposalPayload", &proposal.payload)?;
        let (input, named) = chaincode_input(&payload.input)?;
        let hash = proposal_hash(&header, payload);
        Ok(Self { signed, channel, signature, chaincode, input, named, hash })
    }

    /// The channel it is for; empty for calls outside any channel.
    pub fn channel_id(&self) -> &str {
        &self.channel.channel_id
    }

    /// The transaction's id.
    pub fn tx_id(&self) -> &str {
        &self.channel.tx_id
    }

    /// The name of the chaincode to call. As in Fabric it is the one in the header, whatever the payload says.
    pub fn chaincode(&self) -> &str {
        &self.chaincode
    }

    /// The creator's encoded identity, which nobody has looked at yet.
    pub fn creator(&self) -> &Bytes {
        &self.signature.creator
    }

    /// Checks the header's contents.
    pub(super) fn check_header(&self) -> Result<(), Refusal> {
        let kind = self.channel.r#type;
        match HeaderType::try_from(kind) {
            Ok(HeaderType::EndorserTransaction | HeaderType::Config) => {}
            Ok(other) => return Err(Refusal::HeaderType(other.as_str_name().to_owned())),
            Err(_) => return Err(Refusal::HeaderType(kind.to_string())),
        }
        if self.channel.epoch != 0 {
            return Err(Refusal::Epoch);
        }
        if self.signature.nonce.is_empty() {
            return Err(Refusal::Empty("nonce is empty"));
        }
        if self.signature.creator.is_empty() {
            return Err(Refusal::Empty("creator is empty"));
        }
        let expected = hex::encode(sha256([&self.signature.nonce[..], &self.signature.creator[..]]));
        if self.channel.tx_id != expected {
            return Err(Refusal::TransactionId { found: self.channel.tx_id.clone(), expected });
        }
        if self.signed.signature.is_empty() {
            return Err(Refusal::Empty("empty signature bytes"));
        }
        Ok(())
    }
}

/// A creator that cannot be read does not expire; the next stage refuses it.
fn check_expiry(known: Option<i64>, signature: &SignatureHeader, now: SystemTime) -> Result<(), Refusal> {
    let read = || Some(Creator::parse(&signature.creator).ok()?.certificate().not_after());
    let Some(expires) = known.or_else(read) else { return Ok(()) };
    if nanoseconds(now) > i128::from(expires) * NANOSECONDS { Err(Refusal::Expired) } else { Ok(()) }
}

fn check_timestamp(proposal: Timestamp, now: SystemTime, window: Duration) -> Result<(), Refusal> {
    let made = i128::from(proposal.seconds) * NANOSECONDS + i128::from(proposal.nanos);
    if made.abs_diff(nanoseconds(now)) <= window.as_nanos() {
        return Ok(());
    }
    let whole = |seconds| Timestamp { seconds, nanos: 0 }.to_string();
    let peer = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Err(Refusal::Timestamp {
        proposal: whole(proposal.seconds),
        peer: whole(i64::try_from(peer).unwrap_or(i64::MAX)),
        window: go_duration(window),
    })
}

fn chaincode_name(channel: &ChannelHeader) -> Result<String, Refusal> {
    let extension: ChaincodeHeaderExtension = decode("ChaincodeHeaderExtension", &channel.extension)?;
    let id = extension.chaincode_id.ok_or(Refusal::Missing("ChaincodeHeaderExtension.ChaincodeId is nil"))?;
    if id.name.is_empty() {
        return Err(Refusal::Missing("ChaincodeHeaderExtension.ChaincodeId.Name is empty"));
    }
    Ok(id.name)
}

/// What is called, and what the payload says is called.
fn chaincode_input(input: &Bytes) -> Result<(ChaincodeInput, Option<String>), Refusal> {
    let invocation: ChaincodeInvocationSpec = decode("ChaincodeInvocationSpec", input)?;
    let spec = invocation
        .chaincode_spec
        .ok_or(Refusal::Missing("chaincode invocation spec did not contain chaincode spec"))?;
    let named = spec.chaincode_id.map(|id| id.name);
    let input = spec.input.ok_or(Refusal::Missing("chaincode input did not contain any input"))?;
    // Decorations are the peer's to add.
    Ok((ChaincodeInput { decorations: Default::default(), ..input }, named))
}

/// What endorsers sign for the proposal: everything but the transient data.
fn proposal_hash(header: &Header, payload: ChaincodeProposalPayload) -> Bytes {
    let lasting = ChaincodeProposalPayload { input: payload.input, ..Default::default() }.encode_to_vec();
    Bytes::copy_from_slice(
        sha256([&header.channel_header[..], &header.signature_header[..], &lasting[..]]).as_ref(),
    )
}

fn decode<M: Message + Default>(message: &'static str, bytes: &Bytes) -> Result<M, Refusal> {
    M::decode(bytes.clone()).map_err(|_| Refusal::Undecodable(message))
}

pub(super) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> digest::Digest {
    let mut context = digest::Context::new(&SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    context.finish()
}

const NANOSECONDS: i128 = 1_000_000_000;

fn nanoseconds(time: SystemTime) -> i128 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i128::try_from(since.as_nanos()).unwrap_or(i128::MAX)
}

/// A duration as Go prints it, to the second: `15m0s`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        let read = |seconds| go_duration(Duration::from_secs(seconds));
        assert_eq!(read(900), "15m0s");
        assert_eq!(read(59), "59s");
        assert_eq!(read(3600), "1h0m0s");
    }

    #[test]
    fn no_timestamp_is_too_far_away_to_be_refused() {
        let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for seconds in [i64::MIN, -1, 0, i64::MAX] {
            for nanos in [i32::MIN, 0, i32::MAX] {
                let refused = check_timestamp(Timestamp { seconds, nanos }, now, Duration::from_secs(900));
                assert!(matches!(refused, Err(Refusal::Timestamp { .. })));
            }
        }
    }
}
