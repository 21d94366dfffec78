//! The system chaincodes qscc and cscc: what a peer knows of its channels.
//!
//! They run without a simulator, so that their answers have no read/write set. Functions, texts and the order of the
//! checks are Fabric's.

mod cscc;
mod qscc;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::{Identity, Msp};
use selvedge_proto::protos::Response;

use super::access::{check_access, check_any_access};
use super::{AccessError, Channels};
use crate::channel::Channel;

/// How Fabric's in-process shim fails when a text is no UTF-8, as one that quotes a block's hash.
const NO_TEXT: &str =
    "transaction returned with failure: failed to marshal response: string field contains invalid UTF-8";

/// One call of qscc or cscc.
pub(super) struct SystemCall<'a> {
    pub(super) channels: &'a Channels,
    pub(super) local_msp: &'a Msp,
    /// Whoever proposed the transaction; its signature was checked.
    pub(super) creator: &'a Arc<Identity>,
    /// The chaincode that the proposal's payload names; `None` if it names none.
    pub(super) original: Option<&'a str>,
    pub(super) args: &'a [Bytes],
}

impl SystemCall<'_> {
    /// Runs a system chaincode; `None` if there is none of that name.
    ///
    /// The error is a failure of the call itself, for which the peer has no response.
    pub(super) async fn invoke(&self, name: &str) -> Option<Result<Response, String>> {
        match name {
            "qscc" => Some(qscc::invoke(self).await),
            "cscc" => Some(cscc::invoke(self).await),
            _ => None,
        }
    }

    /// The chaincode that the client called. A call by another one is refused.
    fn original(&self) -> Result<&str, Response> {
        self.original
            .ok_or_else(|| error("Failed to identify the called chaincode: chaincode id is nil".to_owned()))
    }

    /// Checks the creator by the rules of a channel, whose MSPs may not know it.
    fn check_channel(&self, channel: &Channel, resource: &str) -> Result<(), AccessError> {
        let config = channel.config();
        let creator = config.deserialize(self.creator.serialized()).ok();
        check_access(&config, resource, creator.as_slice())
    }

    /// Checks the creator by the rules of the peer's own organisation.
    fn check_local(&self, resource: &str) -> Result<(), AccessError> {
        check_any_access(self.local_msp, None, resource, self.creator)
    }
}

fn success(payload: impl Into<Bytes>) -> Response {
    Response { status: 200, message: String::new(), payload: payload.into() }
}

fn message(payload: &impl Message) -> Response {
    success(payload.encode_to_vec())
}

fn error(message: String) -> Response {
    Response { status: 500, message, payload: Bytes::new() }
}

/// An argument as it goes into a text.
fn text(argument: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(argument).map_err(|_| NO_TEXT.to_owned())
}
