//! `selvedge cut`: closes blocks of a network that `selvedge up` runs.

use selvedge_network::{self as network, Closed};
use serde_json::json;

use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::up::arguments::CutArguments;

pub(crate) async fn run(arguments: &CutArguments) -> Result<Answer, Failure> {
    let folder = arguments.place.folder()?;
    let closed = network::cut(&folder, &arguments.channels).await.map_err(|error| errors::network(&error))?;
    let (text, document) = match &closed {
        Some(closed) => {
            let lines: Vec<String> = closed.iter().map(told).collect();
            (lines.join("\n"), json!({ "closed": closed }))
        }
        None => {
            let why = format!("nobody runs a network in {}", folder.display());
            (format!("not running: {why}"), json!({ "closed": [], "reason": why }))
        }
    };
    let text = if arguments.json { output::document(&document) } else { text };
    output::result(&text).map_err(|error| errors::output(&error))?;
    let any = closed.is_some_and(|closed| closed.iter().any(|closed| closed.transactions > 0));
    Ok(if any { Answer::Done } else { Answer::Negative })
}

/// What has become of a channel, in a line.
pub(crate) fn told(closed: &Closed) -> String {
    let Closed { channel, block, transactions } = closed;
    match block {
        Some(block) if *transactions == 1 => format!("{channel}: block {block} closed, with 1 transaction"),
        Some(block) => format!("{channel}: block {block} closed, with {transactions} transactions"),
        None => format!("{channel}: no transaction waits"),
    }
}
