//! Failing disks: what was given out stays, and everybody learns that the chain has halted.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::StreamExt;
use selvedge_ledger::source::{BlockSource, SourceError};
use selvedge_ledger::storage::{Fault, FaultyStorage};
use selvedge_orderer::{ChainSource, Cutting, Orderer};
use selvedge_proto::common::{Block, Status};

use crate::support::{Served, World, from_to, in_time, newest, oldest};

const ENVELOPES: u64 = 4;

fn joined(world: &World, storage: &FaultyStorage) -> (Orderer, ChainSource) {
    let orderer = world.orderer(Arc::new(storage.clone()), PathBuf::from("orderer"), Cutting::Adaptive);
    let source = orderer.join(&world.genesis).expect("the channel");
    (orderer, source)
}

/// Sends envelopes one after the other and returns the blocks that a reader was given meanwhile.
async fn order(world: &World, orderer: &Orderer, source: &ChainSource) -> Vec<Block> {
    let mut stream = source.blocks(0);
    let mut given = vec![stream.next().await.expect("a genesis block").expect("a genesis block")];
    for _ in 0..ENVELOPES {
        if orderer.broadcast(world.transaction("content")).await.status() != Status::Success {
            break;
        }
        match in_time("a block", stream.next()).await {
            Some(Ok(block)) => given.push(block),
            Some(Err(SourceError::Unavailable { .. })) => break,
            other => panic!("{other:?} where a block or its lack was expected"),
        }
    }
    given
}

#[tokio::test]
async fn a_crash_keeps_every_block_that_was_given_out() {
    let world = World::new();
    let whole = FaultyStorage::new();
    let (orderer, source) = joined(&world, &whole);
    let begun = whole.changes();
    assert_eq!(order(&world, &orderer, &source).await.len() as u64, ENVELOPES + 1);
    orderer.stop().await;
    assert!(whole.changes() > begun);

    for change in begun..whole.changes() {
        let storage = FaultyStorage::new();
        let (orderer, source) = joined(&world, &storage);
        storage.set_fault(Some(Fault::Crash(change)));
        let given = order(&world, &orderer, &source).await;
        assert!((given.len() as u64) <= ENVELOPES, "change {change} fails");
        orderer.stop().await;
        for seed in 0..4 {
            let (orderer, source) = joined(&world, &storage.after_power_loss(seed));
            assert!(source.height() >= given.len() as u64, "change {change}, seed {seed}");
            let next = source.height();
            assert_eq!(orderer.broadcast(world.transaction("after")).await.status(), Status::Success);
            let all: Vec<Block> = source
                .blocks(0)
                .take(usize::try_from(next + 1).expect("few blocks"))
                .map(|block| block.expect("a block"))
                .collect()
                .await;
            assert_eq!(all[..given.len()], given, "change {change}, seed {seed}");
            world.check_chain(&all);
            orderer.stop().await;
        }
    }
}

#[tokio::test]
async fn a_crash_while_a_channel_begins_can_be_repeated() {
    let world = World::new();
    let whole = FaultyStorage::new();
    let (orderer, _) = joined(&world, &whole);
    let begun = whole.changes();
    orderer.stop().await;
    assert!(begun > 0);

    for change in 0..begun {
        for seed in 0..8 {
            let storage = FaultyStorage::new();
            storage.set_fault(Some(Fault::Crash(change)));
            let orderer =
                world.orderer(Arc::new(storage.clone()), PathBuf::from("orderer"), Cutting::Adaptive);
            orderer.join(&world.genesis).expect_err("the disk fails");
            drop(orderer);
            // Either the machine stops, or only the process: then what it wrote is there, but not yet safe.
            let storage = if seed == 0 { storage } else { storage.after_power_loss(seed) };
            storage.set_fault(None);
            let (orderer, source) = joined(&world, &storage);
            let given = order(&world, &orderer, &source).await;
            assert_eq!(given.len() as u64, ENVELOPES + 1, "change {change}, seed {seed}");
            world.check_chain(&given);
            orderer.stop().await;
        }
    }
}

#[tokio::test]
async fn a_failing_log_halts_the_chain_and_everybody_learns_of_it() {
    let world = World::new();
    let storage = FaultyStorage::new();
    let (orderer, mut source) = joined(&world, &storage);
    let served = Served::start(orderer).await;
    let mut client = served.client().await;
    let mut follower = client.deliver().await;
    follower.send(world.seek(&from_to(newest(), crate::support::at(u64::MAX)))).await;
    assert_eq!(follower.block().await, world.genesis);

    storage.set_fault(Some(Fault::Fail(storage.changes())));
    // It is in line, so it is accepted; then its block cannot be written.
    assert_eq!(client.broadcast_one(world.transaction("lost")).await.0, Status::Success);
    assert_eq!(follower.read().await, (Vec::new(), Status::ServiceUnavailable));
    assert!(!source.wait_for(1).await);
    assert!(source.failure().is_some_and(|reason| reason.contains("a fault was injected")));
    let (status, info) = client.broadcast_one(world.transaction("refused")).await;
    assert_eq!(status, Status::ServiceUnavailable);
    assert!(info.starts_with("the chain has halted: "), "{info}");
    assert_eq!(client.read(world.seek(&from_to(oldest(), newest()))).await.1, Status::ServiceUnavailable);
    let mut blocks = source.blocks(1);
    assert!(matches!(blocks.next().await, Some(Err(SourceError::Unavailable { .. }))));
    assert!(blocks.next().await.is_none());
    drop((client, follower));
    served.end().await;
}
