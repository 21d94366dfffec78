//! Chains of small endorsed transactions.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use prost::Message;
use selvedge_ledger::block;
use selvedge_ledger::log::PrivateWrites;
use selvedge_ledger::rwset::{CollectionSet, NamespaceSet, ReadWriteSet};
use selvedge_ledger::{Ledger, StoreError};
use selvedge_proto::common::{
    Block, BlockHeader, ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader,
};
use selvedge_proto::kvrwset::{HashedRwSet, KvRead, KvWrite, KvWriteHash, KvrwSet, Version};
use selvedge_proto::lifecycle::{StateData, state_data};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{
    ChaincodeAction, ChaincodeActionPayload, ChaincodeEndorsedAction, CollectionConfig,
    CollectionConfigPackage, ProposalResponsePayload, Response, StaticCollectionConfig, Transaction,
    TransactionAction, TxValidationCode, collection_config,
};
use selvedge_proto::rwset::{CollectionPvtReadWriteSet, NsPvtReadWriteSet, TxPvtReadWriteSet};

use super::Dice;

pub(crate) const CHAINCODE: &str = "basic";
/// The keys that [`chain`] writes.
pub(crate) const KEYS: [&str; 6] = ["key0", "key1", "key2", "key3", "key4", "key5"];
pub(crate) const COLLECTION: &str = "secrets";

/// A block's number, entries and private writes.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) block: Block,
    pub(crate) private: PrivateWrites,
}

pub(crate) fn genesis() -> Block {
    let header = ChannelHeader { r#type: HeaderType::Config.into(), ..ChannelHeader::default() };
    block::build(None, vec![envelope(&header, &SignatureHeader::default(), Bytes::new())])
}

pub(crate) fn next_block(previous: &Block, entries: Vec<Bytes>) -> Block {
    block::build(previous.header.as_ref(), entries)
}

/// An endorsed transaction that writes one public key, and fails unless it finds `read` as its version.
pub(crate) fn put(id: &str, key: &str, value: &str, read: Option<(u64, u64)>) -> Bytes {
    endorsed(id, results(namespace(key, value, read)))
}

/// An endorsed transaction that writes a public and a private key, with its private writes.
pub(crate) fn put_private(id: &str, key: &str, value: &str) -> (Bytes, TxPvtReadWriteSet) {
    let writes = KvrwSet { writes: vec![write(key, value)], ..KvrwSet::default() }.encode_to_vec();
    let hashed = KvWriteHash {
        key_hash: sha256(key.as_bytes()),
        value_hash: sha256(value.as_bytes()),
        ..KvWriteHash::default()
    };
    let mut set = namespace(key, value, None);
    set.collections.push(CollectionSet {
        collection: COLLECTION.to_owned(),
        hashed: HashedRwSet { hashed_writes: vec![hashed], ..HashedRwSet::default() },
        private_set_hash: sha256(&writes),
    });
    let collection =
        CollectionPvtReadWriteSet { collection_name: COLLECTION.to_owned(), rwset: writes.into() };
    let namespace =
        NsPvtReadWriteSet { namespace: CHAINCODE.to_owned(), collection_pvt_rwset: vec![collection] };
    (endorsed(id, results(set)), TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset: vec![namespace] })
}

/// An endorsed transaction that purges a private key, with its private writes.
pub(crate) fn purge_private(id: &str, key: &str) -> (Bytes, TxPvtReadWriteSet) {
    let writes = KvrwSet { writes: vec![write(key, "")], ..KvrwSet::default() }.encode_to_vec();
    let hashed = KvWriteHash {
        key_hash: sha256(key.as_bytes()),
        is_delete: true,
        is_purge: true,
        ..KvWriteHash::default()
    };
    let public = KvrwSet::default();
    let mut set = NamespaceSet { namespace: CHAINCODE.to_owned(), public, collections: Vec::new() };
    set.collections.push(CollectionSet {
        collection: COLLECTION.to_owned(),
        hashed: HashedRwSet { hashed_writes: vec![hashed], ..HashedRwSet::default() },
        private_set_hash: sha256(&writes),
    });
    let collection =
        CollectionPvtReadWriteSet { collection_name: COLLECTION.to_owned(), rwset: writes.into() };
    let namespace =
        NsPvtReadWriteSet { namespace: CHAINCODE.to_owned(), collection_pvt_rwset: vec![collection] };
    (endorsed(id, results(set)), TxPvtReadWriteSet { data_model: 0, ns_pvt_rwset: vec![namespace] })
}

