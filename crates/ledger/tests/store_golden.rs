//! Recorded chains of a real network go through the ledger, onto the disk and back.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::StateSnapshot;
use selvedge_ledger::storage::DiskStorage;
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, block};
use selvedge_proto::common::Block;
use selvedge_proto::protos::{BlockAndPrivateData, TxValidationCode};
use selvedge_proto::rwset::CollectionPvtReadWriteSet;
use serde_json::Value;

/// One channel as the peer of one organisation saw it.
struct Chain {
    channel: &'static str,
    organisation: String,
    blocks: Vec<Block>,
    private: BTreeMap<u64, PrivateWrites>,
}

/// Per space the key, the SHA-256 of the value, the metadata and the version of each entry, as text.
type State = BTreeMap<String, BTreeSet<String>>;

fn chains() -> Vec<Chain> {
    let corpus = Corpus::get();
    let mut chains = Vec::new();
    for channel in corpus.channels() {
        let blocks: Vec<Block> =
            corpus.blocks(channel).values().map(|bytes| Block::decode(*bytes).unwrap()).collect();
        let prefix = format!("chains/{channel}/state-private-");
        for path in corpus.paths(&prefix) {
            let organisation = path[prefix.len()..].trim_end_matches(".json").to_owned();
            let mut private = private_writes(channel, &format!("pvt-{organisation}"));
            add_late_writes(&mut private, private_writes(channel, &format!("pvt-{organisation}-final")));
            let blocks = blocks.clone();
            chains.push(Chain { channel, organisation, blocks, private });
        }
    }
    assert!(!chains.is_empty());
    chains
}

fn private_writes(channel: &str, folder: &str) -> BTreeMap<u64, PrivateWrites> {
    let recorded = Corpus::get().private_blocks(channel, folder);
    let decode = |bytes: &[u8]| BlockAndPrivateData::decode(bytes).unwrap().private_data_map;
    recorded.into_iter().map(|(number, bytes)| (number, decode(bytes))).collect()
}

/// Adds what a peer lacked when the block was committed and got from others afterwards.
fn add_late_writes(private: &mut BTreeMap<u64, PrivateWrites>, late: BTreeMap<u64, PrivateWrites>) {
    for (number, writes) in late {
        for (index, set) in writes {
            let known = private.entry(number).or_default().entry(index).or_default();
            for namespace in set.ns_pvt_rwset {
                let same = known.ns_pvt_rwset.iter_mut().find(|known| known.namespace == namespace.namespace);
                let Some(same) = same else {
                    known.ns_pvt_rwset.push(namespace);
                    continue;
                };
                for collection in namespace.collection_pvt_rwset {
                    let name = |known: &CollectionPvtReadWriteSet| known.collection_name.clone();
                    if !same
                        .collection_pvt_rwset
                        .iter()
                        .map(name)
                        .any(|name| name == collection.collection_name)
                    {
                        same.collection_pvt_rwset.push(collection);
                    }
                }
            }
        }
    }
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

fn recorded_state(chain: &Chain) -> State {
    let corpus = Corpus::get();
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
    format!("{} {} {} {}", text("key"), text("sha256"), text("metadata"), text("version"))
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
            format!("{key} {sum} {metadata} {}", stored.version)
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

fn assert_answers(ledger: &Ledger, chain: &Chain) {
    assert_eq!(ledger.height(), chain.blocks.len() as u64);
    let expected = Corpus::get().json(&format!("chains/{}/expected.json", chain.channel));
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

#[test]
fn golden_chains_are_committed_as_recorded_and_rebuilt_from_the_log() {
    for chain in chains() {
        println!("{} of {}", chain.channel, chain.organisation);
        let folder = tempfile::tempdir().unwrap();
        let ledger = open(folder.path(), Some(before_commit(&chain.blocks[0]).0));
        let mut spaces = BTreeSet::new();
        for (recorded, number) in chain.blocks.iter().zip(0..).skip(1) {
            let (block, verdicts) = before_commit(recorded);
            let private = chain.private.get(&number).cloned().unwrap_or_default();
            let validated = ledger.validate(block, verdicts, private).unwrap();
            assert_eq!(
                block::validation_codes(validated.block()),
                block::validation_codes(recorded),
                "verdicts of block {number}"
            );
            assert!(validated.block() == recorded, "commit hash of block {number}");
            spaces.extend(validated.updates().spaces().map(|(space, _)| space.clone()));
            ledger.commit(validated).unwrap();
        }
        let recorded = recorded_state(&chain);
        assert_same(&chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
        assert_answers(&ledger, &chain);
        drop(ledger);
        let ledger = open(folder.path(), None);
        assert_same(&chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
        drop(ledger);
        std::fs::remove_file(folder.path().join("state.redb")).unwrap();
        let ledger = open(folder.path(), Some(chain.blocks[0].clone()));
        assert_same(&chain, &stored_state(&ledger.snapshot(), &spaces), &recorded);
        assert_answers(&ledger, &chain);
    }
}
