use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::rand;
use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use selvedge_proto::common::Block;

use super::record::{HEADER, Header, Part, Parts, decode_private};
use super::{LogOptions, Record};
use crate::StoreError;
use crate::storage::{File, Storage};

/// The file's own header: magic and form (8), salt (8), number of the first block (8), CRC-32C of these (4).
const FILE_HEADER: usize = 28;
const MAGIC: &[u8; 8] = b"SVBLOCK1";
const PREFIX: &str = "blocks_";
const SUFFIX: &str = ".log";

/// One file of the log: a header, then the records of consecutive blocks.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<dyn File>,
    path: PathBuf,
    salt: u64,
    first: u64,
    /// Where the records begin, and as the last entry where the last one ends; read in on first use.
    offsets: RwLock<Option<Vec<u64>>>,
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
        storage: &dyn Storage,
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
        Ok(Self { file, path, salt, first, offsets: RwLock::new(Some(vec![FILE_HEADER as u64])) })
    }

    /// Opens a file whose records are read in when one is asked for.
    pub(super) fn open(storage: &dyn Storage, folder: &Path, first: u64) -> Result<Self, StoreError> {
        let path = path_of(folder, first);
        let file = storage.open(&path).map_err(StoreError::io("open", &path))?;
        let salt = read_file_header(&*file, &path, first)?.ok_or_else(|| no_header(folder, first))?;
        Ok(Self { file, path, salt, first, offsets: RwLock::new(None) })
    }

    /// Opens the newest file: checks every record and takes back an append that was cut short. `None` if the
    /// file itself had only been begun.
    pub(super) fn recover(
        storage: &dyn Storage,
        folder: &Path,
        first: u64,
        options: &LogOptions,
    ) -> Result<Option<Self>, StoreError> {
        let path = path_of(folder, first);
        let file = storage.open(&path).map_err(StoreError::io("open", &path))?;
        let size = file.size().map_err(StoreError::io("measure", &path))?;
        let Some(salt) = read_file_header(&*file, &path, first)? else {
            if size > FILE_HEADER as u64 {
                return Err(no_header(folder, first));
            }
            return Ok(None);
        };
        let segment = Self { file, path, salt, first, offsets: RwLock::new(None) };
        let offsets = segment.recover_records(size, options)?;
        let end = last(&offsets);
        if end < size {
            tracing::warn!(
                file = %segment.path.display(), offset = end, bytes = size - end,
                "the last block was cut short by a crash and is taken back"
            );
            segment.file.set_size(end).map_err(StoreError::io("cut", &segment.path))?;
        }
        // What was found may have been written but not yet been made safe when the process ended.
        segment.file.sync_data().map_err(StoreError::io("sync", &segment.path))?;
        storage.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
        *segment.offsets.write().unwrap_or_else(PoisonError::into_inner) = Some(offsets);
        Ok(Some(segment))
    }

    /// The number of the file's first block.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number of the block after the file's last one, for a file that was created or recovered.
    pub(super) fn next(&self) -> u64 {
        self.with_known(|offsets| self.first + offsets.len() as u64 - 1)
    }

    /// Where the next record goes, for a file that was created or recovered.
    pub(super) fn size(&self) -> u64 {
        self.with_known(last)
    }

    /// Adds a record.
    pub(super) fn append(&self, parts: Parts, sync: bool) -> Result<(), StoreError> {
        let offset = self.size();
        let length = parts.header().record_length();
        self.file
            .write_at(offset, &parts.into_bytes(self.salt))
            .map_err(StoreError::io("write", &self.path))?;
        if sync {
            self.file.sync_data().map_err(StoreError::io("sync", &self.path))?;
        }
        let mut offsets = self.offsets.write().unwrap_or_else(PoisonError::into_inner);
        offsets.get_or_insert_default().push(offset + length);
        Ok(())
    }

    /// Reads a block that the file is known to hold.
    pub(super) fn read_block(&self, number: u64, options: &LogOptions) -> Result<Block, StoreError> {
        let (offset, header) = self.locate(number, options)?;
        self.decode_block(offset, &header)
    }

    /// Reads a block and its private writes.
    pub(super) fn read_record(&self, number: u64, options: &LogOptions) -> Result<Record, StoreError> {
        let (offset, header) = self.locate(number, options)?;
        let block = self.decode_block(offset, &header)?;
        let at = offset + HEADER as u64 + u64::from(header.block.length);
        let private = decode_private(self.read_part(at, header.private)?)
            .map_err(|error| corrupt(&self.path, at, &format!("no private writes: {error}")))?;
        Ok(Record { block, private })
    }

    fn decode_block(&self, offset: u64, header: &Header) -> Result<Block, StoreError> {
        let at = offset + HEADER as u64;
        Block::decode(self.read_part(at, header.block)?)
            .map_err(|error| corrupt(&self.path, at, &format!("no block: {error}")))
    }

    fn read_part(&self, at: u64, part: Part) -> Result<Bytes, StoreError> {
        let mut bytes = vec![0; part.length as usize];
        self.file.read_at(at, &mut bytes).map_err(StoreError::io("read", &self.path))?;
        if part.is(&bytes) { Ok(bytes.into()) } else { Err(corrupt(&self.path, at, "wrong checksum")) }
    }

    /// The place and the header of a block's record.
    fn locate(&self, number: u64, options: &LogOptions) -> Result<(u64, Header), StoreError> {
        let offset = self.offset(number, options)?;
        let header = self
            .read_header(offset)?
            .filter(|header| header.number == number && within(header, options))
            .ok_or_else(|| corrupt(&self.path, offset, "no valid record header"))?;
        Ok((offset, header))
    }

    fn offset(&self, number: u64, options: &LogOptions) -> Result<u64, StoreError> {
        let place = number.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        let find = |offsets: &Vec<u64>| place.and_then(|place| offsets.get(place).copied());
        let missing = |offsets: &Vec<u64>| {
            corrupt(&self.path, last(offsets), &format!("it ends before block {number}"))
        };
        if let Some(offsets) = &*self.offsets.read().unwrap_or_else(PoisonError::into_inner) {
            return find(offsets).ok_or_else(|| missing(offsets));
        }
        let mut offsets = self.offsets.write().unwrap_or_else(PoisonError::into_inner);
        let offsets = match &mut *offsets {
            Some(offsets) => offsets,
            unread => unread.insert(self.read_offsets(options)?),
        };
        find(offsets).ok_or_else(|| missing(offsets))
    }

    /// Reads the record headers of a full file.
    fn read_offsets(&self, options: &LogOptions) -> Result<Vec<u64>, StoreError> {
        let size = self.file.size().map_err(StoreError::io("measure", &self.path))?;
        let mut offsets = vec![FILE_HEADER as u64];
        while last(&offsets) < size {
            let offset = last(&offsets);
            let number = self.first + offsets.len() as u64 - 1;
            let end = self
                .read_header_before(offset, size)?
                .filter(|header| header.number == number && within(header, options))
                .map(|header| offset + header.record_length())
                .filter(|end| *end <= size)
                .ok_or_else(|| corrupt(&self.path, offset, &format!("no valid record of block {number}")))?;
            offsets.push(end);
        }
        Ok(offsets)
    }

    /// Checks all records and returns where they begin and where the last whole one ends.
    fn recover_records(&self, size: u64, options: &LogOptions) -> Result<Vec<u64>, StoreError> {
        let mut offsets = vec![FILE_HEADER as u64];
        while last(&offsets) < size {
            let offset = last(&offsets);
            let number = self.first + offsets.len() as u64 - 1;
            let header = self.read_header_before(offset, size)?;
            let Some(header) = header.filter(|header| header.number == number && within(header, options))
            else {
                self.check_nothing_follows(offset, size, number, options)?;
                break;
            };
            let end = offset + header.record_length();
            if end > size {
                break;
            }
            let block = offset + HEADER as u64;
            let private = block + u64::from(header.block.length);
            let whole =
                self.read_part(block, header.block).and_then(|_| self.read_part(private, header.private));
            match whole {
                Ok(_) => offsets.push(end),
                // One record at a time is written and made safe, so only the last can be torn.
                Err(StoreError::Corrupt { .. }) if end == size => break,
                Err(error) => return Err(error),
            }
        }
        Ok(offsets)
    }

    /// Tells a torn record, after which nothing can follow, from a damaged one, after which others do.
    fn check_nothing_follows(
        &self,
        offset: u64,
        size: u64,
        number: u64,
        options: &LogOptions,
    ) -> Result<(), StoreError> {
        let damaged = || corrupt(&self.path, offset, &format!("no valid record of block {number}"));
        let left = size - offset;
        if left > HEADER as u64 + 2 * u64::from(options.part_bytes) {
            return Err(damaged());
        }
        let mut rest = vec![0; usize::try_from(left).map_err(|_| damaged())?];
        self.file.read_at(offset, &mut rest).map_err(StoreError::io("read", &self.path))?;
        let follows =
            rest.array_windows::<HEADER>().any(|window| Header::decode(window, self.salt).is_some());
        if follows { Err(damaged()) } else { Ok(()) }
    }

    fn read_header_before(&self, offset: u64, size: u64) -> Result<Option<Header>, StoreError> {
        if size - offset < HEADER as u64 { Ok(None) } else { self.read_header(offset) }
    }

    fn read_header(&self, offset: u64) -> Result<Option<Header>, StoreError> {
        let mut bytes = [0; HEADER];
        self.file.read_at(offset, &mut bytes).map_err(StoreError::io("read", &self.path))?;
        Ok(Header::decode(&bytes, self.salt))
    }

    fn with_known<T>(&self, read: impl FnOnce(&[u64]) -> T) -> T {
        let offsets = self.offsets.read().unwrap_or_else(PoisonError::into_inner);
        read(offsets.as_deref().expect("a file that takes records was created or recovered"))
    }
}

fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}{SUFFIX}"))
}

fn within(header: &Header, options: &LogOptions) -> bool {
    header.block.length <= options.part_bytes && header.private.length <= options.part_bytes
}

fn last(offsets: &[u64]) -> u64 {
    offsets.last().copied().unwrap_or(FILE_HEADER as u64)
}

fn file_header(salt: u64, first: u64) -> [u8; FILE_HEADER] {
    let mut bytes = [0; FILE_HEADER];
    let mut fields = bytes.as_mut_slice();
    fields.put_slice(MAGIC);
    fields.put_u64_le(salt);
    fields.put_u64_le(first);
    let checksum = crc32c::crc32c(&bytes[..FILE_HEADER - 4]);
    bytes[FILE_HEADER - 4..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The salt of a file with a valid header.
fn read_file_header(file: &dyn File, path: &Path, first: u64) -> Result<Option<u64>, StoreError> {
    let mut bytes = [0; FILE_HEADER];
    if file.size().map_err(StoreError::io("measure", path))? < FILE_HEADER as u64 {
        return Ok(None);
    }
    file.read_at(0, &mut bytes).map_err(StoreError::io("read", path))?;
    let salt = (&bytes[MAGIC.len()..]).get_u64_le();
    Ok((bytes == file_header(salt, first)).then_some(salt))
}

fn corrupt(path: &Path, offset: u64, reason: &str) -> StoreError {
    StoreError::Corrupt { path: path.to_owned(), offset, reason: reason.to_owned() }
}
