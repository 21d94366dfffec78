//! Blocks and transactions for a person: in short, escaped, within the width of the terminal. `--json` has all of it.

use selvedge_client::block::{Action, BlockContent, Collection, Content, Namespace, Party, Transaction};
use selvedge_proto::common::Block;
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{RangeQueryInfo, Version};

use super::document;
use crate::output::{BAD, FAINT, GOOD, STRONG, folded, inline, outline};

/// Lines with a label at the left.
struct Lines {
    lines: Vec<String>,
    width: usize,
}

impl Lines {
    fn label(&mut self, indent: &str, label: &str, text: &str) {
        let first = format!("{indent}{FAINT}{label:<9}{FAINT:#} ");
        let following = format!("{indent}          ");
        self.lines.push(folded(text, &first, &following, self.width));
    }

    fn plain(&mut self, line: String) {
        self.lines.push(line);
    }
}

pub(super) fn block(channel: &str, block: &Block, content: &BlockContent, width: usize) -> String {
    let mut lines = Lines { lines: Vec::new(), width };
    let header = &content.header;
    lines.plain(format!("{STRONG}block {} of {}{STRONG:#}", header.number, inline(channel)));
    lines.label("  ", "hash", &hex::encode(&content.hash));
    lines.label("  ", "previous", &or_none(hex::encode(&header.previous_hash)));
    lines.label("  ", "data", &hex::encode(&header.data_hash));
    if !content.signers.is_empty() {
        lines.label("  ", "signed by", &parties(&content.signers));
    }
    if let Some(config) = content.last_config {
        lines.label("  ", "config", &format!("block {config}"));
    }
    for (number, transaction) in content.transactions.iter().enumerate() {
        lines.plain(String::new());
        describe(&mut lines, &format!("transaction {number}"), transaction);
        if transaction.content == Content::Config {
            let config = outline(&document::config(block));
            lines.lines.extend(config.lines().map(|line| format!("  {line}")));
        }
    }
    lines.lines.join("\n")
}

pub(super) fn transaction(head: &str, transaction: &Transaction, width: usize) -> String {
    let mut lines = Lines { lines: Vec::new(), width };
    describe(&mut lines, &format!("transaction {}", inline(head)), transaction);
    lines.lines.join("\n")
}

fn describe(lines: &mut Lines, head: &str, transaction: &Transaction) {
    lines.plain(format!("{STRONG}{head}{STRONG:#}"));
    lines.label("  ", "id", &or_none(inline(&transaction.tx_id)));
    let verdict = match transaction.verdict {
        Some(verdict) if verdict.is_valid() => format!("{GOOD}{}{GOOD:#}", verdict.name()),
        Some(verdict) => format!("{BAD}{}{BAD:#} (code {})", verdict.name(), verdict.0),
        None => "the peer does not say whether it is valid".to_owned(),
    };
    lines.label("  ", "verdict", &verdict);
    lines.label("  ", "type", &transaction.kind);
    if let Some(timestamp) = &transaction.timestamp {
        lines.label("  ", "time", &timestamp.to_string());
    }
    lines.label("  ", "creator", &or_none(party(&transaction.creator)));
    match &transaction.content {
        Content::Call(action) => call(lines, action),
        Content::Config => {}
        Content::Unreadable(reason) => lines.label("  ", "content", &format!("cannot be read: {reason}")),
    }
}

fn call(lines: &mut Lines, action: &Action) {
    let arguments: Vec<String> = action.arguments.iter().map(|argument| quoted(argument)).collect();
    let init = if action.is_init { " (initialises it)" } else { "" };
    let chaincode = format!("{} {}{init}", inline(&action.chaincode), inline(&action.version));
    lines.label("  ", "chaincode", &chaincode);
    lines.label("  ", "call", &arguments.join(" "));
    let response = &action.response;
    let answer = [response.status.to_string(), inline(&response.message), document::text(&response.payload)];
    let answer: Vec<_> = answer.into_iter().filter(|part| !part.is_empty()).collect();
    lines.label("  ", "answer", &answer.join(" "));
    if let Some(event) = &action.event {
        let event = format!("{} {}", inline(&event.event_name), document::text(&event.payload));
        lines.label("  ", "event", &event);
    }
    lines.label("  ", "endorsers", &or_none(parties(&action.endorsers)));
    for namespace in &action.namespaces {
        lines.plain(format!("  {STRONG}{}{STRONG:#}", inline(&namespace.name)));
        state(lines, namespace);
        for collection in &namespace.collections {
            let (name, collection_name) = (inline(&namespace.name), inline(&collection.name));
            lines.plain(format!("  {STRONG}{name}, collection {collection_name}{STRONG:#}"));
            private(lines, collection);
        }
    }
}

