//! Simulator and MVCC together against a naive model: random transactions are simulated on random snapshots
//! and committed in random blocks, and the model repeats what they saw.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod rules_support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use rules_support::Memory;
use selvedge_ledger::mvcc::{self, Candidate};
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::simulator::Simulator;
use selvedge_ledger::{Snapshot, Space, Version};
use selvedge_proto::kvrwset::{KvMetadataEntry, KvMetadataWrite};
use selvedge_proto::protos::TxValidationCode;

const NAMESPACES: [&str; 2] = ["a", "b"];
const KEYS: u32 = 200;

#[derive(Clone, Debug)]
enum Action {
    Get(u32),
    Put(u32, u8),
    Delete(u32),
    PutMetadata(u32, Option<u8>),
    /// A range from one key to before another, of which some results are pulled.
    Range(u32, u32, usize),
}

#[derive(Clone, Debug)]
struct Transaction {
    /// How many blocks ago the snapshot was taken.
    age: usize,
    actions: Vec<(usize, Action)>,
}

/// A key of the model: value, metadata and version.
#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: u8,
    metadata: Option<u8>,
    version: Version,
}

/// The keys of one namespace.
type Keys = BTreeMap<String, Entry>;

/// What a transaction saw in one namespace, in the order in which it is checked.
#[derive(Default)]
struct Seen {
    gets: Vec<(String, Option<Version>)>,
    ranges: Vec<SeenRange>,
}

struct SeenRange {
    start: String,
    end: String,
    exhausted: bool,
    results: Vec<(String, Version)>,
}

/// What a transaction wants for one key: its value (`Some(None)` for none) and its metadata likewise.
#[derive(Default)]
struct Wish {
    value: Option<Option<u8>>,
    metadata: Option<Option<u8>>,
}

fn key(number: u32) -> String {
    format!("k{number:03}")
}

fn metadata(byte: u8) -> BTreeMap<String, Bytes> {
    BTreeMap::from([("M".to_owned(), Bytes::from(vec![byte]))])
}

/// Runs a transaction in the simulator, and notes what it saw in passing.
fn simulate(snapshot: Arc<Memory>, transaction: &Transaction) -> (ReadWriteSet, [Seen; 2]) {
    let mut simulator = Simulator::new(Arc::clone(&snapshot) as Arc<dyn Snapshot>, "txid");
    let mut seen = [Seen::default(), Seen::default()];
    for (namespace, action) in &transaction.actions {
        let (name, seen) = (NAMESPACES[*namespace], &mut seen[*namespace]);
        match action {
            Action::Get(number) => {
                let found = simulator.get(name, &key(*number)).unwrap();
                let stored = snapshot.get(&Space::public(name), key(*number).as_bytes()).unwrap();
                assert_eq!(found, stored.as_ref().map(|stored| stored.value.clone()));
                seen.gets.push((key(*number), stored.map(|stored| stored.version)));
            }
            Action::Put(number, value) => {
                simulator.put(name, &key(*number), Bytes::from(vec![*value])).unwrap();
            }
            Action::Delete(number) => simulator.delete(name, &key(*number)).unwrap(),
            Action::PutMetadata(number, value) => {
                let metadata = value.map(metadata).unwrap_or_default();
                simulator.put_metadata(name, &key(*number), metadata).unwrap();
            }
            Action::Range(start, end, pulls) => {
                let (start, end) = (key(*start), key(*end));
                let range = simulator.range(name, &start, &end);
                let mut results = Vec::new();
                let mut exhausted = false;
                while results.len() < *pulls && !exhausted {
                    match simulator.next(range).unwrap() {
                        None => exhausted = true,
                        Some(result) => {
                            let stored = snapshot.get(&Space::public(name), result.key.as_bytes());
                            results.push((result.key, stored.unwrap().unwrap().version));
                        }
                    }
                }
                seen.ranges.push(SeenRange { start, end, exhausted, results });
            }
        }
    }
    let set = ReadWriteSet::parse(&simulator.finish().public).unwrap();
    assert_eq!(
        set.namespaces.len(),
        transaction.actions.iter().map(|(name, _)| name).collect::<BTreeSet<_>>().len()
    );
    (set, seen)
}

/// The model's verdict: everything seen must be there again, and no key that was read may have been touched
/// in this block.
fn judge(keys: &[Keys; 2], touched: &[BTreeSet<String>; 2], seen: &[Seen; 2]) -> TxValidationCode {
    for ((keys, touched), seen) in keys.iter().zip(touched).zip(seen) {
        let is_there = |(key, version): &(String, Option<Version>)| {
            !touched.contains(key) && keys.get(key).map(|entry| entry.version) == *version
        };
        if !seen.gets.iter().all(is_there) {
            return TxValidationCode::MvccReadConflict;
        }
        for range in &seen.ranges {
            let belongs = |key: &String| {
                let before_end = if range.exhausted {
                    *key < range.end
                } else {
                    range.results.last().is_some_and(|(last, _)| key <= last)
                };
                *key >= range.start && before_end
            };
            let now: Vec<_> = keys
                .iter()
                .filter(|(key, _)| belongs(key))
                .map(|(key, entry)| (key.clone(), entry.version))
                .collect();
            if now != range.results {
                return TxValidationCode::PhantomReadConflict;
            }
        }
    }
    TxValidationCode::Valid
}

