//! Blocks and transactions as JSON, with everything in full.
//!
//! Bytes are a text where they are one in UTF-8, else an object `{"base64": …}`; hashes are hexadecimal digits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use selvedge_client::block::{
    Action, BlockContent, Collection, Content, Namespace, Party, Transaction, Verdict,
};
use selvedge_identity::ChannelConfig;
use selvedge_proto::common::Block;
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{KvMetadataEntry, KvRead, KvWrite, RangeQueryInfo, Version};
use serde_json::{Map, Value, json};

use crate::output::inline;

/// How many characters of a value a person is shown; JSON has it all.
const SHOWN: usize = 200;

pub(super) fn bytes(value: &[u8]) -> Value {
    match str::from_utf8(value) {
        Ok(text) => json!(text),
        Err(_) => json!({ "base64": STANDARD.encode(value) }),
    }
}

/// Bytes in a line for a person, escaped and cut.
pub(super) fn text(value: &[u8]) -> String {
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || c.is_whitespace());
    let Some(text) = str::from_utf8(value).ok().filter(is_text) else {
        return format!("<{} bytes>", value.len());
    };
    let mut characters = text.chars();
    let mut shown = inline(&characters.by_ref().take(SHOWN).collect::<String>());
    if characters.next().is_some() {
        shown.push_str(&format!("… <{} bytes>", value.len()));
    }
    shown
}

pub(super) fn block(channel: &str, block: &Block, content: &BlockContent) -> Value {
    let header = &content.header;
    let transactions = content.transactions.iter().enumerate().map(|(number, transaction)| {
        let mut document = self::transaction(transaction);
        document["number"] = json!(number);
        if transaction.content == Content::Config {
            document["config"] = config(block);
        }
        document
    });
    json!({
        "channel": channel,
        "number": header.number,
        "hash": hex::encode(&content.hash),
        "previous_hash": hex::encode(&header.previous_hash),
        "data_hash": hex::encode(&header.data_hash),
        "commit_hash": hex::encode(&content.commit_hash),
        "last_config": content.last_config,
        "signers": content.signers.iter().map(party).collect::<Value>(),
        "transactions": transactions.collect::<Value>(),
    })
}

pub(super) fn transaction(transaction: &Transaction) -> Value {
    let mut document = json!({
        "tx_id": transaction.tx_id,
        "channel": transaction.channel_id,
        "type": transaction.kind,
        "timestamp": transaction.timestamp.as_ref().map(ToString::to_string),
        "creator": party(&transaction.creator),
        "validation": transaction.verdict.map(verdict),
    });
    match &transaction.content {
        Content::Call(action) => {
            if let (Some(document), Value::Object(call)) = (document.as_object_mut(), call(action)) {
                document.extend(call);
            }
        }
        Content::Config => {}
        Content::Unreadable(reason) => document["unreadable"] = json!(reason),
    }
    document
}

/// What a person wants to know of a channel's configuration; the whole is in the raw block.
pub(super) fn config(block: &Block) -> Value {
    let config = match ChannelConfig::from_block(block) {
        Ok(config) => config,
        Err(error) => return json!({ "unreadable": error.to_string() }),
    };
    let (batch, capabilities) = (config.batch(), config.capabilities());
    json!({
        "sequence": config.sequence(),
        "organizations": config.orgs().iter().map(|org| json!({
            "name": org.name,
            "msp_id": org.msp_id,
            "anchor_peers": org.anchor_peers.iter().map(|peer| format!("{}:{}", peer.host, peer.port)).collect::<Value>(),
        })).collect::<Value>(),
        "orderers": config.orderer_orgs().iter().map(|org| json!({
            "name": org.name, "msp_id": org.msp_id, "endpoints": org.endpoints,
        })).collect::<Value>(),
        "consensus": config.consensus().kind,
        "batch": {
            "timeout_ms": batch.timeout.as_millis(),
            "max_message_count": batch.max_message_count,
            "absolute_max_bytes": batch.absolute_max_bytes,
            "preferred_max_bytes": batch.preferred_max_bytes,
        },
        "capabilities": {
            "channel": capabilities.channel(),
            "orderer": capabilities.orderer(),
            "application": capabilities.application(),
        },
    })
}