/// An endorsed transaction that defines the collection, whose values go `block_to_live` blocks after their own.
pub(crate) fn define(block_to_live: u64) -> Bytes {
    let collection = StaticCollectionConfig {
        name: COLLECTION.to_owned(),
        block_to_live,
        ..StaticCollectionConfig::default()
    };
    let payload = Some(collection_config::Payload::StaticCollectionConfig(collection));
    let collections = CollectionConfigPackage { config: vec![CollectionConfig { payload }] };
    let field = StateData { r#type: Some(state_data::Type::Bytes(collections.encode_to_vec().into())) };
    let field = KvWrite {
        key: format!("namespaces/fields/{CHAINCODE}/Collections"),
        value: field.encode_to_vec().into(),
        is_delete: false,
    };
    let public = KvrwSet { writes: vec![field], ..KvrwSet::default() };
    let namespace = NamespaceSet { namespace: "_lifecycle".to_owned(), public, collections: Vec::new() };
    endorsed("definition", results(namespace))
}

/// A chain of `length` blocks with a few transactions each, some of which conflict and some of which are private.
pub(crate) fn chain(seed: u64, length: u64) -> Vec<Link> {
    extended(vec![Link { block: genesis(), private: PrivateWrites::new() }], seed, length)
}

/// As [`chain`], but private values go two blocks after their own.
pub(crate) fn expiring_chain(seed: u64, length: u64) -> Vec<Link> {
    let definition = next_block(&genesis(), vec![define(2)]);
    let links = [genesis(), definition].map(|block| Link { block, private: PrivateWrites::new() });
    extended(links.into(), seed, length)
}

fn extended(mut links: Vec<Link>, seed: u64, length: u64) -> Vec<Link> {
    let mut dice = Dice::new(seed);
    for number in links.len() as u64..length {
        let mut private = PrivateWrites::new();
        let entries = (0..1 + dice.below(4)).map(|index| {
            let id = format!("{number}-{index}");
            let (key, value) = (KEYS[dice.below(6) as usize], format!("value{}", dice.below(1000)));
            match dice.below(3) {
                0 => {
                    let (entry, writes) = put_private(&id, key, &value);
                    private.insert(index, writes);
                    entry
                }
                1 => put(&id, key, &value, Some((dice.below(number), dice.below(3)))),
                _ => put(&id, key, if dice.below(4) == 0 { "" } else { &value }, None),
            }
        });
        let entries = entries.collect();
        let previous = links.last().map(|link| link.block.clone()).unwrap_or_default();
        links.push(Link { block: next_block(&previous, entries), private });
    }
    links
}

/// Validates and commits a block whose transactions passed all other checks.
pub(crate) fn commit(ledger: &Ledger, link: &Link) -> Result<(), StoreError> {
    let count = link.block.data.as_ref().map_or(0, |data| data.data.len());
    let verdicts = vec![TxValidationCode::Valid; count];
    ledger.commit(ledger.validate(link.block.clone(), verdicts, link.private.clone())?).map(|_| ())
}

pub(crate) fn header(block: &Block) -> &BlockHeader {
    block.header.as_ref().unwrap()
}

fn namespace(key: &str, value: &str, read: Option<(u64, u64)>) -> NamespaceSet {
    let version = read.map(|(block_num, tx_num)| Version { block_num, tx_num });
    let reads = read.map(|_| KvRead { key: key.to_owned(), version });
    let public =
        KvrwSet { reads: reads.into_iter().collect(), writes: vec![write(key, value)], ..KvrwSet::default() };
    NamespaceSet { namespace: CHAINCODE.to_owned(), public, collections: Vec::new() }
}

fn write(key: &str, value: &str) -> KvWrite {
    let value = Bytes::copy_from_slice(value.as_bytes());
    KvWrite { key: key.to_owned(), is_delete: value.is_empty(), value }
}

/// When the client made the transaction of this id.
pub(crate) fn timestamp(id: &str) -> Timestamp {
    Timestamp { seconds: id.bytes().map(i64::from).sum(), nanos: 0 }
}

fn results(namespace: NamespaceSet) -> Bytes {
    ReadWriteSet { namespaces: vec![namespace] }.encode()
}

/// An endorsed transaction with these results.
pub(crate) fn endorsed(id: &str, results: Bytes) -> Bytes {
    let channel_header = ChannelHeader {
        r#type: HeaderType::EndorserTransaction.into(),
        tx_id: id.to_owned(),
        timestamp: Some(timestamp(id)),
        ..ChannelHeader::default()
    };
    let signature_header =
        SignatureHeader { creator: Bytes::from_static(b"client"), nonce: Bytes::from_static(b"nonce") };
    let header = signature_header.encode_to_vec();
    let response = Response { status: 200, ..Response::default() };
    let action = ChaincodeAction { results, response: Some(response), ..ChaincodeAction::default() };
    let response = ProposalResponsePayload {
        proposal_hash: sha256(&[channel_header.encode_to_vec(), header.clone()].concat()),
        extension: action.encode_to_vec().into(),
    };
    let action = ChaincodeEndorsedAction {
        proposal_response_payload: response.encode_to_vec().into(),
        endorsements: Vec::new(),
    };
    let payload = ChaincodeActionPayload { action: Some(action), ..ChaincodeActionPayload::default() };
    let action = TransactionAction { header: header.into(), payload: payload.encode_to_vec().into() };
    let transaction = Transaction { actions: vec![action] };
    envelope(&channel_header, &signature_header, transaction.encode_to_vec().into())
}

fn envelope(channel: &ChannelHeader, signature: &SignatureHeader, data: Bytes) -> Bytes {
    let header = Header {
        channel_header: channel.encode_to_vec().into(),
        signature_header: signature.encode_to_vec().into(),
    };
    let payload = Payload { header: Some(header), data }.encode_to_vec().into();
    Envelope { payload, signature: Bytes::from_static(b"signature") }.encode_to_vec().into()
}

fn sha256(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(digest(&SHA256, bytes).as_ref())
}
