//! What transactions ask for, and calls of a chaincode.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge_peer::host::{ExecuteError, Finished, LaunchError};
use selvedge_peer::invocation::{Invocation, TransactionContext};
use selvedge_proto::protos::{ChaincodeInput, SignedProposal};
use selvedge_session::request::AnyRequest;
use tokio::sync::Notify;

use crate::host_server::{Certificates, Peer, Server, within};

/// State that is read and written at once; enough to see what crosses the stream.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) state: BTreeMap<String, Bytes>,
    pub(crate) requests: usize,
}

impl TransactionContext for Memory {
    fn handle(&mut self, request: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
        self.requests += 1;
        let result = match request {
            AnyRequest::GetState(get) => Ok(self.state.get(&get.key).cloned().unwrap_or_default()),
            AnyRequest::PutState(put) => {
                self.state.insert(put.key, put.value);
                Ok(Bytes::new())
            }
            other => Err(format!("{:?} is not for this test", other.message_type())),
        };
        async move { result }.boxed()
    }
}

/// Answers only when it is told to; tells when it was asked, and by being dropped when it was given up.
#[derive(Clone, Default)]
pub(crate) struct Slow {
    pub(crate) asked: Arc<Notify>,
    pub(crate) go_on: Arc<Notify>,
}

impl TransactionContext for Slow {
    fn handle(&mut self, _: AnyRequest) -> BoxFuture<'_, Result<Bytes, String>> {
        async {
            self.asked.notify_one();
            self.go_on.notified().await;
            Ok(Bytes::from_static(b"late"))
        }
        .boxed()
    }
}

pub(crate) fn invocation(tx_id: &str) -> Invocation {
    Invocation {
        channel_id: "mychannel".into(),
        tx_id: tx_id.into(),
        input: ChaincodeInput { args: vec![Bytes::from_static(b"go")], ..Default::default() },
        proposal: SignedProposal {
            proposal_bytes: Bytes::from_static(b"proposal"),
            signature: Bytes::from_static(b"signature"),
        },
        is_init: false,
    }
}

/// A call in a task of its own.
pub(crate) fn call(
    peer: &Peer,
    package_id: &str,
    tx_id: &str,
) -> tokio::task::JoinHandle<Result<Finished, ExecuteError>> {
    call_with(peer, package_id, tx_id, Memory::default())
}

pub(crate) fn call_with(
    peer: &Peer,
    package_id: &str,
    tx_id: &str,
    mut context: impl TransactionContext + 'static,
) -> tokio::task::JoinHandle<Result<Finished, ExecuteError>> {
    let (host, package_id, invocation) = (peer.host.clone(), package_id.to_owned(), invocation(tx_id));
    tokio::spawn(async move { host.execute(&package_id, invocation, &mut context).await })
}

/// A server, a peer with its package, and the package's id.
pub(crate) async fn connected() -> (Server, Peer, String) {
    let certificates = Certificates::new();
    let server = Server::start(certificates.mutual()).await;
    let peer = Peer::new();
    let package_id = peer.install("basic_1", &certificates.connection(server.address)).await;
    (server, peer, package_id)
}

/// The error of a call, which is also checked to be the one a probe finds.
pub(crate) async fn launch_error(peer: &Peer, package_id: &str) -> (LaunchError, String) {
    let error = within(call(peer, package_id, "tx")).await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("could not launch chaincode {package_id}: ")), "{text}");
    let ExecuteError::Launch { source, .. } = error else { panic!("{text}") };
    (Arc::into_inner(source).unwrap(), text)
}

/// The verdict of a failed dial, whose error text is Fabric's up to the reason.
pub(crate) async fn dial_verdict(peer: &Peer, package_id: &str, address: impl std::fmt::Display) -> String {
    let (error, text) = launch_error(peer, package_id).await;
    let fabrics = format!(
        "could not launch chaincode {package_id}: connection to {package_id} failed: error cannot create \
         connection for {package_id}: error creating grpc connection to {address}: failed to create new \
         connection: cannot connect to {address}: "
    );
    assert!(text.starts_with(&fabrics), "{text}");
    match error {
        LaunchError::Dial { source, .. } => source.verdict.name().to_owned(),
        other => panic!("{other}"),
    }
}
