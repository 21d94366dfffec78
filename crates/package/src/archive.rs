//! Reads gzip'd tar archives entry by entry, within limits, and only such as every tar reader understands alike.

use std::cell::Cell;
use std::io::{self, Read};

use flate2::bufread::MultiGzDecoder;

use crate::error::{PackageError, shown};

/// What a package may cost before it is refused. Fabric itself has no such limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The size of the package file, in bytes.
    pub package: u64,
    /// The size of the package once gunzip'd, in bytes; it is held in memory.
    pub unpacked: u64,
    /// The size of `metadata.json`, in bytes.
    pub metadata: u64,
    /// The size of `code.tar.gz` once gunzip'd, in bytes; it goes to disk.
    pub code: u64,
    /// The number of entries of either archive.
    pub entries: u64,
    /// The length of a path, in bytes.
    pub path: u64,
}

impl Default for Limits {
    /// 100 MiB (the largest message a peer takes), 128 MiB gunzip'd, 1 MiB of metadata, 512 MiB of code, 20 000
    /// entries, paths of 1024 bytes.
    fn default() -> Self {
        const MIB: u64 = 1 << 20;
        Self {
            package: 100 * MIB,
            unpacked: 128 * MIB,
            metadata: MIB,
            code: 512 * MIB,
            entries: 20_000,
            path: 1024,
        }
    }
}

impl Limits {
    pub(crate) fn check(what: &'static str, size: u64, limit: u64) -> Result<(), PackageError> {
        if size > limit { Err(PackageError::Limit { what, limit }) } else { Ok(()) }
    }
}

/// One entry of an archive. Its content must be read before the next entry.
pub(crate) struct Entry<'a> {
    /// The path, byte for byte as it stands in the archive.
    pub(crate) path: Vec<u8>,
    /// The type byte; a folder in the oldest form counts as a folder.
    pub(crate) type_flag: u8,
    /// The size of the content that the header announces.
    pub(crate) size: u64,
    /// The permission bits.
    pub(crate) mode: u32,
    content: &'a mut dyn Read,
}

/// The type byte of a regular file.
pub(crate) const REGULAR: u8 = b'0';
/// The type byte of a folder.
pub(crate) const FOLDER: u8 = b'5';

impl Entry<'_> {
    /// The path for a person to read.
    pub(crate) fn shown_path(&self) -> String {
        shown(&String::from_utf8_lossy(&self.path))
    }

    /// The whole content.
    pub(crate) fn read(&mut self) -> Result<Vec<u8>, PackageError> {
        let mut content = Vec::new();
        self.copy(|chunk| {
            content.extend_from_slice(chunk);
            Ok(())
        })?;
        Ok(content)
    }

    /// Gives the whole content to `write`, piece by piece.
    pub(crate) fn copy(
        &mut self,
        mut write: impl FnMut(&[u8]) -> Result<(), PackageError>,
    ) -> Result<(), PackageError> {
        let mut buffer = [0; 16 * 1024];
        let mut left = self.size;
        while left > 0 {
            let count = match self.content.read(&mut buffer) {
                Ok(0) => return Err(self.unreadable("unexpected EOF")),
                Ok(count) => count,
                Err(error) => return Err(self.unreadable(go_words(&error))),
            };
            left = left.saturating_sub(count as u64);
            write(&buffer[..count])?;
        }
        Ok(())
    }

    fn unreadable(&self, reason: &'static str) -> PackageError {
        PackageError::Entry { name: self.shown_path(), reason }
    }
}

