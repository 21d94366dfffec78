//! What every call of the gateway refuses for the same reason, where a real network was recorded at one of them only.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_golden::high_s;
use selvedge_identity::SigningIdentity;
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload};
use selvedge_proto::gateway::{CommitStatusResponse, SignedCommitStatusRequest};
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{BroadcastResponse, SeekSpecified};
use selvedge_proto::protos::TxValidationCode;
use tonic::Code;

use crate::gateway::{
    CHAINCODE_EVENTS, COMMIT_STATUS, ENDORSE, EVALUATE, SUBMIT, commit_status, endorse, evaluate, events,
    is_as_recorded, signed_status, submit,
};
use crate::recorded::{self, same};
use crate::support::CHANNEL;
use crate::support::forge::{channel_header, encode, envelope, expired, foreign, sign_payload};
use crate::{STAGE, endorser};

/// Faults that an endorser finds, with the code that Evaluate gives them: whoever reads no further than the creator's
/// dates and the time counts as unavailable, as in Fabric.
const OF_PROPOSALS: [(&str, Code); 12] = [
    ("expired identity", Code::Unavailable),
    ("timestamp an hour old", Code::Unavailable),
    ("timestamp an hour ahead", Code::Unavailable),
    ("timestamp missing", Code::Unavailable),
    ("identity of a foreign CA", Code::FailedPrecondition),
    ("identity of an org that is not in the channel", Code::FailedPrecondition),
    ("bad signature", Code::FailedPrecondition),
    ("high-S signature", Code::FailedPrecondition),
    ("signature of another user", Code::FailedPrecondition),
    ("altered txid", Code::FailedPrecondition),
    ("txid missing", Code::FailedPrecondition),
    ("nonce missing", Code::FailedPrecondition),
];

#[test]
fn golden_faults_of_proposals_are_told_through_the_gateway_in_the_endorsers_words() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        for (label, code) in OF_PROPOSALS {
            let (_, said) = recorded::status("endorser", label);
            let proposal = || Some(endorser::wrong(stage, label));

            let answer = line.call(EVALUATE, &[evaluate(proposal())], 1).await;
            assert_eq!(answer.ended().0, code, "{label}: {answer:?}");
            assert_eq!(same(&answer.details()[0]), same(&said), "{label}");

            let answer = line.call(ENDORSE, &[endorse(proposal())], 1).await;
            assert_eq!(answer.ended().0, Code::Aborted, "{label}: {answer:?}");
            assert_eq!(same(&answer.details()[0]), same(&said), "{label}");
        }
        stage.works(&line).await;
    });
}

#[test]
fn an_unknown_channel_is_told_by_endorse_and_events() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let call = ProposalBuilder::new("nochannel", "basic").arg("get").sign(&stage.identity).unwrap();
        let answer = line.call(ENDORSE, &[endorse(Some(call.signed))], 1).await;
        let text = "no combination of peers can be derived which satisfy the endorsement policy: No metadata was found \
                    for chaincode basic in channel nochannel";
        assert_eq!(answer.ended(), (Code::FailedPrecondition, text));

        let mut request = events(&stage.identity, first());
        request.channel_id = "nochannel".to_owned();
        let request = signed_status(&stage.identity, encode(&request));
        // The rule is the one by which CommitStatus judges.
        let theirs = recorded::status("gateway", "CommitStatus: unknown channel");
        let answer = line.call(CHAINCODE_EVENTS, &[request], 1).await;
        assert_eq!(answer.ended(), (theirs.0, &*theirs.1));
        stage.works(&line).await;
    });
}

fn first() -> Position {
    Position::Specified(SeekSpecified { number: 0 })
}

/// The same request with its signature in the other form.
fn with_high_s(signed: &Bytes) -> Bytes {
    let signed = SignedCommitStatusRequest::decode(signed.clone()).unwrap();
    let signature = high_s(&signed.signature).into();
    encode(&SignedCommitStatusRequest { signature, ..signed })
}

