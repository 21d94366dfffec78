//! Our messages against the official bindings, without trusting a list that was once written down.

use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

/// The release whose declarations `LISTING` holds; the index carries it under a development version only.
const PACKAGE: &str = "hyperledger-fabric-protos==0.3.7.dev349689853811";

/// The test `official` of the crate `selvedge-proto` compares our own files with this listing.
const LISTING: &str = "crates/proto/tests/official.txt";

const SHOWN_DIFFERENCES: usize = 20;

/// Makes the listing afresh from the official package and compares it with the one in the checkout.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let environment = workspace.target("interop/python");
    let python = environment.join("bin/python");
    // Made afresh each time, so that nothing left behind by an interrupted run is trusted.
    command::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    command::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--pre", PACKAGE]))?;
    let mut listing = Command::new(&python);
    listing.arg(workspace.path("xtask/official_descriptors.py"));
    command::announce(&listing);
    let official = command::output(&mut listing)?;
    compare(&official, &workspace.read(LISTING)?)
}

fn compare(official: &str, ours: &str) -> Result<(), Error> {
    if official.is_empty() {
        return Err(Error::Contract {
            what: "the listing of the official package".to_owned(),
            reason: "it is empty".to_owned(),
        });
    }
    if official == ours {
        return Ok(());
    }
    let missing = official.lines().filter(|fact| !ours.lines().any(|ours| ours == *fact));
    let surplus = ours.lines().filter(|fact| !official.lines().any(|official| official == *fact));
    let differences: Vec<String> =
        missing.map(|fact| format!("- {fact}")).chain(surplus.map(|fact| format!("+ {fact}"))).collect();
    let shown = &differences[..differences.len().min(SHOWN_DIFFERENCES)];
    let differences = if shown.is_empty() {
        "  the same facts in another order or number".to_owned()
    } else {
        format!("{}\n  {} differences in all (- official, + ours)", shown.join("\n"), differences.len())
    };
    Err(Error::Protos { file: LISTING.to_owned(), differences })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_listings_pass() {
        assert!(compare("a\nb\n", "a\nb\n").is_ok());
    }

    #[test]
    fn a_wrong_number_is_shown_from_both_sides() {
        let error =
            compare("field m 1 a\nfield m 2 b\n", "field m 1 a\nfield m 3 b\n").unwrap_err().to_string();
        assert!(error.contains("- field m 2 b\n+ field m 3 b\n  2 differences"), "{error}");
    }

    #[test]
    fn another_order_fails() {
        assert!(compare("a\nb\n", "b\na\n").is_err());
    }

    #[test]
    fn nothing_from_the_official_side_fails() {
        assert!(compare("", "").is_err());
    }
}
