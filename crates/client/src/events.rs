//! Following what is committed: the events of a chaincode through a gateway, and blocks from a peer's Deliver service.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_proto::common::{
    Block, ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader, Status,
};
use selvedge_proto::gateway::{ChaincodeEventsRequest, SignedChaincodeEventsRequest};
use selvedge_proto::orderer::seek_info::SeekBehavior;
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{
    SeekInfo, SeekNewest, SeekNextCommit, SeekOldest, SeekPosition, SeekSpecified,
};
use selvedge_proto::protos::deliver_client::DeliverClient;
use selvedge_proto::protos::deliver_response::Type as Answer;
use selvedge_proto::protos::{BlockAndPrivateData, DeliverResponse, FilteredBlock};
use tonic::Streaming;
use tonic::transport::Channel;

use crate::gateway::MESSAGE_BYTES;
use crate::proposal::nonce;
use crate::{ClientError, Gateway};

/// An event that a valid transaction has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChaincodeEvent {
    /// The block of the transaction.
    pub block: u64,
    /// The transaction.
    pub tx_id: String,
    /// The chaincode that set it.
    pub chaincode: String,
    /// Its name.
    pub name: String,
    /// What the chaincode put into it.
    pub payload: Bytes,
}

/// How far a client has come with the events of a chaincode. Whoever keeps it with what it has made of the events
/// misses none and sees none twice, whatever breaks off.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The block to go on with; `None` for the next one that is committed.
    pub block: Option<u64>,
    /// The last transaction of that block whose event is done with; `None` if nothing of the block is.
    pub transaction: Option<String>,
}

impl Checkpoint {
    /// Begins with the first event there is.
    pub fn start() -> Self {
        Self::block(0)
    }

    /// Begins with a block.
    pub fn block(number: u64) -> Self {
        Self { block: Some(number), transaction: None }
    }

    /// Begins with whatever is committed from now on.
    pub fn now() -> Self {
        Self::default()
    }
}

impl ChaincodeEvent {
    /// Where to go on after this event.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { block: Some(self.block), transaction: Some(self.tx_id.clone()) }
    }
}

impl Gateway {
    /// Follows the events of a chaincode's valid transactions, in the order of the blocks. The stream ends only with
    /// an error, as when the connection is lost; a client then begins again where it has come to.
    ///
    /// # Errors
    /// With the gateway's status when it refuses.
    pub async fn chaincode_events(
        &self,
        channel_id: &str,
        chaincode: &str,
        from: &Checkpoint,
    ) -> Result<BoxStream<'static, Result<ChaincodeEvent, ClientError>>, ClientError> {
        let start = match from.block {
            Some(number) => Position::Specified(SeekSpecified { number }),
            None => Position::NextCommit(SeekNextCommit {}),
        };
        let request = ChaincodeEventsRequest {
            channel_id: channel_id.to_owned(),
            chaincode_id: chaincode.to_owned(),
            identity: self.identity().serialized().clone(),
            start_position: Some(SeekPosition { r#type: Some(start) }),
            after_transaction_id: from.transaction.clone().unwrap_or_default(),
        };
        let request: Bytes = request.encode_to_vec().into();
        let signature = self.identity().sign(&request)?;
        let request = SignedChaincodeEventsRequest { request, signature };
        let failed = |status| ClientError::from_status("chaincode events", &status);
        let blocks = self.client().chaincode_events(request).await.map_err(failed)?.into_inner();
        let events = blocks.flat_map(move |block| {
            let events: Vec<_> = match block {
                Err(status) => vec![Err(failed(status))],
                Ok(response) => {
                    let block = response.block_number;
                    let events = response.events.into_iter().map(|event| ChaincodeEvent {
                        block,
                        tx_id: event.tx_id,
                        chaincode: event.chaincode_id,
                        name: event.event_name,
                        payload: event.payload,
                    });
                    events.map(Ok).collect()
                }
            };
            stream::iter(events)
        });
        Ok(events.boxed())
    }
}

/// A block's place for whoever seeks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockPosition {
    /// Block 0.
    Oldest,
    /// The last block at the time of the request.
    Newest,
    /// The block of this number.
    Number(u64),
    /// The first block after the request.
    Next,
}

/// Which blocks are sought. Blocks that do not exist yet are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRange {
    start: BlockPosition,
    stop: BlockPosition,
    behavior: SeekBehavior,
}

impl BlockRange {
    /// From a block to another one, both included.
    pub fn new(start: BlockPosition, stop: BlockPosition) -> Self {
        Self { start, stop, behavior: SeekBehavior::BlockUntilReady }
    }

    /// From a block on, without an end.
    pub fn from(start: BlockPosition) -> Self {
        Self::new(start, BlockPosition::Number(u64::MAX))
    }

    /// The one block at a place, which must exist: if it does not, the status is NOT_FOUND.
    pub fn one(place: BlockPosition) -> Self {
        Self { start: place, stop: place, behavior: SeekBehavior::FailIfNotReady }
    }

