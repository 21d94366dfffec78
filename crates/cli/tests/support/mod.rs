//! The built command, and what it may leave behind.

#![allow(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The command with an environment in which nothing of the caller's decides anything, and with `temp` as the
/// system's temporary folder.
pub(crate) fn selvedge(temp: &Path) -> Command {
    program(env!("CARGO_BIN_EXE_selvedge"), temp)
}

/// Another program with such an environment.
pub(crate) fn program(name: &str, temp: &Path) -> Command {
    let mut command = Command::new(name);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CHAINCODE_") || text.starts_with("CORE_PEER_") || text == "SELVEDGE_CONFIG" {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG").env("TMPDIR", temp);
    command
}

/// Whether a process runs; one that has ended and that nobody has asked about does not.
pub(crate) fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name before the state is in parentheses and may hold anything.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Waits until a process has ended.
pub(crate) fn wait_for_end(pid: u32) {
    let started = Instant::now();
    while runs(pid) {
        assert!(started.elapsed() < Duration::from_secs(60), "process {pid} does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn assert_empty(folder: &Path) {
    let left: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}

/// The addresses of this machine that a text names.
pub(crate) fn addresses(text: &str) -> impl Iterator<Item = SocketAddr> {
    text.split([' ', ',', '"', '\n']).filter_map(|word| word.parse().ok())
}

pub(crate) fn assert_free(address: SocketAddr) {
    TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is still in use: {error}"));
}

/// A network that is ready. It is killed if the test ends before it has.
pub(crate) struct Up {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub(crate) ready: Value,
}

impl Up {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .args(["--port", "0", "--json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        if line.is_empty() {
            let mut stderr = String::new();
            child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            panic!("it is never ready: {stderr}");
        }
        let mut told: Value = serde_json::from_str(&line).unwrap();
        assert!(told["milliseconds"].is_u64(), "{told}");
        Self { child, lines, ready: told["ready"].take() }
    }

    /// The next thing that it tells a machine.
    pub(crate) fn told(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// The file that describes it.
    pub(crate) fn config(&self) -> PathBuf {
        Path::new(self.ready["folder"].as_str().unwrap()).join("network.json")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits for the end and returns the exit code.
    pub(crate) fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Waits for the end and returns the exit code and what it has told people.
    pub(crate) fn wait_with_talk(mut self) -> (Option<i32>, String) {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        (self.child.wait().unwrap().code(), stderr)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the command, checks its exit code, and gives its two outputs.
#[track_caller]
pub(crate) fn finish(command: &mut Command, code: i32) -> (String, String) {
    let output = command.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {stdout}{stderr}");
    (stdout, stderr)
}

/// Runs the command, checks its exit code, and gives the one JSON document that it prints.
#[track_caller]
pub(crate) fn document(command: &mut Command, code: i32) -> Value {
    let (stdout, stderr) = finish(command.arg("--json"), code);
    serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{command:?}: {error}: {stdout}{stderr}"))
}
