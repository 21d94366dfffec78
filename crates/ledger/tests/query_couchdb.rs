//! Our answers to random rich queries against those of CouchDB's own code; `couchdb/README.md` says how they were
//! recorded.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::query::{Query, QueryError, Search};
use serde_json::Value;

const RECORDED: &str = include_str!("couchdb/answers.json");

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

fn keys(query: &Arc<Query>, documents: &BTreeMap<&str, &str>) -> Vec<String> {
    let mut search = Search::new(Arc::clone(query), usize::MAX);
    for (key, value) in documents {
        assert!(search.offer(key, value.as_bytes()).unwrap(), "there is no limit");
    }
    search.finish().keys
}

/// With all numbers as floating point: Fabric writes `1.0` to CouchDB as `1`, and our values stay as they are.
fn by_value(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::from(number.as_f64()),
        Value::Array(elements) => elements.into_iter().map(by_value).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, field)| (name, by_value(field))).collect(),
        other => other,
    }
}

#[test]
fn answers_are_those_of_couchdb() {
    let recorded: Value = serde_json::from_str(RECORDED).unwrap();
    let mut documents = BTreeMap::new();
    for document in recorded["documents"].as_array().unwrap() {
        documents.insert(document["key"].as_str().unwrap(), document["value"].as_str().unwrap());
    }
    let cases = recorded["cases"].as_array().unwrap();
    let (mut refused, mut found) = (0, 0);
    for case in cases {
        let text = case["query"].as_str().unwrap();
        let query = match Query::parse(text, "") {
            Ok(query) => Arc::new(query),
            Err(QueryError::Refused { error, .. }) => {
                assert_eq!(case["error"], error, "{text}");
                refused += 1;
                continue;
            }
            Err(other) => panic!("{text}: {other}"),
        };
        assert_eq!(case.get("error"), None, "{text}");
        let keys = keys(&query, &documents);
        assert_eq!(keys, texts(&case["keys"]), "{text}");
        found += keys.len();
        let Some(results) = case.get("results") else { continue };
        for (key, expected) in keys.iter().zip(texts(results)) {
            let value = Bytes::copy_from_slice(documents[key.as_str()].as_bytes());
            let result = serde_json::from_slice(&query.result(key, value)).unwrap();
            let expected = serde_json::from_str(expected).unwrap();
            assert_eq!(by_value(result), by_value(expected), "{key} of {text}");
        }
    }
    assert_eq!(cases.len(), 1200);
    assert!(refused > 50 && found > 5000, "{refused} refused, {found} found");
}
