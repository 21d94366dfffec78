//! `protos.Endorser`.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_golden::{high_s, spoilt};
use selvedge_identity::SigningIdentity;
use selvedge_network::identities::Role;
use selvedge_pki::Validity;
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{
    ChaincodeHeaderExtension, ChaincodeInvocationSpec, ChaincodeSpec, ProposalResponse, SignedProposal,
};
use tonic::Code;

use crate::recorded::{self, same};
use crate::support::CHANNEL;
use crate::support::forge::{Draft, encode, expired, foreign, issued, sign_proposal};
use crate::{STAGE, Stage, Tally, is_clear};

pub(crate) const PROCESS_PROPOSAL: &str = "/protos.Endorser/ProcessProposal";

#[test]
fn every_part_of_a_proposal_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let good = stage.good().sign(&stage.identity).unwrap().signed;
        let signed_anew = spoilt(&good.proposal_bytes).into_iter().map(|spoilt| {
            let signed = sign_proposal(&stage.identity, spoilt.bytes.into());
            (format!("proposal {} {:?}", spoilt.field, spoilt.spoil), encode(&signed))
        });
        let as_it_is = spoilt(&encode(&good)).into_iter();
        let as_it_is =
            as_it_is.map(|spoilt| (format!("{} {:?}", spoilt.field, spoilt.spoil), spoilt.bytes.into()));
        let mut tally = Tally::default();
        for (what, request) in signed_anew.chain(as_it_is) {
            let answer = line.call(PROCESS_PROPOSAL, &[request], 1).await;
            let Some(message) = answer.messages.first() else {
                is_clear(&what, answer.ended());
                tally.refused();
                continue;
            };
            let response = ProposalResponse::decode(message.clone()).unwrap();
            let inner = response.response.unwrap();
            assert_eq!(response.endorsement.is_some(), inner.status == 200, "{what}: {inner:?}");
            if inner.status == 200 {
                tally.taken(&what);
            } else {
                assert!(!inner.message.is_empty(), "{what}: {inner:?}");
                tally.refused();
            }
        }
        assert!(
            tally.refused > 200 && tally.taken > 10,
            "{} refused, {} endorsed",
            tally.refused,
            tally.taken
        );
        // Parts of a second, the chaincode's language, its name beside the one of the header, and its arguments.
        let optional = [
            "proposal 1.1.3.2",
            "proposal 2.1.1.1",
            "proposal 2.1.1.2",
            "proposal 2.1.1.2.2",
            "proposal 2.1.1.3.1",
            "proposal 2.1.1.3.1#1",
        ];
        assert_eq!(tally.optional, optional);
        stage.works(&line).await;
    });
}

/// A proposal with one part changed, signed by its creator.
fn changed(stage: &Stage, change: impl FnOnce(&mut Draft)) -> SignedProposal {
    let mut draft = Draft::new(&stage.identity, stage.good());
    change(&mut draft);
    draft.sign(&stage.identity)
}

fn by(stage: &Stage, identity: &SigningIdentity) -> SignedProposal {
    stage.good().sign(identity).unwrap().signed
}

fn spec(spec: Option<ChaincodeSpec>) -> impl FnOnce(&mut Draft) {
    move |draft| {
        draft.payload(|payload| payload.input = encode(&ChaincodeInvocationSpec { chaincode_spec: spec }));
    }
}

