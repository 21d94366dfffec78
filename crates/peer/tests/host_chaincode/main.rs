//! The chaincode host against real chaincode servers, over mutual TLS unless the test says otherwise.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "../host_server/mod.rs"]
mod host_server;
mod launching;
mod support;
mod transactions;
