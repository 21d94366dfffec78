//! The lifecycle against the transactions that a real network recorded.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod lifecycle_support;

use std::sync::Arc;

use selvedge_golden::Corpus;
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::simulator::{Simulated, Simulator};
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::lifecycle::{self, CallChannel, Definitions, LifecycleCall, NAMESPACE};
use selvedge_proto::protos::{Response, TxValidationCode};
use selvedge_proto::rwset::TxPvtReadWriteSet;

use lifecycle_support::{Chain, Recorded};

fn host(folder: &tempfile::TempDir) -> Host {
    Host::open(HostConfig::new(folder.path())).unwrap()
}

/// Calls `_lifecycle` as a peer of the chain's organisation would have when it had `height` blocks.
async fn call(chain: &Chain, height: u64, host: &Host, recorded: &Recorded) -> (Response, Simulated) {
    let snapshot = Arc::clone(chain.snapshot(height));
    let mut simulator = Simulator::new(snapshot, "tx");
    let mut call = LifecycleCall {
        own_msp_id: &chain.msp_id,
        host,
        channel: Some(CallChannel { config: chain.config(height), simulator: &mut simulator }),
        authorize: &|_| Ok(()),
        channels: &Vec::new,
    };
    let response = lifecycle::invoke(&mut call, &recorded.args).await;
    (response, simulator.finish())
}

#[tokio::test]
async fn golden_lifecycle_transactions_are_simulated_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let (mut public, mut private) = (0, 0);
    for channel in Corpus::get().channels() {
        for organisation in Chain::organisations(channel) {
            let chain = Chain::replay(channel, &organisation);
            let transactions = chain.transactions();
            for recorded in transactions.iter().filter(|recorded| recorded.chaincode == NAMESPACE) {
                if !recorded.endorsers.contains(&chain.msp_id) {
                    continue;
                }
                let what = format!("{channel} of {organisation}, {}:{}", recorded.block, recorded.index);
                let (response, simulated) = call(&chain, recorded.block, &host, recorded).await;
                assert_eq!((response.status, response.message.as_str()), (200, ""), "{what}");
                assert_eq!(
                    ReadWriteSet::parse(&simulated.public).unwrap(),
                    ReadWriteSet::parse(&recorded.results).unwrap(),
                    "{what}"
                );
                assert_eq!(simulated.public, recorded.results, "{what}");
                public += 1;
                let delivered =
                    chain.private.get(&recorded.block).and_then(|block| block.get(&recorded.index));
                if recorded.code == TxValidationCode::Valid {
                    assert_private(&what, simulated.private.as_ref(), delivered);
                    private += usize::from(delivered.is_some());
                }
            }
        }
    }
    assert!(public > 0 && private > 0, "{public} transactions, {private} of them with private writes");
}

fn assert_private(what: &str, simulated: Option<&TxPvtReadWriteSet>, delivered: Option<&TxPvtReadWriteSet>) {
    assert_eq!(simulated.is_some(), delivered.is_some(), "{what}");
    let (Some(simulated), Some(delivered)) = (simulated, delivered) else { return };
    assert_eq!(simulated.ns_pvt_rwset, delivered.ns_pvt_rwset, "{what}");
}

#[test]
fn golden_calls_of_chaincodes_read_their_definitions() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(&folder);
    let (mut plain, mut with_private) = (0, 0);
    for channel in Corpus::get().channels() {
        let organisation = &Chain::organisations(channel)[0];
        let chain = Chain::replay(channel, organisation);
        let definitions = Definitions::new(&chain.msp_id);
        for recorded in chain.transactions() {
            if recorded.code != TxValidationCode::Valid || recorded.chaincode == NAMESPACE {
                continue;
            }
            let what = format!("{channel}, {}:{}", recorded.block, recorded.index);
            let Some(set) = recorded_reads(&recorded) else { continue };
            let snapshot = Arc::clone(chain.snapshot(recorded.block));
            let mut simulator = Simulator::new(snapshot, "tx");
            let names = called(&set);
            assert!(names.contains(&recorded.chaincode), "{what}: {names:?}");
            for name in &names {
                // Whether it runs here does not matter: the reads are the same.
                let _ = definitions.resolve(&mut simulator, channel, name, &host);
                let touches_private = set.namespace(NAMESPACE).is_some_and(|set| {
                    set.public.reads.iter().any(|read| read.key.ends_with(&format!("metadata/{name}")))
                });
                if touches_private {
                    let config = chain.config(recorded.block);
                    let found = lifecycle::read_collections(&mut simulator, config, &chain.msp_id, name);
                    assert!(found.unwrap().is_some(), "{what}");
                    with_private += 1;
                } else {
                    let collections = set.namespace(name).map_or(0, |set| set.collections.len());
                    assert_eq!(collections, 0, "{what}: private data of {name} without its definition");
                    plain += 1;
                }
            }
            let simulated = ReadWriteSet::parse(&simulator.finish().public).unwrap();
            assert_eq!(simulated.namespace(NAMESPACE), set.namespace(NAMESPACE), "{what}");
        }
    }
    assert!(plain > 0 && with_private > 0, "{plain} calls without and {with_private} with private data");
}

/// The set of a transaction that an honest endorser made: it reads the definition of the called chaincode.
fn recorded_reads(recorded: &Recorded) -> Option<ReadWriteSet> {
    let set = ReadWriteSet::parse(&recorded.results).ok()?;
    called(&set).contains(&recorded.chaincode).then_some(set)
}

/// The chaincodes whose definitions a transaction depends on.
fn called(set: &ReadWriteSet) -> Vec<String> {
    let reads = set.namespace(NAMESPACE).map(|set| set.public.reads.as_slice()).unwrap_or_default();
    let names = reads.iter().filter_map(|read| {
        read.key.strip_prefix("namespaces/fields/")?.strip_suffix("/Sequence").map(str::to_owned)
    });
    names.collect()
}
