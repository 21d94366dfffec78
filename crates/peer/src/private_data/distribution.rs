//! Sends the private writes of an endorsed transaction to other members of their collections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use selvedge_identity::{ChannelConfig, Identity};
use selvedge_ledger::Snapshot;
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};
use tokio::time::timeout;

use super::membership::{Collections, admits, names};
use super::{PrivateDataPeer, PrivateDataPeers};

/// How long a peer may take to keep private writes (Fabric's `pushAckTimeout`).
const PATIENCE: Duration = Duration::from_secs(3);

/// A transaction's private writes, with what tells who may have them.
pub(crate) struct Endorsed<'a> {
    pub(crate) channel: &'a str,
    pub(crate) config: &'a ChannelConfig,
    /// The state that the transaction was simulated on.
    pub(crate) snapshot: &'a dyn Snapshot,
    /// The endorser's organisation.
    pub(crate) own_msp_id: &'a str,
    pub(crate) transaction_id: &'a str,
    pub(crate) writes: &'a TxPvtReadWriteSet,
}

/// A peer that may be sent something.
struct Candidate {
    peer: Arc<dyn PrivateDataPeer>,
    identity: Arc<Identity>,
}

/// What one peer is sent.
#[derive(Default)]
struct Share {
    writes: TxPvtReadWriteSet,
    /// How many collections demand that the peer keeps them.
    required: usize,
}

/// Sends the writes to each collection to one peer of each of its organisations and then to further ones, up to its
/// `maximum_peer_count`, and returns when everybody has kept them.
///
/// # Errors
/// With Fabric's text, when fewer peers are known, or keep the writes, than the `required_peer_count` of a collection.
pub(crate) async fn distribute(peers: &PrivateDataPeers, endorsed: &Endorsed<'_>) -> Result<(), String> {
    let failed = |reason: String| {
        let Endorsed { transaction_id, channel, .. } = endorsed;
        format!("failed to distribute private collection, txID {transaction_id}, channel {channel}: {reason}")
    };
    let candidates = candidates(peers, endorsed);
    let (shares, plans) = shares(&candidates, endorsed).map_err(failed)?;
    let height = endorsed.snapshot.height();
    let sent = shares.into_iter().filter_map(|(place, share)| {
        let peer = Arc::clone(&candidates.get(place)?.peer);
        Some(send(peer, endorsed, height, share))
    });
    let failures: usize = join_all(sent).await.into_iter().sum();
    if failures == 0 {
        return Ok(());
    }
    Err(failed(format!("Failed disseminating {failures} out of {plans} private dissemination plans")))
}

fn candidates(peers: &PrivateDataPeers, endorsed: &Endorsed<'_>) -> Vec<Candidate> {
    let known = peers.of(endorsed.channel).into_iter().filter_map(|peer| {
        let identity = endorsed.config.deserialize(peer.identity());
        let identity =
            identity.inspect_err(|error| tracing::debug!(%error, "a peer's identity is not valid")).ok()?;
        Some(Candidate { peer, identity })
    });
    known.collect()
}

/// What each of the candidates is sent, by place, and how many picks that are in all.
fn shares(
    candidates: &[Candidate],
    endorsed: &Endorsed<'_>,
) -> Result<(BTreeMap<usize, Share>, usize), String> {
    let mut collections = Collections::new(endorsed.snapshot, endorsed.config, endorsed.own_msp_id);
    let mut shares: BTreeMap<usize, Share> = BTreeMap::new();
    let mut plans = 0;
    for namespace in &endorsed.writes.ns_pvt_rwset {
        let name = namespace.namespace.as_str();
        for set in &namespace.collection_pvt_rwset {
            let collection = set.collection_name.as_str();
            let config = collections.get(name, collection).ok_or_else(|| {
                format!("could not find collection access policy for {name} and collection {collection}")
            })?;
            let eligible: Vec<(usize, &str)> = candidates
                .iter()
                .enumerate()
                .filter(|(_, candidate)| {
                    admits(endorsed.config, config, &candidate.identity)
                        && names(config, candidate.identity.msp_id())
                })
                .map(|(place, candidate)| (place, candidate.identity.msp_id()))
                .collect();
            let required = usize::try_from(config.required_peer_count).unwrap_or(0);
            if eligible.len() < required {
                return Err(format!(
                    "could not build private data dissemination plan for chaincode {name} and collection \
                     {collection}: required to disseminate to at least {required} peers, but know of only {} \
                     eligible peers",
                    eligible.len()
                ));
            }
            let maximum = usize::try_from(config.maximum_peer_count).unwrap_or(0);
            for (rank, place) in pick(&eligible, maximum, random).into_iter().enumerate() {
                let share = shares.entry(place).or_default();
                add(&mut share.writes, name, set);
                share.required += usize::from(rank < required);
                plans += 1;
            }
        }
    }
    Ok((shares, plans))
}

