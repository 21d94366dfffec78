//! `orderer.AtomicBroadcast/Broadcast`.

use bytes::Bytes;
use prost::Message;
use selvedge_golden::{high_s, spoilt};
use selvedge_identity::SigningIdentity;
use selvedge_network::identities::Role;
use selvedge_pki::Validity;
use selvedge_proto::common::{ChannelHeader, Envelope, HeaderType, Payload, Status};
use selvedge_proto::orderer::BroadcastResponse;
use tonic::Code;

use crate::support::forge::{channel_header, encode, envelope, expired, foreign, issued, sign_payload};
use crate::support::line::Answer;
use crate::{STAGE, Stage, Tally, recorded};

pub(crate) const BROADCAST: &str = "/orderer.AtomicBroadcast/Broadcast";

/// The parts of a header that an orderer does without: the type, which is that of a plain message then, the time, the
/// transaction's id, the chaincode's, and the nonce. The peers judge them.
pub(crate) const UNREAD_BY_ORDERERS: [&str; 9] = [
    "payload 1.1.1",
    "payload 1.1.3",
    "payload 1.1.3.1",
    "payload 1.1.3.2",
    "payload 1.1.5",
    "payload 1.1.7",
    "payload 1.1.7.2",
    "payload 1.1.7.2.2",
    "payload 1.2.2",
];

fn answered(answer: &Answer) -> BroadcastResponse {
    BroadcastResponse::decode(answer.messages[0].clone()).unwrap()
}

fn wrong(stage: &Stage, label: &str, good: Envelope) -> Envelope {
    let usual = channel_header(HeaderType::EndorserTransaction);
    let with = |header: ChannelHeader| envelope(&stage.identity, &header, "content".into());
    let by = |identity: &SigningIdentity| envelope(identity, &usual, "content".into());
    match label {
        "unsigned envelope" => Envelope { signature: Bytes::new(), ..good },
        "bad signature" => Envelope { signature: "bad".into(), ..good },
        "unknown channel" => with(ChannelHeader { channel_id: "nochannel".to_owned(), ..usual }),
        "creator of org3" => by(&foreign("Org3MSP")),
        "expired creator" => by(&expired(stage.organization())),
        "peer as creator" => by(&issued(stage.organization(), Some(Role::Peer), Validity::default())),
        "empty envelope" => Envelope::default(),
        "undecodable payload" => sign_payload(&stage.identity, vec![0xff]),
        "payload without header" => sign_payload(&stage.identity, encode(&Payload::default())),
        "header type CONFIG" => with(channel_header(HeaderType::Config)),
        "header type ORDERER_TRANSACTION" => with(channel_header(HeaderType::OrdererTransaction)),
        other => panic!("nothing is known of {other:?}"),
    }
}

#[test]
fn golden_wrong_envelopes_are_refused_in_fabrics_words() {
    STAGE.run(async |stage| {
        let line = stage.orderer().await;
        let (_, good) = stage.endorsed("broadcast").await;
        for label in [
            "unsigned envelope",
            "bad signature",
            "unknown channel",
            "creator of org3",
            "expired creator",
            "peer as creator",
            "empty envelope",
            "undecodable payload",
            "payload without header",
            "header type CONFIG",
            "header type ORDERER_TRANSACTION",
        ] {
            let request = [encode(&wrong(stage, label, good.clone()))];
            let ours = answered(&line.call(BROADCAST, &request, 1).await);
            let theirs = recorded::response("broadcast", label);
            let theirs = BroadcastResponse::decode(theirs.as_slice()).unwrap();
            assert_eq!(ours, theirs, "{label}");
        }
        // They are refused as any signature is that does not hold.
        let usual = channel_header(HeaderType::EndorserTransaction);
        let claiming = envelope(&foreign(stage.organization().msp_id()), &usual, "content".into());
        let high = Envelope { signature: high_s(&good.signature).into(), ..good.clone() };
        let theirs = BroadcastResponse::decode(&*recorded::response("broadcast", "bad signature")).unwrap();
        for (what, envelope) in [("high-S signature", high), ("foreign authority's Org1MSP", claiming)] {
            let ours = answered(&line.call(BROADCAST, &[encode(&envelope)], 1).await);
            assert_eq!(ours, theirs, "{what}");
        }
        // One stream carries a good one after another.
        let twice = line.call(BROADCAST, &[encode(&good), encode(&good)], 2).await;
        assert_eq!(answered(&twice).status(), Status::Success);
        assert_eq!(twice.messages.len(), 2);
        assert!(line.is_unbroken());
        stage.commits("after the broadcasts").await;
    });
}

#[test]
fn every_part_of_an_envelope_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let line = stage.orderer().await;
        let (_, good) = stage.endorsed("spoilt").await;
        let headers = spoilt(&good.payload).into_iter().filter(|spoilt| spoilt.field.starts_with('1'));
        let inside = headers.map(|spoilt| {
            let what = format!("payload {} {:?}", spoilt.field, spoilt.spoil);
            (what, encode(&sign_payload(&stage.identity, spoilt.bytes)))
        });
        let around = spoilt(&encode(&good)).into_iter();
        let around =
            around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
        let mut tally = Tally::default();
        for (what, request) in inside.chain(around) {
            let answer = line.call(BROADCAST, &[request], 1).await;
            if answer.messages.is_empty() {
                let (code, message) = answer.ended();
                assert!(code != Code::Ok && !message.is_empty(), "{what}: {answer:?}");
                tally.refused();
                continue;
            }
            let answer = answered(&answer);
            if answer.status() == Status::Success {
                tally.taken(&what);
            } else {
                assert!(!answer.info.is_empty(), "{what}: {answer:?}");
                tally.refused();
            }
        }
        assert!(tally.refused > 100 && tally.taken > 5, "{} refused, {} ordered", tally.refused, tally.taken);
        assert_eq!(tally.optional, UNREAD_BY_ORDERERS);
        assert!(line.is_unbroken());
        stage.commits("after the envelopes").await;
    });
}
