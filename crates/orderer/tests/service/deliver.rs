//! Rules of Deliver and Broadcast that the recordings do not show.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_orderer::Cutting;
use selvedge_pki::{Validity, time};
use selvedge_proto::common::{ChannelHeader, Envelope, HeaderType, Status};
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::seek_info::{SeekBehavior, SeekContentType};
use selvedge_proto::orderer::{SeekInfo, SeekPosition};

use crate::support::{
    CHANNEL, Served, World, at, from_to, header, in_time, newest, next_commit, number, oldest, sign,
};
/// A served orderer whose chain has these many blocks.
async fn with_height(world: &World, height: u64, mutual: bool) -> Served {
    let (orderer, mut source) = world.joined(Cutting::Adaptive);
    for block in 1..height {
        assert_eq!(orderer.broadcast(world.transaction("content")).await.status(), Status::Success);
        assert!(source.wait_for(block).await);
    }
    Served::start_with(orderer, mutual).await
}

#[tokio::test]
async fn ranges_end_as_in_fabric() {
    let world = World::new();
    let served = with_height(&world, 4, false).await;
    let mut client = served.client().await;
    let nowhere = Some(SeekPosition { r#type: None });
    let cases: [(_, _, &[u64], _); 9] = [
        (oldest(), newest(), &[0, 1, 2, 3], Status::Success),
        (at(1), at(2), &[1, 2], Status::Success),
        (at(3), oldest(), &[3], Status::Success),
        (newest(), newest(), &[3], Status::Success),
        (at(5), at(u64::MAX), &[], Status::NotFound),
        (at(u64::MAX), at(0), &[], Status::NotFound),
        (at(3), at(2), &[], Status::BadRequest),
        (nowhere, newest(), &[], Status::NotFound),
        (oldest(), nowhere, &[0], Status::Success),
    ];
    for (start, stop, blocks, status) in cases {
        let info = from_to(start, stop);
        let (read, end) = client.read(world.seek(&info)).await;
        assert_eq!(
            (read.iter().map(number).collect::<Vec<_>>().as_slice(), end),
            (blocks, status),
            "{info:?}"
        );
    }
    let fail = SeekInfo { behavior: SeekBehavior::FailIfNotReady.into(), ..from_to(next_commit(), at(9)) };
    assert_eq!(client.read(world.seek(&fail)).await, (Vec::new(), Status::NotFound));
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn a_reader_follows_a_growing_chain_until_the_orderer_stops() {
    let world = World::new();
    let served = with_height(&world, 2, false).await;
    let mut client = served.client().await;
    let mut follower = client.deliver().await;
    follower.send(world.seek(&from_to(oldest(), at(u64::MAX)))).await;
    let mut waiting = client.deliver().await;
    // A start right behind the newest block is the next one, so this waits.
    waiting.send(world.seek(&from_to(at(2), at(4)))).await;
    for block in 0..5 {
        if block > 1 {
            assert_eq!(client.broadcast_one(world.transaction("more")).await.0, Status::Success);
        }
        assert_eq!(number(&follower.block().await), block);
    }
    let (blocks, status) = waiting.read().await;
    assert_eq!(blocks.iter().map(number).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(status, Status::Success);

    in_time("stopping", served.orderer.stop()).await;
    assert_eq!(follower.read().await, (Vec::new(), Status::ServiceUnavailable));
    assert_eq!(follower.next().await, None);
    let answer = client.broadcast_one(world.transaction("too late")).await;
    assert_eq!(answer, (Status::ServiceUnavailable, "the ordering service has been stopped".to_owned()));
    let late = client.read(world.seek(&from_to(oldest(), newest()))).await;
    assert_eq!(late, (Vec::new(), Status::ServiceUnavailable));
    drop((client, waiting, follower));
    served.end().await;
}

#[tokio::test]
async fn headers_come_without_envelopes_but_configurations_in_whole() {
    let world = World::new();
    let served = with_height(&world, 2, false).await;
    let mut client = served.client().await;
    let info =
        SeekInfo { content_type: SeekContentType::HeaderWithSig.into(), ..from_to(oldest(), newest()) };
    let (blocks, status) = client.read(world.seek(&info)).await;
    assert_eq!(status, Status::Success);
    assert_eq!(blocks[0], world.genesis);
    assert_eq!(blocks[1].data, None);
    world.config().verify_block(&blocks[1]).expect("the signature covers the header alone");
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn under_mutual_tls_a_seek_names_its_certificate() {
    let world = World::new();
    let served = with_height(&world, 2, true).await;
    let (mut client, hash) = served.client_with_certificate().await;
    let (_, another) = served.client_with_certificate().await;
    for (hash, status) in
        [(hash, Status::Success), (another, Status::BadRequest), (Bytes::new(), Status::BadRequest)]
    {
        let usual = header(HeaderType::DeliverSeekInfo, CHANNEL);
        let header = ChannelHeader { tls_cert_hash: hash, ..usual };
        let seek = sign(&world.alice, &header, from_to(newest(), newest()).encode_to_vec());
        assert_eq!(client.read(seek).await.1, status);
    }
    drop(client);
    served.end().await;
}

/// Whoever has a certificate that expires in so many seconds, and when that is.
fn short_lived(world: &World, seconds: i64) -> (SigningIdentity, SystemTime) {
    let now = time::OffsetDateTime::now_utc();
    let end = now + time::Duration::seconds(seconds);
    let validity = Validity { not_before: now, not_after: end };
    (world.org1.member_until("client", validity), end.into())
}

#[tokio::test]
async fn a_reader_whose_certificate_expires_reads_no_further() {
    let world = World::new();
    let served = with_height(&world, 2, false).await;
    let mut client = served.client().await;
    // On a machine so slow that the certificate is over before the first answer, a longer life is tried.
    for seconds in [2, 10, 30] {
        let (who, end) = short_lived(&world, seconds);
        let follow = from_to(newest(), at(u64::MAX)).encode_to_vec();
        let seek = sign(&who, &header(HeaderType::DeliverSeekInfo, CHANNEL), follow);
        let mut call = client.deliver().await;
        call.send(seek).await;
        let first = call.next().await.and_then(|answer| answer.r#type);
        if matches!(first, Some(Answer::Status(_))) {
            continue;
        }
        tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)).await;
        assert_eq!(client.broadcast_one(world.transaction("next")).await.0, Status::Success);
        assert_eq!(call.read().await, (Vec::new(), Status::Forbidden));
        assert_eq!(call.next().await, None);
        drop((call, client));
        return served.end().await;
    }
    panic!("no certificate lived long enough");
}

#[tokio::test]
async fn one_stream_carries_many_envelopes_up_to_the_first_refusal() {
    let world = World::new();
    let served = with_height(&world, 1, false).await;
    let mut client = served.client().await;
    let mut call = client.broadcast().await;
    for _ in 0..3 {
        call.send(world.transaction("good")).await;
        assert_eq!(call.next().await.expect("an answer").status(), Status::Success);
    }
    call.send(Envelope::default()).await;
    assert_eq!(call.next().await.expect("an answer").status(), Status::BadRequest);
    assert_eq!(call.next().await, None);
    drop((call, client));
    served.end().await;
}

/// The channel's MSPs remember certificates that they have read. That one is over counts all the same.
#[tokio::test]
async fn a_member_whose_certificate_is_over_has_nothing_ordered() {
    let world = World::new();
    let served = with_height(&world, 1, false).await;
    let mut client = served.client().await;
    // It was valid when the authority was there, so that nothing but its end speaks against it.
    let valid = Validity::default();
    let over = Validity { not_after: valid.not_before + time::Duration::minutes(1), ..valid };
    let who = world.org1.member_until("client", over);
    for _ in 0..3 {
        let envelope = sign(&who, &header(HeaderType::EndorserTransaction, CHANNEL), "content");
        let answer = client.broadcast_one(envelope).await;
        assert_eq!(answer, (Status::BadRequest, "broadcast client identity expired".to_owned()));
    }
    drop(client);
    served.end().await;
}

#[tokio::test]
async fn a_certificate_that_nobody_knows_counts_as_expired_too() {
    let world = World::new();
    let served = with_height(&world, 1, false).await;
    let mut client = served.client().await;
    let who = world.org3.member_until("client", Validity::expired());
    let envelope = sign(&who, &header(HeaderType::EndorserTransaction, CHANNEL), "content");
    let answer = client.broadcast_one(envelope).await;
    assert_eq!(answer, (Status::BadRequest, "broadcast client identity expired".to_owned()));
    drop(client);
    served.end().await;
}
