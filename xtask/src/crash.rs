//! Kill -9 of a network's process under load, many times: the test `crash` of the command, with the release build.

use std::process::Command;

use clap::Args;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

const ROUNDS: u64 = 200;

#[derive(Args, Clone, Copy)]
pub(crate) struct CrashArguments {
    /// How many times the process is killed
    #[arg(long, default_value_t = ROUNDS)]
    rounds: u64,
    /// Repeats the choices of an earlier run, which printed it
    #[arg(long)]
    seed: Option<u64>,
}

impl Default for CrashArguments {
    fn default() -> Self {
        Self { rounds: ROUNDS, seed: None }
    }
}

/// The same packages and features as for every other use of the release build, so that nothing is built twice.
pub(crate) fn check(workspace: &Workspace, arguments: CrashArguments) -> Result<(), Error> {
    let mut test = Command::new("cargo");
    test.args(["test", "--release", "--locked", "--package", "selvedge-cli", "--test", "crash"])
        .args(["--", "--nocapture"])
        .env("SELVEDGE_CRASH_ROUNDS", arguments.rounds.to_string())
        .current_dir(workspace.path(""));
    if let Some(seed) = arguments.seed {
        test.env("SELVEDGE_CRASH_SEED", seed.to_string());
    }
    command::run(&mut test)
}
