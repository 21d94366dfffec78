//! The whole way over real sockets: a client, a gateway under TLS, a chaincode server under mutual TLS, a block.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use asset_transfer_basic::{Asset, AssetTransfer};
use selvedge::Server;
use selvedge::tls::{Identity, ServerTls};
use selvedge_client::{Definition, Gateway, ProposalBuilder};
use selvedge_network::{Deployment, EdgeServer, Keeping, Network, NetworkConfig, Ports};
use selvedge_proto::protos::TxValidationCode;
use tokio::sync::oneshot;

const CHANNEL: &str = "mychannel";

struct Serving {
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Serving {
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

async fn serve(place: &EdgeServer, package_id: &str) -> Serving {
    let identity = Identity::from_files(&place.certificate_file, &place.key_file).unwrap();
    let tls = ServerTls::builder(identity)
        .require_client_certificates(std::fs::read(&place.client_authority_file).unwrap())
        .build()
        .unwrap();
    let server = Server::new(AssetTransfer, package_id, tls).bind(place.address.clone()).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        server.serve(async { drop(stopped.await) }).await.unwrap();
    });
    Serving { stop, task }
}

/// An address that is free at the moment. The package names it before the server is started.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn definition(name: &str) -> Definition {
    Definition { name: name.to_owned(), version: "1.0".to_owned(), sequence: 1, ..Definition::default() }
}

fn call(function: &'static str) -> ProposalBuilder {
    ProposalBuilder::new(CHANNEL, "basic").arg(function)
}

async fn user(network: &Network, organization: usize) -> Gateway {
    let peer = &network.peers()[organization];
    let organization = &network.organizations()[organization];
    let user = organization.member(&format!("User1@{}", organization.domain())).unwrap();
    network.gateway(peer, user).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_is_deployed_and_called() {
    let folder = tempfile::tempdir().unwrap();
    let config = NetworkConfig {
        keeping: Keeping::Memory,
        ports: Ports::Free,
        ..NetworkConfig::test_network(folder.path(), 2)
    };
    let network = Network::start(config).await.unwrap();
    let place = network.edge().server("basic", &free_address()).unwrap();
    let package = place.package("basic_1.0").unwrap();
    let deployment = Deployment {
        channel: CHANNEL.to_owned(),
        definition: definition("basic"),
        package: package.bytes().to_vec().into(),
    };
    let package_id = network.deploy(&deployment).await.unwrap();
    assert_eq!(package_id, package.id().to_string());
    let serving = serve(&place, &package_id).await;

    let org1 = user(&network, 0).await;
    let (submitted, commit) = org1.submit_and_wait(call("InitLedger"), &[]).await.unwrap();
    assert_eq!(submitted.response.status, 200);
    assert_eq!(commit.code, TxValidationCode::Valid);
    network.wait_for_block(CHANNEL, commit.block).await.unwrap();

    let org2 = user(&network, 1).await;
    let all = org2.evaluate(call("GetAllAssets")).await.unwrap();
    let assets: Vec<Asset> = serde_json::from_slice(&all.payload).unwrap();
    assert_eq!(assets.len(), 6);
    let (submitted, _) =
        org2.submit_and_wait(call("TransferAsset").arg("asset1").arg("Christopher"), &[]).await.unwrap();
    assert_eq!(&submitted.response.payload[..], b"Tomoko");
    let error = org1.evaluate(call("ReadAsset").arg("asset99")).await.unwrap_err().to_string();
    assert!(error.contains("asset99 does not exist"), "{error}");

    serving.stop().await;
    network.shutdown().await;
}

/// Two organisations commit at their own pace. A client that waits for its own peer and goes on at once must not be
/// told that the endorsements disagree.
#[tokio::test(flavor = "multi_thread")]
async fn endorsers_catch_up_with_the_gateways_peer() {
    let folder = tempfile::tempdir().unwrap();
    let config = NetworkConfig { ports: Ports::Free, ..NetworkConfig::test_network(folder.path(), 2) };
    let network = Network::start(config).await.unwrap();
    let place = network.edge().server("basic", &free_address()).unwrap();
    let deployment = Deployment {
        channel: CHANNEL.to_owned(),
        definition: definition("basic"),
        package: place.package("basic_1.0").unwrap().bytes().to_vec().into(),
    };
    let package_id = network.deploy(&deployment).await.unwrap();
    let serving = serve(&place, &package_id).await;
    let org1 = user(&network, 0).await;
    org1.submit_and_wait(call("InitLedger"), &[]).await.unwrap();
    let mut owner = "Tomoko".to_owned();
    for round in 0..50 {
        let next = format!("owner{round}");
        let (submitted, _) =
            org1.submit_and_wait(call("TransferAsset").arg("asset1").arg(next.clone()), &[]).await.unwrap();
        assert_eq!(submitted.response.payload, owner, "round {round}");
        owner = next;
    }
    serving.stop().await;
    network.shutdown().await;
}
