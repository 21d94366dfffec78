//! Cases of MVCC and the merging of writes that no recorded chain has.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod rules_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use prost::Message;
use rules_support::Memory;
use selvedge_ledger::mvcc::{self, Candidate, Outcome};
use selvedge_ledger::rwset::{NamespaceSet, ReadWriteSet};
use selvedge_ledger::simulator::{Metadata, Simulated, SimulationError, Simulator};
use selvedge_ledger::{Error, RangeIterator, Snapshot, Space, StoredValue, Version};
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{
    KvRead, KvWrite, KvrwSet, QueryReads, QueryReadsMerkleSummary, RangeQueryInfo,
};
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

const VALID: TxValidationCode = TxValidationCode::Valid;

/// A ledger that takes blocks of simulated transactions.
#[derive(Default)]
struct Chain(Memory);

impl Chain {
    fn simulate(&self, run: impl FnOnce(&mut Simulator) -> Result<(), SimulationError>) -> Candidate {
        let mut simulator = Simulator::new(Arc::new(self.0.clone()), "txid");
        simulator.define_collections("cc", ["c".to_owned()]);
        run(&mut simulator).expect("the simulator takes it");
        let Simulated { public, private, .. } = simulator.finish();
        Candidate { code: VALID, set: Some(ReadWriteSet::parse(&public).unwrap()), private }
    }

    fn judge(&self, candidates: &[Candidate]) -> Outcome {
        mvcc::validate(&self.0, self.0.height, candidates).unwrap()
    }

    fn commit(&mut self, candidates: &[Candidate]) {
        let outcome = self.judge(candidates);
        assert!(outcome.codes.iter().all(|code| *code == VALID), "{:?}", outcome.codes);
        self.0.apply(&outcome.updates);
    }

    fn version(&self, space: &Space, key: &[u8]) -> Option<Version> {
        self.0.get(space, key).unwrap().map(|stored| stored.version)
    }
}

fn public(set: KvrwSet) -> Candidate {
    let namespace = NamespaceSet { namespace: "cc".into(), public: set, collections: Vec::new() };
    Candidate { code: VALID, set: Some(ReadWriteSet { namespaces: vec![namespace] }), private: None }
}

fn range(reads_info: ReadsInfo) -> Candidate {
    let info = RangeQueryInfo {
        start_key: "a".into(),
        end_key: "z".into(),
        itr_exhausted: true,
        reads_info: Some(reads_info),
    };
    public(KvrwSet { range_queries_info: vec![info], ..KvrwSet::default() })
}

fn private_space() -> Space {
    Space::private("cc", "c")
}

fn metadata() -> Metadata {
    Metadata::from([("M".to_owned(), Bytes::from_static(b"m"))])
}

#[test]
fn a_range_that_no_simulator_records_is_a_phantom() {
    let mut chain = Chain::default();
    chain.commit(&[chain.simulate(|simulator| simulator.put("cc", "b", "1".into()))]);
    let tree = |max_degree| {
        let max_level_hashes = vec![Bytes::from_static(&[0; 32])];
        range(ReadsInfo::ReadsMerkleHashes(QueryReadsMerkleSummary {
            max_degree,
            max_level: 1,
            max_level_hashes,
        }))
    };
    let read = KvRead { key: "b".into(), version: None };
    let candidates = [
        tree(0),
        tree(1),
        tree(2),
        tree(u32::MAX),
        range(ReadsInfo::RawReads(QueryReads { kv_reads: vec![read] })),
    ];
    for code in chain.judge(&candidates).codes {
        assert_eq!(code, TxValidationCode::PhantomReadConflict);
    }
}

#[test]
fn a_range_that_ends_before_it_begins_has_no_results() {
    let mut chain = Chain::default();
    chain.commit(&[chain.simulate(|simulator| simulator.put("cc", "b", "1".into()))]);
    let reader = chain.simulate(|simulator| {
        let range = simulator.range("cc", "z", "a");
        assert_eq!(simulator.next(range)?, None);
        simulator.close(range);
        assert!(matches!(simulator.next(range), Err(SimulationError::UnknownRange)));
        Ok(())
    });
    assert_eq!(chain.judge(&[reader]).codes, [VALID]);
}

#[test]
fn a_range_that_ends_before_it_begins_has_none_of_the_blocks_own_changes_either() {
    let chain = Chain::default();
    let writer = chain.simulate(|simulator| simulator.put("cc", "m", "1".into()));
    let reader = chain.simulate(|simulator| {
        let range = simulator.range("cc", "z", "a");
        assert_eq!(simulator.next(range)?, None);
        Ok(())
    });
    assert_eq!(chain.judge(&[writer, reader]).codes, [VALID; 2]);
}

/// A state that counts the rows which ranges have handed out.
struct Counted(Memory, AtomicUsize);

impl Snapshot for Counted {
    fn height(&self) -> u64 {
        self.0.height()
    }

    fn get(&self, space: &Space, key: &[u8]) -> Result<Option<StoredValue>, Error> {
        self.0.get(space, key)
    }

