//! The selvedge command.

mod arguments;
mod catalogue;
mod commands;
mod cut;
mod demo;
mod down;
mod errors;
mod failure;
mod output;
mod progress;
mod sample;
mod signals;
mod status;
mod up;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;
use crate::output::Answer;

fn main() -> ExitCode {
    let answer = match Arguments::try_parse() {
        Ok(arguments) => run(arguments.command),
        Err(error) => match errors::usage(&error) {
            Some(failure) => Err(failure),
            // Help and versions are results; help instead of a command that is missing words is not.
            None => error.exit(),
        },
    };
    match answer {
        Ok(answer) => answer.into(),
        Err(failure) if failure.is_unheard() => Answer::Done.into(),
        Err(failure) => {
            output::failure(&failure);
            Answer::Failed.into()
        }
    }
}

fn run(command: Command) -> Result<Answer, Failure> {
    start_logging(&command)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| errors::machine("the command cannot start its threads", &error))?;
    let answer = runtime.block_on(async {
        match command {
            Command::Demo(arguments) => demo::run(&arguments).await,
            Command::Sample(arguments) => sample::run(&arguments).await,
            Command::Up(arguments) => up::run(&arguments).await,
            Command::Status(arguments) => status::run(&arguments).await,
            Command::Down(arguments) => down::run(&arguments).await,
            Command::Cut(arguments) => cut::run(&arguments).await,
            Command::Tls(command) => commands::tls::run(&command),
            Command::Package(command) => commands::package::run(&command),
            Command::Chaincode(command) => commands::chaincode::run(&command).await,
            Command::Invoke(arguments) => commands::transact::invoke(&arguments).await,
            Command::Query(arguments) => commands::transact::query(&arguments).await,
            Command::Events(arguments) => commands::chain::events::run(&arguments).await,
            Command::Block(arguments) => commands::chain::block::run(&arguments).await,
            Command::Tx(arguments) => commands::chain::tx::run(&arguments).await,
            Command::Explain(arguments) => commands::explain::run(&arguments),
            Command::Completions(arguments) => commands::completions::run(&arguments),
        }
    });
    // A thread that waits for standard input must not hold up the end.
    runtime.shutdown_background();
    answer
}

/// The log goes to standard error. `RUST_LOG` chooses what is in it.
fn start_logging(command: &Command) -> Result<(), Failure> {
    let default = match command {
        // Its steps tell of every refusal that they provoke; as warnings they would be there twice.
        Command::Demo(_) => "error",
        _ => "warn",
    };
    let chosen = std::env::var("RUST_LOG").ok().filter(|chosen| !chosen.is_empty());
    let filter = EnvFilter::try_new(chosen.as_deref().unwrap_or(default)).map_err(|error| {
        errors::text(catalogue::ARGUMENT, "RUST_LOG cannot be understood", &error)
            .evidence(format!("{:?}", chosen.unwrap_or_default()))
            .fix("write a level such as warn or debug, or pairs such as selvedge_tls=debug")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never)
        .init();
    Ok(())
}
