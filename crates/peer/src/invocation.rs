//! What the endorser hands to the chaincode host, and what the host asks of it while chaincode runs.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use selvedge_proto::protos::{ChaincodeInput, SignedProposal};
use selvedge_session::TxKey;
use selvedge_session::request::AnyRequest;

/// One call of a chaincode.
#[derive(Clone, Debug, PartialEq)]
pub struct Invocation {
    /// The channel; empty for calls outside any channel.
    pub channel_id: String,
    /// The transaction id, unique within its channel.
    pub tx_id: String,
    /// The arguments and decorations, as the chaincode is to see them.
    pub input: ChaincodeInput,
    /// The client's proposal, from which the chaincode takes creator, transient map, timestamp and binding.
    pub proposal: SignedProposal,
    /// True sends INIT, false TRANSACTION.
    pub is_init: bool,
}

impl Invocation {
    /// What names the transaction on the chaincode's stream.
    pub fn key(&self) -> TxKey {
        TxKey::new(&self.channel_id, &self.tx_id)
    }
}

/// What stands behind a transaction while its chaincode runs: the simulator, open iterators, called chaincodes.
///
/// The host calls it for one request at a time, in the order in which the chaincode made them. It is dropped or left
/// when the transaction ends, however it ends, so that closing iterators belongs into `Drop` or after the call.
pub trait TransactionContext: Send {
    /// Serves one request and gives the payload of the reply
    /// ([`Request::encode_reply`](selvedge_session::request::Request::encode_reply)).
    ///
    /// # Errors
    /// The cause alone, such as `query iterator not found`; the host puts `GET_STATE failed: transaction ID: …: `
    /// before it.
    fn handle(&mut self, request: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>>;
}
