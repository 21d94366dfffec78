use bytes::Bytes;
use serde_json::{Map, Value};

use super::error::shown;
use super::path::{Found, Path};
use super::{QueryError, document};

/// What CouchDB adds to documents and a Fabric peer takes out of results again.
const NOT_RETURNED: [&str; 3] = [super::path::ID, "_rev", "~version"];

/// Which fields of a document a result has.
#[derive(Debug)]
pub(super) struct Projection(Vec<Path>);

impl Projection {
    /// Reads the member `fields` of a query. Without names results are empty objects: a Fabric peer adds names of its
    /// own, and CouchDB then does not see that there were none, which would mean all.
    pub(super) fn parse(fields: &Value) -> Result<Self, QueryError> {
        let Value::Array(names) = fields else { return Err(QueryError::FieldsNotArray) };
        if names.len() > super::MOST_FIELDS {
            return Err(QueryError::TooLarge { what: "fields", limit: super::MOST_FIELDS });
        }
        let path = |name: &Value| match name {
            Value::String(name) => Path::parse(name),
            other => {
                let reason = format!("Invalid JSON for field spec: {}", shown(other));
                Err(QueryError::refused("invalid_field", reason))
            }
        };
        names.iter().map(path).collect::<Result<_, _>>().map(Self)
    }

    /// The document's fields as a JSON object with sorted names; fields that it lacks are left out.
    pub(super) fn apply(&self, key: &str, value: &[u8]) -> Bytes {
        let document = document::read(key, value).unwrap_or_default();
        let mut fields = Map::new();
        for path in &self.0 {
            if let Found::Value(value) = path.find(&document) {
                path.set(&mut fields, value.clone());
            }
        }
        for name in NOT_RETURNED {
            fields.remove(name);
        }
        let mut result = Value::Object(fields);
        result.sort_all_objects();
        Bytes::from(result.to_string())
    }
}
