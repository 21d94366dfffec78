//! What rich queries record and what they forbid; what they find is tested where their rules are.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod rules_support;

use std::sync::Arc;

use bytes::Bytes;
use rules_support::Memory;
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::simulator::{RangeId, SimulationError, Simulator};
use selvedge_ledger::{Space, StoredValue, Update, Updates, Version};

const ODD: &str = r#"{"selector":{"odd":true},"sort":[{"n":"desc"}]}"#;

/// Documents `k00` to `k09`, in public and private.
fn simulator() -> Simulator {
    documents(10)
}

fn documents(count: u64) -> Simulator {
    let mut updates = Updates::new();
    for at in 0..count {
        let value = Bytes::from(format!("{{\"n\":{at},\"odd\":{}}}", at % 2 == 1));
        let version = Version { block: at, transaction: 0 };
        for space in [Space::public("cc"), Space::private("cc", "c")] {
            let stored = StoredValue { value: value.clone(), metadata: Bytes::new(), version };
            updates.insert(space, Bytes::from(format!("k{at:02}")), Update::Put(stored));
        }
    }
    let mut memory = Memory::default();
    memory.apply(&updates);
    let mut simulator = Simulator::new(Arc::new(memory), "txid");
    simulator.define_collections("cc", ["c".to_owned()]);
    simulator
}

fn take(simulator: &mut Simulator, query: RangeId, count: usize) -> Vec<String> {
    std::iter::from_fn(|| simulator.next(query).unwrap()).take(count).map(|found| found.key).collect()
}

/// The keys and blocks that were recorded as read; the simulation recorded nothing else.
fn reads(simulator: Simulator) -> Vec<(String, u64)> {
    let set = ReadWriteSet::parse(&simulator.finish().public).unwrap();
    let mut reads = Vec::new();
    for namespace in set.namespaces {
        assert_eq!(namespace.public.range_queries_info, []);
        assert_eq!(namespace.collections.len(), 0);
        let read = |read: selvedge_proto::kvrwset::KvRead| (read.key, read.version.unwrap().block_num);
        reads.extend(namespace.public.reads.into_iter().map(read));
    }
    reads
}

#[test]
fn results_that_were_handed_out_are_reads_and_nothing_else_is() {
    let mut simulator = simulator();
    let query = simulator.rich_query("cc", ODD, 100).unwrap();
    assert_eq!(take(&mut simulator, query, 2), ["k09", "k07"]);
    simulator.close(query);
    assert!(matches!(simulator.next(query), Err(SimulationError::UnknownRange)));
    assert_eq!(reads(simulator), [("k07".to_owned(), 7), ("k09".to_owned(), 9)]);
}

#[test]
fn a_search_goes_on_in_steps_and_knows_its_limit() {
    let mut simulator = documents(2500);
    let query = simulator.rich_query("cc", r#"{"selector":{"n":{"$gte":2490}}}"#, 3).unwrap();
    let mut steps = 1;
    let bytes = loop {
        match simulator.search(query).unwrap() {
            Some(bytes) => break bytes,
            None => steps += 1,
        }
    };
    assert_eq!(steps, 2);
    assert!(bytes >= 15, "{bytes}");
    assert_eq!(take(&mut simulator, query, 10), ["k2490", "k2491", "k2492"]);
}

#[test]
fn pages_are_for_transactions_that_only_read() {
    let mut simulator = simulator();
    let first = simulator.paged_rich_query("cc", ODD, "", 2).unwrap();
    assert_eq!(take(&mut simulator, first, 2), ["k09", "k07"]);
    let bookmark = simulator.bookmark(first).unwrap();
    let second = simulator.paged_rich_query("cc", ODD, &bookmark, 2).unwrap();
    assert_eq!(take(&mut simulator, second, 9), ["k05", "k03"]);
    let refused = simulator.put("cc", "k", "v".into()).unwrap_err();
    assert!(matches!(refused, SimulationError::WriteAfterPaged { .. }), "{refused}");

    let mut simulator = documents(1);
    simulator.put("cc", "k", "v".into()).unwrap();
    let refused = simulator.paged_rich_query("cc", ODD, "", 2).unwrap_err();
    assert!(matches!(refused, SimulationError::PagedAfterWrite { .. }), "{refused}");
    simulator.rich_query("cc", ODD, 2).expect("without pages it may be asked");
}

#[test]
fn private_queries_are_for_transactions_that_only_read_and_leave_no_trace() {
    let mut simulator = simulator();
    let query = simulator.private_rich_query("cc", "c", ODD, 100).unwrap();
    assert_eq!(take(&mut simulator, query, 9).len(), 5);
    let refused = simulator.put("cc", "k", "v".into()).unwrap_err();
    assert!(matches!(refused, SimulationError::WriteAfterPrivateQuery { .. }), "{refused}");
    let refused = simulator.private_rich_query("cc", "d", ODD, 100).unwrap_err();
    assert!(matches!(refused, SimulationError::UndefinedCollection { .. }), "{refused}");
    assert_eq!(reads(simulator), []);

    let mut simulator = documents(1);
    simulator.put("cc", "k", "v".into()).unwrap();
    let refused = simulator.private_rich_query("cc", "c", ODD, 2).unwrap_err();
    assert!(matches!(refused, SimulationError::PrivateQueryAfterWrite { .. }), "{refused}");
}

/// As on Fabric, whose simulator notes the query before CouchDB sees it.
#[test]
fn a_refused_query_forbids_writes_too() {
    let mut simulator = simulator();
    let refused = simulator.paged_rich_query("cc", "{}", "", 2).unwrap_err();
    assert!(refused.to_string().ends_with("Reason:Missing required key: selector"), "{refused}");
    assert!(simulator.put("cc", "k", "v".into()).is_err());
}
