//! `selvedge chaincode`: the lifecycle of chaincode on any Fabric peer.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use selvedge_client::connect::{ConnectionOptions, Role};
use selvedge_client::{Approval, Commit, InstalledPackage};
use selvedge_package::PackageId;
use serde_json::{Value, json};

use super::definition::DefinitionArguments;
use super::package;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer, safe};
use crate::progress::{Progress, while_committing};

#[derive(Debug, Subcommand)]
pub(crate) enum ChaincodeCommand {
    /// Install a package on the peer and print its id
    Install(InstallArguments),
    /// Approve a definition for the identity's own organisation, and wait for the commit
    Approve(ApproveArguments),
    /// Print which organisations have approved a definition; exit code 1 while any has not
    Readiness(ReadinessArguments),
    /// Commit a definition that enough organisations have approved, and wait for it
    Commit(CommitArguments),
    /// Print the packages on the peer
    QueryInstalled(QueryInstalledArguments),
    /// Print the definitions on a channel
    QueryCommitted(QueryCommittedArguments),
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArguments {
    /// The package's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArguments {
    #[command(flatten)]
    definition: DefinitionArguments,
    /// The package that the organisation's peers run (default: the organisation runs none)
    #[arg(long, value_name = "ID")]
    package_id: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ReadinessArguments {
    #[command(flatten)]
    definition: DefinitionArguments,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct CommitArguments {
    #[command(flatten)]
    definition: DefinitionArguments,
    /// An organisation whose peers endorse, by its MSP; may be repeated (default: the gateway chooses)
    #[arg(long = "org", value_name = "MSP")]
    organizations: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct QueryInstalledArguments {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct QueryCommittedArguments {
    /// The channel (default: the one of --config, if it has but one)
    #[arg(long, short = 'C', value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only this chaincode, with the organisations that have approved it
    #[arg(long, short, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    common: Common,
}

pub(crate) async fn run(command: &ChaincodeCommand) -> Result<Answer, Failure> {
    match command {
        ChaincodeCommand::Install(arguments) => install(arguments).await,
        ChaincodeCommand::Approve(arguments) => approve(arguments).await,
        ChaincodeCommand::Readiness(arguments) => readiness(arguments).await,
        ChaincodeCommand::Commit(arguments) => commit(arguments).await,
        ChaincodeCommand::QueryInstalled(arguments) => query_installed(&arguments.common).await,
        ChaincodeCommand::QueryCommitted(arguments) => query_committed(arguments).await,
    }
}

async fn install(arguments: &InstallArguments) -> Result<Answer, Failure> {
    // A damaged package is told here in more words than a peer has.
    let package = package::parse(package::read(&arguments.file)?, &arguments.file)?;
    let lifecycle = arguments.common.connection.settings(Role::Admin)?.lifecycle().await?;
    let progress = Progress::start("the peer builds and installs the package");
    let installed = lifecycle.install(package.bytes().clone()).await;
    drop(progress);
    let installed = installed
        .map_err(|error| errors::client(format!("{} is not installed", arguments.file.display()), &error))?;
    if arguments.common.json {
        super::json(&described(&installed))?;
    } else {
        super::line(&safe(&installed.package_id))?;
    }
    Ok(Answer::Done)
}

async fn approve(arguments: &ApproveArguments) -> Result<Answer, Failure> {
    if let Some(id) = &arguments.package_id {
        id.parse::<PackageId>().map_err(|error| errors::package("the package id is none", &error))?;
    }
    let definition = arguments.definition.definition()?;
    let settings = arguments.common.connection.settings(Role::Admin)?;
    let channel = settings.channel(arguments.definition.channel.as_deref())?;
    let approval = Approval { definition, package_id: arguments.package_id.clone() };
    let lifecycle = settings.lifecycle().await?;
    let what = format!("the approval of {} on {channel}", approval.definition.name);
    let commit = while_committing(&what, lifecycle.approve(&channel, &approval)).await;
    let commit = commit
        .map_err(|error| errors::client(format!("{} is not approved", approval.definition.name), &error))?;
    committed("approved", &approval.definition.name, &channel, commit, arguments.common.json)
}

async fn readiness(arguments: &ReadinessArguments) -> Result<Answer, Failure> {
    let definition = arguments.definition.definition()?;
    let settings = arguments.common.connection.settings(Role::Admin)?;
    let channel = settings.channel(arguments.definition.channel.as_deref())?;
    let readiness = settings.lifecycle().await?.readiness(&channel, &definition).await.map_err(|error| {
        errors::client(format!("the approvals of {} cannot be told", definition.name), &error)
    })?;
    let ready = readiness.approvals.values().all(|approved| *approved);
    if arguments.common.json {
        super::json(&json!({ "ready": ready, "approvals": readiness.approvals }))?;
    } else {
        for (msp_id, approved) in &readiness.approvals {
            super::line(&format!(
                "{}: {}",
                safe(msp_id),
                if *approved { "approved" } else { "not approved" }
            ))?;
        }
    }
    Ok(if ready { Answer::Done } else { Answer::Negative })
}

async fn commit(arguments: &CommitArguments) -> Result<Answer, Failure> {
    let definition = arguments.definition.definition()?;
    let settings = arguments.common.connection.settings(Role::Admin)?;
    let channel = settings.channel(arguments.definition.channel.as_deref())?;
    let lifecycle = settings.lifecycle().await?;
    let what = format!("the definition of {} on {channel}", definition.name);
    let commit = lifecycle.commit(&channel, &definition, &arguments.organizations);
    let commit = while_committing(&what, commit).await.map_err(|error| {
        errors::client(format!("{} is not committed", definition.name), &error)
            .or_fix("see with selvedge chaincode readiness who has not approved this very definition")
    })?;
    committed("committed", &definition.name, &channel, commit, arguments.common.json)
}

async fn query_installed(common: &Common) -> Result<Answer, Failure> {
    let lifecycle = common.connection.settings(Role::Admin)?.lifecycle().await?;
    let failed = |error| errors::client("the packages on the peer cannot be told", &error);
    let packages = lifecycle.installed().await.map_err(failed)?;
    if common.json {
        super::json(&packages.iter().map(described).collect::<Value>())?;
    } else {
        packages.iter().try_for_each(|package| super::line(&safe(&package.package_id)))?;
    }
    Ok(Answer::Done)
}

async fn query_committed(arguments: &QueryCommittedArguments) -> Result<Answer, Failure> {
    let settings = arguments.common.connection.settings(Role::Admin)?;
    let channel = settings.channel(arguments.channel.as_deref())?;
    let lifecycle = settings.lifecycle().await?;
    let failed = |error| errors::client(format!("the definitions on {channel} cannot be told"), &error);
    let mut definitions = Vec::new();
    if let Some(name) = &arguments.name {
        let found = lifecycle.committed(&channel, name).await.map_err(failed)?;
        definitions.push(json!({
            "name": name,
            "version": found.version,
            "sequence": found.sequence,
            "init_required": found.init_required,
            "approvals": found.approvals,
        }));
    } else {
        let found = lifecycle.all_committed(&channel).await.map_err(failed)?;
        definitions.extend(found.chaincode_definitions.into_iter().map(|definition| {
            json!({
                "name": definition.name,
                "version": definition.version,
                "sequence": definition.sequence,
                "init_required": definition.init_required,
            })
        }));
    }
    if arguments.common.json {
        super::json(&Value::Array(definitions))?;
    } else {
        definitions.iter().try_for_each(|definition| super::line(&shown(definition)))?;
    }
    Ok(Answer::Done)
}

fn described(package: &InstalledPackage) -> Value {
    json!({ "package_id": package.package_id, "label": package.label })
}

/// A definition in a line.
fn shown(definition: &Value) -> String {
    let text = |name: &str| safe(definition[name].as_str().unwrap_or_default());
    let mut line =
        format!("{}: version {}, sequence {}", text("name"), text("version"), definition["sequence"]);
    if let Some(approvals) = definition["approvals"].as_object() {
        let of = |wanted: bool| {
            let names = approvals.iter().filter(|(_, approved)| approved.as_bool() == Some(wanted));
            names.map(|(name, _)| safe(name)).collect::<Vec<_>>().join(", ")
        };
        for (label, names) in [("approved by", of(true)), ("not by", of(false))] {
            if !names.is_empty() {
                line.push_str(&format!(", {label} {names}"));
            }
        }
    }
    line
}

fn committed(
    what: &str,
    name: &str,
    channel: &str,
    commit: Commit,
    as_json: bool,
) -> Result<Answer, Failure> {
    output::tell(&format!("{name} is {what} on {channel} in block {}", commit.block));
    if as_json {
        super::json(&json!({ "name": name, "channel": channel, "block": commit.block }))?;
    }
    Ok(Answer::Done)
}
