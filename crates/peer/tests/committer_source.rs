//! What a committer makes of its source and of its disk: restarts, bad blocks, configurations, failures.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::sync::Arc;

use bytes::Bytes;
use committer_support::configuration::{configuration, endorsed_by_any};
use committer_support::source::TestSource;
use committer_support::{LONG, Network, header, until_state, until_told};
use selvedge_ledger::block::validation_codes;
use selvedge_ledger::storage::{Fault, FaultyStorage, MemoryStorage, Storage};
use selvedge_peer::JoinError;
use selvedge_peer::channel::{Channel, ChannelState};
use selvedge_peer::node::Peer;
use selvedge_peer::notifier::WaitError;
use selvedge_proto::common::Block;
use selvedge_proto::protos::TxValidationCode;

async fn join(
    network: &Network,
    storage: &Arc<dyn Storage>,
    source: &TestSource,
) -> (Peer, Arc<Channel>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let peer = network.peer(0, Arc::clone(storage), folder.path());
    let channel = peer.join(network.genesis.clone(), Arc::new(source.clone())).await.unwrap();
    (peer, channel, folder)
}

/// Lets the source have a block and waits until it is committed.
async fn commit(channel: &Channel, source: &TestSource, block: Block) -> Vec<TxValidationCode> {
    let mut blocks = channel.notifier().follow();
    let number = header(&block).number;
    source.push(block);
    validation_codes(until_told(&mut blocks, number).await.block())
}

fn writing(network: &Network, key: &str) -> Bytes {
    network.draft("open").put(key, "value").entry()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_goes_on_where_it_stopped() {
    let (network, storage): (_, Arc<dyn Storage>) = (Network::new(), Arc::new(MemoryStorage::new()));
    let source = TestSource::new(network.genesis.clone());
    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    commit(&channel, &source, network.block(&source.last(), vec![network.definitions()])).await;
    commit(&channel, &source, network.block(&source.last(), vec![writing(&network, "one")])).await;
    let before = channel.ledger().tip();
    let again = peer.join(network.genesis.clone(), Arc::new(source.clone())).await;
    assert!(matches!(again, Err(JoinError::Joined(_))));
    peer.shutdown().await;
    assert_eq!(channel.state(), ChannelState::Stopped);
    let again = peer.join(network.genesis.clone(), Arc::new(source.clone())).await;
    assert!(matches!(again, Err(JoinError::ShutDown)));
    drop((peer, channel));

    source.push(network.block(&source.last(), vec![writing(&network, "two")]));
    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    let mut heights = channel.ledger().subscribe();
    tokio::time::timeout(LONG, heights.wait_for(|height| *height == 4)).await.unwrap().unwrap();
    assert_ne!(channel.ledger().tip(), before);
    assert_eq!(source.asked(), [1, 3]);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_the_orderer_did_not_make_are_refused() {
    let (network, storage): (_, Arc<dyn Storage>) = (Network::new(), Arc::new(MemoryStorage::new()));
    let source = TestSource::new(network.genesis.clone());
    let good = network.block(&network.genesis, vec![network.definitions()]);

    let mut unsigned = good.clone();
    unsigned.metadata.as_mut().unwrap().metadata[0] = Bytes::new();
    let mut forged = good.clone();
    Network::new().sign(&mut forged, 0);
    let mut changed = good.clone();
    changed.data.as_mut().unwrap().data[0] = writing(&network, "other");
    let mut unlinked = good.clone();
    unlinked.header.as_mut().unwrap().previous_hash = vec![1; 32].into();
    network.sign(&mut unlinked, 0);
    let mut headless = good.clone();
    headless.data = None;
    let ill_formed = network.block(&network.genesis, vec![Bytes::from_static(b"\x0a\x00")]);
    let bad = [unsigned, forged, changed, unlinked, headless, ill_formed];
    let count = bad.len();
    bad.into_iter().for_each(|block| source.spoil(block));

    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    assert_eq!(commit(&channel, &source, good).await, [TxValidationCode::Valid]);
    assert_eq!(source.asked(), vec![1; count + 1], "one question more than bad answers");
    assert_eq!(channel.state(), ChannelState::Running);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_takes_the_place_of_the_one_before() {
    let (network, storage): (_, Arc<dyn Storage>) = (Network::new(), Arc::new(MemoryStorage::new()));
    let source = TestSource::new(network.genesis.clone());
    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    commit(&channel, &source, network.block(&source.last(), vec![network.definitions()])).await;

    // From now on an endorsement of either organization is enough.
    let any = configuration(&network, 1, endorsed_by_any);
    let mut block = network.block(&source.last(), vec![any]);
    network.sign(&mut block, 2);
    source.push(block);
    let draft = network.draft("basic").put("key", "value").endorsed_by(&[&network.orgs[1].peer]);
    let mut next = network.block(&source.last(), vec![draft.entry()]);
    network.sign(&mut next, 2);
    assert_eq!(commit(&channel, &source, next).await, [TxValidationCode::Valid]);
    assert_eq!(channel.config().sequence(), 1);

    // One that does not follow is invalid and changes nothing, though the orderer counts it.
    let (skipping, without_update) = (3, 2);
    for (sequence, number) in [(skipping, 4), (without_update, 5)] {
        let bad = configuration(&network, sequence, |_| {});
        let mut block = network.block(&source.last(), vec![bad]);
        network.sign(&mut block, number);
        assert_eq!(commit(&channel, &source, block).await, [TxValidationCode::InvalidConfigTransaction]);
    }
    let beside = vec![configuration(&network, 2, |_| {}), writing(&network, "key")];
    let mut block = network.block(&source.last(), beside);
    network.sign(&mut block, 6);
    let codes = commit(&channel, &source, block).await;
    assert_eq!(codes, [TxValidationCode::InvalidConfigTransaction, TxValidationCode::Valid]);
    assert_eq!(channel.config().sequence(), 1);
    peer.shutdown().await;
    drop((peer, channel));

    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    assert_eq!(channel.config().sequence(), 1, "the last valid configuration is in force after a restart");
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_disk_ends_the_channel_with_a_reason() {
    let (network, faulty) = (Network::new(), FaultyStorage::new());
    let storage: Arc<dyn Storage> = Arc::new(faulty.clone());
    let source = TestSource::new(network.genesis.clone());
    let (peer, channel, _folder) = join(&network, &storage, &source).await;
    commit(&channel, &source, network.block(&source.last(), vec![network.definitions()])).await;

    let draft = network.draft("open").put("key", "value");
    let waiting = tokio::spawn({
        let (notifier, id) = (channel.notifier().clone(), draft.id());
        async move { notifier.wait(&id).await }
    });
    faulty.set_fault(Some(Fault::Crash(faulty.changes())));
    source.push(network.block(&source.last(), vec![draft.entry()]));
    let state = until_state(&channel, |state| matches!(state, ChannelState::Failed(_))).await;
    let ChannelState::Failed(reason) = state else { panic!("{state:?}") };
    assert!(reason.starts_with("block 2 could not be committed: "), "{reason}");
    let told = tokio::time::timeout(LONG, waiting).await.unwrap().unwrap();
    assert!(matches!(told, Err(WaitError::Stopped)), "{told:?}");
    assert!(channel.ledger().transaction_place(&draft.id()).unwrap().is_none());
    assert_eq!(channel.ledger().height(), 2);
    peer.shutdown().await;
    assert!(matches!(channel.state(), ChannelState::Failed(_)));
}
