//! Blocks with real signatures through a peer: verdicts, state, and those who wait.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::sync::Arc;

use bytes::Bytes;
use committer_support::source::TestSource;
use committer_support::{CHANNEL, LONG, Network, header, until_told};
use prost::Message;
use selvedge_golden::high_s;
use selvedge_identity::SigningIdentity;
use selvedge_ledger::block::validation_codes;
use selvedge_ledger::storage::{MemoryStorage, Storage};
use selvedge_ledger::{Snapshot, Space};
use selvedge_peer::channel::Channel;
use selvedge_peer::node::Peer;
use selvedge_proto::common::{Envelope, Payload};
use selvedge_proto::protos::TxValidationCode::{self, *};
use selvedge_proto::protos::{ChaincodeActionPayload, Endorsement, Transaction};

/// A peer of Org1 that has joined, with the chaincodes defined by block 1.
struct Joined {
    network: Network,
    source: TestSource,
    peer: Peer,
    channel: Arc<Channel>,
    _folder: tempfile::TempDir,
}

impl Joined {
    async fn new() -> Self {
        Self::with_storage(Arc::new(MemoryStorage::new())).await
    }

    async fn with_storage(storage: Arc<dyn Storage>) -> Self {
        let (network, folder) = (Network::new(), tempfile::tempdir().unwrap());
        let source = TestSource::new(network.genesis.clone());
        let peer = network.peer(0, storage, folder.path());
        let channel = peer.join(network.genesis.clone(), Arc::new(source.clone())).await.unwrap();
        let joined = Self { network, source, peer, channel, _folder: folder };
        assert_eq!(joined.commit(vec![joined.network.definitions()]).await, [Valid]);
        joined
    }

    /// Lets the orderer make a block of these entries, and gives the verdicts.
    async fn commit(&self, entries: Vec<Bytes>) -> Vec<TxValidationCode> {
        let block = self.network.block(&self.source.last(), entries);
        let number = header(&block).number;
        let mut blocks = self.channel.notifier().follow();
        self.source.push(block);
        let committed = until_told(&mut blocks, number).await;
        assert_eq!(self.channel.ledger().block(number).unwrap().as_ref(), Some(committed.block()));
        validation_codes(committed.block())
    }

