//! Recorded transactions and calls, played against our own peer.

mod corrupted;
mod refusals;
pub(crate) mod streams;
mod system;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::{ChannelConfig, Msp, SigningIdentity, VerificationCache};
use selvedge_ledger::block::TransactionSummary;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{LedgerConfig, block};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::common::Block;
use selvedge_proto::msp::MspConfig;
use selvedge_proto::protos::{BlockAndPrivateData, SignedProposal, TxValidationCode};
use selvedge_session::query::Limits;

use super::context::Transaction;
use super::executor::{Executor, initialize};
use super::state::SharedState;
use super::{Channels, EndorserConfig, LocalEndorser, Received, Refusal, Verified};
use crate::channel::Channel;
use crate::host::{Host, HostConfig};
use crate::lifecycle::{self, Runnable};
use crate::validator;

/// Longer than the recordings are old.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The peer of one organisation with the recorded channels that it has joined.
pub(crate) struct Peer {
    /// The channel that it joined first.
    pub(crate) channel: Arc<Channel>,
    first: Chain,
    organisation: String,
    local_msp: Arc<Msp>,
    pub(super) executor: Executor,
    _folder: tempfile::TempDir,
}

/// A recorded channel, whose blocks are validated and committed as they are needed.
struct Chain {
    channel: Arc<Channel>,
    blocks: Vec<Block>,
    private: BTreeMap<u64, BlockAndPrivateData>,
}

impl Chain {
    fn begin(corpus: &Corpus, channel: &str, organisation: &str) -> Self {
        let decode = |bytes| Block::decode(bytes).unwrap();
        let blocks: Vec<_> = corpus.blocks(channel).into_values().map(decode).collect();
        let private = corpus.private_blocks(channel, &format!("pvt-{organisation}"));
        let private =
            private.into_iter().map(|(number, bytes)| (number, BlockAndPrivateData::decode(bytes).unwrap()));
        let mut config = LedgerConfig::new("/ledger");
        config.log.sync = false;
        let genesis = unjudged(&blocks[0]);
        let storage = Arc::new(MemoryStorage::new());
        let opened = Channel::open(storage, config, Some(genesis), VerificationCache::new(10_000)).unwrap();
        Self { channel: Arc::new(opened), blocks, private: private.collect() }
    }

    fn commit_up_to(&self, height: u64) {
        let ledger = self.channel.ledger();
        while ledger.height() < height {
            self.commit(&self.blocks[usize::try_from(ledger.height()).unwrap()]);
        }
    }

    /// Judges a block and commits it. Nothing is known of the recorded verdicts and hash until there are our own.
    fn commit(&self, recorded: &Block) {
        let (ledger, config) = (self.channel.ledger(), self.channel.config());
        let number = recorded.header.as_ref().unwrap().number;
        let place = format!("block {number} of {}", self.channel.id());
        config.verify_block(recorded).unwrap_or_else(|error| panic!("{place} differs: {error}"));
        let entries = &recorded.data.as_ref().unwrap().data;
        block::check_well_formed(entries).unwrap();
        let examined = validator::examine(&config, entries);
        let mut judged = examined.judge(&ledger.snapshot()).unwrap();
        let validate = |codes: &[TxValidationCode]| {
            let private = self.private.get(&number).cloned().unwrap_or_default().private_data_map;
            ledger.validate(unjudged(recorded), codes.to_vec(), private).unwrap()
        };
        let mut validated = validate(&judged.codes);

        let expected = block::validation_codes(recorded);
        let exempt = self.judged_by_another_channel(entries, &judged.codes, &expected);
        if !exempt.is_empty() {
            exempt.into_iter().for_each(|index| judged.codes[index] = TxValidationCode::Valid);
            validated = validate(&judged.codes);
        }
        let codes: Vec<_> = validated.codes().collect();
        assert_eq!(codes, expected, "{place} differs: its verdicts");
        let (ours, theirs) = (block::commit_hash_of(validated.block()), block::commit_hash_of(recorded));
        assert_eq!(ours, theirs, "{place} differs: its commit hash");
        ledger.commit(validated).unwrap();
        if let Some(config) = judged.config {
            self.channel.set_config(config);
        }
    }

    /// The recorded peer had joined a channel that was not recorded, and judged transactions for that one by it.
    fn judged_by_another_channel(
        &self,
        entries: &[Bytes],
        ours: &[TxValidationCode],
        recorded: &[TxValidationCode],
    ) -> Vec<usize> {
        let is_exempt = |index: &usize| {
            recorded.get(*index) == Some(&TxValidationCode::Valid)
                && ours[*index] == TxValidationCode::BadCreatorSignature
                && TransactionSummary::of(&entries[*index]).channel_id != self.channel.id()
        };
        (0..entries.len()).filter(is_exempt).collect()
    }
}

impl Peer {
    pub(crate) fn new(corpus: &Corpus, channel: &str, organisation: &str) -> Self {
        let first = Chain::begin(corpus, channel, organisation);
        let local_msp = Arc::new(msp(&first.channel.config(), organisation));
        let folder = tempfile::tempdir().unwrap();
        let host = Host::open(HostConfig::new(folder.path())).unwrap();
        let channels = Channels::default();
        channels.insert(Arc::clone(&first.channel));
        // The recorded peers had LevelDB.
        let executor = Executor::new(host, Arc::clone(&local_msp), channels, Limits::default(), false);
        let organisation = organisation.to_owned();
        let channel = Arc::clone(&first.channel);
        Self { channel, first, organisation, local_msp, executor, _folder: folder }
    }

