//! A listener's TLS configuration, made anew whenever its files change.
//!
//! The folders of the files are watched, and the folders that symbolic links on the way to them lead to: Kubernetes
//! renews a mounted secret by turning the link `..data` to a new folder. Watching misses changes on some file systems,
//! so that the files are also read from time to time. Only what they hold counts: if it is the same, nothing happens.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::Digest;
use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::files::Contents;
use crate::{ConfigError, SecuritySwitch, ServerFiles, ServerTls};

/// How often the files are read although nobody told of a change.
const READ_ANYWAY: Duration = Duration::from_secs(30);

/// Files are often written one after the other: so long nothing may have changed before they are read, but they are
/// read after [`SETTLED_BY`] in any case.
const SETTLED: Duration = Duration::from_millis(100);
const SETTLED_BY: Duration = Duration::from_secs(2);

/// What became of changes so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloads {
    /// How often the files had changed and the new configuration was taken.
    pub taken: u64,
    /// How often they had changed and could not be used, so that the old configuration was kept.
    pub refused: u64,
    /// Why they could not be used the last time they changed; `None` if they could.
    pub failure: Option<ConfigError>,
}

/// Keeps a listener's security as its files say. Dropping it ends that.
#[derive(Debug)]
pub struct Reloading {
    reloads: watch::Receiver<Reloads>,
    task: JoinHandle<()>,
}

impl Reloading {
    /// Tells of every change.
    #[must_use]
    pub fn reloads(&self) -> watch::Receiver<Reloads> {
        self.reloads.clone()
    }
}

impl Drop for Reloading {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A configuration and the files that it was made of.
#[derive(Debug)]
pub struct Loaded {
    tls: ServerTls,
    digest: Digest,
    files: ServerFiles,
}

impl Loaded {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// As [`ServerFiles::load`].
    pub fn read(files: ServerFiles) -> Result<Self, ConfigError> {
        let contents = files.read()?;
        let digest = contents.digest();
        Ok(Self { tls: contents.build(&files)?, digest, files })
    }

    /// The configuration, for the listener to begin with.
    #[must_use]
    pub fn tls(&self) -> &ServerTls {
        &self.tls
    }

    /// From now on the listener's security is what the files say. What cannot be used is reported in the log and by
    /// [`Reloading::reloads`], and the listener keeps what it has.
    #[must_use]
    pub fn keep(self, switch: SecuritySwitch) -> Reloading {
        let (sender, reloads) = watch::channel(Reloads::default());
        let keeper = Keeper { files: self.files, last: Some(self.digest), switch, reloads: sender };
        Reloading { reloads, task: tokio::spawn(keeper.run()) }
    }
}

struct Keeper {
    files: ServerFiles,
    /// Of the contents that were tried last; `None` when the files could not even be read.
    last: Option<Digest>,
    switch: SecuritySwitch,
    reloads: watch::Sender<Reloads>,
}

impl Keeper {
    async fn run(mut self) {
        let changed = Arc::new(Notify::new());
        let mut watched = Folders::new(Arc::clone(&changed));
        loop {
            let paths = self.files.paths().into_iter().map(Path::to_owned).collect();
            watched = watched.watch(paths).await;
            // After the folders were looked at, so that no change falls between the two.
            self.look().await;
            tokio::select! {
                () = changed.notified() => settle(&changed).await,
                () = sleep(READ_ANYWAY) => {}
            }
        }
    }

