//! Evaluate, Submit and CommitStatus, and what the service makes of errors.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod committer_support;
mod gateway_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use prost::Message;
use selvedge_identity::SigningIdentity;
use selvedge_peer::gateway::{BroadcastError, Broadcaster, Gateway, GatewayError, GatewayService};
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_proto::common::{Envelope, Status as OrdererStatus};
use selvedge_proto::gateway::gateway_client::GatewayClient;
use selvedge_proto::gateway::gateway_server::Gateway as _;
use selvedge_proto::gateway::{
    CommitStatusRequest, ErrorDetail, EvaluateRequest, SignedCommitStatusRequest, SubmitRequest,
};
use selvedge_proto::google::rpc;
use selvedge_proto::orderer::BroadcastResponse;
use selvedge_proto::protos::TxValidationCode;
use selvedge_tls::{ClientSecurity, DialOptions, Limits, Listener, ServerSecurity, Target};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use committer_support::CHANNEL;
use gateway_support::{Answer, Setup, details, golden};

fn evaluate_request(setup: &Setup, chaincode: &str) -> EvaluateRequest {
    EvaluateRequest {
        proposed_transaction: Some(setup.proposal(chaincode, false)),
        ..EvaluateRequest::default()
    }
}

#[tokio::test]
async fn golden_an_evaluation_gives_the_endorsed_result() {
    let setup = Setup::new();
    let (one, two) = (setup.endorser(0, Answer::endorse("one")), setup.endorser(1, Answer::endorse("two")));
    let gateway = setup.gateway([&two, &one]);
    let mut request = evaluate_request(&setup, "basic");
    let result = gateway.evaluate(request.clone()).await.unwrap().result.unwrap();
    assert_eq!((result.status, result.payload), (200, Bytes::from_static(b"one")));
    request.target_organizations = vec!["Org2MSP".to_owned()];
    let result = gateway.evaluate(request.clone()).await.unwrap().result.unwrap();
    assert_eq!(result.payload, Bytes::from_static(b"two"));
    request.target_organizations = vec!["Org9MSP".to_owned()];
    let error = gateway.evaluate(request).await.unwrap_err();
    let recorded = golden("Evaluate: target org without peers");
    assert_eq!((error.code, error.message), (recorded.code, recorded.message.replace("chstream", CHANNEL)));
}

#[tokio::test]
async fn golden_failed_evaluations_are_recorded_ones() {
    for (label, answer, asked) in [
        ("Evaluate: status 400", Answer::Chaincode(400, "bad"), 0),
        ("Evaluate: status 500", Answer::Chaincode(500, "worse"), 0),
        ("Evaluate: chaincode error", Answer::Chaincode(500, "plain"), 0),
        (
            "Evaluate: bad signature",
            Answer::Refused(
                "error validating proposal: access denied: channel [chstream] creator org [Org1MSP]",
            ),
            0,
        ),
        ("Evaluate: expired identity", Answer::Filtered("proposal client identity expired"), 1),
    ] {
        let setup = Setup::new();
        let two = setup.endorser(
            1,
            Answer::Filtered("rpc error: code = Unknown desc = proposal client identity expired"),
        );
        let gateway = setup.gateway([&setup.endorser(0, answer), &two]);
        let error = gateway.evaluate(evaluate_request(&setup, "basic")).await.unwrap_err();
        let recorded = golden(label);
        assert_eq!(
            (error.code, error.message.as_str()),
            (recorded.code, recorded.message.as_str()),
            "{label}"
        );
        let messages: Vec<_> = error.details.iter().map(|detail| detail.message.as_str()).collect();
        assert_eq!(messages, recorded.details, "{label}");
        assert_eq!(two.asked(), asked, "{label}");
    }
}

#[tokio::test]
async fn an_evaluation_goes_on_with_the_next_endorser() {
    let setup = Setup::new();
    let (down, failing) =
        (setup.endorser(0, Answer::Down), setup.endorser(0, Answer::Peer("chaincode stream terminated")));
    let gateway = setup.gateway([&down, &failing, &setup.endorser(1, Answer::endorse("two"))]);
    let result = gateway.evaluate(evaluate_request(&setup, "basic")).await.unwrap().result.unwrap();
    assert_eq!(result.payload, Bytes::from_static(b"two"));

    let gateway = setup.gateway([&down, &failing]);
    let error = gateway.evaluate(evaluate_request(&setup, "basic")).await.unwrap_err();
    assert_eq!(error.code, Code::Aborted, "the code is the last endorser's");
    assert_eq!(error.message, "failed to evaluate transaction, see attached details for more info");
    let expected = [
        ("peer0-0:7051", "Org1MSP", gateway_support::DOWN),
        ("peer0-1:7051", "Org1MSP", "chaincode stream terminated"),
    ];
    assert_eq!(details(&error), expected);
}

