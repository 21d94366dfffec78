//! What is on a channel: its blocks, its transactions, and the events of chaincodes.

pub(crate) mod block;
mod checkpoint;
mod document;
pub(crate) mod events;
pub(crate) mod tx;
mod view;

use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::StreamExt;
use selvedge_client::connect::{ConnectionOptions, Role, Settings};
use selvedge_client::{BlockRange, ClientError, Deliver};
use selvedge_proto::common::Block;
use serde_json::json;

use super::files::{self, NewFile};
use crate::errors;
use crate::failure::Failure;

/// The status with which Deliver answers that there is no such channel or block.
const NOT_FOUND: i32 = 404;

/// Where a command reads, and how it shows it.
#[derive(Debug, Args)]
pub(crate) struct Reading {
    /// The channel (default: the one of --config, if it has but one)
    #[arg(long, short = 'C', value_name = "CHANNEL")]
    channel: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionOptions,
}

/// The bytes as they are on the wire.
#[derive(Debug, Args)]
pub(crate) struct Raw {
    /// Write it to FILE as it is on the wire, marshalled, instead of showing it
    #[arg(long, value_name = "FILE")]
    raw: Option<PathBuf>,
    /// Replace FILE if it is there already
    #[arg(long, requires = "raw")]
    force: bool,
}

impl Reading {
    fn settings(&self) -> Result<(Settings, String), Failure> {
        let settings = self.connection.settings(Role::Client)?;
        let channel = settings.channel(self.channel.as_deref())?;
        Ok((settings, channel))
    }
}

impl Raw {
    /// Writes the bytes if a file was asked for, and names it. `false` says that none was.
    fn write(&self, content: &[u8], as_json: bool) -> Result<bool, Failure> {
        let Some(path) = &self.raw else { return Ok(false) };
        let shown = path.display().to_string();
        files::write(&[NewFile { path: path.clone(), content, secret: false }], self.force)?;
        if as_json {
            super::json(&json!({ "file": shown }))?
        } else {
            super::line(&shown)?
        }
        Ok(true)
    }
}

/// The one block of a range; none if there is no such block, or no such channel.
async fn one_block(
    deliver: &Deliver,
    channel: &str,
    range: BlockRange,
) -> Result<Option<Block>, ClientError> {
    let mut blocks = deliver.blocks(channel, range).await?;
    match blocks.next().await {
        Some(Err(ClientError::Refused { status: NOT_FOUND, .. })) | None => Ok(None),
        Some(block) => block.map(Some),
    }
}

/// What a person is told who asks a peer for a channel that it does not have.
fn unread(channel: &str, error: &ClientError) -> Failure {
    errors::client(format!("{channel} cannot be read"), error)
}

/// A path's folder, for files that are put beside it.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
