//! The chaincode host: installs packages, builds them, connects to chaincode servers, and runs transactions on them.
//!
//! ```text
//! install:  package -> store -> detect, build, release -> kept build
//! execute:  kept build -> connection.json -> dial -> Connect -> REGISTER checked -> stream -> transaction
//!           kept build -> bin/run -> the chaincode dials: Register -> the same
//! ```
//!
//! * There is one stream per package id. Concurrent first calls join one launch; a failed launch is forgotten, so that
//!   the next call tries again; after a stream's end the next call dials anew. [`Host::warm`] goes beyond Fabric and
//!   keeps a chaincode connected without calls.
//! * Every transaction serves its own requests in its own [`Host::execute`] future through a
//!   [`TransactionContext`]; the stream's task only routes.
//! * Every queue, wait, file and number is bounded by [`HostConfig`] and [`HostLimits`].
//!
//! Texts begin with Fabric's and go on with the reason that Fabric's peer keeps for its log.

mod attached;
mod builds;
mod config;
mod error;
mod keeper;
mod launch;
mod registrar;
mod running;
mod store;
mod stream;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use selvedge_package::Package;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::attached::Attached;
use self::builds::{Build, Builds};
use self::launch::{Launch, Launched};
use self::running::Running;
use self::store::PackageStore;
use self::stream::Stream;
use crate::invocation::{Invocation, TransactionContext};

pub use attached::AttachedStream;
pub use config::{
    CCAAS_BUILDER, DEFAULT_EXECUTE_TIMEOUT, ExternalBuilder, HostConfig, HostLimits, MINIMUM_STARTUP_TIMEOUT,
    sample_runtime_params,
};
pub use error::{BuildError, ExecuteError, FileError, HostError, InstallError, LaunchError, StepError};
pub use registrar::{Registrar, RegistrarError};
pub use running::PeerLaunch;
pub use store::InstalledPackage;
pub use stream::Finished;
#[cfg(test)]
pub(crate) use stream::outcome;

/// The chaincode host of one peer. Cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    config: HostConfig,
    store: Arc<PackageStore>,
    attached: Attached,
    builds: Arc<Builds>,
    slots: Mutex<HashMap<String, Slot>>,
    /// One lock per package that is being installed or built.
    gates: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    build_places: Semaphore,
    /// Places for processes of chaincode that builders run.
    processes: Arc<Semaphore>,
    kept_warm: Mutex<HashSet<String>>,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

/// What there is of a chaincode.
enum Slot {
    Launching(Joined),
    Live(Arc<Stream>),
}

/// A launch that any number of callers wait for.
type Joined = Shared<BoxFuture<'static, Result<Arc<Stream>, Arc<LaunchError>>>>;

impl Host {
    /// Opens the host's folders and checks the packages in them. Blocks.
    ///
    /// # Errors
    /// When a folder cannot be made or read, or the list of builders is faulty.
    pub fn open(config: HostConfig) -> Result<Self, HostError> {
        let config = config.normalised();
        let store = PackageStore::open(&config.root, config.limits.package, config.limits.packages)?.into();
        let builds = Builds::open(&config)?.into();
        Ok(Self(Arc::new(Inner {
            store,
            attached: Attached::default(),
            builds,
            slots: Mutex::default(),
            gates: Mutex::default(),
            build_places: Semaphore::new(config.limits.builds.max(1)),
            processes: Arc::new(Semaphore::new(config.limits.processes.max(1))),
            kept_warm: Mutex::default(),
            stopping: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
        })))
    }

    /// Stores a package and builds it. It goes on to its end even if the caller does not wait for it.
    ///
    /// # Errors
    /// When it is no package, is installed already, or cannot be built; in the last case it is not stored any more.
    pub async fn install(&self, package: Bytes) -> Result<InstalledPackage, InstallError> {
        let inner = Arc::clone(&self.0);
        if inner.stopping.is_cancelled() {
            return Err(InstallError::ShuttingDown);
        }
        let stopping = inner.stopping.clone();
        let work = async move {
            tokio::select! {
                installed = inner.install(package) => installed,
                () = stopping.cancelled() => Err(InstallError::ShuttingDown),
            }
        };
        self.0.tasks.spawn(work).await.map_err(|error| InstallError::Build(broken_build(&error)))?
    }