/// Picks peers: one of each organisation, then any others. `choose` gives a number below the one it gets.
fn pick(eligible: &[(usize, &str)], maximum: usize, mut choose: impl FnMut(usize) -> usize) -> Vec<usize> {
    let mut by_org: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, org) in eligible {
        by_org.entry(org).or_default().push(*place);
    }
    let mut orgs: Vec<Vec<usize>> = by_org.into_values().collect();
    let mut picked = Vec::new();
    let mut rest = Vec::new();
    while !orgs.is_empty() {
        let mut org = orgs.swap_remove(choose(orgs.len()));
        picked.push(org.swap_remove(choose(org.len())));
        rest.append(&mut org);
    }
    while picked.len() < maximum && !rest.is_empty() {
        picked.push(rest.swap_remove(choose(rest.len())));
    }
    picked.truncate(maximum);
    picked
}

/// A random number below `bound`, which is at least 1. Without random numbers it is 0, which serves as well.
fn random(bound: usize) -> usize {
    let mut bytes = [0; 8];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0;
    }
    usize::try_from(u64::from_le_bytes(bytes) % bound.max(1) as u64).unwrap_or(0)
}

fn add(writes: &mut TxPvtReadWriteSet, namespace: &str, set: &CollectionPvtReadWriteSet) {
    match writes.ns_pvt_rwset.last_mut().filter(|last| last.namespace == namespace) {
        Some(last) => last.collection_pvt_rwset.push(set.clone()),
        None => writes.ns_pvt_rwset.push(NsPvtReadWriteSet {
            namespace: namespace.to_owned(),
            collection_pvt_rwset: vec![set.clone()],
        }),
    }
}

/// Sends a share and returns how many required picks failed with it.
async fn send(peer: Arc<dyn PrivateDataPeer>, endorsed: &Endorsed<'_>, height: u64, share: Share) -> usize {
    let kept = peer.keep(endorsed.channel, endorsed.transaction_id, height, share.writes);
    match timeout(PATIENCE, kept).await {
        Ok(Ok(())) => 0,
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(transaction = endorsed.transaction_id, error, "a peer does not keep private data");
            share.required
        }
        Err(_) => {
            tracing::warn!(
                transaction = endorsed.transaction_id,
                "a peer takes too long to keep private data"
            );
            share.required
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::pick;

    const ELIGIBLE: [(usize, &str); 5] = [(0, "A"), (1, "A"), (3, "B"), (4, "B"), (7, "C")];

    #[test]
    fn every_organisation_is_served_before_any_is_served_twice() {
        for salt in 0..50 {
            let mut next = salt;
            let mut choose = |bound: usize| {
                next = (next * 31 + 7) % 1009;
                next % bound
            };
            for maximum in 0..=6 {
                let picked = pick(&ELIGIBLE, maximum, &mut choose);
                assert_eq!(picked.len(), maximum.min(ELIGIBLE.len()));
                let different: BTreeSet<usize> = picked.iter().copied().collect();
                assert_eq!(different.len(), picked.len(), "nobody is picked twice");
                let org = |place: &usize| ELIGIBLE.iter().find(|(at, _)| at == place).map(|(_, org)| *org);
                let first: BTreeSet<_> = picked.iter().take(3).map(org).collect();
                assert_eq!(first.len(), maximum.min(3), "{picked:?}");
            }
        }
    }

    #[test]
    fn nobody_is_picked_of_nobody() {
        assert!(pick(&[], 3, |_| 0).is_empty());
    }
}
