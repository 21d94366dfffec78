//! Recorded chains of a real network go through the ledger, onto the disk and back.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::{Missing, StateSnapshot};
use selvedge_ledger::storage::DiskStorage;
use selvedge_ledger::{LateWrites, Ledger, LedgerConfig, Snapshot, Space, block};
use selvedge_proto::common::Block;
use selvedge_proto::protos::{BlockAndPrivateData, TxValidationCode};
use serde_json::Value;

/// One channel as the peer of one organisation saw it.
struct Chain {
    channel: String,
    organisation: String,
    blocks: Vec<Block>,
    /// What the peer showed of each block when it was committed.
    private: BTreeMap<u64, PrivateWrites>,
    /// What it showed in the end, where that is something else.
    last: BTreeMap<u64, PrivateWrites>,
}

/// The recording has values of up to this many bytes themselves.
const SHORT: usize = 32;

/// Per space the key, the SHA-256 of the value, the metadata, the version and the value if it is short of each entry, as
/// text.
type State = BTreeMap<String, BTreeSet<String>>;

fn chains(corpus: &Corpus) -> Vec<Chain> {
    let mut chains = Vec::new();
    for channel in corpus.channels() {
        let blocks: Vec<Block> =
            corpus.blocks(channel).values().map(|bytes| Block::decode(*bytes).unwrap()).collect();
        let prefix = format!("chains/{channel}/state-private-");
        for path in corpus.paths(&prefix) {
            let organisation = path[prefix.len()..].trim_end_matches(".json").to_owned();
            let private = private_writes(corpus, channel, &format!("pvt-{organisation}"));
            let last = private_writes(corpus, channel, &format!("pvt-{organisation}-final"));
            let blocks = blocks.clone();
            chains.push(Chain { channel: channel.to_owned(), organisation, blocks, private, last });
        }
    }
    assert!(!chains.is_empty());
    chains
}

fn private_writes(corpus: &Corpus, channel: &str, folder: &str) -> BTreeMap<u64, PrivateWrites> {
    let recorded = corpus.private_blocks(channel, folder);
    let decode = |bytes: &[u8]| BlockAndPrivateData::decode(bytes).unwrap().private_data_map;
    recorded.into_iter().map(|(number, bytes)| (number, decode(bytes))).collect()
}

/// Private data without regard to the order of namespaces and collections, which is Go's.
type Shown = BTreeSet<(u64, String, String, Bytes)>;

fn shown(writes: &PrivateWrites) -> Shown {
    let mut shown = Shown::new();
    for (transaction, writes) in writes {
        for namespace in &writes.ns_pvt_rwset {
            shown.extend(namespace.collection_pvt_rwset.iter().map(|set| {
                let (name, collection) = (namespace.namespace.clone(), set.collection_name.clone());
                (*transaction, name, collection, set.rwset.clone())
            }));
        }
    }
    shown
}

/// Takes in, as other peers would give it, what the ledger lacks and the recorded peer had.
fn reconcile(ledger: &Ledger, number: u64, writes: &PrivateWrites) {
    let late = shown(writes).into_iter().map(|(transaction, namespace, collection, rwset)| LateWrites {
        of: Missing { namespace, collection, block: number, transaction },
        rwset,
    });
    ledger.reconcile(late.collect()).unwrap();
}

/// The block as it came from the orderer, and the verdicts of all checks but those against the state.
fn before_commit(recorded: &Block) -> (Block, Vec<TxValidationCode>) {
    let mut block = recorded.clone();
    let slots = &mut block.metadata.as_mut().unwrap().metadata;
    (slots[2], slots[4]) = (Bytes::new(), Bytes::new());
    let verdicts = block::validation_codes(recorded).into_iter().map(|code| match code {
        TxValidationCode::MvccReadConflict | TxValidationCode::PhantomReadConflict => TxValidationCode::Valid,
        code => code,
    });
    (block, verdicts.collect())
}

fn open(folder: &Path, genesis: Option<Block>) -> Ledger {
    let mut config = LedgerConfig::new(folder);
    config.durable_every = 7;
    config.log.segment_bytes = 100_000;
    Ledger::open(Arc::new(DiskStorage), config, genesis).unwrap()
}

