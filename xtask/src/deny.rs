//! cargo-deny over `deny.toml`, installed below the target folder where it is missing.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

/// Pinned, so that a new release of the tool cannot turn a green tree red.
const VERSION: &str = "0.20.2";

/// The advisory database is a few megabytes; beyond this it counts as out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let tool = installed(workspace)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&tool);
        command.args(arguments).current_dir(workspace.path(""));
        command
    };
    match command::run_within(&mut deny(&["fetch", "db"]), FETCH_LIMIT) {
        Ok(()) => command::run(&mut deny(&["check", "--hide-inclusion-graph"])),
        Err(reason) => {
            eprintln!("**********************************************************************");
            eprintln!("WARNING: ADVISORIES WERE NOT CHECKED. Their database cannot be fetched:");
            eprintln!("  {reason}");
            eprintln!("Bans, with the version floors of deny.toml, licences and sources follow.");
            eprintln!("**********************************************************************");
            command::run(&mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))
        }
    }
}

/// The pinned cargo-deny; it takes some minutes to build the first time.
fn installed(workspace: &Workspace) -> Result<PathBuf, Error> {
    let root = workspace.target("tools");
    let tool = root.join("bin").join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    if tool.exists() && version(&tool)? == VERSION {
        return Ok(tool);
    }
    command::run(
        Command::new("cargo")
            .args(["install", "--locked", "--force", "--version", VERSION, "--root"])
            .arg(&root)
            .arg("cargo-deny")
            // The tool runs for a second, so it is built to be built quickly.
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    )?;
    Ok(tool)
}

fn version(tool: &Path) -> Result<String, Error> {
    let text = command::output(Command::new(tool).arg("--version"))?;
    Ok(text.split_whitespace().nth(1).unwrap_or_default().to_owned())
}
