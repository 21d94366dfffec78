//! The page `docs/requests.md`, held to the tests and recordings that it names.

use std::collections::BTreeSet;

use selvedge_golden::Corpus;
use selvedge_proto::protos::chaincode_message::Type;
use serde_json::Value;

use super::{code, page, rows, tests};

pub(crate) fn check() {
    let page = page("requests.md");
    let tests = tests();
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
