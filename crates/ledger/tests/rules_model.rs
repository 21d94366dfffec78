//! Simulator and committer together against a plain model in memory: random transactions are simulated on random
//! snapshots and committed in random blocks of a real ledger. The model says by itself what each call of the simulator
//! gives, what each transaction's flag is, what the state holds after each block, and what its commit hash is.
//!
//! A failure is shrunk and told with the seed that repeats it.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod model_support;
#[path = "store_support/mod.rs"]
mod store_support;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use model_support::commit_hash::commit_hash;
use model_support::transaction::{self, Transaction};
use model_support::{LIVES, Model, NAMESPACE, lifecycle_value, model_spaces};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult, TestRunner};
use prost::Message;
use selvedge_ledger::simulator::Simulator;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, Version};
use selvedge_proto::kvrwset::KvMetadataWrite;
use selvedge_proto::protos::TxValidationCode;
use store_support::chain::{endorsed, genesis, next_block};

/// A transaction as it comes into a block.
#[derive(Clone, Debug)]
struct Entry {
    transaction: Transaction,
    /// How many blocks ago the snapshot was taken.
    age: usize,
    /// Whether the peer has its private writes in clear.
    is_at_hand: bool,
    /// Whether the checks before the state's found it invalid.
    is_refused: bool,
}

fn entries() -> impl Strategy<Value = Entry> {
    let often = |share| prop::bool::weighted(share);
    (transaction::strategy(), 0..3_usize, often(0.8), often(0.1)).prop_map(
        |(transaction, age, is_at_hand, is_refused)| Entry { transaction, age, is_at_hand, is_refused },
    )
}

fn blocks() -> impl Strategy<Value = Vec<Vec<Entry>>> {
    prop::collection::vec(prop::collection::vec(entries(), 0..6), 1..8)
}

#[test]
fn simulator_and_committer_agree_with_the_model() {
    let mut config = ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() };
    // PROPTEST_RNG_SEED gives the seed of a failure that is to be seen again.
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(RandomState::new().hash_one("a seed"));
    }
    let seed = config.rng_seed;
    if let Err(failure) = TestRunner::new(config).run(&blocks(), |blocks| check(&blocks)) {
        panic!("{failure}\nfor the same again: PROPTEST_RNG_SEED={seed}");
    }
}

fn check(blocks: &[Vec<Entry>]) -> TestCaseResult {
    let mut world = World::new();
    world.commit_first_block();
    for block in blocks {
        world.commit(block)?;
    }
    Ok(())
}

/// The ledger and the model, both as of every block so far.
struct World {
    ledger: Ledger,
    snapshots: Vec<Arc<dyn Snapshot>>,
    models: Vec<Model>,
    last: selvedge_proto::common::Block,
    commit_hash: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let storage = Arc::new(MemoryStorage::new());
        let genesis = genesis();
        let ledger = Ledger::open(storage, LedgerConfig::new("/ledger"), Some(genesis.clone())).unwrap();
        let snapshots = vec![ledger.snapshot() as Arc<dyn Snapshot>];
        Self { ledger, snapshots, models: vec![Model::default()], last: genesis, commit_hash: Vec::new() }
    }

    /// Many keys exist, so that ranges are often long enough for a tree of hashes, and the collections are defined.
    fn commit_first_block(&mut self) {
        let mut simulator = Simulator::new(Arc::clone(&self.snapshots[0]), "definition");
        let (key, value) = lifecycle_value();
        simulator.put("_lifecycle", &key, value.clone()).unwrap();
        let definition = endorsed("definition", simulator.finish().public);
        let first = transaction::many_keys();
        let mut simulator = Simulator::new(Arc::clone(&self.snapshots[0]), "first");
        let seen = first.simulate(&mut simulator, &self.models[0]).unwrap();
        let filling = endorsed("first", simulator.finish().public);

        let block = next_block(&self.last, vec![definition, filling]);
        let valid = vec![TxValidationCode::Valid; 2];
        let committed =
            self.ledger.commit(self.ledger.validate(block, valid, BTreeMap::new()).unwrap()).unwrap();
        let mut next = self.models[0].begin(1);
        next.write_plain(&Space::public("_lifecycle"), &key, value, Version::new(1, 0));
        assert_eq!(next.judge(&seen), TxValidationCode::Valid);
        next.apply(&first, 1, true);
        let changes = next.changes();
        self.commit_hash = commit_hash(&[0, 0], &changes, &[]);
        assert_eq!(committed.tip().commit_hash, self.commit_hash);
        self.end(committed.block().clone(), next.finish());
    }

    fn commit(&mut self, block: &[Entry]) -> TestCaseResult {
        let number = self.models.len() as u64;
        let mut next = self.models.last().unwrap().begin(number);
        let (mut data, mut verdicts, mut private, mut expected) =
            (Vec::new(), Vec::new(), BTreeMap::new(), Vec::new());
        for (entry, index) in block.iter().zip(0..) {
            let height = self.models.len().saturating_sub(entry.age + 1);
            let id = format!("{number}-{index}");
            let mut simulator = Simulator::new(Arc::clone(&self.snapshots[height]), id.as_str());
            simulator.define_collections(NAMESPACE, LIVES.map(|(name, _)| name.to_owned()));
            let seen = entry.transaction.simulate(&mut simulator, &self.models[height])?;
            let simulated = simulator.finish();
            data.push(endorsed(&id, simulated.public));
            if let Some(writes) = simulated.private.filter(|_| entry.is_at_hand) {
                private.insert(index, writes);
            }
            let refused = TxValidationCode::EndorsementPolicyFailure;
            verdicts.push(if entry.is_refused { refused } else { TxValidationCode::Valid });
            let code = if entry.is_refused { refused } else { next.judge(&seen) };
            if code == TxValidationCode::Valid {
                next.apply(&entry.transaction, index, entry.is_at_hand);
            }
            expected.push(code);
        }
        let validated = self.ledger.validate(next_block(&self.last, data), verdicts, private).unwrap();
        let committed = self.ledger.commit(validated).unwrap();
        prop_assert_eq!(committed.codes().collect::<Vec<_>>(), expected.clone());
        let flags: Vec<u8> = expected.iter().map(|code| *code as u8).collect();
        self.commit_hash = commit_hash(&flags, &next.changes(), &self.commit_hash);
        prop_assert_eq!(&committed.tip().commit_hash[..], &self.commit_hash[..]);
        self.end(committed.block().clone(), next.finish());
        self.compare()
    }

    fn end(&mut self, block: selvedge_proto::common::Block, model: Model) {
        self.last = block;
        self.models.push(model);
        self.snapshots.push(self.ledger.snapshot());
    }

    /// All that the ledger holds must be all that the model holds.
    fn compare(&self) -> TestCaseResult {
        let (snapshot, model) = (self.snapshots.last().unwrap(), self.models.last().unwrap());
        for space in model_spaces() {
            let stored = snapshot.range(&space, &[], &[]).unwrap().map(|entry| {
                let (key, stored) = entry.unwrap();
                (key, (stored.value, metadata(&stored.metadata), stored.version))
            });
            prop_assert_eq!(stored.collect::<BTreeMap<_, _>>(), model.stored(&space), "in {}", space);
        }
        Ok(())
    }
}

/// The one entry that transactions set.
fn metadata(stored: &Bytes) -> Option<u8> {
    let entries = KvMetadataWrite::decode(stored.clone()).unwrap().entries;
    assert!(entries.len() <= 1, "one entry is set: {entries:?}");
    entries.first().map(|entry| entry.value[0])
}
