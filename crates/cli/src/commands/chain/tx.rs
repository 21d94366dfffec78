//! `selvedge tx`: a transaction of a channel, taken apart.

use clap::Args;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_client::block::{BlockContent, Transaction};
use selvedge_client::connect::Settings;
use selvedge_proto::common::Block;
use serde_json::json;

use super::{Raw, Reading, document, unread, view};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};

/// What `qscc` says, among other things, of a transaction that is in no block.
const UNKNOWN: &str = "no such transaction ID";

#[derive(Debug, Args)]
pub(crate) struct TxArguments {
    /// The transaction's id
    #[arg(value_name = "TXID")]
    id: String,
    #[command(flatten)]
    raw: Raw,
    #[command(flatten)]
    reading: Reading,
}

/// A transaction with its place.
struct Found {
    block: u64,
    transaction: Transaction,
    envelope: Vec<u8>,
}

pub(crate) async fn run(arguments: &TxArguments) -> Result<Answer, Failure> {
    let TxArguments { id, raw, reading } = arguments;
    let (settings, channel) = reading.settings()?;
    let Some(found) = find(&settings, &channel, id).await? else {
        let why = format!("no block of {channel} has the transaction {}", output::safe(id));
        if reading.json {
            crate::commands::json(&json!({ "found": false, "reason": why }))?;
        } else {
            crate::commands::line(&format!("no such transaction: {why}"))?;
        }
        return Ok(Answer::Negative);
    };
    if raw.write(&found.envelope, reading.json)? {
        return Ok(Answer::Done);
    }
    if reading.json {
        let mut document = document::transaction(&found.transaction);
        document["block"] = json!(found.block);
        crate::commands::json(&document)?;
    } else {
        let head = format!("in block {} of {channel}", found.block);
        crate::commands::line(&view::transaction(&head, &found.transaction, output::width()))?;
    }
    Ok(Answer::Done)
}

/// The block that has a transaction, if any has. The peer's `qscc` knows at once, where a gateway asked for the
/// transaction's commit would wait for one that is in no block.
pub(super) async fn block_of(settings: &Settings, channel: &str, id: &str) -> Result<Option<Block>, Failure> {
    let question = ProposalBuilder::new(channel, "qscc")
        .arg("GetBlockByTxID")
        .arg(channel.to_owned())
        .arg(id.to_owned());
    match settings.gateway().await?.evaluate(question).await {
        Ok(answer) => Block::decode(answer.payload).map(Some).map_err(|error| {
            errors::text(catalogue::SERVICE_OTHER, format!("{channel} cannot be read"), &error)
                .evidence("the peer's qscc answered GetBlockByTxID with something that is no block")
        }),
        Err(error) if error.to_string().contains(UNKNOWN) => Ok(None),
        Err(error) => Err(unread(channel, &error)),
    }
}

async fn find(settings: &Settings, channel: &str, id: &str) -> Result<Option<Found>, Failure> {
    let Some(block) = block_of(settings, channel, id).await? else { return Ok(None) };
    let content = BlockContent::of(&block);
    let envelopes = block.data.unwrap_or_default().data;
    let found = content.transactions.into_iter().zip(envelopes).find(|(found, _)| found.tx_id == id);
    Ok(found.map(|(transaction, envelope)| Found {
        block: content.header.number,
        transaction,
        envelope: envelope.to_vec(),
    }))
}
