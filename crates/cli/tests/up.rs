//! A network as a process: its start, what it tells, its folder, its end.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{Up, addresses, assert_empty, assert_free, document, finish, program, selvedge};
use tempfile::TempDir;

struct Place {
    temp: TempDir,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { temp: tempfile::tempdir().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> std::path::PathBuf {
        self.folder.path().join("my network")
    }

    fn command(&self, name: &str) -> Command {
        let mut command = selvedge(self.temp.path());
        command.arg(name).arg("--dir").arg(self.dir());
        command
    }

    fn up(&self, arguments: &[&str]) -> Up {
        Up::start(self.command("up").args(arguments))
    }

    /// The exit code and what is on standard output and standard error, in one line each.
    fn run(&self, command: &mut Command) -> (Option<i32>, String, String) {
        let output = command.output().unwrap();
        let plain =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code(), plain(&output.stdout), plain(&output.stderr))
    }

    fn status(&self) -> (Option<i32>, Value) {
        let output = self.command("status").arg("--json").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}")))
    }
}

fn file(value: &Value) -> String {
    std::fs::read_to_string(value.as_str().unwrap()).unwrap()
}

#[test]
fn a_network_tells_how_to_use_it_and_continues_where_it_was() {
    let place = Place::new();
    let config = place.folder.path().join("network.json");
    let up = place.up(&["--orgs", "2", "--peers", "2", "--channels", "one,two", "--config-out"]
        .map(|it| it)
        .iter()
        .copied()
        .chain([config.to_str().unwrap()])
        .collect::<Vec<_>>());
    let ready = up.ready.clone();
    assert_eq!(ready, serde_json::from_slice::<Value>(&std::fs::read(&config).unwrap()).unwrap());
    assert_eq!(ready["channels"], serde_json::json!(["one", "two"]));
    assert_eq!(ready["process"]["pid"], up.pid());
    let organizations = ready["organizations"].as_array().unwrap();
    assert_eq!(organizations.len(), 2);
    assert_eq!(organizations[1]["msp_id"], "Org2MSP");
    assert_eq!(organizations[1]["peers"].as_array().unwrap().len(), 2);
    for user in organizations[0]["users"].as_array().unwrap() {
        assert!(file(&user["certificate"]).contains("BEGIN CERTIFICATE"));
        assert!(file(&user["key"]).contains("PRIVATE KEY"));
        assert!(Path::new(user["msp"].as_str().unwrap()).join("config.yaml").is_file());
    }
    // A shell takes the environment, though the folder's name has a space.
    let script = ". \"$0\" && cat \"$CORE_PEER_TLS_ROOTCERT_FILE\" && echo \"$CORE_PEER_ADDRESS\"";
    let environment = organizations[0]["environment_file"].as_str().unwrap();
    let shell = Command::new("sh").args(["-c", script, environment]).output().unwrap();
    let said = String::from_utf8(shell.stdout).unwrap();
    assert!(said.starts_with("-----BEGIN CERTIFICATE"), "{said}");
    assert_eq!(said.lines().last(), organizations[0]["peers"][0]["address"].as_str());

    let (code, status) = place.status();
    assert_eq!(code, Some(0), "{status}");
    let peers = status["network"]["peers"].as_array().unwrap();
    assert_eq!(peers.len(), 4);
    for peer in peers {
        assert_eq!(peer["heights"], serde_json::json!({ "one": 1, "two": 1 }), "{peer}");
        assert_eq!(peer["committed"], serde_json::json!({ "one": [], "two": [] }), "{peer}");
    }
    let (mut addresses, mut certificates) = (BTreeSet::new(), BTreeSet::new());
    for organization in organizations {
        // Its folder has those of its users, which have those of their MSPs.
        let folder = Path::new(organization["users"][0]["msp"].as_str().unwrap()).ancestors().nth(3).unwrap();
        for peer in organization["peers"].as_array().unwrap() {
            let name = peer["name"].as_str().unwrap();
            let known = peers.iter().find(|known| known["name"] == name).unwrap();
            assert_eq!(known["address"], peer["address"]);
            addresses.insert(peer["address"].to_string());
            let folder = folder.join("peers").join(name);
            for certificate in ["tls/server.crt".to_owned(), format!("msp/signcerts/{name}-cert.pem")] {
                certificates.insert(std::fs::read(folder.join(certificate)).unwrap());
            }
        }
    }
    assert_eq!((addresses.len(), certificates.len()), (4, 8), "each peer has its own");
    let (code, stdout, _) = place.run(selvedge(place.temp.path()).arg("status").arg("--config").arg(&config));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("peer1.org2.example.com") && stdout.contains("two: 1 block"), "{stdout}");

    // Killed, it leaves nothing that would have to be mended by hand, and the next one is the same network.
    let authority = file(&organizations[0]["peers"][0]["tls_root"]);
    let genesis = std::fs::read(place.dir().join("channels/one.block")).unwrap();
    up.signal(Signal::SIGKILL);
    up.wait();
    assert_eq!(place.status().0, Some(1));
    let up = place.up(&[]);
    assert_eq!(up.ready["channels"], ready["channels"]);
    assert_eq!(up.ready["organizations"][1]["peers"].as_array().unwrap().len(), 2);
    assert_eq!(file(&up.ready["organizations"][0]["peers"][0]["tls_root"]), authority);
    assert_eq!(std::fs::read(place.dir().join("channels/one.block")).unwrap(), genesis);
    assert_eq!(place.status().0, Some(0));
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait(), Some(0));

    let (code, _, stderr) = place.run(place.command("up").args(["--port", "0", "--orgs", "1"]));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("Org1MSP, Org2MSP") && stderr.contains("give --orgs 2"), "{stderr}");
    assert_empty(place.temp.path());
}

