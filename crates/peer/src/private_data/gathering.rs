//! Finds the private writes that belong to a block's hashes.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use bytes::Bytes;
use selvedge_ledger::StoreError;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::state::{Missing, StateSnapshot};
use selvedge_proto::protos::TxValidationCode;
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};
use tokio::runtime::Handle;

use super::asking::{BATCH, ask};
use super::embedded::find;
use super::membership::Collections;
use super::{Asker, Wanted};
use crate::channel::Channel;
use crate::validator::Examined;

/// The most bytes of private writes that are asked of other peers for one block; with all that the transient store
/// keeps they still fit into the block's record. What is beyond is reconciled later.
const ASKED_BYTES: usize = 200 << 20;

/// What was gathered for a block.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// What was found.
    pub(crate) writes: PrivateWrites,
    /// How many sets of valid transactions nobody had.
    pub(crate) missing: usize,
}

/// A set that this peer should have, and has not found yet.
struct Lack {
    id: String,
    hash: Bytes,
    is_valid: bool,
}

/// Takes the private writes of a block's transactions out of what endorsers kept here, and then asks other peers, for
/// the collections that this organisation is a member of. Only writes that hash to what was endorsed are taken. As in
/// Fabric, transactions that are not valid keep theirs; others are not asked for those.
///
/// It blocks until the other peers have answered, so it must be called from a thread that may wait, of a tokio
/// runtime.
pub(crate) fn gather(
    channel: &Channel,
    asker: &Asker,
    snapshot: &StateSnapshot,
    examined: &Examined,
    codes: &[TxValidationCode],
) -> Result<Gathered, StoreError> {
    let mut gathered = Gathered::default();
    let mut lacks = lacks(snapshot, asker, examined, codes);
    if lacks.is_empty() {
        return Ok(gathered);
    }
    take_kept(channel, &mut lacks, &mut gathered.writes)?;
    lacks.retain(|_, lack| lack.is_valid);
    if !lacks.is_empty() {
        Handle::current().block_on(take_given(channel.id(), asker, &mut lacks, &mut gathered.writes));
    }
    for (of, lack) in &lacks {
        tracing::warn!(
            transaction = lack.id,
            namespace = of.namespace,
            collection = of.collection,
            "this peer lacks private data of a collection that it is a member of; it goes on asking for them"
        );
    }
    gathered.missing = lacks.len();
    Ok(gathered)
}

/// All sets of a block that this peer should have.
fn lacks(
    snapshot: &StateSnapshot,
    asker: &Asker,
    examined: &Examined,
    codes: &[TxValidationCode],
) -> BTreeMap<Missing, Lack> {
    let block = snapshot.tip().height;
    let mut collections = Collections::new(snapshot, examined.config(), &asker.msp_id);
    let mut lacks = BTreeMap::new();
    for (index, id, set) in examined.sets().filter(|(.., set)| set.has_private_writes()) {
        let is_valid = codes.get(index) == Some(&TxValidationCode::Valid);
        for namespace in &set.namespaces {
            let name = namespace.namespace.as_str();
            for set in namespace.collections.iter().filter(|set| !set.private_set_hash.is_empty()) {
                if !collections.is_member(name, &set.collection) {
                    continue;
                }
                let (namespace, collection) = (name.to_owned(), set.collection.clone());
                let of = Missing { namespace, collection, block, transaction: index as u64 };
                lacks.insert(of, Lack { id: id.to_owned(), hash: set.private_set_hash.clone(), is_valid });
            }
        }
    }
    lacks
}

fn take_kept(
    channel: &Channel,
    lacks: &mut BTreeMap<Missing, Lack>,
    writes: &mut PrivateWrites,
) -> Result<(), StoreError> {
    let mut kept: BTreeMap<String, Vec<TxPvtReadWriteSet>> = BTreeMap::new();
    for lack in lacks.values() {
        if !kept.contains_key(&lack.id) {
            kept.insert(lack.id.clone(), channel.transient().get(&lack.id)?);
        }
    }
    lacks.retain(|of, lack| {
        let sets = kept.get(&lack.id).map(Vec::as_slice).unwrap_or_default();
        let found = sets.iter().filter_map(|set| find(set, &of.namespace, &of.collection));
        match endorsed(found, &lack.hash) {
            Some(rwset) => {
                insert(writes, of, rwset);
                false
            }
            None => true,
        }
    });
    Ok(())
}

async fn take_given(
    channel: &str,
    asker: &Asker,
    lacks: &mut BTreeMap<Missing, Lack>,
    writes: &mut PrivateWrites,
) {
    let wanted: Vec<Wanted> =
        lacks.iter().map(|(of, lack)| Wanted { of: of.clone(), transaction_id: lack.id.clone() }).collect();
    let mut room = ASKED_BYTES;
    for wanted in wanted.chunks(BATCH) {
        ask(channel, asker, wanted.to_vec(), |given| {
            let Some(lack) = lacks.get(&given.of) else { return false };
            let Some(rwset) = endorsed(given.sets.into_iter(), &lack.hash) else { return false };
            let Some(left) = room.checked_sub(rwset.len()) else { return false };
            room = left;
            lacks.remove(&given.of);
            insert(writes, &given.of, rwset);
            true
        })
        .await;
    }
}

/// The set with the endorsed hash. A client may have had several proposals endorsed with one id, so that there can be
/// others.
fn endorsed(mut sets: impl Iterator<Item = Bytes>, hash: &Bytes) -> Option<Bytes> {
    sets.find(|set| digest::digest(&digest::SHA256, set).as_ref() == hash)
}

/// Adds a set where it belongs: namespaces and collections are in order.
fn insert(writes: &mut PrivateWrites, of: &Missing, rwset: Bytes) {
    let namespaces = &mut writes.entry(of.transaction).or_default().ns_pvt_rwset;
    let place = namespaces.partition_point(|known| known.namespace < of.namespace);
    if namespaces.get(place).is_none_or(|known| known.namespace != of.namespace) {
        let namespace = of.namespace.clone();
        namespaces.insert(place, NsPvtReadWriteSet { namespace, collection_pvt_rwset: Vec::new() });
    }
    let collections = &mut namespaces[place].collection_pvt_rwset;
    let place = collections.partition_point(|known| known.collection_name < of.collection);
    let collection_name = of.collection.clone();
    collections.insert(place, CollectionPvtReadWriteSet { collection_name, rwset });
}
