use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use super::hold::{Gate, SyncHold};
use super::memory::{index, names_in, read_slice, write_slice};
use super::{File, Lock, LockError, MemoryStorage, Storage};

/// Files in memory that keep what was synced apart from what was not, for tests of recovery.
///
/// Every change (a write, a truncation, a sync, a new, renamed or removed name) is counted. A [`Fault`] strikes
/// at a chosen change; [`FaultyStorage::after_power_loss`] is what a machine would find when it comes back.
#[derive(Clone, Debug, Default)]
pub struct FaultyStorage {
    shared: Arc<Mutex<Shared>>,
    gate: Arc<Gate>,
    locks: MemoryStorage,
}

/// What goes wrong, and at which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This change, counted from 0, and all later calls fail: the machine has lost its power. Half of the bytes
    /// of a write that is struck were on their way.
    Crash(u64),
    /// This change, counted from 0, fails, and the storage goes on.
    Fail(u64),
}

#[derive(Debug, Default)]
struct Shared {
    changes: u64,
    fault: Option<Fault>,
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    safe_names: BTreeMap<PathBuf, usize>,
    unsafe_names: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Link(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

#[derive(Debug, Default)]
struct Inode {
    bytes: Vec<u8>,
    safe: Vec<u8>,
    unsafe_changes: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
}

impl FaultyStorage {
    /// A storage without files and without a fault.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the fault to come, or none. Changes are counted from the storage's beginning.
    pub fn set_fault(&self, fault: Option<Fault>) {
        self.shared().fault = fault;
    }

    /// Keeps back everybody who syncs the content of a file, until the hold is dropped.
    #[must_use]
    pub fn hold_syncs(&self) -> SyncHold {
        Gate::close(&self.gate)
    }

    /// How many changes there were.
    pub fn changes(&self) -> u64 {
        self.shared().changes
    }

    /// The files after a loss of power at this moment: what was synced, and of what was not synced some part
    /// that the seed chooses. Of each file's unsynced changes either the first few remain, the last of them
    /// torn, or any of them, in whole. Unsynced names remain up to some point.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let shared = self.shared();
        let mut names = shared.safe_names.clone();
        let kept = dice.below(shared.unsafe_names.len() as u64 + 1);
        for change in shared.unsafe_names.iter().take(kept as usize) {
            change.apply(&mut names);
        }
        let mut left = Shared::default();
        for (path, inode) in names {
            let bytes = shared.inodes[inode].after_power_loss(&mut dice);
            left.names.insert(path.clone(), left.inodes.len());
            left.safe_names.insert(path, left.inodes.len());
            left.inodes.push(Inode { safe: bytes.clone(), bytes, unsafe_changes: Vec::new() });
        }
        Self { shared: Arc::new(Mutex::new(left)), ..Self::default() }
    }

    /// A plain storage with the files as they are seen now.
    pub fn to_memory(&self) -> MemoryStorage {
        let shared = self.shared();
        MemoryStorage::with_files(
            shared.names.iter().map(|(path, inode)| (path.clone(), shared.inodes[*inode].bytes.clone())),
        )
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> Arc<dyn File> {
        Arc::new(FaultyFile { storage: self.clone(), inode })
    }

    fn change_name(&self, change: NameChange) -> io::Result<()> {
        let mut shared = self.shared();
        shared.strike()?;
        change.apply(&mut shared.names);
        shared.unsafe_names.push(change);
        Ok(())
    }
}

impl Shared {
    /// Counts a change and fails if the fault is due.
    fn strike(&mut self) -> io::Result<()> {
        self.alive()?;
        let change = self.changes;
        self.changes += 1;
        match self.fault {
            Some(Fault::Crash(at) | Fault::Fail(at)) if at == change => Err(injected()),
            _ => Ok(()),
        }
    }

    /// Fails once the power is lost.
    fn alive(&self) -> io::Result<()> {
        match self.fault {
            Some(Fault::Crash(at)) if self.changes > at => Err(injected()),
            _ => Ok(()),
        }
    }
}

impl NameChange {
    fn is_in(&self, folder: &Path) -> bool {
        let (Self::Link(path, _) | Self::Rename(path, _) | Self::Unlink(path)) = self;
        path.parent() == Some(folder)
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
        }
    }
}

impl Inode {
    fn after_power_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.safe.clone();
        let in_order = dice.below(2) == 0;
        let kept = dice.below(self.unsafe_changes.len() as u64 + 1) as usize;
        for (place, change) in self.unsafe_changes.iter().enumerate() {
            let torn = in_order && place + 1 == kept;
            if if in_order { place < kept } else { dice.below(2) == 0 } {
                change.apply(&mut bytes, torn.then_some(&mut *dice));
            }
        }
        bytes
    }
}

