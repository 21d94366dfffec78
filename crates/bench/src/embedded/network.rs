//! The network: one organisation, one peer, one orderer, ledgers on disk.

use std::net::TcpListener;

use selvedge_client::Definition;
use selvedge_network::{Deployment, Keeping, Network, NetworkConfig, Ports};

use super::{CHAINCODE, CHANNEL, Place, Ready, ended};
use crate::error::BenchError;
use crate::print;

/// Runs until standard input ends.
pub(crate) async fn run() -> Result<(), BenchError> {
    let folder = tempfile::Builder::new().prefix("selvedge-bench-").tempdir();
    let folder = folder.map_err(BenchError::io("no folder can be made for the network"))?;
    let config = NetworkConfig {
        keeping: Keeping::Disk,
        ports: Ports::Free,
        ..NetworkConfig::test_network(folder.path(), 1)
    };
    let network = Network::start(config).await?;
    let ready = deploy(&network).await?;
    let mut line = serde_json::to_string(&ready).expect("a place has string keys only");
    line.push('\n');
    print(&line)?;
    ended(tokio::io::stdin()).await;
    network.shutdown().await;
    folder.close().map_err(BenchError::io("the network's folder cannot be removed"))
}

/// Deploys the chaincode, whose server is started once this is done.
async fn deploy(network: &Network) -> Result<Ready, BenchError> {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let address = free.map_err(BenchError::io("no port is free for the chaincode"))?.to_string();
    let server = network.edge().server(CHAINCODE, &address)?;
    let definition = Definition {
        name: CHAINCODE.to_owned(),
        version: "1.0".to_owned(),
        sequence: 1,
        ..Definition::default()
    };
    let package = server.package("basic_1.0")?.bytes().clone();
    let package_id = network.deploy(&Deployment { channel: CHANNEL.to_owned(), definition, package }).await?;
    let config = network.folder().join("bench.json");
    network.description()?.write_file(&config)?;
    let chaincode = Place {
        address,
        package_id,
        certificate: server.certificate_file,
        key: server.key_file,
        client_authority: server.client_authority_file,
    };
    Ok(Ready { config, chaincode })
}
