//! Nobody who waits for a transaction is forgotten, whenever the wait begins.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod committer_support;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use committer_support::source::TestSource;
use committer_support::{LONG, Network};
use selvedge_ledger::storage::MemoryStorage;
use selvedge_peer::channel::Channel;
use selvedge_peer::node::Peer;
use selvedge_peer::notifier::WaitError;
use selvedge_proto::protos::TxValidationCode;

async fn join(network: &Network) -> (Peer, Arc<Channel>, TestSource, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = TestSource::new(network.genesis.clone());
    let peer = network.peer(0, Arc::new(MemoryStorage::new()), folder.path());
    let channel = peer.join(network.genesis.clone(), Arc::new(source.clone())).await.unwrap();
    (peer, channel, source, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waits_that_begin_before_during_and_after_a_commit_all_end() {
    let network = Network::new();
    let (peer, channel, source, _folder) = join(&network).await;
    source.push(network.block(&source.last(), vec![network.definitions()]));
    let mut waits = tokio::task::JoinSet::new();
    for number in 2..42_u64 {
        let drafts: Vec<_> = (0..3).map(|_| network.draft("open").put("key", "value")).collect();
        let wait = |id: String, patience: u32| {
            let notifier = channel.notifier().clone();
            async move {
                for _ in 0..patience {
                    tokio::task::yield_now().await;
                }
                (number, notifier.wait(&id).await)
            }
        };
        for draft in &drafts {
            waits.spawn(wait(draft.id(), 0));
        }
        source.push(network.block(&source.last(), drafts.iter().map(|draft| draft.entry()).collect()));
        for draft in &drafts {
            for patience in [0, 10, 1000] {
                waits.spawn(wait(draft.id(), patience));
            }
        }
    }
    let mut ended = 0;
    while let Some(wait) = tokio::time::timeout(LONG, waits.join_next()).await.expect("in time") {
        let (number, status) = wait.unwrap();
        let status = status.unwrap();
        assert_eq!((status.code, status.block), (TxValidationCode::Valid, number));
        ended += 1;
    }
    assert_eq!(ended, 40 * 12);
    assert_eq!(channel.notifier().waiting(), 0);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_given_up_leaves_nothing_behind() {
    let network = Network::new();
    let (peer, channel, _source, _folder) = join(&network).await;
    for id in ["one", "one", "two"] {
        let waited = tokio::time::timeout(Duration::from_millis(1), channel.notifier().wait(id)).await;
        assert!(waited.is_err());
    }
    assert_eq!(channel.notifier().waiting(), 0);
    peer.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_are_limited_and_end_with_the_channel() {
    let network = Network::new();
    let (peer, channel, source, _folder) = join(&network).await;
    let mut blocks = channel.notifier().follow();
    let definitions = network.definitions();
    let committed = network.block(&source.last(), vec![definitions]);
    source.push(committed);
    let committed = committer_support::until_told(&mut blocks, 1).await;
    let known = committed.transactions().next().unwrap().0.unwrap().to_owned();

    let mut context = Context::from_waker(Waker::noop());
    let mut waits = Vec::new();
    let refused = loop {
        let notifier = channel.notifier().clone();
        let id = format!("transaction {}", waits.len() % 100);
        let mut wait: Pin<Box<dyn Future<Output = _> + Send>> =
            Box::pin(async move { notifier.wait(&id).await });
        match wait.as_mut().poll(&mut context) {
            Poll::Pending => waits.push(wait),
            Poll::Ready(ended) => break ended,
        }
    };
    assert!(matches!(refused, Err(WaitError::TooMany { limit }) if limit == waits.len()), "{refused:?}");
    let status = channel.notifier().wait(&known).await.unwrap();
    assert_eq!(status.block, 1, "what is committed is told all the same");

    waits.truncate(5);
    assert_eq!(channel.notifier().waiting(), 5);
    peer.shutdown().await;
    for wait in waits {
        assert!(matches!(wait.await, Err(WaitError::Stopped)));
    }
    assert!(matches!(channel.notifier().wait("another").await, Err(WaitError::Stopped)));
    assert_eq!(channel.notifier().waiting(), 0);
    assert_eq!(channel.notifier().wait(&known).await.unwrap().block, 1);
}
