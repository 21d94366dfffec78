//! The floors of the house: dependencies point downwards only.
//!
//! ARCHITECTURE.md holds the table, so that what is read and what is checked stay one thing.

mod graph;
mod rules;
mod table;

use std::collections::BTreeSet;
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

pub(crate) use table::TableError;

use table::Floors;

/// The author's library, by package name.
const LIBRARY: &str = "selvedge";

/// How many crates an author's program may consist of because of the library, its own included, and how many an author
/// may have to build when those are counted as well that only build others.
const LIBRARY_TREE: usize = 150;
const LIBRARY_BUILD: usize = 170;

pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    let floors = Floors::parse(&workspace.read("ARCHITECTURE.md")?)?;
    let graph = graph::read(workspace.metadata());
    let mut violations = rules::violations(&floors, &graph);
    println!("{} crates in the workspace", graph.len());
    for (edges, most) in [("normal", LIBRARY_TREE), ("normal,build", LIBRARY_BUILD)] {
        let crates = library_tree(workspace, edges)?;
        println!("{crates} crates in the tree of `{LIBRARY}` ({edges}), at most {most}");
        if crates > most {
            violations.push(format!(
                "  {LIBRARY}: {crates} crates in its tree, at most {most} are allowed; \
                 `cargo tree -p {LIBRARY} -e {edges}` shows them"
            ));
        }
    }
    if violations.is_empty() { Ok(()) } else { Err(Error::Floors { violations }) }
}

/// Counts what is compiled for the author's library alone, procedural macros included.
fn library_tree(workspace: &Workspace, edges: &str) -> Result<usize, Error> {
    let tree = command::output(
        Command::new("cargo")
            .args(["tree", "--locked", "--package", LIBRARY, "--edges", edges])
            .args(["--prefix", "none", "--no-dedupe", "--format", "{p}"])
            .current_dir(workspace.path("")),
    )?;
    Ok(count(&tree))
}

/// A line is a name, a version and, for some, remarks such as `(proc-macro)`.
fn count(tree: &str) -> usize {
    let distinct: BTreeSet<(Option<&str>, Option<&str>)> = tree
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next(), words.next())
        })
        .collect();
    distinct.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_counts_once_per_version() {
        let tree = "selvedge v0.1.0 (/somewhere)\nsyn v2.0.1\nserde_derive v1.0.0 (proc-macro)\nsyn v2.0.1\nsyn v1.0.0\n";
        assert_eq!(count(tree), 4);
    }

    #[test]
    fn the_table_in_the_architecture_names_this_crate() {
        let workspace = Workspace::load().unwrap();
        let floors = Floors::parse(&workspace.read("ARCHITECTURE.md").unwrap()).unwrap();
        assert!(floors.of("xtask") > floors.of("proto"));
        assert!(graph::read(workspace.metadata()).contains_key("xtask"));
    }
}
