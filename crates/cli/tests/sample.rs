//! The sample as a process: its settings, its events, its end.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
use serde_json::Value;
use support::selvedge;
use tempfile::TempDir;

const ID: &str = "basic_1.0:0000000000000000000000000000000000000000000000000000000000000000";

struct Files {
    folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    authority: PathBuf,
}

fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(&AuthoritySpec::default()).unwrap();
    let leaf =
        authority.issue(&LeafSpec { sans: vec!["127.0.0.1".to_owned()], ..LeafSpec::default() }).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = write("server.crt", &leaf.certificate_pem);
    let key = write("server.key", leaf.key_pem.as_str());
    let authority = write("ca.crt", authority.certificate_pem());
    Files { folder, certificate, key, authority }
}

fn sample(temp: &Path) -> Command {
    let mut command = selvedge(temp);
    command.args(["sample", "asset-transfer-basic"]);
    command
}

fn complete(files: &Files) -> Command {
    let mut command = sample(files.folder.path());
    command
        .env("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:0")
        .env("CHAINCODE_ID", ID)
        .env("CHAINCODE_TLS_CERT", &files.certificate)
        .env("CHAINCODE_TLS_KEY", &files.key)
        .env("CHAINCODE_CLIENT_CA_CERT", &files.authority);
    command
}

#[track_caller]
fn refused(command: &mut Command, texts: &[&str]) {
    let output = command.output().unwrap();
    // However the lines are broken.
    let stderr = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert_eq!(output.stdout, b"", "results only go to standard output");
    for text in texts {
        assert!(stderr.contains(text), "{text:?} is not in: {stderr}");
    }
}

#[test]
fn wrong_settings_are_refused_with_a_fix() {
    let files = files();
    refused(
        &mut sample(files.folder.path()),
        &["neither --address nor CHAINCODE_SERVER_ADDRESS is set", "fix: give --address"],
    );
    refused(
        complete(&files).env("CHAINCODE_SERVER_ADDRESS", "localhost"),
        &["\"localhost\" is no address of the form host:port", "0.0.0.0:9999"],
    );
    refused(complete(&files).env("CHAINCODE_ID", ""), &["neither --package-id nor CHAINCODE_ID is set"]);
    refused(complete(&files).env("CHAINCODE_ID", "basic"), &["the package id is none", "queryinstalled"]);
    refused(complete(&files).env_remove("CHAINCODE_TLS_CERT"), &["its certificate", "--tls-disabled"]);
    refused(complete(&files).env_remove("CHAINCODE_TLS_KEY"), &["its private key", "CHAINCODE_TLS_KEY"]);
    refused(
        complete(&files).env_remove("CHAINCODE_CLIENT_CA_CERT"),
        &["whoever reaches the port can act as a peer", "--without-client-certificates"],
    );
    refused(complete(&files).env("CHAINCODE_TLS_DISABLED", "maybe"), &["neither true nor false"]);
    refused(complete(&files).env("CHAINCODE_TLS_KEY", &files.certificate), &["server.crt"]);
    refused(
        complete(&files).env("CHAINCODE_CLIENT_CA_CERT", "/nowhere/ca.crt"),
        &["/nowhere/ca.crt", "No such"],
    );
    // The names of the shims of other languages count as well, and two that contradict each other are both named.
    refused(
        complete(&files).env("CORE_CHAINCODE_ID_NAME", "another"),
        &["CHAINCODE_ID is", "CORE_CHAINCODE_ID_NAME is \"another\"", "set one of"],
    );
    let mut as_deployccaas = sample(files.folder.path());
    as_deployccaas.env("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:0").env("CHAINCODE_ID", ID);
    refused(&mut as_deployccaas, &["deployCCAAS.sh", "CHAINCODE_TLS_DISABLED=true"]);
    refused(complete(&files).env("RUST_LOG", "a=b=c"), &["RUST_LOG", "a=b=c"]);
    refused(
        Command::new(env!("CARGO_BIN_EXE_selvedge")).args(["sample", "unknown"]),
        &["asset-transfer-basic"],
    );
}

#[test]
fn a_port_that_is_taken_is_an_error() {
    let files = files();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    // A flag counts more than a variable.
    refused(
        complete(&files).args(["--address", &address]),
        &["cannot listen on", &address, "another process listens there"],
    );
}

/// A sample that listens, with its events and its address.
fn start(command: &mut Command) -> (Child, impl Iterator<Item = Value> + use<>, String) {
    let mut child = command
        .arg("--json")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).expect("one object a line"));
    let listening = events.next().expect("it listens");
    assert_eq!(listening["event"], "listening");
    assert_eq!(listening["package_id"], ID);
    let address = listening["address"].as_str().unwrap().to_owned();
    (child, events, address)
}

#[test]
fn refusals_are_told_to_machines_and_sigterm_ends_it() {
    let files = files();
    let (mut child, mut events, address) = start(&mut complete(&files));
    let mut stranger = TcpStream::connect(&address).unwrap();
    stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let remote = stranger.local_addr().unwrap().to_string();
    let refused = events.next().unwrap();
    assert_eq!(refused["event"], "refused");
    assert_eq!(refused["reason"], "plaintext-client");
    assert_eq!(refused["remote"], remote);

    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(events.next().unwrap()["event"], "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains(&format!("listening on {address}")), "{stderr}");
    assert!(stderr.contains("mutual TLS"), "{stderr}");
}

#[test]
fn plaintext_needs_its_name_and_a_closed_stdin_can_end_it() {
    let files = files();
    let mut command = sample(files.folder.path());
    command.args(["--address", "127.0.0.1:0", "--package-id", ID, "--stop-with-stdin"]);
    command.env("CHAINCODE_TLS_DISABLED", "true");
    let (mut child, mut events, _) = start(&mut command);
    drop(child.stdin.take());
    assert_eq!(events.next().unwrap()["event"], "stopped");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(stderr.contains("PLAINTEXT"), "{stderr}");
}

#[test]
fn the_version_is_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge")).arg("--version").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, format!("selvedge {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}
