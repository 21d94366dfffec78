//! Chaincode packages: package ids, metadata.json, connection.json, archives, and the chaincode-as-a-service
//! builder.
//!
//! | Module | Holds |
//! |---|---|
//! | [`id`] | package ids (`label:sha256`) and the rule for labels |
//! | [`metadata`] | `metadata.json` |
//! | [`connection`] | `connection.json` with Fabric's exact types, and what the peer makes of it |
//! | [`GoDuration`] | Go's duration texts, such as `1m30s` |
//! | [`pack`] | making packages that are equal to the byte whenever their content is |
//! | [`parse`] | reading packages that anybody may have written |
//! | [`unpack`] | laying `code.tar.gz` out in a folder |
//! | [`builder`] | detect, build and release with the effect of Fabric's stock ccaas builder |
//! | [`template`] | the part of Go's text templates that connection.json can use |
//!
//! # Where the rules differ from Fabric's
//!
//! What Fabric accepts is accepted and gets the same id, with these exceptions, each of them on purpose:
//! * everything is bounded ([`Limits`]); Fabric reads whatever it is sent;
//! * a package with two `metadata.json` or two `code.tar.gz` is refused: Fabric checks the last of them and gives
//!   the first to its builders;
//! * archives that different tar readers understand differently are refused (sparse files, broken or repeated
//!   extended headers, an entry cut off inside its padding), and in code.tar.gz also a repeated file, a file
//!   under a file, and a name that is not UTF-8;
//! * JSON with unpaired surrogates, numbers beyond a 64-bit float or more than 128 levels does not decode.
#![forbid(unsafe_code)]

mod archive;
pub mod builder;
pub mod connection;
pub mod error;
pub mod id;
mod json;
pub mod metadata;
pub mod pack;
pub mod parse;
pub mod template;
pub mod unpack;

pub use archive::Limits;
pub use connection::Connection;
pub use error::{JsonError, PackageError};
pub use id::PackageId;
pub use metadata::Metadata;
pub use pack::PackageBuilder;
pub use parse::{IndexFile, Package};
pub use selvedge_proto::duration::GoDuration;
