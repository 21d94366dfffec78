//! Both ends of Fabric's chaincode stream as pure state machines, without sockets or clocks.
//!
//! A stream carries one kind of message, [`ChaincodeMessage`](selvedge_proto::protos::ChaincodeMessage), in
//! both directions. The chaincode speaks first:
//!
//! ```text
//! chaincode           peer
//!    | REGISTER ------->|     created
//!    |<----- REGISTERED |     established
//!    |<---------- READY |     ready
//!    |<---- TRANSACTION |     a transaction, named by channel and transaction id
//!    | GET_STATE ------>|     at most one request of a transaction is open at a time
//!    |<------- RESPONSE |
//!    | COMPLETED ------>|
//! ```
//!
//! * [`chaincode`] is the end that a shim implements, [`host`] the end that a peer implements.
//! * [`request`] gives every request of a chaincode a type with its reply, for both ends.
//! * [`query`] is the peer's bookkeeping of open iterators.
//!
//! Each state is a type. A message is handed to `receive`, which consumes the state and returns the next one
//! together with what is to be sent and what happened; a message that breaks the protocol yields [`Ended`]
//! instead, so that nothing can go on with a broken stream. Nothing here waits, sends or reads a clock, and
//! everything that the other side could make grow has a limit.

pub mod chaincode;
pub mod host;
pub mod query;
pub mod request;

mod ended;
mod message;

pub use ended::{Ended, State, Violation};
pub use message::{Invocation, MAX_ID_LENGTH, MessageType, Ticket, TxKey, keepalive};