    /// Joins a further channel and commits all its blocks.
    pub(crate) fn join(&self, corpus: &Corpus, channel: &str) {
        let chain = Chain::begin(corpus, channel, &self.organisation);
        chain.commit_up_to(chain.blocks.len() as u64);
        self.executor.channels.insert(chain.channel);
    }

    pub(crate) fn commit_up_to(&self, height: u64) {
        self.first.commit_up_to(height);
    }

    /// All blocks of the recording.
    pub(crate) fn commit_all(&self) {
        self.commit_up_to(self.first.blocks.len() as u64);
    }

    pub(crate) fn local_msp(&self) -> &Arc<Msp> {
        &self.local_msp
    }

    pub(super) fn verify(&self, proposal: SignedProposal) -> Verified {
        self.judge(proposal, SystemTime::now(), CENTURY).unwrap()
    }

    /// What comes before the simulation.
    fn judge(
        &self,
        proposal: SignedProposal,
        now: SystemTime,
        window: Duration,
    ) -> Result<Verified, Refusal> {
        let received = Received::read(proposal, now, window, |_, _| None)?;
        received.verify(Some(Arc::clone(&self.channel)), &self.local_msp)
    }

    /// The peer as an endorser. It has keys of its own, and no chaincode.
    pub(crate) fn endorser(&self) -> LocalEndorser {
        let spec = AuthoritySpec::default();
        let leaf = Authority::new(&spec).unwrap().issue(&LeafSpec::default()).unwrap();
        let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes());
        let identity = SigningIdentity::from_pem(self.local_msp.id(), certificate, key).unwrap();
        let config = EndorserConfig {
            time_window: CENTURY,
            rich_queries: false,
            ..EndorserConfig::new("127.0.0.1:7051")
        };
        let (host, channels) = (self.executor.host.clone(), self.executor.channels.clone());
        LocalEndorser::new(Arc::new(identity), Arc::clone(&self.local_msp), host, channels, config)
    }

    pub(super) fn transaction(&self, verified: &Verified) -> Transaction {
        let proposal = verified.proposal();
        Transaction {
            channel: Arc::clone(&self.channel),
            config: self.channel.config(),
            tx_id: proposal.tx_id().to_owned(),
            proposal: proposal.signed.clone(),
            chaincode: proposal.chaincode().to_owned(),
            creator: Arc::clone(verified.creator()),
            state: SharedState::new(self.channel.ledger().simulator(proposal.tx_id())),
        }
    }

    /// Does what comes before a call of a chaincode. Its package is not here, so that only the reads count.
    pub(super) fn begin(
        &self,
        transaction: &Transaction,
        name: &str,
        is_init: bool,
    ) -> Result<Runnable, String> {
        let refused = self.executor.resolve(transaction, name);
        assert!(refused.is_err(), "no package of the recorded peer can be installed here");
        let snapshot = transaction.channel.ledger().snapshot();
        let definition = Arc::new(lifecycle::committed(snapshot.as_ref(), name).unwrap().unwrap());
        let runnable = Runnable { definition, package_id: String::new() };
        transaction.state.with(|simulator| initialize(simulator, name, &runnable, is_init))?;
        Ok(runnable)
    }
}

/// The names by which the corpus calls the organisations that hold a channel's private data.
pub(crate) fn organisations(corpus: &Corpus, channel: &str) -> Vec<String> {
    let prefix = format!("chains/{channel}/state-private-");
    corpus.paths(&prefix).map(|path| path[prefix.len()..].trim_end_matches(".json").to_owned()).collect()
}

/// The organisation of the peer to which a recorded call went.
pub(crate) fn target(exchange: &serde_json::Value) -> &str {
    exchange["target"].as_str().unwrap().rsplit(' ').next().unwrap()
}

/// A text without the spaces by which Go's protobuf library varies its own, so that nobody relies on them.
pub(crate) fn plain(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

/// The MSP of the organisation whose peer is called `org1`, say.
fn msp(config: &ChannelConfig, organisation: &str) -> Msp {
    let root = config.config().channel_group.as_ref().unwrap();
    let orgs = root.groups["Application"].groups.values();
    let mut msps = orgs
        .map(|org| Msp::from_config(&MspConfig::decode(org.values["MSP"].value.clone()).unwrap()).unwrap());
    msps.find(|msp| msp.id().to_lowercase().starts_with(organisation)).unwrap()
}

/// The block without what a committer adds.
fn unjudged(recorded: &Block) -> Block {
    let mut block = recorded.clone();
    let slots = &mut block.metadata.as_mut().unwrap().metadata;
    (slots[2], slots[4]) = (Bytes::new(), Bytes::new());
    block
}

/// Every verdict and commit hash of every channel, for the peer of each organisation.
#[test]
fn golden_verdicts_are_those_of_the_peers() {
    let corpus = Corpus::get();
    for channel in corpus.channels() {
        let organisations = organisations(corpus, channel);
        assert!(!organisations.is_empty(), "{channel} has nobody's private data");
        for organisation in organisations {
            let peer = Peer::new(corpus, channel, &organisation);
            peer.commit_all();
            assert!(peer.channel.ledger().height() > 1, "{channel} has no transactions");
        }
    }
}
