//! What comes from outside may be anything: it is read or refused, and nothing panics.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use selvedge_golden::Corpus;
use selvedge_ledger::block::{self, TransactionSummary, TransactionView};
use selvedge_ledger::rwset::{CollectionSet, NamespaceSet, ReadWriteSet};
use selvedge_proto::common::{Block, Envelope, Payload};
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{
    HashedRwSet, KvMetadataEntry, KvMetadataWrite, KvMetadataWriteHash, KvRead, KvReadHash, KvWrite,
    KvWriteHash, KvrwSet, QueryReads, QueryReadsMerkleSummary, RangeQueryInfo, Version,
};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{
    ChaincodeActionPayload, ChaincodeEndorsedAction, Endorsement, Transaction, TxValidationCode,
};

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..6).prop_map(Bytes::from)
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..4).prop_map(String::from_iter)
}

fn version() -> impl Strategy<Value = Option<Version>> {
    any::<Option<(u64, u64)>>()
        .prop_map(|version| version.map(|(block_num, tx_num)| Version { block_num, tx_num }))
}

fn read() -> impl Strategy<Value = KvRead> {
    (text(), version()).prop_map(|(key, version)| KvRead { key, version })
}

fn entries() -> impl Strategy<Value = Vec<KvMetadataEntry>> {
    vec((text(), bytes()).prop_map(|(name, value)| KvMetadataEntry { name, value }), 0..3)
}

fn range() -> impl Strategy<Value = RangeQueryInfo> {
    let raw = vec(read(), 0..3).prop_map(|kv_reads| ReadsInfo::RawReads(QueryReads { kv_reads }));
    let tree = (any::<u32>(), any::<u32>(), vec(bytes(), 0..3)).prop_map(
        |(max_degree, max_level, max_level_hashes)| {
            ReadsInfo::ReadsMerkleHashes(QueryReadsMerkleSummary { max_degree, max_level, max_level_hashes })
        },
    );
    (text(), text(), any::<bool>(), prop::option::of(prop_oneof![raw, tree])).prop_map(
        |(start_key, end_key, itr_exhausted, reads_info)| RangeQueryInfo {
            start_key,
            end_key,
            itr_exhausted,
            reads_info,
        },
    )
}

fn public_set() -> impl Strategy<Value = KvrwSet> {
    let write = (text(), any::<bool>(), bytes()).prop_map(|(key, is_delete, value)| KvWrite {
        key,
        is_delete,
        value,
    });
    let metadata = (text(), entries()).prop_map(|(key, entries)| KvMetadataWrite { key, entries });
    (vec(read(), 0..3), vec(range(), 0..3), vec(write, 0..3), vec(metadata, 0..3)).prop_map(
        |(reads, range_queries_info, writes, metadata_writes)| KvrwSet {
            reads,
            range_queries_info,
            writes,
            metadata_writes,
        },
    )
}

fn collection() -> impl Strategy<Value = CollectionSet> {
    let read = (bytes(), version()).prop_map(|(key_hash, version)| KvReadHash { key_hash, version });
    let write = (bytes(), any::<bool>(), bytes(), any::<bool>()).prop_map(
        |(key_hash, is_delete, value_hash, is_purge)| KvWriteHash {
            key_hash,
            is_delete,
            value_hash,
            is_purge,
        },
    );
    let metadata =
        (bytes(), entries()).prop_map(|(key_hash, entries)| KvMetadataWriteHash { key_hash, entries });
    let hashed = (vec(read, 0..3), vec(write, 0..3), vec(metadata, 0..3)).prop_map(
        |(hashed_reads, hashed_writes, metadata_writes)| HashedRwSet {
            hashed_reads,
            hashed_writes,
            metadata_writes,
        },
    );
    (text(), hashed, bytes()).prop_map(|(collection, hashed, private_set_hash)| CollectionSet {
        collection,
        hashed,
        private_set_hash,
    })
}

fn set() -> impl Strategy<Value = ReadWriteSet> {
    let namespace = (text(), public_set(), vec(collection(), 0..3))
        .prop_map(|(namespace, public, collections)| NamespaceSet { namespace, public, collections });
    vec(namespace, 0..3).prop_map(|namespaces| ReadWriteSet { namespaces })
}

