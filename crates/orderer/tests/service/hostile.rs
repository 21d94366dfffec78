//! Hostile envelopes and seeks: whatever comes, there is an answer.

use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message;
use selvedge_orderer::Cutting;
use selvedge_proto::common::{Envelope, HeaderType, Status};
use selvedge_proto::orderer::seek_info::{SeekBehavior, SeekErrorResponse};
use selvedge_proto::orderer::{SeekInfo, SeekPosition};
use tokio::runtime::Runtime;

use crate::support::{
    CHANNEL, Client, Served, World, at, from_to, header, newest, next_commit, number, oldest, sign_payload,
};

/// Blocks of the chain, the genesis block included.
const HEIGHT: u64 = 4;

/// A live orderer, and one that has stopped, so that no seek waits there.
struct Bench {
    runtime: Runtime,
    world: World,
    live: Client,
    stopped: Client,
    _served: [Served; 2],
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime");
    let world = World::new();
    let started = runtime.block_on(async {
        let mut served = Vec::new();
        for _ in 0..2 {
            let (orderer, mut source) = world.joined(Cutting::Adaptive);
            for block in 1..HEIGHT {
                assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
                assert!(source.wait_for(block).await);
            }
            served.push(Served::start(orderer).await);
        }
        served[1].orderer.stop().await;
        let clients = [served[0].client().await, served[1].client().await];
        (served, clients)
    });
    let (served, [live, stopped]) = started;
    let Ok(served) = <[Served; 2]>::try_from(served) else { panic!("two orderers") };
    Bench { runtime, world, live, stopped, _served: served }
});

/// A change of some bytes: one of them another, some left out, or some put in.
#[derive(Clone, Debug)]
enum Change {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip(place, mask) if !bytes.is_empty() => {
                let place = place.index(bytes.len());
                bytes[place] ^= mask;
            }
            Self::Flip(..) => {}
            Self::Cut(place) => bytes.truncate(place.index(bytes.len() + 1)),
            Self::Insert(place, more) => {
                let place = place.index(bytes.len() + 1);
                bytes.splice(place..place, more.iter().copied());
            }
        }
    }
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (index(), 1..=u8::MAX).prop_map(|(place, mask)| Change::Flip(place, mask)),
        1 => index().prop_map(Change::Cut),
        1 => (index(), prop::collection::vec(any::<u8>(), 1..20))
            .prop_map(|(place, more)| Change::Insert(place, more)),
    ]
}

/// The envelope with its payload or its signature changed; a changed payload may be signed anew.
fn changed(world: &World, mut envelope: Envelope, changes: &[Change], target: u8) -> Envelope {
    let field = if target == 0 { &mut envelope.signature } else { &mut envelope.payload };
    let mut bytes = field.to_vec();
    changes.iter().for_each(|change| change.apply(&mut bytes));
    *field = bytes.into();
    if target == 2 { sign_payload(&world.alice, envelope.payload) } else { envelope }
}

fn position() -> impl Strategy<Value = Option<SeekPosition>> {
    prop_oneof![
        Just(None),
        Just(Some(SeekPosition { r#type: None })),
        Just(oldest()),
        Just(newest()),
        Just(next_commit()),
        (0..HEIGHT + 3).prop_map(at),
        any::<u64>().prop_map(at),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_envelope_is_answered(changes in prop::collection::vec(change(), 0..6), target in 0..3u8) {
        let bench = &*BENCH;
        let envelope = changed(&bench.world, bench.world.transaction("content"), &changes, target);
        let mut client = bench.stopped.clone();
        let (status, info) = bench.runtime.block_on(client.broadcast_one(envelope));
        prop_assert_ne!(status, Status::Success);
        prop_assert!(!info.is_empty());
    }

    #[test]
    fn every_damaged_seek_is_answered(changes in prop::collection::vec(change(), 0..6), target in 0..3u8) {
        let bench = &*BENCH;
        let info = SeekInfo {
            error_response: SeekErrorResponse::BestEffort.into(),
            ..from_to(oldest(), at(HEIGHT - 1))
        };
        let envelope = changed(&bench.world, bench.world.seek(&info), &changes, target);
        let mut client = bench.stopped.clone();
        let (blocks, status) = bench.runtime.block_on(client.read(envelope));
        prop_assert!(status != Status::Success || !blocks.is_empty());
    }

    #[test]
    fn every_range_ends(
        start in position(),
        stop in position(),
        content_type in any::<i32>(),
        error_response in any::<i32>(),
    ) {
        let bench = &*BENCH;
        let behavior = SeekBehavior::FailIfNotReady.into();
        let info = SeekInfo { start, stop, behavior, error_response, content_type };
        let envelope = crate::support::sign(
            &bench.world.alice,
            &header(HeaderType::DeliverSeekInfo, CHANNEL),
            info.encode_to_vec(),
        );
        let mut client = bench.live.clone();
        let (blocks, status) = bench.runtime.block_on(client.read(envelope));
        let numbers: Vec<u64> = blocks.iter().map(number).collect();
        if let Some(first) = numbers.first() {
            let expected: Vec<u64> = (*first..).take(numbers.len()).collect();
            prop_assert_eq!(&numbers, &expected);
        }
        match status {
            Status::Success => prop_assert!(!numbers.is_empty()),
            // It reached the end of the chain without meeting its stop, or began beyond it.
            Status::NotFound => prop_assert!(numbers.last().is_none_or(|last| *last == HEIGHT - 1)),
            Status::BadRequest => prop_assert!(numbers.is_empty()),
            other => prop_assert!(false, "{other:?}"),
        }
    }
}