/// Applies a valid transaction to the model.
fn apply(
    keys: &mut [Keys; 2],
    touched: &mut [BTreeSet<String>; 2],
    transaction: &Transaction,
    version: Version,
) {
    let mut wishes: BTreeMap<(usize, String), Wish> = BTreeMap::new();
    for (namespace, action) in &transaction.actions {
        let (number, value, metadata) = match action {
            Action::Put(number, value) => (number, Some(Some(*value)), None),
            Action::Delete(number) => (number, Some(None), None),
            Action::PutMetadata(number, metadata) => (number, None, Some(*metadata)),
            Action::Get(_) | Action::Range(..) => continue,
        };
        let wish = wishes.entry((*namespace, key(*number))).or_default();
        wish.value = value.or(wish.value);
        wish.metadata = metadata.or(wish.metadata);
    }
    for ((namespace, key), wish) in wishes {
        let keys = &mut keys[namespace];
        let before = keys.get(&key).cloned();
        let value = wish.value.unwrap_or(before.as_ref().map(|entry| entry.value));
        let metadata = wish.metadata.unwrap_or(before.as_ref().and_then(|entry| entry.metadata));
        if value.is_none() && wish.value.is_none() {
            // Metadata for a key that is not there change nothing.
            continue;
        }
        touched[namespace].insert(key.clone());
        match value {
            None => keys.remove(&key),
            Some(value) => keys.insert(key, Entry { value, metadata, version }),
        };
    }
}

fn model_of(state: &Memory) -> [Keys; 2] {
    NAMESPACES.map(|name| {
        let stored = state.spaces.get(&Space::public(name)).into_iter().flatten();
        let entry = |(key, stored): (&Bytes, &selvedge_ledger::StoredValue)| {
            let metadata = (!stored.metadata.is_empty()).then(|| {
                let entries = KvMetadataWrite::decode(stored.metadata.clone()).unwrap().entries;
                let [KvMetadataEntry { value, .. }] = entries.as_slice() else { panic!("one entry is set") };
                value[0]
            });
            let key = String::from_utf8(key.to_vec()).unwrap();
            (key, Entry { value: stored.value[0], metadata, version: stored.version })
        };
        stored.map(entry).collect()
    })
}

fn actions() -> impl Strategy<Value = (usize, Action)> {
    let number = || 0..KEYS;
    let action = prop_oneof![
        3 => number().prop_map(Action::Get),
        3 => (number(), any::<u8>()).prop_map(|(number, value)| Action::Put(number, value)),
        2 => number().prop_map(Action::Delete),
        1 => (number(), any::<Option<u8>>()).prop_map(|(number, value)| Action::PutMetadata(number, value)),
        // At least one result is asked for, as peers do.
        3 => (number(), number(), prop_oneof![Just(usize::MAX), 1..130_usize])
            .prop_map(|(start, end, pulls)| Action::Range(start, end, pulls)),
    ];
    (0..NAMESPACES.len(), action)
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Transaction>>> {
    let transaction = (0..3_usize, prop::collection::vec(actions(), 0..6))
        .prop_map(|(age, actions)| Transaction { age, actions });
    prop::collection::vec(prop::collection::vec(transaction, 0..6), 1..6)
}

/// A state in which many keys exist, so that ranges are often long enough for a tree of hashes.
fn first_block() -> Transaction {
    let put = |number| [(0, Action::Put(number, 1)), (1, Action::Put(number, 2))];
    Transaction { age: 0, actions: (0..KEYS).filter(|number| number % 5 != 0).flat_map(put).collect() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mvcc_agrees_with_the_model(blocks in blocks()) {
        let mut snapshots = vec![Arc::new(Memory::default())];
        let mut keys = [Keys::new(), Keys::new()];
        for (block, number) in std::iter::once(vec![first_block()]).chain(blocks).zip(0..) {
            let mut touched = [BTreeSet::new(), BTreeSet::new()];
            let mut candidates = Vec::new();
            let mut expected = Vec::new();
            for (transaction, index) in block.iter().zip(0..) {
                let snapshot = &snapshots[snapshots.len().saturating_sub(transaction.age + 1)];
                let (set, seen) = simulate(Arc::clone(snapshot), transaction);
                candidates.push(Candidate { code: TxValidationCode::Valid, set: Some(set), private: None });
                let code = judge(&keys, &touched, &seen);
                if code == TxValidationCode::Valid {
                    apply(&mut keys, &mut touched, transaction, Version::new(number, index));
                }
                expected.push(code);
            }
            let mut state = Memory::clone(snapshots.last().unwrap());
            let outcome = mvcc::validate(&state, number, &candidates).unwrap();
            prop_assert_eq!(&outcome.codes, &expected);
            state.apply(&outcome.updates);
            prop_assert_eq!(&model_of(&state), &keys);
            snapshots.push(Arc::new(state));
        }
    }
}
