use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand;
use bytes::BufMut;
use selvedge_proto::common::Block;

use super::reader::Reader;
use super::record::Parts;
use super::{LogOptions, Record};
use crate::StoreError;
use crate::storage::{File, Storage};

/// The file's own header: magic and form (8), salt (8), number of the first block (8), CRC-32C of these (4).
pub(super) const FILE_HEADER: usize = 28;
pub(super) const MAGIC: &[u8; 8] = b"SVBLOCK1";
const PREFIX: &str = "blocks_";
const SUFFIX: &str = ".log";

/// One file of the log: a header, then the records of consecutive blocks.
#[derive(Debug)]
pub(super) struct Segment {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    first: u64,
    /// Only the newest file stays open: a long chain has more files than a process may open.
    open: RwLock<Option<Arc<dyn File>>>,
    /// Read in on first use.
    index: RwLock<Option<Index>>,
}

/// What must be known of a file to find a block in it.
#[derive(Clone, Debug)]
pub(super) struct Index {
    salt: u64,
    /// Where the records begin, and as the last entry where the last one ends.
    pub(super) offsets: Vec<u64>,
}

/// The number of the first block in a file of this name, if it is a file of the log.
pub(super) fn first_block(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()
}

/// For a file that must have a header but has none.
pub(super) fn no_header(folder: &Path, first: u64) -> StoreError {
    corrupt(&path_of(folder, first), 0, "it does not begin with a valid header")
}

/// Removes a file that had only been begun.
pub(super) fn remove(storage: &dyn Storage, folder: &Path, first: u64) -> Result<(), StoreError> {
    let path = path_of(folder, first);
    storage.remove(&path).map_err(StoreError::io("remove", &path))?;
    storage.sync_folder(folder).map_err(StoreError::io("sync", folder))
}

impl Segment {
    /// Begins a file whose first block will have this number.
    pub(super) fn create(
        storage: Arc<dyn Storage>,
        folder: &Path,
        first: u64,
        sync: bool,
    ) -> Result<Self, StoreError> {
        let path = path_of(folder, first);
        let file = storage.create(&path).map_err(StoreError::io("create", &path))?;
        let mut salt = [0; 8];
        rand::fill(&mut salt).map_err(|_| {
            let source = std::io::Error::other("the system gives no random numbers");
            StoreError::Io { action: "make a salt for", path: path.clone(), source }
        })?;
        let salt = u64::from_le_bytes(salt);
        file.write_at(0, &file_header(salt, first)).map_err(StoreError::io("write", &path))?;
        if sync {
            file.sync_data().map_err(StoreError::io("sync", &path))?;
            storage.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
        }
        Ok(Self::new(storage, path, first, Some(file), Some(Index::empty(salt))))
    }

    /// A file whose records are read in when one is asked for.
    pub(super) fn older(storage: Arc<dyn Storage>, folder: &Path, first: u64) -> Self {
        Self::new(storage, path_of(folder, first), first, None, None)
    }

    /// Opens the newest file: checks every record and takes back an append that was cut short. `None` if the
    /// file itself had only been begun.
    pub(super) fn recover(
        storage: Arc<dyn Storage>,
        folder: &Path,
        first: u64,
        options: &LogOptions,
    ) -> Result<Option<Self>, StoreError> {
        let path = path_of(folder, first);
        let file = storage.open(&path).map_err(StoreError::io("open", &path))?;
        let size = file.size().map_err(StoreError::io("measure", &path))?;
        let reader = Reader { file: &*file, path: &path, first, options };
        let Some(salt) = reader.salt()? else {
            return if size > FILE_HEADER as u64 { Err(no_header(folder, first)) } else { Ok(None) };
        };
        let index = reader.recover(salt, size)?;
        let end = index.end();
        if end < size {
            tracing::warn!(
                file = %path.display(), offset = end, bytes = size - end,
                "the last block was cut short by a crash and is taken back"
            );
            file.set_size(end).map_err(StoreError::io("cut", &path))?;
        }
        // What was found may have been written but not yet been made safe when the process ended.
        file.sync_data().map_err(StoreError::io("sync", &path))?;
        storage.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
        Ok(Some(Self::new(storage, path, first, Some(file), Some(index))))
    }

