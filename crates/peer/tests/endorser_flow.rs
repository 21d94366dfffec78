//! One peer from the installation of a package to committed transactions: a real chaincode stream over mutual TLS, real
//! signatures, and a ledger that commits what comes out.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod endorser_support;
#[allow(dead_code, reason = "it serves the tests of the host, which use more of it")]
mod host_server;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_ledger::storage::FaultyStorage;
use selvedge_package::pack::PackageBuilder;
use selvedge_peer::endorser::{Endorser, EndorserError};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeAction, ChaincodeMessage, PutState, Response, TxValidationCode};
use selvedge_proto::protos::{ChaincodeInput, ProposalResponsePayload};
use selvedge_session::request::{InvokeChaincode, Request};
use tonic::Code;

use endorser_support::{Draft, Network, define, install, within};
use host_server::{Certificates, Server, Session};

/// A network with the chaincode `basic`, whose server the test plays.
struct Running {
    network: Arc<Network>,
    _server: Server,
}

/// What the chaincode does: `get KEY`, `put KEY VALUE`, `private KEY VALUE`, `call NAME ARGS…`.
async fn play(mut session: Session) {
    loop {
        let begin = session.receive().await;
        assert!(matches!(begin.r#type(), Type::Transaction | Type::Init));
        let input = ChaincodeInput::decode(begin.payload.clone()).unwrap();
        let args: Vec<String> =
            input.args.iter().map(|arg| String::from_utf8(arg.to_vec()).unwrap()).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match args[..] {
            ["get", key] => {
                let value = session.get(&begin, key).await;
                session.complete(&begin, 200, &value.payload).await;
            }
            ["put", key, value] => {
                let answer = session.put(&begin, key, value.as_bytes()).await;
                finish(&mut session, &begin, answer).await;
            }
            ["private", key, value] => {
                let collection = "_implicit_org_Org1MSP".to_owned();
                let put = PutState { key: key.to_owned(), value: value.to_owned().into(), collection };
                session.reply(&begin, Type::PutState, put.encode_to_vec()).await;
                let answer = session.receive().await;
                finish(&mut session, &begin, answer).await;
            }
            ["call", name, ref inner @ ..] => {
                let args = inner.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())).collect();
                let input = ChaincodeInput { args, ..ChaincodeInput::default() };
                let call = InvokeChaincode { name: name.to_owned(), input: Some(input) };
                session.reply(&begin, Type::InvokeChaincode, call.encode()).await;
                let answer = session.receive().await;
                if answer.r#type() == Type::Error {
                    session.complete(&begin, 200, &answer.payload).await;
                } else {
                    let ended = ChaincodeMessage::decode(answer.payload).unwrap();
                    session.complete(&begin, 200, &Response::decode(ended.payload).unwrap().payload).await;
                }
            }
            _ => session.complete(&begin, 500, b"no such function").await,
        }
    }
}

async fn finish(session: &mut Session, begin: &ChaincodeMessage, answer: ChaincodeMessage) {
    let status = if answer.r#type() == Type::Response { 200 } else { 500 };
    session.complete(begin, status, &answer.payload).await;
}

impl Running {
    async fn start() -> Self {
        Self::start_with(Network::start().await).await
    }

    async fn start_with(network: Network) -> Self {
        let network = Arc::new(network);
        let certificates = Certificates::new();
        let mut server = Server::start(certificates.mutual()).await;
        let connection = certificates.connection(server.address);
        let package =
            PackageBuilder::new("basic_1").unwrap().connection(&connection).unwrap().build().unwrap();
        let package_id = install(&network, package.bytes().clone()).await;
        define(&network, "basic", &package_id, false).await;
        let caller = Arc::clone(&network);
        let first = tokio::spawn(async move { caller.evaluate("basic", &[b"get", b"a"]).await });
        let session = server.accept_ready(&package_id).await;
        tokio::spawn(play(session));
        assert_eq!(first.await.unwrap().unwrap().payload, Bytes::new());
        Self { network, _server: server }
    }
}

#[tokio::test]
async fn a_transaction_is_evaluated_endorsed_submitted_and_committed() {
    let Running { network, _server } = Running::start().await;
    let status =
        network.submit(&network.org.client, Draft::new("basic", &[b"put", b"a", b"1"])).await.unwrap();
    assert_eq!(status.result(), TxValidationCode::Valid);
    assert_eq!(status.block_number, 3, "after the genesis block, the approval and the definition");
    let read = network.evaluate("basic", &[b"get", b"a"]).await.unwrap();
    assert_eq!((read.status, read.payload), (200, Bytes::from_static(b"1")));
    let error = network.evaluate("basic", &[b"nonsense"]).await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Unknown, "evaluate call to endorser returned error: chaincode response 500, ")
    );
}

