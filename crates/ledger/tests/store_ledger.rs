//! The ledger: what it refuses, what its readers see, and how it finds its transactions.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::storage::{DiskStorage, FaultyStorage, MemoryStorage, Storage};
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, StoreError, block};
use selvedge_proto::common::Block;
use selvedge_proto::protos::TxValidationCode;

use store_support::chain::{CHAINCODE, Link, chain, commit, genesis, header, next_block, put, put_private};

const FOLDER: &str = "/ledger";

fn open(storage: impl Storage + 'static) -> Result<Ledger, StoreError> {
    Ledger::open(Arc::new(storage), LedgerConfig::new(FOLDER), Some(genesis()))
}

fn extend(ledger: &Ledger, entries: Vec<Bytes>) -> Link {
    let previous = ledger.block(ledger.height() - 1).unwrap().unwrap();
    let link = Link { block: next_block(&previous, entries), private: Default::default() };
    commit(ledger, &link).unwrap();
    link
}

fn values(snapshot: &dyn Snapshot) -> Vec<(String, String)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let rows = snapshot.range(&Space::public(CHAINCODE), b"", b"").unwrap();
    rows.map(|row| row.unwrap()).map(|(key, stored)| (text(key), text(stored.value))).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn only_the_next_block_of_the_chain_is_taken_and_nothing_is_written_otherwise() {
    let storage = FaultyStorage::new();
    let ledger = open(storage.clone()).unwrap();
    let links = chain(1, 4);
    commit(&ledger, &links[1]).unwrap();
    let changes = storage.changes();
    let refused = |block: Block, count: usize| {
        ledger.validate(block, vec![TxValidationCode::Valid; count], Default::default()).unwrap_err()
    };
    let good = &links[2].block;
    let count = good.data.as_ref().unwrap().data.len();
    for link in [&links[0], &links[1], &links[3]] {
        assert!(matches!(refused(link.block.clone(), 1), StoreError::OutOfOrder { expected: 2, .. }));
    }
    let mut block = good.clone();
    block.header.as_mut().unwrap().previous_hash = vec![1; 32].into();
    assert!(matches!(refused(block, count), StoreError::WrongPreviousHash { block: 2, .. }));
    let mut block = good.clone();
    block.data.as_mut().unwrap().data.push(put("more", "a", "b", None));
    assert!(matches!(refused(block, count + 1), StoreError::WrongDataHash { block: 2, .. }));
    assert!(matches!(refused(good.clone(), count + 1), StoreError::MalformedBlock { block: 2, .. }));
    let block = Block { data: None, ..good.clone() };
    assert!(matches!(refused(block, 0), StoreError::MalformedBlock { block: 2, .. }));
    let block = Block { header: None, ..good.clone() };
    assert!(matches!(refused(block, count), StoreError::MalformedBlock { .. }));
    assert_eq!(storage.changes(), changes);
    assert_eq!(ledger.height(), 2);
    commit(&ledger, &links[2]).unwrap();
}

#[test]
fn a_block_judged_on_an_older_state_is_refused() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let block = |value| next_block(&genesis(), vec![put("id", "key", value, None)]);
    let judge = |block| ledger.validate(block, vec![TxValidationCode::Valid], Default::default()).unwrap();
    let (first, second) = (judge(block("first")), judge(block("second")));
    ledger.commit(first).unwrap();
    assert!(matches!(ledger.commit(second).unwrap_err(), StoreError::OutOfOrder { expected: 2, found: 1 }));
    assert_eq!(values(&*ledger.snapshot()), pairs(&[("key", "first")]));
}

#[test]
fn a_block_that_is_too_large_for_the_log_stops_nothing() {
    let mut config = LedgerConfig::new(FOLDER);
    config.log.part_bytes = 2000;
    let ledger = Ledger::open(Arc::new(MemoryStorage::new()), config, Some(genesis())).unwrap();
    let large = next_block(&genesis(), vec![put("id", "key", &"v".repeat(2000), None)]);
    let error = commit(&ledger, &Link { block: large, private: Default::default() }).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 2000, .. }), "{error}");
    extend(&ledger, vec![put("id", "key", "value", None)]);
    assert_eq!(values(&*ledger.snapshot()), pairs(&[("key", "value")]));
}

