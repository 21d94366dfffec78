//! Judges a block's transactions by what they read, and says what the valid ones change.

mod late;
mod operations;
mod private;
mod ranges;

use std::sync::Arc;

use bytes::Bytes;
use selvedge_proto::kvrwset::Version as WireVersion;
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::TxPvtReadWriteSet;

use crate::rwset::{NamespaceSet, ReadWriteSet};
use crate::{Error, Snapshot, Space, StoredValue, Update, Updates, Version};

pub use late::late;
pub use private::PrivateMismatch;
pub(crate) use private::decode as decode_private;

/// A transaction of a block as it comes to MVCC.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The verdict so far. Anything but `VALID` is final.
    pub code: TxValidationCode,
    /// The public set; `None` for a transaction that changes no state, such as a configuration.
    pub set: Option<ReadWriteSet>,
    /// The private writes in clear as far as this peer has them.
    pub private: Option<TxPvtReadWriteSet>,
}

impl Candidate {
    /// A transaction that was already found invalid.
    pub fn invalid(code: TxValidationCode) -> Self {
        Self { code, set: None, private: None }
    }
}

/// What a block comes to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The final verdicts in the order of the transactions.
    pub codes: Vec<TxValidationCode>,
    /// What the valid transactions change.
    pub updates: Updates,
    /// Private sets that are not the ones endorsed. They were left out, as if this peer lacked them.
    pub mismatches: Vec<PrivateMismatch>,
}

/// Judges the transactions of block number `block` one after the other, each on the committed state with what
/// the valid ones before it change, and collects the changes.
///
/// Namespace by namespace in the order of the set: each read's version must be the committed one and the key
/// untouched in this block (`MVCC_READ_CONFLICT`), each range must give the results it gave
/// (`PHANTOM_READ_CONFLICT`), and each hashed read is like a read. Fabric's `validation` package is the source
/// of these rules.
///
/// # Errors
/// Only those of the snapshot; no content of a block is an error.
pub fn validate(snapshot: &dyn Snapshot, block: u64, candidates: &[Candidate]) -> Result<Outcome, Error> {
    run(snapshot, block, candidates, Rules::Judge)
}

/// What a block changes whose verdicts are final, such as one read back from the log.
///
/// Its private sets are taken as they are, since they were checked when the block was judged. They need not
/// hash to what was endorsed any more: keys that were purged since are gone from them.
///
/// # Errors
/// Only those of the snapshot.
pub fn replay(snapshot: &dyn Snapshot, block: u64, candidates: &[Candidate]) -> Result<Outcome, Error> {
    run(snapshot, block, candidates, Rules::Replay)
}

/// Whether a block is judged or was judged before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rules {
    Judge,
    Replay,
}

fn run(
    snapshot: &dyn Snapshot,
    block: u64,
    candidates: &[Candidate],
    rules: Rules,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    let mut state = Overlay { snapshot, updates: Updates::new() };
    for (candidate, index) in candidates.iter().zip(0..) {
        let mut code = candidate.code;
        if let (TxValidationCode::Valid, Some(set)) = (code, &candidate.set) {
            if rules == Rules::Judge {
                code = judge(&state, set)?;
            }
            if code == TxValidationCode::Valid {
                operations::apply(&mut state, set, Version::new(block, index))?;
            }
        }
        outcome.codes.push(code);
    }
    outcome.mismatches = private::apply(&mut state, block, candidates, &outcome.codes, rules)?;
    outcome.updates = state.updates;
    Ok(outcome)
}

fn judge(state: &Overlay<'_>, set: &ReadWriteSet) -> Result<TxValidationCode, Error> {
    for namespace in &set.namespaces {
        let code = judge_namespace(state, namespace)?;
        if code != TxValidationCode::Valid {
            return Ok(code);
        }
    }
    Ok(TxValidationCode::Valid)
}

fn judge_namespace(state: &Overlay<'_>, set: &NamespaceSet) -> Result<TxValidationCode, Error> {
    let name: Arc<str> = set.namespace.as_str().into();
    let space = Space::public(name.clone());
    for read in &set.public.reads {
        if !state.is_as_read(&space, read.key.as_bytes(), read.version.as_ref())? {
            return Ok(TxValidationCode::MvccReadConflict);
        }
    }
    for range in &set.public.range_queries_info {
        if !ranges::is_unchanged(state, &space, range)? {
            return Ok(TxValidationCode::PhantomReadConflict);
        }
    }
    for collection in &set.collections {
        let space = Space::hashed(name.clone(), collection.collection.as_str());
        for read in &collection.hashed.hashed_reads {
            if !state.is_as_read(&space, &read.key_hash, read.version.as_ref())? {
                return Ok(TxValidationCode::MvccReadConflict);
            }
        }
    }
    Ok(TxValidationCode::Valid)
}

/// The committed state with what the block has changed so far.
struct Overlay<'a> {
    snapshot: &'a dyn Snapshot,
    updates: Updates,
}

impl Overlay<'_> {
    fn is_as_read(&self, space: &Space, key: &[u8], read: Option<&WireVersion>) -> Result<bool, Error> {
        if self.updates.get(space, key).is_some() {
            return Ok(false);
        }
        let committed = self.snapshot.get(space, key)?.map(|stored| stored.version);
        Ok(committed == read.map(Version::from))
    }

    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<StoredValue>, Error> {
        match self.updates.get(space, key) {
            Some(Update::Put(stored)) => Ok(Some(stored.clone())),
            Some(Update::Delete { .. }) => Ok(None),
            None => self.snapshot.get(space, key),
        }
    }

    fn put(&mut self, space: &Space, key: Bytes, stored: StoredValue) {
        self.updates.insert(space.clone(), key, Update::Put(stored));
    }

    fn delete(&mut self, space: &Space, key: Bytes, version: Version) {
        self.updates.insert(space.clone(), key, Update::Delete { version });
    }
}
