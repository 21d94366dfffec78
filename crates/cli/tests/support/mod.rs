//! The built command, and what it may leave behind.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The command with an environment in which nothing of the caller's decides anything, and with `temp` as the
/// system's temporary folder.
pub(crate) fn selvedge(temp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAINCODE_") {
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
