//! Official parts against ours: Fabric's Node client at our gateway, Fabric's Node shim behind our
//! peer, and the same client with our own chaincode.

mod description;
mod process;

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

use description::{Chaincode, Description};
use process::Process;

const CLIENT: &str = "interop/node-client";
const SHIM: &str = "interop/node-chaincode";

/// Generous: they only end what hangs.
const NETWORK_LIMIT: Duration = Duration::from_secs(120);
const SERVER_LIMIT: Duration = Duration::from_secs(60);
const CLIENT_LIMIT: Duration = Duration::from_secs(300);

/// Who serves asset-transfer-basic behind our peer.
#[derive(Clone, Copy)]
enum Server {
    /// The official shim, from `interop/node-chaincode`.
    NodeShim,
    /// `selvedge sample asset-transfer-basic`.
    Selvedge,
}

/// Every combination runs in a network of its own; all of them run, whatever fails before.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    for folder in [CLIENT, SHIM] {
        command::run(Command::new("npm").arg("ci").current_dir(workspace.path(folder)))?;
    }
    command::run(
        Command::new("cargo")
            .args(["build", "--release", "--locked"])
            .args(["--package", "selvedge-cli", "--bin", "selvedge"])
            .args(["--package", "selvedge-network", "--example", "interop"])
            .current_dir(workspace.path("")),
    )?;
    let scenarios = [Server::NodeShim, Server::Selvedge];
    let mut failed = 0;
    for server in scenarios {
        let begin = Instant::now();
        println!("== the official Node client with {}", server.title());
        match scenario(workspace, server) {
            Ok(()) => println!("== passed in {:.1} s", begin.elapsed().as_secs_f64()),
            Err(error) => {
                failed += 1;
                println!("== FAILED: {error}");
            }
        }
    }
    println!("{} scenarios passed, {failed} failed", scenarios.len() - failed);
    if failed == 0 { Ok(()) } else { Err(Error::Scenarios { failed, total: scenarios.len() }) }
}

fn scenario(workspace: &Workspace, server: Server) -> Result<(), Error> {
    let folder = fresh_folder(workspace, server)?;
    let file = folder.join("network.json");
    let address = free_address()?;
    let mut network = Process::start(
        "network",
        Command::new(workspace.target("release/examples/interop"))
            .arg("--dir")
            .arg(folder.join("network"))
            .arg("--config-out")
            .arg(&file)
            .args(["--chaincode-address", &address]),
        &folder.join("network.log"),
    )?;
    network.wait_until("description of itself", NETWORK_LIMIT, || file.exists())?;
    let description = Description::read(&file)?;
    let chaincode = description.chaincode_at(&address)?;

    let mut command = server.command(workspace, chaincode);
    let mut serving = Process::start("chaincode", &mut command, &folder.join("chaincode.log"))?;
    serving.wait_until("listening port", SERVER_LIMIT, || TcpStream::connect(&chaincode.address).is_ok())?;

    let mut client = Command::new("node");
    client.arg("src/main.js").arg("--config").arg(&file).args(["--chaincode", &chaincode.name]);
    let driven = command::run_within(client.current_dir(workspace.path(CLIENT)), CLIENT_LIMIT);
    if let Err(error) = driven {
        println!("{}", serving.error("its side of the story".to_owned()));
        println!("{}", network.error("its side of the story".to_owned()));
        return Err(error);
    }
    serving.kill()?;
    network.finish()
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::NodeShim => "node-shim",
            Self::Selvedge => "selvedge",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::NodeShim => "the official Node shim",
            Self::Selvedge => "our own chaincode",
        }
    }

    /// The chaincode as a service under mutual TLS.
    fn command(self, workspace: &Workspace, chaincode: &Chaincode) -> Command {
        match self {
            Self::NodeShim => {
                let mut command = Command::new("node");
                command
                    .current_dir(workspace.path(SHIM))
                    .args(["node_modules/.bin/fabric-chaincode-node", "server"])
                    .args([
                        "--chaincode-address",
                        &chaincode.address,
                        "--chaincode-id",
                        &chaincode.package_id,
                    ])
                    .arg("--chaincode-tls-key-file")
                    .arg(&chaincode.server_key)
                    .arg("--chaincode-tls-cert-file")
                    .arg(&chaincode.server_certificate)
                    .arg("--chaincode-tls-client-cacert-file")
                    .arg(&chaincode.client_ca);
                command
            }
            // The names of Fabric's own external chaincode sample.
            Self::Selvedge => {
                let mut command = Command::new(workspace.target("release/selvedge"));
                command
                    .args(["sample", "asset-transfer-basic"])
                    .env("CHAINCODE_SERVER_ADDRESS", &chaincode.address)
                    .env("CHAINCODE_ID", &chaincode.package_id)
                    .env("CHAINCODE_TLS_DISABLED", "false")
                    .env("CHAINCODE_TLS_KEY", &chaincode.server_key)
                    .env("CHAINCODE_TLS_CERT", &chaincode.server_certificate)
                    .env("CHAINCODE_CLIENT_CA_CERT", &chaincode.client_ca);
                command
            }
        }
    }
}

/// What an earlier run left is removed; what this run leaves stays for reading.
fn fresh_folder(workspace: &Workspace, server: Server) -> Result<PathBuf, Error> {
    let folder = workspace.target("interop").join(server.name());
    let failed = |action| {
        let path = folder.clone();
        move |source| Error::File { action, path, source }
    };
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(failed("remove"))?;
    }
    fs::create_dir_all(&folder).map_err(failed("make"))?;
    Ok(folder)
}

/// An address that nobody listens on. The package names it before the server starts, so that the
/// server cannot choose for itself.
fn free_address() -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::Port)?;
    Ok(listener.local_addr().map_err(Error::Port)?.to_string())
}
