//! External builders and what they have built: `externalbuilder/builds/<package id>/{bld,release,build-info.json}`.
//!
//! The builders see `SRC` (the unpacked code), `META` (metadata.json alone), and empty `BLD` and `RELEASE`, all in a
//! scratch folder that is removed afterwards. What they leave in the last two is copied beside the place where it is
//! kept and renamed into it, so that a kept build is always whole.

mod builder;
mod copy;
mod growth;
mod process;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use selvedge_package::Package;
use selvedge_package::builder::RELEASED_CONNECTION;
use selvedge_package::connection::{Connection, Server};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

pub(super) use self::builder::Runner;
use self::builder::{Builder, Folders};
use self::copy::{Budget, CopyError, copy_folder};
use self::growth::Size;
use super::config::HostConfig;
use super::error::{BuildError, FileError, HostError, LaunchError, StepError};
use super::store::{make_folders, sync_folder};

const BUILD_INFO: &str = "build-info.json";
const BLD: &str = "bld";
const RELEASE: &str = "release";
/// What a build that is being copied is called; one that is found at start was left by a crash.
const TEMPORARY: &str = ".tmp-";
/// The most bytes of build-info.json and of connection.json that are read.
const SMALL_FILE: u64 = 1 << 20;

/// The builders and the builds that are kept.
pub(super) struct Builds {
    folder: PathBuf,
    temp_dir: PathBuf,
    builders: Vec<Builder>,
    environment: BTreeMap<OsString, OsString>,
    package_limits: selvedge_package::Limits,
    entries: u64,
    bytes: u64,
}

/// A build that is kept.
#[derive(Debug)]
pub(super) struct Build {
    builder: String,
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct BuildInfo {
    builder_name: String,
}

impl Builds {
    pub(super) fn open(config: &HostConfig) -> Result<Self, HostError> {
        let mut builders: Vec<_> = config.builders.iter().cloned().map(Builder::External).collect();
        let built_in = config.ccaas_builder.clone().map(|configuration| Builder::Ccaas { configuration });
        builders.extend(built_in);
        for (index, builder) in builders.iter().enumerate() {
            let earlier = builders.iter().take(index);
            if builder.name().is_empty() || earlier.map(Builder::name).any(|name| name == builder.name()) {
                return Err(HostError::BuilderName(builder.name().to_owned()));
            }
            if let Builder::External(builder) = builder
                && !builder.path.is_absolute()
            {
                return Err(HostError::BuilderPath {
                    name: builder.name.clone(),
                    path: builder.path.clone(),
                });
            }
        }
        let folder = config.root.join("externalbuilder").join("builds");
        make_folders(&folder)?;
        remove_leftovers(&folder)?;
        Ok(Self {
            folder,
            temp_dir: config.temp_dir.clone(),
            builders,
            environment: config.environment.clone(),
            package_limits: config.limits.package,
            entries: config.limits.build_entries,
            bytes: config.limits.build_bytes,
        })
    }

    /// Whether a build of the package is kept, whole or damaged.
    pub(super) fn is_kept(&self, package_id: &str) -> bool {
        self.kept_folder(package_id).exists()
    }

    /// The build that is kept of a package.
    pub(super) fn kept(&self, package_id: &str) -> Result<Option<Build>, BuildError> {
        let folder = self.kept_folder(package_id);
        if !folder.exists() {
            return Ok(None);
        }
        let path = folder.join(BUILD_INFO);
        let malformed = |reason: String| BuildError::BuildInfo { path: path.clone(), reason };
        let bytes = read_small(&path).map_err(|error| malformed(error.to_string()))?;
        let info: BuildInfo = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        let builder = info.builder_name;
        if !self.builders.iter().any(|known| known.name() == builder) {
            return Err(BuildError::BuilderGone { package_id: package_id.to_owned(), builder });
        }
        Ok(Some(Build { builder, folder }))
    }

    /// Builds a package and keeps the result. When the future is dropped, the builder that runs is killed and
    /// nothing is kept.
    pub(super) async fn build(&self, package: &Package) -> Result<Build, BuildError> {
        let package_id = package.id().to_string();
        let scratch = self.scratch(package).await?;
        let folders = Folders::in_scratch(scratch.path());
        let limit = self.scratch_limit(scratch.path()).await?;
        // Either branch that is given up takes its processes with it.
        let builder = tokio::select! {
            builder = self.run(package, &folders) => builder?,
            reason = growth::beyond(scratch.path().to_owned(), limit) => {
                return Err(BuildError::Growth { package_id, reason });
            }
        };
        let name = builder.name().to_owned();
        let (target, parent) = (self.kept_folder(&package_id), self.folder.clone());
        let budget = Budget { entries: self.entries, bytes: self.bytes };
        let kept = name.clone();
        let folder = blocking(move || {
            keep(&folders, &kept, &parent, &target, budget)?;
            drop(scratch);
            Ok(target)
        })
        .await?;
        Ok(Build { builder: name, folder })
    }

    /// Runs the programs of the builder that takes the package.
    async fn run(&self, package: &Package, folders: &Folders) -> Result<&Builder, BuildError> {
        let builder = self.detect(package, folders).await?;
        let name = || builder.name().to_owned();
        builder
            .build(folders, &self.environment)
            .await
            .map_err(|source| BuildError::Build { builder: name(), source })?;
        builder
            .release(folders, &self.environment)
            .await
            .map_err(|source| BuildError::Release { builder: name(), source })?;
        Ok(builder)
    }

