use std::cmp::Ordering;

use serde_json::Value;

use super::QueryError;
use super::collation::{compare, compare_id};
use super::error::shown;
use super::path::{Found, Path};

/// By which fields results are sorted. Results of the same fields are in the order of their keys.
///
/// In CouchDB the order is that of an index, and so are its rules: all fields go the same way, and a document that
/// lacks one of them is not among the results.
#[derive(Debug, Default)]
pub(super) struct Sort {
    paths: Vec<Path>,
    pub(super) is_descending: bool,
}

impl Sort {
    /// Reads the member `sort` of a query; an empty one does not sort.
    pub(super) fn parse(sort: &Value) -> Result<Self, QueryError> {
        let Value::Array(specs) = sort else {
            let reason = format!("Sort must be an array of sort specs, not: {}", shown(sort));
            return Err(QueryError::refused("invalid_sort_json", reason));
        };
        if specs.len() > super::MOST_FIELDS {
            return Err(QueryError::TooLarge { what: "sort fields", limit: super::MOST_FIELDS });
        }
        let mut parsed = Self::default();
        for (at, spec) in specs.iter().enumerate() {
            let (name, is_descending) = field(spec)?;
            if at > 0 && is_descending != parsed.is_descending {
                let reason = "Sorts currently only support a single direction for all fields.";
                return Err(QueryError::refused("unsupported_mixed_sort", reason));
            }
            parsed.is_descending = is_descending;
            parsed.paths.push(Path::parse(name)?);
        }
        Ok(parsed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.paths.len()
    }

    /// The values by which a document is sorted, if it has them all.
    pub(super) fn values(&self, document: &Value) -> Option<Vec<Value>> {
        let value = |path: &Path| match path.find(document) {
            Found::Value(value) => Some(value.clone()),
            Found::Missing | Found::NoPath => None,
        };
        self.paths.iter().map(value).collect()
    }

    /// Compares two results by their values and keys.
    pub(super) fn compare(&self, a: (&[Value], &str), b: (&[Value], &str)) -> Ordering {
        let compare_values = |((path, a), b): ((&Path, &Value), &Value)| {
            if path.is_id() { compare_id(a, b) } else { compare(a, b) }
        };
        let differs = self.paths.iter().zip(a.0).zip(b.0).map(compare_values).find(|order| order.is_ne());
        let order = differs.unwrap_or_else(|| a.1.cmp(b.1));
        if self.is_descending { order.reverse() } else { order }
    }
}

/// A field's name and whether it is sorted downwards.
fn field(spec: &Value) -> Result<(&str, bool), QueryError> {
    let found = match spec {
        Value::String(name) => Some((name.as_str(), false)),
        Value::Object(members) if members.len() == 1 => {
            members.iter().next().and_then(|(name, direction)| match direction.as_str() {
                Some("asc") => Some((name.as_str(), false)),
                Some("desc") => Some((name.as_str(), true)),
                _ => None,
            })
        }
        _ => None,
    };
    found.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        QueryError::refused("invalid_sort_field", format!("Invalid sort field: {}", shown(spec)))
    })
}
