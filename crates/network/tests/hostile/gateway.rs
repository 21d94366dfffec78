//! The five calls of `gateway.Gateway`.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_golden::spoilt;
use selvedge_identity::SigningIdentity;
use selvedge_proto::common::Envelope;
use selvedge_proto::gateway::{
    ChaincodeEventsRequest, CommitStatusRequest, CommitStatusResponse, EndorseRequest, EvaluateRequest,
    SignedChaincodeEventsRequest, SignedCommitStatusRequest, SubmitRequest,
};
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{SeekNewest, SeekOldest, SeekPosition, SeekSpecified};
use selvedge_proto::protos::{SignedProposal, TxValidationCode};

use crate::broadcast::UNREAD_BY_ORDERERS;
use crate::recorded::{self, same};
use crate::support::CHANNEL;
use crate::support::forge::{Draft, encode, expired, foreign, sign_payload, sign_proposal};
use crate::support::line::{Answer, Line};
use crate::{STAGE, Stage, Tally, is_clear};

pub(crate) const EVALUATE: &str = "/gateway.Gateway/Evaluate";
pub(crate) const ENDORSE: &str = "/gateway.Gateway/Endorse";
pub(crate) const SUBMIT: &str = "/gateway.Gateway/Submit";
pub(crate) const COMMIT_STATUS: &str = "/gateway.Gateway/CommitStatus";
pub(crate) const CHAINCODE_EVENTS: &str = "/gateway.Gateway/ChaincodeEvents";

pub(crate) fn evaluate(proposal: Option<SignedProposal>) -> Bytes {
    encode(&EvaluateRequest { proposed_transaction: proposal, ..EvaluateRequest::default() })
}

pub(crate) fn endorse(proposal: Option<SignedProposal>) -> Bytes {
    encode(&EndorseRequest { proposed_transaction: proposal, ..EndorseRequest::default() })
}

pub(crate) fn submit(channel_id: &str, envelope: Option<Envelope>) -> Bytes {
    let channel_id = channel_id.to_owned();
    encode(&SubmitRequest { prepared_transaction: envelope, channel_id, ..SubmitRequest::default() })
}

pub(crate) fn commit_status(
    identity: &SigningIdentity,
    channel_id: &str,
    transaction_id: &str,
) -> CommitStatusRequest {
    CommitStatusRequest {
        transaction_id: transaction_id.to_owned(),
        channel_id: channel_id.to_owned(),
        identity: identity.serialized().clone(),
    }
}

pub(crate) fn events(identity: &SigningIdentity, start: Position) -> ChaincodeEventsRequest {
    ChaincodeEventsRequest {
        channel_id: CHANNEL.to_owned(),
        chaincode_id: "basic".to_owned(),
        identity: identity.serialized().clone(),
        start_position: Some(SeekPosition { r#type: Some(start) }),
        after_transaction_id: String::new(),
    }
}

pub(crate) fn signed_status(identity: &SigningIdentity, request: impl Into<Bytes>) -> Bytes {
    let request = request.into();
    let signature = identity.sign(&request).unwrap();
    encode(&SignedCommitStatusRequest { request, signature })
}

/// Both kinds of signed requests have the same form.
fn signed_events(identity: &SigningIdentity, request: impl Into<Bytes>) -> Bytes {
    signed_status(identity, request)
}

/// Either the call went well or it was refused clearly.
fn counted(what: &str, answer: &Answer, tally: &mut Tally) {
    if answer.messages.is_empty() {
        is_clear(what, answer.ended());
        tally.refused();
    } else {
        tally.taken(what);
    }
}

/// The parts that a proposal may lack: parts of a second, the chaincode's language, and arguments.
const OPTIONAL_IN_PROPOSALS: [&str; 4] =
    ["proposal 1.1.3.2", "proposal 2.1.1.1", "proposal 2.1.1.3.1", "proposal 2.1.1.3.1#1"];

/// Each proposal inside a request is spoilt and signed anew; and so is the request around it, as it is.
fn spoilt_requests(stage: &Stage, request: impl Fn(Option<SignedProposal>) -> Bytes) -> Vec<(String, Bytes)> {
    let good = stage.good().sign(&stage.identity).unwrap().signed;
    let inside = spoilt(&good.proposal_bytes).into_iter().map(|spoilt| {
        let signed = sign_proposal(&stage.identity, spoilt.bytes.into());
        (format!("proposal {} {:?}", spoilt.field, spoilt.spoil), request(Some(signed)))
    });
    // What lies within the signed bytes was spoilt above.
    let around =
        spoilt(&request(Some(good))).into_iter().filter(|spoilt| spoilt.field.matches('.').count() < 2);
    let around = around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
    inside.chain(around).collect()
}

#[test]
fn every_part_of_an_evaluation_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let (line, mut tally) = (stage.peer(0).await, Tally::default());
        for (what, request) in spoilt_requests(stage, evaluate) {
            counted(&what, &line.call(EVALUATE, &[request], 1).await, &mut tally);
        }
        assert!(tally.refused > 100, "{}", tally.refused);
        assert_eq!(tally.optional, OPTIONAL_IN_PROPOSALS);
        stage.works(&line).await;
    });
}

