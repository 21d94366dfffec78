//! Recorded channels, block by block, for the tests of the lifecycle.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::ChannelConfig;
use selvedge_identity::channel::is_config_block;
use selvedge_ledger::block::{self, EndorsedAction, TransactionView};
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::StateSnapshot;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{Ledger, LedgerConfig};
use selvedge_proto::common::Block;
use selvedge_proto::msp::SerializedIdentity;
use selvedge_proto::protos::{
    BlockAndPrivateData, ChaincodeInvocationSpec, ChaincodeProposalPayload, TxValidationCode,
};

/// One recorded channel as the peer of one organisation has it.
pub(crate) struct Chain {
    /// The channel's id.
    pub(crate) channel: String,
    /// The organisation's name in the corpus, such as `org1`.
    pub(crate) organisation: String,
    /// The organisation's MSP id.
    pub(crate) msp_id: String,
    /// All blocks as recorded.
    pub(crate) blocks: Vec<Block>,
    /// The organisation's private writes by block and transaction.
    pub(crate) private: BTreeMap<u64, PrivateWrites>,
    /// The state before each block, and at the end the last one; the first is the state before block 1.
    snapshots: Vec<Arc<StateSnapshot>>,
    configs: Vec<Arc<ChannelConfig>>,
    _ledger: Ledger,
}

impl Chain {
    /// The names of the organisations whose peers of a channel were recorded.
    pub(crate) fn organisations(channel: &str) -> Vec<String> {
        let prefix = format!("chains/{channel}/state-private-");
        let names = Corpus::get().paths(&prefix).map(|path| path[prefix.len()..].trim_end_matches(".json"));
        names.map(str::to_owned).collect()
    }

    /// Puts a recorded channel through the ledger of a peer that gets all private data of its organisation.
    pub(crate) fn replay(channel: &str, organisation: &str) -> Self {
        Self::replay_with(channel, organisation, true)
    }

    /// Puts a recorded channel through the ledger of a peer that gets no private data.
    pub(crate) fn replay_without_private_data(channel: &str, organisation: &str) -> Self {
        Self::replay_with(channel, organisation, false)
    }

    fn replay_with(channel: &str, organisation: &str, with_private_data: bool) -> Self {
        let corpus = Corpus::get();
        let blocks: Vec<Block> =
            corpus.blocks(channel).values().map(|bytes| Block::decode(*bytes).unwrap()).collect();
        let private = corpus.private_blocks(channel, &format!("pvt-{organisation}"));
        let private: BTreeMap<_, _> = private
            .into_iter()
            .map(|(number, bytes)| (number, BlockAndPrivateData::decode(bytes).unwrap().private_data_map))
            .collect();
        let mut config = LedgerConfig::new("/ledger");
        config.log.sync = false;
        let genesis = before_commit(&blocks[0]).0;
        let ledger = Ledger::open(Arc::new(MemoryStorage::new()), config, Some(genesis)).unwrap();
        let mut snapshots = vec![ledger.snapshot()];
        let mut configs = vec![Arc::new(ChannelConfig::from_block(&blocks[0]).unwrap())];
        for (recorded, number) in blocks.iter().zip(0..).skip(1) {
            let (block, verdicts) = before_commit(recorded);
            let private = private.get(&number).filter(|_| with_private_data).cloned().unwrap_or_default();
            ledger.commit(ledger.validate(block, verdicts, private).unwrap()).unwrap();
            snapshots.push(ledger.snapshot());
            configs.push(if is_config_block(recorded) {
                Arc::new(ChannelConfig::from_block(recorded).unwrap())
            } else {
                Arc::clone(configs.last().unwrap())
            });
        }
        Self {
            channel: channel.to_owned(),
            organisation: organisation.to_owned(),
            msp_id: owner(&private),
            blocks,
            private,
            snapshots,
            configs,
            _ledger: ledger,
        }
    }

    /// How many blocks there are.
    pub(crate) fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The state after the first `height` blocks, which is at least 1.
    pub(crate) fn snapshot(&self, height: u64) -> &Arc<StateSnapshot> {
        &self.snapshots[usize::try_from(height).unwrap() - 1]
    }

    /// The configuration after the first `height` blocks.
    pub(crate) fn config(&self, height: u64) -> &ChannelConfig {
        &self.configs[usize::try_from(height).unwrap() - 1]
    }

    /// The endorsed transactions that can be read, by block number and index.
    pub(crate) fn transactions(&self) -> Vec<Recorded> {
        let mut all = Vec::new();
        for (block, number) in self.blocks.iter().zip(0..) {
            let codes = block::validation_codes(block);
            for ((entry, code), index) in block.data.as_ref().unwrap().data.iter().zip(codes).zip(0..) {
                all.extend(Recorded::read(entry, number, index, code));
            }
        }
        all
    }
}

/// One recorded transaction that calls a chaincode.
pub(crate) struct Recorded {
    pub(crate) block: u64,
    pub(crate) index: u64,
    pub(crate) code: TxValidationCode,
    /// The called chaincode.
    pub(crate) chaincode: String,
    /// The arguments of the call.
    pub(crate) args: Vec<Bytes>,
    /// The marshalled read/write set.
    pub(crate) results: Bytes,
    /// The MSP ids of the endorsers.
    pub(crate) endorsers: Vec<String>,
}

impl Recorded {
    fn read(entry: &Bytes, block: u64, index: u64, code: TxValidationCode) -> Option<Self> {
        let view = TransactionView::parse(entry).ok()?;
        let action = view.endorsed_action().ok()?;
        let results = chaincode_action(&action)?.results;
        let payload = ChaincodeProposalPayload::decode(action.proposal_payload.clone()).ok()?;
        let spec = ChaincodeInvocationSpec::decode(payload.input).ok()?.chaincode_spec?;
        let endorsers = action.endorsements.iter().map(|endorsement| {
            SerializedIdentity::decode(endorsement.endorser.clone()).map(|identity| identity.mspid)
        });
        Some(Self {
            block,
            index,
            code,
            chaincode: spec.chaincode_id?.name,
            args: spec.input?.args,
            results,
            endorsers: endorsers.collect::<Result<_, _>>().ok()?,
        })
    }
}

fn chaincode_action(action: &EndorsedAction) -> Option<selvedge_proto::protos::ChaincodeAction> {
    selvedge_proto::protos::ChaincodeAction::decode(action.response.extension.clone()).ok()
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

/// The organisation whose approvals are among the private writes: those of others it never gets.
fn owner(private: &BTreeMap<u64, PrivateWrites>) -> String {
    let sets = private.values().flat_map(BTreeMap::values);
    let namespaces = sets.flat_map(|set| &set.ns_pvt_rwset).filter(|set| set.namespace == "_lifecycle");
    let mut collections = namespaces.flat_map(|set| &set.collection_pvt_rwset);
    let approval = collections.next().expect("an organisation approved something");
    approval.collection_name.strip_prefix("_implicit_org_").unwrap().to_owned()
}
