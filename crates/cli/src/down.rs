//! `selvedge down`: stops a network that `selvedge up` runs.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_network::Holder;
use serde_json::{Value, json};

use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::up::arguments::DownArguments;

/// How long the process may take to end: more than it allows itself.
const ENDING: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(20);

pub(crate) async fn run(arguments: &DownArguments) -> Result<Answer, Failure> {
    let folder = arguments.place.folder()?;
    let told = |text: &str, document: Value| {
        let text = if arguments.json { output::document(&document) } else { text.to_owned() };
        output::result(&text).map_err(|error| errors::output(&error))
    };
    let holder = || Holder::of(&folder).map_err(|error| errors::network(&error));
    let Some(Holder { pid, since }) = holder()? else {
        let why = format!("nobody runs a network in {}", folder.display());
        told(&format!("not running: {why}"), json!({ "stopped": false, "reason": why }))?;
        return Ok(Answer::Negative);
    };
    terminate(pid)?;
    let asked = Instant::now();
    while holder()?.is_some_and(|holder| holder.pid == pid && holder.since == since) {
        if asked.elapsed() > ENDING {
            return Err(Failure::new(catalogue::NETWORK_STUCK, format!("process {pid} has not ended"))
                .evidence(format!("it was asked to, {} s ago", ENDING.as_secs()))
                .fix(format!("end it with kill -9 {pid}; what was committed is kept")));
        }
        tokio::time::sleep(PAUSE).await;
    }
    told(
        &format!("stopped: process {pid}, which had run since {since}"),
        json!({ "stopped": true, "pid": pid, "since": since }),
    )?;
    Ok(Answer::Done)
}

/// Asks the process to end. It is the one that holds the folder: its lock ends with it.
fn terminate(pid: u32) -> Result<(), Failure> {
    // Lower numbers would mean whole groups, or the system's first process.
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1);
    let pid = pid.ok_or_else(|| {
        Failure::new(catalogue::NETWORK_STUCK, "the folder's lock names no process that could be stopped")
    })?;
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| {
        errors::text(catalogue::NETWORK_STUCK, format!("process {pid} cannot be asked to stop"), &error)
    })
}