#[test]
fn signatures_that_do_not_count_are_refused_by_submit_status_and_events() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let (_, good) = stage.endorsed("signed otherwise").await;
        let stranger = foreign(stage.organization().msp_id());
        let usual = channel_header(HeaderType::EndorserTransaction);
        let high = Envelope { signature: high_s(&good.signature).into(), ..good };
        let foreign_one = envelope(&stranger, &usual, "content".into());
        let status = |identity: &SigningIdentity| {
            signed_status(identity, encode(&commit_status(identity, CHANNEL, "id")))
        };
        let follow = |identity| signed_status(identity, encode(&events(identity, first())));
        let cases = [
            ("Submit: bad signature", SUBMIT, submit(CHANNEL, Some(high))),
            ("Submit: bad signature", SUBMIT, submit(CHANNEL, Some(foreign_one))),
            ("CommitStatus: bad signature", COMMIT_STATUS, with_high_s(&status(&stage.identity))),
            ("CommitStatus: org3 identity", COMMIT_STATUS, status(&stranger)),
            ("ChaincodeEvents: bad signature", CHAINCODE_EVENTS, with_high_s(&follow(&stage.identity))),
            ("ChaincodeEvents: org3 identity", CHAINCODE_EVENTS, follow(&stranger)),
        ];
        for (label, path, request) in cases {
            is_as_recorded(&line, label, path, request).await;
        }
        stage.works(&line).await;
    });
}

/// Orderers and endorsers refuse them, and so do the streams of blocks; the gateway's own questions are judged by the
/// channel's policies alone, for which certificates do not expire in Fabric.
#[test]
fn expired_creators_cannot_submit_and_can_ask() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let expired = expired(stage.organization());
        let usual = channel_header(HeaderType::EndorserTransaction);
        let request = submit(CHANNEL, Some(envelope(&expired, &usual, "content".into())));
        let answer = line.call(SUBMIT, &[request], 1).await;
        let theirs = recorded::response("broadcast", "expired creator");
        let theirs = BroadcastResponse::decode(&*theirs).unwrap();
        let text = format!(
            "received unsuccessful response from orderer: status={}, info={}",
            theirs.status().as_str_name(),
            theirs.info
        );
        assert_eq!(answer.ended(), (Code::Aborted, &*text));

        let (id, envelope) = stage.endorsed("asked for by an expired one").await;
        assert_eq!(line.call(SUBMIT, &[submit(CHANNEL, Some(envelope))], 1).await.messages.len(), 1);
        let request = signed_status(&expired, encode(&commit_status(&expired, CHANNEL, &id)));
        let answer = line.call(COMMIT_STATUS, &[request], 1).await;
        let answer = CommitStatusResponse::decode(answer.messages[0].clone()).unwrap();
        assert_eq!(answer.result(), TxValidationCode::Valid);
        let request = signed_status(&expired, encode(&events(&expired, first())));
        assert_eq!(line.call(CHAINCODE_EVENTS, &[request], 1).await.messages.len(), 1);
        stage.works(&line).await;
    });
}

/// An orderer does not look at the id; every peer does.
#[test]
fn a_transaction_under_another_id_is_ordered_and_found_invalid() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let (_, envelope) = stage.endorsed("under another id").await;
        let mut payload = Payload::decode(envelope.payload).unwrap();
        let header = payload.header.as_mut().unwrap();
        let other = retitled(header);
        let envelope = sign_payload(&stage.identity, payload.encode_to_vec());
        let answer = line.call(SUBMIT, &[submit(CHANNEL, Some(envelope))], 1).await;
        assert_eq!(answer.messages.len(), 1, "{answer:?}");
        let request =
            signed_status(&stage.identity, encode(&commit_status(&stage.identity, CHANNEL, &other)));
        let answer = line.call(COMMIT_STATUS, &[request], 1).await;
        let answer = CommitStatusResponse::decode(answer.messages[0].clone()).unwrap();
        assert_eq!(answer.result(), TxValidationCode::BadProposalTxid);
        stage.works(&line).await;
    });
}

/// Puts another id into a header and returns it.
fn retitled(header: &mut Header) -> String {
    let mut channel = ChannelHeader::decode(header.channel_header.clone()).unwrap();
    channel.tx_id = "0".repeat(64);
    header.channel_header = encode(&channel);
    channel.tx_id
}
