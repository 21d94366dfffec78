//! Pages of `docs` that list tests, held to the tests and recordings that they name.

pub(crate) mod api;
pub(crate) mod requests;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The text of a page.
fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("the page")
}

/// The rows of the first table below a heading.
fn rows<'a, const N: usize>(page: &'a str, heading: &str) -> Vec<[&'a str; N]> {
    let (_, below) = page.split_once(heading).unwrap_or_else(|| panic!("the page has no {heading}"));
    let table =
        below.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |line: &'a str| -> [&'a str; N] {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("{cells:?} are not {N} cells"))
    };
    table.skip(2).map(cells).collect()
}

/// What stands between backticks, in a cell that has one of it.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or_else(|| panic!("{cell:?} is no name"))
}

/// The names of all tests of the crates and samples.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in ["crates", "samples"].into_iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = fs::read_to_string(&path).expect("a source file");
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if !line.starts_with("#[test]") && !line.starts_with("#[tokio::test") {
                continue;
            }
            let declared = lines.by_ref().find_map(|line| line.split_once("fn ").map(|(_, name)| name));
            let name = declared.and_then(|name| name.split(['(', '<']).next()).expect("a function");
            names.insert(name.to_owned());
        }
    }
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| sources(folder))).collect()
}
