//! Reads everything back from every peer, and judges it by a ledger in this process.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use selvedge_client::{Approval, BlockPosition, BlockRange};
use selvedge_identity::ChannelConfig;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::TransactionPlace;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, block};
use selvedge_proto::common::Block;
use selvedge_proto::lifecycle::chaincode_source;
use selvedge_proto::protos::TxValidationCode;
use serde_json::Value;
use tokio::time::sleep;

use crate::load::{Names, call, create};
use crate::parties::{CHANNEL, Party};
use crate::told::{Acknowledged, Change, Told};
use crate::{POLL, within};

/// The chain as the peers gave it, judged again: a block is taken only if it continues the chain, the orderer signed
/// it, and its verdicts and commit hash are those that the ledger here comes to.
pub(crate) struct Audit {
    pub(crate) ledger: Ledger,
    config: ChannelConfig,
}

impl Audit {
    /// Begins with the chain's first block.
    pub(crate) fn new(genesis: Block) -> Self {
        let config = ChannelConfig::from_block(&genesis).unwrap();
        let storage = Arc::new(MemoryStorage::new());
        let ledger = Ledger::open(storage, LedgerConfig::new("/audit"), Some(genesis)).unwrap();
        Self { ledger, config }
    }

    /// Checks everything after a start of the network, when nobody else uses it.
    pub(crate) async fn check(&self, parties: &[Party], names: &Names, told: &mut Told) {
        // Once this one is committed, so is everything before it.
        let last = self.probe(&parties[0], names).await;
        for party in parties {
            let range = BlockRange::new(BlockPosition::Oldest, BlockPosition::Number(last.commit.block));
            let mut blocks = party.blocks.blocks(CHANNEL, range).await.unwrap();
            let mut next = 0;
            while let Some(block) = within("next block", blocks.try_next()).await.unwrap() {
                self.take(&party.peer, next, block);
                next += 1;
            }
            assert_eq!(next, last.commit.block + 1, "{} does not give all blocks", party.peer);
            self.check_assets(party).await;
        }
        told.transactions.push(last);
        self.check_transactions(parties, told).await;
        self.check_changes(parties, told).await;
    }

    /// Takes a block that a peer gave as its block of this number.
    pub(crate) fn take(&self, peer: &str, number: u64, given: Block) {
        if number < self.ledger.height() {
            let known = self.ledger.block(number).unwrap().unwrap();
            assert!(known == given, "block {number} of {peer} is not the one that was seen before");
            return;
        }
        self.config.verify_block(&given).unwrap_or_else(|error| panic!("block {number} of {peer}: {error}"));
        let verdicts = block::validation_codes(&given);
        // The verdicts against the state are found again.
        let verdicts = verdicts.into_iter().map(|code| match code {
            TxValidationCode::MvccReadConflict | TxValidationCode::PhantomReadConflict => {
                TxValidationCode::Valid
            }
            code => code,
        });
        let judged = self.ledger.validate(given.clone(), verdicts.collect(), PrivateWrites::new());
        let judged = judged.unwrap_or_else(|error| panic!("block {number} of {peer}: {error}"));
        assert!(
            *judged.block() == given,
            "block {number} of {peer} has other verdicts or another commit hash"
        );
        self.ledger.commit(judged).unwrap();
    }

    /// Submits a transaction until one is valid: right after the start the peers may not be equally far.
    async fn probe(&self, party: &Party, names: &Names) -> Acknowledged {
        let submit = async {
            loop {
                match party.user.submit_and_wait(create(names.next()), &[]).await {
                    Ok((submitted, commit)) => {
                        return Acknowledged { transaction: submitted.tx_id, commit };
                    }
                    Err(_) => sleep(POLL).await,
                }
            }
        };
        within("valid transaction", submit).await
    }

    /// The state that chaincode sees is that of the blocks.
    async fn check_assets(&self, party: &Party) {
        let found = party.user.evaluate(call("GetAllAssets", [])).await.unwrap().payload;
        let found: Vec<Value> = serde_json::from_slice(&found).unwrap();
        let snapshot = self.ledger.snapshot();
        let rows = snapshot.range(&Space::public("basic"), b"\x01", b"").unwrap();
        let expected: Vec<Value> =
            rows.map(|row| serde_json::from_slice(&row.unwrap().1.value).unwrap()).collect();
        assert!(found == expected, "the assets of {} are not those of its blocks", party.peer);
    }

    /// Whatever clients were told of is where they were told; the newest is asked for at every peer, too.
    async fn check_transactions(&self, parties: &[Party], told: &mut Told) {
        for Acknowledged { transaction, commit } in &told.transactions {
            let place = self.ledger.transaction_place(transaction).unwrap();
            let found = place.map(|TransactionPlace { block, code, .. }| (block, code));
            assert_eq!(found, Some((commit.block, commit.code)), "transaction {transaction}");
        }
        for Acknowledged { transaction, commit } in &told.transactions[told.asked..] {
            for party in parties {
                let answer = party.user.commit_status(CHANNEL, transaction).await.unwrap();
                assert_eq!(answer, *commit, "transaction {transaction} at {}", party.peer);
            }
        }
        told.asked = told.transactions.len();
    }

