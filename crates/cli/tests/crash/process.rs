//! The two processes: the network, which is killed, and its chaincode.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_network::Description;
use selvedge_package::{Connection, Package, PackageBuilder};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::sleep;

use crate::within;

/// Where the processes keep everything. It is removed when the test ends well.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if path.exists() {
            fs::remove_dir_all(&path).unwrap();
        }
        fs::create_dir_all(path.join("tmp")).unwrap();
        Self(path)
    }

    pub(crate) fn network(&self) -> PathBuf {
        self.0.join("network")
    }

    /// The file in which the network says where everything is.
    pub(crate) fn description(&self) -> PathBuf {
        self.file("network.json")
    }

    pub(crate) fn remove(self) {
        fs::remove_dir_all(self.0).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn log(&self, name: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.file(name)).unwrap()
    }

    fn command(&self, log: &str) -> Command {
        let mut command = Command::from(crate::support::selvedge(&self.file("tmp")));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(self.log(log)).kill_on_drop(true);
        command
    }
}

/// A network's process.
pub(crate) struct Up {
    child: Child,
    log: PathBuf,
}

impl Up {
    /// Starts it; it is not ready yet.
    pub(crate) fn start(place: &Place) -> Self {
        let mut command = place.command("up.log");
        command.args(["up", "--orgs", "2", "--port", "0", "--json", "--dir"]).arg(place.network());
        command.arg("--config-out").arg(place.description());
        Self { child: command.spawn().unwrap(), log: place.file("up.log") }
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) {
        let line = within("start of the network", first_line(&mut self.child)).await;
        assert!(!line.is_empty(), "the network does not start again; see {}", self.log.display());
    }

    /// Kills it at once. `false` if it had ended by itself.
    pub(crate) async fn kill(mut self) -> bool {
        // It may have ended in this very moment.
        let _ = self.child.start_kill();
        let status = self.child.wait().await.unwrap();
        status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Asks it to stop, and kills it after a while, unless it has ended before.
    pub(crate) async fn stop_and_kill(self, after: Duration) -> bool {
        self.terminate();
        sleep(after).await;
        self.kill().await
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(mut self) {
        self.terminate();
        let status = within("end of the network", self.child.wait()).await.unwrap();
        assert!(status.success(), "{status}; see {}", self.log.display());
    }

    fn terminate(&self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap();
        kill(Pid::from_raw(pid), Signal::SIGTERM).unwrap();
    }
}

/// The chaincode's process, which runs on while the network is killed, and its package.
pub(crate) struct Chaincode {
    child: Child,
    address: String,
    connection: Connection,
    pub(crate) package: Package,
}

impl Chaincode {
    /// Makes certificates and the package, and starts the process.
    pub(crate) async fn start(place: &Place) -> Self {
        let authority = Authority::new(&AuthoritySpec::default()).unwrap();
        let leaf = authority.issue(&LeafSpec {
            common_name: "chaincode".to_owned(),
            sans: vec!["127.0.0.1".to_owned()],
            usage: Usage::Server,
            ..LeafSpec::default()
        });
        let leaf = leaf.unwrap();
        fs::write(place.file("server.crt"), leaf.certificate_pem).unwrap();
        fs::write(place.file("server.key"), leaf.key_pem.as_bytes()).unwrap();
        let network = Description::read_file(&place.description()).unwrap();
        let clients = network.organizations.iter().flat_map(|organization| &organization.peers);
        let clients: Vec<u8> = clients.flat_map(|peer| fs::read(&peer.tls_root).unwrap()).collect();
        fs::write(place.file("client-ca.crt"), clients).unwrap();
        // The package names the address before anybody listens there.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let connection = Connection {
            address: address.clone(),
            tls_required: true,
            client_auth_required: true,
            root_cert: authority.certificate_pem().to_owned(),
            client_cert: "{{.client_cert}}".to_owned(),
            client_key: "{{.client_key}}".to_owned(),
            ..Connection::default()
        };
        let package = package(&connection, "basic");
        let child = serve(place, &address, &package).await;
        Self { child, address, connection, package }
    }

    /// Kills the process and starts another one.
    pub(crate) async fn restart(&mut self, place: &Place) {
        self.child.kill().await.unwrap();
        self.child = serve(place, &self.address, &self.package).await;
    }

    /// Makes packages for further chaincodes, which nobody serves.
    pub(crate) fn packages(&self) -> impl Fn(&str) -> Package + Send + 'static {
        let connection = self.connection.clone();
        move |label| package(&connection, label)
    }
}

fn package(connection: &Connection, label: &str) -> Package {
    PackageBuilder::new(label).unwrap().connection(connection).unwrap().build().unwrap()
}

async fn serve(place: &Place, address: &str, package: &Package) -> Child {
    let mut command = place.command("chaincode.log");
    command.args(["sample", "asset-transfer-basic", "--json", "--address", address]);
    command.args(["--package-id", &package.id().to_string()]);
    for (flag, file) in
        [("--tls-cert", "server.crt"), ("--tls-key", "server.key"), ("--client-ca", "client-ca.crt")]
    {
        command.arg(flag).arg(place.file(file));
    }
    let mut child = command.spawn().unwrap();
    let line = within("start of the chaincode", first_line(&mut child)).await;
    assert!(line.contains("listening"), "{line}; see {}", place.file("chaincode.log").display());
    child
}

/// What a process says first; empty if it ends before. Whatever it says later is read and dropped.
async fn first_line(child: &mut Child) -> String {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).await.unwrap();
    tokio::spawn(drain(lines));
    line
}

async fn drain(mut lines: BufReader<ChildStdout>) {
    let _ = tokio::io::copy(&mut lines, &mut tokio::io::sink()).await;
}