    fn seek(self) -> SeekInfo {
        let position = |position| {
            Some(SeekPosition {
                r#type: Some(match position {
                    BlockPosition::Oldest => Position::Oldest(SeekOldest {}),
                    BlockPosition::Newest => Position::Newest(SeekNewest {}),
                    BlockPosition::Number(number) => Position::Specified(SeekSpecified { number }),
                    BlockPosition::Next => Position::NextCommit(SeekNextCommit {}),
                }),
            })
        };
        SeekInfo {
            start: position(self.start),
            stop: position(self.stop),
            behavior: self.behavior.into(),
            ..SeekInfo::default()
        }
    }
}

/// A peer's blocks, read in the name of one identity. Clones share the connection.
///
/// Each stream gives the blocks of its range in order and then ends; a status other than success is a
/// [`ClientError::Refused`].
#[derive(Clone, Debug)]
pub struct Deliver {
    client: DeliverClient<Channel>,
    identity: Arc<SigningIdentity>,
    certificate_hash: Bytes,
}

impl Deliver {
    /// Reads from the peer at the other end of a connection.
    pub fn new(channel: Channel, identity: Arc<SigningIdentity>) -> Self {
        let client = DeliverClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Self { client, identity, certificate_hash: Bytes::new() }
    }

    /// Names the SHA-256 of the certificate that the connection shows, which peers under mutual TLS ask for.
    #[must_use]
    pub fn certificate_hash(mut self, hash: [u8; 32]) -> Self {
        self.certificate_hash = Bytes::copy_from_slice(&hash);
        self
    }

    /// Whole blocks.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn blocks(
        &self,
        channel_id: &str,
        range: BlockRange,
    ) -> Result<BoxStream<'static, Result<Block, ClientError>>, ClientError> {
        const OPERATION: &str = "deliver";
        let seek = self.seek(channel_id, range)?;
        let answers = self.client.clone().deliver(stream::iter([seek])).await;
        delivered(OPERATION, answers, |answer| match answer {
            Answer::Block(block) => Some(block),
            _ => None,
        })
    }

    /// Blocks reduced to the ids and verdicts of their transactions, and to events without their payloads.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn filtered_blocks(
        &self,
        channel_id: &str,
        range: BlockRange,
    ) -> Result<BoxStream<'static, Result<FilteredBlock, ClientError>>, ClientError> {
        const OPERATION: &str = "deliver filtered";
        let seek = self.seek(channel_id, range)?;
        let answers = self.client.clone().deliver_filtered(stream::iter([seek])).await;
        delivered(OPERATION, answers, |answer| match answer {
            Answer::FilteredBlock(block) => Some(block),
            _ => None,
        })
    }

    /// Whole blocks with the private data that the peer holds and the identity may read.
    ///
    /// # Errors
    /// When the peer does not answer.
    pub async fn blocks_with_private_data(
        &self,
        channel_id: &str,
        range: BlockRange,
    ) -> Result<BoxStream<'static, Result<BlockAndPrivateData, ClientError>>, ClientError> {
        const OPERATION: &str = "deliver with private data";
        let seek = self.seek(channel_id, range)?;
        let answers = self.client.clone().deliver_with_private_data(stream::iter([seek])).await;
        delivered(OPERATION, answers, |answer| match answer {
            Answer::BlockAndPrivateData(block) => Some(block),
            _ => None,
        })
    }

    fn seek(&self, channel_id: &str, range: BlockRange) -> Result<Envelope, ClientError> {
        let channel_header = ChannelHeader {
            r#type: HeaderType::DeliverSeekInfo.into(),
            channel_id: channel_id.to_owned(),
            timestamp: Some(SystemTime::now().into()),
            tls_cert_hash: self.certificate_hash.clone(),
            ..ChannelHeader::default()
        };
        let signature_header =
            SignatureHeader { creator: self.identity.serialized().clone(), nonce: nonce()? };
        let header = Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        };
        let data = range.seek().encode_to_vec().into();
        let payload: Bytes = Payload { header: Some(header), data }.encode_to_vec().into();
        let signature = self.identity.sign(&payload)?;
        Ok(Envelope { payload, signature })
    }
}

/// The blocks of a stream up to its status.
fn delivered<B: Send + 'static>(
    operation: &'static str,
    answers: Result<tonic::Response<Streaming<DeliverResponse>>, tonic::Status>,
    block: impl Fn(Answer) -> Option<B> + Send + 'static,
) -> Result<BoxStream<'static, Result<B, ClientError>>, ClientError> {
    let failed = move |status| ClientError::from_status(operation, &status);
    let answers = answers.map_err(failed)?.into_inner();
    let blocks = stream::unfold(Some((answers, block)), move |state| async move {
        let (mut answers, block) = state?;
        let answer = match answers.message().await {
            Ok(answer) => answer.and_then(|answer| answer.r#type),
            Err(status) => return Some((Err(failed(status)), None)),
        };
        match answer {
            None => Some((Err(ClientError::answer(operation, "it ends without a status")), None)),
            Some(Answer::Status(status)) if status == i32::from(Status::Success) => None,
            Some(Answer::Status(status)) => {
                let name = Status::try_from(status).map_or("an unknown status", |known| known.as_str_name());
                let message = name.to_owned();
                Some((Err(ClientError::Refused { operation, status, message }), None))
            }
            Some(answer) => Some(match block(answer) {
                Some(found) => (Ok(found), Some((answers, block))),
                None => (Err(ClientError::answer(operation, "it is of another form")), None),
            }),
        }
    });
    Ok(blocks.boxed())
}
