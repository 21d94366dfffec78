//! What a selector says of one value, and how documents are matched against it.

use std::cmp::Ordering;
use std::collections::HashSet;

use regex::bytes::Regex;
use serde_json::Value;

use super::collation::{self, compare, compare_id};
use super::path::{Found, Path};
use super::selector::Selector;

#[derive(Debug)]
pub(super) enum Condition {
    Compare(Comparison, Value),
    /// Equal to one of the values; for an array, if one of its elements is. The values are in their order.
    In(Vec<Value>),
    /// Not [`Condition::In`].
    Nin(Vec<Value>),
    /// The value exists when a condition is looked at; `false` matches only where [`Selector::Field`] finds nothing.
    Exists(bool),
    Type(String),
    Mod {
        divisor: i128,
        remainder: i128,
    },
    Regex(Box<Regex>),
    BeginsWith(String),
    Size(u64),
    All(All),
    ElemMatch(Box<Selector>),
    AllMatch(Box<Selector>),
    KeyMapMatch(Box<Selector>),
    Not(Box<Condition>),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Lt,
    Lte,
    Eq,
    Ne,
    Gte,
    Gt,
}

/// The values that an array must have, all of them.
#[derive(Debug)]
pub(super) struct All {
    texts: HashSet<String>,
    /// The only value if it is an array, to which the array may be equal instead.
    whole: Option<Value>,
}

/// CouchDB cannot tell: it fails on a `$nor` below `$elemMatch` and the like, and takes that for no match.
struct Undecided;

impl Selector {
    /// Whether a document matches.
    pub(super) fn matches(&self, document: &Value) -> bool {
        self.decide(document).unwrap_or(false)
    }

    fn decide(&self, value: &Value) -> Result<bool, Undecided> {
        match self {
            Self::All => Ok(true),
            Self::None => Ok(false),
            Self::And(members) => {
                for member in members {
                    if !member.decide(value)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Or(members) => {
                for member in members {
                    if member.decide(value)? {
                        return Ok(true);
                    }
                }
                Ok(members.is_empty())
            }
            Self::Not(negated) => negated.decide(value).map(|matches| !matches),
            Self::Nor(_) => Err(Undecided),
            Self::Field(path, condition) => Ok(match path.find(value) {
                Found::Value(found) => condition.holds(found, path),
                Found::Missing => matches!(condition, Condition::Exists(false)),
                Found::NoPath => false,
            }),
        }
    }
}

impl Condition {
    pub(super) fn is_in(values: &[Value]) -> Self {
        let mut values = values.to_vec();
        values.sort_by(compare);
        Self::In(values)
    }

    pub(super) fn all(values: &[Value]) -> Self {
        let whole = match values {
            [whole @ Value::Array(_)] => Some(whole.clone()),
            _ => None,
        };
        Self::All(All { texts: values.iter().map(collation::selector_text).collect(), whole })
    }

    pub(super) fn negate(self) -> Self {
        match self {
            Self::Compare(comparison, value) => Self::Compare(comparison.negate(), value),
            Self::In(values) => Self::Nin(values),
            Self::Nin(values) => Self::In(values),
            Self::Exists(exists) => Self::Exists(!exists),
            Self::Not(condition) => *condition,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Whether it holds of the value that was found at the path.
    fn holds(&self, value: &Value, path: &Path) -> bool {
        match self {
            Self::Compare(comparison, argument) if path.is_id() => {
                comparison.holds(compare_id(value, argument))
            }
            Self::Compare(comparison, argument) => comparison.holds(compare(value, argument)),
            Self::In(values) => is_in(value, values, path),
            Self::Nin(values) => !is_in(value, values, path),
            Self::Exists(exists) => *exists,
            Self::Type(name) => name == type_name(value),
            Self::Mod { divisor, remainder } => value
                .as_number()
                .and_then(collation::whole)
                .and_then(|whole| whole.checked_rem(*divisor))
                .is_some_and(|rest| rest == *remainder),
            Self::Regex(pattern) => value.as_str().is_some_and(|text| pattern.is_match(text.as_bytes())),
            Self::BeginsWith(prefix) => value.as_str().is_some_and(|text| text.starts_with(prefix)),
            Self::Size(size) => value.as_array().is_some_and(|elements| elements.len() as u64 == *size),
            Self::All(all) => value.as_array().is_some_and(|elements| all.holds(value, elements)),
            Self::ElemMatch(selector) => value.as_array().is_some_and(|elements| any(selector, elements)),
            Self::AllMatch(selector) => value.as_array().is_some_and(|elements| {
                !elements.is_empty() && elements.iter().all(|element| selector.matches(element))
            }),
            Self::KeyMapMatch(selector) => value.as_object().is_some_and(|fields| {
                let names: Vec<_> = fields.keys().map(|name| Value::from(name.as_str())).collect();
                any(selector, &names)
            }),
            Self::Not(condition) => !condition.holds(value, path),
        }
    }
}

impl All {
    fn holds(&self, value: &Value, elements: &[Value]) -> bool {
        if self.whole.as_ref().is_some_and(|whole| collation::same(whole, value)) {
            return true;
        }
        if self.texts.is_empty() {
            return false;
        }
        let mut lacking: HashSet<_> = self.texts.iter().map(String::as_str).collect();
        for element in elements {
            lacking.remove(collation::document_text(element).as_str());
        }
        lacking.is_empty()
    }
}

impl Comparison {
    pub(super) fn named(operator: &str) -> Option<Self> {
        Some(match operator {
            "$lt" => Self::Lt,
            "$lte" => Self::Lte,
            "$eq" => Self::Eq,
            "$ne" => Self::Ne,
            "$gte" => Self::Gte,
            "$gt" => Self::Gt,
            _ => return None,
        })
    }

    fn negate(self) -> Self {
        match self {
            Self::Lt => Self::Gte,
            Self::Lte => Self::Gt,
            Self::Eq => Self::Ne,
            Self::Ne => Self::Eq,
            Self::Gte => Self::Lt,
            Self::Gt => Self::Lte,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Lt => order.is_lt(),
            Self::Lte => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
            Self::Gte => order.is_ge(),
            Self::Gt => order.is_gt(),
        }
    }
}

/// Whether one of the values matches, up to the first on which CouchDB fails.
fn any(selector: &Selector, values: &[Value]) -> bool {
    let decided =
        values.iter().map(|value| selector.decide(value)).find(|decided| !matches!(decided, Ok(false)));
    matches!(decided, Some(Ok(true)))
}

fn is_in(value: &Value, values: &[Value], path: &Path) -> bool {
    let is_one = |value: &Value| {
        if path.is_id() {
            values.iter().any(|other| compare_id(value, other).is_eq())
        } else {
            values.binary_search_by(|other| compare(other, value)).is_ok()
        }
    };
    match value {
        Value::Array(elements) => elements.iter().any(is_one),
        value => is_one(value),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