fn recorded_state(corpus: &Corpus, chain: &Chain) -> State {
    let folder = format!("chains/{}", chain.channel);
    let public = corpus.json(&format!("{folder}/state-public.json"));
    let private = corpus.json(&format!("{folder}/state-private-{}.json", chain.organisation));
    let mut state = State::new();
    for (kind, spaces) in
        [("public", &public["namespaces"]), ("hashed", &public["hashed"]), ("private", &private)]
    {
        for (space, entries) in spaces.as_object().unwrap().iter().filter(|(space, _)| !space.is_empty()) {
            let entries: BTreeSet<String> = entries.as_array().unwrap().iter().map(recorded_entry).collect();
            state.insert(format!("{kind} {space}"), entries);
        }
    }
    state.retain(|_, entries| !entries.is_empty());
    state
}

fn recorded_entry(entry: &Value) -> String {
    let text = |field: &str| entry[field].as_str().unwrap_or_default();
    let value = entry["value"].as_str().map_or_else(String::new, |value| format!(" {value}"));
    format!("{} {} {} {}{value}", text("key"), text("sha256"), text("metadata"), text("version"))
}

fn stored_state(snapshot: &StateSnapshot, spaces: &BTreeSet<Space>) -> State {
    let mut state = State::new();
    for space in spaces {
        let kind = match space {
            Space::Public { .. } => "public",
            Space::Hashed { .. } => "hashed",
            Space::Private { .. } => "private",
        };
        let name = match space.collection() {
            Some(collection) => format!("{kind} {}/{collection}", space.namespace()),
            None => format!("{kind} {}", space.namespace()),
        };
        let entries = snapshot.range(space, b"", b"").unwrap().map(|row| {
            let (key, stored) = row.unwrap();
            let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &stored.value);
            let (key, sum, metadata) = (hex::encode(key), hex::encode(sum), hex::encode(&stored.metadata));
            let is_short = stored.value.len() <= SHORT;
            let value = if is_short { format!(" {}", hex::encode(&stored.value)) } else { String::new() };
            format!("{key} {sum} {metadata} {}{value}", stored.version)
        });
        state.insert(name, entries.collect());
    }
    state.retain(|_, entries| !entries.is_empty());
    state
}

fn assert_same(chain: &Chain, stored: &State, recorded: &State) {
    let names: BTreeSet<_> = stored.keys().chain(recorded.keys()).collect();
    let nothing = BTreeSet::new();
    for name in names {
        let stored = stored.get(name).unwrap_or(&nothing);
        let recorded = recorded.get(name).unwrap_or(&nothing);
        let missing: Vec<_> = recorded.difference(stored).collect();
        let surplus: Vec<_> = stored.difference(recorded).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "{} of {}, {name}: missing {missing:?}, surplus {surplus:?}",
            chain.channel,
            chain.organisation,
        );
    }
}

/// What the ledger shows of each block must be what the peer showed in the end.
fn assert_shown(ledger: &Ledger, chain: &Chain) {
    for number in 0..ledger.height() {
        let recorded = chain.last.get(&number).or_else(|| chain.private.get(&number));
        let recorded = recorded.map(shown).unwrap_or_default();
        let ours = shown(&ledger.record(number).unwrap().unwrap().private);
        assert!(ours == recorded, "{} {}: private data of block {number}", chain.channel, chain.organisation);
    }
}

fn assert_answers(corpus: &Corpus, ledger: &Ledger, chain: &Chain) {
    assert_eq!(ledger.height(), chain.blocks.len() as u64);
    let expected = corpus.json(&format!("chains/{}/expected.json", chain.channel));
    for (recorded, expected) in chain.blocks.iter().zip(expected["blocks"].as_array().unwrap()) {
        let number = expected["number"].as_u64().unwrap();
        assert!(ledger.block(number).unwrap().as_ref() == Some(recorded), "block {number}");
        let hash = hex::decode(expected["header_hash"].as_str().unwrap()).unwrap();
        assert!(ledger.block_by_hash(&hash).unwrap().as_ref() == Some(recorded), "block {number} by hash");
        for transaction in expected["txs"].as_array().unwrap() {
            let Some(id) = transaction["txid"].as_str().filter(|id| !id.is_empty()) else { continue };
            let found = ledger.transaction(id).unwrap().expect("a recorded transaction is not found");
            let first = (found.place.block, u64::from(found.place.index));
            assert!(first <= (number, transaction["index"].as_u64().unwrap()));
            if first == (number, transaction["index"].as_u64().unwrap()) {
                assert_eq!(i64::from(i32::from(found.place.code)), transaction["code"].as_i64().unwrap());
            }
        }
    }
}

