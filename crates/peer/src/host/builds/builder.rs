//! One builder: a folder of programs, or the ccaas builder that is built in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use selvedge_package::builder::{self as ccaas, BuilderError};

use super::process;
use crate::host::config::{CCAAS_BUILDER, ExternalBuilder};
use crate::host::error::StepError;

/// What turns a package into something that runs.
#[derive(Clone)]
pub(super) enum Builder {
    External(ExternalBuilder),
    /// Fabric's stock ccaas builder in effect, with the value of its environment variable.
    Ccaas {
        configuration: String,
    },
}

/// The folders of one build.
pub(super) struct Folders {
    pub(super) src: PathBuf,
    pub(super) metadata: PathBuf,
    pub(super) bld: PathBuf,
    pub(super) release: PathBuf,
}

impl Folders {
    pub(super) fn in_scratch(scratch: &Path) -> Self {
        let folder = |name| scratch.join(name);
        Self {
            src: folder("src"),
            metadata: folder("metadata"),
            bld: folder("bld"),
            release: folder("release"),
        }
    }
}

impl Builder {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::External(builder) => &builder.name,
            Self::Ccaas { .. } => CCAAS_BUILDER,
        }
    }

    /// Whether the package is for this builder. Whatever keeps detect from saying yes is a no.
    pub(super) async fn detect(&self, folders: &Folders, environment: &BTreeMap<OsString, OsString>) -> bool {
        let result = match self {
            Self::External(builder) => {
                let arguments = [folders.src.as_path(), &folders.metadata];
                process::run(builder, &program(builder, "detect"), &arguments, environment).await
            }
            Self::Ccaas { .. } => {
                let (src, metadata) = (folders.src.clone(), folders.metadata.clone());
                built_in(move || ccaas::detect(&src, &metadata)).await
            }
        };
        if let Err(error) = &result {
            tracing::debug!(builder = self.name(), %error, "detect said no");
        }
        result.is_ok()
    }

    pub(super) async fn build(
        &self,
        folders: &Folders,
        environment: &BTreeMap<OsString, OsString>,
    ) -> Result<(), StepError> {
        match self {
            Self::External(builder) => {
                let arguments = [folders.src.as_path(), &folders.metadata, &folders.bld];
                process::run(builder, &program(builder, "build"), &arguments, environment).await
            }
            Self::Ccaas { configuration } => {
                let (src, metadata) = (folders.src.clone(), folders.metadata.clone());
                let (bld, configuration) = (folders.bld.clone(), configuration.clone());
                built_in(move || {
                    for warning in ccaas::build(&src, &metadata, &bld, &configuration)? {
                        tracing::warn!(builder = CCAAS_BUILDER, "{warning}");
                    }
                    Ok(())
                })
                .await
            }
        }
    }

    /// Releases the build; a builder without the program has nothing to release.
    pub(super) async fn release(
        &self,
        folders: &Folders,
        environment: &BTreeMap<OsString, OsString>,
    ) -> Result<(), StepError> {
        match self {
            Self::External(builder) => {
                let program = program(builder, "release");
                match tokio::fs::try_exists(&program).await {
                    Ok(false) => Ok(()),
                    _ => {
                        let arguments = [folders.bld.as_path(), &folders.release];
                        process::run(builder, &program, &arguments, environment).await
                    }
                }
            }
            Self::Ccaas { .. } => {
                let (bld, release) = (folders.bld.clone(), folders.release.clone());
                built_in(move || ccaas::release(&bld, &release)).await
            }
        }
    }
}

impl Builder {
    /// The builder's own way to run what it has built; none for a builder that leaves this to others.
    pub(super) async fn runner(&self) -> Option<Runner> {
        let Self::External(builder) = self else { return None };
        let program = program(builder, "run");
        let there = tokio::fs::try_exists(&program).await.unwrap_or(false);
        there.then(|| Runner { builder: builder.clone(), program })
    }
}

/// A builder's `bin/run`.
pub(in crate::host) struct Runner {
    builder: ExternalBuilder,
    program: PathBuf,
}

impl Runner {
    /// Runs a build in the foreground until it ends by itself or `stop` completes.
    pub(super) async fn run(
        &self,
        bld: &Path,
        run_metadata: &Path,
        environment: &BTreeMap<OsString, OsString>,
        stop: impl Future<Output = ()>,
    ) -> Result<(), StepError> {
        process::run_until(&self.builder, &self.program, &[bld, run_metadata], environment, stop).await
    }
}

fn program(builder: &ExternalBuilder, name: &str) -> PathBuf {
    builder.path.join("bin").join(name)
}

async fn built_in(step: impl FnOnce() -> Result<(), BuilderError> + Send + 'static) -> Result<(), StepError> {
    let ended = tokio::task::spawn_blocking(step).await;
    ended.map_err(|error| StepError::Wait(error.into()))?.map_err(|error| StepError::BuiltIn(Box::new(error)))
}