    fn new(
        storage: Arc<dyn Storage>,
        path: PathBuf,
        first: u64,
        open: Option<Arc<dyn File>>,
        index: Option<Index>,
    ) -> Self {
        Self { storage, path, first, open: RwLock::new(open), index: RwLock::new(index) }
    }

    /// Lets go of the open file, once another one is the newest.
    pub(super) fn close(&self) {
        *self.open.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The number of the file's first block.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the block after the file's last one.
    pub(super) fn next(&self, options: &LogOptions) -> Result<u64, StoreError> {
        self.with_index(options, |index| index.next(self.first))
    }

    /// Where the next record goes.
    pub(super) fn size(&self, options: &LogOptions) -> Result<u64, StoreError> {
        self.with_index(options, Index::end)
    }

    /// Adds a record.
    pub(super) fn append(&self, parts: Parts, options: &LogOptions) -> Result<(), StoreError> {
        let (salt, offset) = self.with_index(options, |index| (index.salt, index.end()))?;
        let length = parts.header().record_length();
        let file = self.file()?;
        file.write_at(offset, &parts.into_bytes(salt)).map_err(StoreError::io("write", &self.path))?;
        if options.sync {
            file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        }
        if let Some(index) = &mut *self.index.write().unwrap_or_else(PoisonError::into_inner) {
            index.offsets.push(offset + length);
        }
        Ok(())
    }

    /// Reads a block that the file should hold.
    pub(super) fn read_block(&self, number: u64, options: &LogOptions) -> Result<Block, StoreError> {
        let file = self.file()?;
        let reader = Reader { file: &*file, path: &self.path, first: self.first, options };
        let (salt, offset) = self.locate(number, options)?;
        reader.block(offset, &reader.header(salt, offset, number)?)
    }

    /// Reads a block and its private writes.
    pub(super) fn read_record(&self, number: u64, options: &LogOptions) -> Result<Record, StoreError> {
        let file = self.file()?;
        let reader = Reader { file: &*file, path: &self.path, first: self.first, options };
        let (salt, offset) = self.locate(number, options)?;
        let header = reader.header(salt, offset, number)?;
        Ok(Record { block: reader.block(offset, &header)?, private: reader.private(offset, &header)? })
    }

    /// The file's salt, and where a block's record begins.
    fn locate(&self, number: u64, options: &LogOptions) -> Result<(u64, u64), StoreError> {
        let found = self.with_index(options, |index| {
            let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
            // The last entry is where the next record would begin.
            let offset = index.offsets.get(place).filter(|_| place + 1 < index.offsets.len())?;
            Some((index.salt, *offset))
        })?;
        found.ok_or_else(|| corrupt(&self.path, 0, &format!("block {number} is not in it")))
    }

    fn with_index<T>(&self, options: &LogOptions, read: impl FnOnce(&Index) -> T) -> Result<T, StoreError> {
        if let Some(index) = &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(read(index));
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let index = match &mut *index {
            Some(index) => index,
            unread => {
                let file = self.file()?;
                let reader = Reader { file: &*file, path: &self.path, first: self.first, options };
                unread.insert(reader.index()?)
            }
        };
        Ok(read(index))
    }

    fn file(&self) -> Result<Arc<dyn File>, StoreError> {
        if let Some(file) = &*self.open.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(file));
        }
        self.storage.open(&self.path).map_err(StoreError::io("open", &self.path))
    }
}

impl Index {
    /// The index of a file without records.
    pub(super) fn empty(salt: u64) -> Self {
        Self { salt, offsets: vec![FILE_HEADER as u64] }
    }

    /// The number of the block after the last one, in a file that begins with block `first`.
    pub(super) fn next(&self, first: u64) -> u64 {
        first + self.offsets.len() as u64 - 1
    }

    /// Where the last record ends.
    pub(super) fn end(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(FILE_HEADER as u64)
    }
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}{SUFFIX}"))
}

/// The header of a file with this salt and first block.
pub(super) fn file_header(salt: u64, first: u64) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    let mut fields = bytes.as_mut_slice();
    fields.put_slice(MAGIC);
    fields.put_u64_le(salt);
    fields.put_u64_le(first);
    let checksum = crc32c::crc32c(&bytes[..FILE_HEADER - 4]);
    bytes[FILE_HEADER - 4..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// For damage in a file.
pub(super) fn corrupt(path: &Path, offset: u64, reason: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), offset, reason: reason.to_owned() }
}
