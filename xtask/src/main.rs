//! Checks and interoperability runs of the Selvedge workspace: `cargo xtask <check>`.
//!
//! The same commands run on a desk and in `.ci/run`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is its purpose")]

mod authors;
mod command;
mod crash;
mod deny;
mod docs;
mod error;
mod first;
mod floors;
mod interop;
mod mango;
mod protos;
mod workspace;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::crash::CrashArguments;
use crate::error::Error;
use crate::workspace::Workspace;

#[derive(Parser)]
#[command(about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Clone, Copy, Subcommand)]
enum Check {
    /// Dependencies point downwards, as the table in ARCHITECTURE.md says
    Floors,
    /// The documentation builds without a warning
    Docs,
    /// What authors are given: crates that make packages, and the file for clippy
    Authors,
    /// Licences, advisories and banned crates, by cargo-deny
    Deny,
    /// Our messages equal those of the official Python package
    Protos,
    /// Rich queries against PouchDB's and ICU's
    Mango,
    /// The official clients and shims against our network and chaincode
    Interop,
    /// The time from nothing to the first committed transaction
    First,
    /// Kill -9 of a network's process at random moments under load
    Crash(CrashArguments),
    /// All of these in order
    Ci,
}

impl Check {
    fn run(self, workspace: &Workspace) -> Result<(), Error> {
        match self {
            Self::Floors => floors::check(workspace),
            Self::Docs => docs::check(workspace),
            Self::Authors => authors::check(workspace),
            Self::Deny => deny::check(workspace),
            Self::Protos => protos::check(workspace),
            Self::Mango => mango::check(workspace),
            Self::Interop => interop::check(workspace),
            Self::First => first::check(workspace),
            Self::Crash(arguments) => crash::check(workspace, arguments),
            Self::Ci => {
                let crash = Self::Crash(CrashArguments::default());
                let debug = [Self::Floors, Self::Docs, Self::Authors, Self::Deny, Self::Protos, Self::Mango];
                let release = [Self::Interop, Self::First, crash];
                let mut all = debug.into_iter().chain(release);
                all.try_for_each(|check| check.run_timed(workspace))
            }
        }
    }

    fn run_timed(self, workspace: &Workspace) -> Result<(), Error> {
        let name = match self {
            Self::Floors => "floors",
            Self::Docs => "docs",
            Self::Authors => "authors",
            Self::Deny => "deny",
            Self::Protos => "protos",
            Self::Mango => "mango",
            Self::Interop => "interop",
            Self::First => "first",
            Self::Crash(_) => "crash",
            Self::Ci => return self.run(workspace),
        };
        let begin = Instant::now();
        self.run(workspace)?;
        println!("{name}: passed in {:.1} s", begin.elapsed().as_secs_f64());
        Ok(())
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match Workspace::load().and_then(|workspace| arguments.check.run_timed(&workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                eprintln!("  caused by: {inner}");
                cause = inner.source();
            }
            ExitCode::FAILURE
        }
    }
}
