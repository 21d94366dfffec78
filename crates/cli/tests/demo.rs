//! The demonstration as a user runs it.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::{addresses, assert_empty, assert_free, runs, selvedge, wait_for_end};

#[test]
fn every_step_does_what_it_should_and_nothing_is_left() {
    let temp = tempfile::tempdir().unwrap();
    let output = selvedge(temp.path()).args(["demo", "--json"]).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    assert_eq!(stderr, "", "a machine is told nothing but the document");

    let report: Value = serde_json::from_str(&stdout).expect("one document");
    assert_eq!(report["ok"], true);
    assert_eq!(report["folder"], Value::Null);
    let steps = report["steps"].as_array().unwrap();
    for step in steps {
        assert_eq!(step["ok"], true, "{step}");
        assert!(step["milliseconds"].is_u64(), "{step}");
    }
    let names: Vec<&str> = steps.iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(
        names,
        [
            "folder",
            "network",
            "certificate",
            "package",
            "install",
            "approve",
            "commit",
            "chaincode",
            "gateway",
            "init-ledger",
            "get-all-assets",
            "create-asset",
            "read-asset",
            "transfer-asset",
            "read-missing-asset",
            "stacks",
            "strangers",
            "no-certificate",
            "strange-authority",
            "plaintext",
            "wrong-server-name",
            "wrong-server-deployed",
            "stop",
            "clean-up",
        ]
    );
    assert_refusals(steps);

    assert_empty(temp.path());
    assert!(!runs(chaincode_pid(steps)));
    let used: Vec<_> = addresses(&stdout).collect();
    // Two peers, an orderer, the chaincode and the wrong server at least.
    assert!(used.len() >= 5, "{used:?}");
    used.into_iter().for_each(assert_free);
}

/// Both ends of every refusal by their verdicts; foreign stacks as far as they are on this machine.
fn assert_refusals(steps: &[Value]) {
    for (name, client, server) in [
        ("no-certificate", "client-certificate-required", "no-client-certificate"),
        ("strange-authority", "client-certificate-refused", "unknown-issuer"),
        ("plaintext", "server-is-tls", "plaintext-client"),
        ("wrong-server-name", "name-mismatch", "refused-by-client"),
        ("wrong-server-deployed", "name-mismatch", "refused-by-client"),
    ] {
        let step = steps.iter().find(|step| step["name"] == name).unwrap();
        let refusals = step["refusals"].as_array().unwrap();
        assert_eq!(refusals[0]["client"]["verdict"], client, "{step}");
        assert_eq!(refusals[0]["server"]["verdict"], server, "{step}");
    }
    let dialled = |program: &str, step: &str| {
        let step = steps.iter().find(|known| known["name"] == step).unwrap();
        let by = |refusal: &Value| refusal["client"]["by"].as_str().unwrap().to_lowercase();
        step["refusals"].as_array().unwrap().iter().any(|refusal| by(refusal).starts_with(program))
    };
    for program in ["node", "openssl"] {
        if std::process::Command::new(program).arg("--help").output().is_ok() {
            for step in ["no-certificate", "strange-authority", "wrong-server-name"] {
                assert!(dialled(program, step), "{program} did not dial in {step}");
            }
        }
    }
}

fn chaincode_pid(steps: &[Value]) -> u32 {
    let step = steps.iter().find(|step| step["name"] == "chaincode").unwrap();
    let facts = step["detail"].as_array().unwrap();
    let fact = facts.iter().find(|fact| fact["label"] == "process").unwrap();
    fact["text"].as_str().unwrap().parse().unwrap()
}

#[test]
fn what_is_to_be_kept_is_kept_also_without_other_tls_stacks() {
    let temp = tempfile::tempdir().unwrap();
    let kept = temp.path().join("kept");
    let system = tempfile::tempdir().unwrap();
    let demo = || {
        let mut command = selvedge(system.path());
        // A machine without other TLS stacks.
        command
            .env("PATH", system.path())
            .args(["demo", "--orgs", "1", "--keep"])
            .arg(&kept)
            .output()
            .unwrap()
    };
    let output = demo();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{stdout}");
    assert!(stdout.contains(kept.to_str().unwrap()), "{stdout}");
    for absent in ["node is not on the PATH", "openssl is not on the PATH"] {
        assert!(stdout.contains(absent), "{stdout}");
    }
    assert!(!stdout.contains('\u{1b}'), "no colours where there is no terminal");
    let user = "network/peerOrganizations/org1.example.com/users/User1@org1.example.com/msp/signcerts";
    assert!(kept.join(user).is_dir());
    assert_keys_are_private(&kept);
    assert_empty(system.path());

    let output = demo();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stdout}");
    assert!(stdout.contains("is not empty"), "{stdout}");
}

fn assert_keys_are_private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let mut keys = 0;
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if std::fs::read(&path).unwrap().windows(11).any(|window| window == b"PRIVATE KEY") {
                keys += 1;
                let mode = path.metadata().unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "others may read {}", path.display());
            }
        }
    }
    assert!(keys > 5, "{keys}");
}

/// A demonstration whose chaincode runs, and the chaincode's process.
fn demo_with_chaincode(temp: &Path) -> (Child, u32, BufReader<std::process::ChildStdout>) {
    let mut demo = selvedge(temp).arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(demo.stdout.take().unwrap());
    let mut line = String::new();
    let chaincode = loop {
        line.clear();
        assert_ne!(stdout.read_line(&mut line).unwrap(), 0, "it ended without a chaincode");
        if let Some(pid) = line.trim().strip_prefix("process: ") {
            break pid.parse().unwrap();
        }
    };
    (demo, chaincode, stdout)
}

fn send(signal: Signal, process: &Child) {
    kill(Pid::from_raw(i32::try_from(process.id()).unwrap()), signal).unwrap();
}

#[test]
fn it_can_be_interrupted_and_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (mut demo, chaincode, mut stdout) = demo_with_chaincode(temp.path());
    send(Signal::SIGINT, &demo);
    let mut told = String::new();
    stdout.read_to_string(&mut told).unwrap();
    let mut stderr = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(2), "{told}{stderr}");
    assert!(stderr.contains("stopped before its end"), "{stderr}");
    assert!(!runs(chaincode));
    assert_empty(temp.path());
}

#[cfg(target_os = "linux")]
#[test]
fn the_chaincode_never_outlives_a_demonstration_that_is_killed() {
    let temp = tempfile::tempdir().unwrap();
    let (mut demo, chaincode, _stdout) = demo_with_chaincode(temp.path());
    assert!(runs(chaincode));
    send(Signal::SIGKILL, &demo);
    demo.wait().unwrap();
    wait_for_end(chaincode);
}
