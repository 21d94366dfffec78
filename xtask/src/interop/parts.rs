//! The parts that meet: clients and chaincode servers, official ones and ours, and how each is made and started.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

use super::network::Chaincode;

const NODE_CLIENT: &str = "interop/node-client";
const NODE_SHIM: &str = "interop/node-chaincode";
const GO_CLIENT: &str = "interop/go-client";
const GO_SHIM: &str = "interop/go-chaincode";

/// Who drives asset-transfer-basic through our gateway.
#[derive(Clone, Copy)]
pub(super) enum Client {
    /// `@hyperledger/fabric-gateway`, from `interop/node-client`.
    Node,
    /// `fabric-gateway/pkg/client`, from `interop/go-client`.
    Go,
}

/// Who serves asset-transfer-basic behind our peer.
#[derive(Clone, Copy)]
pub(super) enum Server {
    /// The official Node shim, from `interop/node-chaincode`.
    NodeShim,
    /// The official Go shim, from `interop/go-chaincode`.
    GoShim,
    /// `selvedge sample asset-transfer-basic`.
    Selvedge,
}

/// Builds or installs every part once, for all scenarios.
pub(super) fn build(workspace: &Workspace) -> Result<(), Error> {
    for folder in [NODE_CLIENT, NODE_SHIM] {
        command::run(Command::new("npm").arg("ci").current_dir(workspace.path(folder)))?;
    }
    for folder in [GO_CLIENT, GO_SHIM] {
        formatted(workspace, folder)?;
        command::run(go(workspace, folder).args(["vet", "-mod=readonly", "./..."]))?;
        let build = ["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-o"];
        command::run(go(workspace, folder).args(build).arg(go_binary(workspace, folder)).arg("."))?;
    }
    build_selvedge(workspace)
}

/// Builds the command as users build it.
pub(crate) fn build_selvedge(workspace: &Workspace) -> Result<(), Error> {
    command::run(
        Command::new("cargo")
            .args(["build", "--release", "--locked"])
            .args(["--package", "selvedge-cli", "--bin", "selvedge"])
            .current_dir(workspace.path("")),
    )
}

/// The command, as [`build_selvedge`] builds it.
pub(crate) fn selvedge(workspace: &Workspace) -> PathBuf {
    workspace.target("release/selvedge")
}

impl Client {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Node => "node-client",
            Self::Go => "go-client",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Node => "the official Node client",
            Self::Go => "the official Go client",
        }
    }

    /// Drives `chaincode`, served by `server`, through the gateway that the file `description` names.
    pub(super) fn command(
        self,
        workspace: &Workspace,
        server: Server,
        description: &Path,
        chaincode: &Chaincode,
    ) -> Command {
        let mut command = match self {
            Self::Node => {
                let mut node = Command::new("node");
                node.arg("src/main.js").current_dir(workspace.path(NODE_CLIENT));
                node
            }
            Self::Go => Command::new(go_binary(workspace, GO_CLIENT)),
        };
        command.arg("--config").arg(description).args(["--chaincode", chaincode.name]);
        // Fabric's sample sets no events, and reads and writes no many keys in one message: only the chaincode on the Go
        // shim has contracts that do, and the Go client calls all of them.
        match (self, server) {
            (Self::Go, Server::GoShim) => command.args(["--batches", "--events"]),
            (Self::Node, Server::GoShim) => command.arg("--events"),
            _ => &mut command,
        };
        command
    }
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NodeShim => "node-shim",
            Self::GoShim => "go-shim",
            Self::Selvedge => "selvedge",
        }
    }

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::NodeShim => "the official Node shim",
            Self::GoShim => "the official Go shim",
            Self::Selvedge => "our own chaincode",
        }
    }

    /// The chaincode as a service under mutual TLS.
    pub(super) fn command(self, workspace: &Workspace, chaincode: &Chaincode) -> Command {
        match self {
            Self::NodeShim => {
                let mut command = Command::new("node");
                command
                    .current_dir(workspace.path(NODE_SHIM))
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
            Self::GoShim => {
                let mut command = Command::new(go_binary(workspace, GO_SHIM));
                sample_environment(&mut command, chaincode);
                command
            }
            Self::Selvedge => {
                let mut command = Command::new(selvedge(workspace));
                sample_environment(&mut command, chaincode);
                command.args(["sample", "asset-transfer-basic"]);
                command
            }
        }
    }
}

/// The names of Fabric's own external chaincode sample.
fn sample_environment(command: &mut Command, chaincode: &Chaincode) {
    command
        .env("CHAINCODE_SERVER_ADDRESS", &chaincode.address)
        .env("CHAINCODE_ID", &chaincode.package_id)
        .env("CHAINCODE_TLS_DISABLED", "false")
        .env("CHAINCODE_TLS_KEY", &chaincode.server_key)
        .env("CHAINCODE_TLS_CERT", &chaincode.server_certificate)
        .env("CHAINCODE_CLIENT_CA_CERT", &chaincode.client_ca);
}

/// `gofmt` changes nothing. It says so by naming no file, and succeeds either way.
fn formatted(workspace: &Workspace, folder: &str) -> Result<(), Error> {
    let mut gofmt = Command::new("gofmt");
    gofmt.args(["-l", "."]).current_dir(workspace.path(folder));
    command::announce(&gofmt);
    let files = command::output(&mut gofmt)?;
    if files.is_empty() {
        return Ok(());
    }
    let reason = format!("gofmt would change {}", files.trim_end().replace('\n', ", "));
    Err(Error::Contract { what: folder.to_owned(), reason })
}

/// The installed Go, whatever a workspace file above the checkout or a newer release would have it do.
fn go(workspace: &Workspace, folder: &str) -> Command {
    let mut command = Command::new("go");
    command.env("GOTOOLCHAIN", "local").env("GOWORK", "off").current_dir(workspace.path(folder));
    command
}

/// Where the program of a Go module of ours is built to: named as the module's folder.
fn go_binary(workspace: &Workspace, folder: &str) -> PathBuf {
    workspace.target("interop/bin").join(Path::new(folder).file_name().unwrap_or_default())
}
