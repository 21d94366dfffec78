use serde_json::{Map, Value};

use super::QueryError;

/// How long the names of one path may be together, in bytes.
const MOST_BYTES: usize = 1024;

/// The name under which selectors, sorts and fields see a document's key.
pub(super) const ID: &str = "_id";

/// Where a field lies in a document: names of fields and places in arrays. The empty path is the value itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

/// What lies at a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Found<'a> {
    Value(&'a Value),
    /// An object on the way has no such field.
    Missing,
    /// Something on the way is no object, or an array without that place. CouchDB tells this from a missing field:
    /// `{"$exists": false}` does not match it.
    NoPath,
}

impl Path {
    /// Reads a field's name, in which dots part the names of nested fields. A backslash before a dot makes it part of
    /// a name; other backslashes vanish.
    pub(super) fn parse(name: &str) -> Result<Self, QueryError> {
        Self::default().join(name)
    }

    /// The path of a field below this one.
    pub(super) fn join(&self, name: &str) -> Result<Self, QueryError> {
        if self.0.iter().map(String::len).sum::<usize>() + name.len() > MOST_BYTES {
            return Err(QueryError::TooLarge { what: "bytes of one field's name", limit: MOST_BYTES });
        }
        let mut path = self.0.clone();
        let mut part = String::new();
        let mut is_escaped = false;
        for character in name.chars() {
            if character == '.' && !is_escaped {
                path.push(std::mem::take(&mut part));
            } else {
                part.push(character);
            }
            is_escaped = character == '\\';
        }
        path.push(part);
        let added = &mut path[self.0.len()..];
        if added.iter().any(String::is_empty) {
            return Err(QueryError::field_name(name));
        }
        added.iter_mut().for_each(|part| part.retain(|character| character != '\\'));
        Ok(Self(path))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is the document's key, whose order is that of its bytes.
    pub(super) fn is_id(&self) -> bool {
        self.0 == [ID]
    }

    /// What lies there.
    pub(super) fn find<'a>(&self, value: &'a Value) -> Found<'a> {
        let mut at = value;
        for name in &self.0 {
            let next = match at {
                Value::Object(fields) => match fields.get(name) {
                    Some(field) => field,
                    None => return Found::Missing,
                },
                Value::Array(elements) => match place(name).and_then(|place| elements.get(place)) {
                    Some(element) => element,
                    None => return Found::NoPath,
                },
                _ => return Found::NoPath,
            };
            at = next;
        }
        Found::Value(at)
    }

    /// Puts a value there, into objects that are made as needed. A place in an array that the target does not have
    /// becomes a field of an object, as in CouchDB.
    pub(super) fn set(&self, target: &mut Map<String, Value>, value: Value) {
        let Some((last, way)) = self.0.split_last() else { return };
        let Some((first, way)) = way.split_first() else {
            target.insert(last.clone(), value);
            return;
        };
        let mut at = target.entry(first.clone()).or_insert_with(|| Value::Object(Map::new()));
        for name in way {
            let next = match at {
                Value::Object(fields) => {
                    Some(fields.entry(name.clone()).or_insert_with(|| Value::Object(Map::new())))
                }
                Value::Array(elements) => place(name).and_then(|place| elements.get_mut(place)),
                _ => None,
            };
            let Some(next) = next else { return };
            at = next;
        }
        match at {
            Value::Object(fields) => {
                fields.insert(last.clone(), value);
            }
            Value::Array(elements) => {
                if let Some(element) = place(last).and_then(|place| elements.get_mut(place)) {
                    *element = value;
                }
            }
            _ => {}
        }
    }
}

/// A name as a place in an array, counted from 0. Erlang reads numbers with a sign and leading zeros too.
fn place(name: &str) -> Option<usize> {
    name.parse::<i64>().ok().and_then(|place| usize::try_from(place).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parts(name: &str) -> Vec<String> {
        Path::parse(name).unwrap().0
    }

    #[test]
    fn dots_part_names_unless_escaped() {
        assert_eq!(parts("ab"), ["ab"]);
        assert_eq!(parts("a.b.c"), ["a", "b", "c"]);
        assert_eq!(parts(r"a\.b"), ["a.b"]);
        assert_eq!(parts(r"a.b\.c"), ["a", "b.c"]);
        assert_eq!(parts(r"a\b"), ["ab"]);
    }

    #[test]
    fn no_part_of_a_name_is_empty() {
        for name in ["", ".", "a..b", ".a", "a.", r"a\.b."] {
            let error = Path::parse(name).unwrap_err().to_string();
            assert!(error.ends_with(&format!("Reason:Invalid field name: {name}")), "{error}");
        }
        assert!(matches!(Path::parse(&"x".repeat(2000)), Err(QueryError::TooLarge { .. })));
    }

    #[test]
    fn missing_is_not_the_same_as_no_path() {
        let document = json!({"a": {"b": 1}, "list": [10, {"c": 11}], "text": "x"});
        let find = |name: &str| Path::parse(name).unwrap().find(&document);
        assert_eq!(find("a.b"), Found::Value(&json!(1)));
        assert_eq!(find("list.1.c"), Found::Value(&json!(11)));
        assert_eq!(find("list.+0"), Found::Value(&json!(10)));
        assert_eq!(find("a.x"), Found::Missing);
        assert_eq!(find("list.1.x"), Found::Missing);
        for name in ["a.b.c", "list.2", "list.-1", "list.x", "text.0"] {
            assert_eq!(find(name), Found::NoPath, "{name}");
        }
    }

    #[test]
    fn setting_makes_the_objects_on_the_way() {
        let mut target = Map::new();
        for (name, value) in
            [("a.b", json!(1)), ("a.c", json!(2)), ("d.0", json!(3)), ("a.b.x", json!(4)), ("e", json!([5]))]
        {
            Path::parse(name).unwrap().set(&mut target, value);
        }
        Path::parse("e.0").unwrap().set(&mut target, json!(6));
        Path::parse("e.1").unwrap().set(&mut target, json!(7));
        assert_eq!(Value::Object(target), json!({"a": {"b": 1, "c": 2}, "d": {"0": 3}, "e": [6]}));
    }
}
