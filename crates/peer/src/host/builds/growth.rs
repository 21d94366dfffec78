//! How much builders write while they run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often what builders have written is looked at. They may write more than they should for that long.
const INTERVAL: Duration = Duration::from_millis(250);

/// The files and folders below a folder, and the bytes of the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

impl Size {
    /// Measures a folder, up to the point where it is larger than `limit`. What vanishes meanwhile counts for nothing.
    /// Blocks.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(super) fn of(folder: &Path, limit: Self) -> io::Result<Self> {
        let (mut size, mut folders) = (Self::default(), vec![folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            let Some(entries) = there(fs::read_dir(&folder))? else { continue };
            for entry in entries {
                let Some(entry) = there(entry)? else { continue };
                let Some(metadata) = there(entry.metadata())? else { continue };
                size.entries += 1;
                if metadata.is_dir() {
                    folders.push(entry.path());
                } else {
                    size.bytes = size.bytes.saturating_add(metadata.len());
                }
                if size.exceeds(limit) {
                    return Ok(size);
                }
            }
        }
        Ok(size)
    }

    pub(super) fn exceeds(self, limit: Self) -> bool {
        self.entries > limit.entries || self.bytes > limit.bytes
    }
}

/// Waits until a folder is larger than `limit`, or cannot be read any more, and says so.
pub(super) async fn beyond(folder: PathBuf, limit: Size) -> String {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let measured = folder.clone();
        let size = tokio::task::spawn_blocking(move || Size::of(&measured, limit)).await;
        match size.map_err(io::Error::from).and_then(|size| size) {
            Ok(size) if size.exceeds(limit) => {
                return format!(
                    "it has {} files and folders with {} bytes, more than {} with {}, while its builders still run",
                    size.entries, size.bytes, limit.entries, limit.bytes
                );
            }
            Ok(_) => {}
            Err(error) => return format!("its size cannot be told: {error}"),
        }
    }
}

/// Nothing, for what is not there any more.
fn there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_below_a_folder_counts_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let ample = Size { entries: 100, bytes: 100 };
        assert_eq!(Size::of(folder.path(), ample).unwrap(), Size::default());
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/c"), "content").unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("a/root")).unwrap();
        let size = Size::of(folder.path(), ample).unwrap();
        // A link has the bytes of its target's name.
        assert_eq!(size, Size { entries: 4, bytes: 8 });
        assert!(!size.exceeds(size) && size.exceeds(Size { bytes: 7, ..size }));
        assert_eq!(Size::of(&folder.path().join("gone"), ample).unwrap(), Size::default());
        assert_eq!(Size::of(folder.path(), Size { entries: 1, bytes: 100 }).unwrap().entries, 2);
    }
}