    /// Counts a package as installed whose chaincode runs in this process. `open` opens a stream to it as often as one
    /// is needed, without waiting. It is not kept beyond the host's life, and takes the place of one with the same id.
    ///
    /// Everything after the stream is opened is as with a chaincode that was dialled.
    pub fn attach(
        &self,
        package_id: impl Into<String>,
        open: impl Fn() -> AttachedStream + Send + Sync + 'static,
    ) {
        self.0.attached.add(package_id.into(), open);
    }

    /// The installed packages in the order of their ids, those that were attached behind the others.
    pub fn installed(&self) -> Vec<InstalledPackage> {
        let mut installed = self.0.store.list();
        installed.extend(self.0.attached.list());
        installed
    }

    /// An installed package's file, read from disk. Blocks. What cannot be read is logged and absent.
    pub fn package(&self, package_id: &str) -> Option<Bytes> {
        match self.0.store.package(package_id)? {
            Ok(package) => Some(package.bytes().clone()),
            Err(error) => {
                tracing::error!(package_id, %error, "an installed chaincode package cannot be read");
                None
            }
        }
    }

    /// Whether a package is installed.
    pub fn is_installed(&self, package_id: &str) -> bool {
        self.0.is_installed(package_id)
    }

    /// Runs a transaction and serves its requests through `context`. The chaincode is connected first if it has no
    /// stream. When this future is dropped, the transaction is given up: what the chaincode still asks for it is
    /// answered with an error. The future that `context` has given for a request is dropped unfinished when the
    /// transaction ends before it.
    ///
    /// # Errors
    /// When the chaincode cannot be connected, does not answer in time, goes away, or answers with ERROR. A response
    /// of a status above 400 is none.
    pub async fn execute(
        &self,
        package_id: &str,
        invocation: Invocation,
        context: &mut dyn TransactionContext,
    ) -> Result<Finished, ExecuteError> {
        let timeout = self.0.config.execute_timeout;
        // A stream that ends between two calls may still be found; nothing was sent on it, so another is tried.
        let first = self.0.stream_for(package_id).await?;
        if let Some(result) = first.execute(&invocation, context, timeout).await {
            return result;
        }
        let second = self.0.stream_for(package_id).await?;
        second.execute(&invocation, context, timeout).await.unwrap_or(Err(ExecuteError::Terminated))
    }

    /// Connects the chaincode if it has no stream, and tells why if it cannot be.
    ///
    /// # Errors
    /// As a first call would meet them.
    pub async fn probe(&self, package_id: &str) -> Result<(), Arc<LaunchError>> {
        self.0.stream(package_id).await.map(drop)
    }

    /// Keeps the chaincode connected from now on, and tells the log when its server is not there. Must be called
    /// within a Tokio runtime; does nothing for a package that is not installed or is kept already.
    pub fn warm(&self, package_id: &str) {
        if self.is_installed(package_id) {
            keeper::start(&self.0, package_id);
        }
    }

