use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::{File, Lock, LockError, Storage};

/// Files in memory, gone with the last clone of the value. Syncing costs nothing.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    names: Arc<Mutex<Names>>,
}

#[derive(Debug, Default)]
struct Names {
    files: BTreeMap<PathBuf, Arc<MemoryFile>>,
    locks: BTreeSet<PathBuf>,
}

impl MemoryStorage {
    /// A storage without files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage with these files.
    pub(super) fn with_files(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>) -> Self {
        let storage = Self::new();
        storage.names().files.extend(
            files.into_iter().map(|(path, bytes)| (path, Arc::new(MemoryFile { bytes: RwLock::new(bytes) }))),
        );
        storage
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MemoryStorage {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        Ok(names_in(folder, self.names().files.keys()))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.names().files.contains_key(path))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut names = self.names();
        if names.files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = Arc::new(MemoryFile::default());
        names.files.insert(path.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let names = self.names();
        let file = names.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::<MemoryFile>::clone(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut names = self.names();
        let file = names.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        names.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.names().files.remove(path).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError> {
        if self.names().locks.insert(path.to_owned()) {
            Ok(Box::new(MemoryLock { storage: self.clone(), path: path.to_owned() }))
        } else {
            Err(LockError::Held { holder: "this process".to_owned() })
        }
    }
}

/// The names of the files that lie directly in `folder`.
pub(super) fn names_in<'a>(folder: &Path, paths: impl Iterator<Item = &'a PathBuf>) -> Vec<String> {
    paths
        .filter(|path| path.parent() == Some(folder))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect()
}

#[derive(Debug)]
struct MemoryLock {
    storage: MemoryStorage,
    path: PathBuf,
}

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.storage.names().locks.remove(&self.path);
    }
}

#[derive(Debug, Default)]
struct MemoryFile {
    bytes: RwLock<Vec<u8>>,
}

impl MemoryFile {
    fn shared(&self) -> RwLockReadGuard<'_, Vec<u8>> {
        self.bytes.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn exclusive(&self) -> RwLockWriteGuard<'_, Vec<u8>> {
        self.bytes.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.shared().len() as u64)
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        read_slice(&self.shared(), offset, buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        write_slice(&mut self.exclusive(), offset, bytes)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.exclusive().resize(index(size)?, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Fills `buffer` from the bytes at `offset`.
pub(super) fn read_slice(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    let start = index(offset)?;
    let found = start.checked_add(buffer.len()).and_then(|end| bytes.get(start..end));
    buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
    Ok(())
}

/// Writes `part` at `offset` and lengthens `bytes` as needed.
pub(super) fn write_slice(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) -> io::Result<()> {
    let start = index(offset)?;
    let end = start.checked_add(part.len()).ok_or(io::ErrorKind::FileTooLarge)?;
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[start..end].copy_from_slice(part);
    Ok(())
}

pub(super) fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}
