//! `selvedge up`: a network in this process, until it is asked to stop.

pub(crate) mod arguments;
mod banner;

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use selvedge_network::{Description, Keeping, Network, NetworkConfig, NetworkError, Ports};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::arguments::UpArguments;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::signals;

/// How long the network may take to end. Nothing that was committed is lost when it takes longer.
const ENDING: Duration = Duration::from_secs(10);

type Starting = JoinHandle<Result<Network, NetworkError>>;

pub(crate) async fn run(arguments: &UpArguments) -> Result<Answer, Failure> {
    let began = Instant::now();
    let mut stop = pin!(signals::stop()?);
    let folder = Folder::open(arguments.dir.as_deref())?;
    let config = config(arguments, &folder)?;
    let mut starting: Starting = tokio::spawn(Network::start(config));
    let started = tokio::select! {
        started = &mut starting => started,
        () = &mut stop => return stopped_early(starting, folder).await,
    };
    let started = started.map_err(|error| Failure::new("the network broke off").chain(&error))?;
    let mut network = started.map_err(|error| failure(&error))?;
    let told = tell(&mut network, arguments, began);
    if told.is_ok() {
        stop.await;
    }
    let ended = end(network, folder).await;
    told.and(ended)?;
    output::tell("stopped");
    Ok(Answer::Done)
}

/// What a person is told about an error of a network.
pub(crate) fn failure(error: &NetworkError) -> Failure {
    match error {
        NetworkError::Held { folder, holder } => {
            let folder = folder.display();
            let who = match holder {
                Some(holder) => format!("process {} has run it since {}", holder.pid, holder.since),
                None => "the process does not say which it is".to_owned(),
            };
            Failure::new(format!("another process runs the network in {folder}")).evidence(who).fix(format!(
                "look at it with selvedge status --dir {folder}, stop it with selvedge down --dir {folder}, or give \
                 another --dir"
            ))
        }
        NetworkError::Port { name, port, .. } => Failure::new(format!("{name} cannot have port {port}"))
            .chain(error)
            .fix("stop what listens there, or give --port 0 for any free ports, or --port with another first port"),
        NetworkError::OtherOrganizations { found, .. } => {
            Failure::new("the folder's network has other organisations").chain(error).fix(format!(
                "give --orgs {}, or another --dir: organisations cannot be added to a channel or taken from it",
                found.len()
            ))
        }
        error => Failure::new("the network failed").chain(error),
    }
}

/// Says that the network is ready, and how to use it.
fn tell(network: &mut Network, arguments: &UpArguments, began: Instant) -> Result<(), Failure> {
    let description = network.announce().map_err(|error| failure(&error))?;
    if let Some(file) = &arguments.config_out {
        description
            .write_file(file)
            .map_err(|error| Failure::new("the network's description cannot be written").chain(&error))?;
    }
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if arguments.json {
        let line = serde_json::json!({ "ready": description, "milliseconds": milliseconds });
        return output::result(&line.to_string())
            .map_err(|error| Failure::new("standard output cannot be written to").chain(&error));
    }
    output::tell(&banner::render(&description, milliseconds, output::width()));
    Ok(())
}

fn config(arguments: &UpArguments, folder: &Folder) -> Result<NetworkConfig, Failure> {
    let before = Description::read(folder.path()).map_err(|error| failure(&error))?;
    let before = before.as_ref();
    let organizations = arguments.orgs.map(usize::from).or(before.map(|it| it.organizations.len()));
    let peers = before.and_then(|it| it.organizations.first()).map(|it| it.peers.len());
    let peers = arguments.peers.map(usize::from).or(peers).unwrap_or(1);
    let mut config = NetworkConfig::test_network(folder.path(), organizations.unwrap_or(1));
    for organization in &mut config.organizations {
        organization.peers = peers;
    }
    if let Some(before) = before {
        config.channels.clone_from(&before.channels);
    }
    if !arguments.channels.is_empty() {
        config.channels.clone_from(&arguments.channels);
        config.channels.sort();
        config.channels.dedup();
    }
    config.keeping = folder.keeping();
    config.ports = if arguments.port == 0 { Ports::Free } else { Ports::From(arguments.port) };
    config.cutting = arguments.cutting;
    Ok(config)
}

/// Ends a network that is still starting. What is half done cannot be ended before it is done.
async fn stopped_early(starting: Starting, folder: Folder) -> Result<Answer, Failure> {
    if let Ok(Ok(Ok(network))) = timeout(ENDING, starting).await {
        end(network, folder).await?;
    }
    Err(Failure::new("the network was stopped before it was ready")
        .evidence("a signal asked for it, as Ctrl-C sends it"))
}

/// Ends the network and removes what shall not stay, unless it takes too long or is asked for again.
async fn end(network: Network, folder: Folder) -> Result<(), Failure> {
    let again = signals::stop()?;
    output::tell("stopping; once more to stop at once");
    let kept = "what was committed is kept, if the network has a folder";
    tokio::select! {
        ended = timeout(ENDING, network.shutdown()) => ended.map_err(|_| {
            Failure::new(format!("the network did not end within {} s", ENDING.as_secs())).evidence(kept)
        })?,
        () = again => return Err(Failure::new("the network was stopped at once").evidence(kept)),
    }
    folder.close()
}

/// Where the network lives.
enum Folder {
    Kept(PathBuf),
    Temporary(TempDir),
}

impl Folder {
    fn open(dir: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = dir else {
            let folder = tempfile::Builder::new().prefix("selvedge-").tempdir();
            let what = format!("no folder can be made in {}", std::env::temp_dir().display());
            return folder.map(Self::Temporary).map_err(|error| Failure::new(what).chain(&error));
        };
        let unusable = |error| Failure::new(format!("{} cannot be used", dir.display())).chain(&error);
        fs::create_dir_all(dir).map_err(unusable)?;
        let dir = dir.canonicalize().map_err(unusable)?;
        let empty = fs::read_dir(&dir).map_err(unusable)?.next().is_none();
        // Every network has one from its first moment on.
        if !empty && !dir.join("lock").exists() {
            return Err(Failure::new(format!("{} holds something else than a network", dir.display()))
                .fix("give a folder that is empty or does not exist, or one that selvedge up has made"));
        }
        Ok(Self::Kept(dir))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    fn keeping(&self) -> Keeping {
        match self {
            Self::Kept(_) => Keeping::Disk,
            Self::Temporary(_) => Keeping::Memory,
        }
    }

    fn close(self) -> Result<(), Failure> {
        let Self::Temporary(folder) = self else { return Ok(()) };
        let path = folder.path().to_owned();
        folder
            .close()
            .map_err(|error| Failure::new(format!("{} cannot be removed", path.display())).chain(&error))
    }
}
