//! `selvedge invoke` and `selvedge query`: a client of any Fabric gateway.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStringExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use selvedge_client::ProposalBuilder;
use selvedge_client::connect::{ConnectionOptions, Role, Settings};
use serde_json::{Value, json};

use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer, safe};
use crate::progress::while_committing;

#[derive(Debug, Args)]
pub(crate) struct CallArguments {
    /// The channel (default: the one of --config, if it has but one)
    #[arg(long, short = 'C', value_name = "CHANNEL")]
    channel: Option<String>,
    /// The chaincode's name
    #[arg(long, short, value_name = "NAME")]
    name: String,
    /// The function, followed by its arguments; after -- they may begin with a hyphen
    #[arg(value_name = "FUNCTION [ARGS]", required = true, allow_negative_numbers = true)]
    call: Vec<OsString>,
    /// Data that the chaincode sees and the ledger does not record; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    transient: Vec<(String, String)>,
    /// Print a JSON document instead of the chaincode's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Debug, Args)]
pub(crate) struct InvokeArguments {
    #[command(flatten)]
    call: CallArguments,
    /// An organisation whose peers endorse, by its MSP; may be repeated (default: the gateway chooses)
    #[arg(long = "org", value_name = "MSP")]
    organizations: Vec<String>,
    /// Initialise the chaincode
    #[arg(long)]
    init: bool,
    /// Do not wait until the transaction is in a block, nor ask whether it is valid there
    #[arg(long)]
    no_wait: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Has a transaction endorsed, ordered and committed.
pub(crate) async fn invoke(arguments: &InvokeArguments) -> Result<Answer, Failure> {
    let call = &arguments.call;
    let settings = call.connection.settings(Role::Client)?;
    let mut proposal = call.proposal(&settings)?;
    if arguments.init {
        proposal = proposal.init();
    }
    let gateway = settings.gateway().await?;
    let failed = |error| errors::client(format!("{} was not invoked", call.name), &error);
    let submitted = gateway.submit(proposal, &arguments.organizations).await.map_err(failed)?;
    let mut document = answer(submitted.response.status, &submitted.response.payload);
    document["transaction_id"] = json!(submitted.tx_id);
    if arguments.no_wait {
        output::tell(&format!("transaction {} is ordered", submitted.tx_id));
    } else {
        let failed = |error| {
            errors::client(
                format!("transaction {} is ordered, but not known to be valid", submitted.tx_id),
                &error,
            )
        };
        let what = format!("transaction {} on {}", submitted.tx_id, submitted.channel_id);
        let commit = gateway.commit_status(&submitted.channel_id, &submitted.tx_id);
        let commit = while_committing(&what, commit).await.map_err(failed)?;
        let commit = commit.valid(&submitted.tx_id).map_err(failed)?;
        output::tell(&format!("transaction {} is valid in block {}", submitted.tx_id, commit.block));
        document["block"] = json!(commit.block);
    }
    call.show(&submitted.response.payload, &document)
}

/// Runs a transaction on one peer; nothing is recorded.
pub(crate) async fn query(call: &CallArguments) -> Result<Answer, Failure> {
    let settings = call.connection.settings(Role::Client)?;
    let proposal = call.proposal(&settings)?;
    let failed = |error| errors::client(format!("{} was not queried", call.name), &error);
    let response = settings.gateway().await?.evaluate(proposal).await.map_err(failed)?;
    call.show(&response.payload, &answer(response.status, &response.payload))
}

impl CallArguments {
    fn proposal(&self, settings: &Settings) -> Result<ProposalBuilder, Failure> {
        let channel = settings.channel(self.channel.as_deref())?;
        let proposal = ProposalBuilder::new(channel, &self.name)
            .args(self.call.iter().map(|argument| argument.clone().into_vec()));
        Ok(self
            .transient
            .iter()
            .fold(proposal, |proposal, (key, value)| proposal.transient(key, value.clone())))
    }

    fn show(&self, payload: &[u8], document: &Value) -> Result<Answer, Failure> {
        if self.json {
            super::json(document)?;
            return Ok(Answer::Done);
        }
        let mut out = std::io::stdout().lock();
        let written = if out.is_terminal() {
            // A terminal gets no more than a text, with nothing in it that it would obey.
            match str::from_utf8(payload) {
                Ok("") => Ok(()),
                Ok(text) => writeln!(out, "{}", safe(text)),
                Err(_) => writeln!(
                    out,
                    "{} bytes that are no text: send them to a file, or give --json",
                    payload.len()
                ),
            }
        } else {
            // As it is, to the byte.
            out.write_all(payload)
        };
        written.and_then(|()| out.flush()).map_err(|error| errors::output(&error))?;
        Ok(Answer::Done)
    }
}

fn answer(status: i32, payload: &[u8]) -> Value {
    match str::from_utf8(payload) {
        Ok(text) => json!({ "status": status, "payload": text }),
        Err(_) => json!({ "status": status, "payload_base64": STANDARD.encode(payload) }),
    }
}
