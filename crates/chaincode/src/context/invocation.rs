//! Calls of other chaincodes.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos;
use selvedge_proto::protos::ChaincodeInput;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_session::request::InvokeChaincode;

use super::{Context, Query};
use crate::{ArgumentError, LedgerError, Response};

impl Query {
    /// Calls a chaincode on another channel and returns its response, whatever its status. It reads that channel's
    /// state; whatever it writes is dropped, and nothing of it is checked at the commit.
    ///
    /// # Errors
    /// When the peer has not joined the channel, the sender may not call there, the chaincode cannot be run or fails
    /// ([`LedgerError::Callee`]), or the channel is the transaction's own.
    pub async fn call_on_channel<A: AsRef<[u8]>>(
        &self,
        channel: &str,
        chaincode: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Response, LedgerError> {
        if channel == self.channel_id() {
            return Err(ArgumentError::OwnChannel { channel: channel.to_owned() }.into());
        }
        check_name(channel)?;
        check_name(chaincode)?;
        self.invoke(format!("{chaincode}/{channel}"), args).await
    }

    async fn invoke<A: AsRef<[u8]>>(
        &self,
        name: String,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Response, LedgerError> {
        let args = args.into_iter().map(|arg| Bytes::copy_from_slice(arg.as_ref())).collect();
        let input = ChaincodeInput { args, ..ChaincodeInput::default() };
        let message = self.calls().call(&InvokeChaincode { name, input: Some(input) }).await?;
        if message.r#type() != Type::Completed {
            let reason = String::from_utf8_lossy(&message.payload).into_owned();
            return Err(LedgerError::Callee { reason });
        }
        let response = protos::Response::decode(message.payload)
            .map_err(|source| LedgerError::Record { request: Type::InvokeChaincode.into(), source })?;
        let protos::Response { status, message, payload } = response;
        Ok(Response { status, message, payload })
    }
}

impl Context {
    /// Calls a chaincode on the same channel, in the same transaction and in the name of the same sender, and returns its
    /// response, whatever its status. What it reads and writes becomes part of this transaction; its event is lost.
    ///
    /// A chaincode cannot call itself, nor one that is waiting for it.
    ///
    /// ```
    /// # use selvedge::{Context, LedgerError};
    /// /// Has the chaincode `token` pay, in the name of the same sender.
    /// async fn pay(ctx: &Context, to: &str, amount: u64) -> Result<bool, LedgerError> {
    ///     let amount = amount.to_string();
    ///     let paid = ctx.call("token", ["Transfer", to, &amount]).await?;
    ///     Ok(!paid.is_error())
    /// }
    /// ```
    ///
    /// # Errors
    /// When the chaincode cannot be run, or fails ([`LedgerError::Callee`]), or the stream ends.
    pub async fn call<A: AsRef<[u8]>>(
        &self,
        chaincode: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Response, LedgerError> {
        check_name(chaincode)?;
        self.invoke(chaincode.to_owned(), args).await
    }
}

fn check_name(name: &str) -> Result<(), ArgumentError> {
    match name.contains('/') {
        true => Err(ArgumentError::Name { name: name.to_owned() }),
        false => Ok(()),
    }
}
