//! Opens redb databases on a [`Storage`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, StorageBackend};

use crate::StoreError;
use crate::storage::{File, Storage};

/// Opens a database, or makes one: `begin` writes its first content, durably, before the file gets its name. So a
/// file of this name is a whole database whenever the machine may have stopped.
pub(crate) fn open(
    storage: &dyn Storage,
    path: &Path,
    cache_bytes: usize,
    begin: impl FnOnce(&Database) -> Result<(), StoreError>,
) -> Result<Database, StoreError> {
    let load = |file: Arc<dyn File>| {
        redb::Builder::new()
            .set_cache_size(cache_bytes)
            .create_with_backend(Backend { file })
            .map_err(StoreError::database("be opened", path))
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    if storage.exists(path).map_err(StoreError::io("look for", path))? {
        // The process that named it may have been killed before the name was safe.
        storage.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
        return load(storage.open(path).map_err(StoreError::io("open", path))?);
    }
    let unfinished = unfinished(path);
    storage.create_folder(folder).map_err(StoreError::io("create", folder))?;
    if storage.exists(&unfinished).map_err(StoreError::io("look for", &unfinished))? {
        storage.remove(&unfinished).map_err(StoreError::io("remove", &unfinished))?;
    }
    let database = load(storage.create(&unfinished).map_err(StoreError::io("create", &unfinished))?)?;
    begin(&database)?;
    storage.rename(&unfinished, path).map_err(StoreError::io("name", path))?;
    storage.sync_folder(folder).map_err(StoreError::io("sync", folder))?;
    Ok(database)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// A database's bytes. The folder's lock keeps other processes away, so no lock is taken here.
#[derive(Debug)]
struct Backend {
    file: Arc<dyn File>,
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_size(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }
}