#[test]
fn every_part_of_an_endorsement_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let (line, mut tally) = (stage.peer(0).await, Tally::default());
        for (what, request) in spoilt_requests(stage, endorse) {
            counted(&what, &line.call(ENDORSE, &[request], 1).await, &mut tally);
        }
        assert!(tally.refused > 100, "{}", tally.refused);
        assert_eq!(tally.optional, OPTIONAL_IN_PROPOSALS);
        stage.works(&line).await;
        stage.commits("endorsed").await;
    });
}

/// What is ordered is judged by both peers, who must agree.
#[test]
fn every_part_of_a_submission_spoilt_in_turn_gets_one_verdict_from_both_peers() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let (_, envelope) = stage.endorsed("submitted").await;
        let mut tally = Tally::default();
        let inside = spoilt(&envelope.payload).into_iter().map(|spoilt| {
            let what = format!("payload {} {:?}", spoilt.field, spoilt.spoil);
            (what, submit(CHANNEL, Some(sign_payload(&stage.identity, spoilt.bytes))))
        });
        let around = spoilt(&submit(CHANNEL, Some(envelope.clone()))).into_iter();
        let around = around.filter(|spoilt| spoilt.field.matches('.').count() < 2);
        let around =
            around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
        for (what, request) in inside.chain(around) {
            let answer = line.call(SUBMIT, &[request], 1).await;
            counted(&what, &answer, &mut tally);
        }
        assert!(
            tally.refused > 20 && tally.taken > 100,
            "{} refused, {} ordered",
            tally.refused,
            tally.taken
        );
        // What lies behind the header is for the peers to judge.
        let before_ordering: Vec<_> =
            tally.optional.iter().filter(|part| !part.starts_with("payload 2")).collect();
        assert_eq!(before_ordering, UNREAD_BY_ORDERERS);
        stage.works(&line).await;
        stage.commits("after the spoilt ones").await;
        agree(stage).await;
    });
}

/// Both peers have the same blocks with the same verdicts, and came to the same state.
async fn agree(stage: &Stage) {
    let network = &stage.world.network;
    let [one, two] = [0, 1].map(|number| network.peers()[number].channel(CHANNEL).unwrap());
    let height = one.ledger().height();
    network.wait_for_block(CHANNEL, height - 1).await.unwrap();
    for number in 0..height {
        let [one, two] = [&one, &two].map(|channel| channel.ledger().block(number).unwrap().unwrap());
        assert_eq!(one, two, "block {number} with its verdicts and the hash of the state");
    }
}

