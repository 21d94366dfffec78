//! The commands as their users run them, and a chaincode's whole way by commands only.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use selvedge_network::{Keeping, Network, NetworkConfig, Ports};
use serde_json::{Value, json};
use support::{document, finish, selvedge};

/// Runs the command and gives its standard output.
#[track_caller]
fn ok(command: &mut Command) -> String {
    finish(command, 0).0
}

#[track_caller]
fn refused(command: &mut Command, code: &str) {
    let (stdout, stderr) = finish(command, 2);
    assert_eq!(stdout, "", "results only go to standard output");
    assert!(stderr.contains(&format!("error[{code}]")), "{stderr}");
    assert!(stderr.contains(&format!("selvedge explain {code}")), "{stderr}");
}

fn run(folder: &Path, words: &[&str]) -> Command {
    let mut command = selvedge(folder);
    command.current_dir(folder).args(words);
    command
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn certificates_are_made_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(ok(&mut run(folder, &["tls", "ca", "--out", "ca"])), "ca/ca.crt\nca/ca.key\n");
    assert_eq!(mode(&folder.join("ca/ca.key")), 0o600);
    let key = fs::read(folder.join("ca/ca.key")).unwrap();
    refused(&mut run(folder, &["tls", "ca", "--out", "ca"]), "SV-SET-06");
    assert_eq!(fs::read(folder.join("ca/ca.key")).unwrap(), key);
    ok(&mut run(
        folder,
        &["tls", "issue", "--ca", "ca", "--address", "cc.example.com:9999", "--san", "127.0.0.1"],
    ));
    assert_eq!(mode(&folder.join("server.key")), 0o600);
    let server = pem::parse(fs::read(folder.join("server.crt")).unwrap()).unwrap();
    let server = selvedge_tls::CertificateFacts::from_der(server.contents()).unwrap();
    assert_eq!(server.alternative_names(), ["cc.example.com", "127.0.0.1"], "the address and more");
    fs::set_permissions(folder.join("server.key"), fs::Permissions::from_mode(0o644)).unwrap();
    ok(&mut run(folder, &["tls", "issue", "--ca", "ca", "--san", "a", "--force"]));
    assert_eq!(mode(&folder.join("server.key")), 0o600, "the old file's permissions are gone");
    refused(&mut run(folder, &["tls", "issue", "--ca", "ca", "--name", "x"]), "SV-SET-01");
    refused(&mut run(folder, &["tls", "issue", "--ca", "nowhere", "--san", "a", "--name", "x"]), "SV-SET-05");
    refused(&mut run(folder, &["tls", "issue", "--ca", "ca", "--san", "a", "--name", "../x"]), "SV-SET-07");
    let client = ok(&mut run(folder, &["tls", "issue", "--ca", "ca", "--usage", "client", "--json"]));
    let client: Value = serde_json::from_str(&client).unwrap();
    assert_eq!(client["certificate"], "./client.crt");
}

