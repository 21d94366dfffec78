//! Who uses a network's folder: a lock that ends with its process, however it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::NetworkError;

const LOCK: &str = "lock";

/// More than any holder writes.
const MOST_BYTES: u64 = 4096;

/// Somebody who only looks has the lock for a moment too, and a new holder needs one to say who it is.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// The process that runs the network of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Since when, RFC 3339, UTC.
    pub since: String,
}

/// The folder is ours while this lives.
#[derive(Debug)]
pub(crate) struct Hold {
    _file: File,
    pub(crate) holder: Holder,
}

impl Hold {
    /// Takes the folder, which is made if it is missing.
    pub(crate) fn take(folder: &Path) -> Result<Self, NetworkError> {
        fs::create_dir_all(folder).map_err(NetworkError::file("create", folder))?;
        let path = folder.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(NetworkError::file("open", &path))?;
        if !attempt(|| match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(NetworkError::file("lock", &path)(error)),
        })? {
            let holder = read(&mut file);
            return Err(NetworkError::Held { folder: folder.to_owned(), holder });
        }
        let now = OffsetDateTime::now_utc();
        let since = now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default();
        let holder = Holder { pid: std::process::id(), since };
        let text = serde_json::to_vec(&holder).map_err(|_| NetworkError::BrokenOff)?;
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(&text))
            .map_err(NetworkError::file("write", &path))?;
        Ok(Self { _file: file, holder })
    }
}

impl Holder {
    /// Who runs the network of the folder at this moment; `None` if nobody does.
    ///
    /// # Errors
    /// When the lock file cannot be used, or its holder does not say who it is.
    pub fn of(folder: &Path) -> Result<Option<Self>, NetworkError> {
        let path = folder.join(LOCK);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(NetworkError::file("open", &path))?,
        };
        let mut holder = None;
        let known = attempt(|| match file.try_lock_shared() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => {
                holder = read(&mut file);
                Ok(holder.is_some())
            }
            Err(TryLockError::Error(error)) => Err(NetworkError::file("lock", &path)(error)),
        })?;
        if known { Ok(holder) } else { Err(NetworkError::Held { folder: folder.to_owned(), holder: None }) }
    }
}

/// What the lock file says. The holder may be about to write it, so it may say nothing yet.
fn read(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Tries until it is done or there was time enough for anybody who only looks.
fn attempt(mut once: impl FnMut() -> Result<bool, NetworkError>) -> Result<bool, NetworkError> {
    for _ in 1..ATTEMPTS {
        if once()? {
            return Ok(true);
        }
        sleep(PAUSE);
    }
    once()
}

#[cfg(test)]
mod tests {
    use super::{Hold, Holder};
    use crate::NetworkError;

    #[test]
    fn a_folder_has_one_holder_who_says_who_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("network");
        assert_eq!(Holder::of(&path).unwrap(), None);
        let hold = Hold::take(&path).unwrap();
        assert_eq!(Holder::of(&path).unwrap().as_ref(), Some(&hold.holder));
        let refused = Hold::take(&path).unwrap_err();
        assert!(
            matches!(&refused, NetworkError::Held { holder: Some(holder), .. } if *holder == hold.holder),
            "{refused}"
        );
        drop(hold);
        assert_eq!(Holder::of(&path).unwrap(), None);
        let again = Hold::take(&path).unwrap();
        assert_eq!(again.holder.pid, std::process::id());
    }

    #[test]
    fn what_a_killed_holder_left_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lock"), "{\"pid\": 1, half").unwrap();
        assert_eq!(Holder::of(folder.path()).unwrap(), None);
        let hold = Hold::take(folder.path()).unwrap();
        assert_eq!(Holder::of(folder.path()).unwrap().as_ref(), Some(&hold.holder));
    }
}