#[test]
fn every_part_of_a_question_for_a_status_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let (id, envelope) = stage.endorsed("asked for").await;
        let ordered = line.call(SUBMIT, &[submit(CHANNEL, Some(envelope))], 1).await;
        assert_eq!(ordered.messages.len(), 1, "{ordered:?}");
        let request = encode(&commit_status(&stage.identity, CHANNEL, &id));
        let good = signed_status(&stage.identity, request.clone());
        let answer = line.call(COMMIT_STATUS, std::slice::from_ref(&good), 1).await;
        let answer = CommitStatusResponse::decode(answer.messages[0].clone()).unwrap();
        assert_eq!(answer.result(), TxValidationCode::Valid);

        // Questions for other transactions wait for them, so those are left out here.
        let inside = spoilt(&request).into_iter().filter(|spoilt| spoilt.field != "1" || is_refused(spoilt));
        let inside = inside.map(|spoilt| {
            let what = format!("request {} {:?}", spoilt.field, spoilt.spoil);
            (what, signed_status(&stage.identity, spoilt.bytes))
        });
        let around = spoilt(&good).into_iter().filter(|spoilt| !spoilt.field.contains('.'));
        let around =
            around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
        let mut tally = Tally::default();
        for (what, request) in inside.chain(around) {
            counted(&what, &line.call(COMMIT_STATUS, &[request], 1).await, &mut tally);
        }
        assert!(tally.refused > 15, "{}", tally.refused);
        assert_eq!(tally.optional, Vec::<String>::new(), "all of a question is needed");
        stage.works(&line).await;
    });
}

fn is_refused(spoilt: &selvedge_golden::Spoilt) -> bool {
    use selvedge_golden::Spoil;
    matches!(spoilt.spoil, Spoil::Missing | Spoil::Empty | Spoil::Garbage | Spoil::Number)
}

#[test]
fn every_part_of_a_question_for_events_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        stage.commits("for its event").await;
        let request = encode(&events(&stage.identity, Position::Specified(SeekSpecified { number: 1 })));
        let good = signed_events(&stage.identity, request.clone());
        let inside = spoilt(&request).into_iter().map(|spoilt| {
            let what = format!("request {} {:?}", spoilt.field, spoilt.spoil);
            (what, signed_events(&stage.identity, spoilt.bytes))
        });
        let around = spoilt(&good).into_iter().filter(|spoilt| !spoilt.field.contains('.'));
        let around =
            around.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
        let mut tally = Tally::default();
        for (what, request) in inside.chain(around) {
            // Whoever is let in may wait for events; all others are told at once.
            let answer = line.call(CHAINCODE_EVENTS, &[request], 0).await;
            match answer.status {
                Some(_) => counted(&what, &answer, &mut tally),
                None => tally.taken(&what),
            }
        }
        assert!(tally.refused > 20 && tally.taken > 5, "{} refused, {} followed", tally.refused, tally.taken);
        // Events of no chaincode, and those from the next block or from block 0 on.
        assert_eq!(tally.optional, ["request 2", "request 4", "request 4.3", "request 4.3.1"]);
        assert_eq!(
            line.call(CHAINCODE_EVENTS, &[good], 1).await.messages.len(),
            1,
            "the good one brings events"
        );
        stage.works(&line).await;
    });
}

pub(crate) async fn is_as_recorded(line: &Line, label: &str, path: &str, request: Bytes) {
    let answer = line.call(path, &[request], 1).await;
    let (code, message) = recorded::status("gateway", label);
    let (our_code, ours) = answer.ended();
    assert_eq!((our_code, same(ours)), (code, same(&message)), "{label}");
}

