//! What can be said of a transaction by the channel's configuration alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use selvedge_identity::policy::valid_identities;
use selvedge_identity::{ChannelConfig, Identity, SignedData};
use selvedge_ledger::block::{EndorsedAction, TransactionView, ViewError};
use selvedge_ledger::rwset::{NamespaceSet, ReadWriteSet};
use selvedge_proto::common::HeaderType;
use selvedge_proto::protos::{ChaincodeAction, TxValidationCode};

use super::configuration;

/// A transaction as far as it was looked at.
#[derive(Debug)]
pub(super) enum Examination {
    /// It is invalid, whatever the state.
    Refused(ViewError),
    /// It replaces the channel's configuration.
    Configuration(Arc<ChannelConfig>),
    /// Its creator signed it, and its id is its own.
    Endorsed {
        /// The id.
        id: String,
        /// What was endorsed. A faulty call only counts if the id was not used before.
        call: Result<Call, ViewError>,
    },
}

/// An endorsed call of a chaincode.
#[derive(Debug)]
pub(super) struct Call {
    /// The chaincode that was called.
    pub(super) chaincode: String,
    /// What it read and wrote.
    pub(super) set: ReadWriteSet,
    /// Who endorsed it, each once; their signatures hold.
    pub(super) endorsers: Vec<Arc<Identity>>,
}

impl Examination {
    /// Examines a block's entry.
    pub(super) fn of(entry: &Bytes, config: &ChannelConfig, is_alone: bool) -> Self {
        Self::examine(entry, config, is_alone).unwrap_or_else(Self::Refused)
    }

    fn examine(entry: &Bytes, config: &ChannelConfig, is_alone: bool) -> Result<Self, ViewError> {
        let view = TransactionView::parse(entry)?;
        check_creator(&view, config)?;
        match view.header_type {
            HeaderType::EndorserTransaction => {
                if !view.has_own_id() {
                    let reason = "the id is not that of the nonce and the creator";
                    return Err(refusal(TxValidationCode::BadProposalTxid, reason));
                }
                let action = view.endorsed_action()?;
                let call = Call::read(&view, action, config);
                Ok(Self::Endorsed { id: view.channel_header.tx_id, call })
            }
            HeaderType::Config => configuration::read(&view, config, is_alone).map(Self::Configuration),
            kind => {
                let reason = format!("blocks carry no {}", kind.as_str_name());
                Err(refusal(TxValidationCode::UnsupportedTxPayload, reason))
            }
        }
    }
}

impl Call {
    fn read(
        view: &TransactionView,
        endorsed: EndorsedAction,
        config: &ChannelConfig,
    ) -> Result<Self, ViewError> {
        let header = view.header_extension()?;
        let action = endorsed.chaincode_action()?;
        let set = ReadWriteSet::parse(&action.results)
            .map_err(|error| refusal(TxValidationCode::BadRwset, error.to_string()))?;
        let other = |reason| refusal(TxValidationCode::InvalidOtherReason, reason);
        let ran = action.chaincode_id.as_ref().ok_or_else(|| other("the action names no chaincode"))?;
        let called = header.chaincode_id.ok_or_else(|| other("the header names no chaincode"))?;
        if called.name.is_empty() || called.name != ran.name || ran.version.is_empty() {
            let reason = format!(
                "the header calls chaincode '{}', but '{}' of version '{}' was endorsed",
                called.name, ran.name, ran.version
            );
            return Err(refusal(TxValidationCode::InvalidChaincode, reason));
        }
        check_event(&action, &called.name)?;
        if let Some(namespace) = set.duplicate_namespace() {
            let reason = format!("the namespace '{namespace}' comes more than once");
            return Err(refusal(TxValidationCode::IllegalWriteset, reason));
        }
        let endorsers = valid_identities(config.msps(), &signed_data(endorsed));
        Ok(Self { chaincode: called.name, set, endorsers })
    }

    /// The namespaces whose policies must hold: those that are written to, and the chaincode's own.
    pub(super) fn namespaces(&self) -> BTreeSet<&str> {
        let written = self.set.namespaces.iter().filter(|set| writes(set)).map(|set| set.namespace.as_str());
        written.chain([self.chaincode.as_str()]).collect()
    }
}

pub(super) fn refusal(code: TxValidationCode, reason: impl Into<String>) -> ViewError {
    ViewError { code, reason: reason.into() }
}

/// The creator must be a valid member of the channel that the header names, and must have signed the payload.
fn check_creator(view: &TransactionView, config: &ChannelConfig) -> Result<(), ViewError> {
    let refuse = |reason: String| refusal(TxValidationCode::BadCreatorSignature, reason);
    if view.channel_header.channel_id != config.channel_id() {
        return Err(refuse(format!("the channel is '{}'", view.channel_header.channel_id)));
    }
    let creator = config
        .deserialize(&view.signature_header.creator)
        .map_err(|error| refuse(format!("the creator is not accepted: {error}")))?;
    creator
        .verify(&view.envelope.payload, &view.envelope.signature)
        .map_err(|error| refuse(format!("the creator's signature does not hold: {error}")))
}

fn check_event(action: &ChaincodeAction, chaincode: &str) -> Result<(), ViewError> {
    match EndorsedAction::event(action)? {
        Some(event) if event.chaincode_id != chaincode => {
            let reason = format!("the event is of chaincode '{}'", event.chaincode_id);
            Err(refusal(TxValidationCode::InvalidOtherReason, reason))
        }
        _ => Ok(()),
    }
}

/// Each endorsement covers the response payload and the endorser's identity.
fn signed_data(endorsed: EndorsedAction) -> Vec<SignedData> {
    let payload = &endorsed.response_payload;
    let signed = endorsed.endorsements.into_iter().map(|endorsement| {
        let mut data = BytesMut::with_capacity(payload.len() + endorsement.endorser.len());
        data.put_slice(payload);
        data.put_slice(&endorsement.endorser);
        SignedData { data: data.freeze(), identity: endorsement.endorser, signature: endorsement.signature }
    });
    signed.collect()
}

fn writes(set: &NamespaceSet) -> bool {
    let in_collections = || {
        let mut collections = set.collections.iter().map(|collection| &collection.hashed);
        collections.any(|hashed| !hashed.hashed_writes.is_empty() || !hashed.metadata_writes.is_empty())
    };
    !set.public.writes.is_empty() || !set.public.metadata_writes.is_empty() || in_collections()
}
