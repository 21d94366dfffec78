//! Our rich queries against PouchDB's and ICU's: random documents and queries, the same for the same seed.

use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

const FOLDER: &str = "interop/mango";

/// Different documents each.
const SEEDS: [&str; 3] = ["1", "2", "3"];

const QUERIES: &str = "2000";

/// Answers the queries of each seed and has them compared.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    command::run(Command::new("npm").arg("ci").current_dir(workspace.path(FOLDER)))?;
    let answers = workspace.target("interop/mango");
    let make = |source| Error::File { action: "make", path: answers.clone(), source };
    std::fs::create_dir_all(&answers).map_err(make)?;
    for seed in SEEDS {
        let file = answers.join(format!("{seed}.json"));
        command::run(
            Command::new("cargo")
                .args([
                    "run",
                    "--quiet",
                    "--locked",
                    "--package",
                    "selvedge-ledger",
                    "--example",
                    "mango",
                    "--",
                ])
                .args([seed, QUERIES])
                .arg(&file)
                .current_dir(workspace.path("")),
        )?;
        command::run(Command::new("node").arg("src/main.js").arg(&file).current_dir(workspace.path(FOLDER)))?;
    }
    Ok(())
}
