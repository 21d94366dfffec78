//! `selvedge status`: how a network is that `selvedge up` runs.

use selvedge_network::{NetworkError, PeerStatus, Status};
use serde_json::json;

use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer, BAD, FAINT, GOOD, STRONG, safe, wrapped};
use crate::up::arguments::StatusArguments;

pub(crate) async fn run(arguments: &StatusArguments) -> Result<Answer, Failure> {
    let folder = arguments.place.folder()?;
    let (status, why) = match Status::of(&folder).await {
        Ok(status) => (status, format!("nobody runs a network in {}", folder.display())),
        Err(error @ NetworkError::NotReady { .. }) => (None, error.to_string()),
        Err(error) => return Err(errors::network(&error)),
    };
    let good = status.as_ref().is_some_and(|status| status.peers.iter().all(|peer| peer.problem.is_none()));
    let text = match (&status, arguments.json) {
        (Some(status), true) => output::document(&json!({ "running": true, "network": status })),
        (None, true) => output::document(&json!({ "running": false, "reason": why })),
        (Some(status), false) => render(status, output::width()),
        (None, false) => wrapped(&format!("{BAD}not running{BAD:#}: {why}"), "", "  ", output::width()),
    };
    output::result(&text).map_err(|error| errors::output(&error))?;
    Ok(if good { Answer::Done } else { Answer::Negative })
}

fn render(status: &Status, width: usize) -> String {
    let Status { folder, process, orderer, cutting, waiting, peers } = status;
    let mut lines = vec![
        format!("{GOOD}running{GOOD:#} as process {} since {}", process.pid, process.since),
        format!("{FAINT}folder{FAINT:#}  {}", folder.display()),
        format!("{STRONG}{}{STRONG:#}  {}", orderer.name, orderer.address),
    ];
    if cutting == "manual" {
        lines.push("  blocks are closed by hand, by selvedge cut".to_owned());
    }
    for (channel, count) in waiting.iter().filter(|(_, count)| **count > 0) {
        let wait = if *count == 1 { "transaction waits" } else { "transactions wait" };
        lines.push(format!("  {channel}: {count} {wait} for a block to be closed"));
    }
    for PeerStatus { node, heights, installed, committed, problem } in peers {
        lines.push(format!("{STRONG}{}{STRONG:#}  {}", node.name, node.address));
        for (channel, height) in heights {
            let blocks = if *height == 1 { "block" } else { "blocks" };
            let chaincodes: Vec<String> = committed.get(channel).map_or_else(Vec::new, |chaincodes| {
                let told = chaincodes.iter();
                told.map(|it| format!("{} {} (sequence {})", safe(&it.name), safe(&it.version), it.sequence))
                    .collect()
            });
            let chaincodes =
                if chaincodes.is_empty() { "no chaincode".to_owned() } else { chaincodes.join(", ") };
            lines.push(wrapped(&format!("{channel}: {height} {blocks}, {chaincodes}"), "  ", "    ", width));
        }
        lines.extend(installed.iter().map(|id| format!("  {FAINT}installed{FAINT:#} {}", safe(id))));
        if let Some(problem) = problem {
            lines.push(wrapped(
                &format!("{BAD}does not answer{BAD:#}: {}", safe(problem)),
                "  ",
                "    ",
                width,
            ));
        }
    }
    lines.join("\n")
}