/// Reads bytes in every way that a peer does with an entry of a block.
fn read_everything(entry: &Bytes) {
    let _ = block::check_well_formed(std::slice::from_ref(entry));
    let _ = TransactionSummary::of(entry);
    let Ok(view) = TransactionView::parse(entry) else { return };
    view.has_own_id();
    let _ = view.header_extension();
    let Ok(action) = view.endorsed_action().and_then(|action| action.chaincode_action()) else { return };
    let _ = ReadWriteSet::parse(&action.results).map(|set| set.duplicate_namespace().is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sets_survive_a_round_trip(set in set()) {
        let parsed = ReadWriteSet::parse(&set.encode()).unwrap();
        prop_assert_eq!(parsed, set);
    }

    #[test]
    fn damaged_sets_do_no_harm(set in set(), flips in vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut damaged = set.encode().to_vec();
        if !damaged.is_empty() {
            for (at, bits) in flips {
                let at = at % damaged.len();
                damaged[at] ^= bits;
            }
        }
        let _ = ReadWriteSet::parse(&damaged.into());
    }

    #[test]
    fn any_bytes_do_no_harm(entry in vec(any::<u8>(), 0..200)) {
        let entry = Bytes::from(entry);
        read_everything(&entry);
        let _ = ReadWriteSet::parse(&entry);
    }
}

#[test]
fn golden_entries_cut_short_or_damaged_do_no_harm() {
    let corpus = Corpus::get();
    let mut read = 0;
    for channel in corpus.channels() {
        for bytes in corpus.blocks(channel).values().take(12) {
            let block = Block::decode(*bytes).unwrap();
            for entry in block.data.unwrap().data.iter().filter(|entry| entry.len() < 10_000) {
                for at in (0..entry.len()).step_by(37) {
                    read_everything(&entry.slice(..at));
                    let mut damaged = entry.to_vec();
                    damaged[at] ^= 0x55;
                    read_everything(&damaged.into());
                    read += 2;
                }
            }
        }
    }
    assert!(read > 0, "the corpus has no transaction");
}

/// A recorded transaction whose endorsed action is followed by further pieces, each with this many empty endorsements.
fn with_pieces(pieces: usize, endorsements: usize) -> Bytes {
    let corpus = Corpus::get();
    let blocks = corpus.channels().into_iter().flat_map(|channel| corpus.blocks(channel).into_values());
    let entries = blocks.flat_map(|bytes| Block::decode(bytes).unwrap().data.unwrap().data);
    let mut views = entries.filter_map(|entry| TransactionView::parse(&entry).ok());
    let view =
        views.find(|view| view.endorsed_action().is_ok()).expect("the corpus has endorsed transactions");
    let mut transaction = Transaction::decode(view.data).unwrap();
    let action = transaction.actions.first_mut().unwrap();
    let piece = ChaincodeEndorsedAction {
        endorsements: vec![Endorsement::default(); endorsements],
        ..ChaincodeEndorsedAction::default()
    };
    let piece =
        ChaincodeActionPayload { action: Some(piece), ..ChaincodeActionPayload::default() }.encode_to_vec();
    action.payload = [&action.payload[..], &piece.repeat(pieces)].concat().into();
    let payload = Payload { header: Some(view.header), data: transaction.encode_to_vec().into() };
    Envelope { payload: payload.encode_to_vec().into(), ..view.envelope }.encode_to_vec().into()
}

#[test]
fn golden_endorsements_in_many_pieces_count_together() {
    let read = |entry: &Bytes| TransactionView::parse(entry).and_then(|view| view.endorsed_action());
    let one = read(&with_pieces(1, 60_000)).unwrap();
    assert!(one.endorsements.len() > 60_000);
    let refused = read(&with_pieces(2, 60_000)).unwrap_err();
    assert_eq!(refused.code, TxValidationCode::InvalidEndorserTransaction);
    assert!(refused.reason.contains("more than 100000 fields"), "{refused}");
}
