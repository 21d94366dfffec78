use serde_json::{Map, Value};

use super::path::ID;

/// The most bytes of a value that is looked at as a document: what CouchDB takes by default.
const MOST_BYTES: usize = 8_000_000;

/// Reads a key's value as a document, which has the key as its field `_id`. Values that are no JSON objects, nested
/// deeper than 127 levels or larger than CouchDB takes are no documents; no query finds them.
pub(super) fn read(key: &str, value: &[u8]) -> Option<Value> {
    if value.len() > MOST_BYTES || !value.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_slice(value).ok()?;
    fields.insert(ID.to_owned(), Value::from(key));
    Some(Value::Object(fields))
}