/// What each label of the recordings says is wrong, done to a proposal of this network.
pub(crate) fn wrong(stage: &Stage, label: &str) -> SignedProposal {
    let (organization, good) = (stage.organization(), by(stage, &stage.identity));
    let client = |role, validity| issued(organization, role, validity);
    let kind = |kind| changed(stage, |draft| draft.channel.r#type = kind);
    let aged = |age: i64| changed(stage, |draft| draft.channel.timestamp.as_mut().unwrap().seconds -= age);
    match label {
        "expired identity" => by(stage, &expired(organization)),
        "identity without role OU" => by(stage, &client(None, Validity::default())),
        "identity of a foreign CA" => by(stage, &foreign(organization.msp_id())),
        "identity of an org that is not in the channel" => by(stage, &foreign("Org3MSP")),
        "peer identity as creator" => by(stage, &client(Some(Role::Peer), Validity::default())),
        "bad signature" => SignedProposal { signature: "signature".into(), ..good },
        "no signature" => SignedProposal { signature: Bytes::new(), ..good },
        "high-S signature" => SignedProposal { signature: high_s(&good.signature).into(), ..good },
        "signature of another user" => {
            sign_proposal(&client(Some(Role::Client), Validity::default()), good.proposal_bytes)
        }
        "altered txid" => changed(stage, |draft| draft.channel.tx_id = "0".repeat(64)),
        "txid missing" => changed(stage, |draft| draft.channel.tx_id.clear()),
        "nonce missing" => changed(stage, |draft| draft.signature.nonce.clear()),
        "creator missing" => changed(stage, |draft| draft.signature.creator.clear()),
        "creator is junk" => changed(stage, |draft| draft.signature.creator = "junk".into()),
        "header type 2" => kind(2),
        "header type 4" => kind(4),
        "header type 5" => kind(5),
        "header type 6" => kind(6),
        "header type 99" => kind(99),
        "epoch 1" => changed(stage, |draft| draft.channel.epoch = 1),
        "timestamp an hour old" => aged(3600),
        "timestamp an hour ahead" => aged(-3600),
        "timestamp missing" => changed(stage, |draft| draft.channel.timestamp = None),
        "header extension missing" => changed(stage, |draft| draft.channel.extension.clear()),
        "header extension without chaincode id" => changed(stage, |draft| {
            draft.channel.extension = encode(&ChaincodeHeaderExtension { chaincode_id: None });
        }),
        "header extension undecodable" => {
            changed(stage, |draft| draft.channel.extension = Bytes::from_static(b"\xff"))
        }
        "empty SignedProposal" => SignedProposal::default(),
        "proposal bytes undecodable" => sign_proposal(&stage.identity, Bytes::from_static(b"\xff")),
        "proposal without header" => sign_proposal(&stage.identity, Bytes::from_static(b"\x12\x00")),
        "proposal without payload" => changed(stage, |draft| draft.payload.clear()),
        "proposal payload undecodable" => changed(stage, |draft| draft.payload = Bytes::from_static(b"\xff")),
        "proposal payload without input" => {
            changed(stage, |draft| draft.payload(|payload| payload.input.clear()))
        }
        "invocation spec without chaincode spec" => changed(stage, spec(None)),
        "chaincode spec without input" => changed(stage, spec(Some(ChaincodeSpec::default()))),
        other => panic!("nothing is known of {other:?}"),
    }
}

const RECORDED: [&str; 34] = [
    "expired identity",
    "identity without role OU",
    "identity of a foreign CA",
    "identity of an org that is not in the channel",
    "peer identity as creator",
    "bad signature",
    "no signature",
    "high-S signature",
    "signature of another user",
    "altered txid",
    "txid missing",
    "nonce missing",
    "creator missing",
    "creator is junk",
    "header type 2",
    "header type 4",
    "header type 5",
    "header type 6",
    "header type 99",
    "epoch 1",
    "timestamp an hour old",
    "timestamp an hour ahead",
    "timestamp missing",
    "header extension missing",
    "header extension without chaincode id",
    "header extension undecodable",
    "empty SignedProposal",
    "proposal bytes undecodable",
    "proposal without header",
    "proposal without payload",
    "proposal payload undecodable",
    "proposal payload without input",
    "invocation spec without chaincode spec",
    "chaincode spec without input",
];

#[test]
fn golden_wrong_proposals_are_refused_in_fabrics_words() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        for label in RECORDED {
            let answer = line.call(PROCESS_PROPOSAL, &[encode(&wrong(stage, label))], 1).await;
            let (code, message) = recorded::status("endorser", label);
            assert_eq!(answer.ended(), (code, answer.ended().1), "{label}");
            assert_eq!(same(answer.ended().1), same(&message), "{label}");
        }
        stage.works(&line).await;
    });
}

#[test]
fn golden_proposals_for_what_is_not_there_are_answered_in_fabrics_words() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let to = |channel: &str, chaincode: &str| {
            encode(&ProposalBuilder::new(channel, chaincode).arg("get").sign(&stage.identity).unwrap().signed)
        };
        let cases = [
            ("unknown chaincode", to(CHANNEL, "ghost")),
            ("unknown channel", to("nochannel", "basic")),
            ("empty channel, user chaincode", to("", "basic")),
        ];
        for (label, request) in cases {
            let answer = line.call(PROCESS_PROPOSAL, &[request], 1).await;
            let ours = ProposalResponse::decode(answer.messages[0].clone()).unwrap().response.unwrap();
            let theirs = recorded::response("endorser", label);
            let theirs = ProposalResponse::decode(theirs.as_slice()).unwrap().response.unwrap();
            assert_eq!((ours.status, same(&ours.message)), (theirs.status, same(&theirs.message)), "{label}");
        }
        stage.works(&line).await;
    });
}

/// A second that no calendar has, and parts of one beyond a second.
#[test]
fn impossible_timestamps_are_refused() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        for (seconds, nanos) in
            [(i64::MAX, 0), (i64::MIN, -1), (253_402_300_800, 0), (0, i32::MAX), (0, i32::MIN)]
        {
            let proposal =
                changed(stage, |draft| draft.channel.timestamp = Some(Timestamp { seconds, nanos }));
            let answer = line.call(PROCESS_PROPOSAL, &[encode(&proposal)], 1).await;
            assert_eq!(answer.ended().0, Code::Unknown);
            assert!(answer.ended().1.contains("incorrect timestamp"), "{answer:?}");
        }
        stage.works(&line).await;
    });
}

#[test]
fn arguments_that_are_no_text_reach_the_chaincode_as_they_are() {
    STAGE.run(async |stage| {
        let bytes: Bytes = (0..=255).collect::<Vec<u8>>().into();
        let call = |argument: Bytes| ProposalBuilder::new(CHANNEL, "basic").arg("echo").arg(argument);
        assert_eq!(stage.world.evaluate(call(bytes.clone())).await.unwrap(), bytes);
        assert_eq!(stage.world.submit(call(bytes.clone())).await.unwrap(), bytes);
        // As the name of a function, too.
        let call = ProposalBuilder::new(CHANNEL, "basic").arg(bytes.clone());
        assert_eq!(stage.world.evaluate(call).await.unwrap(), bytes);
        assert_eq!(stage.world.evaluate(ProposalBuilder::new(CHANNEL, "basic")).await.unwrap(), "");
    });
}
