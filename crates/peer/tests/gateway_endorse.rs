//! The gateway's choice of endorsers, with endorsers that follow a script.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod committer_support;
mod gateway_support;

use std::sync::Arc;

use prost::Message;
use selvedge_peer::endorser::Endorser;
use selvedge_proto::common::{ChannelHeader, Header, Payload};
use selvedge_proto::protos::{
    ChaincodeActionPayload, ChaincodeCall, ChaincodeProposalPayload, Endorsement, Transaction,
};
use tonic::Code;

use gateway_support::{Answer, Setup, details, golden};

/// The endorsements of a prepared transaction.
fn endorsements(envelope: &selvedge_proto::common::Envelope) -> Vec<Endorsement> {
    action(envelope).action.unwrap().endorsements
}

fn action(envelope: &selvedge_proto::common::Envelope) -> ChaincodeActionPayload {
    let payload = Payload::decode(envelope.payload.clone()).unwrap();
    let transaction = Transaction::decode(payload.data).unwrap();
    let [action] = &transaction.actions[..] else { panic!("a transaction has one action") };
    assert_eq!(action.header, payload.header.unwrap().signature_header);
    ChaincodeActionPayload::decode(action.payload.clone()).unwrap()
}

#[tokio::test]
async fn both_organizations_of_an_and_are_asked() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("same")), setup.endorser(1, Answer::endorse("same")));
    let gateway = setup.gateway([&one, &two]);
    let request = setup.endorse_request("basic", true);
    let proposal = request.proposed_transaction.clone().unwrap();
    let prepared = gateway.endorse(request).await.unwrap().prepared_transaction.unwrap();
    assert!(prepared.signature.is_empty(), "the client has to sign");
    let by: Vec<_> = endorsements(&prepared).into_iter().map(|endorsement| endorsement.endorser).collect();
    assert_eq!(by, [one.identity().clone(), two.identity().clone()]);
    assert_eq!((one.asked(), two.asked()), (1, 1));
    let action = action(&prepared);
    let lasting = ChaincodeProposalPayload::decode(action.chaincode_proposal_payload).unwrap();
    assert!(lasting.transient_map.is_empty(), "transient data stay out of the transaction");
    assert!(!lasting.input.is_empty());
    let header = Payload::decode(prepared.payload).unwrap().header.unwrap();
    let channel = ChannelHeader::decode(header.channel_header.clone()).unwrap();
    assert_eq!(channel.channel_id, committer_support::CHANNEL);
    let proposed = selvedge_proto::protos::Proposal::decode(proposal.proposal_bytes).unwrap();
    assert_eq!(Header::decode(proposed.header).unwrap(), header);
}

/// Endorsements on different states disagree, so the others are asked only once they had a moment to commit what the
/// gateway's own peer has committed.
#[tokio::test]
async fn the_others_catch_up_with_the_gateways_own_peer() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("same")), setup.endorser(1, Answer::endorse("same")));
    let gateway = setup.gateway([&one, &two]);
    gateway.endorse(setup.endorse_request("basic", false)).await.unwrap();
    assert_eq!(two.caught_up(), setup.channel.ledger().height());
    assert!(setup.channel.ledger().height() > 0);
}

#[tokio::test]
async fn one_organization_is_enough_for_an_or() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("one")), setup.endorser(1, Answer::endorse("two")));
    let gateway = setup.gateway([&two, &one]);
    let prepared = gateway.endorse(setup.endorse_request("open", false)).await.unwrap();
    let endorsements = endorsements(&prepared.prepared_transaction.unwrap());
    assert_eq!(endorsements.len(), 1);
    assert_eq!(endorsements[0].endorser, one.identity());
    assert_eq!((one.asked(), two.asked()), (1, 0), "the gateway's own organization comes first");
}

#[tokio::test]
async fn golden_a_disagreeing_endorser_is_named() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("one")), setup.endorser(1, Answer::endorse("two")));
    let gateway = setup.gateway([&one, &two]);
    let error = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    let recorded = golden("Endorse: endorsements differ");
    assert_eq!((error.code, error.message.as_str()), (recorded.code, recorded.message.as_str()));
    let messages: Vec<_> = error.details.iter().map(|detail| detail.message.as_str()).collect();
    assert_eq!(messages, recorded.details);
    assert_eq!(details(&error), [("peer1-0:7051", "Org2MSP", messages[0])]);
}

#[tokio::test]
async fn an_endorser_that_is_down_is_named() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("same")), setup.endorser(1, Answer::Down));
    let gateway = setup.gateway([&one, &two]);
    let error = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    assert_eq!(error.code, Code::Aborted);
    assert_eq!(error.message, golden("Endorse: endorsements differ").message);
    assert_eq!(details(&error), [("peer1-0:7051", "Org2MSP", gateway_support::DOWN)]);
}

#[tokio::test]
async fn another_peer_stands_in_for_one_that_is_down() {
    let setup = Setup::new();
    let one = setup.endorser(0, Answer::endorse("same"));
    let (down, differs) = (setup.endorser(1, Answer::Down), setup.endorser(1, Answer::endorse("other")));
    let good = setup.endorser(1, Answer::endorse("same"));
    let gateway = setup.gateway([&one, &down, &differs, &good]);
    let prepared = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap();
    assert_eq!(endorsements(&prepared.prepared_transaction.unwrap()).len(), 2);
    assert_eq!((one.asked(), down.asked(), differs.asked(), good.asked()), (1, 1, 1, 1));
}

