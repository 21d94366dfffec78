//! The program as its users run it, against a network that it starts itself.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

fn bench(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-bench"));
    command.args(words);
    command
}

/// The document that a run prints, and its exit code.
fn measured(words: &[&str]) -> (Value, i32) {
    document(&bench(words).args(["--embedded", "--json"]).output().unwrap())
}

fn document(output: &Output) -> (Value, i32) {
    let told = String::from_utf8_lossy(&output.stderr);
    let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {told}"));
    (document, output.status.code().unwrap())
}

/// Whether the processes that were measured have ended.
fn are_gone(document: &Value) -> bool {
    let processes = document["processes"].as_array().unwrap();
    assert_eq!(processes.len(), 3);
    processes.iter().all(|process| !Path::new("/proc").join(process["pid"].to_string()).exists())
}

#[test]
fn each_operation_is_measured_with_the_processes_that_took_part() {
    let call = ["CreateAsset", "{run}-{i}", "blue", "5", "Tomoko", "300"];
    for operation in ["endorse", "submit"] {
        let words = [
            &[operation, "--count", "40", "--duration", "600", "--in-flight", "8", "--warm-up", "0.1"],
            &call[..],
        ]
        .concat();
        let (report, code) = measured(&words);
        assert_eq!(
            (&report["transactions"], &report["ended"], code),
            (&40.into(), &"count".into(), 0),
            "{report}"
        );
        assert!(report["errors"].as_object().unwrap().is_empty(), "{report}");
        let names =
            report["processes"].as_array().unwrap().iter().map(|process| process["name"].as_str().unwrap());
        assert_eq!(names.collect::<Vec<_>>(), ["load program", "peer and orderer", "chaincode"]);
        let latency = |name: &str| report["latency_ms"][name].as_f64().unwrap();
        assert!(0.0 < latency("p50") && latency("p50") <= latency("p99") && latency("p99") <= latency("max"));
        assert!(are_gone(&report), "{report}");
    }
}

#[test]
fn failures_are_counted_by_kind_and_fail_the_run() {
    let (report, code) = measured(&[
        "evaluate",
        "--count",
        "10",
        "--duration",
        "600",
        "--rate",
        "100",
        "ReadAsset",
        "nothing",
    ]);
    assert_eq!((&report["transactions"], code), (&0.into(), 1), "{report}");
    let error = &report["errors"]["evaluate: Unknown"];
    assert_eq!(error["count"], 10, "{report}");
    assert!(error["example"].as_str().unwrap().contains("the asset nothing does not exist"), "{report}");
}

#[test]
fn a_run_that_is_interrupted_tells_what_it_has() {
    let mut child = bench(&["evaluate", "--embedded", "--json", "--rate", "20", "--prepare", "2000"])
        .args(["--duration", "800", "--warm-up", "0", "ReadAsset", "asset1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(told.any(|line| line.unwrap().contains("measuring")), "it ended early");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let (report, code) = document(&child.wait_with_output().unwrap());
    assert_eq!((&report["ended"], code), (&"interrupted".into(), 0), "{report}");
    assert!(are_gone(&report), "{report}");
}

#[test]
fn one_command_gives_all_figures() {
    let output =
        bench(&["figures", "--rounds", "1", "--duration", "0.2", "--warm-up", "0.1"]).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(table.lines().count(), 2 + 8, "{table}");
    for row in ["evaluate ReadAsset, 64", "evaluate GetAllAssets of 1,000, 1", "endorse CreateAsset, 16"] {
        assert!(table.contains(&format!("| {row} |")), "{table}");
    }
    assert!(!table.contains("NaN"), "{table}");
}
