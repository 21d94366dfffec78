//! A network for official clients and shims: it deploys asset-transfer-basic at given addresses, says where everything
//! is in a JSON file, and serves until its standard input ends.

use std::error::Error;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use selvedge_client::Definition;
use selvedge_network::{Deployment, Network, NetworkConfig, Ports};
use serde_json::json;

struct Arguments {
    folder: PathBuf,
    config_out: PathBuf,
    addresses: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    let config =
        NetworkConfig { ports: Ports::Free, ..NetworkConfig::test_network(arguments.folder.clone(), 2) };
    let network = Network::start(config).await?;
    let channel = network.channels().first().ok_or("the network has no channel")?.clone();

    let mut chaincodes = Vec::new();
    for (number, address) in arguments.addresses.iter().enumerate() {
        let name = format!("basic{number}");
        let server = network.edge().server(&name, address)?;
        let definition = Definition {
            name: name.clone(),
            version: "1.0".to_owned(),
            sequence: 1,
            ..Definition::default()
        };
        let package = server.package(&name)?.bytes().to_vec().into();
        let package_id =
            network.deploy(&Deployment { channel: channel.clone(), definition, package }).await?;
        chaincodes.push(json!({
            "name": name,
            "package_id": package_id,
            "address": address,
            "server_certificate": server.certificate_file,
            "server_key": server.key_file,
            "client_ca": server.client_authority_file,
        }));
    }
    let peer = network.peers().first().ok_or("the network has no peer")?;
    let organization = network.organizations().first().ok_or("the network has no organisation")?;
    let user = format!("User1@{}", organization.domain());
    let user = organization.member(&user).ok_or("the organisation has no user")?;
    let description = json!({
        "gateway": {
            "address": peer.address().to_string(),
            "tls_root": organization.tls_authority_file(),
            "server_name": peer.name(),
        },
        "channel": channel,
        "identity": {
            "msp_id": user.msp_id(),
            "certificate": user.certificate_file(),
            "key": user.key_file(),
        },
        "chaincodes": chaincodes,
    });
    let unfinished = arguments.config_out.with_extension("new");
    fs::write(&unfinished, serde_json::to_vec_pretty(&description)?)?;
    fs::rename(&unfinished, &arguments.config_out)?;

    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    network.shutdown().await;
    Ok(())
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut folder = None;
        let mut config_out = None;
        let mut addresses = Vec::new();
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--dir" => folder = Some(value.into()),
                "--config-out" => config_out = Some(value.into()),
                "--chaincode-address" => addresses.push(value),
                _ => return Err(format!("{name} is unknown").into()),
            }
        }
        Ok(Self {
            folder: folder.ok_or("--dir is missing")?,
            config_out: config_out.ok_or("--config-out is missing")?,
            addresses,
        })
    }
}
