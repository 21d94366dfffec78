//! Files that commands make: never over others unasked, and private keys for their owner only.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

/// A file to be written.
pub(super) struct NewFile<'a> {
    pub(super) path: PathBuf,
    pub(super) content: &'a [u8],
    /// Whether only its owner may read it.
    pub(super) secret: bool,
}

/// Writes all files, or none when one of them is there already and `force` is not given.
pub(super) fn write(files: &[NewFile<'_>], force: bool) -> Result<(), Failure> {
    if !force && let Some(file) = files.iter().find(|file| fs::symlink_metadata(&file.path).is_ok()) {
        return Err(exists(&file.path));
    }
    files.iter().try_for_each(|file| write_one(file, force))
}

fn write_one(file: &NewFile<'_>, force: bool) -> Result<(), Failure> {
    let path = &file.path;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| errors::file("create the folder", folder, &error))?;
    }
    if force && let Err(error) = fs::remove_file(path) {
        // The old file's permissions must not become the new one's, so it goes first.
        if error.kind() != ErrorKind::NotFound {
            return Err(errors::file("replace", path, &error));
        }
    }
    let mode = if file.secret { 0o600 } else { 0o644 };
    let opened = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    match opened.and_then(|mut opened| opened.write_all(file.content)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(exists(path)),
        Err(error) => Err(errors::file("write", path, &error)),
    }
}

fn exists(path: &Path) -> Failure {
    Failure::new(catalogue::FILE_EXISTS, format!("{} is there already", path.display()))
        .fix("choose another place, or replace it with --force")
}
