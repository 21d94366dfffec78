//! A demonstration that shows what is not so would be worth nothing: whatever goes wrong must be seen.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::future::{pending, ready};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use asset_transfer_basic::AssetTransfer;
use selvedge::Server;
use selvedge::tls::{Identity, ServerTls};
use selvedge_network::demo::{self, DemoConfig, Progress, Report, Step};
use selvedge_network::sample::{Refused, ServerEvent};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

const LISTENING: &str = r#"{"event":"listening","address":"","package_id":"","security":"mutual-tls"}"#;

async fn run(program: &Path, stop: impl Future<Output = ()> + Send) -> Report {
    run_watched(program, stop, |_| {}).await
}

async fn run_watched(
    program: &Path,
    stop: impl Future<Output = ()> + Send,
    mut started: impl FnMut(&str) + Send,
) -> Report {
    let config = DemoConfig { program: program.to_owned(), keep: None, organizations: 1 };
    let mut shown = Vec::new();
    let report = demo::run(
        &config,
        &mut |progress| match progress {
            Progress::Started { title } => started(title),
            Progress::Ended(step) => shown.push(step.name.clone()),
        },
        stop,
    )
    .await;
    let names: Vec<_> = report.steps.iter().map(|step| step.name.clone()).collect();
    assert_eq!(shown, names, "every step is shown and reported");
    let folder = PathBuf::from(&find(&report, "folder").detail[0].text);
    assert!(folder.is_absolute() && !folder.exists(), "{} is left", folder.display());
    report
}

fn find<'a>(report: &'a Report, name: &str) -> &'a Step {
    report.steps.iter().find(|step| step.name == name).unwrap_or_else(|| panic!("no step {name}: {report:?}"))
}

/// Asserts that a step failed for a reason with this text, and that everything was ended all the same.
#[track_caller]
fn failed(report: &Report, name: &str, text: &str) {
    assert!(!report.ok);
    let step = find(report, name);
    assert!(!step.ok);
    assert!(step.error.iter().any(|error| error.contains(text)), "{step:?}");
    assert!(find(report, "stop").milliseconds < 60_000);
    assert!(find(report, "clean-up").ok);
}

fn script(folder: &TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("chaincode");
    let mut file = std::fs::File::create(&path).unwrap();
    writeln!(file, "#!/bin/sh\n{text}").unwrap();
    file.set_permissions(std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_missing_is_named() {
    let report = run(Path::new("/nowhere/selvedge"), pending()).await;
    failed(&report, "chaincode", "/nowhere/selvedge");
    assert!(report.steps.iter().all(|step| step.name != "init-ledger"), "nothing is built on a failed step");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_that_ends_at_once_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let report = run(&script(&folder, "echo 'out of order' >&2; exit 3"), pending()).await;
    failed(&report, "chaincode", "out of order");
    failed(&report, "chaincode", "exit status: 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_that_serves_nothing_fails_its_first_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &format!("echo '{LISTENING}'; cat > /dev/null"));
    let report = run(&program, pending()).await;
    failed(&report, "init-ledger", "the connection was refused");
    assert!(find(&report, "stop").ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chaincode_that_ends_badly_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(&folder, &format!("echo '{LISTENING}'; cat > /dev/null; exit 9"));
    failed(&run(&program, pending()).await, "stop", "exit status: 9");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_stopped_is_no_success() {
    let report = run(Path::new("/nowhere/selvedge"), ready(())).await;
    assert!(report.interrupted && !report.ok);
    assert!(find(&report, "clean-up").ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_stopped_while_it_starts_writes_no_more() {
    let starts = Notify::new();
    let report = run_watched(Path::new("/nowhere/selvedge"), starts.notified(), |title| {
        if title == "Start the network" {
            starts.notify_one();
        }
    })
    .await;
    assert!(report.interrupted && !report.ok);
    let told = &find(&report, "stop").detail;
    assert!(told.iter().any(|fact| fact.label == "network"), "its start was waited for: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_are_let_in_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let tests = std::env::current_exe().unwrap();
    let text = format!("exec '{}' --exact lenient_chaincode --nocapture", tests.display());
    let report = run(&script(&folder, &text), pending()).await;
    failed(&report, "no-certificate", "Selvedge was let in");
    failed(&report, "strange-authority", "Selvedge was let in");
    for name in ["init-ledger", "transfer-asset", "read-missing-asset", "plaintext", "wrong-server-name"] {
        assert!(find(&report, name).ok, "{report:?}");
    }
}

/// The chaincode of the test above: it lets in whoever comes, and says that it does not. On its own it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn lenient_chaincode() {
    let Ok(package_id) = std::env::var("CHAINCODE_ID") else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let identity =
        Identity::from_files(variable("CHAINCODE_TLS_CERT"), variable("CHAINCODE_TLS_KEY")).unwrap();
    let tls = ServerTls::builder(identity).without_client_certificates().unwrap();
    let server = Server::new(AssetTransfer, package_id, tls);
    let server = server.bind(variable("CHAINCODE_SERVER_ADDRESS")).await.unwrap();
    let mut refusals = server.refusals();
    tokio::spawn(async move {
        while let Ok(refusal) = refusals.recv().await {
            println!("{}", ServerEvent::Refused(Refused::from(&refusal)).to_line());
        }
    });
    println!("\n{LISTENING}");
    let asked = async { while tokio::io::stdin().read_u8().await.is_ok() {} };
    server.serve(asked).await.unwrap();
}
