//! The commands that do one thing and end.

pub(crate) mod chain;
pub(crate) mod chaincode;
pub(crate) mod completions;
pub(crate) mod definition;
pub(crate) mod explain;
mod files;
pub(crate) mod inspect;
pub(crate) mod package;
pub(crate) mod tls;
pub(crate) mod transact;

use serde_json::Value;

use crate::errors;
use crate::failure::Failure;
use crate::output;

/// Writes a line of the result to standard output.
fn line(text: &str) -> Result<(), Failure> {
    output::result(text).map_err(|error| errors::output(&error))
}

/// Writes a JSON document as the result.
fn json(value: &Value) -> Result<(), Failure> {
    line(&output::document(value))
}