/// Gives every entry of a gzip'd tar archive to `visit`, in order. `unpacked` bounds the gunzip'd size.
///
/// As in Fabric nothing is read past the archive's end mark, so what follows it, the checksum included, does not
/// count.
pub(crate) fn read(
    bytes: &[u8],
    unpacked: (&'static str, u64),
    limits: &Limits,
    mut visit: impl FnMut(Entry<'_>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let exceeded = Cell::new(false);
    let source = Bounded { inner: gunzip(bytes)?, left: unpacked.1, exceeded: &exceeded };
    let mut result = read_entries(source, limits, &mut visit);
    if exceeded.get() {
        result = Err(PackageError::Limit { what: unpacked.0, limit: unpacked.1 });
    }
    result
}

fn gunzip(bytes: &[u8]) -> Result<MultiGzDecoder<&[u8]>, PackageError> {
    let decoder = MultiGzDecoder::new(bytes);
    if decoder.header().is_some() {
        return Ok(decoder);
    }
    Err(PackageError::NotGzip(match bytes.len() {
        0 => "EOF",
        1..10 => "unexpected EOF",
        _ => "gzip: invalid header",
    }))
}

fn read_entries(
    source: Bounded<'_, MultiGzDecoder<&[u8]>>,
    limits: &Limits,
    visit: &mut dyn FnMut(Entry<'_>) -> Result<(), PackageError>,
) -> Result<(), PackageError> {
    let mut archive = tar::Archive::new(source);
    let mut count = 0;
    for entry in archive.entries().map_err(tar_error)? {
        let mut entry = entry.map_err(tar_error)?;
        count += 1;
        Limits::check("the number of entries", count, limits.entries)?;
        check_extensions(&mut entry)?;
        let path = entry.path_bytes().into_owned();
        Limits::check("the length of a path", path.len() as u64, limits.path)?;
        let type_flag = match entry.header().as_bytes()[156] {
            0 if path.ends_with(b"/") => FOLDER,
            0 => REGULAR,
            other => other,
        };
        let mode = entry.header().mode().map_err(tar_error)?;
        visit(Entry { path, type_flag, size: entry.size(), mode, content: &mut entry })?;
    }
    check_end(archive.into_inner())
}

/// A zero block ends an archive; a second one may follow, but nothing else.
fn check_end(mut source: impl Read) -> Result<(), PackageError> {
    let mut block = [0; 512];
    let mut filled = 0;
    while filled < block.len() {
        match source.read(&mut block[filled..]).map_err(tar_error)? {
            0 if filled == 0 => return Ok(()),
            0 => return Err(PackageError::Tar("unexpected EOF")),
            count => filled += count,
        }
    }
    if block.iter().any(|byte| *byte != 0) {
        return Err(PackageError::Tar("archive/tar: invalid tar header"));
    }
    Ok(())
}

/// Refuses extended headers that tar readers take differently.
fn check_extensions<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<(), PackageError> {
    let invalid = || PackageError::Tar("archive/tar: invalid tar header");
    let mut seen = Vec::new();
    for extension in entry.pax_extensions().map_err(tar_error)?.into_iter().flatten() {
        let key = extension.map_err(|_| invalid())?.key_bytes().to_vec();
        if key.starts_with(b"GNU.sparse.") || seen.contains(&key) || seen.len() > 64 {
            return Err(invalid());
        }
        seen.push(key);
    }
    Ok(())
}

/// Go's words for what reading an archive met.
fn tar_error(error: io::Error) -> PackageError {
    PackageError::Tar(go_words(&error))
}

fn go_words(error: &io::Error) -> &'static str {
    let text = error.to_string();
    if error.kind() == io::ErrorKind::UnexpectedEof
        || text.contains("entire block")
        || text.contains("unexpected EOF")
    {
        "unexpected EOF"
    } else if text.contains("checksum") && text.contains("gzip") {
        "gzip: invalid checksum"
    } else if text.contains("gzip header") {
        "gzip: invalid header"
    } else if text.contains("deflate") {
        "flate: corrupt input"
    } else {
        "archive/tar: invalid tar header"
    }
}

/// Fails once more than `left` bytes are read.
struct Bounded<'a, R> {
    inner: R,
    left: u64,
    exceeded: &'a Cell<bool>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => {
                self.exceeded.set(true);
                return Err(io::Error::other("the limit is reached"));
            }
        }
        Ok(count)
    }
}