    fn range(&self, space: &Space, start: &[u8], end: &[u8]) -> Result<RangeIterator<'_>, Error> {
        let rows = self.0.range(space, start, end)?;
        Ok(Box::new(rows.inspect(|_| {
            self.1.fetch_add(1, Ordering::Relaxed);
        })))
    }
}

#[test]
fn few_large_values_are_read_ahead() {
    let mut chain = Chain::default();
    let keys: Vec<String> = (0..250).map(|number| format!("{number:03}")).collect();
    for (namespace, size) in [("large", 40 << 10), ("small", 10)] {
        let value = Bytes::from(vec![b'v'; size]);
        chain.commit(&[chain.simulate(|simulator| {
            keys.iter().try_for_each(|key| simulator.put(namespace, key, value.clone()))
        })]);
    }
    for (namespace, ahead) in [("large", 2), ("small", 101)] {
        let state = Arc::new(Counted(chain.0.clone(), AtomicUsize::new(0)));
        let mut simulator = Simulator::new(Arc::clone(&state) as Arc<dyn Snapshot>, "txid");
        let range = simulator.range(namespace, "", "");
        let mut found = Vec::new();
        while let Some(row) = simulator.next(range).unwrap() {
            found.push(row.key);
            if found.len() == 1 {
                assert_eq!(state.1.load(Ordering::Relaxed), ahead, "{namespace}");
            }
        }
        assert_eq!(found, keys, "{namespace}");
    }
}

#[test]
fn a_key_written_twice_in_a_set_keeps_its_value_as_in_fabric() {
    let mut chain = Chain::default();
    let twice = || {
        let write = |value| KvWrite { key: "k".into(), is_delete: false, value };
        public(KvrwSet { writes: vec![write("1".into()), write("2".into())], ..KvrwSet::default() })
    };
    chain.commit(&[twice()]);
    assert_eq!(chain.version(&Space::public("cc"), b"k"), None);
    chain.commit(&[chain.simulate(|simulator| simulator.put("cc", "k", "old".into()))]);
    chain.commit(&[twice()]);
    let stored = chain.0.get(&Space::public("cc"), b"k").unwrap().unwrap();
    assert_eq!((&stored.value[..], stored.version), (&b"old"[..], Version::new(2, 0)));
}

#[test]
fn metadata_after_a_deletion_in_the_same_block_are_dropped() {
    let mut chain = Chain::default();
    chain.commit(&[chain.simulate(|simulator| simulator.put("cc", "k", "1".into()))]);
    let delete = chain.simulate(|simulator| simulator.delete("cc", "k"));
    let mark = chain.simulate(|simulator| simulator.put_metadata("cc", "k", metadata()));
    chain.commit(&[delete, mark]);
    assert_eq!(chain.version(&Space::public("cc"), b"k"), None);
}

#[test]
fn private_writes_that_were_not_endorsed_are_left_out() {
    let chain = Chain::default();
    let mut candidate = chain.simulate(|simulator| simulator.put_private("cc", "c", "k", "1".into()));
    let other = chain.simulate(|simulator| simulator.put_private("cc", "c", "k", "2".into()));
    candidate.private = other.private;
    let outcome = chain.judge(&[candidate]);
    assert_eq!(outcome.codes, [VALID]);
    assert_eq!(outcome.mismatches.len(), 1);
    assert!(outcome.updates.space(&private_space()).is_none());
    assert!(outcome.updates.space(&Space::hashed("cc", "c")).is_some());
}

#[test]
fn private_writes_for_a_collection_that_the_set_does_not_have_are_left_out() {
    let chain = Chain::default();
    let mut candidate = chain.simulate(|simulator| simulator.put("cc", "k", "1".into()));
    let set = KvrwSet::default().encode_to_vec().into();
    let collection = CollectionPvtReadWriteSet { collection_name: "c".into(), rwset: set };
    let namespace = NsPvtReadWriteSet { namespace: "cc".into(), collection_pvt_rwset: vec![collection] };
    candidate.private = Some(TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset: vec![namespace] });
    assert_eq!(chain.judge(&[candidate]).mismatches.len(), 1);
}

#[test]
fn a_metadata_write_takes_the_private_value_along() {
    let mut chain = Chain::default();
    chain.commit(&[chain.simulate(|simulator| simulator.put_private("cc", "c", "k", "1".into()))]);
    let mark = |simulator: &mut Simulator| simulator.put_private_metadata("cc", "c", "k", metadata());
    chain.commit(&[chain.simulate(mark)]);
    assert_eq!(chain.version(&private_space(), b"k"), Some(Version::new(1, 0)));
    chain.simulate(|simulator| simulator.get_private("cc", "c", "k").map(|_| ()));

    let without_private = Candidate { private: None, ..chain.simulate(mark) };
    chain.commit(&[without_private]);
    let mut simulator = Simulator::new(Arc::new(chain.0.clone()), "txid");
    simulator.define_collections("cc", ["c".to_owned()]);
    let stale = simulator.get_private("cc", "c", "k").unwrap_err();
    assert!(matches!(stale, SimulationError::StalePrivateValue { .. }), "{stale}");
}

