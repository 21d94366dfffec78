use async_trait::async_trait;
use futures_util::stream;
use selvedge_proto::common::Envelope;
use selvedge_proto::orderer::BroadcastResponse;
use selvedge_proto::orderer::atomic_broadcast_client::AtomicBroadcastClient;
use tonic::transport::Channel;

use crate::endorser::MAX_MESSAGE;

/// Why an orderer gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BroadcastError {
    /// It could not be asked.
    #[error("{0}")]
    Unavailable(String),
    /// It ended the stream without an answer.
    #[error("EOF")]
    NoAnswer,
}

/// An ordering node.
#[async_trait]
pub trait Broadcaster: Send + Sync {
    /// The MSP id of its organisation.
    fn msp_id(&self) -> &str;

    /// Where it is reached, `host:port`; error details name it.
    fn address(&self) -> &str;

    /// Hands it one envelope.
    ///
    /// # Errors
    /// When it does not answer. A refusal is an answer.
    async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, BroadcastError>;
}

/// An ordering node at the end of a connection.
#[derive(Clone, Debug)]
pub struct RemoteBroadcaster {
    client: AtomicBroadcastClient<Channel>,
    address: String,
    msp_id: String,
}

impl RemoteBroadcaster {
    /// The node at the end of a connection.
    pub fn new(channel: Channel, address: impl Into<String>, msp_id: impl Into<String>) -> Self {
        let client = AtomicBroadcastClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Self { client, address: address.into(), msp_id: msp_id.into() }
    }
}

#[async_trait]
impl Broadcaster for RemoteBroadcaster {
    fn msp_id(&self) -> &str {
        &self.msp_id
    }

    fn address(&self) -> &str {
        &self.address
    }

    async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        let failed = |status: tonic::Status| {
            let (code, message) = (status.code(), status.message());
            BroadcastError::Unavailable(format!("rpc error: code = {code:?} desc = {message}"))
        };
        let outgoing = stream::iter([envelope]);
        let mut answers = self.client.clone().broadcast(outgoing).await.map_err(failed)?.into_inner();
        answers.message().await.map_err(failed)?.ok_or(BroadcastError::NoAnswer)
    }
}
