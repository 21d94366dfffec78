//! Updates of a channel's configuration: made from two configurations, signed by administrators, sent to an orderer.

use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use selvedge_identity::SigningIdentity;
pub use selvedge_identity::channel::update::compute as compute_update;
use selvedge_proto::common::{
    ChannelHeader, ConfigSignature, ConfigUpdate, ConfigUpdateEnvelope, Envelope, Header, HeaderType,
    Payload, SignatureHeader, Status,
};
use selvedge_proto::orderer::atomic_broadcast_client::AtomicBroadcastClient;
use tonic::transport::Channel;

use crate::ClientError;
use crate::gateway::MESSAGE_BYTES;
use crate::proposal::nonce;

/// A configuration update with the signatures that it has so far.
#[derive(Clone, Debug)]
pub struct SignedUpdate {
    channel_id: String,
    envelope: ConfigUpdateEnvelope,
}

impl SignedUpdate {
    /// An update that nobody has signed, such as one that [`compute_update`] makes.
    pub fn new(update: &ConfigUpdate) -> Self {
        let config_update = update.encode_to_vec().into();
        let envelope = ConfigUpdateEnvelope { config_update, signatures: Vec::new() };
        Self { channel_id: update.channel_id.clone(), envelope }
    }

    /// Adds a signature. Whose are needed is what the `mod_policy` of each changed element says.
    ///
    /// # Errors
    /// When the system gives no random bytes or the signature fails.
    pub fn sign(mut self, identity: &SigningIdentity) -> Result<Self, ClientError> {
        let signature_header: Bytes = signature_header(identity)?.encode_to_vec().into();
        let signed = [signature_header.as_ref(), &self.envelope.config_update].concat();
        let signature = identity.sign(&signed)?;
        self.envelope.signatures.push(ConfigSignature { signature_header, signature });
        Ok(self)
    }

    /// The envelope for an orderer, sent in the name of an identity, which need not be one of those who have signed.
    ///
    /// # Errors
    /// As [`SignedUpdate::sign`].
    pub fn envelope(&self, sender: &SigningIdentity) -> Result<Envelope, ClientError> {
        let channel_header = ChannelHeader {
            r#type: HeaderType::ConfigUpdate.into(),
            channel_id: self.channel_id.clone(),
            timestamp: Some(SystemTime::now().into()),
            ..ChannelHeader::default()
        };
        let header = Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header(sender)?.encode_to_vec().into(),
        };
        let data = self.envelope.encode_to_vec().into();
        let payload: Bytes = Payload { header: Some(header), data }.encode_to_vec().into();
        let signature = sender.sign(&payload)?;
        Ok(Envelope { payload, signature })
    }
}

/// An orderer, which takes transactions and configuration updates. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Broadcast {
    client: AtomicBroadcastClient<Channel>,
}

impl Broadcast {
    /// Uses the orderer at the other end of a connection.
    pub fn new(channel: Channel) -> Self {
        let client = AtomicBroadcastClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Self { client }
    }

    /// Has an envelope ordered.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the orderer's status and text when it does not take the envelope.
    pub async fn send(&self, envelope: Envelope) -> Result<(), ClientError> {
        const OPERATION: &str = "broadcast";
        let failed = |status| ClientError::from_status(OPERATION, &status);
        let answers = self.client.clone().broadcast(stream::iter([envelope])).await.map_err(failed)?;
        let answer = answers.into_inner().message().await.map_err(failed)?;
        let answer = answer.ok_or_else(|| ClientError::answer(OPERATION, "it ends without a status"))?;
        if answer.status == i32::from(Status::Success) {
            return Ok(());
        }
        Err(ClientError::Refused { operation: OPERATION, status: answer.status, message: answer.info })
    }
}

fn signature_header(identity: &SigningIdentity) -> Result<SignatureHeader, ClientError> {
    Ok(SignatureHeader { creator: identity.serialized().clone(), nonce: nonce()? })
}
