use async_trait::async_trait;
use bytes::Bytes;
use selvedge_identity::{Creator, CreatorError};
use selvedge_proto::protos::endorser_client::EndorserClient;
use selvedge_proto::protos::{ProposalResponse, SignedProposal};
use tonic::transport::Channel;

use super::{Endorser, EndorserError, MAX_MESSAGE};

/// Another peer as an endorser.
#[derive(Clone, Debug)]
pub struct RemoteEndorser {
    client: EndorserClient<Channel>,
    address: String,
    msp_id: String,
    identity: Bytes,
}

impl RemoteEndorser {
    /// The peer at the end of a connection, whose encoded `msp.SerializedIdentity` is known.
    ///
    /// # Errors
    /// When the identity cannot be decoded.
    pub fn new(channel: Channel, address: impl Into<String>, identity: Bytes) -> Result<Self, CreatorError> {
        let msp_id = Creator::parse(&identity)?.msp_id().to_owned();
        let client = EndorserClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE);
        Ok(Self { client, address: address.into(), msp_id, identity })
    }
}

#[async_trait]
impl Endorser for RemoteEndorser {
    fn msp_id(&self) -> &str {
        &self.msp_id
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn identity(&self) -> &Bytes {
        &self.identity
    }

    /// As Fabric's gateway takes it, any error is one of reaching the peer; the text is as Go prints it.
    async fn process_proposal(&self, proposal: SignedProposal) -> Result<ProposalResponse, EndorserError> {
        let answered = self.client.clone().process_proposal(proposal).await;
        answered.map(tonic::Response::into_inner).map_err(|status| {
            let (code, message) = (status.code(), status.message());
            EndorserError::Unavailable(format!("rpc error: code = {code:?} desc = {message}"))
        })
    }
}