impl Change {
    /// Makes the change; with dice only a part of it, at times.
    fn apply(&self, bytes: &mut Vec<u8>, tear: Option<&mut Dice>) {
        match self {
            Self::Write(offset, part) => {
                let length = tear.map_or(part.len(), |dice| dice.below(part.len() as u64 + 1) as usize);
                write_slice(bytes, *offset, &part[..length]).expect("it was written once already");
            }
            Self::Resize(size) => bytes.resize(index(*size).expect("it was set once already"), 0),
        }
    }
}

impl Storage for FaultyStorage {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        self.shared().alive()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let shared = self.shared();
        shared.alive()?;
        Ok(names_in(folder, shared.names.keys()))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let shared = self.shared();
        shared.alive()?;
        Ok(shared.names.contains_key(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        if self.exists(path)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = {
            let mut shared = self.shared();
            shared.inodes.push(Inode::default());
            shared.inodes.len() - 1
        };
        self.change_name(NameChange::Link(path.to_owned(), inode))?;
        Ok(self.file(inode))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let shared = self.shared();
        shared.alive()?;
        let inode = *shared.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        drop(shared);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if !self.exists(from)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(NameChange::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.exists(path)? {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.change_name(NameChange::Unlink(path.to_owned()))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut shared = self.shared();
        shared.strike()?;
        let (synced, left) =
            mem::take(&mut shared.unsafe_names).into_iter().partition(|change| change.is_in(folder));
        shared.unsafe_names = left;
        let synced: Vec<NameChange> = synced;
        synced.iter().for_each(|change| change.apply(&mut shared.safe_names));
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        self.shared().alive()?;
        self.locks.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    storage: FaultyStorage,
    inode: usize,
}

impl File for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        let shared = self.storage.shared();
        shared.alive()?;
        Ok(shared.inodes[self.inode].bytes.len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let shared = self.storage.shared();
        shared.alive()?;
        read_slice(&shared.inodes[self.inode].bytes, offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut shared = self.storage.shared();
        shared.alive()?;
        let struck = shared.strike();
        let on_their_way = if struck.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let inode = &mut shared.inodes[self.inode];
        write_slice(&mut inode.bytes, offset, on_their_way)?;
        inode.unsafe_changes.push(Change::Write(offset, on_their_way.to_vec()));
        struck
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        let mut shared = self.storage.shared();
        shared.strike()?;
        let inode = &mut shared.inodes[self.inode];
        inode.bytes.resize(index(size)?, 0);
        inode.unsafe_changes.push(Change::Resize(size));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.gate.pass();
        let mut shared = self.storage.shared();
        shared.strike()?;
        let inode = &mut shared.inodes[self.inode];
        inode.safe = inode.bytes.clone();
        inode.unsafe_changes.clear();
        Ok(())
    }
}

/// A small generator of numbers (SplitMix64), so that a seed alone repeats a failure.
struct Dice(u64);

impl Dice {
    /// A number below `bound`, which is at least 1.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn injected() -> io::Error {
    io::Error::other("a fault was injected")
}