fn party(party: &Party) -> Value {
    json!({ "msp_id": party.msp_id, "name": party.name })
}

fn verdict(verdict: Verdict) -> Value {
    json!({ "code": verdict.0, "name": verdict.name(), "valid": verdict.is_valid() })
}

fn call(action: &Action) -> Value {
    json!({
        "chaincode": action.chaincode,
        "version": action.version,
        "arguments": action.arguments.iter().map(|argument| bytes(argument)).collect::<Value>(),
        "init": action.is_init,
        "response": {
            "status": action.response.status,
            "message": action.response.message,
            "payload": bytes(&action.response.payload),
        },
        "event": action.event.as_ref().map(|event| json!({
            "name": event.event_name, "payload": bytes(&event.payload),
        })),
        "endorsers": action.endorsers.iter().map(party).collect::<Value>(),
        "namespaces": action.namespaces.iter().map(namespace).collect::<Value>(),
    })
}

fn namespace(namespace: &Namespace) -> Value {
    let public = &namespace.public;
    let metadata = public.metadata_writes.iter();
    json!({
        "name": namespace.name,
        "reads": public.reads.iter().map(read).collect::<Value>(),
        "ranges": public.range_queries_info.iter().map(range).collect::<Value>(),
        "writes": public.writes.iter().map(write).collect::<Value>(),
        "metadata_writes": metadata.map(|it| json!({ "key": it.key, "entries": entries(&it.entries) })).collect::<Value>(),
        "collections": namespace.collections.iter().map(collection).collect::<Value>(),
    })
}

fn read(read: &KvRead) -> Value {
    json!({ "key": read.key, "version": version(read.version.as_ref()) })
}

/// Null where the key did not exist.
fn version(version: Option<&Version>) -> Value {
    version.map_or(Value::Null, |it| json!({ "block": it.block_num, "transaction": it.tx_num }))
}

fn write(write: &KvWrite) -> Value {
    if write.is_delete {
        return json!({ "key": write.key, "delete": true });
    }
    json!({ "key": write.key, "value": bytes(&write.value) })
}

fn range(range: &RangeQueryInfo) -> Value {
    let mut document =
        json!({ "start": range.start_key, "end": range.end_key, "exhausted": range.itr_exhausted });
    match &range.reads_info {
        Some(ReadsInfo::RawReads(reads)) => {
            document["reads"] = reads.kv_reads.iter().map(read).collect();
        }
        Some(ReadsInfo::ReadsMerkleHashes(summary)) => {
            document["hashes"] =
                summary.max_level_hashes.iter().map(|hash| json!(hex::encode(hash))).collect();
        }
        None => {}
    }
    document
}

fn entries(entries: &[KvMetadataEntry]) -> Value {
    let entries = entries.iter().map(|entry| (entry.name.clone(), bytes(&entry.value)));
    Value::Object(entries.collect::<Map<String, Value>>())
}

fn collection(collection: &Collection) -> Value {
    let hashed = &collection.hashed;
    let reads = hashed.hashed_reads.iter().map(
        |read| json!({ "key_hash": hex::encode(&read.key_hash), "version": version(read.version.as_ref()) }),
    );
    let writes = hashed.hashed_writes.iter().map(|write| {
        json!({
            "key_hash": hex::encode(&write.key_hash),
            "value_hash": hex::encode(&write.value_hash),
            "delete": write.is_delete,
            "purge": write.is_purge,
        })
    });
    let metadata = hashed.metadata_writes.iter();
    let metadata =
        metadata.map(|it| json!({ "key_hash": hex::encode(&it.key_hash), "entries": entries(&it.entries) }));
    json!({
        "name": collection.name,
        "hash": hex::encode(&collection.private_hash),
        "reads": reads.collect::<Value>(),
        "writes": writes.collect::<Value>(),
        "metadata_writes": metadata.collect::<Value>(),
    })
}
