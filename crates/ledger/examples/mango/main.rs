//! Makes random documents and rich queries and answers the queries, for other implementations to compare with:
//! `cargo run -p selvedge-ledger --example mango -- SEED QUERIES FILE`. `interop/mango` reads the file.
//!
//! ```json
//! {"seed": 7, "documents": [{"key": "k00", "value": "{\"a\":1}"}, …],
//!  "cases": [{"query": "{\"selector\":…}", "keys": ["k03", …], "results": ["{\"a\":1}", …]},
//!            {"query": "{\"selector\":…}", "error": "bad_arg"}, …]}
//! ```
//!
//! `results` are there only for queries with `fields`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is its purpose")]

mod documents;
mod queries;
mod random;

use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::query::{Query, QueryError, Search};
use serde_json::{Value, json};

use crate::random::Random;

const DOCUMENTS: usize = 60;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("error: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let [seed, queries, file] = arguments else { return Err("give SEED QUERIES FILE".to_owned()) };
    let seed: u64 = seed.parse().map_err(|_| format!("{seed} is no seed"))?;
    let queries: usize = queries.parse().map_err(|_| format!("{queries} is no number of queries"))?;
    let mut random = Random::new(seed);
    let documents: Vec<_> =
        (0..DOCUMENTS).map(|at| (format!("k{at:02}"), documents::value(&mut random))).collect();
    let cases: Vec<_> = (0..queries).map(|_| answer(&queries::query(&mut random), &documents)).collect();
    let documents: Vec<_> =
        documents.iter().map(|(key, value)| json!({"key": key, "value": value})).collect();
    let all = json!({"seed": seed, "documents": documents, "cases": cases});
    std::fs::write(file, all.to_string()).map_err(|error| format!("cannot write {file}: {error}"))?;
    println!("{queries} queries of seed {seed} are in {file}");
    Ok(())
}

fn answer(query: &Value, documents: &[(String, String)]) -> Value {
    let text = query.to_string();
    let parsed = match Query::parse(&text, "") {
        Ok(parsed) => Arc::new(parsed),
        Err(QueryError::Refused { error, .. }) => return json!({"query": text, "error": error}),
        Err(other) => return json!({"query": text, "error": other.to_string()}),
    };
    let mut search = Search::new(Arc::clone(&parsed), documents.len());
    for (key, value) in documents {
        match search.offer(key, value.as_bytes()) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return json!({"query": text, "error": error.to_string()}),
        }
    }
    let keys = search.finish().keys;
    if query.get("fields").is_none() {
        return json!({"query": text, "keys": keys});
    }
    let value = |key: &String| documents.iter().find(|(name, _)| name == key).map_or("", |(_, value)| value);
    let result = |key: &String| {
        let result = parsed.result(key, Bytes::copy_from_slice(value(key).as_bytes()));
        String::from_utf8_lossy(&result).into_owned()
    };
    let results: Vec<_> = keys.iter().map(result).collect();
    json!({"query": text, "keys": keys, "results": results})
}
