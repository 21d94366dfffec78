//! What the tests of the rules share: an ordered map as state, and the replay of recorded chains on it.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use selvedge_ledger::{Error, RangeIterator, Snapshot, Space, StoredValue, Update, Updates};

/// The whole state in one ordered map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) height: u64,
    pub(crate) spaces: BTreeMap<Space, BTreeMap<Bytes, StoredValue>>,
}

impl Memory {
    /// Takes in the changes of the next block.
    pub(crate) fn apply(&mut self, updates: &Updates) {
        for (space, keys) in updates.spaces() {
            let stored = self.spaces.entry(space.clone()).or_default();
            for (key, update) in keys {
                match update {
                    Update::Put(value) => stored.insert(key.clone(), value.clone()),
                    Update::Delete { .. } => stored.remove(key),
                };
            }
        }
        self.spaces.retain(|_, keys| !keys.is_empty());
        self.height += 1;
    }
}

impl Snapshot for Memory {
    fn height(&self) -> u64 {
        self.height
    }

    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<StoredValue>, Error> {
        Ok(self.spaces.get(space).and_then(|keys| keys.get(key)).cloned())
    }

    fn range(&self, space: &Space, start: &[u8], end: &[u8]) -> Result<RangeIterator<'_>, Error> {
        let Some(keys) = self.spaces.get(space) else { return Ok(Box::new(std::iter::empty())) };
        let end = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end) };
        let entries = keys.range::<[u8], _>((Bound::Included(start), end));
        Ok(Box::new(entries.map(|(key, value)| Ok((key.clone(), value.clone())))))
    }
}