/// Commits a chain, compares all that comes of it with the recording, and builds it anew from its log.
fn replay(corpus: &Corpus, chain: &Chain) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(folder.path(), Some(before_commit(&chain.blocks[0]).0));
    let mut spaces = BTreeSet::new();
    for (recorded, number) in chain.blocks.iter().zip(0..).skip(1) {
        let (block, verdicts) = before_commit(recorded);
        let private = chain.private.get(&number).cloned().unwrap_or_default();
        let validated = ledger.validate(block, verdicts, private.clone()).unwrap();
        assert_eq!(
            block::validation_codes(validated.block()),
            block::validation_codes(recorded),
            "verdicts of block {number}"
        );
        assert!(validated.block() == recorded, "commit hash of block {number}");
        spaces.extend(validated.updates().spaces().map(|(space, _)| space.clone()));
        ledger.commit(validated).unwrap();
        // What a transaction purges itself was not recorded, so its set does not hash to what was endorsed.
        reconcile(&ledger, number, &private);
        let ours = shown(&ledger.record(number).unwrap().unwrap().private);
        assert!(ours == shown(&private), "private data of block {number} when it was committed");
    }
    for (number, writes) in &chain.last {
        reconcile(&ledger, *number, writes);
    }
    spaces.extend(private_spaces(&spaces));
    let recorded = recorded_state(corpus, chain);
    assert_same(chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
    assert_answers(corpus, &ledger, chain);
    assert_shown(&ledger, chain);
    drop(ledger);
    let ledger = open(folder.path(), None);
    assert_same(chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
    assert_shown(&ledger, chain);
    drop(ledger);
    std::fs::remove_file(folder.path().join("state.redb")).unwrap();
    let ledger = open(folder.path(), Some(chain.blocks[0].clone()));
    assert_same(chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
    assert_answers(corpus, &ledger, chain);
    assert_shown(&ledger, chain);
}

#[test]
fn golden_chains_are_committed_as_recorded_and_rebuilt_from_the_log() {
    let corpus = Corpus::get();
    for chain in chains(corpus) {
        replay(corpus, &chain);
    }
}

/// The text with another last digit.
fn flipped(text: &Value) -> Value {
    let text = text.as_str().unwrap();
    let (rest, last) = text.split_at(text.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" }).into()
}

#[test]
fn golden_corpus_with_a_changed_state_value_is_refused() {
    let corpus = Corpus::get();
    let shortest = |chain: &Chain| chain.blocks.len();
    let chain = chains(corpus).into_iter().min_by_key(shortest).unwrap();
    let folder = format!("chains/{}", chain.channel);
    let files = [
        (format!("{folder}/state-public.json"), "/namespaces"),
        (format!("{folder}/state-public.json"), "/hashed"),
        (format!("{folder}/state-private-{}.json", chain.organisation), ""),
    ];
    let mut changes = 0;
    for ((path, part), field) in files.iter().flat_map(|file| ["value", "sha256"].map(|field| (file, field)))
    {
        let mut state = corpus.json(path);
        let spaces = state.pointer_mut(part).and_then(Value::as_object_mut).unwrap();
        let mut entries = spaces.iter_mut().filter(|(space, _)| !space.is_empty());
        let entry = entries.find_map(|(_, entries)| {
            entries.as_array_mut().unwrap().iter_mut().find(|entry| entry[field].is_string())
        });
        let Some(entry) = entry else { continue };
        entry[field] = flipped(&entry[field]);
        let changed = corpus.with(path, state.to_string());
        let noticed = std::panic::catch_unwind(|| replay(&changed, &chain)).expect_err(path);
        let said = noticed.downcast_ref::<String>().cloned().unwrap_or_default();
        assert!(said.contains("missing") && said.contains("surplus"), "{path}: {said}");
        changes += 1;
    }
    assert!(changes > 0, "no value was changed");
}

/// The private spaces beside hashed ones: what comes late is in no block's changes.
fn private_spaces(spaces: &BTreeSet<Space>) -> Vec<Space> {
    let hashed = spaces.iter().filter(|space| matches!(space, Space::Hashed { .. }));
    let private = hashed
        .filter_map(|space| Some(Space::private(space.namespace().clone(), space.collection()?.clone())));
    private.collect()
}