#[tokio::test]
async fn transient_data_of_an_evaluation_stay_with_the_own_organization() {
    let setup = Setup::new();
    let two = setup.endorser(1, Answer::endorse("two"));
    let gateway = setup.gateway([&two]);
    let mut request = evaluate_request(&setup, "basic");
    request.proposed_transaction = Some(setup.proposal("basic", true));
    let error = gateway.evaluate(request.clone()).await.unwrap_err();
    assert_eq!(error.code, Code::FailedPrecondition);
    assert!(error.message.starts_with("no endorsers found in the gateway's organization"), "{error}");
    assert_eq!(two.asked(), 0);
    request.target_organizations = vec!["Org2MSP".to_owned()];
    assert!(gateway.evaluate(request).await.is_ok());
}

/// An ordering node that always says the same.
struct Orderer {
    answer: Option<(OrdererStatus, &'static str)>,
    asked: AtomicUsize,
}

impl Orderer {
    fn new(answer: Option<(OrdererStatus, &'static str)>) -> Arc<Self> {
        Arc::new(Self { answer, asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Broadcaster for Orderer {
    fn msp_id(&self) -> &str {
        "OrdererMSP"
    }

    fn address(&self) -> &str {
        "orderer:7050"
    }

    async fn broadcast(&self, _: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match self.answer {
            Some((status, info)) => Ok(BroadcastResponse { status: status as i32, info: info.to_owned() }),
            None => Err(BroadcastError::Unavailable(gateway_support::DOWN.to_owned())),
        }
    }
}

async fn submit(
    setup: &Setup,
    orderers: &[&Arc<Orderer>],
    signature: &'static [u8],
) -> Result<(), GatewayError> {
    let orderers = orderers.iter().map(|orderer| Arc::clone(orderer) as Arc<dyn Broadcaster>).collect();
    let envelope = Envelope { payload: Bytes::from_static(b"payload"), signature: signature.into() };
    let request = SubmitRequest {
        channel_id: CHANNEL.to_owned(),
        prepared_transaction: Some(envelope),
        ..SubmitRequest::default()
    };
    setup.gateway_with(Vec::new(), orderers).submit(request).await.map(drop)
}

#[tokio::test]
async fn a_transaction_goes_to_the_first_orderer_that_takes_it() {
    let setup = Setup::new();
    let (down, busy) = (Orderer::new(None), Orderer::new(Some((OrdererStatus::ServiceUnavailable, "busy"))));
    let (good, spare) = (Orderer::new(Some((OrdererStatus::Success, ""))), Orderer::new(None));
    submit(&setup, &[&down, &busy, &good, &spare], b"signed").await.unwrap();
    assert_eq!(good.asked.load(Ordering::SeqCst), 1);
    assert_eq!(spare.asked.load(Ordering::SeqCst), 0);

    let error = submit(&setup, &[&down, &busy], b"signed").await.unwrap_err();
    assert_eq!(
        (error.code, error.message.as_str()),
        (Code::Unavailable, "no orderers could successfully process transaction")
    );
    assert_eq!(details(&error), [("orderer:7050", "OrdererMSP", gateway_support::DOWN)]);
    let error = submit(&setup, &[], b"signed").await.unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (Code::Unavailable, "no orderer nodes available"));
}

#[tokio::test]
async fn golden_an_orderers_refusal_is_final() {
    let setup = Setup::new();
    let info = "implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 1 of the \
                'Writers' sub-policies to be satisfied: permission denied";
    let (refusing, other) = (Orderer::new(Some((OrdererStatus::Forbidden, info))), Orderer::new(None));
    let error = submit(&setup, &[&refusing, &other], b"signed").await.unwrap_err();
    let recorded = golden("Submit: bad signature");
    assert_eq!((error.code, error.message.as_str()), (recorded.code, recorded.message.as_str()));
    assert_eq!(other.asked.load(Ordering::SeqCst), 0);

    let error = submit(&setup, &[&other], b"").await.unwrap_err();
    let recorded = golden("Submit: unsigned");
    assert_eq!((error.code, error.message), (recorded.code, recorded.message));
    assert_eq!(other.asked.load(Ordering::SeqCst), 0);
}

fn status_request(by: &SigningIdentity, transaction_id: &str) -> SignedCommitStatusRequest {
    let request: Bytes = CommitStatusRequest {
        transaction_id: transaction_id.to_owned(),
        channel_id: CHANNEL.to_owned(),
        identity: by.serialized().clone(),
    }
    .encode_to_vec()
    .into();
    let signature = by.sign(&request).unwrap();
    SignedCommitStatusRequest { request, signature }
}

#[tokio::test]
async fn golden_the_verdict_of_a_committed_transaction_is_told() {
    let setup = Setup::new();
    let gateway = setup.gateway([]);
    let block = setup.channel.ledger().block(1).unwrap().unwrap();
    let entry = &block.data.unwrap().data[0];
    let id = selvedge_ledger::block::TransactionSummary::of(entry).transaction_id;
    let status = gateway.commit_status(status_request(setup.client(), &id)).await.unwrap();
    assert_eq!((status.result(), status.block_number), (TxValidationCode::Valid, 1));

    let stranger = Setup::new();
    let error = gateway.commit_status(status_request(stranger.client(), &id)).await.unwrap_err();
    let recorded = golden("CommitStatus: org3 identity");
    assert_eq!((error.code, error.message), (recorded.code, recorded.message.replace("chstream", CHANNEL)));
    let mut unsigned = status_request(setup.client(), &id);
    unsigned.signature = Bytes::new();
    let error = gateway.commit_status(unsigned).await.unwrap_err();
    assert_eq!(error.code, Code::PermissionDenied);
}

#[tokio::test]
async fn details_travel_in_the_status() {
    let setup = Setup::new();
    let service = GatewayService::new(setup.gateway([&setup.endorser(0, Answer::Chaincode(500, "worse"))]));
    let status = service.evaluate(Request::new(evaluate_request(&setup, "basic"))).await.unwrap_err();
    let packed = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((packed.code, packed.message.as_str()), (status.code() as i32, status.message()));
    let [detail] = &packed.details[..] else { panic!("one endorser said something") };
    assert_eq!(detail.type_url, "type.googleapis.com/gateway.ErrorDetail");
    let expected = ErrorDetail {
        address: "peer0-0:7051".to_owned(),
        msp_id: "Org1MSP".to_owned(),
        message: "chaincode response 500, worse".to_owned(),
    };
    assert_eq!(ErrorDetail::decode(&detail.value[..]).unwrap(), expected);

    let status = service.submit(Request::new(SubmitRequest::default())).await.unwrap_err();
    assert!(status.details().is_empty(), "an error without details has none");
}

#[tokio::test]
async fn one_request_too_many_is_refused() {
    let setup = Setup::new();
    let endorser = setup.endorser(0, Answer::Hang);
    let service = Arc::new(GatewayService::with_limit(setup.gateway([&endorser]), 1));
    let request = || Request::new(evaluate_request(&setup, "basic"));
    let mut waiting = Box::pin(service.evaluate(request()));
    // The first poll takes the only place and asks the endorser.
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let refused: Status = service.evaluate(request()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unknown);
    assert_eq!(refused.message(), "too many requests for /gateway.Gateway, exceeding concurrency limit (1)");
    drop(waiting);
    let mut again = Box::pin(service.evaluate(request()));
    assert!(futures_util::poll!(&mut again).is_pending(), "the place is free again");
}

/// A gateway over a real socket, with one place of each kind.
struct Served {
    target: Target,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Served {
    async fn start(gateway: Gateway) -> Self {
        let security = ServerSecurity::Plaintext;
        let listener = Listener::bind("127.0.0.1:0", security, Limits::default()).await.unwrap();
        let target = listener.local_addr().to_string().parse().unwrap();
        let (stop, stopped) = oneshot::channel();
        let service = GatewayService::with_limit(gateway, 1).server();
        let services = Services::new(ServiceLimits::default()).with(service);
        let serving = tokio::spawn(async move {
            services.serve(listener, async { stopped.await.unwrap() }).await.unwrap();
        });
        Self { target, stop, serving }
    }

    /// A client with a connection of its own.
    async fn client(&self) -> GatewayClient<Channel> {
        let options = DialOptions::default();
        let channel = selvedge_tls::channel(&self.target, &ClientSecurity::Plaintext, &options).await;
        GatewayClient::new(channel.unwrap())
    }
}

async fn until_waiting(setup: &Setup, count: usize) {
    let waiting = async {
        while setup.channel.notifier().waiting() != count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time");
}

/// Clients that set no deadline, for transactions that never come.
#[tokio::test(flavor = "multi_thread")]
async fn waits_are_bounded_starve_nobody_and_end_with_their_clients() {
    let setup = Setup::new();
    let served = Served::start(setup.gateway([&setup.endorser(0, Answer::endorse("fine"))])).await;
    let wait = async |mut client: GatewayClient<Channel>| {
        client.commit_status(status_request(setup.client(), "never")).await
    };
    let mut other = served.client().await;
    {
        let mut first = std::pin::pin!(wait(served.client().await));
        tokio::select! {
            _ = &mut first => panic!("the transaction never comes"),
            () = until_waiting(&setup, 1) => {}
        }
        let refused = wait(other.clone()).await.unwrap_err();
        let expected = "too many requests for /gateway.Gateway, exceeding concurrency limit (1)";
        assert_eq!(refused.message(), expected);
        let result = other.evaluate(evaluate_request(&setup, "basic")).await.unwrap().into_inner().result;
        assert_eq!(
            result.unwrap().payload,
            Bytes::from_static(b"fine"),
            "who waits takes no place of a request"
        );
    }
    until_waiting(&setup, 0).await;
    {
        let mut second = std::pin::pin!(wait(other.clone()));
        tokio::select! {
            _ = &mut second => panic!("there is a place again"),
            () = until_waiting(&setup, 1) => {}
        }
    }
    drop(other);
    served.stop.send(()).unwrap();
    served.serving.await.unwrap();
}

#[tokio::test]
async fn the_clients_deadline_ends_a_request() {
    let setup = Setup::new();
    let service = GatewayService::new(setup.gateway([&setup.endorser(0, Answer::Hang)]));
    let mut request = Request::new(evaluate_request(&setup, "basic"));
    request.set_timeout(Duration::from_millis(20));
    let status = service.evaluate(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::DeadlineExceeded, "evaluate timeout expired"));
}
