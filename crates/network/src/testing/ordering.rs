//! The ordering service of a channel under test: what is handed over together becomes one block, at once.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use selvedge_identity::{ChannelConfig, SignedData, SigningIdentity};
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_orderer::seal_block;
use selvedge_peer::gateway::{BroadcastError, Broadcaster};
use selvedge_proto::common::{Block, Envelope, Status};
use selvedge_proto::orderer::BroadcastResponse;
use tokio::sync::watch;

use super::TestError;

/// Makes the channel's blocks. Clones are the same ordering service.
///
/// The embedded orderer decides by what waits at a moment which transactions share a block; tests decide it themselves.
#[derive(Clone)]
pub(super) struct Ordering {
    identity: Arc<SigningIdentity>,
    blocks: Arc<watch::Sender<Vec<Block>>>,
}

impl Ordering {
    /// Begins a channel.
    pub(super) fn new(identity: Arc<SigningIdentity>, genesis: Block) -> Self {
        Self { identity, blocks: Arc::new(watch::Sender::new(vec![genesis])) }
    }

    /// The channel's first block.
    pub(super) fn genesis(&self) -> Result<Block, TestError> {
        self.blocks.borrow().first().cloned().ok_or(TestError::Ended)
    }

    /// Puts transactions into one block, whatever they are, and gives its number.
    pub(super) fn order(&self, envelopes: &[Envelope]) -> Result<u64, TestError> {
        let entries = envelopes.iter().map(|envelope| envelope.encode_to_vec().into()).collect();
        let mut sealed = Err(TestError::Ended);
        self.blocks.send_modify(|blocks| {
            let Some(previous) = blocks.last().and_then(|block| block.header.clone()) else { return };
            sealed = match seal_block(&previous, entries, 0, &self.identity) {
                Ok((header, block)) => {
                    blocks.push(block);
                    Ok(header.number)
                }
                Err(error) => Err(TestError::setup(error)),
            };
        });
        sealed
    }
}

/// The ordering service as gateways reach it, which looks at what it is given.
pub(super) struct Orderer {
    pub(super) ordering: Ordering,
    pub(super) address: String,
    pub(super) config: Arc<ChannelConfig>,
}

impl Orderer {
    /// Whether the transaction's creator is one of the channel's writers, and has signed it.
    fn admit(&self, envelope: &Envelope) -> Result<(), String> {
        let signed = SignedData::from_envelope(envelope).map_err(|error| error.to_string())?;
        let writers = self.config.policy("/Channel/Writers").map_err(|error| error.to_string())?;
        writers.evaluate(&[signed]).map_err(|error| format!("{error}: permission denied"))
    }
}

#[async_trait]
impl Broadcaster for Orderer {
    fn msp_id(&self) -> &str {
        self.ordering.identity.msp_id()
    }

    fn address(&self) -> &str {
        &self.address
    }

    async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        let answer = |status: Status, info| BroadcastResponse { status: status.into(), info };
        if let Err(info) = self.admit(&envelope) {
            return Ok(answer(Status::Forbidden, info));
        }
        let ordered = self.ordering.order(&[envelope]);
        ordered.map_err(|error| BroadcastError::Unavailable(error.to_string()))?;
        Ok(answer(Status::Success, String::new()))
    }
}

impl BlockSource for Ordering {
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>> {
        let first = usize::try_from(from).unwrap_or(usize::MAX);
        stream::unfold((self.blocks.subscribe(), first), |(mut blocks, number)| async move {
            let block = blocks.wait_for(|blocks| blocks.len() > number).await.ok()?.get(number).cloned()?;
            Some((Ok(block), (blocks, number + 1)))
        })
        .boxed()
    }
}
