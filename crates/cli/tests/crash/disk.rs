//! Opens the files of a network that has ended, as its process would.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::log::{BlockLog, LogOptions};
use selvedge_ledger::storage::DiskStorage;
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, StoredValue, block};
use selvedge_proto::common::BlockHeader;

use crate::audit::Audit;
use crate::parties::CHANNEL;

const LIFECYCLE: &str = "_lifecycle";
const PEERS: [(&str, &str); 2] =
    [("peer0.org1.example.com", "Org1MSP"), ("peer0.org2.example.com", "Org2MSP")];

/// The ledgers of the peers are those of the audit in all their states, private data included, as they lie there and
/// built anew from their logs alone; the orderer has the same chain.
pub(crate) fn check(network: &Path, audit: &Audit) {
    for (peer, msp_id) in PEERS {
        let folder = network.join("ledgers").join(peer).join("channels").join(CHANNEL);
        check_ledger(&folder, peer, msp_id, audit);
        std::fs::remove_file(folder.join("state.redb")).unwrap();
        check_ledger(&folder, peer, msp_id, audit);
    }
    let orderer = network.join("ledgers/orderer.example.com").join(CHANNEL);
    let log = BlockLog::open(Arc::new(DiskStorage), &orderer, LogOptions::default()).unwrap();
    let ordered = (0..log.height()).map(|number| log.block(number).unwrap().unwrap().header);
    let ordered: Vec<Option<BlockHeader>> = ordered.collect();
    let seen = (0..audit.ledger.height()).map(|number| audit.ledger.block(number).unwrap().unwrap().header);
    assert!(ordered == seen.collect::<Vec<_>>(), "the orderer has another chain than its peers");
}

fn check_ledger(folder: &Path, peer: &str, msp_id: &str, audit: &Audit) {
    let ledger = Ledger::open(Arc::new(DiskStorage), LedgerConfig::new(folder), None).unwrap();
    assert_eq!(ledger.tip(), audit.ledger.tip(), "{peer}");
    for number in 0..ledger.height() {
        audit.take(peer, number, ledger.block(number).unwrap().unwrap());
    }
    for space in [Space::public("basic"), Space::public(LIFECYCLE)] {
        assert!(rows(&ledger, &space) == rows(&audit.ledger, &space), "{space} of {peer}");
    }
    for (_, owner) in PEERS {
        let collection = format!("_implicit_org_{owner}");
        let hashed = Space::hashed(LIFECYCLE, &*collection);
        let hashes = rows(&ledger, &hashed);
        assert!(hashes == rows(&audit.ledger, &hashed), "{hashed} of {peer}");
        let private = rows(&ledger, &Space::private(LIFECYCLE, &*collection));
        let hashed = private.into_iter().map(|(key, stored)| (sha256(key), sha256(stored.value)));
        let hashed: BTreeMap<Bytes, Bytes> = hashed.collect();
        let expected = hashes.into_iter().map(|(key, stored)| (key, stored.value));
        let expected: BTreeMap<Bytes, Bytes> =
            if owner == msp_id { expected.collect() } else { BTreeMap::new() };
        assert!(hashed == expected, "{peer} holds other approvals of {owner} than there are hashes");
        assert!(owner != msp_id || !expected.is_empty(), "there are no approvals");
    }
}

fn rows(ledger: &Ledger, space: &Space) -> BTreeMap<Bytes, StoredValue> {
    let snapshot = ledger.snapshot();
    let rows = snapshot.range(space, b"", b"").unwrap();
    rows.map(Result::unwrap).collect()
}

fn sha256(bytes: Bytes) -> Bytes {
    Bytes::copy_from_slice(&block::data_hash(&[bytes]))
}
