//! Replays every recorded chain: hashes, verdicts of MVCC, commit hashes and the final state must be those of
//! the real peers.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod rules_support;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use rules_support::Memory;
use selvedge_golden::Corpus;
use selvedge_ledger::block::{self, TransactionView};
use selvedge_ledger::mvcc::{self, Candidate, Outcome};
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::{Snapshot, Space, StoredValue, Update, Updates, Version};
use selvedge_proto::common::{Block, HeaderType};
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::protos::{
    BlockAndPrivateData, CollectionConfigPackage, TxValidationCode, collection_config,
};
use selvedge_proto::rwset::TxPvtReadWriteSet;
use serde_json::Value;

type PrivateSets = BTreeMap<u64, TxPvtReadWriteSet>;

/// A channel's recorded blocks with the private data of one organisation.
struct Chain {
    blocks: Vec<Block>,
    private: BTreeMap<u64, PrivateSets>,
}

impl Chain {
    fn recorded(channel: &str, organisation: Option<&str>) -> Self {
        let corpus = Corpus::get();
        let decode = |bytes: &[u8]| Block::decode(Bytes::copy_from_slice(bytes)).unwrap();
        let blocks = corpus.blocks(channel).into_values().map(decode).collect();
        let mut private = BTreeMap::new();
        if let Some(organisation) = organisation {
            for (number, bytes) in corpus.private_blocks(channel, organisation) {
                let recorded = BlockAndPrivateData::decode(Bytes::copy_from_slice(bytes)).unwrap();
                private.insert(number, recorded.private_data_map);
            }
        }
        Self { blocks, private }
    }

    /// Judges and applies all blocks.
    fn replay(&self) -> Result<Replayed, String> {
        let mut replayed = Replayed::default();
        let mut previous: Option<&Block> = None;
        for block in &self.blocks {
            check_links(block, previous)?;
            replayed.take_in(block, previous, &self.private)?;
            previous = Some(block);
        }
        Ok(replayed)
    }
}

/// The state after the blocks so far.
#[derive(Default)]
struct Replayed {
    state: Memory,
    /// What goes at which block, unless it was written again.
    expiries: BTreeMap<u64, Vec<(Space, Bytes, Version)>>,
    /// Private sets that are not those endorsed: (transaction, namespace, collection).
    mismatches: BTreeSet<(Version, String, String)>,
    /// Where keys were purged: (transaction, namespace, collection). A purged key is not delivered, not even
    /// in the set that purges it.
    purges: BTreeSet<(Version, String, String)>,
}

impl Replayed {
    fn take_in(
        &mut self,
        block: &Block,
        previous: Option<&Block>,
        private: &BTreeMap<u64, PrivateSets>,
    ) -> Result<(), String> {
        let number = block.header.as_ref().unwrap().number;
        let empty = PrivateSets::new();
        let candidates = candidates(block, private.get(&number).unwrap_or(&empty))?;
        let outcome = mvcc::validate(&self.state, number, &candidates).map_err(|error| error.to_string())?;
        let recorded = block::validation_codes(block);
        if outcome.codes != recorded {
            return Err(format!("block {number} has {recorded:?}, but MVCC says {:?}", outcome.codes));
        }
        check_commit_hash(block, previous, &outcome.updates)?;

        // Judging it again with the verdicts as they are must change the same.
        let settled: Vec<_> = candidates
            .into_iter()
            .zip(&recorded)
            .map(|(candidate, code)| Candidate { code: *code, ..candidate })
            .collect();
        let again = mvcc::replay(&self.state, number, &settled).map_err(|error| error.to_string())?;
        if again.updates != outcome.updates && outcome.mismatches.is_empty() {
            return Err(format!("block {number} changes something else when it is replayed"));
        }
        self.apply(number, outcome);
        Ok(())
    }

