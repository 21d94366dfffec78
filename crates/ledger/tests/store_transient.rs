//! Private writes wait for their block, within limits, and through a loss of power.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::path::Path;

use selvedge_ledger::StoreError;
use selvedge_ledger::storage::{Fault, FaultyStorage, MemoryStorage, Storage};
use selvedge_ledger::transient::{TransientOptions, TransientStore};
use selvedge_proto::rwset::{NsPvtReadWriteSet, TxPvtReadWriteSet};

use store_support::Dice;

const PATH: &str = "/ledger/transient.redb";

fn open(storage: &dyn Storage, options: TransientOptions) -> Result<TransientStore, StoreError> {
    TransientStore::open(storage, Path::new(PATH), options)
}

fn writes(namespace: &str) -> TxPvtReadWriteSet {
    let namespace = NsPvtReadWriteSet { namespace: namespace.to_owned(), collection_pvt_rwset: Vec::new() };
    TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset: vec![namespace] }
}

#[test]
fn sets_are_kept_by_transaction_and_content() {
    let store = open(&MemoryStorage::new(), TransientOptions::default()).unwrap();
    assert!(store.is_empty().unwrap());
    for (id, namespace) in [("a", "one"), ("a", "two"), ("a", "one"), ("aa", "three"), ("", "four")] {
        store.put(id, 1, &writes(namespace)).unwrap();
    }
    let found = store.get("a").unwrap();
    assert_eq!(found.len(), 2);
    assert!(found.contains(&writes("one")) && found.contains(&writes("two")));
    assert_eq!(store.get("aa").unwrap(), [writes("three")]);
    assert_eq!(store.get("").unwrap(), [writes("four")]);
    assert!(store.get("b").unwrap().is_empty());
}

#[test]
fn sets_go_with_their_block_or_when_they_are_old() {
    let options = TransientOptions { retention: 10, ..TransientOptions::default() };
    let store = open(&MemoryStorage::new(), options).unwrap();
    for (id, height) in [("a", 1), ("b", 1), ("c", 2), ("d", 5)] {
        store.put(id, height, &writes("one")).unwrap();
        store.put(id, height, &writes("two")).unwrap();
    }
    let kept = || ["a", "b", "c", "d"].map(|id| store.get(id).unwrap().len());
    store.block_committed(6, ["d", "absent"]).unwrap();
    assert_eq!(kept(), [2, 2, 2, 0]);
    store.block_committed(11, []).unwrap();
    assert_eq!(kept(), [2, 2, 2, 0]);
    store.block_committed(12, []).unwrap();
    assert_eq!(kept(), [0, 0, 2, 0]);
    store.block_committed(1000, []).unwrap();
    assert!(store.is_empty().unwrap());
}

#[test]
fn a_full_store_refuses_until_there_is_room() {
    let size = prost::Message::encoded_len(&writes("one")) as u64;
    let options = TransientOptions { bytes: 3 * size, ..TransientOptions::default() };
    let store = open(&MemoryStorage::new(), options).unwrap();
    for id in ["a", "b", "c"] {
        store.put(id, 1, &writes("one")).unwrap();
    }
    let error = store.put("d", 1, &writes("one")).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit, .. } if limit == 3 * size), "{error}");
    assert!(store.get("d").unwrap().is_empty());
    store.put("a", 1, &writes("one")).unwrap();
    store.block_committed(2, ["b"]).unwrap();
    store.put("d", 2, &writes("one")).unwrap();
    store.put("e", 2, &writes("one")).unwrap_err();
}

#[test]
fn what_waits_for_its_block_survives_a_loss_of_power() {
    let size = prost::Message::encoded_len(&writes("one")) as u64;
    let options = TransientOptions { bytes: 100 * size, ..TransientOptions::default() };
    for seed in 0..300 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let mut storage = FaultyStorage::new();
        let (mut kept, mut arrived) = (Vec::<String>::new(), Vec::<String>::new());
        for round in 0..4 {
            storage.set_fault(Some(Fault::Crash(storage.changes() + dice.below(60))));
            if let Ok(store) = open(&storage, options) {
                for place in 0..10 {
                    let id = format!("{round}-{place}");
                    if store.put(&id, 1, &writes("one")).is_err() {
                        break;
                    }
                    kept.push(id);
                    // Some arrive in a block; a crash may bring them back.
                    if dice.below(3) == 0 {
                        let id = kept.swap_remove(dice.below(kept.len() as u64) as usize);
                        arrived.push(id.clone());
                        if store.block_committed(2, [&*id]).is_err() {
                            break;
                        }
                    }
                }
            }
            // Either the machine stops, or only the process: then what it wrote is there, but not yet safe.
            match dice.below(2) {
                0 => storage = storage.after_power_loss(dice.below(u64::MAX)),
                _ => storage.set_fault(None),
            }
        }
        let store = open(&storage, options).unwrap();
        for id in &kept {
            assert_eq!(store.get(id).unwrap(), [writes("one")], "{id}");
        }
        // Once everything has arrived, nothing is left, and there is room as at the beginning.
        store.block_committed(3, kept.iter().chain(&arrived).map(String::as_str)).unwrap();
        let unheard: Vec<String> =
            (0..4).flat_map(|round| (0..10).map(move |place| format!("{round}-{place}"))).collect();
        store.block_committed(3, unheard.iter().map(String::as_str)).unwrap();
        assert!(store.is_empty().unwrap());
        (0..100).for_each(|place| store.put(&place.to_string(), 3, &writes("one")).unwrap());
        store.put("one too many", 3, &writes("one")).unwrap_err();
    }
}
