//! Each end driven alone by the recorded streams of a real network, byte for byte.

mod chaincode;
mod host;
mod query;
mod recording;
