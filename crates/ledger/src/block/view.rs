use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader};
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEvent, ChaincodeHeaderExtension, Endorsement,
    ProposalResponsePayload, Transaction, TxValidationCode,
};

use crate::hash::sha256;
use selvedge_proto::wire::fields;

/// The most fields that a transaction and its endorsed action may have together: it bounds what a small message
/// with many empty elements can grow to. It is our own rule.
const MAX_FIELDS: usize = 100_000;

/// Why a transaction cannot be used, and the verdict that Fabric's peers give for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({reason})", .code.as_str_name())]
pub struct ViewError {
    /// The verdict.
    pub code: TxValidationCode,
    /// What is wrong with the transaction.
    pub reason: String,
}

/// What the lists of transactions and the index need to know of a block's entry, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TransactionSummary {
    /// The header's type, a [`HeaderType`] if the entry is valid; `None` if there is no channel header.
    pub header_type: Option<i32>,
    /// The transaction's id as the header says; empty if it says none.
    pub transaction_id: String,
    /// The channel's id as the header says.
    pub channel_id: String,
}

/// A transaction of a block with its headers, whose form was checked: the type is one that blocks may carry,
/// the epoch is 0, creator and nonce are there. No signature, id or channel was looked at.
///
/// A genesis block's configuration has no creator. Peers do not judge it, and it cannot be viewed like this.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionView {
    /// The block's entry.
    pub envelope: Envelope,
    /// The headers as they were signed.
    pub header: Header,
    /// The message of the kind that the type says.
    pub data: Bytes,
    /// The decoded channel header.
    pub channel_header: ChannelHeader,
    /// The decoded signature header.
    pub signature_header: SignatureHeader,
    /// The type: an endorsed transaction, a configuration, or a configuration update.
    pub header_type: HeaderType,
}

/// The one action of an endorsed transaction, whose proposal hash was checked. No endorsement was looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct EndorsedAction {
    /// The marshalled `ChaincodeProposalPayload` without transient data.
    pub proposal_payload: Bytes,
    /// The bytes that each endorser signed, followed by its identity.
    pub response_payload: Bytes,
    /// The decoded response payload.
    pub response: ProposalResponsePayload,
    /// The endorsements in their order, duplicates included.
    pub endorsements: Vec<Endorsement>,
}

