//! How long it takes from nothing to the first committed transaction: `selvedge up --sample`, which measures itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::command;
use crate::error::Error;
use crate::interop::{Process, build_selvedge, selvedge};
use crate::workspace::{self, Workspace};

const ROUNDS: usize = 5;

/// Generous: it only ends what hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A line of what `selvedge up --json` tells.
#[derive(Deserialize)]
struct Line {
    ready: Option<Value>,
    sample: Option<Value>,
    milliseconds: u64,
}

/// Prints the times, on an empty folder and in memory. They decide nothing: a busy machine is no defect.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    build_selvedge(workspace)?;
    for on_disk in [true, false] {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            times.push(first_transaction(workspace, on_disk)?);
        }
        times.sort_unstable();
        let place = if on_disk { "an empty folder" } else { "memory" };
        println!("first committed transaction on {place}: {times:?} ms after start");
    }
    Ok(())
}

fn first_transaction(workspace: &Workspace, on_disk: bool) -> Result<u64, Error> {
    let scratch = workspace.fresh_folder("first")?;
    let log = scratch.join("log");
    let mut up = Command::new(selvedge(workspace));
    up.args(["up", "--sample", "--json", "--port", "0"]);
    if on_disk {
        up.arg("--dir").arg(scratch.join("network"));
    }
    let mut process = Process::start("selvedge up", &mut up, &log)?;
    process.wait_until("first transaction", LIMIT, || told(&log).iter().any(|line| line.sample.is_some()))?;
    let lines = told(&log);
    let field = |value: Option<&Value>, name: &str| value.and_then(|value| value.get(name)).cloned();
    let (ready, sample) =
        (find(&lines, |line| line.ready.as_ref()), find(&lines, |line| line.sample.as_ref()));
    let folder = field(ready, "folder").and_then(|folder| folder.as_str().map(str::to_owned));
    let committed = field(sample, "first").is_some_and(|first| first.is_object());
    let (Some(folder), true) = (folder, committed) else {
        return Err(process.error("it committed nothing, or has no folder".to_owned()));
    };
    command::output(Command::new(selvedge(workspace)).args(["down", "--dir", &folder]))?;
    process.finish()?;
    let took = lines.iter().filter(|line| line.sample.is_some()).map(|line| line.milliseconds).max();
    Ok(took.unwrap_or_default())
}

fn find<'a>(lines: &'a [Line], part: impl Fn(&'a Line) -> Option<&'a Value>) -> Option<&'a Value> {
    lines.iter().find_map(part)
}

/// What has been told so far. A line that is still being written is not there yet.
fn told(log: &Path) -> Vec<Line> {
    let text = workspace::read(log).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
