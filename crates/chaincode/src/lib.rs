//! Write Hyperledger Fabric chaincode in Rust and serve it as an external service under mutual TLS.
//!
//! Chaincode implements [`Chaincode`]; [`Context`] gives it the transaction's arguments and the ledger; [`Server`]
//! serves it to peers. `&Query` can only read, `&Context` can read and write.
//!
//! ```no_run
//! use selvedge::{Chaincode, Context, Response, Server, async_trait};
//!
//! struct Echo;
//!
//! #[async_trait]
//! impl Chaincode for Echo {
//!     async fn invoke(&self, ctx: &Context) -> Response {
//!         match ctx.function_and_parameters() {
//!             Ok((function, _)) => Response::success(function.to_owned()),
//!             Err(error) => Response::error(error.to_string()),
//!         }
//!     }
//! }
//! ```

mod calls;
mod chaincode;
mod context;
mod contract;
mod driver;
mod error;
mod iterator;
mod message;
mod outbox;
mod proposal;
mod response;
mod server;
mod stream;
mod workers;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use chaincode::Chaincode;
pub use context::{Context, Query};
pub use error::{ArgumentError, LedgerError};
pub use iterator::{StateEntry, StateIterator};
pub use response::Response;
pub use selvedge_identity::creator;
pub use selvedge_session::chaincode::Limits as SessionLimits;
pub use selvedge_tls as tls;
pub use server::{BoundServer, Server, ServerError};