fn state(lines: &mut Lines, namespace: &Namespace) {
    let public = &namespace.public;
    for read in &public.reads {
        lines.label("    ", "read", &format!("{} {}", inline(&read.key), version(read.version.as_ref())));
    }
    for range in &public.range_queries_info {
        lines.label("    ", "range", &ranged(range));
    }
    for write in &public.writes {
        if write.is_delete {
            lines.label("    ", "delete", &inline(&write.key));
        } else {
            lines.label(
                "    ",
                "write",
                &format!("{} = {}", inline(&write.key), document::text(&write.value)),
            );
        }
    }
    for write in &public.metadata_writes {
        let names: Vec<String> = write.entries.iter().map(|entry| inline(&entry.name)).collect();
        lines.label("    ", "metadata", &format!("{}: {}", inline(&write.key), or_none(names.join(", "))));
    }
}

fn private(lines: &mut Lines, collection: &Collection) {
    let hashed = &collection.hashed;
    for read in &hashed.hashed_reads {
        let version = version(read.version.as_ref());
        lines.label("    ", "read", &format!("{} {version}", hex::encode(&read.key_hash)));
    }
    for write in &hashed.hashed_writes {
        let what = match (write.is_purge, write.is_delete) {
            (true, _) => "purge",
            (_, true) => "delete",
            _ => "write",
        };
        lines.label("    ", what, &hex::encode(&write.key_hash));
    }
    for write in &hashed.metadata_writes {
        lines.label("    ", "metadata", &hex::encode(&write.key_hash));
    }
}

fn ranged(range: &RangeQueryInfo) -> String {
    let results = match &range.reads_info {
        Some(ReadsInfo::RawReads(reads)) => format!("{} results", reads.kv_reads.len()),
        Some(ReadsInfo::ReadsMerkleHashes(_)) => "more results than are listed".to_owned(),
        None => "no results".to_owned(),
    };
    let end = if range.itr_exhausted { "to its end" } else { "not to its end" };
    format!("{:?} to {:?}, read {end}, {results}", range.start_key, range.end_key)
}

fn version(version: Option<&Version>) -> String {
    match version {
        Some(version) => format!("of block {} transaction {}", version.block_num, version.tx_num),
        None => "which does not exist".to_owned(),
    }
}

fn party(party: &Party) -> String {
    match &party.name {
        Some(name) => format!("{} {}", inline(&party.msp_id), inline(name)),
        None => inline(&party.msp_id),
    }
}

fn parties(all: &[Party]) -> String {
    all.iter().map(party).collect::<Vec<_>>().join(", ")
}

fn quoted(argument: &[u8]) -> String {
    let text = document::text(argument);
    if text.is_empty() || text.contains(' ') { format!("\"{text}\"") } else { text }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use selvedge_client::block::{BlockContent, Verdict};
    use selvedge_proto::common::Block;
    use selvedge_proto::kvrwset::KvWrite;

    use super::*;

    #[test]
    fn a_transaction_fits_the_width_and_obeys_nobody() {
        let mut namespace = Namespace { name: "basic".to_owned(), ..Namespace::default() };
        let (key, value) = ("\u{0}asset\u{0}7".to_owned(), vec![b'x'; 1000].into());
        namespace.public.writes = vec![KvWrite { key, value, is_delete: false }];
        let action = Action {
            chaincode: "basic\u{1b}[2J".to_owned(),
            version: "1.0".to_owned(),
            arguments: vec!["CreateAsset".into(), "a b\nc".into()],
            namespaces: vec![namespace],
            ..Action::default()
        };
        let mut transaction = Transaction::of(Vec::new().into(), Some(Verdict(11)));
        transaction.content = Content::Call(Box::new(action));
        let text = super::transaction("in block 3 of mychannel", &transaction, 80);
        let plain = anstream::adapter::strip_str(&text).to_string();
        for wanted in [
            "verdict   MVCC_READ_CONFLICT (code 11)",
            "chaincode basic\\u{1b}[2J 1.0",
            "call      CreateAsset \"a b\\nc\"",
            "write     \\0asset\\07 =",
            "… <1000 bytes>",
        ] {
            assert!(plain.contains(wanted), "{wanted}: {plain}");
        }
        assert!(!plain.contains('\u{1b}'));
        let empty = Block::default();
        assert!(block("ch", &empty, &BlockContent::of(&empty), 80).contains("block 0 of ch"));
    }
}
