//! The folder of a network that `selvedge up` runs.

use std::fs;
use std::path::{Path, PathBuf};

use selvedge_network::Keeping;
use tempfile::TempDir;

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

/// Where the network lives.
pub(super) enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    /// A folder that is kept, or a temporary one.
    pub(super) fn open(dir: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = dir else {
            let folder = tempfile::Builder::new().prefix("selvedge-").tempdir();
            let what = format!("no folder can be made in {}", std::env::temp_dir().display());
            return folder.map(Self::Temporary).map_err(|error| errors::machine(what, &error));
        };
        let unusable = |error| errors::file("use the folder", dir, &error);
        fs::create_dir_all(dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        let empty = fs::read_dir(&dir).map_err(unusable)?.next().is_none();
        // Every network has one from its first moment on.
        if !empty && !dir.join("lock").exists() {
            let what = format!("{} holds something else than a network", dir.display());
            return Err(Failure::new(catalogue::NETWORK_FOLDER, what)
                .fix("give a folder that is empty or does not exist, or one that selvedge up has made"));
        }
        Ok(Self::Kept(dir))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    pub(super) fn keeping(&self) -> Keeping {
        match self {
            Self::Kept(_) => Keeping::Disk,
            Self::Temporary(_) => Keeping::Memory,
        }
    }

    /// Removes it unless it is kept.
    pub(super) fn close(self) -> Result<(), Failure> {
        let Self::Temporary(folder) = self else { return Ok(()) };
        let path = folder.path().to_owned();
        folder.close().map_err(|error| errors::file("remove", &path, &error))
    }
}