#[test]
fn golden_wrong_evaluations_and_endorsements_are_refused_in_fabrics_words() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let organization = stage.organization();
        let signed = |call: ProposalBuilder| call.sign(&stage.identity).unwrap().signed;
        let by = |identity: &SigningIdentity| Some(stage.good().sign(identity).unwrap().signed);
        let to = |channel: &str, chaincode: &str| {
            Some(signed(ProposalBuilder::new(channel, chaincode).arg("get")))
        };
        let changed = |change: fn(&mut Draft)| {
            let mut draft = Draft::new(&stage.identity, stage.good());
            change(&mut draft);
            Some(draft.sign(&stage.identity))
        };
        let expired = expired(organization);
        let (foreign_one, third) = (foreign(organization.msp_id()), foreign("Org3MSP"));
        let unsigned = SignedProposal { signature: "bad".into(), ..signed(stage.good()) };
        let cases = [
            ("Evaluate: unknown chaincode", to(CHANNEL, "ghost")),
            ("Evaluate: unknown channel", to("nochannel", "basic")),
            ("Evaluate: empty channel", to("", "basic")),
            ("Evaluate: expired identity", by(&expired)),
            ("Evaluate: foreign identity", by(&foreign_one)),
            ("Evaluate: org3 identity", by(&third)),
            ("Evaluate: altered txid", changed(|draft| draft.channel.tx_id = "0".repeat(64))),
            ("Evaluate: no proposal", None),
            ("Evaluate: bad signature", Some(unsigned)),
            (
                "Evaluate: undecodable proposal",
                Some(sign_proposal(&stage.identity, Bytes::from_static(b"\xff"))),
            ),
            ("Evaluate: proposal without payload", changed(|draft| draft.payload.clear())),
            (
                "Evaluate: proposal without header",
                Some(sign_proposal(&stage.identity, Bytes::from_static(b"\x12\x00"))),
            ),
            ("Endorse: unknown chaincode", to(CHANNEL, "ghost")),
            ("Endorse: expired identity", by(&expired)),
            ("Endorse: org3 identity", by(&third)),
            ("Endorse: no proposal", None),
        ];
        for (label, proposal) in cases {
            match label.starts_with("Evaluate") {
                true => is_as_recorded(&line, label, EVALUATE, evaluate(proposal)).await,
                false => is_as_recorded(&line, label, ENDORSE, endorse(proposal)).await,
            }
        }
        let nobody = EndorseRequest {
            proposed_transaction: Some(signed(stage.good())),
            endorsing_organizations: vec!["Org9MSP".to_owned()],
            ..EndorseRequest::default()
        };
        is_as_recorded(&line, "Endorse: explicit org without peers", ENDORSE, encode(&nobody)).await;
        stage.works(&line).await;
    });
}

#[test]
fn golden_wrong_submissions_and_questions_are_refused_in_fabrics_words() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let (_, envelope) = stage.endorsed("refused").await;
        let signature =
            |signature: &'static str| Some(Envelope { signature: signature.into(), ..envelope.clone() });
        let third = foreign("Org3MSP");
        let status = |identity: &SigningIdentity, channel: &str| {
            signed_status(identity, encode(&commit_status(identity, channel, "id")))
        };
        let with = |signature: &'static str| {
            let request = encode(&commit_status(&stage.identity, CHANNEL, "id"));
            encode(&SignedCommitStatusRequest { request, signature: signature.into() })
        };
        let signed =
            |identity: &SigningIdentity, start| signed_events(identity, encode(&events(identity, start)));
        let first = || Position::Specified(SeekSpecified { number: 0 });
        let unsigned = SignedChaincodeEventsRequest {
            request: encode(&events(&stage.identity, first())),
            signature: "bad".into(),
        };
        let cases = [
            ("Submit: unsigned", SUBMIT, submit(CHANNEL, signature(""))),
            ("Submit: no envelope", SUBMIT, submit(CHANNEL, None)),
            ("Submit: unknown channel", SUBMIT, submit("nochannel", Some(envelope.clone()))),
            ("Submit: bad signature", SUBMIT, submit(CHANNEL, signature("bad"))),
            ("CommitStatus: unknown channel", COMMIT_STATUS, status(&stage.identity, "nochannel")),
            ("CommitStatus: org3 identity", COMMIT_STATUS, status(&third, CHANNEL)),
            ("CommitStatus: bad signature", COMMIT_STATUS, with("bad")),
            ("CommitStatus: no signature", COMMIT_STATUS, with("")),
            ("CommitStatus: no request", COMMIT_STATUS, Bytes::new()),
            ("CommitStatus: undecodable request", COMMIT_STATUS, signed_status(&stage.identity, vec![0xff])),
            (
                "ChaincodeEvents: oldest",
                CHAINCODE_EVENTS,
                signed(&stage.identity, Position::Oldest(SeekOldest {})),
            ),
            (
                "ChaincodeEvents: newest",
                CHAINCODE_EVENTS,
                signed(&stage.identity, Position::Newest(SeekNewest {})),
            ),
            ("ChaincodeEvents: org3 identity", CHAINCODE_EVENTS, signed(&third, first())),
            ("ChaincodeEvents: bad signature", CHAINCODE_EVENTS, encode(&unsigned)),
        ];
        for (label, path, request) in cases {
            is_as_recorded(&line, label, path, request).await;
        }
        stage.works(&line).await;
    });
}
