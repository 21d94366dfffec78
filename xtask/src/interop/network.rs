//! A network for a scenario, and a chaincode's way onto it, by the command `selvedge` alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::command;
use crate::error::Error;
use crate::workspace;

use super::process::Process;

const START_LIMIT: Duration = Duration::from_secs(120);
const AGREEMENT_LIMIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// The collection in which the contract `Notices` of `interop/go-chaincode` keeps texts.
const COLLECTIONS: &str = r#"[{"name":"notices","policy":"OR('Org1MSP.member','Org2MSP.member')"}]"#;

const NAME: &str = "basic";
const LABEL: &str = "basic_1.0";

/// A running network.
pub(super) struct Network {
    program: PathBuf,
    folder: PathBuf,
    process: Process,
}

/// A chaincode that is committed and waits for its server.
pub(super) struct Chaincode {
    pub(super) name: &'static str,
    pub(super) package_id: String,
    pub(super) address: String,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    /// What the server must trust: the issuers of the peers' client certificates.
    pub(super) client_ca: PathBuf,
}

/// The part of what `selvedge up` says of a network that a chaincode's way needs.
#[derive(Deserialize)]
struct Description {
    organizations: Vec<Organization>,
}

#[derive(Deserialize)]
struct Organization {
    peers: Vec<Peer>,
}

#[derive(Deserialize)]
struct Peer {
    name: String,
    tls_root: PathBuf,
}

impl Network {
    /// Starts one of two organisations in `folder`, and waits until it serves.
    pub(super) fn start(program: PathBuf, folder: &Path) -> Result<Self, Error> {
        let mut up = Command::new(&program);
        up.args(["up", "--orgs", "2", "--port", "0", "--dir"]).arg(folder.join("network"));
        up.arg("--config-out").arg(folder.join("network.json"));
        let process = Process::start("network", &mut up, &folder.join("network.log"))?;
        let mut network = Self { program, folder: folder.to_owned(), process };
        let file = network.description_file();
        network.process.wait_until("description of itself", START_LIMIT, || file.exists())?;
        Ok(network)
    }

    /// The file in which clients find endpoints and identities.
    pub(super) fn description_file(&self) -> PathBuf {
        self.folder.join("network.json")
    }

    /// Deploys a chaincode that peers will dial at `address`.
    pub(super) fn deploy(&self, address: &str) -> Result<Chaincode, Error> {
        let (folder, file) = (&self.folder, |name: &str| self.folder.join(name));
        command::output(self.selvedge(&["tls", "ca", "--out"]).arg(folder))?;
        let mut issue = self.selvedge(&["tls", "issue", "--address", address, "--ca"]);
        command::output(issue.arg(folder).arg("--out").arg(folder))?;
        let mut build = self.selvedge(&["package", "build", "--label", LABEL, "--address", address]);
        build.arg("--root-cert").arg(file("ca.crt")).arg("--output").arg(file("package.tgz"));
        let package_id = command::output(&mut build)?.trim().to_owned();

        let collections = file("collections.json");
        write(&collections, COLLECTIONS)?;
        let defined = |step: &str| {
            let mut command = self.selvedge(&["chaincode", step, "--name", NAME, "--collections-config"]);
            command.arg(&collections);
            command
        };
        let peers = self.peers()?;
        for peer in &peers {
            let mut install = self.selvedge(&["chaincode", "install"]);
            command::output(self.at(&mut install, peer).arg(file("package.tgz")))?;
            let mut approve = defined("approve");
            command::output(self.at(approve.args(["--package-id", &package_id]), peer))?;
        }
        // Each peer takes in the others' approvals, and then the definition, in its own time.
        for peer in &peers {
            self.until(peer, || defined("readiness"))?;
        }
        command::output(defined("commit").arg("--config").arg(self.description_file()))?;
        for peer in &peers {
            self.until(peer, || self.selvedge(&["chaincode", "query-committed", "--name", NAME]))?;
        }

        let client_ca = file("client-ca.crt");
        let authorities: Result<String, Error> =
            peers.iter().map(|peer| workspace::read(&peer.tls_root)).collect();
        write(&client_ca, &authorities?)?;
        Ok(Chaincode {
            name: NAME,
            package_id,
            address: address.to_owned(),
            server_certificate: file("server.crt"),
            server_key: file("server.key"),
            client_ca,
        })
    }

    /// Stops it, and expects it to end well.
    pub(super) fn stop(self) -> Result<(), Error> {
        command::output(self.selvedge(&["down", "--dir"]).arg(self.folder.join("network")))?;
        self.process.finish()
    }

    /// An error about its process, with the end of its log.
    pub(super) fn error(&self, reason: String) -> Error {
        self.process.error(reason)
    }

    fn peers(&self) -> Result<Vec<Peer>, Error> {
        let description: Description =
            serde_json::from_str(&workspace::read(&self.description_file())?).map_err(|error| {
                Error::Contract { what: "the network's description".to_owned(), reason: error.to_string() }
            })?;
        Ok(description.organizations.into_iter().flat_map(|organization| organization.peers).collect())
    }

    fn selvedge(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        command
    }

    fn at<'a>(&self, command: &'a mut Command, peer: &Peer) -> &'a mut Command {
        command.arg("--config").arg(self.description_file()).args(["--peer", &peer.name])
    }

    /// Asks a peer until the answer is positive.
    fn until(&self, peer: &Peer, question: impl Fn() -> Command) -> Result<(), Error> {
        let deadline = Instant::now() + AGREEMENT_LIMIT;
        loop {
            let asked = command::output(self.at(&mut question(), peer));
            if asked.is_ok() || Instant::now() > deadline {
                return asked.map(|_| ());
            }
            thread::sleep(POLL);
        }
    }
}

fn write(path: &Path, content: &str) -> Result<(), Error> {
    let failed = |source| Error::File { action: "write", path: path.to_owned(), source };
    fs::write(path, content).map_err(failed)
}
