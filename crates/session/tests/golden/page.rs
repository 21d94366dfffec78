//! The page `docs/requests.md`, held to the tests and recordings that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use selvedge_golden::Corpus;
use selvedge_proto::protos::chaincode_message::Type;
use serde_json::Value;

pub(crate) fn check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/requests.md")).expect("the page");
    let tests = tests(&root.join("crates"));
    let corpus = Corpus::own();
    let lines = |path: &str| -> Vec<Value> {
        assert!(corpus.find(path).is_some(), "there is no recording {path}");
        corpus.json_lines(path)
    };

    let mut listed = BTreeSet::new();
    for [number, name, sender, purpose, peer, chaincode, recording] in
        rows(&page, "## Messages of the stream")
    {
        let message_type = Type::from_str_name(name).unwrap_or_else(|| panic!("there is no message {name}"));
        assert_eq!(number, (message_type as i32).to_string(), "{name}");
        assert!(!sender.is_empty() && !purpose.is_empty(), "{name} has an empty cell");
        for test in [peer, chaincode].map(code) {
            assert!(tests.contains(test), "{name}: there is no test {test}");
        }
        let found = lines(code(recording)).iter().any(|line| line["type"] == name);
        assert!(found, "{recording} has no {name}");
        assert!(listed.insert(message_type as i32), "{name} is listed twice");
    }
    let all: BTreeSet<i32> =
        (1..i32::from(u8::MAX)).filter(|number| Type::try_from(*number).is_ok()).collect();
    assert_eq!(listed, all, "the page lists all message types");

    let mut functions = 0;
    for [chaincode, function, test, recording, label] in rows(&page, "## Functions of the system chaincodes")
    {
        assert!(tests.contains(code(test)), "{chaincode} {function}: there is no test {test}");
        let lines = lines(code(recording));
        let mut calls = lines.iter().filter(|line| line["label"] == label);
        let asks =
            |line: &Value| line["request"].as_str().is_some_and(|text| text.contains(&hex::encode(function)));
        assert!(calls.any(asks), "{recording} has no call of {function} with the label {label}");
        functions += 1;
    }
    assert!(functions > 0, "the page lists functions");
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

/// What stands between backticks.
fn code(cell: &str) -> &str {
    cell.strip_prefix('`')
        .and_then(|cell| cell.strip_suffix('`'))
        .unwrap_or_else(|| panic!("{cell:?} is no name"))
}

/// The names of all tests below a folder.
fn tests(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in sources(folder) {
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
