//! Contracts: functions with typed parameters and results that clients call by name.
//!
//! [`contract`](macro@crate::contract) makes a [`Contract`] of an `impl` block, and every contract is a
//! [`Chaincode`](crate::Chaincode). [`Contracts`] puts several into one chaincode.
//!
//! # Which function is called
//!
//! The first argument names it, as in Go's contracts: `function` in the default contract, `contract:function` in
//! another one, split at the last colon. If no function has exactly that name, its first letter is made upper case. The
//! contract `org.hyperledger.fabric` is always there; its function `GetMetadata` describes all the others.
//!
//! # What travels how
//!
//! The type of a parameter or result alone decides how its bytes are read or written.
//!
//! | Type | Parameter | Result |
//! |---|---|---|
//! | `String` | the bytes as UTF-8 text | the text |
//! | `Vec<u8>`, [`Bytes`] | the bytes | the bytes |
//! | integers | decimal; nothing counts as 0 | decimal |
//! | `f32`, `f64` | decimal, with an exponent or not; nothing counts as 0 | as Go prints them, such as `1e+06` |
//! | `bool` | `1 t T TRUE true True 0 f F FALSE false False`; nothing counts as false | `true` or `false` |
//! | `()` | | nothing |
//! | all others | JSON | JSON in one line with sorted keys; nothing if it is `null` |
//!
//! Keys are sorted by their bytes and nothing is escaped for HTML, so all endorsers give the same bytes. An `Option` is
//! of the last kind, whatever is in it: the parameter is `null` or the JSON of its value.
//!
//! Parameters that a function does not take are ignored. An error's text (`Display`) is the message of a response with
//! status 500; one that has an [`ErrorCode`] stands behind it, with the code's status.
//!
//! # Hooks
//!
//! ```
//! use selvedge::{Context, LedgerError, Query, Response, contract};
//!
//! struct Guarded;
//!
//! #[contract]
//! impl Guarded {
//!     /// Before any function is looked for; an error ends the transaction.
//!     #[before_transaction]
//!     async fn check(&self, ctx: &Query) -> Result<(), String> {
//!         let client = ctx.client_identity().map_err(|error| error.to_string())?;
//!         client.assert_attribute("member", "true").map_err(|error| error.to_string())
//!     }
//!
//!     /// After a function that succeeded; an error takes its response's place.
//!     #[after_transaction]
//!     async fn limit(&self, _ctx: &Query, response: &Response) -> Result<(), String> {
//!         if response.payload.len() > 1 << 20 { Err("ask for less".to_owned()) } else { Ok(()) }
//!     }
//!
//!     /// Instead of a function that there is not.
//!     #[unknown_transaction]
//!     async fn unknown(&self, _ctx: &Query, function: &str) -> Result<(), String> {
//!         Err(format!("{function} has been renamed, or never was"))
//!     }
//!
//!     #[transaction]
//!     async fn put(&self, ctx: &Context, key: String, value: String) -> Result<(), LedgerError> {
//!         ctx.put(&key, value).await
//!     }
//! }
//! ```
//!
//! # Metadata
//!
//! `GetMetadata` describes the contracts by their types. A file `META-INF/metadata.json` of the working folder, or
//! `contract-metadata/metadata.json`, takes the place of whole sections of it (`info`, `contracts`, `components`), as in
//! Go.

mod arguments;
mod call;
mod errors;
mod metadata;
mod results;
mod routing;
mod schema;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::{Context, Response};

pub use arguments::ParameterError;
pub use call::{Call, CallError, IntoArgument};
pub use routing::Contracts;

#[doc(hidden)]
pub use arguments::{Arguments, collection, transient};
pub use errors::ErrorCode;
#[doc(hidden)]
pub use errors::{CodedFailure, CodedResult, Failure, PlainFailure, PlainResult, ResultOf};
#[doc(hidden)]
pub use metadata::TransactionDescription;
pub(crate) use results::canonical_json;
#[doc(hidden)]
pub use results::succeed;
#[doc(hidden)]
pub use schema::{AnySchema, DerivedSchema, SchemaOf, Schemas};

/// A function of a contract that runs.
pub type Pending<'a> = Pin<Box<dyn Future<Output = Result<Response, ParameterError>> + Send + 'a>>;

/// Functions that clients call by name. The attribute [`contract`](macro@crate::contract) implements it.
pub trait Contract: Send + Sync + 'static {
    /// What clients write before the colon.
    fn name(&self) -> &str;

    /// Whether it was marked as the one that is meant when clients name none.
    fn is_default(&self) -> bool;

    /// Its functions, for the metadata.
    #[doc(hidden)]
    fn describe(&self, schemas: &mut Schemas) -> Vec<TransactionDescription>;

    /// Calls the function of exactly this name; `None` if there is no such function.
    fn call<'a>(&'a self, function: &str, ctx: &'a Context, parameters: &'a [Bytes]) -> Option<Pending<'a>>;

    /// Runs before a function is looked for. An error's response ends the transaction.
    fn before<'a>(&'a self, _ctx: &'a Context) -> Option<Pending<'a>> {
        None
    }

    /// Runs when a function has succeeded, with its response. An error's response takes its place.
    fn after<'a>(&'a self, _ctx: &'a Context, _response: &'a Response) -> Option<Pending<'a>> {
        None
    }

    /// Runs instead of a function that there is not.
    fn unknown<'a>(&'a self, _ctx: &'a Context, _function: &'a str) -> Option<Pending<'a>> {
        None
    }
}
