//! The storages agree, and the faulty one forgets exactly what a machine may forget.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use selvedge_ledger::storage::{DiskStorage, Fault, FaultyStorage, LockError, MemoryStorage, Storage};

use store_support::{read_file, write_file};

fn on_every_storage(test: impl Fn(&dyn Storage, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    test(&DiskStorage, &folder.path().join("folder"));
    test(&MemoryStorage::new(), Path::new("/folder"));
    test(&FaultyStorage::new(), Path::new("/folder"));
}

#[test]
fn files_are_read_and_written_alike() {
    on_every_storage(|storage, folder| {
        storage.create_folder(folder).unwrap();
        storage.create_folder(folder).unwrap();
        let path = folder.join("b");
        assert_eq!(storage.open(&path).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(!storage.exists(&path).unwrap());
        let file = storage.create(&path).unwrap();
        assert_eq!(storage.create(&path).unwrap_err().kind(), ErrorKind::AlreadyExists);
        file.write_at(3, b"def").unwrap();
        file.write_at(1, b"bc").unwrap();
        assert_eq!(file.size().unwrap(), 6);
        assert_eq!(read_file(storage, path.to_str().unwrap()), b"\0bcdef");
        let mut buffer = [0; 2];
        storage.open(&path).unwrap().read_at(4, &mut buffer).unwrap();
        assert_eq!(&buffer, b"ef");
        assert_eq!(file.read_at(5, &mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(file.read_at(1 << 40, &mut buffer).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        file.set_size(4).unwrap();
        file.set_size(5).unwrap();
        file.sync_data().unwrap();
        storage.sync_folder(folder).unwrap();
        assert_eq!(read_file(storage, path.to_str().unwrap()), b"\0bcd\0");
    });
}

#[test]
fn names_are_listed_changed_and_removed_alike() {
    on_every_storage(|storage, folder| {
        storage.create_folder(&folder.join("inner")).unwrap();
        for name in ["b", "a", "inner/c"] {
            write_file(storage, folder.join(name).to_str().unwrap(), name.as_bytes());
        }
        assert_eq!(storage.list(folder).unwrap(), ["a", "b"]);
        storage.rename(&folder.join("a"), &folder.join("b")).unwrap();
        assert_eq!(storage.list(folder).unwrap(), ["b"]);
        assert_eq!(read_file(storage, folder.join("b").to_str().unwrap()), b"a");
        storage.remove(&folder.join("b")).unwrap();
        assert_eq!(storage.remove(&folder.join("b")).unwrap_err().kind(), ErrorKind::NotFound);
        let lost = storage.rename(&folder.join("b"), &folder.join("d")).unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::NotFound);
        assert!(storage.list(folder).unwrap().is_empty());
    });
}

#[test]
fn a_lock_has_one_holder() {
    on_every_storage(|storage, folder| {
        storage.create_folder(folder).unwrap();
        let path = folder.join("lock");
        let lock = storage.lock(&path).unwrap();
        assert!(matches!(storage.lock(&path).unwrap_err(), LockError::Held { .. }));
        drop(lock);
        drop(storage.lock(&path).unwrap());
    });
}

#[test]
fn a_loss_of_power_keeps_what_was_synced_and_any_part_of_the_rest() {
    let storage = FaultyStorage::new();
    let folder = Path::new("/folder");
    let file = storage.create(&folder.join("file")).unwrap();
    file.write_at(0, b"safe").unwrap();
    file.sync_data().unwrap();
    storage.sync_folder(folder).unwrap();
    file.write_at(4, b"12").unwrap();
    file.write_at(0, b"SA").unwrap();
    storage.create(&folder.join("other")).unwrap();
    let mut contents = BTreeSet::new();
    let mut listings = BTreeSet::new();
    for seed in 0..200 {
        let left = storage.after_power_loss(seed);
        contents.insert(String::from_utf8(read_file(&left, "/folder/file")).unwrap());
        listings.insert(left.list(folder).unwrap().len());
    }
    let expected = ["safe", "safe1", "safe12", "SAfe", "SAfe12", "Safe12"].map(str::to_owned);
    assert_eq!(contents, BTreeSet::from(expected));
    assert_eq!(listings, BTreeSet::from([1, 2]));
}

#[test]
fn faults_strike_at_their_change() {
    let storage = FaultyStorage::new();
    let file = storage.create(Path::new("/folder/file")).unwrap();
    storage.set_fault(Some(Fault::Fail(2)));
    file.write_at(0, b"1234").unwrap();
    file.write_at(0, b"abcd").unwrap_err();
    assert_eq!(read_file(&storage, "/folder/file"), b"ab34");
    file.write_at(0, b"ABCD").unwrap();
    storage.set_fault(Some(Fault::Crash(4)));
    file.sync_data().unwrap_err();
    file.size().unwrap_err();
    storage.open(Path::new("/folder/file")).unwrap_err();
    storage.list(Path::new("/folder")).unwrap_err();
    assert_eq!(read_file(&storage.to_memory(), "/folder/file"), b"ABCD");
}