#[test]
fn a_purge_removes_the_value_even_if_its_private_writes_are_missing() {
    let mut chain = Chain::default();
    let put = |simulator: &mut Simulator| {
        simulator.put_private("cc", "c", "k", "1".into())?;
        simulator.put_private("cc", "c", "other", "1".into())
    };
    chain.commit(&[chain.simulate(put)]);
    let purge = chain.simulate(|simulator| simulator.purge_private("cc", "c", "k"));
    let outcome = chain.judge(&[Candidate { private: None, ..purge }]);
    let purges: Vec<_> =
        outcome.updates.purges().map(|(space, _, version)| (space.clone(), version)).collect();
    assert_eq!(purges, [(Space::hashed("cc", "c"), Version::new(1, 0))]);
    chain.0.apply(&outcome.updates);
    assert_eq!(chain.version(&private_space(), b"k"), None);
    assert_eq!(chain.version(&private_space(), b"other"), Some(Version::new(0, 0)));
}

#[test]
fn a_purge_whose_private_writes_are_missing_removes_what_its_own_block_wrote_before() {
    let mut chain = Chain::default();
    let put = chain.simulate(|simulator| simulator.put_private("cc", "c", "k", "1".into()));
    let purge = chain.simulate(|simulator| simulator.purge_private("cc", "c", "k"));
    let purge = || Candidate { private: None, ..purge.clone() };
    let outcome = chain.judge(&[put.clone(), purge()]);
    assert_eq!(outcome.codes, [VALID; 2]);
    chain.0.apply(&outcome.updates);
    assert_eq!(chain.version(&private_space(), b"k"), None);

    // What is written after it stays.
    let mut chain = Chain::default();
    let outcome = chain.judge(&[put.clone(), purge(), put]);
    assert_eq!(outcome.codes, [VALID; 3]);
    chain.0.apply(&outcome.updates);
    assert_eq!(chain.version(&private_space(), b"k"), Some(Version::new(0, 2)));
}

#[test]
fn only_a_replay_takes_private_sets_whose_purged_keys_are_gone() {
    let chain = Chain::default();
    let mut candidate = chain.simulate(|simulator| {
        simulator.put_private("cc", "c", "k", "1".into())?;
        simulator.put_private("cc", "c", "purged", "1".into())
    });
    let left = chain.simulate(|simulator| simulator.put_private("cc", "c", "k", "1".into()));
    candidate.private = left.private;
    let candidates = [candidate];
    assert!(chain.judge(&candidates).updates.space(&private_space()).is_none());
    let replayed = mvcc::replay(&chain.0, 0, &candidates).unwrap();
    assert!(replayed.updates.get(&private_space(), b"k").is_some());
    assert!(replayed.mismatches.is_empty());
}

#[test]
fn verdicts_of_other_checks_are_final() {
    let chain = Chain::default();
    let put = chain.simulate(|simulator| simulator.put("cc", "k", "1".into()));
    let invalid = Candidate { code: TxValidationCode::EndorsementPolicyFailure, ..put.clone() };
    let config = Candidate { code: VALID, set: None, private: None };
    let outcome = chain.judge(&[invalid, config, put]);
    assert_eq!(outcome.codes, [TxValidationCode::EndorsementPolicyFailure, VALID, VALID]);
    let written = outcome.updates.get(&Space::public("cc"), b"k").unwrap();
    assert_eq!(written.version(), Version::new(0, 2));
}

#[test]
fn pages_and_private_ranges_make_a_transaction_read_only() {
    let chain = Chain::default();
    let refused = |run: &dyn Fn(&mut Simulator) -> Result<(), SimulationError>| {
        let mut simulator = Simulator::new(Arc::new(chain.0.clone()), "t");
        simulator.define_collections("cc", ["c".to_owned()]);
        run(&mut simulator).unwrap_err().to_string()
    };
    let put = |simulator: &mut Simulator| simulator.put("cc", "k", "1".into());
    let page = |simulator: &mut Simulator| simulator.paged_range("cc", "", "").map(|_| ());
    let private = |simulator: &mut Simulator| simulator.private_range("cc", "c", "", "").map(|_| ());
    let start = "txid [t]: unsuppored transaction. ";
    for (text, first, then) in [
        (
            "Paginated queries are supported only in a read-only transaction",
            &put as &dyn Fn(&mut Simulator) -> Result<(), SimulationError>,
            &page as &dyn Fn(&mut Simulator) -> Result<(), SimulationError>,
        ),
        ("Queries on pvt data is supported only in a read-only transaction", &put, &private),
        ("Transaction has already performed a paginated query. Writes are not allowed", &page, &put),
        ("Transaction has already performed queries on pvt data. Writes are not allowed", &private, &put),
    ] {
        let found = refused(&|simulator| {
            first(simulator)?;
            then(simulator)
        });
        assert_eq!(found, format!("{start}{text}"));
    }
}
