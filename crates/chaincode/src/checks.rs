//! Hints at what makes a transaction mean something else than its author thinks, or peers disagree.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;

/// A call that is allowed and that hardly anybody means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Reads give the state before the transaction, whatever it has written.
    #[error("key {key:?} is read after it was written; the read gives the committed value, not the new one")]
    ReadAfterWrite {
        /// The key.
        key: String,
    },
    /// Only the last write of a key counts. If their order is that of a hash map, peers disagree.
    #[error("key {key:?} is written twice with different values; only the last one counts")]
    WrittenTwice {
        /// The key.
        key: String,
    },
    /// Only the last event of a transaction is delivered.
    #[error("event {second:?} takes the place of event {first:?}; a transaction has one event")]
    SecondEvent {
        /// The event that is lost.
        first: String,
        /// The one that takes its place.
        second: String,
    },
}

/// What a transaction has written so far.
#[derive(Debug)]
pub(crate) struct Checks {
    strict: bool,
    /// A hash of the last value of each public key; deleting gives the empty value.
    written: BTreeMap<String, u64>,
}

impl Checks {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, written: BTreeMap::new() }
    }

    pub(crate) fn read(&self, key: &str) -> Result<(), CheckError> {
        match self.written.get_key_value(key) {
            Some((key, _)) => self.found(CheckError::ReadAfterWrite { key: key.clone() }),
            None => Ok(()),
        }
    }

    /// A range that ends before `end`, or never if that is empty.
    pub(crate) fn read_range(&self, start: &str, end: &str) -> Result<(), CheckError> {
        let mut within =
            self.written.range::<str, _>((std::ops::Bound::Included(start), std::ops::Bound::Unbounded));
        match within.next().filter(|(key, _)| end.is_empty() || key.as_str() < end) {
            Some((key, _)) => self.found(CheckError::ReadAfterWrite { key: key.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn write(&mut self, key: &str, value: &[u8]) -> Result<(), CheckError> {
        let mut hasher = DefaultHasher::new();
        hasher.write(value);
        let value = hasher.finish();
        match self.written.get_mut(key) {
            Some(before) if *before == value => Ok(()),
            Some(before) => {
                *before = value;
                self.found(CheckError::WrittenTwice { key: key.to_owned() })
            }
            None => {
                self.written.insert(key.to_owned(), value);
                Ok(())
            }
        }
    }

    pub(crate) fn event(&self, first: &str, second: &str) -> Result<(), CheckError> {
        self.found(CheckError::SecondEvent { first: first.to_owned(), second: second.to_owned() })
    }

    fn found(&self, error: CheckError) -> Result<(), CheckError> {
        if self.strict {
            return Err(error);
        }
        tracing::warn!(%error, "a contract does what it hardly means");
        Ok(())
    }
}