#[tokio::test]
async fn private_writes_are_kept_until_their_transaction_is_committed() {
    let Running { network, _server } = Running::start().await;
    let draft = Draft::new("basic", &[b"private", b"secret", b"42"]);
    let proposal = draft.sign(&network.org.client);
    let channel = network.peer.channels().get(endorser_support::CHANNEL).unwrap();
    let tx_id = draft.tx_id(&network.org.client);
    network.endorser.evaluate(proposal.clone()).await.unwrap();
    assert!(channel.transient().get(&tx_id).unwrap().is_empty(), "an evaluation keeps nothing");
    network.endorser.process_proposal(proposal).await.unwrap();
    assert_eq!(channel.transient().get(&tx_id).unwrap().len(), 1);
    let status = network.submit(&network.org.client, draft).await.unwrap();
    assert_eq!(status.result(), TxValidationCode::Valid);
    let space = selvedge_ledger::Space::private("basic", "_implicit_org_Org1MSP");
    let snapshot = channel.ledger().snapshot();
    let stored = selvedge_ledger::Snapshot::get(snapshot.as_ref(), &space, b"secret").unwrap().unwrap();
    assert_eq!(stored.value, Bytes::from_static(b"42"));
}

#[tokio::test]
async fn an_evaluation_is_the_endorsement_without_its_signature() {
    let Running { network, _server } = Running::start().await;
    let proposal = Draft::new("basic", &[b"put", b"b", b"2"]).sign(&network.org.client);
    let evaluated = network.endorser.evaluate(proposal.clone()).await.unwrap();
    let mut endorsed = network.endorser.process_proposal(proposal).await.unwrap();
    let endorsement = endorsed.endorsement.take().unwrap();
    assert_eq!(evaluated, endorsed);
    assert_eq!(endorsement.endorser, network.endorser.identity());
    let signed = [&endorsed.payload[..], &endorsement.endorser].concat();
    let config = network.peer.channels().get(endorser_support::CHANNEL).unwrap().config();
    config.deserialize(&endorsement.endorser).unwrap().verify(&signed, &endorsement.signature).unwrap();
    let payload = ProposalResponsePayload::decode(endorsed.payload).unwrap();
    let action = ChaincodeAction::decode(payload.extension).unwrap();
    assert_eq!(action.chaincode_id.unwrap().version, "1.0");
    assert_eq!(action.response.unwrap().status, 200);
}

#[tokio::test]
async fn a_committed_transaction_is_not_endorsed_again() {
    let Running { network, _server } = Running::start().await;
    let draft = Draft::new("basic", &[b"put", b"a", b"1"]);
    network.submit(&network.org.client, draft.clone()).await.unwrap();
    let error = network.endorser.process_proposal(draft.sign(&network.org.client)).await.unwrap_err();
    let EndorserError::Refused(message) = error else { panic!("{error} is no refusal") };
    assert!(message.starts_with("duplicate transaction found ["), "{message}");
}

#[tokio::test]
async fn a_chaincode_is_initialised_once() {
    let Running { network, _server } = Running::start().await;
    let installed = network.peer.host().installed();
    define(&network, "careful", &installed[0].package_id, true).await;
    let call = |is_init| {
        let mut draft = Draft::new("careful", &[b"put", b"a", b"1"]);
        draft.input.is_init = is_init;
        draft
    };
    let message = async |draft: Draft| {
        let answer = network.endorser.process_proposal(draft.sign(&network.org.client)).await.unwrap();
        let Response { status, message, .. } = answer.response.unwrap();
        assert_eq!(status, 500);
        assert!(answer.payload.is_empty(), "the chaincode has not run");
        let prefix = format!(
            "error in simulation: failed to execute transaction {}: ",
            draft.tx_id(&network.org.client)
        );
        message.strip_prefix(&prefix).unwrap_or_else(|| panic!("{message} begins otherwise")).to_owned()
    };
    assert_eq!(
        message(call(false)).await,
        "invalid invocation: chaincode 'careful' has not been initialized for this version, must call as init first"
    );
    let status = network.submit(&network.org.client, call(true)).await.unwrap();
    assert_eq!(status.result(), TxValidationCode::Valid);
    assert_eq!(
        message(call(true)).await,
        "invalid invocation: chaincode 'careful' is already initialized but called as init"
    );
    let status = network.submit(&network.org.client, call(false)).await.unwrap();
    assert_eq!(status.result(), TxValidationCode::Valid);
    let mut draft = Draft::new("basic", &[b"get", b"a"]);
    draft.input.is_init = true;
    assert_eq!(
        message(draft).await,
        "invalid invocation: chaincode 'basic' does not require initialization but called as init"
    );
}

