//! A network of one organisation, whose chaincode the tests bring along.
#![allow(dead_code, reason = "every test takes what it needs")]

pub(crate) mod builder;
pub(crate) mod collections;
pub(crate) mod forge;
pub(crate) mod line;
pub(crate) mod scripted;
pub(crate) mod sharing;

use std::time::Duration;

use bytes::Bytes;
use selvedge::tls::{Identity, ServerTls};
use selvedge::{Chaincode, Context, Response, Server};
use selvedge_client::{ClientError, Definition, Gateway, ProposalBuilder, Timeouts};
use selvedge_network::identities::Member;
use selvedge_network::{Deployment, EdgeServer, Keeping, Network, NetworkConfig, NetworkPeer, Ports};
use selvedge_proto::protos;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub(crate) const CHANNEL: &str = "mychannel";

/// A safety net: nothing here is meant to take as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("it should not take that long")
}

/// A running network, and its user.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) user: Gateway,
    _folder: TempDir,
}

/// A chaincode that is committed on the channel; its server is still to be started.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) server: EdgeServer,
    pub(crate) package_id: String,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut NetworkConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = NetworkConfig {
            keeping: Keeping::Memory,
            ports: Ports::Free,
            ..NetworkConfig::test_network(folder.path(), 1)
        };
        change(&mut config);
        let network = Network::start(config).await.unwrap();
        let user = network.gateway(&network.peers()[0], member(&network)).await.unwrap();
        let user = user.timeouts(Timeouts {
            evaluate: PATIENCE,
            endorse: PATIENCE,
            submit: PATIENCE,
            commit_status: PATIENCE,
        });
        Self { network, user, _folder: folder }
    }

    pub(crate) fn peer(&self) -> &NetworkPeer {
        &self.network.peers()[0]
    }

    /// The user whom the gateway is used for.
    pub(crate) fn member(&self) -> &Member {
        member(&self.network)
    }

    /// Deploys a chaincode.
    pub(crate) async fn deploy(&self, name: &str) -> Place {
        let server = self.network.edge().server(name, &free_address()).unwrap();
        let package = server.package(&format!("{name}_1")).unwrap();
        let deployment = Deployment {
            channel: CHANNEL.to_owned(),
            definition: definition(name),
            package: package.bytes().clone(),
        };
        let package_id = self.network.deploy(&deployment).await.unwrap();
        Place { server, package_id }
    }

    pub(crate) async fn evaluate(&self, call: ProposalBuilder) -> Result<Bytes, String> {
        answered(within(self.user.evaluate(call)).await)
    }

    /// Evaluates in a task of its own.
    pub(crate) fn begin(&self, call: ProposalBuilder) -> JoinHandle<Result<Bytes, String>> {
        let user = self.user.clone();
        tokio::spawn(async move { answered(within(user.evaluate(call)).await) })
    }

    /// Submits and waits for the block.
    pub(crate) async fn submit(&self, call: ProposalBuilder) -> Result<Bytes, String> {
        let submitted = within(self.user.submit_and_wait(call, &[])).await;
        answered(submitted.map(|(submitted, _)| submitted.response))
    }

    pub(crate) async fn stop(self) {
        within(self.network.shutdown()).await;
    }
}

fn member(network: &Network) -> &Member {
    network.organizations()[0].member("User1@org1.example.com").unwrap()
}

fn answered(result: Result<protos::Response, ClientError>) -> Result<Bytes, String> {
    result.map(|response| response.payload).map_err(|error| error.to_string())
}

/// An address that is free at the moment. The package names it before the server is started.
pub(crate) fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub(crate) fn definition(name: &str) -> Definition {
    Definition { name: name.to_owned(), version: "1.0".to_owned(), sequence: 1, ..Definition::default() }
}

pub(crate) fn call(chaincode: &str, function: &'static str) -> ProposalBuilder {
    ProposalBuilder::new(CHANNEL, chaincode).arg(function)
}

/// A chaincode server that runs until it is stopped.
pub(crate) struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Serving {
    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        within(self.task).await.unwrap();
    }
}

/// Serves chaincode made of one function, which gets a copy of the context.
pub(crate) async fn serve<F, R>(place: &Place, contract: F) -> Serving
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    serve_chaincode(place, Contract(contract)).await
}

/// Serves chaincode.
pub(crate) async fn serve_chaincode(place: &Place, chaincode: impl Chaincode) -> Serving {
    let server = Server::new(chaincode, place.package_id.as_str(), server_tls(&place.server));
    let server = server.bind(place.server.address.clone()).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        server.serve(async { drop(stopped.await) }).await.unwrap();
    });
    Serving { stop, task }
}

/// Mutual TLS as the peers expect it of a chaincode server.
pub(crate) fn server_tls(place: &EdgeServer) -> ServerTls {
    let identity = Identity::from_files(&place.certificate_file, &place.key_file).unwrap();
    let clients = std::fs::read(&place.client_authority_file).unwrap();
    ServerTls::builder(identity).require_client_certificates(clients).build().unwrap()
}

struct Contract<F>(F);

#[async_trait::async_trait]
impl<F, R> Chaincode for Contract<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Response> + Send + 'static,
{
    async fn invoke(&self, ctx: &Context) -> Response {
        (self.0)(ctx.clone()).await
    }
}
