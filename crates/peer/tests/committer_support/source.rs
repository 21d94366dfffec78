use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_proto::common::Block;
use tokio::sync::watch;

/// Gives blocks as a test says, and remembers what it was asked for.
#[derive(Clone)]
pub(crate) struct TestSource {
    blocks: watch::Sender<Vec<Block>>,
    /// Blocks that are given once in place of those of their number.
    spoilt: Arc<Mutex<Vec<Block>>>,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl TestSource {
    /// A source with a genesis block.
    pub(crate) fn new(genesis: Block) -> Self {
        Self { blocks: watch::Sender::new(vec![genesis]), spoilt: Arc::default(), asked: Arc::default() }
    }

    /// Adds a block.
    pub(crate) fn push(&self, block: Block) {
        self.blocks.send_modify(|blocks| blocks.push(block));
    }

    /// Gives this block once in place of the one with its number.
    pub(crate) fn spoil(&self, block: Block) {
        self.spoilt.lock().unwrap().push(block);
    }

    /// The last block.
    pub(crate) fn last(&self) -> Block {
        self.blocks.borrow().last().unwrap().clone()
    }

    /// From which blocks on it was asked.
    pub(crate) fn asked(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }

    fn take_spoilt(&self, number: usize) -> Option<Block> {
        let mut spoilt = self.spoilt.lock().unwrap();
        let has_number = |block: &Block| super::header(block).number == number as u64;
        spoilt.iter().position(has_number).map(|index| spoilt.remove(index))
    }
}

impl BlockSource for TestSource {
    fn blocks(&self, from: u64) -> BoxStream<'static, Result<Block, SourceError>> {
        self.asked.lock().unwrap().push(from);
        let start = (self.clone(), self.blocks.subscribe(), usize::try_from(from).unwrap());
        stream::unfold(start, |(source, mut receiver, number)| async move {
            let block = receiver.wait_for(|blocks| blocks.len() > number).await.ok()?[number].clone();
            let block = source.take_spoilt(number).unwrap_or(block);
            Some((Ok(block), (source, receiver, number + 1)))
        })
        .boxed()
    }
}
