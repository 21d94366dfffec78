//! A sample that a builder's `bin/run` starts: a process of its own, which dials the peer that has launched it.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use selvedge_client::{Definition, ProposalBuilder};
use selvedge_network::{Deployment, ExternalBuilder, Keeping, Network, NetworkConfig, Ports};
use selvedge_package::PackageBuilder;
use support::wait_for_end;

const CHANNEL: &str = "mychannel";

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_runs_the_sample_and_its_transactions_are_committed() {
    let folder = tempfile::tempdir().unwrap();
    let builder = folder.path().join("builder");
    let (log, pids) = (folder.path().join("log"), folder.path().join("pids"));
    let program = env!("CARGO_BIN_EXE_selvedge");
    let run = format!(
        "echo $$ >> {}\nexec {program} sample asset-transfer-basic 2>> {} < /dev/null\n",
        pids.display(),
        log.display()
    );
    write_script(&builder.join("bin/detect"), "exit 0");
    write_script(&builder.join("bin/build"), "exit 0");
    write_script(
        &builder.join("bin/run"),
        &format!("export SELVEDGE_RUN_METADATA=\"$2/chaincode.json\"\n{run}"),
    );
    let config = NetworkConfig {
        keeping: Keeping::Memory,
        ports: Ports::Free,
        builders: vec![ExternalBuilder {
            name: "runner".to_owned(),
            path: builder,
            propagate_environment: Vec::new(),
        }],
        ..NetworkConfig::test_network(folder.path().join("network"), 2)
    };
    let network = Network::start(config).await.unwrap();
    let package = PackageBuilder::new("basic_1").unwrap().chaincode_type("binary");
    let deployment = Deployment {
        channel: CHANNEL.to_owned(),
        definition: Definition {
            name: "basic".to_owned(),
            version: "1.0".to_owned(),
            sequence: 1,
            ..Definition::default()
        },
        package: package.file("program", "any").unwrap().build().unwrap().bytes().clone(),
    };
    network.deploy(&deployment).await.unwrap();
    let peer = &network.peers()[0];
    let user = network.organizations()[0].member("User1@org1.example.com").unwrap();
    let gateway = network.gateway(peer, user).await.unwrap();
    let call = |function: &'static str| ProposalBuilder::new(CHANNEL, "basic").arg(function);
    // Both organisations endorse, each by a process that its own peer has launched.
    let committed =
        gateway.submit_and_wait(call("InitLedger"), &["Org1MSP", "Org2MSP"].map(str::to_owned)).await;
    committed.unwrap_or_else(|error| panic!("{error}: {}", fs::read_to_string(&log).unwrap_or_default()));
    let read = gateway.evaluate(call("ReadAsset").arg("asset1")).await.unwrap();
    assert!(String::from_utf8_lossy(&read.payload).contains("Tomoko"));
    network.shutdown().await;
    // Each has ended with its peer.
    let pids = fs::read_to_string(&pids).unwrap();
    assert_eq!(pids.lines().count(), 2, "{pids}");
    pids.lines().for_each(|pid| wait_for_end(pid.parse().unwrap()));
}

/// Written by another process: a file that this one has open could be inherited by a builder and not be run then.
fn write_script(path: &Path, script: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", r#"mkdir -p "$(dirname "$0")" && cat > "$0" && chmod 755 "$0""#])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}