#[test]
fn packages_are_built_named_and_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    ok(&mut run(folder, &["tls", "ca"]));
    let build = |more: &[&str]| {
        let mut words = vec!["package", "build", "--label", "basic_1.0", "--address", "cc:9999"];
        words.extend(more);
        run(folder, &words)
    };
    let id = ok(&mut build(&["--root-cert", "ca.crt"]));
    assert!(id.starts_with("basic_1.0:"), "{id}");
    assert_eq!(ok(&mut build(&["--root-cert", "ca.crt", "-o", "again.tgz"])), id, "not reproducible");
    assert_eq!(ok(&mut run(folder, &["package", "id", "basic_1.0.tgz"])), id);
    let inspected = ok(&mut run(folder, &["package", "inspect", "--json", "basic_1.0.tgz"]));
    let inspected: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(inspected["package_id"], id.trim());
    assert_eq!(inspected["connection"]["client_auth_required"], true);
    assert_eq!((&inspected["errors"], &inspected["warnings"]), (&json!([]), &json!([])));
    refused(&mut build(&["--root-cert", "ca.crt"]), "SV-SET-06");
    refused(&mut build(&["--root-cert", "ca.key", "--force"]), "SV-TLS-19");
    refused(&mut build(&["--root-cert", "ca.crt", "--force", "--dial-timeout", "10"]), "SV-SET-07");
    refused(&mut run(folder, &["package", "id", "ca.crt"]), "SV-PKG-01");
    refused(&mut run(folder, &["package", "id", "nowhere.tgz"]), "SV-SET-05");

    // An embedded key makes the package a secret, and is told but not shown.
    ok(&mut run(folder, &["tls", "issue", "--usage", "client"]));
    let embedded = ["--client-cert", "client.crt", "--client-key", "client.key", "-o", "key.tgz"];
    let (_, told) = finish(build(&["--root-cert", "ca.crt"]).args(embedded), 0);
    assert!(told.contains("warning: client_key is inside the package"), "{told}");
    assert_eq!(mode(&folder.join("key.tgz")), 0o600);
    let inspected = ok(&mut run(folder, &["package", "inspect", "--json", "key.tgz"]));
    assert!(!inspected.contains("PRIVATE KEY"), "{inspected}");

    // A connection.json with traps, and one that cannot work.
    fs::write(folder.join("traps.json"), br#"{"address":"cc:9999","dial_timeout":10,"x":1}"#).unwrap();
    let from = |file| run(folder, &["package", "build", "--label", "t", "--force", "--connection", file]);
    ok(&mut from("traps.json"));
    let inspected = ok(&mut run(folder, &["package", "inspect", "--json", "t.tgz"]));
    for trap in ["numeric dial_timeout", "field x", "tls_required is not true"] {
        assert!(inspected.contains(trap), "{trap}: {inspected}");
    }
    fs::write(folder.join("broken.json"), br#"{"address":"cc:9999","tls_required":"true"}"#).unwrap();
    refused(&mut from("broken.json"), "SV-PKG-08");
}

#[test]
fn codes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let explained = ok(&mut run(folder.path(), &["explain", "sv-tls-07"]));
    assert!(
        explained.starts_with("SV-TLS-07  TLS was dialled, but the server speaks plaintext"),
        "{explained}"
    );
    assert!(explained.lines().all(|line| line.len() <= 80), "{explained}");
    assert!(ok(&mut run(folder.path(), &["explain"])).lines().count() > 40);
    refused(&mut run(folder.path(), &["explain", "SV-TLS-99"]), "SV-SET-08");
}

#[test]
fn completions_complete_in_bash_and_are_made_for_zsh_and_fish() {
    let folder = tempfile::tempdir().unwrap();
    let script = |shell: &str| ok(&mut run(folder.path(), &["completions", shell]));
    fs::write(folder.path().join("selvedge.bash"), script("bash")).unwrap();
    // What bash does when Tab is pressed behind these words.
    let press = r#"
        . ./selvedge.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        function=$(complete -p selvedge | sed 's/.*-F \([^ ]*\).*/\1/')
        $function selvedge "${!#}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[@]}""#;
    let completed = |words: &[&str]| {
        let mut bash = Command::new("bash");
        bash.current_dir(folder.path()).args(["--norc", "-c", press, "bash"]).args(words);
        ok(&mut bash).trim().to_owned()
    };
    assert_eq!(completed(&["selvedge", "cha"]), "chaincode");
    assert_eq!(completed(&["selvedge", "chaincode", "query-c"]), "query-committed");
    assert_eq!(completed(&["selvedge", "up", "--cut"]), "--cutting");
    assert_eq!(completed(&["selvedge", "nothing"]), "");
    let zsh = script("zsh");
    assert!(zsh.starts_with("#compdef selvedge\n") && zsh.contains("(chaincode)"), "{zsh}");
    let fish = script("fish");
    assert!(fish.contains("complete -c selvedge") && fish.contains("-a \"chaincode\""), "{fish}");
}

