//! What authors of contracts are given: crates that can be published, and a file for clippy.

use std::fs;
use std::path::Path;
use std::process::Command;

use cargo_metadata::Package;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

/// Where authors take the file from.
const CLIPPY: &str = "docs/clippy.toml";

/// Functions as they may stand in a contract.
const SOUND: &str = "
//! A contract.

use std::collections::BTreeMap;

/// Counts.
pub fn count(words: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for word in words {
        *counts.entry(word.as_str()).or_default() += 1;
    }
    counts
}
";

/// What makes endorsers disagree, and what the refusal must name.
const SPOILT: [(&str, &str); 6] = [
    ("/// Time.\npub fn time() -> std::time::SystemTime { std::time::SystemTime::now() }", "SystemTime::now"),
    ("/// Time.\npub fn tick() -> std::time::Instant { std::time::Instant::now() }", "Instant::now"),
    (
        "/// Chance.\npub fn order() -> Option<u8> { std::collections::HashMap::from([(1, 2), (3, 4)]).into_keys().next() }",
        "HashMap",
    ),
    ("/// Chance.\npub type Set = std::collections::HashSet<u8>;", "HashSet"),
    ("/// A place.\npub fn place() -> Option<String> { std::env::var(\"PLACE\").ok() }", "env::var"),
    (
        "/// A file.\npub fn file() -> Option<String> { std::fs::read_to_string(\"f\").ok() }",
        "read_to_string",
    ),
];

pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    crates(workspace)?;
    clippy(workspace)
}

/// All crates that are to be published make packages, from what is on this machine and without a registry's token.
fn crates(workspace: &Workspace) -> Result<(), Error> {
    let published = |package: &&Package| package.publish.as_ref().is_none_or(|to| !to.is_empty());
    let published: Vec<_> = workspace.metadata().packages.iter().filter(published).collect();
    let mut cargo = Command::new("cargo");
    cargo.args(["package", "--no-verify", "--locked", "--offline", "--allow-dirty", "--quiet"]);
    for package in published {
        let described =
            package.description.is_some() && package.license.is_some() && package.readme.is_some();
        if !described || package.keywords.is_empty() {
            let reason = "it lacks a description, a licence, a readme or keywords".to_owned();
            return Err(Error::Contract { what: format!("the manifest of {}", package.name), reason });
        }
        cargo.args(["--package", &package.name]);
    }
    command::run(cargo.current_dir(workspace.path("")))
}

/// The file lets sound functions pass and refuses each of the others.
fn clippy(workspace: &Workspace) -> Result<(), Error> {
    let folder = workspace.fresh_folder("authors")?;
    fs::write(folder.join("clippy.toml"), workspace.read(CLIPPY)?).map_err(failed(&folder))?;
    let refused =
        |what: &str, reason: String| Error::Contract { what: format!("{CLIPPY} for {what}"), reason };
    if let Some(said) = lint(&folder, SOUND)? {
        return Err(refused("a sound contract", said));
    }
    for (function, named) in SPOILT {
        match lint(&folder, &format!("{SOUND}\n{function}\n"))? {
            Some(said) if said.contains("disallowed") && said.contains(named) => {}
            said => return Err(refused(named, said.unwrap_or_else(|| "it is not refused".to_owned()))),
        }
    }
    println!("{CLIPPY}: {} of {} refused", SPOILT.len(), SPOILT.len());
    Ok(())
}

/// What clippy has against a library; `None` if nothing.
fn lint(folder: &Path, source: &str) -> Result<Option<String>, Error> {
    let file = folder.join("contract.rs");
    fs::write(&file, source.trim_start()).map_err(failed(&file))?;
    let mut clippy = Command::new("clippy-driver");
    clippy.args([
        "--edition",
        "2024",
        "--crate-type",
        "lib",
        "--emit",
        "metadata",
        "-D",
        "warnings",
        "--out-dir",
    ]);
    clippy.arg(folder).arg(&file).env("CLIPPY_CONF_DIR", folder);
    let output =
        clippy.output().map_err(|source| Error::Start { command: command::line(&clippy), source })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((!output.status.success()).then_some(said))
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::File { action: "write", path, source }
}
