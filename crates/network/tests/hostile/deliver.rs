//! The three calls of `protos.Deliver`, and the orderer's own.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::{high_s, spoilt};
use selvedge_identity::SigningIdentity;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, Status};
use selvedge_proto::orderer::seek_info::SeekBehavior;
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{SeekInfo, SeekPosition, SeekSpecified};
use selvedge_proto::protos::DeliverResponse;
use selvedge_proto::protos::deliver_response::Type;
use tonic::Code;

use crate::recorded;
use crate::support::forge::{channel_header, encode, envelope, expired, foreign, sign_payload};
use crate::support::line::{Answer, Line};
use crate::{STAGE, Stage, Tally};

pub(crate) const DELIVER: &str = "/protos.Deliver/Deliver";
pub(crate) const FILTERED: &str = "/protos.Deliver/DeliverFiltered";
pub(crate) const WITH_PRIVATE_DATA: &str = "/protos.Deliver/DeliverWithPrivateData";
pub(crate) const ORDERER: &str = "/orderer.AtomicBroadcast/Deliver";

fn seek_info() -> SeekInfo {
    let at = |number| Some(SeekPosition { r#type: Some(Position::Specified(SeekSpecified { number })) });
    let behavior = SeekBehavior::FailIfNotReady.into();
    SeekInfo { start: at(1), stop: at(2), behavior, ..SeekInfo::default() }
}

fn seek(stage: &Stage) -> Envelope {
    envelope(&stage.identity, &channel_header(HeaderType::DeliverSeekInfo), encode(&seek_info()))
}

/// The status at the end. The orderer's answers have the same form as a peer's, as far as this goes.
fn status(answer: &Answer) -> Status {
    let last = answer.messages.last().unwrap_or_else(|| panic!("{answer:?}"));
    match DeliverResponse::decode(last.clone()).unwrap().r#type {
        Some(Type::Status(status)) => Status::try_from(status).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A good seek brings its blocks, on the same connection, which must be the first one still.
pub(crate) async fn delivers(stage: &Stage, line: &Line, path: &str) {
    let answer = line.call(path, &[encode(&seek(stage))], usize::MAX).await;
    assert_eq!((status(&answer), answer.messages.len()), (Status::Success, 3), "{path}: blocks 1 and 2");
    assert!(line.is_unbroken(), "{path}: the connection was lost");
}

async fn spoilt_seeks_are_answered(stage: &Stage, line: &Line, path: &str) {
    let good = seek(stage);
    delivers(stage, line, path).await;
    let inside = spoilt(&good.payload).into_iter().map(|spoilt| {
        let what = format!("payload {} {:?}", spoilt.field, spoilt.spoil);
        (what, encode(&sign_payload(&stage.identity, spoilt.bytes)))
    });
    let around = spoilt(&encode(&good)).into_iter().filter(|spoilt| !spoilt.field.contains('.'));
    let around = around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
    let mut tally = Tally::default();
    for (what, request) in inside.chain(around) {
        let answer = line.call(path, &[request], usize::MAX).await;
        let (code, message) = answer.ended();
        if code == Code::Ok {
            if status(&answer) == Status::Success {
                assert!(answer.messages.len() > 1, "{path}: {what}: {answer:?}");
                tally.taken(&what);
            } else {
                tally.refused();
            }
        } else {
            // No envelope at all, which gRPC itself tells.
            assert!(!message.is_empty() && answer.messages.is_empty(), "{path}: {what}: {answer:?}");
            tally.refused();
        }
    }
    let Tally { refused, taken, optional } = tally;
    assert!(refused > 50 && taken > 5, "{path}: {refused} refused, {taken} delivered");
    // The type, parts of a second, the nonce, the number of block 0, and the behaviour that is the first of its kind.
    let unread = ["payload 1.1.1", "payload 1.1.3.2", "payload 1.2.2", "payload 2.1.3.1", "payload 2.3"];
    assert_eq!(optional, unread, "{path}");
    delivers(stage, line, path).await;
}

#[test]
fn every_part_of_a_seek_spoilt_in_turn_is_answered_by_a_peer() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        for path in [DELIVER, FILTERED, WITH_PRIVATE_DATA] {
            spoilt_seeks_are_answered(stage, &line, path).await;
        }
        stage.works(&line).await;
    });
}