#[test]
fn all_that_the_transient_store_keeps_fits_into_one_block() {
    let mut config = LedgerConfig::new(FOLDER);
    assert!(u64::from(config.log.private_bytes) > config.transient.bytes);

    // Private writes have a limit of their own.
    config.log.private_bytes = 2000;
    let ledger = Ledger::open(Arc::new(MemoryStorage::new()), config, Some(genesis())).unwrap();
    let (entry, writes) = put_private("id", "key", &"v".repeat(2000));
    let block = next_block(&genesis(), vec![entry]);
    let large = Link { block, private: [(0, writes)].into() };
    let error = commit(&ledger, &large).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 2000, .. }), "{error}");
    commit(&ledger, &Link { private: Default::default(), ..large }).unwrap();
}

#[test]
fn a_reader_sees_the_state_it_began_with_and_keeps_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let config = LedgerConfig::new(folder.path());
    let ledger = Ledger::open(Arc::new(DiskStorage), config, Some(genesis())).unwrap();
    let first = vec![put("1", "a", "old", None), put("2", "b", "old", None), put("3", "c", "old", None)];
    extend(&ledger, first);
    let reader = ledger.snapshot();
    let space = Space::public(CHAINCODE);
    let mut rows = reader.range(&space, b"", b"").unwrap();
    assert_eq!(rows.next().unwrap().unwrap().0, "a");
    for round in 0..20 {
        let entries =
            vec![put("x", "a", &round.to_string(), None), put("y", "b", "", None), put("z", "bb", "", None)];
        extend(&ledger, entries);
        extend(&ledger, vec![put("w", "bb", &round.to_string(), None)]);
        ledger.flush().unwrap();
    }
    let rest: Vec<_> = rows.map(|row| row.unwrap().0).collect();
    assert_eq!(rest, ["b", "c"]);
    assert_eq!(values(&*reader), pairs(&[("a", "old"), ("b", "old"), ("c", "old")]));
    assert_eq!(reader.height(), 2);
    assert_eq!(values(&*ledger.snapshot()), pairs(&[("a", "19"), ("bb", "19"), ("c", "old")]));
    assert_eq!(ledger.snapshot().height(), 42);
}

#[test]
fn ranges_stay_in_their_space_and_bounds() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let keys = ["", "a", "a\u{0}", "b", "\u{10ffff}"];
    extend(&ledger, keys.iter().map(|key| put(key, key, "value", None)).collect());
    let snapshot = ledger.snapshot();
    let range = |space: &str, start: &str, end: &str| -> Vec<String> {
        let rows = snapshot.range(&Space::public(space), start.as_bytes(), end.as_bytes()).unwrap();
        rows.map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap()).collect()
    };
    assert_eq!(range(CHAINCODE, "", ""), keys);
    assert_eq!(range(CHAINCODE, "a", "b"), ["a", "a\u{0}"]);
    assert_eq!(range(CHAINCODE, "a\u{0}", ""), ["a\u{0}", "b", "\u{10ffff}"]);
    assert!(range(CHAINCODE, "b", "a").is_empty());
    assert!(range(CHAINCODE, "b", "b").is_empty());
    for other in ["", "basi", "basic2", "basid"] {
        assert!(range(other, "", "").is_empty(), "{other}");
    }
    let hashed = Space::hashed(CHAINCODE, "");
    assert_eq!(snapshot.range(&hashed, b"", b"").unwrap().count(), 0);
    assert_eq!(snapshot.get(&hashed, b"a").unwrap(), None);
}

#[test]
fn of_transactions_with_one_id_the_first_counts() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let first = extend(&ledger, vec![put("good", "key", "1", None), put("bad", "key", "2", Some((7, 7)))]);
    let twins = vec![put("twin", "other", "1", Some((7, 7))), put("twin", "other", "2", None)];
    let second = extend(&ledger, twins.clone());
    extend(&ledger, vec![put("good", "key", "3", None), put("bad", "key", "4", None)]);
    let place = |id: &str| {
        let place = ledger.transaction_place(id).unwrap().unwrap();
        (place.block, place.index, place.code)
    };
    assert_eq!(place("good"), (1, 0, TxValidationCode::Valid));
    assert_eq!(place("bad"), (1, 1, TxValidationCode::MvccReadConflict));
    assert_eq!(place("twin"), (2, 0, TxValidationCode::MvccReadConflict));
    assert!(ledger.contains_transaction("bad").unwrap());
    assert!(!ledger.contains_transaction("absent").unwrap());
    assert!(ledger.transaction("absent").unwrap().is_none());
    assert!(ledger.block_by_transaction("").unwrap().is_none());
    let found = ledger.transaction("twin").unwrap().unwrap();
    assert_eq!(prost::Message::encode_to_vec(&found.envelope), twins[0]);
    let block = ledger.block_by_transaction("bad").unwrap().unwrap();
    assert_eq!(header(&block), header(&first.block));
    let hash = block::header_hash(header(&second.block));
    assert_eq!(header(&ledger.block_by_hash(&hash).unwrap().unwrap()).number, 2);
    assert!(ledger.block_by_hash(&[0; 32]).unwrap().is_none());
    assert_eq!(ledger.tip().height, 4);
}