    fn value(&self, key: &str) -> Option<Bytes> {
        let stored = self.channel.ledger().snapshot().get(&Space::public("basic"), key.as_bytes()).unwrap();
        stored.map(|stored| stored.value)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_valid_transaction_is_committed_and_whoever_waits_is_told() {
    let joined = Joined::new().await;
    let draft = joined.network.draft("basic").put("colour", "blue");
    let waiting = tokio::spawn({
        let (notifier, id) = (joined.channel.notifier().clone(), draft.id());
        async move { notifier.wait(&id).await }
    });
    assert_eq!(joined.commit(vec![draft.entry()]).await, [Valid]);
    let status = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap().unwrap();
    assert_eq!((status.code, status.block), (Valid, 2));
    assert_eq!(joined.value("colour").as_deref(), Some(b"blue".as_slice()));
    assert_eq!(joined.peer.channels().get(CHANNEL).unwrap().ledger().height(), 3);
    joined.peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endorsements_must_satisfy_the_policy() {
    let joined = Joined::new().await;
    let network = &joined.network;
    let [one, two] = &network.orgs;
    let draft = || network.draft("basic").put("key", "value");
    let entries = vec![
        draft().entry(),
        draft().endorsed_by(&[&one.peer]).entry(),
        draft().endorsed_by(&[&one.peer, &one.peer]).entry(),
        draft().endorsed_by(&[&one.peer, &two.client]).entry(),
        draft().endorsed_by(&[]).entry(),
        network.draft("open").put("key", "value").endorsed_by(&[&two.peer]).entry(),
        network.draft("open").put("key", "value").endorsed_by(&[&two.client]).entry(),
        network.draft("ghost").put("key", "value").entry(),
        network.draft("_lifecycle").put("key", "value").endorsed_by(&[&one.peer]).entry(),
    ];
    let expected = [
        Valid,
        EndorsementPolicyFailure,
        EndorsementPolicyFailure,
        EndorsementPolicyFailure,
        EndorsementPolicyFailure,
        Valid,
        EndorsementPolicyFailure,
        InvalidChaincode,
        EndorsementPolicyFailure,
    ];
    assert_eq!(joined.commit(entries).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endorsement_of_other_bytes_does_not_count() {
    let joined = Joined::new().await;
    let [one, two] = &joined.network.orgs;
    let draft = joined.network.draft("basic").put("key", "value");
    // The first endorser's signature comes again under the name of the second, who signed nothing.
    let swapped = draft.clone().endorsed_by(&[&one.peer, &one.peer]).entry();
    let swapped = with_endorsements(&swapped, |endorsements| {
        endorsements[1].endorser = two.peer.serialized().clone();
    });
    let swapped = resign(&swapped, &one.client);
    assert_eq!(joined.commit(vec![swapped, draft.entry()]).await, [EndorsementPolicyFailure, Valid]);
}

/// It holds mathematically, and whoever has the low form can make it; so it must be no second way to sign.
#[tokio::test(flavor = "multi_thread")]
async fn a_high_s_signature_of_an_endorser_or_a_creator_does_not_count() {
    let joined = Joined::new().await;
    let client = &joined.network.orgs[0].client;
    let entry = joined.network.draft("basic").put("key", "value").entry();
    let endorsed = with_endorsements(&entry, |endorsements| {
        endorsements[1].signature = high_s(&endorsements[1].signature).into();
    });
    let endorsed = resign(&endorsed, client);
    let mut created = Envelope::decode(entry.clone()).unwrap();
    created.signature = high_s(&created.signature).into();
    let entries = vec![endorsed, created.encode_to_vec().into(), entry];
    assert_eq!(joined.commit(entries).await, [EndorsementPolicyFailure, BadCreatorSignature, Valid]);
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_and_creators_are_checked() {
    let joined = Joined::new().await;
    let network = &joined.network;
    let draft = network.draft("basic").put("key", "value");
    let stranger = Network::new();
    let mut foreign = network.draft("basic").put("key", "value");
    foreign.creator = &stranger.orgs[0].client;
    let mut other_channel = network.draft("basic").put("key", "value");
    other_channel.channel = "otherchannel".to_owned();
    let mut envelope = Envelope::decode(draft.entry()).unwrap();
    envelope.signature = network.orgs[0].client.sign(b"something else").unwrap();
    let entries = vec![
        draft.sign(Bytes::from_static(b"\xff\xff\xff")),
        envelope.encode_to_vec().into(),
        foreign.entry(),
        other_channel.entry(),
        draft.entry_with(Bytes::from_static(b"\xff\xff\xff")),
        draft.entry(),
    ];
    let expected = [
        BadPayload,
        BadCreatorSignature,
        BadCreatorSignature,
        BadCreatorSignature,
        BadResponsePayload,
        Valid,
    ];
    assert_eq!(joined.commit(entries).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_that_are_stale_conflict() {
    let joined = Joined::new().await;
    let network = &joined.network;
    assert_eq!(joined.commit(vec![network.draft("basic").put("key", "0").entry()]).await, [Valid]);
    let read =
        |value: &'static str| network.draft("basic").read("key", Some((2, 0))).put("key", value).entry();
    assert_eq!(joined.commit(vec![read("1"), read("2")]).await, [Valid, MvccReadConflict]);
    assert_eq!(joined.commit(vec![read("3")]).await, [MvccReadConflict]);
    assert_eq!(joined.value("key").as_deref(), Some(b"1".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_used_once() {
    let joined = Joined::new().await;
    let draft = joined.network.draft("basic").put("key", "value");
    let lacking = draft.clone().endorsed_by(&[&joined.network.orgs[0].peer]);
    let codes = joined.commit(vec![lacking.entry(), draft.entry(), draft.entry()]).await;
    assert_eq!(codes, [EndorsementPolicyFailure, Valid, DuplicateTxid]);
    assert_eq!(joined.commit(vec![draft.entry()]).await, [DuplicateTxid]);

    let invalid = joined.network.draft("basic").put("key", "value").endorsed_by(&[]);
    assert_eq!(joined.commit(vec![invalid.entry()]).await, [EndorsementPolicyFailure]);
    let [one, two] = &joined.network.orgs;
    let repeated = invalid.endorsed_by(&[&one.peer, &two.peer]).entry();
    assert_eq!(joined.commit(vec![repeated]).await, [DuplicateTxid]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_members_keep_private_writes() {
    let joined = Joined::new().await;
    let network = &joined.network;
    let folder = tempfile::tempdir().unwrap();
    let outsider = network.peer(1, Arc::new(MemoryStorage::new()), folder.path());
    let outside = outsider.join(network.genesis.clone(), Arc::new(joined.source.clone())).await.unwrap();

    let draft = network.draft("basic").put_private("secrets", "name", "value");
    for channel in [&joined.channel, &outside] {
        channel.transient().put(&draft.id(), 2, &draft.private()).unwrap();
        // Another proposal with the same id, which was not submitted.
        let other = draft.clone().put_private("secrets", "name", "other value");
        channel.transient().put(&draft.id(), 2, &other.private()).unwrap();
    }
    let mut blocks = outside.notifier().follow();
    assert_eq!(joined.commit(vec![draft.entry()]).await, [Valid]);
    until_told(&mut blocks, 2).await;

    let space = Space::private("basic", "secrets");
    let stored = joined.channel.ledger().snapshot().get(&space, b"name").unwrap().unwrap();
    assert_eq!(stored.value, "value");
    assert_eq!(outside.ledger().snapshot().get(&space, b"name").unwrap(), None);
    for channel in [&joined.channel, &outside] {
        assert!(channel.transient().get(&draft.id()).unwrap().is_empty(), "what is committed is dropped");
    }
    outsider.shutdown().await;
}

/// An entry with its endorsements changed, under the signature that it had.
fn with_endorsements(entry: &Bytes, change: impl FnOnce(&mut Vec<Endorsement>)) -> Bytes {
    let envelope = Envelope::decode(entry.clone()).unwrap();
    let mut payload = Payload::decode(envelope.payload).unwrap();
    let mut transaction = Transaction::decode(payload.data).unwrap();
    let mut action = ChaincodeActionPayload::decode(transaction.actions[0].payload.clone()).unwrap();
    change(&mut action.action.as_mut().unwrap().endorsements);
    transaction.actions[0].payload = action.encode_to_vec().into();
    payload.data = transaction.encode_to_vec().into();
    Envelope { payload: payload.encode_to_vec().into(), signature: envelope.signature }.encode_to_vec().into()
}

/// Signs an entry anew.
fn resign(entry: &Bytes, creator: &SigningIdentity) -> Bytes {
    let mut envelope = Envelope::decode(entry.clone()).unwrap();
    envelope.signature = creator.sign(&envelope.payload).unwrap();
    envelope.encode_to_vec().into()
}