    fn apply(&mut self, number: u64, outcome: Outcome) {
        for mismatch in outcome.mismatches {
            let version = Version::new(number, mismatch.transaction);
            self.mismatches.insert((version, mismatch.namespace, mismatch.collection));
        }
        for (space, _, version) in outcome.updates.purges() {
            let collection = space.collection().expect("only private keys are purged");
            self.purges.insert((version, space.namespace().to_string(), collection.to_string()));
        }
        let mut updates = outcome.updates;
        let new = self.expiring(number, &updates);
        for (space, key, version) in self.expiries.remove(&number).unwrap_or_default() {
            let stored = self.state.get(&space, &key).unwrap();
            if stored.is_some_and(|stored| stored.version == version) && updates.get(&space, &key).is_none() {
                updates.insert(space, key, Update::Delete { version: Version::new(number, u64::MAX) });
            }
        }
        for (block, space, key, version) in new {
            self.expiries.entry(block).or_default().push((space, key, version));
        }
        self.state.apply(&updates);
    }

    fn expiring(&self, number: u64, updates: &Updates) -> Vec<(u64, Space, Bytes, Version)> {
        let mut expiring = Vec::new();
        for (space, keys) in updates.spaces() {
            let Some(life) = self.block_to_live(space) else { continue };
            for (key, update) in keys {
                if let Update::Put(stored) = update {
                    expiring.push((number + life + 1, space.clone(), key.clone(), stored.version));
                }
            }
        }
        expiring
    }

    fn block_to_live(&self, space: &Space) -> Option<u64> {
        let key = format!("namespaces/fields/{}/Collections", space.namespace());
        let stored = self.state.get(&Space::public("_lifecycle"), key.as_bytes()).unwrap()?;
        let Some(state_data::Type::Bytes(package)) = StateData::decode(stored.value).unwrap().r#type else {
            panic!("the field Collections has bytes");
        };
        let package = CollectionConfigPackage::decode(package).unwrap();
        package.config.into_iter().find_map(|config| {
            let collection_config::Payload::StaticCollectionConfig(config) = config.payload?;
            (Some(config.name.as_str()) == space.collection().map(AsRef::as_ref) && config.block_to_live > 0)
                .then_some(config.block_to_live)
        })
    }
}

/// The transactions as other checks leave them to MVCC: those that it found invalid count as valid before it.
fn candidates(block: &Block, private: &PrivateSets) -> Result<Vec<Candidate>, String> {
    use TxValidationCode::{MvccReadConflict, PhantomReadConflict, Valid};

    let entries = &block.data.as_ref().unwrap().data;
    let read = |((entry, code), index): ((&Bytes, TxValidationCode), u64)| {
        if !matches!(code, Valid | MvccReadConflict | PhantomReadConflict) {
            return Ok(Candidate::invalid(code));
        }
        if block::TransactionSummary::of(entry).header_type == Some(HeaderType::Config.into()) {
            return Ok(Candidate { code: Valid, set: None, private: None });
        }
        let action = TransactionView::parse(entry)?.endorsed_action()?.chaincode_action()?;
        let set = ReadWriteSet::parse(&action.results).expect("a valid transaction has a good set");
        Ok(Candidate { code: Valid, set: Some(set), private: private.get(&index).cloned() })
    };
    let codes = block::validation_codes(block);
    entries
        .iter()
        .zip(codes)
        .zip(0..)
        .map(read)
        .collect::<Result<_, block::ViewError>>()
        .map_err(|error| error.to_string())
}

fn check_links(block: &Block, previous: Option<&Block>) -> Result<(), String> {
    let (header, data) = (block.header.as_ref().unwrap(), &block.data.as_ref().unwrap().data);
    let rebuilt = block::build(previous.and_then(|block| block.header.as_ref()), data.clone());
    if rebuilt.header != block.header {
        return Err(format!("block {} is not linked", header.number));
    }
    block::check_well_formed(data).map_err(|error| error.to_string())
}