    /// Packages, approvals and definitions are there; of what was only tried there is all or nothing.
    async fn check_changes(&self, parties: &[Party], told: &Told) {
        let definitions = parties[0].admin.all_committed(CHANNEL).await.unwrap().chaincode_definitions;
        let sequences: BTreeMap<&str, (i64, &str)> = definitions
            .iter()
            .map(|definition| (&*definition.name, (definition.sequence, &*definition.version)))
            .collect();
        for party in parties {
            let found = party.admin.all_committed(CHANNEL).await.unwrap().chaincode_definitions;
            assert_eq!(found, definitions, "{}", party.peer);
            let installed = party.admin.installed().await.unwrap();
            let approved = approvals(party).await;
            let mut expected: BTreeMap<(&str, i64), Vec<(&str, &str)>> = BTreeMap::new();
            let own = told.steps.iter().filter(|step| step.msp_id == party.msp_id);
            for step in own {
                match &step.what {
                    Change::Install(id) => {
                        let found = installed.iter().any(|package| package.package_id == *id);
                        assert!(found || !step.acknowledged, "{id} is gone from {}", party.peer);
                    }
                    Change::Commit { name, sequence, version } => {
                        let found = sequences.get(&**name).copied().unwrap_or_default();
                        let kept = found == (*sequence, version) || found.0 > *sequence;
                        assert!(kept || !step.acknowledged, "{name} {sequence} is {found:?}");
                    }
                    Change::Approve(Approval { definition, package_id }) => {
                        // Later attempts, even those nobody heard of again, may have replaced earlier ones.
                        let possible = expected.entry((&definition.name, definition.sequence)).or_default();
                        if step.acknowledged {
                            possible.clear();
                        }
                        possible.push((&definition.version, package_id.as_deref().unwrap_or_default()));
                    }
                }
            }
            check_approvals(party, told, &approved, &expected);
            self.check_readiness(parties, party, told, &approved, &sequences).await;
        }
    }

    /// What an organisation's own peer says is approved, the others' peers say too, by its hashes.
    async fn check_readiness(
        &self,
        parties: &[Party],
        of: &Party,
        told: &Told,
        approved: &Approvals,
        sequences: &BTreeMap<&str, (i64, &str)>,
    ) {
        let last = told.steps.iter().rev().filter(|step| step.msp_id == of.msp_id);
        for step in last.take(4) {
            let Change::Approve(Approval { definition, .. }) = &step.what else { continue };
            let committed = sequences.get(&*definition.name).map_or(0, |(sequence, _)| *sequence);
            if definition.sequence != committed + 1 {
                continue;
            }
            let own = approved.get(&(definition.name.clone(), definition.sequence));
            let own = own.is_some_and(|(version, _)| *version == definition.version);
            for party in parties {
                let readiness = party.admin.readiness(CHANNEL, definition).await.unwrap();
                assert_eq!(
                    readiness.approvals.get(&of.msp_id),
                    Some(&own),
                    "{definition:?} at {}",
                    party.peer
                );
            }
        }
    }
}

/// Version and package by name and sequence.
type Approvals = BTreeMap<(String, i64), (String, String)>;

/// All approvals of an organisation with what only its own peers hold: the private data.
async fn approvals(party: &Party) -> Approvals {
    let all = party.admin.all_approved(CHANNEL).await.unwrap().approved_chaincode_definitions;
    let all = all.into_iter().map(|approved| {
        let package_id = match approved.source.and_then(|source| source.r#type) {
            Some(chaincode_source::Type::LocalPackage(local)) => local.package_id,
            other => panic!("{} has approved {} without a package: {other:?}", party.msp_id, approved.name),
        };
        ((approved.name, approved.sequence), (approved.version, package_id))
    });
    all.collect()
}

fn check_approvals(
    party: &Party,
    told: &Told,
    approved: &Approvals,
    expected: &BTreeMap<(&str, i64), Vec<(&str, &str)>>,
) {
    for ((name, sequence), (version, package_id)) in approved {
        let possible = expected.get(&(name, *sequence)).map(Vec::as_slice).unwrap_or_default();
        assert!(
            possible.contains(&(version, package_id)),
            "{} holds an approval of {name} {sequence} that is none of {possible:?}: {version} {package_id}",
            party.peer
        );
    }
    let acknowledged = told.steps.iter().filter(|step| step.acknowledged && step.msp_id == party.msp_id);
    for step in acknowledged {
        let Change::Approve(Approval { definition, .. }) = &step.what else { continue };
        let key = (definition.name.clone(), definition.sequence);
        assert!(approved.contains_key(&key), "{} lacks the approval of {key:?}", party.peer);
    }
}
