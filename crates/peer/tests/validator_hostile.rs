//! Every block gets verdicts, whatever it holds: the same ones each time, and never a panic.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::sync::Arc;

use bytes::Bytes;
use committer_support::{Draft, Network, header};
use proptest::prelude::*;
use prost::Message;
use selvedge_golden::{Spoil, Spoilt, spoilt};
use selvedge_identity::VerificationCache;
use selvedge_identity::policy::dsl;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::rwset::NamespaceSet;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_ledger::{LedgerConfig, Snapshot, Space};
use selvedge_peer::channel::Channel;
use selvedge_peer::validator;
use selvedge_proto::common::{Envelope, Payload};
use selvedge_proto::kvrwset::{KvWrite, KvrwSet};
use selvedge_proto::protos::TxValidationCode::{self, *};
use selvedge_proto::protos::{ChaincodeActionPayload, ChaincodeEndorsedAction};

/// A channel without a committer, with the chaincodes defined by block 1.
struct Bench {
    network: Arc<Network>,
    channel: Channel,
}

impl Bench {
    fn new() -> Self {
        let bench = Self::on(Arc::new(Network::new()));
        assert_eq!(bench.commit(vec![bench.network.definitions()]), [Valid]);
        bench
    }

    /// Two that have taken in the same blocks.
    fn pair() -> [Self; 2] {
        let network = Arc::new(Network::new());
        let definitions = network.definitions();
        let bench = || {
            let bench = Self::on(Arc::clone(&network));
            assert_eq!(bench.commit(vec![definitions.clone()]), [Valid]);
            bench
        };
        [bench(), bench()]
    }

    fn on(network: Arc<Network>) -> Self {
        let (storage, signatures) = (Arc::new(MemoryStorage::new()), VerificationCache::new(1000));
        let genesis = Some(network.genesis.clone());
        let channel = Channel::open(storage, LedgerConfig::new("/ledger"), genesis, signatures).unwrap();
        Self { network, channel }
    }

    fn draft(&self) -> Draft<'_> {
        self.network.draft("basic")
    }

    fn judge(&self, entries: &[Bytes]) -> Vec<TxValidationCode> {
        let examined = validator::examine(&self.channel.config(), entries);
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

/// A transaction with most kinds of parts, on keys of its own.
fn rich(bench: &Bench) -> Draft<'_> {
    let (draft, parameter) = (bench.draft(), dsl::parse("OR('Org1MSP.peer')").unwrap().encode_to_vec());
    let key = draft.id();
    draft
        .read("read", None)
        .put(&key, "value")
        .put_parameter(&key, parameter)
        .put_private("secrets", &key, "value")
}

/// What of a transaction is spoilt; whatever is signed above it is signed anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    /// The payload of the envelope, which the creator signs.
    Payload,
    /// What the endorsers sign.
    Response,
}

impl Level {
    fn spoilt(self, draft: &Draft<'_>) -> Vec<Spoilt> {
        let response = draft.response(draft.action());
        match self {
            Self::Response => spoilt(&response),
            Self::Payload => {
                let entry = Envelope::decode(draft.entry_with_response(response)).unwrap();
                spoilt(&entry.payload)
            }
        }
    }

    /// The verdict of a transaction without a part.
    fn missing(self) -> &'static [(&'static str, TxValidationCode)] {
        match self {
            Self::Payload => &[
                // The header: the channel's, with type, channel, id and extension; the signature's, with creator
                // and nonce.
                ("1", BadCommonHeader),
                ("1.1", BadCommonHeader),
                ("1.1.1", BadCommonHeader),
                ("1.1.4", BadCreatorSignature),
                ("1.1.5", BadProposalTxid),
                // It is covered by the hash of the proposal that was endorsed.
                ("1.1.7", InvalidEndorserTransaction),
                ("1.2", BadCommonHeader),
                ("1.2.1", BadCommonHeader),
                ("1.2.1.1", BadCreatorSignature),
                ("1.2.1.2", BadCreatorSignature),
                ("1.2.2", BadCommonHeader),
                // The transaction, its action, the header and the payload of that.
                ("2", InvalidEndorserTransaction),
                ("2.1", InvalidEndorserTransaction),
                ("2.1.1", InvalidEndorserTransaction),
                ("2.1.1.1", InvalidEndorserTransaction),
                ("2.1.1.2", InvalidEndorserTransaction),
                ("2.1.2", InvalidEndorserTransaction),
                ("2.1.2.1", InvalidEndorserTransaction),
                ("2.1.2.2", InvalidEndorserTransaction),
                ("2.1.2.2.1", InvalidEndorserTransaction),
                // The endorsements, and what they consist of.
                ("2.1.2.2.2", EndorsementPolicyFailure),
                ("2.1.2.2.2.1", EndorsementPolicyFailure),
                ("2.1.2.2.2.1.1", EndorsementPolicyFailure),
                ("2.1.2.2.2.1.2", EndorsementPolicyFailure),
                ("2.1.2.2.2.2", EndorsementPolicyFailure),
                ("2.1.2.2.2#1", EndorsementPolicyFailure),
            ],
            Self::Response => &[
                // The proposal's hash, and the action with results, chaincode's name and version.
                ("1", InvalidEndorserTransaction),
                ("2", BadResponsePayload),
                ("2.1", Valid),
                ("2.1.2.1", InvalidChaincode),
                ("2.1.2.2", Valid),
                // A collection without its name is not defined.
                ("2.1.2.3.1", EndorsementPolicyFailure),
                ("2.4", InvalidOtherReason),
                ("2.4.2", InvalidChaincode),
                ("2.4.3", InvalidChaincode),
            ],
        }
    }

    fn entry(self, draft: &Draft<'_>, spoilt: Spoilt) -> Bytes {
        match self {
            Self::Response => draft.entry_with_response(spoilt.bytes.into()),
            Self::Payload => draft.sign(spoilt.bytes.into()),
        }
    }
}

#[test]
fn every_part_spoilt_in_turn_gets_one_verdict_from_two_validators() {
    let benches = Bench::pair();
    let bench = &benches[0];
    for level in [Level::Payload, Level::Response] {
        let count = level.spoilt(&rich(bench)).len();
        let (mut entries, mut told) = (Vec::new(), Vec::new());
        for index in 0..count {
            // Each is a transaction of its own, so that none is a duplicate of another.
            let draft = rich(bench);
            let one = level.spoilt(&draft).swap_remove(index);
            told.push((one.field.clone(), one.spoil));
            entries.push(level.entry(&draft, one));
        }
        entries.push(rich(bench).entry());
        let [codes, other] = benches.each_ref().map(|bench| bench.commit(entries.clone()));
        assert_eq!(codes, other);
        assert_eq!(codes.last(), Some(&Valid), "the good one at the end");
        let [tip, other] = benches.each_ref().map(|bench| bench.channel.ledger().tip());
        assert_eq!(tip.commit_hash, other.commit_hash, "they agree on the state");
        for ((field, spoil), code) in told.iter().zip(&codes) {
            // Of what comes twice the last counts, and whatever results are endorsed may be.
            let may_be_valid =
                *spoil == Spoil::Twice || (level == Level::Response && field.starts_with("2.1"));
            assert!(may_be_valid || *code != Valid, "{level:?} {field} {spoil:?}");
        }
        for (field, expected) in level.missing() {
            let place = told.iter().position(|(other, spoil)| other == field && *spoil == Spoil::Missing);
            assert_eq!(codes[place.unwrap()], *expected, "{level:?} without {field}");
        }
    }
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