#[test]
fn a_folder_has_one_network_and_down_stops_it() {
    let place = Place::new();
    let (code, stdout, _) = place.run(&mut place.command("down"));
    assert_eq!(code, Some(1));
    assert!(stdout.contains("not running"), "{stdout}");

    let up = place.up(&[]);
    let (code, stdout, stderr) = place.run(place.command("up").args(["--port", "0"]));
    assert_eq!((code, stdout.as_str()), (Some(2), ""));
    let since = up.ready["process"]["since"].as_str().unwrap();
    for text in [&format!("process {} has run it since {since}", up.pid()), "selvedge down --dir"] {
        assert!(stderr.contains(text), "{text:?} is not in: {stderr}");
    }

    let (code, stdout, stderr) = place.run(&mut place.command("down"));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(&format!("stopped: process {}", up.pid())), "{stdout}");
    let told = up.ready.to_string();
    assert_eq!(up.wait(), Some(0));
    assert_eq!(
        addresses(&told).map(assert_free).count(),
        3,
        "the orderer, the peer, and the peer's environment"
    );
    assert_eq!(place.status().0, Some(1));
}

#[test]
fn a_network_in_memory_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let up = Up::start(selvedge(temp.path()).arg("up"));
    assert_eq!(up.ready["keeping"], "memory");
    assert!(
        up.ready["folder"]
            .as_str()
            .unwrap()
            .starts_with(temp.path().canonicalize().unwrap().to_str().unwrap())
    );
    up.signal(Signal::SIGTERM);
    assert_eq!(up.wait(), Some(0));
    assert_empty(temp.path());
}

/// A block closes no sooner than it may: two seconds are what the channel says.
#[test]
fn blocks_close_after_an_interval_or_the_channels_timeout() {
    for (cutting, named, least) in [
        ("interval=1s", "interval", Duration::from_secs(1)),
        ("batch-timeout", "batch-timeout", Duration::from_secs(2)),
    ] {
        let temp = tempfile::tempdir().unwrap();
        let mut up = Up::start(selvedge(temp.path()).args(["up", "--sample", "--cutting", cutting]));
        let first = up.told()["sample"]["first"].take();
        let config = up.config();
        let command = |words: &[&str]| {
            let mut command = selvedge(temp.path());
            command.args(words).env("SELVEDGE_CONFIG", &config);
            command
        };
        let status = document(&mut command(&["status"]), 0);
        assert_eq!(status["network"]["cutting"], named);
        let began = Instant::now();
        let done = document(&mut command(&["invoke", "-n", "basic", "TransferAsset", "asset1", "Ada"]), 0);
        assert!(began.elapsed() >= least, "{cutting}: {:?}", began.elapsed());
        assert!(done["block"].as_u64() > first["block"].as_u64(), "{done}");
        let (asset, _) = finish(&mut command(&["query", "-n", "basic", "ReadAsset", "asset1"]), 0);
        assert!(asset.contains("Ada"), "{asset}");
        up.signal(Signal::SIGINT);
        assert_eq!(up.wait(), Some(0));
    }
}

/// The variables that `up` writes for Fabric's `peer` command are all that this command needs, too.
#[test]
fn the_variables_of_fabrics_command_are_enough() {
    let temp = tempfile::tempdir().unwrap();
    let mut up = Up::start(selvedge(temp.path()).args(["up", "--sample", "--orgs", "2"]));
    up.told();
    for organization in up.ready["organizations"].as_array().unwrap() {
        let query = |chaincode: &[&str]| {
            let mut shell = program("sh", temp.path());
            shell.args(["-c", ". \"$0\" && exec \"$@\"", organization["environment_file"].as_str().unwrap()]);
            shell.args([env!("CARGO_BIN_EXE_selvedge"), "chaincode", "query-committed", "-C", "mychannel"]);
            document(shell.args(chaincode), 0)
        };
        let committed = query(&[]);
        assert_eq!(committed[0]["name"], "basic", "{committed}");
        assert_eq!(query(&["-n", "basic"])[0]["sequence"], 1);
    }
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait(), Some(0));
}

#[test]
fn what_cannot_be_is_refused_with_a_fix() {
    let place = Place::new();
    let taken = (20_000..40_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, _, stderr) = place.run(place.command("up").args(["--port", &port.to_string()]));
    assert_eq!(code, Some(2), "{stderr}");
    let cannot = format!("orderer.example.com cannot have port {port}");
    assert!(stderr.contains(&cannot) && stderr.contains("give --port 0"), "{stderr}");

    std::fs::write(place.folder.path().join("thesis.txt"), "").unwrap();
    let mut command = selvedge(place.temp.path());
    let (code, _, stderr) = place.run(command.arg("up").arg("--dir").arg(place.folder.path()));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("holds something else than a network"), "{stderr}");
}
