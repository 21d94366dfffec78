//! Replays every recorded chain through the validator and the ledger: all verdicts and commit hashes must be those of
//! the real peers. Nothing recorded about a block is known while it is judged, but for the named exception.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::{ChannelConfig, VerificationCache};
use selvedge_ledger::block::{self, TransactionSummary};
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{Ledger, LedgerConfig};
use selvedge_peer::validator;
use selvedge_proto::common::Block;
use selvedge_proto::protos::{BlockAndPrivateData, TxValidationCode};

/// How many verdicts were compared, and those that differ.
#[derive(Default)]
struct Report {
    compared: usize,
    exempt: usize,
    differences: Vec<String>,
}

/// A recorded chain on its way through the validator.
struct Replay {
    channel: String,
    ledger: Ledger,
    config: Arc<ChannelConfig>,
    signatures: Arc<VerificationCache>,
}

impl Replay {
    fn begin(channel: &str, genesis: Block) -> Self {
        let signatures = VerificationCache::new(10_000);
        let config = ChannelConfig::from_block_with(&genesis, Some(Arc::clone(&signatures))).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let ledger = Ledger::open(storage, LedgerConfig::new("/ledger"), Some(genesis)).unwrap();
        Self { channel: channel.to_owned(), ledger, config: Arc::new(config), signatures }
    }

    fn take_in(&mut self, recorded: &Block, private: PrivateWrites, report: &mut Report) {
        let number = recorded.header.as_ref().unwrap().number;
        self.config
            .verify_block(recorded)
            .unwrap_or_else(|error| panic!("{} {number}: {error}", self.channel));
        let entries = &recorded.data.as_ref().unwrap().data;
        block::check_well_formed(entries).unwrap();

        let examined = validator::examine(&self.config, &self.signatures, entries);
        let mut judged = examined.judge(&self.ledger.snapshot()).unwrap();
        // The real peer had joined another channel, and judged a transaction for that one by it.
        let exempt: Vec<usize> =
            (0..entries.len()).filter(|index| self.is_exempt(recorded, *index)).collect();
        for index in &exempt {
            assert_eq!(judged.codes[*index], TxValidationCode::BadCreatorSignature);
            judged.codes[*index] = TxValidationCode::Valid;
        }
        let validated = self.ledger.validate(unjudged(recorded), judged.codes, private).unwrap();
        let committed = self.ledger.commit(validated).unwrap();
        if let Some(config) = judged.config {
            self.config = config;
        }

        report.exempt += exempt.len();
        let expected = block::validation_codes(recorded);
        for (index, (ours, theirs)) in committed.codes().zip(expected).enumerate() {
            report.compared += 1;
            if ours != theirs {
                report.differences.push(format!("{} {number}:{index} {ours:?} is {theirs:?}", self.channel));
            }
        }
        let hash = block::commit_hash_of(recorded).unwrap_or_default();
        if committed.tip().commit_hash != hash {
            report.differences.push(format!("{} {number} has another commit hash", self.channel));
        }
    }

    fn is_exempt(&self, recorded: &Block, index: usize) -> bool {
        let summary = TransactionSummary::of(&recorded.data.as_ref().unwrap().data[index]);
        let is_valid = block::validation_codes(recorded)[index] == TxValidationCode::Valid;
        is_valid && summary.channel_id != self.channel
    }
}

/// The block without what a committer adds.
fn unjudged(recorded: &Block) -> Block {
    let mut block = recorded.clone();
    let slots = &mut block.metadata.as_mut().unwrap().metadata;
    (slots[2], slots[4]) = (Bytes::new(), Bytes::new());
    block
}

fn private_writes(channel: &str, folder: &str, number: u64) -> PrivateWrites {
    let path = format!("chains/{channel}/{folder}/{number:05}.bpd");
    let bytes = Corpus::get().find(&path).unwrap_or_default();
    BlockAndPrivateData::decode(bytes).unwrap().private_data_map
}

/// The folders with one organisation's private data each; one that is not there counts as one without data.
fn organisations(channel: &str) -> Vec<String> {
    let prefix = format!("chains/{channel}/state-private-");
    let names = Corpus::get().paths(&prefix).map(|path| path[prefix.len()..].trim_end_matches(".json"));
    names.map(|organisation| format!("pvt-{organisation}")).collect()
}

fn replay(channel: &str, folder: &str, report: &mut Report) {
    let blocks = Corpus::get().blocks(channel);
    let mut blocks = blocks.into_values().map(|bytes| Block::decode(Bytes::copy_from_slice(bytes)).unwrap());
    let mut chain = Replay::begin(channel, unjudged(&blocks.next().unwrap()));
    for block in blocks {
        let number = block.header.as_ref().unwrap().number;
        chain.take_in(&block, private_writes(channel, folder, number), report);
    }
}

#[test]
fn golden_verdicts_are_those_of_the_peers() {
    for channel in Corpus::get().channels() {
        let mut report = Report::default();
        for folder in organisations(channel) {
            replay(channel, &folder, &mut report);
        }
        let Report { compared, exempt, differences } = report;
        assert!(compared > 0, "{channel} has no transactions");
        assert!(
            exempt * 10 < compared,
            "{channel}: {exempt} of {compared} transactions are of other channels"
        );
        assert!(differences.is_empty(), "{channel}: of {compared} verdicts differ {differences:#?}");
    }
}