    /// Closes all streams, kills the builders that run, ends the chaincode that they run, and waits for the host's tasks. Calls fail afterwards.
    pub async fn shutdown(&self) {
        self.0.stopping.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("config", &self.0.config).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Inner {
    fn is_installed(&self, package_id: &str) -> bool {
        self.store.contains(package_id) || self.attached.contains(package_id)
    }

    async fn install(&self, bytes: Bytes) -> Result<InstalledPackage, InstallError> {
        let limits = self.config.limits.package;
        let package = blocking(move || Package::parse(bytes, &limits)).await.map_err(InstallError::Build)?;
        let package = package.map_err(InstallError::Parse)?;
        for name in package.unexpected_files() {
            tracing::warn!(package_id = %package.id(), file = name, "the chaincode package has an unexpected file");
        }
        let package_id = package.id().to_string();
        let gate = self.gate(&package_id);
        let _held = gate.lock().await;
        if self.store.contains(&package_id) && self.builds.is_kept(&package_id) {
            return Err(InstallError::AlreadyInstalled(package_id));
        }
        if !self.store.contains(&package_id) && self.store.len() >= self.config.limits.packages {
            return Err(InstallError::TooMany { limit: self.config.limits.packages });
        }
        let (store, saved) = (Arc::clone(&self.store), package.clone());
        blocking(move || store.save(&saved))
            .await
            .map_err(InstallError::Build)?
            .map_err(InstallError::Save)?;
        let building = self.build_within(&package, self.config.install_timeout);
        let built = building.await;
        if let Ok(build) = &built
            && let Err(error) = self.check(build).await
        {
            tracing::warn!(package_id, %error, "the installed chaincode package cannot be launched as it is");
        }
        if let Err(error) = built {
            let store = Arc::clone(&self.store);
            let deleted = blocking(move || store.delete(package.id())).await.map_err(InstallError::Build)?;
            if let Err(error) = deleted {
                tracing::error!(package_id, %error, "the package that could not be built cannot be deleted");
            }
            return Err(InstallError::Build(Box::new(error)));
        }
        self.store.add(package.id());
        tracing::info!(package_id, "installed chaincode package");
        Ok(InstalledPackage::new(package_id, package.id()))
    }

    async fn build_within(&self, package: &Package, limit: std::time::Duration) -> Result<Build, BuildError> {
        let package_id = package.id().to_string();
        if let Some(build) = self.builds.kept(&package_id)? {
            return Ok(build);
        }
        // The semaphore is never closed, so that a failure would only mean no limit.
        let _place = self.build_places.acquire().await;
        tokio::time::timeout(limit, self.builds.build(package))
            .await
            .unwrap_or(Err(BuildError::Timeout { package_id, limit }))
    }

    /// The lock of a package; it lives as long as somebody holds it.
    fn gate(&self, package_id: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut gates = self.gates.lock();
        gates.retain(|_, gate| gate.strong_count() > 0);
        match gates.get(package_id).and_then(Weak::upgrade) {
            Some(gate) => gate,
            None => {
                let gate = Arc::default();
                gates.insert(package_id.to_owned(), Arc::downgrade(&gate));
                gate
            }
        }
    }

    async fn stream_for(self: &Arc<Self>, package_id: &str) -> Result<Arc<Stream>, ExecuteError> {
        let launched = self.stream(package_id).await;
        launched.map_err(|source| ExecuteError::Launch { package_id: package_id.to_owned(), source })
    }

    /// The chaincode's stream. Joins a launch that is under way, or begins one.
    async fn stream(self: &Arc<Self>, package_id: &str) -> Result<Arc<Stream>, Arc<LaunchError>> {
        let launch = {
            let mut slots = self.slots.lock();
            match slots.get(package_id) {
                Some(Slot::Live(stream)) if stream.is_open() => return Ok(Arc::clone(stream)),
                Some(Slot::Launching(launch)) if launch.peek().is_none() => launch.clone(),
                _ if self.stopping.is_cancelled() => return Err(Arc::new(LaunchError::ShuttingDown)),
                _ if !self.is_installed(package_id) => {
                    return Err(Arc::new(LaunchError::NotInstalled(selvedge_tls::escape(package_id))));
                }
                _ => {
                    let launch = self.begin_launch(package_id.to_owned());
                    slots.insert(package_id.to_owned(), Slot::Launching(launch.clone()));
                    launch
                }
            }
        };
        launch.await
    }

    /// Launches in a task of its own, which no caller can cancel by going away.
    fn begin_launch(self: &Arc<Self>, package_id: String) -> Joined {
        let inner = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let launched = tokio::select! {
                launched = inner.launch(&package_id) => launched,
                () = inner.stopping.cancelled() => Err(LaunchError::ShuttingDown),
            };
            let mut slots = inner.slots.lock();
            match launched {
                Ok(launched) => {
                    let stream = Arc::clone(&launched.stream);
                    slots.insert(package_id.clone(), Slot::Live(Arc::clone(&stream)));
                    inner.tasks.spawn(read(Arc::downgrade(&inner), package_id, launched));
                    Ok(stream)
                }
                Err(error) => {
                    slots.remove(&package_id);
                    Err(Arc::new(error))
                }
            }
        });
        let broken = |error: tokio::task::JoinError| Arc::new(LaunchError::Broken(error.to_string()));
        async move { task.await.unwrap_or_else(|error| Err(broken(error))) }.boxed().shared()
    }

    async fn launch(&self, package_id: &str) -> Result<Launched, LaunchError> {
        let launch = Launch::new(&self.config, package_id);
        if let Some(opened) = self.attached.open(package_id) {
            return launch.begin_attached(opened, self.stopping.child_token()).await;
        }
        let build = launch.within("building it", self.build_installed(package_id)).await?;
        let build = build.map_err(|error| LaunchError::Build(Box::new(error)))?;
        let Some(server) = build.server()? else { return self.run(&launch, package_id, build).await };
        tracing::debug!(package_id, address = %server.address, "connecting to chaincode");
        let launched = launch.connect(&server, self.stopping.child_token()).await?;
        tracing::info!(package_id, address = %server.address, "chaincode is ready");
        Ok(launched)
    }

