use bytes::Bytes;

use crate::{Error, Space, StoredValue};

/// What a range read yields: keys in ascending byte order with their values.
pub type RangeIterator<'a> = Box<dyn Iterator<Item = Result<(Bytes, StoredValue), Error>> + Send + 'a>;

/// The committed state after some block, which no later block changes.
pub trait Snapshot: Send + Sync {
    /// How many blocks the state has taken in; 0 before the genesis block.
    fn height(&self) -> u64;

    /// The value of a key, if the key exists.
    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<StoredValue>, Error>;

    /// The keys from `start` (inclusive) to `end` (exclusive) in byte order; an empty `end` means no end.
    fn range(&self, space: &Space, start: &[u8], end: &[u8]) -> Result<RangeIterator<'_>, Error>;
}
