//! The members of a query beside its selector, checked as CouchDB does.

use serde_json::{Map, Value};

use super::QueryError;
use super::error::shown;

/// What a query has that changes its results, beside selector, sort and fields.
pub(super) struct Options {
    pub(super) skip: u64,
    pub(super) bookmark: String,
}

/// Takes the options out of a query's members and checks them. What tells CouchDB how to go about it (`use_index`,
/// `r`, `conflicts`, `stale`, `update`, `stable`, `execution_stats`) has no effect; `limit` has none on Fabric either,
/// which puts its own in its place.
pub(super) fn take(members: &mut Map<String, Value>) -> Result<Options, QueryError> {
    members.remove("limit");
    let index = use_index(members.remove("use_index").as_ref())?;
    let bookmark = match members.remove("bookmark") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(bookmark)) => bookmark,
        Some(other) => {
            let reason = format!("Invalid bookmark value: {}", shown(&other));
            return Err(QueryError::refused("invalid_bookmark", reason));
        }
    };
    let skip = match members.remove("skip") {
        None => 0,
        Some(skip) => skip.as_u64().ok_or_else(|| {
            let reason = format!("{} is not an integer greater than or equal to zero", shown(&skip));
            QueryError::refused("invalid_non_neg_integer", reason)
        })?,
    };
    if members.remove("partition").is_some_and(|partition| partition != "") {
        let reason = "`partition` parameter is not supported in this database.";
        return Err(QueryError::refused("bad_request", reason));
    }
    if let Some(quorum) = members.remove("r")
        && quorum.as_u64().is_none_or(|quorum| quorum == 0)
    {
        let reason = format!("{} is not an integer greater than zero", shown(&quorum));
        return Err(QueryError::refused("invalid_pos_integer", reason));
    }
    if let Some(stale) = members.remove("stale")
        && stale != "ok"
        && stale != "false"
        && stale != false
    {
        let reason = format!("Invalid value for stale: {}", shown(&stale));
        return Err(QueryError::refused("invalid_value", reason));
    }
    for name in ["conflicts", "update", "stable", "execution_stats"] {
        boolean(members.remove(name))?;
    }
    if boolean(members.remove("allow_fallback"))? == Some(false) {
        return Err(QueryError::refused("invalid_index", no_such_index(&index)));
    }
    match members.keys().min() {
        None => Ok(Options { skip, bookmark }),
        Some(unknown) => {
            Err(QueryError::refused("invalid_key", format!("Invalid key {unknown} for this request.")))
        }
    }
}

fn boolean(value: Option<Value>) -> Result<Option<bool>, QueryError> {
    match value {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(other) => {
            let reason = format!("Invalid boolean value: {}", shown(&other));
            Err(QueryError::refused("invalid_boolean", reason))
        }
    }
}

/// The design document and, if it is said, the name of an index.
fn use_index(value: Option<&Value>) -> Result<Vec<String>, QueryError> {
    let names = match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(name)) => {
            let name = name.strip_prefix("_design/").unwrap_or(name);
            Some(name.split('/').map(str::to_owned).collect())
        }
        Some(Value::Array(names)) => names.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    };
    names.filter(|names: &Vec<_>| names.len() <= 2).ok_or_else(|| {
        let name = value.map(shown).unwrap_or_default();
        QueryError::refused("invalid_index_name", format!("Invalid index name: {name}"))
    })
}

fn no_such_index(names: &[String]) -> String {
    match names {
        [] => "You must specify an index with the `use_index` parameter.".to_owned(),
        names => {
            let names = names.join(", ");
            format!("_design/{names} specified by `use_index` could not be found or it is not suitable.")
        }
    }
}
