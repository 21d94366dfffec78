use std::io;
use std::path::{Path, PathBuf};

/// Why a store (the block log, the state, the transient store or the ledger above them) could not do what was
/// asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The caller's block is not the one that comes next.
    #[error("block {found} cannot be added: the next block is {expected}")]
    OutOfOrder {
        /// The number of the next block.
        expected: u64,
        /// The number of the block at hand.
        found: u64,
    },
    /// The caller's block does not follow the last one.
    #[error("block {block} names {found} as the hash of the block before it, which is {expected}")]
    WrongPreviousHash {
        /// The block's number.
        block: u64,
        /// The hash of the last block's header, in hex.
        expected: String,
        /// What the block says, in hex.
        found: String,
    },
    /// The caller's block has other data than its header says.
    #[error("the data of block {block} hash to {found}, but its header says {expected}")]
    WrongDataHash {
        /// The block's number.
        block: u64,
        /// The hash in the header, in hex.
        expected: String,
        /// The hash of the data, in hex.
        found: String,
    },
    /// The caller's block lacks a part or has a wrong number of something.
    #[error("block {block} is malformed: {reason}")]
    MalformedBlock {
        /// The block's number, 0 if it has no header.
        block: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The ledger in this folder began with another genesis block.
    #[error(
        "the ledger in {folder} belongs to another channel: its genesis block has the hash {found}, not {expected}"
    )]
    OtherGenesis {
        /// The ledger's folder.
        folder: PathBuf,
        /// The hash of the caller's genesis block, in hex.
        expected: String,
        /// The hash of the stored genesis block, in hex.
        found: String,
    },
    /// There is no ledger in this folder, and no genesis block was given to begin one.
    #[error("there is no ledger in {folder}, and no genesis block to begin one with")]
    NoGenesis {
        /// The ledger's folder.
        folder: PathBuf,
    },
    /// More would be stored than the caller's limits allow.
    #[error("{what} of {size} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The folder is in use.
    #[error("{folder} is in use by {holder}; stop that first, or choose another folder")]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// Who uses it, as far as its lock file tells.
        holder: String,
    },
    /// An earlier write failed, so that nobody knows what the disk holds.
    #[error("an earlier write to {path} failed; it takes no more until it is opened again")]
    Halted {
        /// The file or folder.
        path: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// What was being done, a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The database failed.
    #[error("the database {path} cannot {action}")]
    Database {
        /// What was being done, a verb phrase.
        action: &'static str,
        /// The database's file.
        path: PathBuf,
        /// The database's error.
        #[source]
        source: Box<redb::Error>,
    },
    /// A file does not hold what was written to it.
    #[error("{path} is damaged at offset {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// What was found.
        reason: String,
    },
    /// Two files of one ledger do not belong together.
    #[error("the ledger in {folder} is inconsistent: {reason}")]
    Inconsistent {
        /// The ledger's folder.
        folder: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The history of a key was asked for, but the ledger keeps none. The text is Fabric's.
    #[error("history database is not enabled")]
    NoHistory,
    /// The rules of validation failed.
    #[error(transparent)]
    Rules(#[from] crate::Error),
}

impl StoreError {
    /// For `map_err` on a call of the file system.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// For `map_err` on a call of the database.
    pub(crate) fn database<E: Into<redb::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Database { action, path: path.to_owned(), source: Box::new(source.into()) }
    }
}

impl From<StoreError> for crate::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Rules(error) => error,
            error => Self::store("answer", error),
        }
    }
}
