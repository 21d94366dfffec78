//! What the tests of the stores share.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod chain;

use std::path::Path;

use selvedge_ledger::storage::Storage;

/// A small generator of numbers (SplitMix64), so that a seed alone repeats a failure.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is at least 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// All bytes of a file.
pub(crate) fn read_file(storage: &dyn Storage, path: &str) -> Vec<u8> {
    let file = storage.open(Path::new(path)).unwrap();
    let mut bytes = vec![0; file.size().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Makes or replaces a file.
pub(crate) fn write_file(storage: &dyn Storage, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    if storage.exists(path).unwrap() {
        storage.remove(path).unwrap();
    }
    storage.create(path).unwrap().write_at(0, bytes).unwrap();
}
