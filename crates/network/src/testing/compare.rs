//! Whether two simulations of one proposal came to the same.

use bytes::Bytes;
use prost::Message;
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_peer::endorser::EndorserError;
use selvedge_proto::protos::{ChaincodeAction, ChaincodeEvent, ProposalResponse, ProposalResponsePayload};

use super::TestError;

type Answer = Result<ProposalResponse, EndorserError>;

/// Compares what endorsers would sign, and what they say if they sign nothing.
pub(super) fn same(batched: Answer, single: Answer) -> Result<(), TestError> {
    let (batched, single) = (said(batched), said(single));
    if batched == single {
        return Ok(());
    }
    Err(TestError::Batching { batched: describe(&batched), single: describe(&single) })
}

/// The payload for signing and the response's text.
fn said(answer: Answer) -> (Bytes, String) {
    match answer {
        Ok(answer) => {
            let response = answer.response.unwrap_or_default();
            (answer.payload, format!("status {}: {}", response.status, response.message))
        }
        Err(error) => (Bytes::new(), error.to_string()),
    }
}

fn describe((payload, response): &(Bytes, String)) -> String {
    let action = ProposalResponsePayload::decode(payload.clone())
        .and_then(|payload| ChaincodeAction::decode(payload.extension));
    let Ok(action) = action else { return response.clone() };
    let rwset = ReadWriteSet::parse(&action.results).unwrap_or_default();
    let event = ChaincodeEvent::decode(action.events).unwrap_or_default();
    let payload = action.response.unwrap_or_default().payload;
    format!("{response}, {payload:?}, event {:?} {:?}, {rwset:?}", event.event_name, event.payload)
}
