//! The server over real sockets with mutual TLS; the test plays the peer.

mod batching;
mod calls;
mod contract_layer;
mod contracts;
mod dialogue;
mod golden;
mod health;
mod hostile;
mod keepalive;
#[cfg(feature = "operations")]
mod operations;
mod peer;
mod refusals;
mod renewal;
mod several;
mod stopping;
mod strangers;
mod support;
mod threads;
