//! Histories of keys: what is in them, and that the index is rebuilt from the log.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::path::Path;
use std::sync::Arc;

use selvedge_ledger::storage::{MemoryStorage, Storage};
use selvedge_ledger::{Ledger, LedgerConfig, StoreError};
use selvedge_proto::queryresult::KeyModification;

use store_support::chain::{CHAINCODE, Link, commit, genesis, next_block, put, put_private, timestamp};

fn open(storage: &Arc<MemoryStorage>, history: bool) -> Arc<Ledger> {
    let mut config = LedgerConfig::new("/ledger");
    config.history = history;
    Arc::new(Ledger::open(Arc::clone(storage) as Arc<dyn Storage>, config, Some(genesis())).unwrap())
}

/// Adds three blocks: a key is put, conflicts once, is put twice in one block, is deleted, and is put again along with
/// a private key of the same name.
fn extend(ledger: &Ledger) {
    let before = ledger.height();
    let (private, writes) = put_private("again", "k", "third");
    let blocks = [
        vec![put("other", "k2", "x", None), put("first", "k", "first", None)],
        vec![
            put("conflict", "k", "never", Some((7, 7))),
            put("second", "k", "second", None),
            put("gone", "k", "", None),
        ],
        vec![private],
    ];
    for (number, entries) in (before..).zip(blocks) {
        let previous = ledger.block(number - 1).unwrap().unwrap();
        let block = next_block(&previous, entries);
        let private = if number == before + 2 { [(0, writes.clone())].into() } else { Default::default() };
        commit(ledger, &Link { block, private }).unwrap();
    }
}

fn history(ledger: &Arc<Ledger>, key: &str, height: u64) -> Vec<KeyModification> {
    ledger.history(CHAINCODE, key, height).unwrap().collect::<Result<_, _>>().unwrap()
}

fn change(id: &str, value: &str) -> KeyModification {
    KeyModification {
        tx_id: id.to_owned(),
        value: value.to_owned().into(),
        timestamp: Some(timestamp(id)),
        is_delete: value.is_empty(),
    }
}

/// The history of the key that [`extend`] writes.
fn whole() -> Vec<KeyModification> {
    vec![change("again", "third"), change("gone", ""), change("second", "second"), change("first", "first")]
}

#[test]
fn valid_public_writes_are_listed_with_the_newest_first() {
    let ledger = open(&Arc::default(), true);
    extend(&ledger);
    assert_eq!(history(&ledger, "k", ledger.height()), whole());
    assert_eq!(history(&ledger, "k", 3), whole()[1..], "an older height knows no later writes");
    assert_eq!(history(&ledger, "k", 2), whole()[3..]);
    assert_eq!(history(&ledger, "k", 1), []);
    assert_eq!(
        history(&ledger, "k2", 9),
        [change("other", "x")],
        "no key is taken for one that begins like it"
    );
    assert_eq!(history(&ledger, "", 9), []);
    assert_eq!(ledger.history("elsewhere", "k", 9).unwrap().count(), 0);
}

#[test]
fn a_history_that_was_begun_sees_no_later_blocks() {
    let ledger = open(&Arc::default(), true);
    extend(&ledger);
    let mut begun = ledger.history(CHAINCODE, "k", ledger.height()).unwrap();
    assert_eq!(begun.next().unwrap().unwrap(), whole()[0]);
    let previous = ledger.block(ledger.height() - 1).unwrap().unwrap();
    let block = next_block(&previous, vec![put("late", "k", "late", None)]);
    commit(&ledger, &Link { block, private: Default::default() }).unwrap();
    assert_eq!(begun.collect::<Result<Vec<_>, _>>().unwrap(), whole()[1..]);
    assert_eq!(history(&ledger, "k", 9)[0], change("late", "late"));
}

#[test]
fn a_ledger_without_histories_says_so_and_takes_them_up_later() {
    let storage = Arc::default();
    let ledger = open(&storage, false);
    extend(&ledger);
    let refused = ledger.history(CHAINCODE, "k", 9).unwrap_err();
    assert!(matches!(refused, StoreError::NoHistory));
    assert_eq!(refused.to_string(), "history database is not enabled");
    drop(ledger);

    let ledger = open(&storage, true);
    assert_eq!(history(&ledger, "k", 9), whole());
    drop(ledger);

    // Blocks that came meanwhile are made up for, too.
    let ledger = open(&storage, false);
    let previous = ledger.block(ledger.height() - 1).unwrap().unwrap();
    let block = next_block(&previous, vec![put("late", "k", "late", None)]);
    commit(&ledger, &Link { block, private: Default::default() }).unwrap();
    drop(ledger);
    assert_eq!(history(&open(&storage, true), "k", 9), [vec![change("late", "late")], whole()].concat());
}

#[test]
fn the_index_is_built_anew_from_the_log() {
    let storage = Arc::<MemoryStorage>::default();
    let ledger = open(&storage, true);
    extend(&ledger);
    drop(ledger);
    storage.remove(Path::new("/ledger/state.redb")).unwrap();
    assert_eq!(history(&open(&storage, true), "k", 9), whole());
}
