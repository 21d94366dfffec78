//! `selvedge up`: a network in this process, until it is asked to stop.

pub(crate) mod arguments;
mod banner;
mod folder;
mod running;

use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use selvedge_network::sample::Sample;
use selvedge_network::{Description, Network, NetworkConfig, NetworkError, Ports};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::arguments::UpArguments;
use self::folder::Folder;
use self::running::Running;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::progress::Progress;
use crate::signals;

/// How long the network may take to end. Nothing that was committed is lost when it takes longer.
const ENDING: Duration = Duration::from_secs(10);

type Starting = JoinHandle<Result<Network, NetworkError>>;

pub(crate) async fn run(arguments: &UpArguments) -> Result<Answer, Failure> {
    let began = Instant::now();
    let mut stop = pin!(signals::stop()?);
    let program = program()?;
    let folder = Folder::open(arguments.dir.as_deref())?;
    let config = config(arguments, &folder)?;
    let progress = Progress::start("Starting the network");
    let mut starting: Starting = tokio::spawn(Network::start(config));
    let started = tokio::select! {
        started = &mut starting => started,
        () = &mut stop => return stopped_early(starting, folder).await,
    };
    let started = started.map_err(|error| errors::machine("the network broke off", &error))?;
    let network = started.map_err(|error| errors::network(&error))?;
    let mut running = Running { network, sample: None };
    let told = prepare(&mut running, arguments, &program, began, progress, stop.as_mut()).await;
    if let Ok(true) = told {
        running.until(stop).await;
    }
    let ended = end(running, folder).await;
    if !told? {
        return Err(stopped());
    }
    ended?;
    output::tell("stopped");
    Ok(Answer::Done)
}

/// Makes the network ready and says so. `false` says that it was asked to stop before.
async fn prepare(
    running: &mut Running,
    arguments: &UpArguments,
    program: &Path,
    began: Instant,
    progress: Progress,
    stop: Pin<&mut (dyn Future<Output = ()> + Send)>,
) -> Result<bool, Failure> {
    let description = running.network.announce().map_err(|error| errors::network(&error))?;
    if let Some(file) = &arguments.config_out {
        description.write_file(file).map_err(|error| errors::network(&error))?;
    }
    let ready = milliseconds(began);
    let line =
        |document| output::result(&output::document_line(&document)).map_err(|error| errors::output(&error));
    if arguments.json {
        line(json!({ "ready": description, "milliseconds": ready }))?;
    }
    let mut first = None;
    if arguments.sample.is_some() {
        let told = |text: &str| progress.set(text);
        let started = tokio::select! {
            started = Sample::start(&running.network, program, &told) => started,
            () = stop => return Ok(false),
        };
        let sample = running.sample.insert(started.map_err(|error| errors::sample(&error))?);
        first = Some(milliseconds(began));
        if arguments.json {
            line(json!({ "sample": sample.facts(), "milliseconds": first }))?;
        }
    }
    drop(progress);
    if !arguments.json {
        let facts = running.sample.as_ref().map(Sample::facts);
        let times = banner::Times { ready, first };
        output::tell(&banner::render(&description, &running.network, facts, times, output::width()));
    }
    Ok(true)
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// This program, which is started again as the sample.
fn program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| errors::machine("the command does not find its own program", &error))
}

fn config(arguments: &UpArguments, folder: &Folder) -> Result<NetworkConfig, Failure> {
    let before = Description::read(folder.path()).map_err(|error| errors::network(&error))?;
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
        end(Running { network, sample: None }, folder).await?;
    }
    Err(stopped())
}

fn stopped() -> Failure {
    Failure::new(catalogue::STOPPED, "the network was stopped before it was ready")
        .evidence("a signal asked for it, as Ctrl-C sends it")
}

/// Ends the network and removes what shall not stay, unless it takes too long or is asked for again.
async fn end(running: Running, folder: Folder) -> Result<(), Failure> {
    let again = signals::stop()?;
    output::tell("stopping; once more to stop at once");
    let kept = "what was committed is kept, if the network has a folder";
    tokio::select! {
        ended = timeout(ENDING, running.end()) => ended.map_err(|_| {
            let what = format!("the network did not end within {} s", ENDING.as_secs());
            Failure::new(catalogue::STOPPED, what).evidence(kept)
        })?,
        () = again => {
            return Err(Failure::new(catalogue::STOPPED, "the network was stopped at once").evidence(kept));
        }
    }
    folder.close()
}