#[test]
fn missing_and_wrong_settings_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let query = ["query", "-C", "ch", "-n", "cc", "F"];
    refused(&mut run(folder, &query), "SV-SET-01");
    refused(run(folder, &query).env("CORE_PEER_ADDRESS", "grpc://localhost"), "SV-SET-04");
    fs::write(folder.join("net.json"), "{}").unwrap();
    refused(run(folder, &query).args(["--config", "net.json"]), "SV-SET-02");
    let policy = ["chaincode", "readiness", "-C", "ch", "-n", "cc", "--signature-policy", "XOR('A.peer')"];
    refused(&mut run(folder, &policy), "SV-CC-03");
}

/// With `--json` a program reads what is wrong from where it reads results, and nobody else is told anything.
#[test]
fn programs_are_told_of_failures_in_their_own_form() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("thesis.txt"), "").unwrap();
    let cases: [(&[&str], &str); 14] = [
        (&["up", "--orgz", "2"], "SV-SET-12"),
        (&["up", "--cutting", "sometimes"], "SV-SET-12"),
        (&["up", "--dir", "."], "SV-NET-04"),
        (&["up", "--dir", "/proc/nowhere"], "SV-SET-05"),
        (&["status", "--config", "thesis.txt"], "SV-NET-05"),
        (&["down", "--config", "nowhere.json"], "SV-SET-05"),
        (&["cut", "--config", "nowhere.json"], "SV-SET-05"),
        (&["demo", "--orgs", "11"], "SV-SET-12"),
        (&["sample", "asset-transfer-basic"], "SV-SET-01"),
        (&["block", "7"], "SV-SET-01"),
        (&["block", "latest"], "SV-SET-12"),
        (&["tx", "00", "--config", "nowhere.json"], "SV-SET-05"),
        (&["events", "-n", "cc", "--from", "newest"], "SV-SET-12"),
        (&["explain", "SV-TLS-99"], "SV-SET-08"),
    ];
    for (words, code) in cases {
        let mut command = run(folder, words);
        let error = document(&mut command, 2)["error"].take();
        assert_eq!(error["code"], code, "{words:?}: {error}");
        assert!(error["what"].is_string() && error["evidence"].is_array(), "{words:?}: {error}");
        // The title is what explain says of the code.
        let explained = document(&mut run(folder, &["explain", code]), 0);
        assert_eq!(explained["title"], error["title"]);
        let (_, talk) = finish(run(folder, words).arg("--json"), 2);
        assert_eq!(talk, "", "{words:?}");
        refused(&mut run(folder, words), code);
    }
    // After -- it is an argument of the chaincode, and the failure is told to a person.
    refused(&mut run(folder, &["query", "-C", "ch", "-n", "cc", "F", "--", "--json"]), "SV-SET-01");
}

