//! Reads JSON objects as Go's `encoding/json` does.
//!
//! Two decoders that disagree about one document are how a hostile package shows different things to different
//! parts, so the rules are Go's: names match without regard to case, of repeated names the last one counts, null
//! leaves a field as it was, and invalid UTF-8 inside strings becomes U+FFFD. Left to the JSON library are numbers
//! beyond a 64-bit float, unpaired surrogates and nesting deeper than 128 levels: syntax errors here.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::error::JsonError;

/// The members of an object, in document order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object {
    members: Vec<(String, Value)>,
    structure: &'static str,
}

impl Object {
    /// Decodes one document; `structure` is Go's name of what it is decoded into, for error texts. The document
    /// `null` is an object without members, as in Go.
    pub(crate) fn parse(bytes: &[u8], structure: &'static str) -> Result<Self, JsonError> {
        let text = String::from_utf8_lossy(bytes);
        match serde_json::from_str::<Members>(&text) {
            Ok(members) => Ok(Self { members: members.0, structure }),
            Err(error) => match serde_json::from_str::<Value>(&text) {
                Ok(Value::Null) => Ok(Self { members: Vec::new(), structure }),
                Ok(value) => Err(JsonError::NotObject { found: type_name(&value), structure }),
                Err(_) => Err(JsonError::Syntax(error.to_string())),
            },
        }
    }

    /// A text field; empty when absent.
    pub(crate) fn text(&self, field: &'static str) -> Result<String, JsonError> {
        let mut text = String::new();
        for value in self.values(field) {
            match value {
                Value::Null => {}
                Value::String(value) => text.clone_from(value),
                other => return Err(self.type_error(other, field, "string")),
            }
        }
        Ok(text)
    }

    /// A boolean field; false when absent.
    pub(crate) fn boolean(&self, field: &'static str) -> Result<bool, JsonError> {
        let mut boolean = false;
        for value in self.values(field) {
            match value {
                Value::Null => {}
                Value::Bool(value) => boolean = *value,
                other => return Err(self.type_error(other, field, "bool")),
            }
        }
        Ok(boolean)
    }

    /// Every value given for a field, in document order.
    pub(crate) fn values(&self, field: &'static str) -> impl Iterator<Item = &Value> {
        self.members.iter().filter(move |(name, _)| folded(name) == field).map(|(_, value)| value)
    }

    /// The members that are none of `known`, in document order.
    pub(crate) fn others(&self, known: &[&str]) -> impl Iterator<Item = (&str, &Value)> {
        let known: Vec<_> = known.iter().map(|name| (*name).to_owned()).collect();
        self.members
            .iter()
            .filter(move |(name, _)| !known.contains(&folded(name)))
            .map(|(name, value)| (name.as_str(), value))
    }

    fn type_error(&self, found: &Value, field: &'static str, expected: &'static str) -> JsonError {
        JsonError::Type { found: type_name(found), structure: self.structure, field, expected }
    }
}

/// Encodes text as Go's encoder does: without `<`, `>`, `&` and the two Unicode line separators.
pub(crate) fn encode_text(text: &str) -> String {
    let plain = Value::from(text).to_string();
    let mut encoded = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                encoded.push_str(&format!("\\u{:04x}", u32::from(c)))
            }
            other => encoded.push(other),
        }
    }
    encoded
}

/// Go's word for the type of a JSON value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Go folds the Kelvin sign and the long s to the letters they look like.
fn folded(name: &str) -> String {
    name.chars()
        .map(|c| match c {
            '\u{212a}' => 'k',
            '\u{17f}' => 's',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::{Object, encode_text};
    use crate::error::JsonError;

    fn parse(text: &str) -> Object {
        Object::parse(text.as_bytes(), "T").unwrap()
    }

    #[test]
    fn names_fold_and_the_last_value_counts() {
        assert_eq!(parse(r#"{"type":"a","TYPE":"b"}"#).text("type"), Ok("b".into()));
        assert_eq!(parse(r#"{"Type":"a","type":null}"#).text("type"), Ok("a".into()));
        assert_eq!(parse("{\"tl\u{17f}_required\":true}").boolean("tls_required"), Ok(true));
        assert_eq!(parse("null").text("type"), Ok(String::new()));
    }

    #[test]
    fn an_earlier_value_of_the_wrong_type_is_an_error() {
        let error = parse(r#"{"type":1,"type":"b"}"#).text("type").unwrap_err();
        assert_eq!(
            error.to_string(),
            "json: cannot unmarshal number into Go struct field T.type of type string"
        );
    }

    #[test]
    fn other_documents_are_refused() {
        let error = Object::parse(b"[]", "T").unwrap_err();
        assert_eq!(error.to_string(), "json: cannot unmarshal array into Go value of type T");
        for text in ["", "{", "{} {}", "nope", "{\"a\":1,}"] {
            assert!(matches!(Object::parse(text.as_bytes(), "T"), Err(JsonError::Syntax(_))), "{text}");
        }
    }

    #[test]
    fn invalid_utf8_becomes_the_replacement_character() {
        let object = Object::parse(b"{\"type\":\"a\xff\"}", "T").unwrap();
        assert_eq!(object.text("type"), Ok("a\u{fffd}".into()));
    }

    #[test]
    fn text_is_escaped_as_go_does() {
        assert_eq!(encode_text("<a>&\"\n\u{2028}é"), r#""\u003ca\u003e\u0026\"\n\u2028é""#);
    }
}
