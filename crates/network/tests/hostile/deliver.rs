//! The three calls of `protos.Deliver`, and the orderer's own.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::spoilt;
use selvedge_identity::SigningIdentity;
use selvedge_network::identities::Role;
use selvedge_pki::Validity;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, Status};
use selvedge_proto::orderer::seek_info::SeekBehavior;
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{SeekInfo, SeekPosition, SeekSpecified};
use selvedge_proto::protos::DeliverResponse;
use selvedge_proto::protos::deliver_response::Type;
use tonic::Code;

use crate::recorded;
use crate::support::forge::{channel_header, encode, envelope, foreign, issued, sign_payload};
use crate::support::line::{Answer, Line};
use crate::{STAGE, Stage};

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

async fn spoilt_seeks_are_answered(stage: &Stage, line: &Line, path: &str) {
    let good = seek(stage);
    assert_eq!(status(&line.call(path, &[encode(&good)], usize::MAX).await), Status::Success);
    let inside = spoilt(&good.payload).into_iter().map(|spoilt| {
        let what = format!("{path}: payload {} {:?}", spoilt.field, spoilt.spoil);
        (what, encode(&sign_payload(&stage.identity, spoilt.bytes)))
    });
    let around = spoilt(&encode(&good)).into_iter().filter(|spoilt| !spoilt.field.contains('.'));
    let around =
        around.map(|spoilt| (format!("{path}: {} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
    let (mut refused, mut delivered) = (0, 0);
    for (what, request) in inside.chain(around) {
        let answer = line.call(path, &[request], usize::MAX).await;
        let (code, message) = answer.ended();
        if code == Code::Ok {
            let success = status(&answer) == Status::Success;
            assert!(!success || answer.messages.len() > 1, "{what}: {answer:?}");
            delivered += usize::from(success);
            refused += usize::from(!success);
        } else {
            // No envelope at all, which gRPC itself tells.
            assert!(!message.is_empty() && answer.messages.is_empty(), "{what}: {answer:?}");
            refused += 1;
        }
    }
    assert!(refused > 50 && delivered > 5, "{path}: {refused} refused, {delivered} delivered");
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
        assert!(line.is_unbroken());
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
        "expired identity" => by(&issued(organization, Some(Role::Client), Validity::expired())),
        "bad signature" => Envelope { signature: "bad".into(), ..good },
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
            "expired identity",
            "bad signature",
            "no signature",
            "empty envelope",
            "undecodable payload",
            "payload without header",
            "timestamp an hour old",
            "no timestamp",
        ] {
            let theirs = recorded::response("deliver", &format!("Filtered: {label}"));
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
        stage.works(&peer).await;
        assert!(orderer.is_unbroken());
    });
}
