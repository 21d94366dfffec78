//! The events of a chaincode's valid transactions, block by block.

use prost::Message;
use selvedge_identity::SignedData;
use selvedge_ledger::block::{TransactionSummary, validation_codes};
use selvedge_proto::common::Block;
use selvedge_proto::gateway::{
    ChaincodeEventsRequest, ChaincodeEventsResponse, SignedChaincodeEventsRequest,
};
use selvedge_proto::orderer::SeekPosition;
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::protos::{ChaincodeEvent, TxValidationCode};
use tonic::Code;

use super::{Gateway, GatewayError};
use crate::channel::Channel;
use crate::endorser::{AccessError, INVALID_WIRE};
use crate::event::chaincode_event;
use crate::follower::{FollowError, Follower};

/// The resource that guards events.
const CHAINCODE_EVENTS: &str = "gateway/ChaincodeEvents";

/// The events of one chaincode for one client.
#[derive(Debug)]
pub struct ChaincodeEvents {
    follower: Follower,
    /// The block to look at next.
    next: u64,
    chaincode: String,
    /// Everything up to this transaction is left out, until it has come by; empty if nothing is.
    after: String,
}

impl Gateway {
    /// Begins to follow the events of a chaincode: from the block that the request names, else with the next one. If
    /// it names a transaction too, only what comes after that counts, and if that is in the ledger, its block comes
    /// first.
    ///
    /// # Errors
    /// Fabric's: `PERMISSION_DENIED` for a channel that is unknown or that the client may not read,
    /// `INVALID_ARGUMENT` for other positions than a block's number and the next commit.
    pub fn chaincode_events(
        &self,
        signed: SignedChaincodeEventsRequest,
    ) -> Result<ChaincodeEvents, GatewayError> {
        let request = ChaincodeEventsRequest::decode(signed.request.clone()).map_err(|_| {
            GatewayError::invalid(format!("invalid chaincode events request: {INVALID_WIRE}"))
        })?;
        let denied = |error: AccessError| GatewayError::new(Code::PermissionDenied, error.to_string());
        let channel = self.channel(&request.channel_id);
        let channel =
            channel.ok_or_else(|| denied(AccessError::UnknownChannel(request.channel_id.clone())))?;
        let by = SignedData { data: signed.request, identity: request.identity, signature: signed.signature };
        let follower = Follower::new(channel.channel.clone(), CHAINCODE_EVENTS, by).map_err(denied)?;
        let next = match first_block(follower.channel(), &request.after_transaction_id)? {
            Some(block) => block,
            None => position(request.start_position.as_ref(), follower.height())?,
        };
        Ok(ChaincodeEvents {
            follower,
            next,
            chaincode: request.chaincode_id,
            after: request.after_transaction_id,
        })
    }
}

impl ChaincodeEvents {
    /// The events of the next block that has some. It waits for ever if there is none; dropping the future ends the
    /// wait.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` when a new configuration shuts the client out; `UNAVAILABLE` when the channel takes in no
    /// more blocks; `ABORTED` when a block cannot be read.
    pub async fn next(&mut self) -> Result<ChaincodeEventsResponse, GatewayError> {
        loop {
            let number = self.next;
            let (chaincode, mut after) = (self.chaincode.clone(), self.after.clone());
            let read = self.follower.read(number, move |channel| {
                let block = channel.ledger().block(number)?;
                Ok(block.map(|block| (events_of(&block, &chaincode, &mut after), after)))
            });
            let (events, after) = read.await.map_err(failed)?;
            self.after = after;
            self.next = number.saturating_add(1);
            if !events.is_empty() {
                return Ok(ChaincodeEventsResponse { events, block_number: number });
            }
        }
    }
}

/// The block of a transaction, if it is in the ledger.
fn first_block(channel: &Channel, transaction: &str) -> Result<Option<u64>, GatewayError> {
    if transaction.is_empty() {
        return Ok(None);
    }
    let place = channel.ledger().transaction_place(transaction);
    let place = place.map_err(|error| GatewayError::new(Code::Aborted, error.to_string()))?;
    Ok(place.map(|place| place.block))
}

fn position(position: Option<&SeekPosition>, height: u64) -> Result<u64, GatewayError> {
    let invalid = |name: &str| {
        GatewayError::invalid(format!("invalid start position type: *orderer.SeekPosition_{name}"))
    };
    match position.and_then(|position| position.r#type.as_ref()) {
        None | Some(Position::NextCommit(_)) => Ok(height),
        Some(Position::Specified(specified)) => Ok(specified.number),
        Some(Position::Oldest(_)) => Err(invalid("Oldest")),
        Some(Position::Newest(_)) => Err(invalid("Newest")),
    }
}

/// The events of a chaincode in a block, without those up to the transaction `after`, which is emptied by it.
fn events_of(block: &Block, chaincode: &str, after: &mut String) -> Vec<ChaincodeEvent> {
    let entries = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    let mut events = Vec::new();
    for (entry, code) in entries.iter().zip(validation_codes(block)) {
        if !after.is_empty() {
            if TransactionSummary::of(entry).transaction_id == *after {
                after.clear();
            }
        } else if code == TxValidationCode::Valid {
            events.extend(chaincode_event(entry).filter(|event| event.chaincode_id == chaincode));
        }
    }
    events
}

fn failed(error: FollowError) -> GatewayError {
    let code = match &error {
        FollowError::Ended => Code::Unavailable,
        FollowError::Access(_) => Code::PermissionDenied,
        FollowError::Ledger(_) | FollowError::Lost(_) => Code::Aborted,
    };
    GatewayError::new(code, error.to_string())
}
