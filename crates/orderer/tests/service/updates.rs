//! Configuration updates, beside ordinary envelopes.

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::channel::update::compute;
use selvedge_identity::channel::{config_envelope, is_config_block};
use selvedge_ledger::block;
use selvedge_orderer::Cutting;
use selvedge_proto::common::{
    ConfigSignature, ConfigUpdateEnvelope, Envelope, HeaderType, SignatureHeader, Status,
};
use selvedge_proto::orderer::{BatchSize, BatchTimeout};

use crate::support::{CHANNEL, World, header, in_time, sign};

/// Long enough that no block is ever closed by it.
const NEVER: Duration = Duration::from_secs(3600);

/// An update of a value of the orderer's, made for the world's genesis block and signed by its administrator.
fn update(world: &World, name: &str, value: &impl Message) -> Envelope {
    let before = world.config().config().clone();
    let mut after = before.clone();
    let orderer = after.channel_group.as_mut().and_then(|root| root.groups.get_mut("Orderer"));
    orderer.and_then(|group| group.values.get_mut(name)).expect("a value").value =
        value.encode_to_vec().into();
    let update = compute(CHANNEL, &before, &after).expect("they differ");
    let config_update: Bytes = update.encode_to_vec().into();
    let admin = world.orderers.member("admin");
    let signature_header = SignatureHeader { creator: admin.serialized().clone(), nonce: "n".into() };
    let signature_header: Bytes = signature_header.encode_to_vec().into();
    let signed = [signature_header.as_ref(), &config_update].concat();
    let signature = admin.sign(&signed).expect("a signature");
    let signatures = vec![ConfigSignature { signature_header, signature }];
    let envelope = ConfigUpdateEnvelope { config_update, signatures };
    sign(&admin, &header(HeaderType::ConfigUpdate, CHANNEL), envelope.encode_to_vec())
}

fn batch_size(world: &World, messages: u32) -> Envelope {
    let size =
        BatchSize { max_message_count: messages, absolute_max_bytes: 1 << 20, preferred_max_bytes: 1 << 19 };
    update(world, "BatchSize", &size)
}

/// Two updates made for one configuration cannot both be right; whichever is first wins, whether the second is refused
/// at once or found out in line.
#[tokio::test]
async fn of_two_updates_of_one_configuration_one_wins() {
    let world = World::new();
    let (orderer, source) = world.joined(Cutting::Interval(NEVER));
    orderer.broadcast(world.transaction("pending")).await;
    let both = [3, 4].map(|messages| orderer.broadcast(batch_size(&world, messages)));
    let answers = futures_util::future::join_all(both).await;
    assert!(answers.iter().any(|answer| answer.status() == Status::Success), "{answers:?}");
    orderer.broadcast(world.transaction("afterwards")).await;
    in_time("stopping", orderer.stop()).await;

    let mut blocks = Vec::new();
    for number in 0..source.height() {
        blocks.push(source.block(number).await.expect("readable").expect("there"));
    }
    let sizes: Vec<usize> =
        blocks.iter().map(|block| block.data.as_ref().map_or(0, |data| data.data.len())).collect();
    assert_eq!(sizes, [1, 1, 1, 1], "genesis, what was pending, one configuration, what came afterwards");
    assert!(is_config_block(&blocks[2]));
    let (_, contents) = config_envelope(&blocks[2]).expect("a configuration");
    assert_eq!(contents.config.expect("a configuration").sequence, 1);
    let named: Vec<_> = blocks.iter().map(block::last_config_of).collect();
    assert_eq!(named, [Some(0), Some(0), Some(2), Some(2)]);
}

/// The peers of the same process count on finding there what the orderer has verified.
#[tokio::test]
async fn verified_signatures_are_remembered_before_and_after_an_update() {
    let world = World::new();
    let (orderer, _source) = world.joined(Cutting::Interval(NEVER));
    assert_eq!(orderer.broadcast(world.transaction("before")).await.status(), Status::Success);
    assert_eq!(world.signatures.len(), 1);
    assert_eq!(orderer.broadcast(batch_size(&world, 3)).await.status(), Status::Success);
    // It is behind the update in line.
    in_time("cutting", orderer.cut(CHANNEL)).await.expect("the channel runs");
    let known = world.signatures.len();
    assert_eq!(orderer.broadcast(world.transaction("after")).await.status(), Status::Success);
    assert_eq!(world.signatures.len(), known + 1);
    in_time("stopping", orderer.stop()).await;
}

/// What waits in line when a configuration comes has to satisfy that one too.
#[tokio::test]
async fn what_waits_in_line_is_checked_by_the_new_configuration() {
    let world = World::new();
    let (orderer, source) = world.joined(Cutting::Interval(NEVER));
    let small = BatchSize { max_message_count: 9, absolute_max_bytes: 5000, preferred_max_bytes: 5000 };
    // The chain's task has not run when both are in line: the runtime has one thread, and nothing here waits.
    assert_eq!(orderer.broadcast(update(&world, "BatchSize", &small)).await.status(), Status::Success);
    let large = orderer.broadcast(world.transaction(vec![7; 9000])).await;
    let then = orderer.broadcast(world.transaction("small")).await;
    assert_eq!((large.status(), then.status()), (Status::Success, Status::Success));
    in_time("stopping", orderer.stop()).await;
    assert_eq!(source.height(), 3);
    let last = source.block(2).await.expect("readable").expect("there");
    assert_eq!(last.data.expect("data").data.len(), 1, "the large one is dropped");
}

#[tokio::test(start_paused = true)]
async fn a_batch_timeout_is_that_of_the_channel() {
    let world = World::new();
    let (orderer, source) = world.joined(Cutting::BatchTimeout);
    let pass = async |milliseconds| tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    let send = async || {
        assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
    };
    send().await;
    pass(1998).await;
    assert_eq!(source.height(), 1, "the genesis block says 2s");
    pass(4).await;
    assert_eq!(source.height(), 2);

    let timeout = BatchTimeout { timeout: "10s".to_owned() };
    let answer = orderer.broadcast(update(&world, "BatchTimeout", &timeout)).await;
    assert_eq!((answer.status(), answer.info), (Status::Success, String::new()));
    pass(1).await;
    assert_eq!(source.height(), 3, "a configuration does not wait");
    send().await;
    pass(9998).await;
    assert_eq!(source.height(), 3);
    pass(4).await;
    assert_eq!(source.height(), 4);
}
