//! Recorded transactions, played against our own peer.

mod refusals;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::channel::is_config_block;
use selvedge_identity::{ChannelConfig, Msp, SigningIdentity, VerificationCache};
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{LedgerConfig, block};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::common::Block;
use selvedge_proto::msp::MspConfig;
use selvedge_proto::protos::{BlockAndPrivateData, SignedProposal, TxValidationCode};

use super::context::Transaction;
use super::executor::{Executor, initialize};
use super::state::SharedState;
use super::{Channels, EndorserConfig, LocalEndorser, Received, Refusal, Verified};
use crate::channel::Channel;
use crate::host::{Host, HostConfig};
use crate::lifecycle::{self, Runnable};

/// Longer than the recordings are old.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// A recorded channel on the peer of one organisation, whose blocks are committed as they are needed.
pub(crate) struct Peer {
    pub(crate) channel: Arc<Channel>,
    blocks: Vec<Block>,
    private: BTreeMap<u64, BlockAndPrivateData>,
    local_msp: Arc<Msp>,
    pub(super) executor: Executor,
    _folder: tempfile::TempDir,
}

impl Peer {
    pub(crate) fn new(channel: &str, organisation: &str) -> Self {
        let corpus = Corpus::get();
        let blocks: Vec<_> =
            corpus.blocks(channel).into_values().map(|bytes| Block::decode(bytes).unwrap()).collect();
        let private = corpus.private_blocks(channel, &format!("pvt-{organisation}"));
        let private =
            private.into_iter().map(|(number, bytes)| (number, BlockAndPrivateData::decode(bytes).unwrap()));
        let mut config = LedgerConfig::new("/ledger");
        config.log.sync = false;
        let genesis = before_commit(&blocks[0]).0;
        let storage = Arc::new(MemoryStorage::new());
        let opened = Channel::open(storage, config, Some(genesis), VerificationCache::new(1000)).unwrap();
        let channel = Arc::new(opened);
        let local_msp = Arc::new(msp(&channel.config(), organisation));
        let folder = tempfile::tempdir().unwrap();
        let host = Host::open(HostConfig::new(folder.path())).unwrap();
        let channels = Channels::default();
        channels.insert(Arc::clone(&channel));
        let executor = Executor::new(host, Arc::clone(&local_msp), channels);
        Self { channel, blocks, private: private.collect(), local_msp, executor, _folder: folder }
    }

    pub(crate) fn commit_up_to(&self, height: u64) {
        let ledger = self.channel.ledger();
        while ledger.height() < height {
            let number = ledger.height();
            let recorded = &self.blocks[usize::try_from(number).unwrap()];
            let (block, verdicts) = before_commit(recorded);
            let private = self.private.get(&number).cloned().unwrap_or_default().private_data_map;
            ledger.commit(ledger.validate(block, verdicts, private).unwrap()).unwrap();
            if is_config_block(recorded) {
                self.channel.set_config(Arc::new(ChannelConfig::from_block(recorded).unwrap()));
            }
        }
    }

    /// All blocks of the recording.
    pub(crate) fn commit_all(&self) {
        self.commit_up_to(self.blocks.len() as u64);
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
        let received = Received::read(proposal, now, window)?;
        received.verify(Some(Arc::clone(&self.channel)), &self.local_msp)
    }

    /// The peer as an endorser. It has keys of its own, and no chaincode.
    fn endorser(&self) -> LocalEndorser {
        let spec = AuthoritySpec::default();
        let leaf = Authority::new(&spec).unwrap().issue(&LeafSpec::default()).unwrap();
        let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes());
        let identity = SigningIdentity::from_pem(self.local_msp.id(), certificate, key).unwrap();
        let config = EndorserConfig { time_window: CENTURY, ..EndorserConfig::new("127.0.0.1:7051") };
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
        let snapshot = self.channel.ledger().snapshot();
        let definition = Arc::new(lifecycle::committed(snapshot.as_ref(), name).unwrap().unwrap());
        let runnable = Runnable { definition, package_id: String::new() };
        transaction.state.with(|simulator| initialize(simulator, name, &runnable, is_init))?;
        Ok(runnable)
    }
}

/// The MSP of the organisation whose peer is called `org1`, say.
fn msp(config: &ChannelConfig, organisation: &str) -> Msp {
    let root = config.config().channel_group.as_ref().unwrap();
    let orgs = root.groups["Application"].groups.values();
    let mut msps = orgs
        .map(|org| Msp::from_config(&MspConfig::decode(org.values["MSP"].value.clone()).unwrap()).unwrap());
    msps.find(|msp| msp.id().to_lowercase().starts_with(organisation)).unwrap()
}

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