    /// How much may be in the scratch folder while builders run: what is in it now, and as much again as they may
    /// leave.
    async fn scratch_limit(&self, scratch: &Path) -> Result<Size, BuildError> {
        let path = scratch.to_owned();
        let unpacked = blocking(move || {
            let all = Size { entries: u64::MAX, bytes: u64::MAX };
            Ok(Size::of(&path, all).map_err(FileError::new("read the folder", &path))?)
        })
        .await?;
        Ok(Size {
            entries: unpacked.entries.saturating_add(self.entries),
            bytes: unpacked.bytes.saturating_add(self.bytes),
        })
    }

    async fn detect(&self, package: &Package, folders: &Folders) -> Result<&Builder, BuildError> {
        for builder in &self.builders {
            if builder.detect(folders, &self.environment).await {
                tracing::info!(package_id = %package.id(), builder = builder.name(), "building chaincode");
                return Ok(builder);
            }
        }
        Err(BuildError::NotDetected {
            chaincode_type: selvedge_tls::escape(package.metadata().chaincode_type()),
            tried: self.builders.iter().map(|builder| builder.name().to_owned()).collect(),
        })
    }

    /// Makes the scratch folder with the unpacked package in it.
    async fn scratch(&self, package: &Package) -> Result<TempDir, BuildError> {
        let prefix = format!("fabric-{}", sanitised(&package.id().to_string()));
        let (temp_dir, package, limits) = (self.temp_dir.clone(), package.clone(), self.package_limits);
        blocking(move || {
            let scratch = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(&temp_dir)
                .map_err(FileError::new("create a folder in", &temp_dir))?;
            let folders = Folders::in_scratch(scratch.path());
            for folder in [&folders.src, &folders.metadata, &folders.bld, &folders.release] {
                let made = DirBuilder::new().mode(0o700).create(folder);
                made.map_err(FileError::new("create the folder", folder))?;
            }
            selvedge_package::unpack::unpack(package.code(), &folders.src, &limits)
                .map_err(BuildError::Unpack)?;
            let path = folders.metadata.join("metadata.json");
            fs::write(&path, package.metadata().bytes()).map_err(FileError::new("write the file", &path))?;
            Ok(scratch)
        })
        .await
    }

    fn kept_folder(&self, package_id: &str) -> PathBuf {
        self.folder.join(sanitised(package_id))
    }

    /// How a build is run whose builder released no server.
    ///
    /// # Errors
    /// When its builder runs nothing.
    pub(super) async fn runner(&self, build: &Build) -> Result<Runner, LaunchError> {
        let builder = self.builders.iter().find(|builder| builder.name() == build.builder);
        let runner = match builder {
            Some(builder) => builder.runner().await,
            None => None,
        };
        runner.ok_or_else(|| LaunchError::NoRun { builder: build.builder.clone() })
    }

    /// Runs a build, with `run_metadata` as its folder RUNMETA, until it ends by itself or `stop` completes.
    pub(super) async fn run_build(
        &self,
        build: &Build,
        runner: &Runner,
        run_metadata: &Path,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StepError> {
        runner.run(&build.folder.join(BLD), run_metadata, &self.environment, stop).await
    }
}

impl Build {
    /// The builder that has made it.
    pub(super) fn builder(&self) -> &str {
        &self.builder
    }

    /// Where the chaincode server is, from the release's connection.json, which is read anew for every launch. Without
    /// such a file it is the builder that runs the chaincode.
    pub(super) fn server(&self) -> Result<Option<Server>, LaunchError> {
        let path = self.folder.join(RELEASE).join(RELEASED_CONNECTION);
        let bytes = match read_small(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            Err(error) => {
                return Err(LaunchError::ConnectionFile(FileError::new("read the file", path)(error)));
            }
        };
        Connection::parse(&bytes)
            .and_then(|connection| connection.server())
            .map(Some)
            .map_err(|source| LaunchError::Connection { path, source: Box::new(source) })
    }
}

/// Copies what was built beside its place and renames it into it.
fn keep(
    folders: &Folders,
    builder: &str,
    parent: &Path,
    target: &Path,
    mut budget: Budget,
) -> Result<(), BuildError> {
    let refused = |error| match error {
        CopyError::Refused(reason) => BuildError::Output { builder: builder.to_owned(), reason },
        CopyError::File(error) => error.into(),
    };
    let copy = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(FileError::new("create a folder in", parent))?;
    copy_folder(&folders.bld, &copy.path().join(BLD), &mut budget).map_err(refused)?;
    copy_folder(&folders.release, &copy.path().join(RELEASE), &mut budget).map_err(refused)?;
    let path = copy.path().join(BUILD_INFO);
    let info = serde_json::json!({ "builder_name": builder }).to_string();
    fs::write(&path, info)
        .and_then(|()| File::open(&path)?.sync_all())
        .map_err(FileError::new("write the file", &path))?;
    sync_folder(copy.path())?;
    fs::rename(copy.path(), target).map_err(FileError::new("rename to", target))?;
    // The folder is no longer where its guard would remove it.
    let _ = copy.keep();
    Ok(sync_folder(parent)?)
}

fn remove_leftovers(folder: &Path) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).map_err(FileError::new("read the folder", folder))? {
        let entry = entry.map_err(FileError::new("read the folder", folder))?;
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(FileError::new("remove the folder", path))?;
        }
    }
    Ok(())
}

/// A package id as part of a file's name, with Fabric's replacement.
fn sanitised(package_id: &str) -> String {
    package_id.replace(['<', '>', ':', '"', '/', '\\', '|', '?', '*', '&'], "-")
}

fn read_small(path: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(SMALL_FILE + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= SMALL_FILE => Ok(bytes.into()),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {SMALL_FILE} bytes"))),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| BuildError::Broken(error.to_string()))?
}
