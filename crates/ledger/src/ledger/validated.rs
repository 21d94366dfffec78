use bytes::Bytes;
use selvedge_proto::common::{Block, BlockHeader};
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::TxPvtReadWriteSet;

use super::entry::{Entry, read_set};
use super::expiry::Lives;
use super::history::valid_sets;
use super::recovery::hex;
use crate::hash::sha256;
use crate::log::PrivateWrites;
use crate::mvcc::{self, Candidate, Outcome};
use crate::state::{BlockChanges, Expiry, Missing, Outlived, StateSnapshot, Tip, ValidSets};
use crate::{StoreError, Updates, block};

/// A block whose transactions are all judged, with what it changes. Only `Ledger::validate` makes one.
#[derive(Debug)]
pub struct Validated {
    block: Block,
    header: BlockHeader,
    tip: Tip,
    private: PrivateWrites,
    updates: Updates,
    expiries: Vec<Expiry>,
    transactions: Vec<(Option<String>, TxValidationCode)>,
    history: ValidSets,
    missing: Vec<Missing>,
    outlived: Vec<Outlived>,
    /// How often private writes had come late before it was judged.
    pub(super) basis: u64,
}

/// A block that the ledger has taken in.
#[derive(Debug)]
pub struct Committed {
    block: Block,
    tip: Tip,
    transactions: Vec<(Option<String>, TxValidationCode)>,
}

impl Validated {
    /// Checks that the block follows the snapshot's, judges its transactions against the snapshot, and fills in
    /// the metadata that a committer adds: verdicts and commit hash.
    pub(super) fn judge(
        snapshot: &StateSnapshot,
        basis: u64,
        block: Block,
        verdicts: Vec<TxValidationCode>,
        mut private: PrivateWrites,
    ) -> Result<Self, StoreError> {
        let read = Read::new(snapshot, block, verdicts, &private)?;
        let outcome = mvcc::validate(snapshot, read.header.number, &read.candidates)?;
        keep_endorsed(&mut private, &read, &outcome);
        Ok(Self { basis, ..read.finish(snapshot, outcome, private)? })
    }

    /// Finds again what a block changes that was committed with these verdicts.
    pub(super) fn replay(
        snapshot: &StateSnapshot,
        block: Block,
        verdicts: Vec<TxValidationCode>,
        private: PrivateWrites,
    ) -> Result<Self, StoreError> {
        let read = Read::new(snapshot, block, verdicts, &private)?;
        let outcome = mvcc::replay(snapshot, read.header.number, &read.candidates)?;
        read.finish(snapshot, outcome, private)
    }

    /// Finds again what the block changes, because private writes of earlier blocks came meanwhile.
    pub(super) fn again(self, snapshot: &StateSnapshot) -> Result<Self, StoreError> {
        let verdicts = self.transactions.iter().map(|(_, code)| *code).collect();
        Self::replay(snapshot, self.block, verdicts, self.private)
    }

    /// The block's number.
    pub fn number(&self) -> u64 {
        self.header.number
    }

    /// The block as it will be stored, with the verdicts and the commit hash among its metadata.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The verdicts, one per transaction.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = TxValidationCode> {
        self.transactions.iter().map(|(_, code)| *code)
    }

    /// What the block changes in the state.
    pub fn updates(&self) -> &Updates {
        &self.updates
    }

    pub(super) fn private(&self) -> &PrivateWrites {
        &self.private
    }

    pub(super) fn transaction_ids(&self) -> impl Iterator<Item = &str> + Clone {
        self.transactions.iter().filter_map(|(id, _)| id.as_deref())
    }

    pub(super) fn changes(&self, history: bool) -> BlockChanges<'_> {
        BlockChanges {
            tip: &self.tip,
            updates: &self.updates,
            expiries: &self.expiries,
            transactions: &self.transactions,
            history: history.then_some(&self.history),
            missing: &self.missing,
            outlived: &self.outlived,
        }
    }

    /// Refuses the block if another one was committed since it was judged.
    pub(super) fn check_follows(&self, tip: &Tip) -> Result<(), StoreError> {
        check_header(tip, &self.header)
    }

    pub(super) fn into_committed(self) -> Committed {
        Committed { block: self.block, tip: self.tip, transactions: self.transactions }
    }
}

impl Committed {
    /// The block's number.
    pub fn number(&self) -> u64 {
        self.tip.height - 1
    }

    /// The block as it is stored.
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// The ledger's tip after this block.
    pub fn tip(&self) -> &Tip {
        &self.tip
    }

    /// The verdicts, one per transaction.
    pub fn codes(&self) -> impl ExactSizeIterator<Item = TxValidationCode> {
        self.transactions.iter().map(|(_, code)| *code)
    }

    /// The transactions' ids and verdicts, by index; `None` where an entry carries no usable id.
    pub fn transactions(&self) -> impl ExactSizeIterator<Item = (Option<&str>, TxValidationCode)> {
        self.transactions.iter().map(|(id, code)| (id.as_deref(), *code))
    }
}

/// A block that follows the tip and hangs together, with its entries read.
struct Read {
    block: Block,
    header: BlockHeader,
    ids: Vec<Option<String>>,
    candidates: Vec<Candidate>,
}

