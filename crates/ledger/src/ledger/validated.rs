use bytes::Bytes;
use selvedge_proto::common::{Block, BlockHeader};
use selvedge_proto::protos::TxValidationCode;

use super::entry::Entry;
use super::expiry;
use super::history::valid_sets;
use super::recovery::hex;
use crate::log::PrivateWrites;
use crate::mvcc::{self, Candidate, Outcome};
use crate::state::{BlockChanges, Expiry, StateSnapshot, Tip, ValidSets};
use crate::{Snapshot, StoreError, Updates, block};

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
        block: Block,
        verdicts: Vec<TxValidationCode>,
        private: PrivateWrites,
    ) -> Result<Self, StoreError> {
        Self::with_rules(snapshot, block, verdicts, private, mvcc::validate)
    }

    /// Finds again what a block changes that was committed with these verdicts.
    pub(super) fn replay(
        snapshot: &StateSnapshot,
        block: Block,
        verdicts: Vec<TxValidationCode>,
        private: PrivateWrites,
    ) -> Result<Self, StoreError> {
        Self::with_rules(snapshot, block, verdicts, private, mvcc::replay)
    }

    fn with_rules(
        snapshot: &StateSnapshot,
        mut block: Block,
        verdicts: Vec<TxValidationCode>,
        mut private: PrivateWrites,
        rules: impl FnOnce(&dyn Snapshot, u64, &[Candidate]) -> Result<Outcome, crate::Error>,
    ) -> Result<Self, StoreError> {
        let (header, entries) = read_block(snapshot.tip(), &block, verdicts, &private)?;
        let (ids, candidates): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|entry| (entry.id, entry.candidate)).unzip();
        let outcome = rules(snapshot, header.number, &candidates)?;
        keep_what_counts(&mut private, &outcome);
        block::set_transactions_filter(&mut block, &outcome.codes);
        let filter = block::transactions_filter(&block);
        let tip = Tip {
            height: header.number + 1,
            block_hash: Bytes::copy_from_slice(&block::header_hash(&header)),
            commit_hash: commit_hash(snapshot.tip(), &filter, &outcome.updates),
        };
        block::set_commit_hash(&mut block, &tip.commit_hash);
        let expiries = expiry::of(snapshot, header.number, &outcome.updates)?;
        let history = valid_sets(candidates, &outcome.codes);
        let transactions = ids.into_iter().zip(outcome.codes).collect();
        Ok(Self { block, header, tip, private, updates: outcome.updates, expiries, transactions, history })
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

/// Checks that a block follows the tip and hangs together, and reads its entries.
fn read_block(
    tip: &Tip,
    block: &Block,
    verdicts: Vec<TxValidationCode>,
    private: &PrivateWrites,
) -> Result<(BlockHeader, Vec<Entry>), StoreError> {
    let malformed = |block: u64, reason: String| StoreError::MalformedBlock { block, reason };
    let header = block.header.clone().ok_or_else(|| malformed(0, "it has no header".to_owned()))?;
    check_header(tip, &header)?;
    let data = block.data.as_ref().ok_or_else(|| malformed(header.number, "it has no data".to_owned()))?;
    let found = block::data_hash(&data.data);
    if header.data_hash != found[..] {
        let (expected, found) = (hex(&header.data_hash), hex(&found));
        return Err(StoreError::WrongDataHash { block: header.number, expected, found });
    }
    if verdicts.len() != data.data.len() {
        let reason = format!("{} verdicts came with its {} transactions", verdicts.len(), data.data.len());
        return Err(malformed(header.number, reason));
    }
    let entries = (0..)
        .zip(&data.data)
        .zip(verdicts)
        .map(|((index, bytes), code)| Entry::read(bytes, code, private.get(&index).cloned()));
    Ok((header, entries.collect()))
}

/// Drops the private writes of transactions that are not valid, and those that are not what was endorsed.
fn keep_what_counts(private: &mut PrivateWrites, outcome: &Outcome) {
    for mismatch in &outcome.mismatches {
        tracing::warn!(
            transaction = mismatch.transaction,
            namespace = mismatch.namespace,
            collection = mismatch.collection,
            "private writes that were not endorsed are left out"
        );
        let Some(writes) = private.get_mut(&mismatch.transaction) else { continue };
        for namespace in &mut writes.ns_pvt_rwset {
            if namespace.namespace == mismatch.namespace {
                namespace.collection_pvt_rwset.retain(|set| set.collection_name != mismatch.collection);
            }
        }
        writes.ns_pvt_rwset.retain(|namespace| !namespace.collection_pvt_rwset.is_empty());
    }
    private.retain(|index, writes| {
        let code = usize::try_from(*index).ok().and_then(|index| outcome.codes.get(index));
        code == Some(&TxValidationCode::Valid) && !writes.ns_pvt_rwset.is_empty()
    });
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
