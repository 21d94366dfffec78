//! The places where lifecycle structures are read and written: a transaction's simulator, or committed state alone.

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;
use selvedge_ledger::simulator::{RangeId, SimulationError, Simulator};
use selvedge_ledger::{Snapshot, Space};

use super::{NAMESPACE, collections};

/// How many structures are looked at in one listing, as many as Fabric's `totalQueryLimit` lets through. Further ones
/// are left out, as in Fabric.
const MAX_LISTED: usize = 100_000;

/// Reads values by key.
pub(super) trait Reads {
    fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError>;
}

/// Reads and writes values by key.
pub(super) trait Writes: Reads {
    fn put(&mut self, key: &str, value: Bytes) -> Result<(), SimulationError>;
    fn delete(&mut self, key: &str) -> Result<(), SimulationError>;
}

/// Lists all keys with a prefix. Keys are ASCII, as Fabric assumes.
pub(super) trait Lists: Reads {
    fn list(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, SimulationError>;
}

/// Reads SHA-256 sums of values by key.
pub(super) trait Hashes {
    fn hash(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError>;
}

/// The public state of `_lifecycle` in a transaction.
pub(super) struct Public<'a>(pub(super) &'a mut Simulator);

impl Reads for Public<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        self.0.get(NAMESPACE, key)
    }
}

impl Writes for Public<'_> {
    fn put(&mut self, key: &str, value: Bytes) -> Result<(), SimulationError> {
        self.0.put(NAMESPACE, key, value)
    }

    fn delete(&mut self, key: &str) -> Result<(), SimulationError> {
        self.0.delete(NAMESPACE, key)
    }
}

impl Lists for Public<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, SimulationError> {
        let range = self.0.range(NAMESPACE, prefix, &end_of(prefix));
        drain(self.0, range)
    }
}

/// One organisation's implicit collection of `_lifecycle` in a transaction.
pub(super) struct Organisation<'a> {
    simulator: &'a mut Simulator,
    collection: String,
}

impl<'a> Organisation<'a> {
    pub(super) fn new(simulator: &'a mut Simulator, msp_id: &str) -> Self {
        Self { simulator, collection: collections::implicit_collection_name(msp_id) }
    }
}

impl Reads for Organisation<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        self.simulator.get_private(NAMESPACE, &self.collection, key)
    }
}

impl Writes for Organisation<'_> {
    fn put(&mut self, key: &str, value: Bytes) -> Result<(), SimulationError> {
        self.simulator.put_private(NAMESPACE, &self.collection, key, value)
    }

    fn delete(&mut self, key: &str) -> Result<(), SimulationError> {
        self.simulator.delete_private(NAMESPACE, &self.collection, key)
    }
}

impl Lists for Organisation<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, SimulationError> {
        let range = self.simulator.private_range(NAMESPACE, &self.collection, prefix, &end_of(prefix))?;
        drain(self.simulator, range)
    }
}

impl Hashes for Organisation<'_> {
    fn hash(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        self.simulator.get_private_hash(NAMESPACE, &self.collection, key)
    }
}

/// The committed public state of `_lifecycle`, outside of any transaction.
pub(super) struct Committed<'a>(pub(super) &'a dyn Snapshot);

impl Reads for Committed<'_> {
    fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        let stored = self.0.get(&Space::public(NAMESPACE), key.as_bytes())?;
        Ok(stored.map(|stored| stored.value))
    }
}

impl Lists for Committed<'_> {
    fn list(&mut self, prefix: &str) -> Result<Vec<(String, Bytes)>, SimulationError> {
        let end = end_of(prefix);
        let rows = self.0.range(&Space::public(NAMESPACE), prefix.as_bytes(), end.as_bytes())?;
        let mut listed = Vec::new();
        for row in rows.take(MAX_LISTED) {
            let (key, stored) = row?;
            // Fabric's keys are UTF-8; anything else was not written by `_lifecycle`.
            if let Ok(key) = std::str::from_utf8(&key) {
                listed.push((key.to_owned(), stored.value));
            }
        }
        Ok(listed)
    }
}

/// What is committed of one organisation's implicit collection, outside of any transaction.
pub(super) struct CommittedOrganisation<'a> {
    snapshot: &'a dyn Snapshot,
    collection: Arc<str>,
}

impl<'a> CommittedOrganisation<'a> {
    pub(super) fn new(snapshot: &'a dyn Snapshot, msp_id: &str) -> Self {
        Self { snapshot, collection: collections::implicit_collection_name(msp_id).into() }
    }

    /// A private value. Members of other organisations' collections have none.
    pub(super) fn private(&self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        let space = Space::private(NAMESPACE, Arc::clone(&self.collection));
        Ok(self.snapshot.get(&space, key.as_bytes())?.map(|stored| stored.value))
    }
}

impl Hashes for CommittedOrganisation<'_> {
    fn hash(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
        let space = Space::hashed(NAMESPACE, Arc::clone(&self.collection));
        let stored = self.snapshot.get(&space, &sha256(key.as_bytes()))?;
        Ok(stored.map(|stored| stored.value))
    }
}

pub(super) fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Fabric ends a listing at the last ASCII character, which no key of `_lifecycle` has after the prefix.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

fn drain(simulator: &mut Simulator, range: RangeId) -> Result<Vec<(String, Bytes)>, SimulationError> {
    let mut listed = Vec::new();
    while listed.len() < MAX_LISTED {
        let Some(row) = simulator.next(range)? else { break };
        listed.push((row.key, row.value));
    }
    simulator.close(range);
    Ok(listed)
}