#[tokio::test]
async fn a_slow_endorser_is_given_up() {
    let mut setup = Setup::new();
    setup.endorsement_timeout = std::time::Duration::from_millis(20);
    let (one, two) = (setup.endorser(0, Answer::endorse("same")), setup.endorser(1, Answer::Hang));
    let gateway = setup.gateway([&one, &two]);
    let error = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    assert_eq!(error.code, Code::Aborted);
    assert_eq!(details(&error), [("peer1-0:7051", "Org2MSP", "context deadline exceeded")]);
}

#[tokio::test]
async fn golden_failures_of_the_first_endorser_are_recorded_ones() {
    for (label, answer) in [
        ("Endorse: status 400", Answer::Chaincode(400, "bad")),
        ("Endorse: status 500", Answer::Chaincode(500, "worse")),
        ("Endorse: chaincode error", Answer::Chaincode(500, "plain")),
        ("Endorse: expired identity", Answer::Filtered("proposal client identity expired")),
    ] {
        let setup = Setup::new();
        let (one, two) = (setup.endorser(0, answer), setup.endorser(1, Answer::endorse("same")));
        let gateway = setup.gateway([&one, &two]);
        let error = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap_err();
        let recorded = golden(label);
        assert_eq!(
            (error.code, error.message.as_str()),
            (recorded.code, recorded.message.as_str()),
            "{label}"
        );
        let messages: Vec<_> = error.details.iter().map(|detail| detail.message.as_str()).collect();
        assert_eq!(messages, recorded.details, "{label}");
        assert_eq!(two.asked(), 0, "{label}: nobody else is asked first");
    }
}

#[tokio::test]
async fn golden_the_clients_choice_of_organizations_is_kept() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("same")), setup.endorser(1, Answer::endorse("same")));
    let gateway = setup.gateway([&one, &two]);
    let mut request = setup.endorse_request("basic", true);
    request.endorsing_organizations = vec!["Org2MSP".to_owned(), "Org2MSP".to_owned()];
    let prepared = gateway.endorse(request.clone()).await.unwrap().prepared_transaction.unwrap();
    assert_eq!(endorsements(&prepared).len(), 1);
    assert_eq!((one.asked(), two.asked()), (0, 1));

    request.endorsing_organizations = vec!["Org1MSP".to_owned(), "Org9MSP".to_owned()];
    let error = gateway.endorse(request).await.unwrap_err();
    let recorded = golden("Endorse: explicit org without peers");
    assert_eq!((error.code, error.message), (recorded.code, recorded.message));
}

#[tokio::test]
async fn golden_missing_packages_are_told_apart_from_missing_peers() {
    let setup = Setup::new();
    let one = setup.endorser(0, Answer::endorse("same"));
    let two = setup.endorser_without_packages(1);
    let error = setup.gateway([&one, &two]).endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    let recorded = golden("Endorse: org2 peer has no package");
    assert_eq!((error.code, error.message), (recorded.code, recorded.message));

    let error = setup.gateway([&one]).endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert!(error.message.ends_with("no peer combination can satisfy the endorsement policy"), "{error}");
}

#[tokio::test]
async fn transient_data_stay_with_the_own_organization_and_the_collections() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::Down), setup.endorser(1, Answer::endorse("same")));
    let without = setup.endorser_without_packages(0);
    let error =
        setup.gateway([&without, &two]).endorse(setup.endorse_request("open", true)).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert!(error.message.starts_with("no endorsers found in the gateway's organization"), "{error}");
    let error = setup.gateway([&one, &two]).endorse(setup.endorse_request("open", true)).await.unwrap_err();
    assert_eq!(error.code, Code::Aborted);
    assert_eq!(two.asked(), 0);

    // The collection is Org1's, but both organizations have to endorse what goes there.
    let interest = vec![ChaincodeCall {
        name: "basic".to_owned(),
        collection_names: vec!["secrets".to_owned()],
        no_private_reads: true,
        ..ChaincodeCall::default()
    }];
    let one = setup.endorser(0, Answer::Endorse { payload: "same", interest });
    let gateway = setup.gateway([&one, &two]);
    let error = gateway.endorse(setup.endorse_request("basic", true)).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert!(error.message.contains("private data collection(s): [secrets]; retry"), "{error}");
    assert_eq!(two.asked(), 0);
    let prepared = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap();
    assert_eq!(endorsements(&prepared.prepared_transaction.unwrap()).len(), 2);
}

#[tokio::test]
async fn an_endorser_with_a_strange_identity_is_never_asked() {
    let (setup, other) = (Setup::new(), Setup::new());
    let (one, stranger) =
        (setup.endorser(0, Answer::endorse("same")), other.endorser(1, Answer::endorse("same")));
    let gateway = setup.gateway([&one, &stranger]);
    let error = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert_eq!(stranger.asked(), 0);
}

#[tokio::test]
async fn one_endorser_listed_twice_endorses_once() {
    let setup = Setup::new();
    let one = setup.endorser(0, Answer::endorse("same"));
    let again: Arc<dyn Endorser> = one.clone();
    let gateway = setup.gateway_of(vec![one.clone(), again, setup.endorser(1, Answer::endorse("same"))]);
    let prepared = gateway.endorse(setup.endorse_request("basic", false)).await.unwrap();
    assert_eq!(endorsements(&prepared.prepared_transaction.unwrap()).len(), 2);
}
