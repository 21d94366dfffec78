//! Copies what a builder left to where it is kept.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Component, Path};

use crate::host::error::FileError;
use crate::host::store::sync_folder;

/// Deeper folders are refused, since the copy recurses.
const DEPTH: usize = 64;

/// What a copy may still take.
#[derive(Debug)]
pub(super) struct Budget {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    File(#[from] FileError),
}

/// Copies a folder with its files, folders and those symbolic links that stay inside it, as Fabric's peer does. The
/// target must not exist. When this returns, all of it survives a loss of power, but for the target's own name.
pub(super) fn copy_folder(from: &Path, to: &Path, budget: &mut Budget) -> Result<(), CopyError> {
    copy(from, to, 0, budget)
}

fn copy(from: &Path, to: &Path, depth: usize, budget: &mut Budget) -> Result<(), CopyError> {
    if depth > DEPTH {
        return Err(CopyError::Refused(format!("'{}' lies deeper than {DEPTH} folders", from.display())));
    }
    DirBuilder::new().mode(0o700).create(to).map_err(FileError::new("create the folder", to))?;
    for entry in fs::read_dir(from).map_err(FileError::new("read the folder", from))? {
        let entry = entry.map_err(FileError::new("read the folder", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        budget.entries = budget
            .entries
            .checked_sub(1)
            .ok_or_else(|| CopyError::Refused("it has more files and folders than are allowed".into()))?;
        let metadata = fs::symlink_metadata(&source).map_err(FileError::new("look at", &source))?;
        if metadata.is_dir() {
            copy(&source, &target, depth + 1, budget)?;
        } else if metadata.is_file() {
            budget.bytes = budget
                .bytes
                .checked_sub(metadata.len())
                .ok_or_else(|| CopyError::Refused("it has more bytes than are allowed".into()))?;
            fs::copy(&source, &target)
                .and_then(|_| File::open(&target)?.sync_all())
                .map_err(FileError::new("copy the file", &source))?;
        } else if metadata.is_symlink() {
            copy_link(&source, &target, depth)?;
        } else {
            let text = format!("'{}' is neither a file, a folder nor a link", source.display());
            return Err(CopyError::Refused(text));
        }
    }
    Ok(sync_folder(to)?)
}

/// Copies a link as a link. `depth` is the number of folders between the root of the copy and the link.
fn copy_link(source: &Path, target: &Path, depth: usize) -> Result<(), CopyError> {
    let points_to = fs::read_link(source).map_err(FileError::new("read the link", source))?;
    let mut level = depth;
    for part in points_to.components() {
        let next = match part {
            Component::Normal(_) => level.checked_add(1),
            Component::CurDir => Some(level),
            Component::ParentDir => level.checked_sub(1),
            Component::RootDir | Component::Prefix(_) => None,
        };
        level = next.ok_or_else(|| {
            let (source, points_to) = (source.display(), points_to.display());
            CopyError::Refused(format!("the link '{source}' points outside of it, to '{points_to}'"))
        })?;
    }
    Ok(symlink(&points_to, target).map_err(FileError::new("create the link", target))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget { entries: 10, bytes: 100 }
    }

    #[test]
    fn files_folders_and_inner_links_are_copied() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/file"), "content").unwrap();
        symlink("../a/b/file", from.join("a/link")).unwrap();
        let mut left = budget();
        copy_folder(&from, &to, &mut left).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/link")).unwrap(), "content");
        assert!(fs::symlink_metadata(to.join("a/link")).unwrap().is_symlink());
        assert_eq!((left.entries, left.bytes), (6, 93));
    }

    #[test]
    fn what_leads_out_or_is_too_much_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let case = |name: &str, make: &dyn Fn(&Path)| {
            let from = scratch.path().join(name);
            fs::create_dir(&from).unwrap();
            make(&from);
            match copy_folder(&from, &scratch.path().join(format!("{name}-copy")), &mut budget()) {
                Err(CopyError::Refused(text)) => text,
                other => panic!("{name}: {other:?}"),
            }
        };
        assert!(
            case("absolute", &|from| symlink("/etc/passwd", from.join("l")).unwrap()).contains("outside")
        );
        assert!(case("parent", &|from| symlink("../x", from.join("l")).unwrap()).contains("outside"));
        assert!(case("bytes", &|from| fs::write(from.join("f"), [0; 101]).unwrap()).contains("bytes"));
        let many = |from: &Path| (0..11).for_each(|n| fs::write(from.join(n.to_string()), "").unwrap());
        assert!(case("entries", &many).contains("more files"));
        let deep = |from: &Path| fs::create_dir_all(from.join("d/".repeat(DEPTH + 1))).unwrap();
        let mut plenty = Budget { entries: 1000, bytes: 0 };
        let from = scratch.path().join("deep");
        deep(&from);
        let error = copy_folder(&from, &scratch.path().join("deep-copy"), &mut plenty).unwrap_err();
        assert!(error.to_string().contains("deeper"), "{error}");
    }
}