#[tokio::test]
async fn one_chaincode_calls_another_in_one_transaction() {
    let Running { network, _server } = Running::start().await;
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let connection = certificates.connection(server.address);
    let package = PackageBuilder::new("other_1").unwrap().connection(&connection).unwrap().build().unwrap();
    let package_id = install(&network, package.bytes().clone()).await;
    define(&network, "other", &package_id, false).await;
    let caller = Arc::clone(&network);
    let call = tokio::spawn(async move {
        let args: [&[u8]; 5] = [b"call", b"other:9.9", b"put", b"a", b"from basic"];
        caller.submit(&caller.org.client, Draft::new("basic", &args)).await
    });
    tokio::spawn(play(server.accept_ready(&package_id).await));
    assert_eq!(within(call).await.unwrap().unwrap().result(), TxValidationCode::Valid);
    let read = network.evaluate("other", &[b"get", b"a"]).await.unwrap();
    assert_eq!(
        read.payload,
        Bytes::from_static(b"from basic"),
        "it was written under the called chaincode's name"
    );
    let read = network.evaluate("basic", &[b"call", b"other", b"get", b"a"]).await.unwrap();
    assert_eq!(read.payload, Bytes::from_static(b"from basic"));

    let text = async |name: &[u8]| {
        let response = network.evaluate("basic", &[b"call", name, b"get", b"a"]).await.unwrap();
        String::from_utf8(response.payload.to_vec()).unwrap()
    };
    let itself = text(b"basic").await;
    assert!(itself.contains(": execute failed: error sending: txid: "), "{itself}");
    assert!(itself.ends_with("(testchannel) exists"), "{itself}");
    let missing = text(b"ghost").await;
    assert!(
        missing.ends_with("failed to get chaincode container info for ghost: chaincode ghost not found"),
        "{missing}"
    );
    let elsewhere = text(b"other/nochannel").await;
    assert!(elsewhere.ends_with("Failed to get policy manager for channel [nochannel]"), "{elsewhere}");
}

#[tokio::test]
async fn a_slow_evaluation_delays_no_other_and_no_commit() {
    let network = Arc::new(Network::start().await);
    let certificates = Certificates::new();
    let mut server = Server::start(certificates.mutual()).await;
    let connection = certificates.connection(server.address);
    let package = PackageBuilder::new("slow_1").unwrap().connection(&connection).unwrap().build().unwrap();
    let package_id = install(&network, package.bytes().clone()).await;
    define(&network, "slow", &package_id, false).await;
    let caller = Arc::clone(&network);
    let slow = tokio::spawn(async move { caller.evaluate("slow", &[b"wait"]).await });
    let mut session = server.accept_ready(&package_id).await;
    let begun = session.receive().await;
    assert_eq!(begun.r#type(), Type::Transaction);

    // While it waits, another transaction goes all the way.
    let caller = Arc::clone(&network);
    let other = tokio::spawn(async move {
        caller.submit(&caller.org.client, Draft::new("slow", &[b"put", b"a", b"1"])).await
    });
    let begin = session.receive().await;
    session.put(&begin, "a", b"1").await;
    session.complete(&begin, 200, b"").await;
    assert_eq!(within(other).await.unwrap().unwrap().result(), TxValidationCode::Valid);

    // The slow one still sees the state as it was when it began.
    assert_eq!(session.get(&begun, "a").await.payload, Bytes::new());
    session.complete(&begun, 200, b"done").await;
    assert_eq!(within(slow).await.unwrap().unwrap().payload, Bytes::from_static(b"done"));
}

#[tokio::test]
async fn a_commit_that_is_held_delays_no_evaluation_and_no_endorsement() {
    let storage = FaultyStorage::new();
    let Running { network, _server } =
        Running::start_with(Network::start_on(Arc::new(storage.clone())).await).await;
    let put = |value: &'static [u8]| Draft::new("basic", &[b"put", b"a", value]);
    network.submit(&network.org.client, put(b"old")).await.unwrap();

    let mut hold = storage.hold_syncs();
    let caller = Arc::clone(&network);
    let submission = tokio::spawn(async move { caller.submit(&caller.org.client, put(b"new")).await });
    within(hold.reached()).await;
    for _ in 0..20 {
        let read = network.evaluate("basic", &[b"get", b"a"]).await.unwrap();
        assert_eq!(read.payload, Bytes::from_static(b"old"), "it is not committed yet");
        let proposal = put(b"newer").sign(&network.org.client);
        within(network.endorser.process_proposal(proposal)).await.unwrap().endorsement.unwrap();
    }
    assert!(!submission.is_finished(), "it is held still");

    drop(hold);
    assert_eq!(within(submission).await.unwrap().unwrap().result(), TxValidationCode::Valid);
    let read = network.evaluate("basic", &[b"get", b"a"]).await.unwrap();
    assert_eq!(read.payload, Bytes::from_static(b"new"));
}

/// The channel's MSPs remember certificates that they have read. That one is over counts all the same.
#[tokio::test]
async fn a_creator_whose_certificate_has_expired_is_refused_each_time() {
    let network = Network::start().await;
    for _ in 0..3 {
        let proposal = Draft::new("basic", &[b"get", b"a"]).sign(&network.org.expired);
        let refused = within(network.endorser.process_proposal(proposal)).await.unwrap_err();
        assert!(refused.to_string().contains("proposal client identity expired"), "{refused}");
    }
}
