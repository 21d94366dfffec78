//! `selvedge events`: the events of a chaincode, as they are committed.

use std::path::PathBuf;
use std::pin::pin;

use clap::Args;
use futures_util::StreamExt;
use selvedge_client::connect::Settings;
use selvedge_client::{BlockPosition, ChaincodeEvent, Checkpoint};
use serde_json::json;

use super::{Reading, block, checkpoint, document, tx};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer, inline};
use crate::signals;

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    /// The chaincode's name
    #[arg(long, short = 'n', visible_alias = "name", value_name = "NAME")]
    chaincode: String,
    /// Begin with this block: its number, oldest, or next
    #[arg(long, value_name = "BLOCK", default_value = "next", value_parser = beginning)]
    from: Checkpoint,
    /// Begin after this transaction
    #[arg(long, value_name = "TXID", conflicts_with = "from")]
    after: Option<String>,
    /// End after this many events (default: only when asked to, as by Ctrl-C)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Keep in FILE how far it has come, and go on from there the next time; an event is told before it is kept
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

fn beginning(text: &str) -> Result<Checkpoint, String> {
    match block::position(text) {
        Ok(BlockPosition::Number(number)) => Ok(Checkpoint::block(number)),
        Ok(BlockPosition::Oldest) => Ok(Checkpoint::start()),
        Ok(BlockPosition::Next) => Ok(Checkpoint::now()),
        Ok(BlockPosition::Newest) | Err(_) => Err("give a number, oldest or next".to_owned()),
    }
}

pub(crate) async fn run(arguments: &EventsArguments) -> Result<Answer, Failure> {
    let EventsArguments { chaincode, reading, .. } = arguments;
    let (settings, channel) = reading.settings()?;
    let mut stop = pin!(signals::stop()?);
    let from = arguments.beginning(&settings, &channel).await?;
    let gateway = settings.gateway().await?;
    warn_of_undefined(&settings, &channel, chaincode).await?;
    let failed = |error| {
        let failure = errors::client(format!("the events of {chaincode} on {channel} end here"), &error);
        match &arguments.checkpoint {
            Some(_) => failure.fix("run it again: it goes on where it was"),
            None => failure.fix("run it again, with --after and the last transaction"),
        }
    };
    let mut events = gateway.chaincode_events(&channel, chaincode, &from).await.map_err(failed)?;
    let mut left = arguments.count;
    while left != Some(0) {
        let event = tokio::select! {
            () = &mut stop => break,
            event = events.next() => event,
        };
        let Some(event) = event else { break };
        let event = event.map_err(failed)?;
        show(&event, reading.json)?;
        if let Some(path) = &arguments.checkpoint {
            checkpoint::write(path, &channel, &event)?;
        }
        left = left.map(|left| left - 1);
    }
    Ok(if left.is_some_and(|left| left > 0) { Answer::Negative } else { Answer::Done })
}

impl EventsArguments {
    async fn beginning(&self, settings: &Settings, channel: &str) -> Result<Checkpoint, Failure> {
        if let Some(path) = &self.checkpoint
            && let Some(kept) = checkpoint::read(path, channel, &self.chaincode)?
        {
            output::tell(&format!("going on where {} says", path.display()));
            return Ok(kept);
        }
        let Some(id) = &self.after else { return Ok(self.from.clone()) };
        // A gateway would wait for an unknown one for ever, without a word.
        match tx::block_of(settings, channel, id).await? {
            Some(block) => {
                let block = Some(block.header.unwrap_or_default().number);
                Ok(Checkpoint { block, transaction: Some(id.clone()) })
            }
            None => {
                Err(Failure::new(catalogue::SERVICE_NOT_FOUND, "there is no such transaction to begin after")
                    .evidence(format!("no block of {channel} has {id}"))
                    .fix("give the id of a transaction of this channel, or begin with a block (--from)"))
            }
        }
    }
}

/// A gateway gives the events of a chaincode that is yet to come, and so of one whose name is misspelt.
async fn warn_of_undefined(settings: &Settings, channel: &str, chaincode: &str) -> Result<(), Failure> {
    if let Err(error) = settings.lifecycle().await?.committed(channel, chaincode).await
        && error.to_string().contains("is not defined")
    {
        output::tell(&format!(
            "warning: {} is not committed on {channel} yet: there are no events of it until it is",
            inline(chaincode)
        ));
    }
    Ok(())
}

fn show(event: &ChaincodeEvent, as_json: bool) -> Result<(), Failure> {
    let ChaincodeEvent { block, tx_id, chaincode, name, payload } = event;
    let line = if as_json {
        output::document_line(&json!({
            "block": block,
            "tx_id": tx_id,
            "chaincode": chaincode,
            "name": name,
            "payload": document::bytes(payload),
        }))
    } else {
        format!("{block}  {}  {}  {}", inline(tx_id), inline(name), document::text(payload))
    };
    crate::commands::line(&line)
}
