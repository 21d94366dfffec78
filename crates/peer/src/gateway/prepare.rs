//! Puts a transaction together.

use prost::Message;
use selvedge_proto::common::{Envelope, Header, Payload};
use selvedge_proto::protos::{
    ChaincodeActionPayload, ChaincodeEndorsedAction, ChaincodeProposalPayload, Transaction, TransactionAction,
};

/// The transaction of a proposal with its endorsements, which the client has to sign. It has no transient data.
pub(super) fn prepare(
    header: Header,
    payload: ChaincodeProposalPayload,
    action: ChaincodeEndorsedAction,
) -> Envelope {
    let lasting = ChaincodeProposalPayload { input: payload.input, ..Default::default() };
    let payload = ChaincodeActionPayload {
        chaincode_proposal_payload: lasting.encode_to_vec().into(),
        action: Some(action),
    };
    let transaction = Transaction {
        actions: vec![TransactionAction {
            header: header.signature_header.clone(),
            payload: payload.encode_to_vec().into(),
        }],
    };
    let payload = Payload { header: Some(header), data: transaction.encode_to_vec().into() };
    Envelope { payload: payload.encode_to_vec().into(), ..Envelope::default() }
}
