//! The server over real sockets with mutual TLS; the test plays the peer.

mod batching;
mod calls;
mod contract_layer;
mod contracts;
mod dialogue;
mod golden;
mod hostile;
mod peer;
mod stopping;
mod strangers;
mod support;
mod threads;
