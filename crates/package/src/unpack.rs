//! Lays a package's code out in a folder, as a peer does before it calls a builder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use crate::archive::{self, Entry, FOLDER, Limits, REGULAR};
use crate::error::PackageError;

/// Unpacks a `code.tar.gz` into `folder`, which is created, or must be empty.
///
/// Folders get mode 0700. Files get 0600, or 0700 when the archive lets their owner execute them. Nothing but
/// folders and regular files is made, nothing is overwritten, and nothing lands outside `folder`: since the folder
/// starts empty and no link is ever made in it, a clean relative path cannot lead out. After an error the folder
/// holds what was unpacked so far.
///
/// # Errors
/// [`PackageError`] when the archive is damaged, holds something else, exceeds the limits, or a write fails.
pub fn unpack(code: &[u8], folder: &Path, limits: &Limits) -> Result<(), PackageError> {
    make_folder(folder)?;
    let mut existing = fs::read_dir(folder).map_err(PackageError::io("read the folder", folder))?;
    if existing.next().is_some() {
        let error = std::io::Error::from(ErrorKind::DirectoryNotEmpty);
        return Err(PackageError::io("unpack into", folder)(error));
    }
    archive::read(code, ("the gunzip'd code's size", limits.code), limits, |mut entry| {
        let parts = clean_path(&entry)?;
        match (entry.type_flag, parts.split_last()) {
            (FOLDER, _) if entry.size == 0 => make_folders(folder, &parts, &entry),
            (REGULAR, Some((_, parents))) => {
                make_folders(folder, parents, &entry)?;
                write_file(&folder.join(parts.join("/")), &mut entry)
            }
            (FOLDER | REGULAR, _) => {
                Err(path_error(&entry, "is not one of a file with a name or an empty folder"))
            }
            (type_flag, _) => Err(PackageError::CodeType { name: entry.shown_path(), type_flag }),
        }
    })
}

/// The parts of an entry's path, with `.` left out and `..` resolved.
pub(crate) fn clean_path(entry: &Entry<'_>) -> Result<Vec<String>, PackageError> {
    let path = str::from_utf8(&entry.path).map_err(|_| path_error(entry, "is not UTF-8"))?;
    if path.contains('\0') {
        return Err(path_error(entry, "contains a zero byte"));
    }
    let escapes = || PackageError::EscapingPath(entry.shown_path());
    if path.starts_with('/') {
        return Err(escapes());
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or_else(escapes)?;
            }
            name => parts.push(name.to_owned()),
        }
    }
    Ok(parts)
}

fn make_folders(root: &Path, parts: &[String], entry: &Entry<'_>) -> Result<(), PackageError> {
    let mut folder = root.to_owned();
    for part in parts {
        folder.push(part);
        make_folder(&folder).map_err(|error| match error {
            PackageError::Io { source, .. } if source.kind() == ErrorKind::AlreadyExists => {
                path_error(entry, "has a file where it needs a folder")
            }
            other => other,
        })?;
    }
    Ok(())
}

fn make_folder(folder: &Path) -> Result<(), PackageError> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        other => other.map_err(PackageError::io("create the folder", folder)),
    }
}

fn write_file(path: &Path, entry: &mut Entry<'_>) -> Result<(), PackageError> {
    let mode = 0o600 | entry.mode & 0o100;
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(path_error(entry, "occurs twice in the archive"));
        }
        other => other.map_err(PackageError::io("create the file", path))?,
    };
    entry.copy(|chunk| file.write_all(chunk).map_err(PackageError::io("write the file", path)))
}

fn path_error(entry: &Entry<'_>, reason: &'static str) -> PackageError {
    PackageError::Path { path: entry.shown_path(), reason }
}
