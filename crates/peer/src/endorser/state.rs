//! The simulator of a transaction as its chaincodes and their open iterators share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use selvedge_ledger::History;
use selvedge_ledger::simulator::{RangeId, SimulationError, Simulator};
use selvedge_proto::queryresult::Kv;

use super::MAX_MESSAGE;

/// How many bytes of requests a transaction may collect, with [`OVERHEAD`] for each key. Results of that size fit into no
/// message any more.
const MOST_BYTES: usize = MAX_MESSAGE;

/// What a key is counted for beside its own bytes and those of its value.
pub(super) const OVERHEAD: usize = 64;

/// One transaction's simulator. It is absent while a system chaincode has it to itself, and stays so if that call was
/// broken off; the transaction then has no result.
#[derive(Clone)]
pub(super) struct SharedState(Arc<Shared>);

struct Shared {
    simulator: Mutex<Option<Simulator>>,
    spent: AtomicUsize,
}

/// What is said of a simulator that went away with an unfinished call.
const BROKEN_OFF: &str = "the transaction is over: a call of a system chaincode was broken off";

impl SharedState {
    pub(super) fn new(simulator: Simulator) -> Self {
        Self(Arc::new(Shared { simulator: Mutex::new(Some(simulator)), spent: AtomicUsize::new(0) }))
    }

    /// Counts a request with this many bytes of keys and values, since reads and writes are kept until the transaction
    /// ends.
    pub(super) fn charge(&self, bytes: usize) -> Result<(), String> {
        let cost = bytes.saturating_add(OVERHEAD);
        let before = self.0.spent.fetch_add(cost.min(MOST_BYTES + 1), Ordering::Relaxed);
        if before.saturating_add(cost) <= MOST_BYTES {
            return Ok(());
        }
        Err(format!("the transaction's requests exceed the limit of {MOST_BYTES} bytes"))
    }

    /// Does something with the simulator.
    pub(super) fn with<T, E: ToString>(
        &self,
        act: impl FnOnce(&mut Simulator) -> Result<T, E>,
    ) -> Result<T, String> {
        let mut simulator = self.0.simulator.lock();
        let simulator = simulator.as_mut().ok_or_else(|| BROKEN_OFF.to_owned())?;
        act(simulator).map_err(|error| error.to_string())
    }

    /// Takes the simulator away. Whatever is asked of it before [`give_back`](Self::give_back) fails.
    pub(super) fn take(&self) -> Result<Simulator, String> {
        self.0.simulator.lock().take().ok_or_else(|| BROKEN_OFF.to_owned())
    }

    /// Puts back what [`take`](Self::take) gave.
    pub(super) fn give_back(&self, simulator: Simulator) {
        *self.0.simulator.lock() = Some(simulator);
    }

    /// The results of a range query, as they go to the chaincode.
    pub(super) fn range(&self, namespace: &str, range: RangeId) -> RangeResults {
        RangeResults { state: self.clone(), namespace: namespace.to_owned(), range }
    }
}

/// The results of an open query, as they go to the chaincode.
pub(super) type Results = Box<dyn Iterator<Item = Result<Bytes, String>> + Send>;

/// The changes of a key, as they go to the chaincode.
pub(super) fn changes(history: History) -> Results {
    Box::new(history.map(|found| match found {
        Ok(change) => Ok(change.encode_to_vec().into()),
        Err(error) => Err(error.to_string()),
    }))
}

/// The results of an open range query. Dropping it ends the query; what it handed out stays in the read set.
pub(super) struct RangeResults {
    state: SharedState,
    namespace: String,
    range: RangeId,
}

impl RangeResults {
    /// The key after the last result, empty at the end: where the next page begins.
    pub(super) fn bookmark(self) -> Result<String, String> {
        self.state.with(|simulator| simulator.bookmark(self.range))
    }
}

impl Iterator for RangeResults {
    type Item = Result<Bytes, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.state.with(|simulator| simulator.next(self.range));
        let encode = |found: selvedge_ledger::simulator::KeyValue| {
            let kv = Kv { namespace: self.namespace.clone(), key: found.key, value: found.value };
            Bytes::from(kv.encode_to_vec())
        };
        next.map(|found| found.map(encode)).transpose()
    }
}

impl Drop for RangeResults {
    fn drop(&mut self) {
        let closed = self.state.with(|simulator| {
            simulator.close(self.range);
            Ok::<_, SimulationError>(())
        });
        if let Err(reason) = closed {
            tracing::debug!(reason, "a range query ends after its transaction");
        }
    }
}

#[cfg(test)]
mod tests {
    use selvedge_ledger::state::StateStore;
    use selvedge_ledger::storage::MemoryStorage;

    use super::*;

    #[test]
    fn a_transaction_collects_only_so_much() {
        let store = StateStore::open(&MemoryStorage::new(), "/state".as_ref(), 1 << 20).unwrap();
        let state = SharedState::new(Simulator::new(store.snapshot(), "tx"));
        assert_eq!(state.charge(MOST_BYTES - OVERHEAD), Ok(()));
        assert!(state.charge(0).unwrap_err().ends_with("exceed the limit of 104857600 bytes"));
        assert!(state.charge(usize::MAX).is_err(), "and stays refused");
        assert!(state.charge(0).is_err());
    }
}