fn check_commit_hash(block: &Block, previous: Option<&Block>, updates: &Updates) -> Result<(), String> {
    let number = block.header.as_ref().unwrap().number;
    let recorded = block::commit_hash_of(block);
    let Some(previous) = previous else {
        return if recorded.is_none() { Ok(()) } else { Err("a genesis block has no commit hash".into()) };
    };
    let before = block::commit_hash_of(previous).unwrap_or_default();
    let found = block::commit_hash(&block::transactions_filter(block), updates, &before);
    if recorded.as_deref() == Some(&found[..]) {
        Ok(())
    } else {
        Err(format!("block {number} has another commit hash"))
    }
}

fn has_collection(
    private: &BTreeMap<u64, PrivateSets>,
    version: Version,
    namespace: &str,
    collection: &str,
) -> bool {
    let set = private.get(&version.block).and_then(|sets| sets.get(&version.transaction));
    set.into_iter()
        .flat_map(|set| &set.ns_pvt_rwset)
        .filter(|set| set.namespace == namespace)
        .any(|set| set.collection_pvt_rwset.iter().any(|set| set.collection_name == collection))
}

/// The folders of a channel with the private data of one organisation each.
fn organisations(channel: &str) -> Vec<String> {
    let prefix = format!("chains/{channel}/");
    let folders: BTreeSet<_> = Corpus::get()
        .paths(&prefix)
        .filter_map(|path| path.strip_prefix(&prefix)?.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .filter(|folder| folder.starts_with("pvt-") && !folder.ends_with("-final"))
        .collect();
    folders.into_iter().collect()
}

fn bytes(value: &Value) -> Bytes {
    hex::decode(value.as_str().unwrap_or_default()).unwrap().into()
}

fn version(value: &Value) -> Version {
    let (block, transaction) = value.as_str().unwrap().split_once(':').unwrap();
    Version::new(block.parse().unwrap(), transaction.parse().unwrap())
}

/// Compares a key space with the recorded one; says which recorded keys are missing.
fn missing_keys(
    place: &str,
    found: Option<&BTreeMap<Bytes, StoredValue>>,
    recorded: &Value,
) -> BTreeMap<Bytes, Version> {
    let mut found = found.cloned().unwrap_or_default();
    let mut missing = BTreeMap::new();
    for entry in recorded.as_array().unwrap() {
        let key = bytes(&entry["key"]);
        let Some(stored) = found.remove(&key) else {
            missing.insert(key, version(&entry["version"]));
            continue;
        };
        assert_eq!(stored.version, version(&entry["version"]), "{place}: {}", hex::encode(&key));
        assert_eq!(stored.value.len() as u64, entry["len"].as_u64().unwrap(), "{place}");
        assert_eq!(hex::encode(sha256(&stored.value)), entry["sha256"], "{place}");
        assert_eq!(stored.metadata, bytes(&entry["metadata"]), "{place}: {}", hex::encode(&key));
    }
    assert!(found.is_empty(), "{place} has keys that the recorded peer does not have: {found:?}");
    missing
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
}

#[test]
fn golden_headers_are_those_of_the_peers() {
    for channel in Corpus::get().channels() {
        let expected = Corpus::get().json(&format!("chains/{channel}/expected.json"));
        let chain = Chain::recorded(channel, None);
        for (block, expected) in chain.blocks.iter().zip(expected["blocks"].as_array().unwrap()) {
            let header = block.header.as_ref().unwrap();
            assert_eq!(hex::encode(block::header_hash(header)), expected["header_hash"]);
            assert_eq!(hex::encode(block::transactions_filter(block)), expected["filter"]);
            let entries = &block.data.as_ref().unwrap().data;
            assert_eq!(hex::encode(block::data_hash(entries)), expected["data_hash"]);
            for (entry, expected) in entries.iter().zip(expected["txs"].as_array().unwrap()) {
                let summary = block::TransactionSummary::of(entry);
                assert_eq!(summary.transaction_id, expected["txid"].as_str().unwrap_or_default());
                assert_eq!(summary.header_type.map(i64::from), expected["type"].as_i64());
            }
        }
    }
}

#[test]
fn golden_forms_give_their_verdicts() {
    let mut refused = 0;
    for channel in Corpus::get().channels() {
        // Nobody signs a genesis block, and no peer judges it.
        for block in Chain::recorded(channel, None).blocks.into_iter().skip(1) {
            let codes = block::validation_codes(&block);
            for (entry, code) in block.data.unwrap().data.iter().zip(codes) {
                let error = TransactionView::parse(entry).and_then(|view| {
                    if view.header_type == HeaderType::EndorserTransaction && view.has_own_id() {
                        view.endorsed_action()?.chaincode_action()?;
                        view.header_extension()?;
                    }
                    Ok(())
                });
                // A signature that does not fit is found before the form of what it signs.
                if let Err(error) = error.as_ref()
                    && code != TxValidationCode::BadCreatorSignature
                {
                    assert_eq!(error.code, code, "{channel}: {error}");
                    refused += 1;
                }
                let formal = matches!(
                    code,
                    TxValidationCode::BadPayload
                        | TxValidationCode::BadCommonHeader
                        | TxValidationCode::InvalidEndorserTransaction
                        | TxValidationCode::BadHeaderExtension
                        | TxValidationCode::BadResponsePayload
                );
                assert!(!formal || error.is_err(), "{channel}: a transaction with {code:?} was read");
            }
        }
    }
    assert!(refused > 0, "the corpus has no transaction of bad form");
}

#[test]
fn golden_sets_survive_a_round_trip() {
    let mut parsed = 0;
    for channel in Corpus::get().channels() {
        for block in Chain::recorded(channel, None).blocks {
            let codes = block::validation_codes(&block);
            for (entry, code) in block.data.unwrap().data.iter().zip(codes) {
                let action =
                    TransactionView::parse(entry).and_then(|view| view.endorsed_action()?.chaincode_action());
                let Ok(action) = action else { continue };
                match ReadWriteSet::parse(&action.results) {
                    Ok(set) => {
                        let is_duplicate = set.duplicate_namespace().is_some();
                        assert!(!is_duplicate || code == TxValidationCode::IllegalWriteset);
                        // The data model is not kept: no other than 0 means anything.
                        if action.results.first() != Some(&0x08) {
                            assert_eq!(set.encode(), action.results);
                        }
                        parsed += 1;
                    }
                    Err(_) => assert_eq!(code, TxValidationCode::BadRwset),
                }
            }
        }
    }
    assert!(parsed > 0, "the corpus has no read/write set");
}

#[test]
fn golden_chains_end_in_the_public_state_of_the_peers() {
    for channel in Corpus::get().channels() {
        let replayed =
            Chain::recorded(channel, None).replay().unwrap_or_else(|error| panic!("{channel}: {error}"));
        let recorded = Corpus::get().json(&format!("chains/{channel}/state-public.json"));
        let mut spaces = replayed.state.spaces;
        for (namespace, keys) in recorded["namespaces"].as_object().unwrap() {
            // The peer keeps the channel's configuration under the empty name.
            if !namespace.is_empty() {
                let found = spaces.remove(&Space::public(namespace.as_str()));
                let missing = missing_keys(&format!("{channel}/{namespace}"), found.as_ref(), keys);
                assert!(missing.is_empty(), "{channel}/{namespace} lacks {missing:?}");
            }
        }
        for (place, keys) in recorded["hashed"].as_object().unwrap() {
            let (namespace, collection) = place.split_once('/').unwrap();
            let found = spaces.remove(&Space::hashed(namespace, collection));
            let missing = missing_keys(&format!("{channel}/{place}"), found.as_ref(), keys);
            assert!(missing.is_empty(), "{channel}/{place} lacks {missing:?}");
        }
        assert!(spaces.is_empty(), "{channel} has state that the recorded peer does not have: {spaces:?}");
    }
}

#[test]
fn golden_chains_end_in_the_private_state_of_the_peers() {
    let mut compared = 0;
    for channel in Corpus::get().channels() {
        for folder in organisations(channel) {
            let chain = Chain::recorded(channel, Some(&folder));
            let replayed = chain.replay().unwrap_or_else(|error| panic!("{channel} with {folder}: {error}"));
            for (version, namespace, collection) in &replayed.mismatches {
                let is_purge = replayed.purges.contains(&(*version, namespace.clone(), collection.clone()));
                assert!(
                    is_purge,
                    "{channel}: private data of {namespace}/{collection} at {version} are damaged"
                );
            }
            let organisation = folder.trim_start_matches("pvt-");
            let recorded = Corpus::get().json(&format!("chains/{channel}/state-private-{organisation}.json"));
            for (place, keys) in recorded.as_object().unwrap() {
                let (namespace, collection) = place.split_once('/').unwrap();
                let found = replayed.state.spaces.get(&Space::private(namespace, collection));
                compared += found.map_or(0, BTreeMap::len);
                let place = format!("{channel}/{place} of {organisation}");
                for (key, version) in missing_keys(&place, found, keys) {
                    let later = Chain::recorded(channel, Some(&format!("{folder}-final"))).private;
                    let came = |private: &BTreeMap<u64, PrivateSets>| {
                        has_collection(private, version, namespace, collection)
                    };
                    assert!(
                        came(&later) && !came(&chain.private),
                        "{place} lacks {} of {version}, which did not come after its block",
                        hex::encode(key)
                    );
                }
            }
        }
    }
    assert!(compared > 0, "the corpus has no private state");
}

#[test]
fn golden_chains_with_a_changed_byte_are_refused() {
    let mut changed = 0;
    for channel in Corpus::get().channels() {
        let chain = Chain::recorded(channel, None);
        let Some(number) = chain
            .blocks
            .iter()
            .position(|block| block::validation_codes(block).contains(&TxValidationCode::MvccReadConflict))
        else {
            continue;
        };
        let blocks: Vec<_> = chain.blocks.into_iter().take(number + 1).collect();
        let with = |change: &dyn Fn(&mut Block)| {
            let mut blocks = blocks.clone();
            change(&mut blocks[number]);
            Chain { blocks, private: BTreeMap::new() }.replay().is_err()
        };
        assert!(!with(&|_| ()), "{channel}: the unchanged chain is refused");
        let count = blocks[number].data.as_ref().unwrap().data.len();
        for index in 0..count {
            for code in [0, 10, 11, 12] {
                let recorded = block::transactions_filter(&blocks[number])[index];
                if code != recorded {
                    let change = |block: &mut Block| {
                        let mut codes = block::validation_codes(block);
                        codes[index] = block::validation_code(code);
                        block::set_transactions_filter(block, &codes);
                    };
                    assert!(with(&change), "{channel}: verdict {code} for {index} in {number} passes");
                    changed += 1;
                }
            }
        }
        let flip = |bytes: &mut Bytes, at: usize| {
            let mut flipped = bytes.to_vec();
            let at = at % flipped.len();
            flipped[at] ^= 1;
            *bytes = flipped.into();
        };
        for at in 0..32 {
            assert!(with(&|block| flip(&mut block.header.as_mut().unwrap().previous_hash, at)));
            assert!(with(&|block| flip(&mut block.header.as_mut().unwrap().data_hash, at)));
            assert!(with(&|block| flip(&mut block.data.as_mut().unwrap().data[0], at * 97)));
            let hash = block::commit_hash_of(&blocks[number]).unwrap();
            assert!(with(&|block| {
                let mut hash = hash.clone();
                flip(&mut hash, at);
                block::set_commit_hash(block, &hash);
            }));
            changed += 4;
        }
    }
    assert!(changed > 0, "the corpus has no conflict");
}
