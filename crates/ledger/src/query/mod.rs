//! Rich queries: CouchDB's Mango selectors with `sort`, `fields`, `skip` and bookmarks, evaluated on any ordered state.
//!
//! The rules are those that a Fabric peer with CouchDB 3 follows, read from both; `docs/rich-queries.md` says what is
//! different. There are no indexes: a query looks at every document of its namespace or collection.
//!
//! [`Query`] is what was asked, [`Search`] an execution of it: it is offered keys and values in ascending order and
//! tells the [`Matches`] at the end. Nothing here knows where the values come from.

mod collation;
mod condition;
mod document;
mod error;
mod options;
mod path;
mod pattern;
mod position;
mod projection;
mod search;
mod selector;
mod sort;

use bytes::Bytes;
use serde_json::{Map, Value};

pub use error::QueryError;
use position::Position;
use projection::Projection;
pub use search::{Matches, Search};
use selector::Selector;
use sort::Sort;

/// The most bytes of a query's text.
const MOST_BYTES: usize = 1 << 20;

/// The most fields that a query sorts by or returns.
const MOST_FIELDS: usize = 1000;

/// A rich query that was read and found to be sound.
#[derive(Debug)]
pub struct Query {
    selector: Selector,
    sort: Sort,
    projection: Option<Projection>,
    skip: u64,
    /// The bookmark as it was given.
    bookmark: String,
    /// Where the last page ended.
    after: Option<Position>,
}

impl Query {
    /// Reads a query, a JSON object with at least the member `selector`. A bookmark that is not empty takes the place of
    /// the one in the query.
    ///
    /// # Errors
    /// When CouchDB or Fabric would refuse the query, or it is beyond a bound of this peer.
    pub fn parse(text: &str, bookmark: &str) -> Result<Self, QueryError> {
        if text.len() > MOST_BYTES {
            return Err(QueryError::TooLarge { what: "bytes", limit: MOST_BYTES });
        }
        let mut members: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| QueryError::NotJson { reason: error.to_string() })?;
        let projection = members.remove("fields").as_ref().map(Projection::parse).transpose()?;
        let selector = members
            .remove("selector")
            .ok_or_else(|| QueryError::refused("missing_required_key", "Missing required key: selector"))?;
        let selector = Selector::parse(&selector)?;
        let sort = members.remove("sort").as_ref().map(Sort::parse).transpose()?.unwrap_or_default();
        let mut options = options::take(&mut members)?;
        if !bookmark.is_empty() {
            bookmark.clone_into(&mut options.bookmark);
        }
        let after = match options.bookmark.as_str() {
            "" => None,
            bookmark => Some(Position::from_bookmark(bookmark, sort.len())?),
        };
        Ok(Self { selector, sort, projection, skip: options.skip, bookmark: options.bookmark, after })
    }

    /// The first key that has to be offered to a search; keys before it cannot be among the results.
    pub fn start(&self) -> String {
        match &self.after {
            // The key right behind another in byte order is that key with a zero byte.
            Some(after) if self.sort.is_empty() => format!("{}\0", after.key),
            _ => String::new(),
        }
    }

    /// What a result holds of its document: the value as it is, or the fields that were asked for.
    pub fn result(&self, key: &str, value: Bytes) -> Bytes {
        match &self.projection {
            Some(projection) => projection.apply(key, &value),
            None => value,
        }
    }
}

#[cfg(test)]
mod tests;
