//! Private writes that come after their block: what they change, what is shown of them, and that nothing is lost.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::Missing;
use selvedge_ledger::storage::{Fault, FaultyStorage, MemoryStorage, Storage};
use selvedge_ledger::{LateWrites, Ledger, LedgerConfig, Snapshot, Space, StoreError};
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::TxPvtReadWriteSet;

use store_support::chain::{
    CHAINCODE, COLLECTION, Link, commit, define, genesis, next_block, purge_private, put, put_private,
};

const FOLDER: &str = "/ledger";

fn open(storage: impl Storage + 'static) -> Result<Ledger, StoreError> {
    Ledger::open(Arc::new(storage), LedgerConfig::new(FOLDER), Some(genesis()))
}

/// Commits a block of one transaction without its private writes, and returns them as another peer would give them.
fn commit_without(ledger: &Ledger, entry: (Bytes, TxPvtReadWriteSet)) -> LateWrites {
    let (entry, writes) = entry;
    let number = ledger.height();
    extend(ledger, entry, PrivateWrites::new());
    LateWrites { of: missing(number), rwset: set_of(&writes) }
}

fn extend(ledger: &Ledger, entry: Bytes, private: PrivateWrites) {
    let previous = ledger.block(ledger.height() - 1).unwrap().unwrap();
    commit(ledger, &Link { block: next_block(&previous, vec![entry]), private }).unwrap();
}

fn set_of(writes: &TxPvtReadWriteSet) -> Bytes {
    writes.ns_pvt_rwset[0].collection_pvt_rwset[0].rwset.clone()
}

fn missing(block: u64) -> Missing {
    Missing { namespace: CHAINCODE.to_owned(), collection: COLLECTION.to_owned(), block, transaction: 0 }
}

fn all_missing(ledger: &Ledger) -> Vec<Missing> {
    ledger.snapshot().missing_of(CHAINCODE, COLLECTION, None, 100).unwrap()
}

fn held(ledger: &Ledger, key: &str) -> Option<Bytes> {
    let space = Space::private(CHAINCODE, COLLECTION);
    ledger.snapshot().get(&space, key.as_bytes()).unwrap().map(|stored| stored.value)
}

fn shown(ledger: &Ledger, block: u64) -> Option<Bytes> {
    ledger.record(block).unwrap().unwrap().private.get(&0).map(set_of)
}

#[test]
fn what_comes_late_counts_as_if_it_had_been_there() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let late = commit_without(&ledger, put_private("1", "key", "value"));
    assert_eq!(all_missing(&ledger), [missing(1)]);
    assert_eq!((held(&ledger, "key"), shown(&ledger, 1)), (None, None));
    assert_eq!(ledger.reconcile(vec![late.clone()]).unwrap(), 1);
    assert_eq!(held(&ledger, "key").unwrap(), "value");
    assert_eq!(shown(&ledger, 1), Some(late.rwset.clone()));
    assert!(all_missing(&ledger).is_empty());
    assert!(ledger.snapshot().missing_collections().unwrap().is_empty());
    assert_eq!(ledger.reconcile(vec![late]).unwrap(), 0, "it is not missing any more");
}

#[test]
fn what_was_overwritten_since_changes_nothing_and_is_still_shown() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let late = commit_without(&ledger, put_private("1", "key", "old"));
    let (entry, writes) = put_private("2", "key", "new");
    extend(&ledger, entry, [(0, writes)].into());
    assert_eq!(ledger.reconcile(vec![late.clone()]).unwrap(), 1);
    assert_eq!(held(&ledger, "key").unwrap(), "new");
    assert_eq!(shown(&ledger, 1), Some(late.rwset));
}

#[test]
fn what_was_not_endorsed_stays_missing() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let late = commit_without(&ledger, put_private("1", "key", "value"));
    let forged = set_of(&put_private("1", "key", "forged").1);
    for wrong in [forged, Bytes::new(), Bytes::from_static(b"\xff\xff")] {
        let wrong = LateWrites { rwset: wrong, ..late.clone() };
        assert_eq!(ledger.reconcile(vec![wrong]).unwrap(), 0);
    }
    let elsewhere = LateWrites { of: missing(7), ..late.clone() };
    assert_eq!(ledger.reconcile(vec![elsewhere]).unwrap(), 0);
    assert_eq!(held(&ledger, "key"), None);
    assert_eq!(all_missing(&ledger), [missing(1)]);
    assert_eq!(ledger.reconcile(vec![late]).unwrap(), 1);
}

#[test]
fn what_was_purged_since_is_neither_taken_nor_shown() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let late = commit_without(&ledger, put_private("1", "key", "value"));
    let (entry, writes) = put_private("2", "key", "again");
    extend(&ledger, entry, [(0, writes.clone())].into());
    assert_eq!(shown(&ledger, 2), Some(set_of(&writes)));
    let purge = commit_without(&ledger, purge_private("3", "key"));
    assert_eq!(held(&ledger, "key"), None);
    assert_eq!(shown(&ledger, 2), Some(Bytes::new()), "the set is left, with nothing in it");

    // Another peer that has seen the purge too gives sets without the key, one that has not the whole sets.
    assert_eq!(ledger.reconcile(vec![LateWrites { rwset: Bytes::new(), ..late }, purge]).unwrap(), 2);
    assert_eq!(held(&ledger, "key"), None);
    assert_eq!(shown(&ledger, 1), Some(Bytes::new()));
    assert_eq!(shown(&ledger, 3), Some(Bytes::new()));
    assert!(all_missing(&ledger).is_empty());

    // What is written after the purge is there again.
    let (entry, writes) = put_private("4", "key", "anew");
    extend(&ledger, entry, [(0, writes.clone())].into());
    assert_eq!(held(&ledger, "key").unwrap(), "anew");
    assert_eq!(shown(&ledger, 4), Some(set_of(&writes)));
}

