//! The block log keeps whole blocks through crashes and tells torn records from damaged ones.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::StoreError;
use selvedge_ledger::log::{BlockLog, LogOptions, PrivateWrites, Record};
use selvedge_ledger::storage::{DiskStorage, Fault, FaultyStorage, MemoryStorage, Storage};
use selvedge_proto::common::{Block, BlockData, BlockHeader};
use selvedge_proto::rwset::TxPvtReadWriteSet;

use store_support::{Dice, read_file, write_file};

const FOLDER: &str = "/log";

fn options(segment_bytes: u64) -> LogOptions {
    LogOptions { segment_bytes, ..LogOptions::default() }
}

fn record(number: u64) -> Record {
    let header = Some(BlockHeader { number, ..BlockHeader::default() });
    let data =
        Some(BlockData { data: vec![Bytes::from(vec![number as u8; 40 + (number as usize * 37) % 300])] });
    let private = if number % 3 == 1 {
        PrivateWrites::from([(number, TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset: Vec::new() })])
    } else {
        PrivateWrites::new()
    };
    Record { block: Block { header, data, metadata: None }, private }
}

fn append(log: &BlockLog, number: u64) -> Result<(), StoreError> {
    let record = record(number);
    log.append(&record.block, &record.private)
}

fn open(storage: impl Storage + 'static, segment_bytes: u64) -> Result<BlockLog, StoreError> {
    BlockLog::open(Arc::new(storage), Path::new(FOLDER), options(segment_bytes))
}

fn assert_holds(log: &BlockLog, height: u64) {
    assert_eq!(log.height(), height);
    for number in 0..height {
        assert_eq!(log.record(number).unwrap(), Some(record(number)));
        assert_eq!(log.block(number).unwrap(), Some(record(number).block));
    }
    assert_eq!(log.block(height).unwrap(), None);
    assert_eq!(log.record(u64::MAX).unwrap(), None);
}

/// A log of `height` blocks in one file, and that file's name.
fn one_file(height: u64) -> (MemoryStorage, String) {
    let storage = MemoryStorage::new();
    let log = open(storage.clone(), u64::MAX).unwrap();
    (0..height).for_each(|number| append(&log, number).unwrap());
    let [name] = storage.list(Path::new(FOLDER)).unwrap().try_into().unwrap();
    (storage, format!("{FOLDER}/{name}"))
}

#[test]
fn blocks_are_found_again_across_files_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let open = || BlockLog::open(Arc::new(DiskStorage), folder.path(), options(1000)).unwrap();
    for restart in 0..5 {
        let log = open();
        assert_holds(&log, restart * 20);
        (restart * 20..restart * 20 + 20).for_each(|number| append(&log, number).unwrap());
        assert_holds(&log, restart * 20 + 20);
    }
    assert!(DiskStorage.list(folder.path()).unwrap().len() > 5, "the blocks are in one file");
}

#[test]
fn a_block_out_of_order_is_refused_and_nothing_is_written() {
    let (storage, file) = one_file(3);
    let before = read_file(&storage, &file);
    let log = open(storage.clone(), u64::MAX).unwrap();
    for number in [0, 2, 4] {
        let error = append(&log, number).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { expected: 3, found } if found == number), "{error}");
    }
    assert_eq!(read_file(&storage, &file), before);
    append(&log, 3).unwrap();
}

#[test]
fn a_block_that_is_too_large_is_refused() {
    let storage = Arc::new(MemoryStorage::new());
    let limited = LogOptions { part_bytes: 100, ..LogOptions::default() };
    let log = BlockLog::open(storage, Path::new(FOLDER), limited).unwrap();
    append(&log, 0).unwrap();
    let mut block = record(1).block;
    block.data.as_mut().unwrap().data = vec![Bytes::from(vec![7; 200])];
    let error = log.append(&block, &PrivateWrites::new()).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 100, .. }), "{error}");
    append(&log, 1).unwrap();
}

#[test]
fn after_a_failed_write_the_log_waits_to_be_opened_again() {
    for failing in 0..2 {
        let storage = FaultyStorage::new();
        let log = open(storage.clone(), u64::MAX).unwrap();
        append(&log, 0).unwrap();
        storage.set_fault(Some(Fault::Fail(storage.changes() + failing)));
        assert!(matches!(append(&log, 1).unwrap_err(), StoreError::Io { .. }));
        assert!(matches!(append(&log, 1).unwrap_err(), StoreError::Halted { .. }));
        assert_holds(&log, 1);
        let log = open(storage, u64::MAX).unwrap();
        let height = log.height();
        assert!((1..=2).contains(&height));
        append(&log, height).unwrap();
        assert_holds(&log, height + 1);
    }
}