#[test]
fn subscribers_hear_of_every_new_height() {
    let ledger = open(MemoryStorage::new()).unwrap();
    let mut heights = ledger.subscribe();
    assert_eq!(*heights.borrow_and_update(), 1);
    extend(&ledger, vec![put("1", "a", "1", None)]);
    assert!(heights.has_changed().unwrap());
    assert_eq!(*heights.borrow_and_update(), 2);
    drop(ledger);
    assert!(heights.has_changed().is_err());
}

#[test]
fn a_ledger_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(Arc::new(DiskStorage), LedgerConfig::new(folder.path()), Some(genesis()));
    let ledger = open().unwrap();
    let StoreError::Locked { folder: locked, holder } = open().unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(locked, folder.path());
    assert_eq!(holder, format!("process {}", std::process::id()));
    drop(ledger);
    open().unwrap();

    let storage = MemoryStorage::new();
    let ledger = self::open(storage.clone()).unwrap();
    assert!(matches!(self::open(storage.clone()).unwrap_err(), StoreError::Locked { .. }));
    drop(ledger);
    self::open(storage).unwrap();
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let ledger =
        Ledger::open(Arc::new(DiskStorage), LedgerConfig::new(folder.path()), Some(genesis())).unwrap();
    extend(&ledger, vec![put("1", "a", "1", None)]);
    let mut seen = 0;
    for place in [folder.path().to_owned(), folder.path().join("blocks")] {
        for name in DiskStorage.list(&place).unwrap() {
            let mode = std::fs::metadata(place.join(&name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} files");
}

#[test]
fn a_ledger_begins_with_its_genesis_block_only() {
    let storage = Arc::new(MemoryStorage::new());
    let open = |genesis| Ledger::open(storage.clone(), LedgerConfig::new(FOLDER), genesis);
    assert!(matches!(open(None).unwrap_err(), StoreError::NoGenesis { .. }));
    let mut late = genesis();
    late.header.as_mut().unwrap().number = 5;
    assert!(matches!(open(Some(late)).unwrap_err(), StoreError::OutOfOrder { .. }));
    assert_eq!(open(Some(genesis())).unwrap().height(), 1);
    assert_eq!(open(None).unwrap().height(), 1);
    let other = block::build(None, vec![put("1", "a", "1", None)]);
    assert!(matches!(open(Some(other)).unwrap_err(), StoreError::OtherGenesis { .. }));
}

#[test]
fn files_of_different_ledgers_are_not_mixed() {
    let storage = MemoryStorage::new();
    let other = MemoryStorage::new();
    extend(&open(storage.clone()).unwrap(), vec![put("1", "a", "1", None)]);
    extend(&open(other.clone()).unwrap(), vec![put("1", "a", "2", None)]);
    let path = Path::new("/ledger/state.redb");
    let state = store_support::read_file(&other, "/ledger/state.redb");
    store_support::write_file(&storage, "/ledger/state.redb", &state);
    let error = open(storage.clone()).unwrap_err();
    assert!(matches!(error, StoreError::Inconsistent { .. }), "{error}");
    storage.remove(path).unwrap();
    assert_eq!(values(&*open(storage.clone()).unwrap().snapshot()), pairs(&[("a", "1")]));
    for name in storage.list(Path::new("/ledger/blocks")).unwrap() {
        storage.remove(&Path::new("/ledger/blocks").join(name)).unwrap();
    }
    assert!(matches!(open(storage).unwrap_err(), StoreError::Inconsistent { .. }));
}