#[test]
fn whoever_stops_reading_is_not_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut child =
        run(folder.path(), &["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

/// What `selvedge up` would write.
fn description(network: &Network) -> Value {
    let organizations = network.organizations().iter().map(|organization| {
        let peers = network.peers().iter().filter(|peer| peer.msp_id() == organization.msp_id());
        let user = |name: String, role: &str| {
            let member = organization.member(&name).unwrap();
            let (certificate, key) = (member.certificate_file(), member.key_file());
            json!({ "name": name, "certificate": certificate, "key": key, "role": role })
        };
        json!({
            "msp_id": organization.msp_id(),
            "domain": organization.domain(),
            "peers": peers.map(|peer| json!({
                "name": peer.name(),
                "address": peer.address().to_string(),
                "tls_root": organization.tls_authority_file(),
            })).collect::<Value>(),
            "users": [
                user(format!("Admin@{}", organization.domain()), "admin"),
                user(format!("User1@{}", organization.domain()), "client"),
            ],
        })
    });
    json!({ "organizations": organizations.collect::<Value>(), "channels": network.channels() })
}

struct Sample(Child);

impl Drop for Sample {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sample as a process, listening.
fn sample(folder: &Path, address: &str, id: &str) -> Sample {
    let mut child = run(folder, &["sample", "asset-transfer-basic", "--json", "--address", address])
        .args(["--package-id", id, "--tls-cert", "server.crt", "--tls-key", "server.key"])
        .args(["--client-ca", "peers.crt"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("listening"), "{line}");
    Sample(child)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_goes_its_whole_way_by_commands() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let config = NetworkConfig {
        keeping: Keeping::Memory,
        ports: Ports::Free,
        ..NetworkConfig::test_network(folder.join("network"), 2)
    };
    let network = Network::start(config).await.unwrap();
    fs::write(folder.join("net.json"), description(&network).to_string()).unwrap();
    fs::write(folder.join("peers.crt"), network.edge().client_authorities_pem()).unwrap();
    let command = |words: &[&str]| {
        let mut command = run(folder, words);
        command.env("SELVEDGE_CONFIG", "net.json");
        command
    };

    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    ok(&mut command(&["tls", "ca"]));
    ok(&mut command(&["tls", "issue", "--address", &address]));
    let package =
        ["package", "build", "--label", "basic_1.0", "--root-cert", "ca.crt", "--address", &address];
    let id = ok(&mut command(&package)).trim().to_owned();
    let _sample = sample(folder, &address, &id);

    let peers: Vec<String> = network.peers().iter().map(|peer| peer.name().to_owned()).collect();
    let definition = ["-n", "basic", "--signature-policy", "OR('Org1MSP.peer','Org2MSP.peer')"];
    for (number, peer) in peers.iter().enumerate() {
        let install = ["chaincode", "install", "basic_1.0.tgz", "--peer", peer];
        assert_eq!(ok(&mut command(&install)).trim(), id);
        assert_eq!(ok(&mut command(&["chaincode", "query-installed", "--peer", peer])).trim(), id);
        let (ready, _) = finish(command(&["chaincode", "readiness"]).args(definition), 1);
        assert_eq!(ready.matches(": approved").count(), number, "{ready}");
        let approve = ["chaincode", "approve", "--json", "--package-id", &id, "--peer", peer];
        let approved = ok(command(&approve).args(definition));
        let approved: Value = serde_json::from_str(&approved).unwrap();
        network.wait_for_block("mychannel", approved["block"].as_u64().unwrap()).await.unwrap();
    }
    refused(&mut command(&["chaincode", "install", "basic_1.0.tgz"]), "SV-CC-02");
    ok(command(&["chaincode", "readiness"]).args(definition));
    let committed = ok(command(&["chaincode", "commit", "--json"]).args(definition));
    let committed: Value = serde_json::from_str(&committed).unwrap();
    network.wait_for_block("mychannel", committed["block"].as_u64().unwrap()).await.unwrap();
    let list = ok(&mut command(&["chaincode", "query-committed"]));
    assert!(list.contains("basic: version 1.0, sequence 1"), "{list}");
    let one = ok(&mut command(&["chaincode", "query-committed", "-n", "basic"]));
    assert!(one.contains("approved by Org1MSP, Org2MSP"), "{one}");

    ok(&mut command(&["invoke", "-n", "basic", "InitLedger"]));
    let asset = ok(&mut command(&["query", "-n", "basic", "ReadAsset", "asset1"]));
    let asset: Value = serde_json::from_str(&asset).unwrap();
    assert_eq!(asset["Owner"], "Tomoko");
    let moved = ok(&mut command(&["invoke", "--json", "-n", "basic", "TransferAsset", "asset1", "Ada"]));
    let moved: Value = serde_json::from_str(&moved).unwrap();
    assert_eq!((&moved["payload"], &moved["status"]), (&json!("Tomoko"), &json!(200)));
    refused(&mut command(&["query", "-n", "basic", "ReadAsset", "asset99"]), "SV-GW-08");
    refused(&mut command(&["query", "-n", "basic", "--user", "nobody", "F"]), "SV-SET-03");
    refused(&mut command(&["query", "-n", "basic", "F", "--plaintext"]), "SV-TLS-08");
    refused(&mut command(&["query", "-n", "basic", "F", "--tls-root", "ca.crt"]), "SV-TLS-10");
    refused(&mut command(&["query", "-n", "basic", "F", "--server-name", "elsewhere"]), "SV-TLS-11");
    network.shutdown().await;
}
