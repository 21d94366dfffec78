//! What the stores need from a file system, so that tests can put one beneath them that fails, tears and
//! forgets.
//!
//! The rules are those of a POSIX file system: written bytes survive a loss of power only once
//! [`File::sync_data`] has returned, and the name of a file only once [`Storage::sync_folder`] has.

mod disk;
mod faulty;
mod hold;
mod memory;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use disk::DiskStorage;
pub use faulty::{Fault, FaultyStorage};
pub use hold::SyncHold;
pub use memory::MemoryStorage;

/// Folders of files, by path.
pub trait Storage: Debug + Send + Sync {
    /// Makes a folder and those above it, as far as they are missing.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names of the files in a folder, in byte order; folders inside it are left out.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Whether a file of this name exists.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes an empty file that only its owner may read and write.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Gives a file another name in the same folder; a file that has that name already is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns once the names of the folder's files are safe.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Takes the lock that this file stands for, until the returned value is dropped or the process ends,
    /// however it ends. The file is made if it is missing.
    ///
    /// # Errors
    /// [`LockError::Held`] at once if somebody holds it.
    fn lock(&self, path: &Path) -> Result<Box<dyn Lock>, LockError>;
}

/// An open file. Clones of the handle see the same bytes.
pub trait File: Debug + Send + Sync {
    /// The length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills the buffer from `offset` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before the buffer is full.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at `offset`; a gap between the end of the file and `offset` reads as zeros.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;

    /// Returns once everything written and the length are safe.
    fn sync_data(&self) -> io::Result<()>;
}

/// Held for as long as the value lives.
pub trait Lock: Debug + Send + Sync {}

/// Why a lock could not be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Somebody holds it.
    #[error("it is held by {holder}")]
    Held {
        /// Who, as far as the lock file tells.
        holder: String,
    },
    /// The lock file could not be used.
    #[error(transparent)]
    Io(#[from] io::Error),
}
