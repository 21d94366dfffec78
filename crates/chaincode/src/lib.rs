//! Write Hyperledger Fabric chaincode in Rust and serve it as an external service under mutual TLS.
//!
//! A contract is an `impl` block with [`macro@contract`], its functions with [`macro@transaction`]. `&Query` can only
//! read, `&Context` can read and write; [`Server`] serves it to peers.
//!
//! ```
//! use selvedge::{Context, LedgerError, Query, contract};
//!
//! /// Counts how often each key was counted.
//! struct Counter;
//!
//! #[contract(rename_all = "PascalCase")]
//! impl Counter {
//!     /// Counts a key up by `step` and returns its new count.
//!     #[transaction]
//!     async fn count(&self, ctx: &Context, key: String, step: u64) -> Result<u64, LedgerError> {
//!         let count = self.read(ctx, key.clone()).await? + step;
//!         ctx.put(&key, count.to_string()).await?;
//!         ctx.set_event("Counted", key)?;
//!         Ok(count)
//!     }
//!
//!     #[transaction]
//!     async fn read(&self, ctx: &Query, key: String) -> Result<u64, LedgerError> {
//!         let value = ctx.get(&key).await?;
//!         let text = value.as_deref().map(String::from_utf8_lossy);
//!         Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
//!     }
//! }
//!
//! # async fn main_of_the_program() -> selvedge::Result<()> {
//! selvedge::serve(Counter).await // address, package id, TLS and trust from arguments, environment or a file
//! # }
//! ```
//!
//! [`serve()`] is the whole `main` of most chaincode; [`settings`] says what it can be told. [`Server`] is for programs that
//! do it themselves.
//!
//! Clients call `Count` and `Read`. [`mod@contract`] says how arguments and results travel and how a chaincode holds
//! several contracts. [`Chaincode`] is the layer below: arguments in, response out.
//!
//! # Features
//!
//! None is on by default, and nothing else depends on them.
//!
//! * `metadata`: the contract's metadata holds JSON Schemas of its own types, if they derive `schemars::JsonSchema`;
//!   `schemars` is exported for that. Without it only the types that travel in a form of their own are described, and all
//!   else is allowed.
//! * `operations`: a port beside the peers' with `/livez`, `/readyz` and `/metrics`.
//! * `otel`: transactions and their requests become traces at an OpenTelemetry collector.
//!
//! `docs/server.md` of the project tells more of the last two.
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
mod checks;
mod client_identity;
mod composite_key;
mod context;
pub mod contract;
mod driver;
mod error;
mod in_process;
mod iterator;
mod key_policy;
mod message;
mod meter;
#[cfg(feature = "operations")]
mod operations;
mod outbox;
mod proposal;
mod register;
mod response;
mod serve;
mod server;
pub mod settings;
mod state;
mod stream;
#[cfg(feature = "otel")]
mod traces;
mod transaction;
mod workers;

pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use chaincode::Chaincode;
pub use checks::CheckError;
pub use client_identity::{ClientIdentity, ClientIdentityError};
pub use composite_key::CompositeKey;
pub use context::{Collection, CollectionContext, Context, Query};
pub use contract::{Call, Contract, Contracts, ErrorCode};
pub use error::{ArgumentError, LedgerError};
pub use in_process::{InProcess, PeerEnd};
pub use iterator::{
    HistoryIterator, KeyModification, ResultIterator, ResultRow, StateEntry, StateIterator, StatePage,
};
pub use key_policy::{KeyPolicy, KeyRole};
#[cfg(feature = "operations")]
pub use operations::Operations;
pub use register::{LaunchingPeer, RegisterError};
pub use response::Response;
#[cfg(feature = "metadata")]
pub use schemars;
pub use selvedge_identity::creator;
pub use selvedge_macros::{ErrorCode, State, contract, transaction};
pub use selvedge_session::chaincode::Limits as SessionLimits;
pub use selvedge_tls as tls;
pub use serve::{Result, ServeError, serve, serve_with};
pub use server::{BoundServer, NotReady, Server, ServerError};
pub use state::State;
#[cfg(feature = "otel")]
pub use traces::{Traces, TracesError};
pub use transaction::TRACE_TARGET;
