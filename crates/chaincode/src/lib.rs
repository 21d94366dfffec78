//! Write Hyperledger Fabric chaincode in Rust and serve it as an external service under mutual TLS.
//!
//! Chaincode implements [`Chaincode`]; [`Context`] gives it the transaction's arguments and the ledger; [`Server`]
//! serves it to peers. `&Query` can only read, `&Context` can read and write.
//!
//! ```
//! use selvedge::{Chaincode, Context, LedgerError, Response, async_trait};
//!
//! /// Counts up a key and returns its new value.
//! struct Counter;
//!
//! impl Counter {
//!     async fn count(&self, ctx: &Context, key: &str) -> Result<u64, LedgerError> {
//!         let before = ctx.get(key).await?;
//!         let text = before.as_deref().map(String::from_utf8_lossy);
//!         let count = text.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) + 1;
//!         ctx.put(key, count.to_string()).await?;
//!         Ok(count)
//!     }
//! }
//!
//! #[async_trait]
//! impl Chaincode for Counter {
//!     async fn invoke(&self, ctx: &Context) -> Response {
//!         match ctx.function_and_parameters() {
//!             Ok(("count", parameters)) if parameters.len() == 1 => {
//!                 match self.count(ctx, parameters[0]).await {
//!                     Ok(count) => Response::success(count.to_string()),
//!                     Err(error) => Response::error(error.to_string()),
//!                 }
//!             }
//!             Ok((unknown, _)) => Response::error(format!("there is no function {unknown}")),
//!             Err(error) => Response::error(error.to_string()),
//!         }
//!     }
//! }
//! ```
//!
//! # What always holds
//!
//! * **Calls may be joined, raced and dropped.** A transaction has one request under way; further ones wait their turn.
//!   Whatever has been polled once is sent, in that order, whether or not its future is dropped later, so that every
//!   peer records the same reads; and no caller receives another's reply. What a contract does must not depend on time
//!   or chance: race calls with `select!` only in its `biased` form.
//! * **Contracts may compute and block.** They run on threads of their own, at most
//!   [`Server::contract_threads`] at once, and never on those that serve connections. `tokio::spawn` and timers work
//!   inside of them; what is spawned must not block.
//! * **A panic, a message that is too large or an answer that cannot be read** fails its own transaction only.
//! * **When a stream ends**, its contracts are cancelled at their next `await`.
//!
//! # Limits
//!
//! | What | How much | Over it |
//! |---|---|---|
//! | a message, in both directions | 100 MiB | [`ArgumentError::TooLarge`], or the transaction fails |
//! | transactions of a stream | [`SessionLimits::transactions`] | a further one fails |
//! | their arguments together | 400 MiB a stream | a further transaction fails |
//! | calls of a transaction that wait | [`SessionLimits::queued_requests`] | a further call waits to be begun |
//! | streams of a connection | 64 | the peer waits |
//! | connections and handshakes | [`tls::Limits`] | refused |
//! | answers that a peer does not read | one for each transaction, or 100 MiB | the peer is not read either |

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
