use std::fmt;

/// Where a value was written: the block's number and the transaction's index in it. Later writes compare
/// greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Number of the block.
    pub block: u64,
    /// Index of the transaction in its block, from 0.
    pub transaction: u64,
}

impl Version {
    /// A version of its two parts.
    pub const fn new(block: u64, transaction: u64) -> Self {
        Self { block, transaction }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.block, self.transaction)
    }
}
