//! Makes packages that are equal to the byte whenever their content is.
//!
//! Entries are sorted, have mtime 0, mode 0100644, uid and gid 0 and no names; the gzip header has no name and no
//! time. The data is stored, not compressed: the bytes of a compressor change with its version, and with them the
//! package id that organisations have approved. A ccaas package is small enough for that.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::archive::Limits;
use crate::connection::Connection;
use crate::error::{PackageError, shown};
use crate::id::check_label;
use crate::metadata;
use crate::parse::{CODE_FILE, METADATA_FILE, Package};

/// The name of the connection file inside the code of a ccaas package.
pub const CONNECTION_FILE: &str = "connection.json";

/// Collects what goes into a package; the order of the calls does not matter.
#[derive(Debug, Clone)]
pub struct PackageBuilder {
    label: String,
    chaincode_type: String,
    path: String,
    files: BTreeMap<String, Vec<u8>>,
}

impl PackageBuilder {
    /// A package of type `ccaas`.
    ///
    /// # Errors
    /// [`PackageError::Label`] when the label breaks the rule for labels.
    pub fn new(label: &str) -> Result<Self, PackageError> {
        check_label(label)?;
        Ok(Self {
            label: label.to_owned(),
            chaincode_type: metadata::CCAAS.to_owned(),
            path: String::new(),
            files: BTreeMap::new(),
        })
    }

    /// Another chaincode type, for another builder.
    #[must_use]
    pub fn chaincode_type(mut self, chaincode_type: &str) -> Self {
        chaincode_type.clone_into(&mut self.chaincode_type);
        self
    }

    /// The metadata's path; it says where the source came from and means nothing for ccaas.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// The connection.json, written by [`Connection::to_json`].
    ///
    /// # Errors
    /// [`PackageError::Path`] when there is a connection.json already.
    pub fn connection(self, connection: &Connection) -> Result<Self, PackageError> {
        self.file(CONNECTION_FILE, connection.to_json())
    }

    /// A file of the code, such as `connection.json`, `META-INF/statedb/couchdb/indexes/owner.json` or `tls/ca.pem`.
    /// The path is relative, with `/` between its parts and without `.` and `..`.
    ///
    /// # Errors
    /// [`PackageError::Path`] when the path is another one, or given already.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Result<Self, PackageError> {
        let failed = |reason| PackageError::Path { path: shown(path), reason };
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.chars().any(char::is_control) {
            return Err(failed("is not a plain relative path"));
        }
        let under_file = path.match_indices('/').any(|(end, _)| self.files.contains_key(&path[..end]));
        let over_file =
            self.files.keys().any(|other| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
        if under_file || over_file {
            return Err(failed("would be both a file and a folder"));
        }
        match self.files.insert(path.to_owned(), content.into()) {
            None => Ok(self),
            Some(_) => Err(failed("is given twice")),
        }
    }

    /// All files under a folder of this machine, below `prefix` (such as `META-INF`) inside the code.
    ///
    /// # Errors
    /// [`PackageError`] when something cannot be read, is neither a folder nor a regular file, or has a name that
    /// is not UTF-8.
    pub fn folder(mut self, prefix: &str, folder: &Path) -> Result<Self, PackageError> {
        for entry in fs::read_dir(folder).map_err(PackageError::io("read the folder", folder))? {
            let entry = entry.map_err(PackageError::io("read the folder", folder))?;
            let path = entry.path();
            let failed = |reason| PackageError::Path { path: shown(&path.display().to_string()), reason };
            let name = entry.file_name().into_string().map_err(|_| failed("is not UTF-8"))?;
            let inside = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
            let kind = entry.file_type().map_err(PackageError::io("read", &path))?;
            if kind.is_dir() {
                self = self.folder(&inside, &path)?;
            } else if kind.is_file() {
                self =
                    self.file(&inside, fs::read(&path).map_err(PackageError::io("read the file", &path))?)?;
            } else {
                return Err(failed("is neither a folder nor a regular file"));
            }
        }
        Ok(self)
    }

    /// Makes the package.
    ///
    /// # Errors
    /// [`PackageError`] when a path is too long for a tar archive, or the package exceeds the default limits.
    pub fn build(&self) -> Result<Package, PackageError> {
        let code = archive(self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice())))?;
        let metadata = metadata::write(&self.chaincode_type, &self.label, &self.path);
        let package = archive([(METADATA_FILE, metadata.as_slice()), (CODE_FILE, code.as_slice())])?;
        Package::parse(package, &Limits::default())
    }
}

/// A gzip'd tar archive of these files, in this order.
fn archive<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, PackageError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o100_644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        let added = header.set_path(path).and_then(|()| {
            header.set_cksum();
            archive.append(&header, content)
        });
        added.map_err(|_: io::Error| PackageError::Path {
            path: shown(path),
            reason: "is too long for a tar archive",
        })?;
    }
    let tar = archive.into_inner().map_err(|_| PackageError::Tar("the archive cannot be finished"))?;
    Ok(stored_gzip(&tar))
}

/// A gzip file of stored blocks (RFC 1951, 3.2.4, in the frame of RFC 1952) without name and time.
fn stored_gzip(data: &[u8]) -> Vec<u8> {
    const UNKNOWN_SYSTEM: u8 = 255;
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, UNKNOWN_SYSTEM];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        // A chunk is never longer than `u16::MAX`, so its length fits.
        let length = block.len() as u16;
        gzip.push(u8::from(blocks.peek().is_none()));
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(block);
    }
    let mut checksum = flate2::Crc::new();
    checksum.update(data);
    gzip.extend(checksum.sum().to_le_bytes());
    gzip.extend(checksum.amount().to_le_bytes());
    gzip
}
