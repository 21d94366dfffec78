//! `selvedge status`: how a network is that `selvedge up` runs.

use selvedge_network::{Description, NetworkError, PeerStatus, Status};

use crate::failure::Failure;
use crate::output::{self, Answer, BAD, FAINT, GOOD, STRONG, wrapped};
use crate::up::arguments::{Place, StatusArguments};
use crate::up::failure;

pub(crate) async fn run(arguments: &StatusArguments) -> Result<Answer, Failure> {
    let folder = arguments.place.folder()?;
    let (status, why) = match Status::of(&folder).await {
        Ok(status) => (status, format!("nobody runs a network in {}", folder.display())),
        Err(error @ NetworkError::NotReady { .. }) => (None, error.to_string()),
        Err(error) => return Err(failure(&error)),
    };
    let good = status.as_ref().is_some_and(|status| status.peers.iter().all(|peer| peer.problem.is_none()));
    let text = match (&status, arguments.json) {
        (Some(status), true) => serde_json::json!({ "running": true, "network": status }).to_string(),
        (None, true) => serde_json::json!({ "running": false, "reason": why }).to_string(),
        (Some(status), false) => render(status, output::width()),
        (None, false) => wrapped(&format!("{BAD}not running{BAD:#}: {why}"), "", "  ", output::width()),
    };
    output::result(&text)
        .map_err(|error| Failure::new("standard output cannot be written to").chain(&error))?;
    Ok(if good { Answer::Done } else { Answer::Negative })
}

impl Place {
    /// The folder of the network that is meant.
    pub(crate) fn folder(&self) -> Result<std::path::PathBuf, Failure> {
        match &self.config {
            Some(file) => Ok(Description::read_file(file).map_err(|error| failure(&error))?.folder),
            None => Ok(self.dir.clone()),
        }
    }
}

fn render(status: &Status, width: usize) -> String {
    let Status { folder, process, orderer, peers } = status;
    let mut lines = vec![
        format!("{GOOD}running{GOOD:#} as process {} since {}", process.pid, process.since),
        format!("{FAINT}folder{FAINT:#}  {}", folder.display()),
        format!("{STRONG}{}{STRONG:#}  {}", orderer.name, orderer.address),
    ];
    for PeerStatus { node, heights, installed, committed, problem } in peers {
        lines.push(format!("{STRONG}{}{STRONG:#}  {}", node.name, node.address));
        for (channel, height) in heights {
            let blocks = if *height == 1 { "block" } else { "blocks" };
            let chaincodes: Vec<String> = committed.get(channel).map_or_else(Vec::new, |chaincodes| {
                let told = chaincodes.iter();
                told.map(|it| format!("{} {} (sequence {})", it.name, it.version, it.sequence)).collect()
            });
            let chaincodes =
                if chaincodes.is_empty() { "no chaincode".to_owned() } else { chaincodes.join(", ") };
            lines.push(wrapped(&format!("{channel}: {height} {blocks}, {chaincodes}"), "  ", "    ", width));
        }
        lines.extend(installed.iter().map(|id| format!("  {FAINT}installed{FAINT:#} {id}")));
        if let Some(problem) = problem {
            lines.push(wrapped(&format!("{BAD}does not answer{BAD:#}: {problem}"), "  ", "    ", width));
        }
    }
    lines.join("\n")
}