impl TransactionSummary {
    /// Reads what can be read of a block's entry.
    pub fn of(entry: &Bytes) -> Self {
        let header = Envelope::decode(entry.clone())
            .and_then(|envelope| Payload::decode(envelope.payload))
            .ok()
            .and_then(|payload| payload.header);
        let Some(header) = header else { return Self::default() };
        match ChannelHeader::decode(header.channel_header) {
            Err(_) => Self::default(),
            Ok(header) => Self {
                header_type: Some(header.r#type),
                transaction_id: header.tx_id,
                channel_id: header.channel_id,
            },
        }
    }
}

impl TransactionView {
    /// Reads a block's entry.
    ///
    /// # Errors
    /// `NIL_ENVELOPE`, `INVALID_OTHER_REASON` (not an envelope), `BAD_PAYLOAD` or `BAD_COMMON_HEADER`.
    pub fn parse(entry: &Bytes) -> Result<Self, ViewError> {
        use TxValidationCode::{BadCommonHeader, BadPayload, InvalidOtherReason, NilEnvelope};

        if entry.is_empty() {
            return Err(error(NilEnvelope, "the entry is empty"));
        }
        let envelope: Envelope = decode(InvalidOtherReason, entry)?;
        let payload: Payload = decode(BadPayload, &envelope.payload)?;
        let header = payload.header.ok_or_else(|| error(BadCommonHeader, "there is no header"))?;
        let channel_header: ChannelHeader = decode(BadCommonHeader, &header.channel_header)?;
        let signature_header: SignatureHeader = decode(BadCommonHeader, &header.signature_header)?;
        let header_type = match HeaderType::try_from(channel_header.r#type) {
            Ok(known @ (HeaderType::EndorserTransaction | HeaderType::Config | HeaderType::ConfigUpdate)) => {
                known
            }
            _ => {
                let reason = format!("blocks carry no transactions of type {}", channel_header.r#type);
                return Err(error(BadCommonHeader, reason));
            }
        };
        if channel_header.epoch != 0 {
            return Err(error(BadCommonHeader, format!("the epoch is {}, not 0", channel_header.epoch)));
        }
        check_signer(BadCommonHeader, &signature_header)?;
        Ok(Self { envelope, header, data: payload.data, channel_header, signature_header, header_type })
    }

    /// Whether the transaction's id is the one that nonce and creator give: the SHA-256 of both in lower-case
    /// hex. If not, an endorsed transaction is `BAD_PROPOSAL_TXID`.
    pub fn has_own_id(&self) -> bool {
        let hash = sha256([self.signature_header.nonce.as_ref(), self.signature_header.creator.as_ref()]);
        let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]);
        let hex = digits.map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default());
        hex.eq(self.channel_header.tx_id.chars())
    }

    /// The action of an endorsed transaction.
    ///
    /// # Errors
    /// `INVALID_ENDORSER_TRANSACTION`.
    pub fn endorsed_action(&self) -> Result<EndorsedAction, ViewError> {
        const CODE: TxValidationCode = TxValidationCode::InvalidEndorserTransaction;

        if self.data.is_empty() {
            return Err(error(CODE, "the payload has no data"));
        }
        let mut left = MAX_FIELDS;
        spend_fields(CODE, &self.data, &mut left)?;
        let transaction: Transaction = decode(CODE, &self.data)?;
        let [action] = transaction.actions.as_slice() else {
            return Err(error(CODE, format!("it has {} actions, not one", transaction.actions.len())));
        };
        check_signer(CODE, &decode(CODE, &action.header)?)?;

        // A message that comes in several pieces is decoded into one, so the pieces count together.
        for field in fields(&action.payload) {
            let field = field.map_err(|wire| error(CODE, wire.to_string()))?;
            spend_fields(CODE, field.content.filter(|_| field.tag == 2).unwrap_or_default(), &mut left)?;
        }
        let payload: ChaincodeActionPayload = decode(CODE, &action.payload)?;
        let endorsed = payload.action.ok_or_else(|| error(CODE, "the action payload has no action"))?;
        let response: ProposalResponsePayload = decode(CODE, &endorsed.proposal_response_payload)?;
        let proposal_payload = payload.chaincode_proposal_payload;
        let parts: [&[u8]; 3] = [&self.header.channel_header, &action.header, &proposal_payload];
        if response.proposal_hash != sha256(parts)[..] {
            return Err(error(CODE, "the endorsed proposal is another one"));
        }
        Ok(EndorsedAction {
            proposal_payload,
            response_payload: endorsed.proposal_response_payload,
            response,
            endorsements: endorsed.endorsements,
        })
    }

    /// The extension of an endorsed transaction's channel header, which names the chaincode.
    ///
    /// # Errors
    /// `BAD_HEADER_EXTENSION`.
    pub fn header_extension(&self) -> Result<ChaincodeHeaderExtension, ViewError> {
        decode(TxValidationCode::BadHeaderExtension, &self.channel_header.extension)
    }
}

impl EndorsedAction {
    /// What the chaincode did: results, event, response, and its name and version.
    ///
    /// # Errors
    /// `BAD_RESPONSE_PAYLOAD`.
    pub fn chaincode_action(&self) -> Result<ChaincodeAction, ViewError> {
        const CODE: TxValidationCode = TxValidationCode::BadResponsePayload;

        if self.response.extension.is_empty() {
            return Err(error(CODE, "the response payload has no extension"));
        }
        decode(CODE, &self.response.extension)
    }

    /// The chaincode's event in an action.
    ///
    /// # Errors
    /// `INVALID_OTHER_REASON`.
    pub fn event(action: &ChaincodeAction) -> Result<Option<ChaincodeEvent>, ViewError> {
        if action.events.is_empty() {
            return Ok(None);
        }
        decode(TxValidationCode::InvalidOtherReason, &action.events).map(Some)
    }
}

fn check_signer(code: TxValidationCode, header: &SignatureHeader) -> Result<(), ViewError> {
    if header.nonce.is_empty() {
        return Err(error(code, "the signature header has no nonce"));
    }
    if header.creator.is_empty() {
        return Err(error(code, "the signature header has no creator"));
    }
    Ok(())
}

/// Takes the fields of a message off what is left of [`MAX_FIELDS`].
fn spend_fields(code: TxValidationCode, message: &[u8], left: &mut usize) -> Result<(), ViewError> {
    let count = fields(message).take(*left + 1).count();
    *left = left
        .checked_sub(count)
        .ok_or_else(|| error(code, format!("it has more than {MAX_FIELDS} fields")))?;
    Ok(())
}

fn decode<M: Message + Default>(code: TxValidationCode, bytes: &Bytes) -> Result<M, ViewError> {
    M::decode(bytes.clone()).map_err(|cause| error(code, cause.to_string()))
}

fn error(code: TxValidationCode, reason: impl Into<String>) -> ViewError {
    ViewError { code, reason: reason.into() }
}
