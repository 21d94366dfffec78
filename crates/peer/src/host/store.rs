//! The installed packages on disk: `lifecycle/chaincodes/<label>.<hash>.tar.gz` under the peer's folder.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use parking_lot::RwLock;
use selvedge_package::{Package, PackageError, PackageId};

use super::error::FileError;

/// What a file that is still being written is called; one that is found at start was left by a crash.
const TEMPORARY: &str = ".tmp-";
const SUFFIX: &str = ".tar.gz";

/// A package on this peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its id, `label:hash`.
    pub package_id: String,
    /// Its label.
    pub label: String,
}

/// The packages that are installed. All methods block.
pub(super) struct PackageStore {
    folder: PathBuf,
    limits: selvedge_package::Limits,
    installed: RwLock<BTreeMap<String, PackageId>>,
}

impl PackageStore {
    /// Opens the store and checks every package in it. What is not what its name says is left alone and not listed.
    pub(super) fn open(
        root: &Path,
        limits: selvedge_package::Limits,
        most: usize,
    ) -> Result<Self, FileError> {
        let folder = root.join("lifecycle").join("chaincodes");
        make_folders(&folder)?;
        let store = Self { folder, limits, installed: RwLock::default() };
        let entries =
            fs::read_dir(&store.folder).map_err(FileError::new("read the folder", &store.folder))?;
        for entry in entries {
            let path = entry.map_err(FileError::new("read the folder", &store.folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.starts_with(TEMPORARY) {
                fs::remove_file(&path).map_err(FileError::new("remove the file", &path))?;
                continue;
            }
            if !name.ends_with(SUFFIX) {
                tracing::warn!(file = %path.display(), "not a chaincode package; it is ignored");
                continue;
            }
            match store.load(&path) {
                Ok(package) if package.id().file_name() == name => {
                    if store.installed.read().len() >= most {
                        tracing::warn!(file = %path.display(), limit = most, "too many packages; it is ignored");
                        continue;
                    }
                    store.add(package.id());
                }
                Ok(package) => tracing::warn!(file = %path.display(), package_id = %package.id(),
                    "the chaincode package is not what its name says; it is ignored"),
                Err(error) => tracing::warn!(file = %path.display(), %error,
                    "the chaincode package cannot be read; it is ignored"),
            }
        }
        Ok(store)
    }

    /// Writes a package so that after a crash it is there whole or not at all. It is not listed before
    /// [`PackageStore::add`].
    pub(super) fn save(&self, package: &Package) -> Result<(), FileError> {
        let path = self.path(package.id());
        let mut file = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempfile_in(&self.folder)
            .map_err(FileError::new("create a file in", &self.folder))?;
        file.write_all(package.bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(FileError::new("write the file", file.path()))?;
        file.persist(&path).map_err(|error| FileError::new("rename to", &path)(error.error))?;
        sync_folder(&self.folder)
    }

    /// Lists a saved package.
    pub(super) fn add(&self, id: &PackageId) {
        self.installed.write().insert(id.to_string(), id.clone());
    }

    /// Removes a package, wherever it stands between saved and listed.
    pub(super) fn delete(&self, id: &PackageId) -> Result<(), FileError> {
        self.installed.write().remove(&id.to_string());
        let path = self.path(id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError::new("remove the file", path)(error))
            }
            _ => sync_folder(&self.folder),
        }
    }

    pub(super) fn list(&self) -> Vec<InstalledPackage> {
        let installed = self.installed.read();
        installed.iter().map(|(package_id, id)| InstalledPackage::new(package_id.clone(), id)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.installed.read().len()
    }

    pub(super) fn contains(&self, package_id: &str) -> bool {
        self.installed.read().contains_key(package_id)
    }

    /// Reads a listed package back and checks that it is the one.
    pub(super) fn package(&self, package_id: &str) -> Option<Result<Package, PackageError>> {
        let id = self.installed.read().get(package_id).cloned()?;
        let path = self.path(&id);
        Some(self.load(&path).and_then(|package| match package.id() == &id {
            true => Ok(package),
            false => Err(PackageError::Id(format!("{} in the file of {id}", package.id()))),
        }))
    }

    fn load(&self, path: &Path) -> Result<Package, PackageError> {
        let mut bytes = Vec::new();
        let failed = |source| PackageError::Io {
            action: "read the chaincode install package",
            path: path.display().to_string(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        // One byte more than allowed, so that what is too long is found to be.
        file.take(self.limits.package.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        Package::parse(Bytes::from(bytes), &self.limits)
    }

    fn path(&self, id: &PackageId) -> PathBuf {
        self.folder.join(id.file_name())
    }
}

impl InstalledPackage {
    pub(super) fn new(package_id: String, id: &PackageId) -> Self {
        Self { package_id, label: id.label().to_owned() }
    }
}

/// Makes a folder with its parents, for the peer's eyes only.
pub(super) fn make_folders(folder: &Path) -> Result<(), FileError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(FileError::new("create the folder", folder))
}

/// Makes a rename or removal in the folder outlast a crash.
pub(super) fn sync_folder(folder: &Path) -> Result<(), FileError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(FileError::new("write the folder", folder))
}
