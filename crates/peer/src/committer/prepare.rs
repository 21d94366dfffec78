//! What can be done with a block before the one ahead of it is committed.

use bytes::Bytes;
use selvedge_ledger::{Ledger, block};
use selvedge_proto::common::Block;

use super::error::BadBlock;
use crate::channel::Channel;
use crate::validator::{self, Examined};

/// Which block comes next.
#[derive(Clone, Debug)]
pub(super) struct Position {
    /// Its number.
    pub(super) next: u64,
    /// The hash of the block before it.
    previous: Bytes,
}

/// A block that is the next one, signed by the ordering service, with its transactions examined.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) block: Block,
    pub(super) examined: Examined,
    after: Position,
}

impl Position {
    /// What follows a ledger's last block.
    pub(super) fn of(ledger: &Ledger) -> Self {
        let tip = ledger.tip();
        Self { next: tip.height, previous: tip.block_hash }
    }
}

impl Prepared {
    /// Checks and examines a block by the channel's configuration in force. Uses the cores for a while.
    pub(super) fn new(channel: &Channel, position: &Position, block: Block) -> Result<Self, BadBlock> {
        let header = block.header.as_ref().ok_or(BadBlock::Lacks { part: "header" })?;
        let entries = &block.data.as_ref().ok_or(BadBlock::Lacks { part: "data" })?.data;
        let number = header.number;
        if number != position.next {
            return Err(BadBlock::Number { expected: position.next, found: number });
        }
        if header.previous_hash != position.previous {
            return Err(BadBlock::PreviousHash { number });
        }
        if header.data_hash != block::data_hash(entries)[..] {
            return Err(BadBlock::DataHash { number });
        }
        let config = channel.config();
        config.verify_block(&block).map_err(|source| BadBlock::Signature { number, source })?;
        block::check_well_formed(entries).map_err(|source| BadBlock::IllFormed { number, source })?;
        let after =
            Position { next: number + 1, previous: Bytes::copy_from_slice(&block::header_hash(header)) };
        let examined = validator::examine(&config, entries);
        Ok(Self { number, block, examined, after })
    }

    /// Which block comes after this one.
    pub(super) fn position_after(&self) -> Position {
        self.after.clone()
    }

    /// Whether the block may change the channel's configuration.
    pub(super) fn is_configuration(&self) -> bool {
        self.examined.has_configuration()
    }
}
