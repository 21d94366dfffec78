//! What becomes of envelopes: blocks, in order, cut by count, size and time, and kept over restarts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use prost::Message;
use selvedge_ledger::source::BlockSource;
use selvedge_ledger::storage::{DiskStorage, MemoryStorage};
use selvedge_orderer::{ChainSource, Cut, Cutting, OrdererError};
use selvedge_proto::common::{Block, Envelope, Payload, Status};

use crate::support::{Batch, CHANNEL, Served, World, from_to, in_time, newest, oldest};

/// The first blocks of a chain, once there are so many.
async fn blocks(source: &ChainSource, count: usize) -> Vec<Block> {
    let blocks = source.blocks(0).take(count).map(|block| block.expect("a block"));
    in_time("reading blocks", blocks.collect()).await
}

/// What a block's transactions hold.
fn contents(block: &Block) -> Vec<Bytes> {
    let entries = block.data.as_ref().expect("data").data.iter().cloned();
    let payload = |entry| Envelope::decode(entry).and_then(|envelope| Payload::decode(envelope.payload));
    entries.map(|entry| payload(entry).expect("a payload").data).collect()
}

fn sizes(blocks: &[Block]) -> Vec<usize> {
    blocks[1..].iter().map(|block| contents(block).len()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_senders_lose_and_reorder_nothing() {
    const SENDERS: usize = 8;
    const EACH: usize = 25;
    let world = Arc::new(World::new());
    let (orderer, source) = world.joined(Cutting::Adaptive);
    let served = Served::start(orderer).await;
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..SENDERS {
        let (mut client, world) = (served.client().await, Arc::clone(&world));
        tasks.spawn(async move {
            let (requests, mut answers) = client.broadcast().await.split();
            let sending = async {
                for count in 0..EACH {
                    requests.send(world.transaction(format!("{sender} {count:02}"))).await.expect("a stream");
                }
                drop(requests);
            };
            let receiving = async {
                let mut good = 0;
                while let Some(answer) = answers.message().await.expect("an answer") {
                    assert_eq!(answer.status(), Status::Success);
                    good += 1;
                }
                good
            };
            assert_eq!(tokio::join!(sending, receiving).1, EACH);
        });
    }
    in_time("sending", tasks.join_all()).await;
    served.end().await;

    // The chain has stopped, so the source ends by itself.
    let all: Vec<_> = source.blocks(0).map(|block| block.expect("a block")).collect().await;
    world.check_chain(&all);
    let ordered: Vec<Bytes> = all[1..].iter().flat_map(contents).collect();
    assert_eq!(ordered.len(), SENDERS * EACH);
    for sender in 0..SENDERS {
        let prefix = format!("{sender} ");
        let own: Vec<_> = ordered.iter().filter(|text| text.starts_with(prefix.as_bytes())).collect();
        let expected: Vec<_> = (0..EACH).map(|count| format!("{sender} {count:02}")).collect();
        assert_eq!(own, expected.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn blocks_that_are_closed_by_hand_wait_for_it() {
    let world = World::with_batch(Batch { messages: 3, ..Batch::default() });
    let (orderer, source) = world.joined(Cutting::Manual);
    let mut pending = orderer.pending(CHANNEL).expect("the channel");
    assert_eq!(orderer.cut(CHANNEL).await.expect("a chain"), None, "nothing waits");
    for text in ["a", "b"] {
        assert_eq!(orderer.broadcast(world.transaction(text)).await.status(), Status::Success);
    }
    in_time("two envelopes", pending.wait_for(|pending| *pending == 2)).await.expect("a chain");
    let cut = in_time("a block", orderer.cut(CHANNEL)).await.expect("a chain");
    assert_eq!(cut, Some(Cut { block: 1, envelopes: 2 }));
    // What is in line belongs to the block, and a full block is closed unasked.
    for text in ["c", "d", "e", "f"] {
        assert_eq!(orderer.broadcast(world.transaction(text)).await.status(), Status::Success);
    }
    in_time("one envelope", pending.wait_for(|pending| *pending == 1)).await.expect("a chain");
    assert_eq!(sizes(&blocks(&source, 3).await), [2, 3]);
    // The end loses nothing.
    orderer.stop().await;
    assert_eq!(sizes(&blocks(&source, 4).await), [2, 3, 1]);
    assert!(matches!(orderer.cut(CHANNEL).await, Err(OrdererError::Stopped)));
    assert!(matches!(orderer.cut("elsewhere").await, Err(OrdererError::UnknownChannel(_))));
}

#[tokio::test]
async fn a_restart_continues_the_chain() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut earlier = Vec::new();
    for round in 1..=3 {
        let orderer = world.orderer(Arc::new(DiskStorage), folder.path().to_owned(), Cutting::Adaptive);
        let source = orderer.join(&world.genesis).expect("the channel");
        assert_eq!(blocks(&source, earlier.len()).await, earlier);
        assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
        earlier = blocks(&source, round + 1).await;
        world.check_chain(&earlier);

        let other = world.orderer(Arc::new(DiskStorage), folder.path().to_owned(), Cutting::Adaptive);
        assert!(matches!(other.join(&world.genesis), Err(OrdererError::Log(_))), "one process at a time");
        orderer.stop().await;
    }
    let stranger = World::new();
    let orderer = world.orderer(Arc::new(DiskStorage), folder.path().to_owned(), Cutting::Adaptive);
    assert!(matches!(orderer.join(&stranger.genesis), Err(OrdererError::OtherGenesis(_))));
}

#[tokio::test]
async fn only_a_genesis_block_begins_a_channel() {
    let world = World::new();
    let orderer = world.orderer(Arc::new(MemoryStorage::new()), PathBuf::from("o"), Cutting::Adaptive);
    let mut later = world.genesis.clone();
    later.header.as_mut().expect("a header").number = 1;
    assert!(matches!(orderer.join(&later), Err(OrdererError::Genesis { .. })));
    let mut damaged = world.genesis.clone();
    damaged.header.as_mut().expect("a header").data_hash = Bytes::from_static(&[0; 32]);
    assert!(matches!(orderer.join(&damaged), Err(OrdererError::Genesis { .. })));
    assert!(matches!(orderer.join(&Block::default()), Err(OrdererError::Config(_))));
    orderer.join(&world.genesis).expect("a new channel");
    assert!(matches!(orderer.join(&world.genesis), Err(OrdererError::ChannelExists(_))));
    orderer.stop().await;
    assert!(matches!(orderer.join(&world.genesis), Err(OrdererError::Stopped)));
}

#[tokio::test]
async fn stopping_orders_what_is_in_line() {
    let world = World::new();
    let (orderer, source) = world.joined(Cutting::Interval(Duration::from_secs(3600)));
    for _ in 0..3 {
        assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
    }
    in_time("stopping", orderer.stop()).await;
    let all: Vec<_> = source.blocks(0).map(|block| block.expect("a block")).collect().await;
    world.check_chain(&all);
    assert_eq!(sizes(&all), [3]);
    let answer = orderer.broadcast(world.transaction("content")).await;
    assert_eq!((answer.status(), source.failure()), (Status::ServiceUnavailable, None));
    in_time("stopping twice", orderer.stop()).await;
}

/// Both envelopes are in line before the chain's task runs, as the runtime has one thread and nothing here waits.
#[tokio::test]
async fn regression_what_a_full_block_leaves_over_is_not_forgotten() {
    let world = World::with_batch(Batch { preferred: 3000, ..Batch::default() });
    let (orderer, source) = world.joined(Cutting::Adaptive);
    for _ in 0..2 {
        let half = world.transaction(vec![7; 1000]);
        assert_eq!(orderer.broadcast(half).await.status(), Status::Success);
    }
    let all = blocks(&source, 3).await;
    assert_eq!(sizes(&all), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_interval_begins_with_a_blocks_first_envelope() {
    let world = World::with_batch(Batch { messages: 3, ..Batch::default() });
    let (orderer, source) = world.joined(Cutting::Interval(Duration::from_secs(2)));
    let send = async |count: usize| {
        for _ in 0..count {
            assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
        }
    };
    let pass = async |milliseconds| tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    // Long after the start, so that no timer of the start is taken for that of the envelope.
    pass(5000).await;
    send(1).await;
    pass(1500).await;
    send(1).await;
    pass(499).await;
    assert_eq!(source.height(), 1);
    pass(2).await;
    assert_eq!(source.height(), 2);
    // A full block does not wait, and what comes after it has an interval of its own.
    send(4).await;
    pass(1).await;
    assert_eq!(source.height(), 3);
    pass(1998).await;
    assert_eq!(source.height(), 3);
    pass(2).await;
    assert_eq!(source.height(), 4);
    let all = blocks(&source, 4).await;
    assert_eq!(sizes(&all), [2, 3, 1]);
    world.check_chain(&all);
}

#[tokio::test]
async fn a_large_envelope_has_a_block_of_its_own() {
    let world = World::new();
    let (orderer, source) = world.joined(Cutting::Interval(Duration::from_secs(3600)));
    let served = Served::start(orderer).await;
    let mut client = served.client().await;
    let large = vec![7; 9 << 20];
    assert_eq!(client.broadcast_one(world.transaction("small")).await.0, Status::Success);
    assert_eq!(client.broadcast_one(world.transaction(large.clone())).await.0, Status::Success);
    let all = blocks(&source, 3).await;
    assert_eq!(contents(&all[2]), [large]);
    let (read, status) = client.read(world.seek(&from_to(oldest(), newest()))).await;
    assert_eq!(status, Status::Success);
    assert!(read == all, "what is delivered is what is in the log");
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn the_largest_envelope_is_as_large_as_the_configuration_says() {
    let mut world = World::new();
    let envelope = world.transaction(vec![7; 5000]);
    let size = u32::try_from(envelope.payload.len() + envelope.signature.len()).expect("a small size");
    for absolute in [size, size - 1] {
        world.set_batch(Batch { absolute, preferred: 1000, ..Batch::default() });
        let (orderer, _) = world.joined(Cutting::Adaptive);
        let answer = orderer.broadcast(envelope.clone()).await;
        if absolute == size {
            assert_eq!(answer.status(), Status::Success);
        } else {
            let info =
                format!("message payload is {size} bytes and exceeds maximum allowed {absolute} bytes");
            assert_eq!((answer.status(), answer.info), (Status::BadRequest, info));
        }
    }
}
