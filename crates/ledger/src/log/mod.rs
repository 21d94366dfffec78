//! The block log: a channel's blocks with their private writes, in order, in files of bounded size.
//!
//! The log is the truth. It alone is made safe block by block; everything else can be rebuilt from it.
//!
//! A record keeps the block and its private writes apart, each with a length and a checksum of its own, and
//! nothing outside this module knows where in a file a block lies. So private writes that were purged later can
//! be taken out by writing a segment anew without them and renaming it over the old one.

mod reader;
mod record;
mod segment;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use selvedge_proto::common::Block;
use selvedge_proto::rwset::TxPvtReadWriteSet;

use self::segment::Segment;
use crate::StoreError;
use crate::storage::Storage;

/// The private writes of a block's transactions, by the transaction's index in the block.
pub type PrivateWrites = BTreeMap<u64, TxPvtReadWriteSet>;

/// How a log keeps its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether an append returns only when the block would survive a loss of power. Without it a loss of power
    /// may leave a log that does not open.
    pub sync: bool,
    /// A file that has reached this size in bytes takes no further block.
    pub segment_bytes: u64,
    /// The largest block, in bytes. A log must not be opened with a lower limit than it was written with.
    pub part_bytes: u32,
    /// The most private writes of one block, in bytes. All that a transient store keeps may come back in one block,
    /// so this must be more than [`TransientOptions::bytes`](crate::transient::TransientOptions::bytes): a block
    /// that the log cannot take would halt the channel. It must not be lowered either.
    pub private_bytes: u32,
}

impl Default for LogOptions {
    /// Safe, files of 64 MiB, blocks of at most 128 MiB (more than a message of 100 MiB can carry), and 512 MiB of
    /// private writes (twice what the transient store keeps).
    fn default() -> Self {
        Self { sync: true, segment_bytes: 64 << 20, part_bytes: 128 << 20, private_bytes: 512 << 20 }
    }
}

/// A block as the log holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The block with its metadata.
    pub block: Block,
    /// Its private writes: in the log those that were at hand when it was committed.
    pub private: PrivateWrites,
}

/// An append-only log of blocks from block 0 on. One thread at a time appends, any number read.
#[derive(Debug)]
pub struct BlockLog {
    storage: Arc<dyn Storage>,
    folder: PathBuf,
    options: LogOptions,
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    height: AtomicU64,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    halted: bool,
}

impl BlockLog {
    /// Opens the log in `folder`, or begins one there. The caller holds whatever lock guards the folder.
    ///
    /// An append that a crash cut short is taken back. Only the newest file is read as a whole; the others are
    /// checked when they are read.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], with the file and the offset, if anything before the last record is damaged.
    pub fn open(storage: Arc<dyn Storage>, folder: &Path, options: LogOptions) -> Result<Self, StoreError> {
        storage.create_folder(folder).map_err(StoreError::io("create", folder))?;
        let names = storage.list(folder).map_err(StoreError::io("list", folder))?;
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_block(name)).collect();
        firsts.sort_unstable();
        let newest = recover_newest(&storage, folder, &mut firsts, &options)?;
        let mut segments = BTreeMap::new();
        for first in firsts {
            segments.insert(first, Arc::new(Segment::older(Arc::clone(&storage), folder, first)));
        }
        let height = newest.as_ref().map_or(Ok(0), |newest| newest.next(&options))?;
        segments.extend(newest.map(|newest| (newest.first(), Arc::new(newest))));
        if segments.first_key_value().is_some_and(|(first, _)| *first != 0) {
            let reason = "the files with the first blocks are missing".to_owned();
            return Err(StoreError::Inconsistent { folder: folder.to_owned(), reason });
        }
        Ok(Self {
            storage,
            folder: folder.to_owned(),
            options,
            segments: RwLock::new(segments),
            height: AtomicU64::new(height),
            writer: Mutex::new(Writer { halted: false }),
        })
    }

    /// How many blocks the log holds.
    pub fn height(&self) -> u64 {
        self.height.load(Ordering::Acquire)
    }

    /// Adds the next block. When this returns, the block is safe, unless [`LogOptions::sync`] is off.
    ///
    /// # Errors
    /// After a failure of the file system the log takes no more blocks until it is opened again, since nobody
    /// knows what the disk holds then.
    pub fn append(&self, block: &Block, private: &PrivateWrites) -> Result<(), StoreError> {
        let number = block.header.as_ref().map(|header| header.number).ok_or_else(no_block_header)?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.halted {
            return Err(StoreError::Halted { path: self.folder.clone() });
        }
        let expected = self.height();
        if number != expected {
            return Err(StoreError::OutOfOrder { expected, found: number });
        }
        let parts = record::Parts::encode(number, block, private, &self.options)?;
        let written = self.segment_for(number).and_then(|segment| segment.append(parts, &self.options));
        writer.halted = written.is_err();
        if written.is_ok() {
            self.height.store(number + 1, Ordering::Release);
        }
        written
    }

    /// A block, if the log holds it.
    pub fn block(&self, number: u64) -> Result<Option<Block>, StoreError> {
        self.segment_of(number).map(|segment| segment.read_block(number, &self.options)).transpose()
    }

    /// A block with its private writes, if the log holds it.
    pub fn record(&self, number: u64) -> Result<Option<Record>, StoreError> {
        self.segment_of(number).map(|segment| segment.read_record(number, &self.options)).transpose()
    }

    /// The file that holds a block.
    fn segment_of(&self, number: u64) -> Option<Arc<Segment>> {
        if number >= self.height() {
            return None;
        }
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.range(..=number).next_back().map(|(_, segment)| Arc::clone(segment))
    }

    /// The file that takes the next block; a new one if there is none or the newest is full.
    fn segment_for(&self, number: u64) -> Result<Arc<Segment>, StoreError> {
        let newest = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.last_key_value().map(|(_, segment)| Arc::clone(segment))
        };
        if let Some(newest) = newest {
            if newest.size(&self.options)? < self.options.segment_bytes {
                return Ok(newest);
            }
            newest.close();
        }
        let storage = Arc::clone(&self.storage);
        let segment = Arc::new(Segment::create(storage, &self.folder, number, self.options.sync)?);
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(number, Arc::clone(&segment));
        Ok(segment)
    }
}

/// Takes the newest file off the list and recovers it. If that one had only been begun when a crash came, it is
/// removed, and the one before it is the newest.
fn recover_newest(
    storage: &Arc<dyn Storage>,
    folder: &Path,
    firsts: &mut Vec<u64>,
    options: &LogOptions,
) -> Result<Option<Segment>, StoreError> {
    let Some(first) = firsts.pop() else { return Ok(None) };
    if let Some(segment) = Segment::recover(Arc::clone(storage), folder, first, options)? {
        return Ok(Some(segment));
    }
    segment::remove(&**storage, folder, first)?;
    let Some(first) = firsts.pop() else { return Ok(None) };
    let segment = Segment::recover(Arc::clone(storage), folder, first, options)?;
    segment.ok_or_else(|| segment::no_header(folder, first)).map(Some)
}

fn no_block_header() -> StoreError {
    StoreError::MalformedBlock { block: 0, reason: "it has no header".to_owned() }
}
