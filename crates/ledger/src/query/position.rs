use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::QueryError;

/// Where a result stands in the order of its query: the values that it is sorted by, and its key.
///
/// As text it is a bookmark. It names no snapshot and no offset, so that the next page begins behind it whatever was
/// written in between: what is written before it is not seen, what is written behind it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Position {
    pub(super) values: Vec<Value>,
    pub(super) key: String,
}

impl Position {
    pub(super) fn to_bookmark(&self) -> String {
        URL_SAFE_NO_PAD.encode(
            Value::from(vec![Value::from(self.key.as_str()), Value::from(self.values.clone())]).to_string(),
        )
    }

    /// Reads a bookmark of a query that is sorted by so many fields.
    pub(super) fn from_bookmark(bookmark: &str, fields: usize) -> Result<Self, QueryError> {
        let read = || {
            let text = URL_SAFE_NO_PAD.decode(bookmark).ok()?;
            let (key, values): (String, Vec<Value>) = serde_json::from_slice(&text).ok()?;
            (values.len() == fields).then_some(Self { values, key })
        };
        read().ok_or_else(|| QueryError::bookmark(bookmark))
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.values.iter().map(weight).sum::<usize>()
    }
}

fn weight(value: &Value) -> usize {
    size_of::<Value>()
        + match value {
            Value::String(text) => text.len(),
            Value::Array(elements) => elements.iter().map(weight).sum(),
            Value::Object(fields) => fields.iter().map(|(name, field)| 64 + name.len() + weight(field)).sum(),
            _ => 0,
        }
}
