use serde_json::Value;

/// Why a rich query was refused. The texts are those that a Fabric peer with CouchDB gives the chaincode, except that
/// values are shown as JSON, where CouchDB shows Erlang terms.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query is no JSON object.
    #[error("the query is not a JSON object: {reason}")]
    NotJson {
        /// What is wrong with it.
        reason: String,
    },
    /// `fields` is no array. Fabric looks at it before CouchDB does.
    #[error("fields definition must be an array")]
    FieldsNotArray,
    /// CouchDB refuses such a query.
    #[error("error handling CouchDB request. Error:{error},  Status Code:400,  Reason:{reason}")]
    Refused {
        /// CouchDB's name of the error.
        error: &'static str,
        /// CouchDB's reason.
        reason: String,
    },
    /// The query is larger than this peer's bounds.
    #[error("the query has {what} beyond the limit of {limit}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The places of the results take more memory than one query may have.
    #[error(
        "the results of the query take more than {limit} bytes to collect; ask for pages, for a narrower selector, or \
         sort by shorter fields"
    )]
    TooManyResults {
        /// The limit in bytes.
        limit: usize,
    },
}

/// How much of a refused value an error shows.
const SHOWN: usize = 200;

impl QueryError {
    pub(super) fn refused(error: &'static str, reason: impl Into<String>) -> Self {
        Self::Refused { error, reason: reason.into() }
    }

    /// An operator's argument is not of the kind that it takes.
    pub(super) fn bad_argument(operator: &str, argument: &Value) -> Self {
        Self::refused("bad_arg", format!("Bad argument for operator {operator}: {}", shown(argument)))
    }

    pub(super) fn unsupported(operator: &str) -> Self {
        Self::refused("not_supported", format!("Unsupported operator: {operator}"))
    }

    pub(super) fn field_name(name: &str) -> Self {
        Self::refused("invalid_field_name", format!("Invalid field name: {}", cut(name.to_owned())))
    }

    pub(super) fn bookmark(bookmark: &str) -> Self {
        let shown = shown(&Value::from(bookmark));
        Self::refused("invalid_bookmark", format!("Invalid bookmark value: {shown}"))
    }
}

/// The beginning of a value as JSON.
pub(super) fn shown(value: &Value) -> String {
    cut(value.to_string())
}

fn cut(mut text: String) -> String {
    if text.len() > SHOWN {
        text.truncate(text.floor_char_boundary(SHOWN));
        text.push('…');
    }
    text
}
