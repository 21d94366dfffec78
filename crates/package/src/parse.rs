//! Reads package files that anybody may have written.

use bytes::Bytes;

use crate::archive::{self, Limits, REGULAR};
use crate::error::PackageError;
use crate::id::{PackageId, sha256};
use crate::metadata::Metadata;

/// The name of the metadata inside a package.
pub const METADATA_FILE: &str = "metadata.json";
/// The name of the code inside a package.
pub const CODE_FILE: &str = "code.tar.gz";
/// Where state database indexes lie inside the code.
pub const STATEDB_FOLDER: &str = "META-INF/statedb/";

/// A chaincode package that passed the checks a peer makes when it is installed.
#[derive(Debug, Clone, PartialEq)]
pub struct Package {
    id: PackageId,
    metadata: Metadata,
    code: Bytes,
    bytes: Bytes,
    unexpected: Vec<String>,
}

/// A file of the package for the state database, such as a CouchDB index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Its path, which begins with `META-INF/statedb/`.
    pub path: String,
    /// Its content.
    pub content: Bytes,
}

impl Package {
    /// Reads a package file, accepting what Fabric's peer accepts (the module list at the top of this crate names
    /// the exceptions). The code archive inside is not looked into.
    ///
    /// # Errors
    /// [`PackageError`] with Fabric's text.
    pub fn parse(bytes: impl Into<Bytes>, limits: &Limits) -> Result<Self, PackageError> {
        let bytes = bytes.into();
        Limits::check("the package file's size", bytes.len() as u64, limits.package)?;
        let mut metadata = None;
        let mut code = None;
        let mut unexpected = Vec::new();
        archive::read(&bytes, ("the gunzip'd package's size", limits.unpacked), limits, |mut entry| {
            if entry.type_flag != REGULAR {
                let type_flag = entry.type_flag;
                return Err(PackageError::NotRegular { name: entry.shown_path(), type_flag });
            }
            if entry.path == METADATA_FILE.as_bytes() {
                Limits::check("metadata.json's size", entry.size, limits.metadata)?;
                let document = Metadata::parse(entry.read()?).map_err(PackageError::Metadata)?;
                once(&mut metadata, document, METADATA_FILE)?;
            } else if entry.path == CODE_FILE.as_bytes() {
                once(&mut code, Bytes::from(entry.read()?), CODE_FILE)?;
            } else {
                unexpected.push(entry.shown_path());
            }
            Ok(())
        })?;
        let code = code.ok_or(PackageError::NoCode)?;
        let metadata = metadata.ok_or(PackageError::NoMetadata)?;
        Ok(Self { id: PackageId::of(metadata.label(), &bytes)?, metadata, code, bytes, unexpected })
    }

    /// The package's id.
    pub fn id(&self) -> &PackageId {
        &self.id
    }

    /// The package's metadata.json.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The code: itself a gzip'd tar archive, which [`crate::unpack::unpack`] lays out.
    pub fn code(&self) -> &Bytes {
        &self.code
    }

    /// The SHA-256 of the code archive.
    pub fn code_sha256(&self) -> [u8; 32] {
        sha256(&self.code)
    }

    /// The whole package file.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Files beside the two that count; a peer warns of them and goes on.
    pub fn unexpected_files(&self) -> &[String] {
        &self.unexpected
    }

    /// The state database files of the code, as a peer reads them for packages without an external builder: those
    /// whose names begin literally with `META-INF/statedb/`, in the archive's order.
    ///
    /// # Errors
    /// [`PackageError`] when the code archive cannot be read or a path leads out of it.
    pub fn indexes(&self, limits: &Limits) -> Result<Vec<IndexFile>, PackageError> {
        let mut indexes = Vec::new();
        archive::read(&self.code, ("the gunzip'd code's size", limits.code), limits, |mut entry| {
            if !entry.path.starts_with(STATEDB_FOLDER.as_bytes()) || entry.type_flag != REGULAR {
                return Ok(());
            }
            let path = crate::unpack::clean_path(&entry)?.join("/");
            if path.starts_with(STATEDB_FOLDER) {
                indexes.push(IndexFile { path, content: entry.read()?.into() });
            }
            Ok(())
        })?;
        Ok(indexes)
    }
}

fn once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), PackageError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PackageError::Duplicate(name)),
    }
}