#[test]
fn every_part_of_a_seek_spoilt_in_turn_is_answered_by_the_orderer() {
    STAGE.run(async |stage| {
        let line = stage.orderer().await;
        spoilt_seeks_are_answered(stage, &line, ORDERER).await;
    });
}

fn wrong(stage: &Stage, label: &str) -> Envelope {
    let (good, organization) = (seek(stage), stage.organization());
    let by = |identity: &SigningIdentity| {
        envelope(identity, &channel_header(HeaderType::DeliverSeekInfo), encode(&seek_info()))
    };
    let with = |header: ChannelHeader| envelope(&stage.identity, &header, encode(&seek_info()));
    let of = |info: SeekInfo| {
        envelope(&stage.identity, &channel_header(HeaderType::DeliverSeekInfo), encode(&info))
    };
    let usual = channel_header(HeaderType::DeliverSeekInfo);
    match label {
        "no start" => of(SeekInfo { start: None, ..seek_info() }),
        "no stop" => of(SeekInfo { stop: None, ..seek_info() }),
        "empty seek info" => of(SeekInfo::default()),
        "stop before start" => {
            of(SeekInfo { start: seek_info().stop, stop: seek_info().start, ..seek_info() })
        }
        "unknown channel" => with(ChannelHeader { channel_id: "nochannel".to_owned(), ..usual }),
        "org3 identity" => by(&foreign("Org3MSP")),
        "foreign identity" => by(&foreign(organization.msp_id())),
        "expired identity" => by(&expired(organization)),
        "bad signature" => Envelope { signature: "bad".into(), ..good },
        "high-S signature" => Envelope { signature: high_s(&good.signature).into(), ..good },
        "no signature" => Envelope { signature: Bytes::new(), ..good },
        "empty envelope" => Envelope::default(),
        "undecodable payload" => sign_payload(&stage.identity, vec![0xff]),
        "payload without header" => {
            let payload = Payload { header: None::<Header>, data: encode(&seek_info()) };
            sign_payload(&stage.identity, encode(&payload))
        }
        "timestamp an hour old" => {
            let mut header = usual;
            header.timestamp.as_mut().unwrap().seconds -= 3600;
            with(header)
        }
        "no timestamp" => with(ChannelHeader { timestamp: None, ..usual }),
        other => panic!("nothing is known of {other:?}"),
    }
}

#[test]
fn golden_wrong_seeks_are_refused_as_fabric_does() {
    STAGE.run(async |stage| {
        let (peer, orderer) = (stage.peer(0).await, stage.orderer().await);
        for label in [
            "no start",
            "no stop",
            "empty seek info",
            "stop before start",
            "unknown channel",
            "org3 identity",
            "foreign identity",
            "expired identity",
            "bad signature",
            "high-S signature",
            "no signature",
            "empty envelope",
            "undecodable payload",
            "payload without header",
            "timestamp an hour old",
            "no timestamp",
        ] {
            // The two that were not recorded are refused as those are that they come nearest to.
            let recording = match label {
                "foreign identity" => "org3 identity",
                "high-S signature" => "bad signature",
                recorded => recorded,
            };
            let theirs = recorded::response("deliver", &format!("Filtered: {recording}"));
            let Some(Type::Status(theirs)) = DeliverResponse::decode(theirs.as_slice()).unwrap().r#type
            else {
                panic!("{label} has a status")
            };
            let request = [encode(&wrong(stage, label))];
            for (line, path) in
                [(&peer, DELIVER), (&peer, FILTERED), (&peer, WITH_PRIVATE_DATA), (&orderer, ORDERER)]
            {
                let ours = status(&line.call(path, &request, usize::MAX).await);
                assert_eq!(i32::from(ours), theirs, "{path}: {label}");
            }
        }
        for path in [DELIVER, FILTERED, WITH_PRIVATE_DATA] {
            delivers(stage, &peer, path).await;
        }
        delivers(stage, &orderer, ORDERER).await;
        stage.works(&peer).await;
    });
}
