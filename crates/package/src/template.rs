//! The part of Go's text templates that connection.json can use.
