//! cscc: the channels that the peer has joined, and their configurations.

use std::sync::Arc;

use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_proto::common::{Block, ChannelHeader, Envelope, Payload};
use selvedge_proto::protos::{ChannelInfo, ChannelQueryResponse, JoinBySnapshotStatus, Response};

use super::{SystemCall, error, message, text};
use crate::channel::Channel;
use crate::endorser::{AccessError, INVALID_WIRE};

/// A larger genesis block is refused before it is decoded. It is our own rule; real ones have some ten kilobytes.
const LARGEST_GENESIS: usize = 4 << 20;

pub(super) async fn invoke(call: &SystemCall<'_>) -> Result<Response, String> {
    let wrong_count = || Ok(error(format!("Incorrect number of arguments, {}", call.args.len())));
    let Some(function) = call.args.first() else { return wrong_count() };
    let argument = call.args.get(1).map(|argument| argument.as_ref());
    let needs_none = matches!(function.as_ref(), b"GetChannels" | b"JoinBySnapshotStatus");
    if argument.is_none() && !needs_none {
        return wrong_count();
    }
    match call.original() {
        Ok("cscc") => {}
        Ok(other) => {
            return Ok(error(format!(
                "Rejecting invoke of CSCC from another chaincode, original invocation for '{other}'"
            )));
        }
        Err(refused) => return Ok(refused),
    }
    let argument = argument.unwrap_or_default();
    match text(function)? {
        "JoinChain" => Ok(join_chain(call, argument)),
        "JoinChainBySnapshot" => join_by_snapshot(call, argument),
        "JoinBySnapshotStatus" => Ok(snapshot_status(call)),
        "GetConfigBlock" => config_block(call, argument).await,
        "GetChannelConfig" => channel_config(call, argument),
        "GetChannels" => Ok(channels(call)),
        other => Ok(error(format!("Requested function {other} not found."))),
    }
}

/// This peer joins channels when it is set up, with the source of their blocks, which the request does not name.
fn join_chain(call: &SystemCall<'_>, argument: &[u8]) -> Response {
    let block = match genesis(argument) {
        Ok(block) => block,
        Err(reason) => return error(format!("Failed to reconstruct the genesis block, {reason}")),
    };
    let id = match channel_id(&block) {
        Ok(id) => id,
        Err(reason) => {
            return error(format!(
                "\"JoinChain\" request failed to extract channel id from the block due to [{reason}]"
            ));
        }
    };
    if let Err(reason) = ChannelConfig::from_block(&block) {
        return error(format!(
            "\"JoinChain\" for channelID = {id} failed because of validation of configuration block, because of {reason}"
        ));
    }
    if let Err(denied) = call.check_local("cscc/JoinChain") {
        return error(format!("access denied for [JoinChain][{id}]: [{denied}]"));
    }
    let reason = if call.channels.get(&id).is_some() {
        format!("ledger [{id}] already exists with state [ACTIVE]")
    } else {
        format!(
            "this peer joins channels only when it is started; add channel [{id}] to its configuration and start it again"
        )
    };
    error(format!("cannot create ledger from genesis block: {reason}"))
}

fn genesis(argument: &[u8]) -> Result<Block, String> {
    if argument.len() > LARGEST_GENESIS {
        let size = argument.len();
        return Err(format!("it has {size} bytes, more than the limit of {LARGEST_GENESIS}"));
    }
    Block::decode(argument).map_err(|_| undecodable("Block"))
}

/// The channel of a block's first entry.
fn channel_id(block: &Block) -> Result<String, String> {
    let entries = block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    let entry = entries.first().ok_or("failed to retrieve channel id - block is empty")?;
    let envelope = Envelope::decode(entry.clone()).map_err(|_| undecodable("Envelope"))?;
    let payload = Payload::decode(envelope.payload).map_err(|_| undecodable("Payload"))?;
    let header = payload.header.ok_or("failed to retrieve channel id - payload header is empty")?;
    let header = ChannelHeader::decode(header.channel_header).map_err(|_| undecodable("ChannelHeader"))?;
    Ok(header.channel_id)
}

fn undecodable(message: &str) -> String {
    format!("error unmarshalling {message}: {INVALID_WIRE}")
}

/// This peer has no snapshots of ledgers.
fn join_by_snapshot(call: &SystemCall<'_>, argument: &[u8]) -> Result<Response, String> {
    if argument.is_empty() {
        return Ok(error("Cannot join the channel, no snapshot directory provided".to_owned()));
    }
    if let Err(denied) = call.check_local("cscc/JoinChainBySnapshot") {
        return Ok(error(format!("access denied for [JoinChainBySnapshot]: [{denied}]")));
    }
    let folder = text(argument)?;
    Ok(error(format!(
        "cannot create ledger from snapshot {folder}: this peer does not create ledgers from snapshots"
    )))
}

fn snapshot_status(call: &SystemCall<'_>) -> Response {
    match call.check_local("cscc/JoinBySnapshotStatus") {
        Ok(()) => message(&JoinBySnapshotStatus::default()),
        Err(denied) => error(format!("access denied for [JoinBySnapshotStatus]: {denied}")),
    }
}

async fn config_block(call: &SystemCall<'_>, id: &[u8]) -> Result<Response, String> {
    let channel = match readable(call, "GetConfigBlock", text(id)?) {
        Ok(channel) => channel,
        Err(refused) => return Ok(refused),
    };
    // The block is read from the disk.
    let read = tokio::task::spawn_blocking(move || channel.config_block());
    let block = read.await.map_err(|broken_off| broken_off.to_string())?;
    Ok(block.map_or_else(|reason| error(reason.to_string()), |block| message(&block)))
}

fn channel_config(call: &SystemCall<'_>, id: &[u8]) -> Result<Response, String> {
    if id.is_empty() {
        return Ok(error("empty channel name provided".to_owned()));
    }
    let channel = readable(call, "GetChannelConfig", text(id)?);
    Ok(channel.map_or_else(|refused| refused, |channel| message(channel.config().config())))
}

/// A channel that the creator may read.
fn readable(call: &SystemCall<'_>, function: &str, id: &str) -> Result<Arc<Channel>, Response> {
    let resource = format!("cscc/{function}");
    let channel = match call.channels.get(id) {
        Some(channel) => call.check_channel(&channel, &resource).map(|()| channel),
        None if id.is_empty() => Err(call.check_local(&resource).err().unwrap_or_else(|| no_channel(id))),
        None => Err(no_channel(id)),
    };
    channel.map_err(|denied| error(format!("access denied for [{function}][{id}]: {denied}")))
}

fn no_channel(id: &str) -> AccessError {
    AccessError::UnknownChannel(id.to_owned())
}

fn channels(call: &SystemCall<'_>) -> Response {
    if let Err(denied) = call.check_local("cscc/GetChannels") {
        return error(format!("access denied for [GetChannels]: {denied}"));
    }
    let info = |channel: Arc<Channel>| ChannelInfo { channel_id: channel.id().to_owned() };
    message(&ChannelQueryResponse { channels: call.channels.all().into_iter().map(info).collect() })
}