impl Read {
    fn new(
        snapshot: &StateSnapshot,
        block: Block,
        verdicts: Vec<TxValidationCode>,
        private: &PrivateWrites,
    ) -> Result<Self, StoreError> {
        let malformed = |block: u64, reason: String| StoreError::MalformedBlock { block, reason };
        let header = block.header.clone().ok_or_else(|| malformed(0, "it has no header".to_owned()))?;
        check_header(snapshot.tip(), &header)?;
        let data =
            block.data.as_ref().ok_or_else(|| malformed(header.number, "it has no data".to_owned()))?;
        let found = block::data_hash(&data.data);
        if header.data_hash != found[..] {
            let (expected, found) = (hex(&header.data_hash), hex(&found));
            return Err(StoreError::WrongDataHash { block: header.number, expected, found });
        }
        if verdicts.len() != data.data.len() {
            let reason =
                format!("{} verdicts came with its {} transactions", verdicts.len(), data.data.len());
            return Err(malformed(header.number, reason));
        }
        let entries = (0..)
            .zip(&data.data)
            .zip(verdicts)
            .map(|((index, bytes), code)| Entry::read(bytes, code, private.get(&index).cloned()));
        let (ids, candidates) = entries.map(|entry| (entry.id, entry.candidate)).unzip();
        Ok(Self { block, header, ids, candidates })
    }

    fn finish(
        mut self,
        snapshot: &StateSnapshot,
        outcome: Outcome,
        private: PrivateWrites,
    ) -> Result<Validated, StoreError> {
        let number = self.header.number;
        block::set_transactions_filter(&mut self.block, &outcome.codes);
        let filter = block::transactions_filter(&self.block);
        let tip = Tip {
            height: number + 1,
            block_hash: Bytes::copy_from_slice(&block::header_hash(&self.header)),
            commit_hash: commit_hash(snapshot.tip(), &filter, &outcome.updates),
        };
        block::set_commit_hash(&mut self.block, &tip.commit_hash);
        let mut lives = Lives::new(snapshot);
        Ok(Validated {
            expiries: lives.expiries(&outcome.updates)?,
            outlived: lives.outlived(number, &outcome.updates)?,
            missing: missing(number, &self.candidates, &outcome.codes, &private),
            block: self.block,
            header: self.header,
            tip,
            private,
            updates: outcome.updates,
            history: valid_sets(self.candidates, &outcome.codes),
            transactions: self.ids.into_iter().zip(outcome.codes).collect(),
            basis: 0,
        })
    }
}

/// Drops private writes that are not what was endorsed. As in Fabric those of transactions that are not valid are
/// kept in the log, though they change nothing.
fn keep_endorsed(private: &mut PrivateWrites, read: &Read, outcome: &Outcome) {
    for mismatch in &outcome.mismatches {
        tracing::warn!(
            transaction = mismatch.transaction,
            namespace = mismatch.namespace,
            collection = mismatch.collection,
            "private writes that were not endorsed are left out"
        );
        let Some(writes) = private.get_mut(&mismatch.transaction) else { continue };
        retain(writes, |namespace, collection, _| {
            namespace != mismatch.namespace || collection != mismatch.collection
        });
    }
    let entries = read.block.data.as_ref().map(|data| data.data.as_slice()).unwrap_or_default();
    private.retain(|index, writes| {
        let place = usize::try_from(*index).ok();
        let Some((entry, code)) = place.and_then(|at| Some((entries.get(at)?, outcome.codes.get(at)?)))
        else {
            return false;
        };
        if *code != TxValidationCode::Valid {
            let set = read_set(entry).unwrap_or_default();
            retain(writes, |namespace, collection, rwset| {
                let endorsed = set.private_set_hash(namespace, collection);
                endorsed.is_some_and(|hash| *hash == sha256([rwset.as_ref()])[..])
            });
        }
        !writes.ns_pvt_rwset.is_empty()
    });
}

fn retain(writes: &mut TxPvtReadWriteSet, keep: impl Fn(&str, &str, &Bytes) -> bool) {
    for namespace in &mut writes.ns_pvt_rwset {
        let name = &namespace.namespace;
        namespace.collection_pvt_rwset.retain(|set| keep(name, &set.collection_name, &set.rwset));
    }
    writes.ns_pvt_rwset.retain(|namespace| !namespace.collection_pvt_rwset.is_empty());
}

/// The private writes of valid transactions that are not at hand.
fn missing(
    block: u64,
    candidates: &[Candidate],
    codes: &[TxValidationCode],
    private: &PrivateWrites,
) -> Vec<Missing> {
    let mut missing = Vec::new();
    for ((candidate, code), transaction) in candidates.iter().zip(codes).zip(0..) {
        let Some(set) = candidate.set.as_ref().filter(|_| *code == TxValidationCode::Valid) else { continue };
        let at_hand = |namespace: &str, collection: &str| {
            let sets = private.get(&transaction).map(|writes| writes.ns_pvt_rwset.as_slice());
            sets.unwrap_or_default().iter().any(|set| {
                set.namespace == namespace
                    && set.collection_pvt_rwset.iter().any(|set| set.collection_name == collection)
            })
        };
        for namespace in &set.namespaces {
            for collection in &namespace.collections {
                let has_private_set = !collection.private_set_hash.is_empty();
                if has_private_set && !at_hand(&namespace.namespace, &collection.collection) {
                    missing.push(Missing {
                        namespace: namespace.namespace.clone(),
                        collection: collection.collection.clone(),
                        block,
                        transaction,
                    });
                }
            }
        }
    }
    missing
}

/// The genesis block has no commit hash.
fn commit_hash(tip: &Tip, filter: &[u8], updates: &Updates) -> Bytes {
    if tip.height == 0 {
        return Bytes::new();
    }
    Bytes::copy_from_slice(&block::commit_hash(filter, updates, &tip.commit_hash))
}

fn check_header(tip: &Tip, header: &BlockHeader) -> Result<(), StoreError> {
    if header.number != tip.height {
        return Err(StoreError::OutOfOrder { expected: tip.height, found: header.number });
    }
    if header.previous_hash != tip.block_hash {
        let (expected, found) = (hex(&tip.block_hash), hex(&header.previous_hash));
        return Err(StoreError::WrongPreviousHash { block: header.number, expected, found });
    }
    Ok(())
}
