//! `selvedge::serve` as the whole `main` of a process: what it is told, what it says, and how it ends.
//!
//! The program runs itself: with the variable below it is the chaincode.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge::tls::{ClientTls, DialOptions, Identity, Target, channel};
use selvedge::{Chaincode, Context, Response, async_trait};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use selvedge_proto::protos::chaincode_client::ChaincodeClient;
use selvedge_proto::protos::chaincode_message::Type;
use tempfile::TempDir;
use tokio_stream::StreamExt;

const IS_CHAINCODE: &str = "TEST_IS_CHAINCODE";

struct Hello;

#[async_trait]
impl Chaincode for Hello {
    async fn invoke(&self, _ctx: &Context) -> Response {
        Response::success("hello")
    }
}

fn main() -> selvedge::Result<()> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if std::env::var_os(IS_CHAINCODE).is_some() {
        return runtime.block_on(selvedge::serve(Hello));
    }
    let tests: [(&str, fn()); 4] = [
        ("help_is_printed", help_is_printed),
        ("what_deployccaas_sets_alone_is_explained_and_mended", what_deployccaas_sets_alone),
        ("contradictions_name_both", contradictions_name_both),
        ("sigterm_ends_it_although_a_peer_stays", sigterm_ends_it_although_a_peer_stays),
    ];
    for (name, test) in tests {
        test();
        // In the form of other tests.
        std::io::Write::write_all(&mut std::io::stdout(), format!("test {name} ... ok\n").as_bytes())
            .unwrap();
    }
    Ok(())
}

fn id() -> String {
    format!("basic_1.0:{}", "0a".repeat(32))
}

/// The chaincode with an environment of its own.
fn chaincode() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env_clear().env(IS_CHAINCODE, "1").stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn as_deployccaas() -> Command {
    let mut command = chaincode();
    command.env("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:0");
    command.env("CHAINCODE_ID", id()).env("CORE_CHAINCODE_ID_NAME", id());
    command
}

#[track_caller]
fn refused(mut command: Command, texts: &[&str]) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "{text:?} is not in {stderr}");
    }
}

fn help_is_printed() {
    let output = chaincode().arg("--help").output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("--chaincode-address") && text.contains("CORE_CHAINCODE_ID_NAME"), "{text}");
}

fn what_deployccaas_sets_alone() {
    refused(as_deployccaas(), &["deployCCAAS.sh", "fix: ", "CHAINCODE_TLS_DISABLED=true"]);
    let mut command = as_deployccaas();
    command.env("CHAINCODE_TLS_DISABLED", "true").env("SELVEDGE_ALOWED_CLIENTS", "dns:peer0");
    let mut running = Running::start(command);
    assert!(running.said.contains("SELVEDGE_ALOWED_CLIENTS"), "a misspelt name is told: {}", running.said);
    assert!(running.said.contains("from=\"CHAINCODE_ID\""), "the winner is logged: {}", running.said);
    assert!(running.said.contains("PLAINTEXT"), "{}", running.said);
    running.end(Signal::SIGINT);
}

fn contradictions_name_both() {
    let mut command = as_deployccaas();
    command.env("CORE_CHAINCODE_ID_NAME", "another");
    refused(command, &["CHAINCODE_ID is", "CORE_CHAINCODE_ID_NAME is \"another\"", "set one of"]);
    let mut command = as_deployccaas();
    command.arg("--no-such-flag");
    refused(command, &["--no-such-flag", "--help"]);
    let mut command = as_deployccaas();
    command.env("CHAINCODE_TLS_CERT", "/nowhere/tls.crt").env("CHAINCODE_TLS_KEY", "/nowhere/tls.key");
    command.env("CHAINCODE_CLIENT_CA_CERT", "/nowhere/ca.crt");
    refused(command, &["/nowhere/tls.crt", "cannot be read"]);
}

/// A chaincode that listens.
struct Running {
    child: Child,
    address: String,
    /// What it has logged so far.
    said: String,
    log: BufReader<ChildStderr>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut running = Self { child, address: String::new(), said: String::new(), log };
        while running.address.is_empty() {
            let before = running.said.len();
            let more = running.log.read_line(&mut running.said).unwrap();
            assert!(more > 0, "it does not listen: {}", running.said);
            if let Some((_, rest)) = running.said[before..].split_once("listening address=") {
                running.address = rest.split_whitespace().next().unwrap().to_owned();
            }
        }
        running
    }

    /// Tells it to stop, and waits until it has.
    fn end(&mut self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
        self.log.read_to_string(&mut self.said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.said);
        assert!(self.said.contains(&format!("signal=\"{signal}\"")), "{}", self.said);
        assert!(self.said.contains("stopped"), "{}", self.said);
    }
}

fn write(folder: &TempDir, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Mutual TLS, set up by variables of Java's kind and a flag of Node's kind. The peer's stream stays open, and so does its
/// connection.
fn sigterm_ends_it_although_a_peer_stays() {
    let folder = tempfile::tempdir().unwrap();
    let ca = Authority::new(&AuthoritySpec::default()).unwrap();
    let spec = LeafSpec { sans: vec!["127.0.0.1".to_owned()], ..LeafSpec::default() };
    let (server, client) = (ca.issue(&spec).unwrap(), ca.issue(&spec).unwrap());
    let ca_file = write(&folder, "ca.crt", ca.certificate_pem());
    let mut command = chaincode();
    command
        .args(["--chaincode-address", "127.0.0.1:0", "--drain=300s"])
        .env("CORE_CHAINCODE_ID_NAME", id())
        .env("CORE_PEER_TLS_ENABLED", "true")
        .env("CORE_TLS_CLIENT_CERT_FILE", write(&folder, "tls.crt", &server.certificate_pem))
        .env("CORE_TLS_CLIENT_KEY_FILE", write(&folder, "tls.key", server.key_pem.as_str()))
        .env("CORE_PEER_TLS_ROOTCERT_FILE", &ca_file);
    let mut running = Running::start(command);
    assert!(running.said.contains("mutual TLS"), "{}", running.said);

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let target: Target = running.address.parse().unwrap();
    let (channel, mut stream) = runtime.block_on(async {
        let identity = Identity::from_pem(&client.certificate_pem, &client.key_pem).unwrap();
        let tls = ClientTls::builder(ca.certificate_pem()).identity(identity).build().unwrap();
        let options = DialOptions { timeout: Duration::from_secs(60), ..DialOptions::default() };
        let channel = channel(&target, &tls.into(), &options).await.unwrap();
        let silent = tokio_stream::pending();
        let mut stream = ChaincodeClient::new(channel.clone()).connect(silent).await.unwrap().into_inner();
        let register = stream.next().await.unwrap().unwrap();
        assert_eq!(register.r#type(), Type::Register);
        (channel, stream)
    });
    // Far sooner than the time for running transactions, since none runs.
    running.end(Signal::SIGTERM);
    assert!(runtime.block_on(stream.next()).is_none(), "closed in good order");
    drop(channel);
}
