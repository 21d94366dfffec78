//! Hyperledger Fabric's messages and services.
//!
//! The types are generated at build time, by protox and tonic-prost-build, from the `.proto` files in this
//! crate's `proto` folder; no protoc is needed. Module names are Fabric's protobuf packages: [`protos`] holds
//! the chaincode stream, proposals, transactions and events; [`common`] blocks, envelopes, policies and
//! channel configuration; [`rwset`] and [`kvrwset`] what a simulation read and wrote.
//!
//! Every `bytes` field is a [`bytes::Bytes`] that shares the buffer it was decoded from, and every map is
//! ordered, so that one value has one encoding.

// The generated code carries the comments of the `.proto` files; what they leave out is plain from the names.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::disallowed_methods,
    rustdoc::all
)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/selvedge.rs"));
}

pub use generated::{
    common, discovery, etcdraft, gateway, google, gossip, kvrwset, lifecycle, msp, orderer, protos,
    queryresult, rwset,
};
pub use {bytes, prost, prost_types};

pub mod bounds;
pub mod duration;
pub mod wire;

/// The most bytes of one message in either direction that Fabric's peers, orderers and chaincodes take: 100 MiB.
pub const MESSAGE_BYTES: usize = 100 << 20;

/// The encoded `google.protobuf.FileDescriptorSet` of everything in this crate.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
