//! A network's certificates, a small gRPC server behind a listener, and clients of it.

use std::net::SocketAddr;
use std::time::Duration;

use selvedge_pki::{Authority, AuthoritySpec, Leaf, LeafSpec, Usage, Validity};
use selvedge_proto::orderer::atomic_broadcast_server::AtomicBroadcastServer;
use selvedge_proto::protos::endorser_client::EndorserClient;
use selvedge_proto::protos::endorser_server::{Endorser, EndorserServer};
use selvedge_proto::protos::{ProposalResponse, Response as Outcome, SignedProposal};
use selvedge_tls::{
    CertificateFacts, ClientSecurity, ClientTls, DialError, DialOptions, Identity, Limits, Listener,
    PeerInfo, ReceiveBudget, Refusal, RefusalReason, SecuritySwitch, ServerSecurity, ServerTls, Target,
    channel, probe,
};
use tokio::sync::{broadcast, oneshot};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use crate::received::Echo;

/// A safety net only; nothing here takes long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn authority(name: &str) -> Authority {
    Authority::new(&AuthoritySpec { common_name: name.into(), ..AuthoritySpec::default() })
        .expect("an authority")
}

pub(crate) fn late_authority(name: &str) -> Authority {
    let spec =
        AuthoritySpec { common_name: name.into(), validity: Validity::expired(), ..AuthoritySpec::default() };
    Authority::new(&spec).expect("an authority")
}

pub(crate) fn spec(name: &str, sans: &[&str], usage: Usage) -> LeafSpec {
    LeafSpec {
        common_name: name.into(),
        sans: sans.iter().map(ToString::to_string).collect(),
        usage,
        ..LeafSpec::default()
    }
}

pub(crate) fn identity(leaf: &Leaf) -> Identity {
    Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).expect("an identity")
}

/// A server's certificate for localhost and both loopback addresses.
pub(crate) fn server_leaf(authority: &Authority) -> Leaf {
    authority
        .issue(&spec("server", &["localhost", "127.0.0.1", "::1"], Usage::Server))
        .expect("a server's certificate")
}

pub(crate) fn client_leaf(authority: &Authority) -> Leaf {
    authority
        .issue(&spec("client", &["peer0.org1.example.com", "spiffe://org1/peer0"], Usage::Client))
        .expect("a client's certificate")
}

pub(crate) fn mutual(server: &Authority, clients: &Authority) -> ServerTls {
    ServerTls::builder(identity(&server_leaf(server)))
        .require_client_certificates(clients.certificate_pem())
        .build()
        .expect("a server's configuration")
}

pub(crate) fn one_way(leaf: &Leaf) -> ServerTls {
    ServerTls::builder(identity(leaf)).without_client_certificates().expect("a server's configuration")
}

pub(crate) fn trusting(roots: &str) -> ClientSecurity {
    ClientTls::builder(roots).build().expect("a client's configuration").into()
}

pub(crate) fn trusting_as(roots: &str, leaf: &Leaf) -> ClientSecurity {
    ClientTls::builder(roots).identity(identity(leaf)).build().expect("a client's configuration").into()
}

/// Answers with what the server knows about the client.
struct WhoAmI;

#[tonic::async_trait]
impl Endorser for WhoAmI {
    async fn process_proposal(
        &self,
        request: Request<SignedProposal>,
    ) -> Result<Response<ProposalResponse>, Status> {
        let peer =
            request.extensions().get::<PeerInfo>().ok_or_else(|| Status::internal("no peer information"))?;
        let subject = peer
            .certificates
            .first()
            .map(|der| CertificateFacts::from_der(der).map(|facts| facts.subject))
            .transpose()
            .map_err(Status::internal)?;
        let message = format!(
            "{} of {}",
            subject.as_deref().unwrap_or("nobody"),
            peer.msp_id.as_deref().unwrap_or("none")
        );
        let response = Some(Outcome { status: 200, message, ..Outcome::default() });
        Ok(Response::new(ProposalResponse { response, ..ProposalResponse::default() }))
    }
}

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) switch: SecuritySwitch,
    refusals: broadcast::Receiver<Refusal>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Running {
    pub(crate) async fn start(security: impl Into<ServerSecurity>) -> Self {
        Self::start_at("127.0.0.1:0", security, Limits::default()).await
    }

    pub(crate) async fn start_at(address: &str, security: impl Into<ServerSecurity>, limits: Limits) -> Self {
        Self::launch(address, security, limits, ReceiveBudget::default()).await
    }

    pub(crate) async fn start_within(security: impl Into<ServerSecurity>, budget: &ReceiveBudget) -> Self {
        Self::launch("127.0.0.1:0", security, Limits::default(), budget.clone()).await
    }

    async fn launch(
        address: &str,
        security: impl Into<ServerSecurity>,
        limits: Limits,
        budget: ReceiveBudget,
    ) -> Self {
        let listener = Listener::bind(address, security, limits).await.expect("a port");
        let (stop, stopped) = oneshot::channel::<()>();
        let address = listener.local_addr();
        let (switch, refusals) = (listener.security(), listener.refusals());
        let server = Server::builder()
            .layer(budget)
            .add_service(EndorserServer::new(WhoAmI))
            .add_service(AtomicBroadcastServer::new(Echo));
        let task = tokio::spawn(server.serve_with_incoming_shutdown(listener, async {
            let _ = stopped.await;
        }));
        Self { address, switch, refusals, stop, task }
    }

    pub(crate) fn target(&self) -> Target {
        Target { host: self.address.ip().to_string(), port: self.address.port() }
    }

    /// By name, not by address.
    pub(crate) fn localhost(&self) -> Target {
        Target { host: "localhost".into(), port: self.address.port() }
    }

    pub(crate) async fn refusal(&mut self) -> Refusal {
        tokio::time::timeout(PATIENCE, self.refusals.recv()).await.expect("in time").expect("a refusal")
    }

    /// Forgets one refusal that was told already, if there is one.
    pub(crate) fn refusals_so_far(&mut self) -> bool {
        self.refusals.try_recv().is_ok()
    }

    pub(crate) async fn reason(&mut self) -> RefusalReason {
        self.refusal().await.reason
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).expect("the server runs");
        tokio::time::timeout(PATIENCE, self.task).await.expect("in time").expect("no panic").expect("served");
    }
}

pub(crate) fn options() -> DialOptions {
    DialOptions { timeout: PATIENCE, ..DialOptions::default() }
}

pub(crate) async fn connect(target: &Target, security: &ClientSecurity) -> Result<Channel, DialError> {
    channel(target, security, &options()).await
}

/// Dials both ways there are and expects the same verdict from each.
pub(crate) async fn refused(target: &Target, security: &ClientSecurity) -> DialError {
    let probed = probe(target, security, PATIENCE).await.expect_err("a verdict");
    let dialled = connect(target, security).await.expect_err("a verdict");
    assert_eq!(probed.verdict.name(), dialled.verdict.name(), "{probed} and {dialled}");
    dialled
}

pub(crate) async fn who_am_i(channel: Channel) -> Result<String, Status> {
    let reply = EndorserClient::new(channel).process_proposal(SignedProposal::default()).await?;
    Ok(reply.into_inner().response.expect("a response").message)
}
