//! `selvedge block`: a block of a channel, taken apart.

use std::str::FromStr;

use clap::Args;
use prost::Message;
use selvedge_client::block::BlockContent;
use selvedge_client::{BlockPosition, BlockRange, Deliver};
use selvedge_proto::common::Block;
use serde_json::json;

use super::{NOT_FOUND, Raw, Reading, document, one_block, unread, view};
use crate::catalogue;
use crate::failure::Failure;
use crate::output::{self, Answer};

#[derive(Debug, Args)]
pub(crate) struct BlockArguments {
    /// Which block: its number, newest, oldest, next (waits for it), or config (the one with the channel's present
    /// configuration)
    #[arg(value_name = "BLOCK", default_value = "newest")]
    block: Which,
    #[command(flatten)]
    raw: Raw,
    #[command(flatten)]
    reading: Reading,
}

/// A block as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    At(BlockPosition),
    Config,
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "config" => Self::Config,
            text => Self::At(position(text).map_err(|_| "give a number, newest, oldest, next or config")?),
        })
    }
}

/// A place on a chain as people name it.
pub(super) fn position(text: &str) -> Result<BlockPosition, String> {
    Ok(match text {
        "newest" => BlockPosition::Newest,
        "oldest" => BlockPosition::Oldest,
        "next" => BlockPosition::Next,
        number => BlockPosition::Number(number.parse().map_err(|_| "give a number, newest, oldest or next")?),
    })
}

pub(crate) async fn run(arguments: &BlockArguments) -> Result<Answer, Failure> {
    let reading = &arguments.reading;
    let (settings, channel) = reading.settings()?;
    let deliver = settings.deliver().await?;
    let found = match arguments.block {
        Which::At(position) => find(&deliver, &channel, position).await?,
        Which::Config => {
            let newest = newest(&deliver, &channel).await?;
            let config = BlockContent::of(&newest).last_config.unwrap_or(0);
            find(&deliver, &channel, BlockPosition::Number(config)).await?
        }
    };
    let Some(block) = found else {
        let newest = newest(&deliver, &channel).await?.header.unwrap_or_default().number;
        let why = format!("the newest block of {channel} is {newest}");
        if reading.json {
            crate::commands::json(&json!({ "found": false, "reason": why }))?;
        } else {
            crate::commands::line(&format!("no such block: {why}"))?;
        }
        return Ok(Answer::Negative);
    };
    if arguments.raw.write(&block.encode_to_vec(), reading.json)? {
        return Ok(Answer::Done);
    }
    let content = BlockContent::of(&block);
    if reading.json {
        crate::commands::json(&document::block(&channel, &block, &content))?;
    } else {
        crate::commands::line(&view::block(&channel, &block, &content, output::width()))?;
    }
    Ok(Answer::Done)
}

async fn find(deliver: &Deliver, channel: &str, position: BlockPosition) -> Result<Option<Block>, Failure> {
    let range = if position == BlockPosition::Next {
        output::tell(&format!("waiting for the next block of {channel}"));
        BlockRange::new(position, BlockPosition::Number(u64::MAX))
    } else {
        BlockRange::one(position)
    };
    one_block(deliver, channel, range).await.map_err(|error| unread(channel, &error))
}

/// Every channel has one, so if there is none, the peer does not have the channel.
async fn newest(deliver: &Deliver, channel: &str) -> Result<Block, Failure> {
    find(deliver, channel, BlockPosition::Newest).await?.ok_or_else(|| {
        Failure::new(catalogue::SERVICE_NOT_FOUND, format!("{channel} cannot be read"))
            .evidence(format!("the peer answers with status {NOT_FOUND}, NOT_FOUND"))
            .fix("give a channel that the peer has joined with --channel (-C)")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_have_numbers_and_names() {
        assert_eq!("7".parse(), Ok(Which::At(BlockPosition::Number(7))));
        assert_eq!("oldest".parse(), Ok(Which::At(BlockPosition::Oldest)));
        assert_eq!("config".parse(), Ok(Which::Config));
        for wrong in ["", "-1", "latest", "1.5", "18446744073709551616"] {
            assert!(wrong.parse::<Which>().is_err(), "{wrong}");
        }
    }
}