    /// Has the builder run the chaincode, and waits until it has registered.
    async fn run(
        &self,
        launch: &Launch<'_>,
        package_id: &str,
        build: Build,
    ) -> Result<Launched, LaunchError> {
        let runner = self.builds.runner(&build).await?;
        let builder = build.builder().to_owned();
        let peer = self.config.launching.clone().ok_or(LaunchError::NoListener { builder })?;
        let place = Arc::clone(&self.processes).acquire_owned();
        let place = launch.within("a place for its process", place).await?;
        let (id, temp_dir, queued) =
            (package_id.to_owned(), self.config.temp_dir.clone(), self.config.limits.queued_messages.max(2));
        let prepared = blocking(move || {
            let expected = peer.registrar.expect(&id, queued);
            let expected = expected.map_err(|error| LaunchError::Registrar(Box::new(error)))?;
            let metadata = running::run_metadata(&temp_dir, &id, &peer, &expected)?;
            Ok::<_, LaunchError>((expected, metadata))
        });
        let (expected, metadata) = prepared.await.map_err(LaunchError::Build)??;
        let builds = Arc::clone(&self.builds);
        tracing::info!(package_id, builder = build.builder(), "the builder runs the chaincode");
        let id = package_id.to_owned();
        let running = Running::new(|stop, tell| {
            self.tasks.spawn(async move {
                let _place = place;
                let ended = builds.run_build(&build, &runner, metadata.path(), stop.cancelled()).await;
                if let Err(error) = &ended {
                    tracing::warn!(package_id = id, %error, "the chaincode's process has ended");
                }
                // For whoever still waits for the registration.
                let _ = tell.send(ended);
                // A folder that cannot be removed has been logged, or the runtime is ending.
                let _ = blocking(move || drop(metadata)).await;
            });
        });
        let launched = launch.begin_run(expected, running, self.stopping.child_token()).await?;
        tracing::info!(package_id, "chaincode is ready");
        Ok(launched)
    }

    /// Whether a build can be launched as it is.
    async fn check(&self, build: &Build) -> Result<(), LaunchError> {
        if build.server()?.is_some() {
            return Ok(());
        }
        self.builds.runner(build).await?;
        let builder = build.builder().to_owned();
        self.config.launching.as_ref().map(drop).ok_or(LaunchError::NoListener { builder })
    }

    /// The kept build of an installed package, built anew if it is gone.
    async fn build_installed(&self, package_id: &str) -> Result<Build, BuildError> {
        let gate = self.gate(package_id);
        let _held = gate.lock().await;
        if let Some(build) = self.builds.kept(package_id)? {
            return Ok(build);
        }
        let gone = || selvedge_package::PackageError::Id(package_id.to_owned());
        let (store, id) = (Arc::clone(&self.store), package_id.to_owned());
        let package = blocking(move || store.package(&id)).await.map_err(|error| *error)?;
        let package = package.unwrap_or_else(|| Err(gone())).map_err(BuildError::Package)?;
        self.build_within(&package, self.config.startup_timeout).await
    }
}

/// Does work with package files, which may take long, on a thread where it delays nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Box<BuildError>> {
    tokio::task::spawn_blocking(work).await.map_err(|error| broken_build(&error))
}

fn broken_build(error: &tokio::task::JoinError) -> Box<BuildError> {
    Box::new(BuildError::Broken(error.to_string()))
}

/// Reads a stream to its end and forgets it.
async fn read(inner: Weak<Inner>, package_id: String, launched: Launched) {
    let Launched { stream, incoming, held } = launched;
    let end = stream.read(incoming, held).await;
    match &end {
        stream::End::Closed | stream::End::Peer => {
            tracing::info!(package_id, "chaincode stream ended: {end}")
        }
        _ => tracing::warn!(package_id, "chaincode stream ended: {end}"),
    }
    let Some(inner) = inner.upgrade() else { return };
    let mut slots = inner.slots.lock();
    if matches!(slots.get(&package_id), Some(Slot::Live(live)) if Arc::ptr_eq(live, &stream)) {
        slots.remove(&package_id);
    }
}
