//! A load program for Fabric gateways: what they answer, how fast, and at what cost in CPU time.
//!
//! The exit code is 0 if every call was answered well, 1 if some failed, 2 if nothing was measured.

mod arguments;
mod embedded;
mod error;
mod figures;
mod load;
mod measure;
mod outcome;
mod prepare;
mod process;
mod report;
mod template;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use selvedge_client::connect::Role;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command, LoadArguments};
use crate::embedded::Embedded;
use crate::error::BenchError;
use crate::measure::measure;
use crate::prepare::{Call, Operation};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&BenchError::io("the threads cannot be started")(error)),
    };
    let done = runtime.block_on(run(arguments.command));
    // A thread that waits for standard input must not hold up the end.
    runtime.shutdown_background();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => failed(&error),
    }
}

/// Says whether every call was answered well.
async fn run(command: Command) -> Result<bool, BenchError> {
    match command {
        Command::Evaluate(arguments) => one(Operation::Evaluate, &arguments).await,
        Command::Endorse(arguments) => one(Operation::Endorse, &arguments).await,
        Command::Submit(arguments) => one(Operation::Submit, &arguments).await,
        Command::Figures(arguments) => figures::run(&arguments, &stop_on_signal()?).await.map(|()| true),
        Command::Network => embedded::network::run().await.map(|()| true),
        Command::Chaincode => embedded::chaincode::run().await.map(|()| true),
    }
}

async fn one(operation: Operation, arguments: &LoadArguments) -> Result<bool, BenchError> {
    let stop = stop_on_signal()?;
    let embedded = if arguments.embedded { Some(Embedded::start(&stop).await?) } else { None };
    let (connection, mut processes) = match &embedded {
        Some(embedded) => (&embedded.connection, embedded.processes()),
        None => (&arguments.connection, Vec::new()),
    };
    processes.extend(arguments.process.iter().cloned());
    let settings = connection.settings(Role::Client)?;
    let call = Call {
        operation,
        channel: settings.channel(arguments.channel.as_deref())?,
        chaincode: arguments.name.clone(),
        words: arguments.call.clone(),
    };
    let report = measure(&settings, &call, &arguments.load, &processes, &stop).await;
    if let Some(embedded) = embedded {
        embedded.stop().await?;
    }
    let report = report?;
    if arguments.json {
        print(&json(&report))?;
    } else {
        print(&report.table())?;
    }
    Ok(report.failure().is_none())
}

/// Cancelled at the first Ctrl-C or SIGTERM, so that what was measured is told; the second ends the process.
fn stop_on_signal() -> Result<CancellationToken, BenchError> {
    let catch = |kind| signal(kind).map_err(BenchError::io("signals cannot be caught"));
    let (mut interrupt, mut terminate) = (catch(SignalKind::interrupt())?, catch(SignalKind::terminate())?);
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked.is_cancelled() {
                std::process::exit(130);
            }
            asked.cancel();
        }
    });
    Ok(stop)
}

fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a report has string keys only");
    text.push('\n');
    text
}

fn print(text: &str) -> Result<(), BenchError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(BenchError::io("standard output cannot be written to"))
}

/// Says something to a person.
fn tell(text: &str) {
    // Nobody listens when standard error is closed, and there is nowhere else to say so.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn failed(error: &BenchError) -> ExitCode {
    tell(&format!("error: {error}"));
    let mut source = error.source();
    while let Some(error) = source {
        tell(&format!("  because: {error}"));
        source = error.source();
    }
    if let BenchError::Connect(error) = error
        && let Some(fix) = error.fix()
    {
        tell(&format!("  fix: {fix}"));
    }
    ExitCode::from(2)
}
