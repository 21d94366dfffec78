//! Bounded file work that follows no links.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::BuilderError;
use crate::error::shown;

/// The largest JSON document and the largest inlined file.
const DOCUMENT_BYTES: u64 = 1 << 20;
/// What one copied tree may hold.
const TREE_BYTES: u64 = 64 << 20;
const TREE_ENTRIES: u32 = 20_000;
const TREE_DEPTH: u32 = 32;

/// Whether something is there, be it what it may.
pub(super) fn exists(path: &Path) -> Result<bool, BuilderError> {
    Ok(kind(path)?.is_some())
}

/// A path that the caller gave, with the links on the way to it followed: those are the caller's own.
pub(super) fn resolved(path: &Path) -> Result<PathBuf, BuilderError> {
    path.canonicalize().map_err(failed("find", path))
}

/// The content of a regular file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, BuilderError> {
    let found = kind(path)?.ok_or_else(|| BuilderError::NotFound(display(path)))?;
    if !found.is_file() {
        return Err(BuilderError::FileType(display(path)));
    }
    let file = File::open(path).map_err(failed("open", path))?;
    let mut content = Vec::new();
    file.take(DOCUMENT_BYTES + 1).read_to_end(&mut content).map_err(failed("read", path))?;
    if content.len() as u64 > DOCUMENT_BYTES {
        return Err(BuilderError::Limit { path: display(path), limit: "1 MiB" });
    }
    Ok(content)
}

/// The content of the regular file at a plain relative path below `root`; nothing when there is none.
pub(super) fn read_inside(root: &Path, relative: &str) -> Result<Option<Vec<u8>>, BuilderError> {
    let mut path = root.to_owned();
    for part in relative.split('/') {
        path.push(part);
        // Every part is looked at by itself, so that no link on the way leads elsewhere.
        match kind(&path)? {
            None => return Ok(None),
            Some(found) if found.is_symlink() => return Err(BuilderError::FileType(display(&path))),
            Some(_) => {}
        }
    }
    if kind(&path)?.is_some_and(|found| found.is_file()) { read(&path).map(Some) } else { Ok(None) }
}

/// Copies a folder with everything in it, permissions included; existing folders are filled.
pub(super) fn copy_tree(from: &Path, to: &Path) -> Result<(), BuilderError> {
    Tree { entries: TREE_ENTRIES, bytes: TREE_BYTES }.copy(from, to, TREE_DEPTH)
}

/// Creates a folder and those above it.
pub(super) fn make_folders(path: &Path) -> Result<(), BuilderError> {
    DirBuilder::new().recursive(true).mode(0o750).create(path).map_err(failed("create the folder", path))
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), BuilderError> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("create the file", path))?;
    // The mode above counts for a new file only.
    file.set_permissions(Permissions::from_mode(0o600)).map_err(failed("protect", path))?;
    file.write_all(content).map_err(failed("write", path))
}

/// What a tree may still hold.
struct Tree {
    entries: u32,
    bytes: u64,
}

impl Tree {
    fn copy(&mut self, from: &Path, to: &Path, depth: u32) -> Result<(), BuilderError> {
        let limit = |limit| BuilderError::Limit { path: display(from), limit };
        let found = kind(from)?.ok_or_else(|| BuilderError::NotFound(display(from)))?;
        self.entries = self.entries.checked_sub(1).ok_or_else(|| limit("20 000 entries"))?;
        if found.is_file() {
            self.bytes = self.bytes.checked_sub(found.len()).ok_or_else(|| limit("64 MiB"))?;
            fs::copy(from, to).map_err(failed("copy", from))?;
            return Ok(());
        }
        if !found.is_dir() {
            return Err(BuilderError::FileType(display(from)));
        }
        let depth = depth.checked_sub(1).ok_or_else(|| limit("32 levels"))?;
        let mode = found.permissions().mode() & 0o777 | 0o700;
        match DirBuilder::new().mode(mode).create(to) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && to.is_dir() => {}
            other => other.map_err(failed("create the folder", to))?,
        }
        for entry in fs::read_dir(from).map_err(failed("read the folder", from))? {
            let name = entry.map_err(failed("read the folder", from))?.file_name();
            self.copy(&from.join(&name), &to.join(&name), depth)?;
        }
        Ok(())
    }
}

/// What stands at a path itself, a link not followed.
fn kind(path: &Path) -> Result<Option<Metadata>, BuilderError> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed("look at", path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuilderError {
    let path = display(path);
    move |source| BuilderError::Io { action, path, source }
}

fn display(path: &Path) -> String {
    shown(&path.display().to_string())
}