/// With a block to live of 2, what block b wrote is gone with block b + 3.
#[test]
fn what_has_outlived_its_blocks_is_missing_no_more() {
    let ledger = open(MemoryStorage::new()).unwrap();
    extend(&ledger, define(2), PrivateWrites::new());
    let in_time = commit_without(&ledger, put_private("2", "a", "in time"));
    let too_late = commit_without(&ledger, put_private("3", "b", "too late"));
    extend(&ledger, put("4", "x", "x", None), PrivateWrites::new());
    assert_eq!(ledger.reconcile(vec![in_time]).unwrap(), 1);
    assert_eq!(held(&ledger, "a").unwrap(), "in time");
    extend(&ledger, put("5", "x", "x", None), PrivateWrites::new());
    assert_eq!((held(&ledger, "a"), shown(&ledger, 2)), (None, None), "it goes with the hash of its key");
    extend(&ledger, put("6", "x", "x", None), PrivateWrites::new());
    assert_eq!(all_missing(&ledger), [missing(3)]);
    assert_eq!(ledger.reconcile(vec![too_late]).unwrap(), 1, "nobody has to look for it any more");
    assert_eq!((held(&ledger, "b"), shown(&ledger, 3)), (None, None));
    assert!(all_missing(&ledger).is_empty());

    // Nobody gives this one, and with the next write to the collection it is forgotten.
    commit_without(&ledger, put_private("7", "c", "never"));
    for id in ["8", "9", "10"] {
        extend(&ledger, put(id, "x", "x", None), PrivateWrites::new());
    }
    assert_eq!(all_missing(&ledger), [missing(7)]);
    let (entry, writes) = put_private("11", "d", "new");
    extend(&ledger, entry, [(0, writes)].into());
    assert!(all_missing(&ledger).is_empty());
}

/// A block that was judged before something came late must not undo it, nor miss it.
#[test]
fn a_block_that_was_judged_before_takes_it_into_account() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let late = commit_without(&ledger, put_private("1", "key", "value"));
    let previous = ledger.block(1).unwrap().unwrap();
    let block = next_block(&previous, vec![purge_private("2", "key").0]);
    let judged = ledger.validate(block, vec![TxValidationCode::Valid], PrivateWrites::new()).unwrap();
    ledger.reconcile(vec![late]).unwrap();
    assert_eq!(held(&ledger, "key").unwrap(), "value");
    ledger.commit(judged).unwrap();
    assert_eq!(held(&ledger, "key"), None, "the purge finds the value that came meanwhile");
}

#[test]
fn the_private_writes_of_an_invalid_transaction_are_kept_and_change_nothing() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let (entry, writes) = put_private("1", "key", "value");
    let block = next_block(&genesis(), vec![entry]);
    let verdict = vec![TxValidationCode::EndorsementPolicyFailure];
    let judged = ledger.validate(block, verdict, [(0, writes.clone())].into()).unwrap();
    ledger.commit(judged).unwrap();
    assert_eq!(held(&ledger, "key"), None);
    assert_eq!(shown(&ledger, 1), Some(set_of(&writes)));
    let (entry, _) = put_private("2", "key", "value");
    let previous = ledger.block(1).unwrap().unwrap();
    let block = next_block(&previous, vec![entry]);
    let (_, other) = put_private("2", "key", "other");
    let verdict = vec![TxValidationCode::EndorsementPolicyFailure];
    let judged = ledger.validate(block, verdict, [(0, other)].into()).unwrap();
    ledger.commit(judged).unwrap();
    assert_eq!(shown(&ledger, 2), None, "what was not endorsed is not kept");
    assert!(all_missing(&ledger).is_empty(), "nobody needs it");
}

/// Whenever the power goes, the ledger opens with the late writes either missing or whole: in the state, in the record,
/// and not among what is missing.
#[test]
fn a_loss_of_power_leaves_it_missing_or_whole() {
    let late = |ledger: &Ledger| commit_without(ledger, put_private("1", "key", "value"));
    let undisturbed = FaultyStorage::new();
    let ledger = open(undisturbed.clone()).unwrap();
    let first = late(&ledger);
    let before = undisturbed.changes();
    ledger.reconcile(vec![first]).unwrap();
    let changes = undisturbed.changes() - before;
    assert!(changes > 0);
    let mut outcomes = [0, 0];
    for step in 0..=changes {
        let storage = FaultyStorage::new();
        let ledger = open(storage.clone()).unwrap();
        let writes = late(&ledger);
        storage.set_fault(Some(Fault::Crash(storage.changes() + step)));
        let acknowledged = ledger.reconcile(vec![writes.clone()]).is_ok();
        drop(ledger);
        let ledger = open(storage.after_power_loss(step)).unwrap();
        extend(&ledger, put("2", "other", "x", None), PrivateWrites::new());
        let is_there = held(&ledger, "key").is_some();
        assert_eq!(shown(&ledger, 1).is_some(), is_there, "step {step}");
        assert_eq!(all_missing(&ledger).is_empty(), is_there, "step {step}");
        assert!(is_there || !acknowledged, "step {step}: it was acknowledged and is lost");
        outcomes[usize::from(is_there)] += 1;
        if !is_there {
            assert_eq!(ledger.reconcile(vec![writes]).unwrap(), 1);
        }
    }
    assert!(outcomes[0] > 0 && outcomes[1] > 0, "{outcomes:?}");
}