    /// Reads the files and takes what they say, if it is new.
    async fn look(&mut self) {
        let (files, last) = (self.files.clone(), self.last);
        let read = move || match files.read() {
            Ok(contents) => make(contents, &files, last),
            Err(error) => Found::Unusable(error.into(), None),
        };
        // Only a runtime that ends keeps it from ending.
        let Ok(found) = tokio::task::spawn_blocking(read).await else { return };
        match found {
            Found::Same => {}
            Found::New(tls, digest) => {
                self.last = Some(digest);
                let certificate = tls.identity().certificate();
                tracing::info!(subject = certificate.subject, not_after = %certificate.not_after,
                    "the TLS configuration was read again from its files");
                self.switch.replace(*tls);
                self.reloads.send_modify(|reloads| {
                    reloads.taken += 1;
                    reloads.failure = None;
                });
            }
            Found::Unusable(error, digest) => {
                self.last = digest;
                // A file that stays away is told of once.
                if self.reloads.borrow().failure.as_ref() != Some(&error) {
                    tracing::error!(%error, "the changed TLS configuration cannot be used; the old one is kept");
                    self.reloads.send_modify(|reloads| {
                        reloads.refused += 1;
                        reloads.failure = Some(error);
                    });
                }
            }
        }
    }
}

/// What the files say.
enum Found {
    Same,
    New(Box<ServerTls>, Digest),
    Unusable(ConfigError, Option<Digest>),
}

fn make(contents: Contents, files: &ServerFiles, last: Option<Digest>) -> Found {
    let digest = contents.digest();
    if last.is_some_and(|last| last.as_ref() == digest.as_ref()) {
        return Found::Same;
    }
    match contents.build(files) {
        Ok(tls) => Found::New(Box::new(tls), digest),
        Err(error) => Found::Unusable(error, Some(digest)),
    }
}

/// Waits until nothing has changed for a while.
async fn settle(changed: &Notify) {
    let quiet = async { while timeout(SETTLED, changed.notified()).await.is_ok() {} };
    // Files that change all the time are read all the same.
    let _ = timeout(SETTLED_BY, quiet).await;
}

/// The folders that are watched.
struct Folders {
    changed: Arc<Notify>,
    watched: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
}

impl Folders {
    fn new(changed: Arc<Notify>) -> Self {
        Self { changed, watched: BTreeSet::new(), watcher: None }
    }

    /// Watches the folders of these files, which may be others than before.
    async fn watch(self, paths: Vec<PathBuf>) -> Self {
        let changed = Arc::clone(&self.changed);
        let watch = move || {
            let folders = paths.iter().flat_map(|path| folders(path)).collect();
            if self.watcher.is_some() && folders == self.watched {
                return self;
            }
            match watcher(Arc::clone(&self.changed), &folders) {
                Ok(watcher) => Self { watched: folders, watcher: Some(watcher), ..self },
                Err(error) => {
                    tracing::warn!(%error, "the files of the TLS configuration cannot be watched; they are read every 30 s");
                    Self { watched: BTreeSet::new(), watcher: None, ..self }
                }
            }
        };
        tokio::task::spawn_blocking(watch).await.unwrap_or_else(|_| Self::new(changed))
    }
}

fn watcher(changed: Arc<Notify>, folders: &BTreeSet<PathBuf>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
        // Reading the files is an event too, and must not lead to reading them.
        let is_change = match event {
            Ok(Event { kind: EventKind::Access(AccessKind::Close(AccessMode::Write)), .. }) => true,
            Ok(event) => !event.kind.is_access(),
            Err(_) => true,
        };
        if is_change {
            changed.notify_one();
        }
    })?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// The folders whose changes may change what is found under a path: its own, and those that links lead to.
fn folders(path: &Path) -> Vec<PathBuf> {
    /// Linux follows no more either.
    const LINKS: usize = 40;
    let mut found = Vec::new();
    let mut path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for _ in 0..LINKS {
        let Some(link) = first_link(&path) else { break };
        let (at, target, rest) = link;
        let folder = at.parent().unwrap_or(Path::new("/"));
        found.push(folder.to_owned());
        path = folder.join(target).join(rest);
    }
    found.extend(path.parent().map(Path::to_owned));
    found.retain(|folder| folder.is_dir());
    found
}

/// The first symbolic link on a path, what it says, and what follows it.
fn first_link(path: &Path) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let mut at = PathBuf::new();
    let mut components = path.components();
    while let Some(component) = components.next() {
        at.push(component);
        if let Ok(target) = std::fs::read_link(&at) {
            return Some((at, target, components.as_path().to_owned()));
        }
    }
    None
}
