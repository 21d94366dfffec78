//! Where the workspace lies and what its crates declare.

use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::error::Error;

/// The workspace that this program belongs to.
pub(crate) struct Workspace {
    metadata: Metadata,
}

impl Workspace {
    /// Asks cargo, without resolving dependencies of dependencies.
    pub(crate) fn load() -> Result<Self, Error> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        Ok(Self { metadata: MetadataCommand::new().manifest_path(manifest).no_deps().exec()? })
    }

    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The path of a file or folder in the checkout.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.metadata.workspace_root.as_std_path().join(relative)
    }

    /// The path of a file or folder in the shared target folder, for anything made by a check.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.metadata.target_directory.as_std_path().join(relative)
    }

    /// An empty folder below the target folder: what an earlier run left is removed, what this one leaves stays for
    /// reading.
    pub(crate) fn fresh_folder(&self, relative: &str) -> Result<PathBuf, Error> {
        let path = self.target(relative);
        let failed = |action| {
            let path = path.clone();
            move |source| Error::File { action, path, source }
        };
        if path.exists() {
            fs::remove_dir_all(&path).map_err(failed("remove"))?;
        }
        fs::create_dir_all(&path).map_err(failed("make"))?;
        Ok(path)
    }

    pub(crate) fn read(&self, relative: &str) -> Result<String, Error> {
        read(&self.path(relative))
    }
}

/// Reads a text file.
pub(crate) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::File { action: "read", path: path.to_owned(), source })
}
