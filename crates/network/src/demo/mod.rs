//! The demonstration: the whole story of chaincode at the edge, step by step, each with its proof.
//!
//! A network is started, a chaincode server's certificate made, its connection packaged, installed, approved and
//! committed; the chaincode runs in a process of its own under mutual TLS; its transactions are run; and strangers
//! of several kinds are shown to be refused, with what both ends saw of it.

mod error;
mod step;
mod story;
mod strangers;
mod transactions;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use self::error::DemoError;
pub use self::step::{Fact, Progress, Refusal, Report, Seen, Step};
use self::step::{Recorder, Told, milliseconds};
use self::story::Story;

/// What is demonstrated with.
#[derive(Clone, Debug)]
pub struct DemoConfig {
    /// The program that serves the sample: started with `sample asset-transfer-basic --json --stop-with-stdin`, it
    /// takes its place from the environment variables of Fabric's samples and prints
    /// [`ServerEvent`](crate::sample::ServerEvent)s.
    pub program: PathBuf,
    /// The folder that stays, which must be empty or not exist; `None` for a temporary one that is removed.
    pub keep: Option<PathBuf>,
    /// How many organisations the network has.
    pub organizations: usize,
}

/// Runs the demonstration. When `stop` completes before it is over, it ends there; processes, ports and the
/// temporary folder go away in any case.
pub async fn run(
    config: &DemoConfig,
    watcher: &mut (dyn FnMut(Progress<'_>) + Send),
    stop: impl Future<Output = ()> + Send,
) -> Report {
    let started = Instant::now();
    let mut recorder = Recorder::new(watcher);
    let mut done = false;
    let mut interrupted = false;
    let folder = recorder.step("folder", "Make the network's folder", Folder::open(config)).await;
    if let Some(folder) = &folder {
        let mut story = Story::default();
        tokio::select! {
            () = stop => interrupted = true,
            played = story.play(&mut recorder, config, folder.path()) => done = played,
        }
        done &= recorder.step("stop", "Stop the chaincode and the network", story.end()).await.is_some();
    }
    let kept = match folder {
        None => None,
        Some(folder) => match recorder.step("clean-up", "Leave nothing behind", folder.close()).await {
            Some(kept) => kept,
            None => {
                done = false;
                None
            }
        },
    };
    let milliseconds = milliseconds(started.elapsed());
    let steps = recorder.into_steps();
    Report { ok: done && !interrupted, milliseconds, interrupted, folder: kept, steps }
}

/// Where the network lives.
enum Folder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Folder {
    async fn open(config: &DemoConfig) -> Result<(Self, Told), DemoError> {
        let Some(path) = &config.keep else {
            let folder = tempfile::Builder::new().prefix("selvedge-demo-").tempdir();
            let folder = folder.map_err(DemoError::io("create a folder in", std::env::temp_dir()))?;
            let told = Told::default().fact("temporary", folder.path().display().to_string());
            return Ok((Self::Temporary(folder), told));
        };
        fs::create_dir_all(path).map_err(DemoError::io("create", path))?;
        let path = path.canonicalize().map_err(DemoError::io("find", path))?;
        if fs::read_dir(&path).map_err(DemoError::io("read", &path))?.next().is_some() {
            return Err(DemoError::NotEmpty(path));
        }
        let told = Told::default().fact("kept", path.display().to_string());
        Ok((Self::Kept(path), told))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    async fn close(self) -> Result<(Option<PathBuf>, Told), DemoError> {
        match self {
            Self::Kept(path) => {
                let told = Told::default().fact("kept", path.display().to_string());
                Ok((Some(path), told))
            }
            Self::Temporary(folder) => {
                let path = folder.path().to_owned();
                folder.close().map_err(DemoError::io("remove", &path))?;
                Ok((None, Told::default().fact("removed", path.display().to_string())))
            }
        }
    }
}