#[test]
fn a_file_cut_anywhere_keeps_the_blocks_before_the_cut() {
    let (storage, file) = one_file(4);
    let whole = read_file(&storage, &file);
    let mut heights = Vec::new();
    for length in 0..=whole.len() {
        let storage = MemoryStorage::new();
        write_file(&storage, &file, &whole[..length]);
        let log = open(storage, u64::MAX).unwrap();
        let height = log.height();
        assert_holds(&log, height);
        (height..4).for_each(|number| append(&log, number).unwrap());
        assert_holds(&log, 4);
        heights.push(height);
    }
    assert!(heights.is_sorted());
    assert_eq!((heights[0], heights[whole.len()]), (0, 4));
    assert_eq!(heights[whole.len() - 1], 3);
}

#[test]
fn damage_before_the_last_block_is_an_error_that_names_the_place() {
    let (storage, file) = one_file(3);
    let whole = read_file(&storage, &file);
    let second_to_last = read_file(&one_file(2).0, &file).len();
    for place in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x10;
        let storage = MemoryStorage::new();
        write_file(&storage, &file, &damaged);
        match open(storage, u64::MAX) {
            Ok(log) => {
                assert!(place >= second_to_last, "damage at {place} went unseen");
                assert_holds(&log, 2);
            }
            Err(StoreError::Corrupt { path, offset, .. }) => {
                assert!(place < second_to_last, "the torn record at {place} was not taken back");
                assert_eq!(path, Path::new(&file));
                assert!(offset <= place as u64 && place as u64 <= offset + 400);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn damage_in_an_older_file_is_found_when_it_is_read() {
    let storage = MemoryStorage::new();
    let log = open(storage.clone(), 1).unwrap();
    (0..3).for_each(|number| append(&log, number).unwrap());
    drop(log);
    let names = storage.list(Path::new(FOLDER)).unwrap();
    assert_eq!(names.len(), 3);
    let path = format!("{FOLDER}/{}", names[1]);
    let mut bytes = read_file(&storage, &path);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    write_file(&storage, &path, &bytes);
    let log = open(storage.clone(), 1).unwrap();
    assert_eq!(log.block(0).unwrap(), Some(record(0).block));
    assert_eq!(log.block(2).unwrap(), Some(record(2).block));
    assert!(
        matches!(log.record(1).unwrap_err(), StoreError::Corrupt { path: found, .. } if found == Path::new(&path))
    );
    storage.remove(Path::new(&format!("{FOLDER}/{}", names[0]))).unwrap();
    assert!(matches!(open(storage, 1).unwrap_err(), StoreError::Inconsistent { .. }));
}

#[test]
fn a_transaction_cannot_pass_for_a_record() {
    // A client knows how records look, and puts one into a transaction. Then a crash tears that very block.
    let (other, file) = one_file(5);
    let mut block = record(3).block;
    block.data.as_mut().unwrap().data.push(read_file(&other, &file).into());
    let (storage, file) = one_file(3);
    let whole = read_file(&storage, &file).len();
    open(storage.clone(), u64::MAX).unwrap().append(&block, &PrivateWrites::new()).unwrap();
    let mut torn = read_file(&storage, &file);
    torn[whole] ^= 1;
    write_file(&storage, &file, &torn);
    assert_holds(&open(storage, u64::MAX).unwrap(), 3);
}

#[test]
fn crashes_leave_whole_blocks_and_all_that_were_acknowledged() {
    for seed in 0..400 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let mut storage = FaultyStorage::new();
        let mut acknowledged = 0;
        for _ in 0..4 {
            storage.set_fault(Some(Fault::Crash(storage.changes() + dice.below(40))));
            if let Ok(log) = open(storage.clone(), 700) {
                acknowledged = acknowledged.max(log.height());
                while append(&log, acknowledged).is_ok() {
                    acknowledged += 1;
                }
            }
            // Either the machine stops, or only the process: then what it wrote is there, but not yet safe.
            match dice.below(2) {
                0 => storage = storage.after_power_loss(dice.below(u64::MAX)),
                _ => storage.set_fault(None),
            }
        }
        let log = open(storage, 700).unwrap();
        let height = log.height();
        assert!((acknowledged..=acknowledged + 1).contains(&height), "{height} of {acknowledged}");
        assert_holds(&log, height);
    }
}
