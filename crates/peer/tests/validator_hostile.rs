//! Every block gets verdicts, whatever it holds: the same ones each time, and never a panic.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::sync::Arc;

use bytes::Bytes;
use committer_support::{Draft, Network, header};
use proptest::prelude::*;
use prost::Message;
use selvedge_identity::VerificationCache;
use selvedge_identity::policy::dsl;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::rwset::NamespaceSet;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{LedgerConfig, Snapshot, Space};
use selvedge_peer::channel::Channel;
use selvedge_peer::validator;
use selvedge_proto::common::Payload;
use selvedge_proto::kvrwset::{KvWrite, KvrwSet};
use selvedge_proto::protos::TxValidationCode::{self, *};
use selvedge_proto::protos::{ChaincodeActionPayload, ChaincodeEndorsedAction};

/// A channel without a committer, with the chaincodes defined by block 1.
struct Bench {
    network: Network,
    channel: Channel,
}

impl Bench {
    fn new() -> Self {
        let network = Network::new();
        let (storage, signatures) = (Arc::new(MemoryStorage::new()), VerificationCache::new(1000));
        let genesis = Some(network.genesis.clone());
        let channel = Channel::open(storage, LedgerConfig::new("/ledger"), genesis, signatures).unwrap();
        let bench = Self { network, channel };
        assert_eq!(bench.commit(vec![bench.network.definitions()]), [Valid]);
        bench
    }

    fn draft(&self) -> Draft<'_> {
        self.network.draft("basic")
    }

    fn judge(&self, entries: &[Bytes]) -> Vec<TxValidationCode> {
        let examined = validator::examine(&self.channel.config(), self.channel.signatures(), entries);
        examined.judge(&self.channel.ledger().snapshot()).unwrap().codes
    }

    fn commit(&self, entries: Vec<Bytes>) -> Vec<TxValidationCode> {
        let codes = self.judge(&entries);
        let ledger = self.channel.ledger();
        let last = ledger.block(ledger.height() - 1).unwrap().unwrap();
        let block = self.network.block(&last, entries);
        assert_eq!(header(&block).number, ledger.height());
        let validated = ledger.validate(block, codes, PrivateWrites::new()).unwrap();
        ledger.commit(validated).unwrap().codes().collect()
    }
}

#[test]
fn an_action_payload_without_an_action_is_no_transaction() {
    let bench = Bench::new();
    let without = bench.draft().entry_with_payload(Bytes::new());
    let empty = ChaincodeActionPayload {
        action: Some(ChaincodeEndorsedAction::default()),
        ..ChaincodeActionPayload::default()
    };
    let empty = bench.draft().entry_with_payload(empty.encode_to_vec().into());
    let codes = bench.commit(vec![without, empty, bench.draft().put("key", "value").entry()]);
    assert_eq!(codes, [InvalidEndorserTransaction, InvalidEndorserTransaction, Valid]);
}

#[test]
fn a_payload_without_a_header_is_refused() {
    let bench = Bench::new();
    let payload = Payload { header: None, data: Bytes::from_static(b"data") };
    let headless = bench.draft().sign(payload.encode_to_vec().into());
    assert_eq!(bench.commit(vec![headless]), [BadCommonHeader]);
}

#[test]
fn a_bad_transaction_does_not_hold_up_a_good_one() {
    let bench = Bench::new();
    let undecodable = bench.draft().entry_with(Bytes::from_static(b"\xff"));
    let good = bench.draft().put("key", "value").entry();
    assert_eq!(bench.commit(vec![undecodable, good]), [BadResponsePayload, Valid]);
}

#[test]
fn hashed_writes_to_collections_that_do_not_exist_are_not_endorsed() {
    let bench = Bench::new();
    let codes = bench.commit(vec![
        bench.draft().put_private("undefined", "key", "value").entry(),
        bench.draft().put_private("_implicit_org_StrangerMSP", "key", "value").entry(),
        bench.draft().put_private("secrets", "key", "value").entry(),
        bench.draft().put_private("_implicit_org_Org2MSP", "key", "value").entry(),
    ]);
    assert_eq!(codes, [EndorsementPolicyFailure, EndorsementPolicyFailure, Valid, Valid]);
}

#[test]
fn an_implicit_collection_needs_its_organization_alone() {
    let bench = Bench::new();
    let [one, two] = &bench.network.orgs;
    let write = || bench.draft().put_private("_implicit_org_Org2MSP", "key", "value");
    let codes = bench.commit(vec![
        write().endorsed_by(&[&two.peer]).entry(),
        write().endorsed_by(&[&one.peer]).entry(),
        write().endorsed_by(&[&two.client]).entry(),
    ]);
    assert_eq!(codes, [Valid, EndorsementPolicyFailure, EndorsementPolicyFailure]);
}

#[test]
fn an_empty_channel_id_is_no_channel() {
    let bench = Bench::new();
    let mut draft = bench.draft().put("key", "value");
    draft.channel = String::new();
    assert_eq!(bench.commit(vec![draft.entry()]), [BadCreatorSignature]);
}

#[test]
fn a_validation_parameter_that_is_no_policy_locks_its_key() {
    let bench = Bench::new();
    let garbage = bench.draft().put("key", "value").put_parameter("key", &b"\xff\xff"[..]);
    assert_eq!(bench.commit(vec![garbage.entry()]), [Valid]);
    let codes = bench.commit(vec![
        bench.draft().put("key", "another").entry(),
        bench.draft().put("other key", "another").entry(),
    ]);
    assert_eq!(codes, [EndorsementPolicyFailure, Valid]);
}

#[test]
fn a_key_has_its_own_policy_from_the_next_block_on() {
    let bench = Bench::new();
    let [one, two] = &bench.network.orgs;
    let policy = dsl::parse("OR('Org1MSP.peer')").unwrap().encode_to_vec();
    let lock = bench.draft().put("key", "value").put_parameter("key", policy);
    let write = || bench.draft().put("key", "another");
    assert_eq!(bench.commit(vec![lock.entry(), write().entry()]), [Valid, EndorsementPolicyFailure]);
    let codes = bench.commit(vec![
        write().endorsed_by(&[&two.peer]).entry(),
        write().endorsed_by(&[&one.peer]).entry(),
        write().put("other key", "value").endorsed_by(&[&one.peer]).entry(),
    ]);
    assert_eq!(codes, [EndorsementPolicyFailure, Valid, EndorsementPolicyFailure]);
}

#[test]
fn each_namespace_is_guarded_by_its_own_policy() {
    let bench = Bench::new();
    let [one, two] = &bench.network.orgs;
    let write = KvWrite { key: "key".to_owned(), is_delete: false, value: Bytes::from_static(b"value") };
    let also = |namespace: &str| NamespaceSet {
        namespace: namespace.to_owned(),
        public: KvrwSet { writes: vec![write.clone()], ..KvrwSet::default() },
        collections: Vec::new(),
    };
    let calling = |namespace: &str| {
        let mut draft = bench.network.draft("open").put("key", "value");
        draft.namespaces.push(also(namespace));
        draft
    };
    let codes = bench.commit(vec![
        calling("basic").endorsed_by(&[&one.peer]).entry(),
        calling("basic").endorsed_by(&[&one.peer, &two.peer]).entry(),
        calling("ghost").entry(),
        calling("").entry(),
        calling("open").entry(),
        calling("_lifecycle").endorsed_by(&[&one.peer]).entry(),
    ]);
    let expected = [
        EndorsementPolicyFailure,
        Valid,
        InvalidChaincode,
        InvalidChaincode,
        IllegalWriteset,
        EndorsementPolicyFailure,
    ];
    assert_eq!(codes, expected);
}

#[test]
fn one_key_written_twice_has_a_verdict() {
    let bench = Bench::new();
    let twice = bench.draft().put("key", "one").put("key", "two").entry();
    assert_eq!(bench.commit(vec![twice]), [Valid]);
    // As in Fabric, whose two kinds of writes add up to another kind.
    assert_eq!(bench.channel.ledger().snapshot().get(&Space::public("basic"), b"key").unwrap(), None);
}

#[test]
fn changed_bytes_get_verdicts_and_never_a_wrong_valid_one() {
    let bench = Bench::new();
    let good = bench.draft().put("key", "value").put_private("secrets", "key", "value").entry();
    assert_eq!(bench.judge(std::slice::from_ref(&good)), [Valid]);
    proptest!(ProptestConfig::with_cases(300), |(at in 0..good.len(), flip in 1..=255_u8, cut in any::<bool>())| {
        let mut bytes = good.to_vec();
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= flip;
        }
        let entries = [Bytes::from(bytes), good.clone()];
        let codes = bench.judge(&entries);
        prop_assert_eq!(&codes, &bench.judge(&entries));
        prop_assert_eq!(codes[1], Valid);
        prop_assert_ne!(codes[0], Valid);
    });
}

#[test]
fn random_bytes_get_verdicts() {
    let bench = Bench::new();
    let entry = prop::collection::vec(any::<u8>(), 0..200);
    proptest!(ProptestConfig::with_cases(200), |(entries in prop::collection::vec(entry, 0..5))| {
        let entries: Vec<Bytes> = entries.into_iter().map(Bytes::from).collect();
        let codes = bench.judge(&entries);
        prop_assert_eq!(codes.len(), entries.len());
        prop_assert!(!codes.contains(&Valid));
    });
}
