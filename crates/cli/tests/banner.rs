//! What `selvedge up` tells a person can be copied, and does what it says.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::selvedge;

/// A network that has told a person everything.
struct Told {
    child: Child,
    /// What it told, line by line.
    lines: Vec<String>,
    /// Read no further, but kept open.
    _stderr: BufReader<ChildStderr>,
}

impl Told {
    fn start(temp: &Path, arguments: &[&str]) -> Self {
        let mut up = selvedge(temp);
        let mut child = up.arg("up").args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| line != "Ctrl-C stops it.") {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended early: {lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        Self { child, lines, _stderr: stderr }
    }

    /// The lines of a section.
    fn section(&self, title: &str) -> Vec<&str> {
        let from =
            self.lines.iter().position(|line| line.starts_with(title)).unwrap_or_else(|| panic!("{title}"));
        self.lines[from + 1..].iter().take_while(|line| !line.is_empty()).map(|line| line.trim()).collect()
    }

    fn stop(mut self) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what was copied, as a shell does.
#[track_caller]
fn shell(temp: &Path, line: &str) -> String {
    let mut command = Command::new("sh");
    // What the command finds of the caller's environment decides nothing.
    for (name, value) in selvedge(temp).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.arg("-c").arg(line).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{line}: {stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

#[test]
fn the_next_command_can_be_copied_in_every_state() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("my network");
    let dir = folder.to_str().unwrap();
    let next = |told: &Told| {
        let lines = told.section("Next");
        assert_eq!(lines.len(), 1, "{lines:?}");
        shell(temp.path(), lines[0])
    };

    // A new one shows its configuration, a channel with a history what is committed there.
    let told = Told::start(temp.path(), &["--port", "0", "--dir", dir]);
    assert!(next(&told).contains("block 0 of mychannel"));
    told.stop();
    let told = Told::start(temp.path(), &["--port", "0", "--dir", dir, "--sample"]);
    assert!(told.lines.iter().any(|line| line.contains("first transaction committed")), "{:?}", told.lines);
    assert_eq!(next(&told).trim(), "Tomoko");
    told.stop();
    let told = Told::start(temp.path(), &["--port", "0", "--dir", dir]);
    assert!(next(&told).contains("basic"));
    told.stop();

    // With several channels it says which.
    let told = Told::start(temp.path(), &["--port", "0", "--channels", "one,two"]);
    assert!(next(&told).contains("block 0 of one"));
    told.stop();
}

#[test]
fn the_variables_are_those_of_the_administrator() {
    let temp = tempfile::tempdir().unwrap();
    let told = Told::start(temp.path(), &["--port", "0", "--orgs", "2"]);
    let lines = told.section("For Fabric's peer command, as Org1MSP's administrator");
    let (exports, rest): (Vec<&str>, Vec<&str>) =
        lines.into_iter().partition(|line| line.starts_with("export "));
    assert!(exports.len() > 3, "{exports:?}");
    let program = env!("CARGO_BIN_EXE_selvedge");
    let asked = format!("{program} chaincode query-installed");
    shell(temp.path(), &format!("{}\n{asked}", exports.join("\n")));

    // The files do the same, each for its organisation: this call only its own administrator may make.
    for organization in ["the same:", "Org2MSP:"] {
        let line = rest.iter().find_map(|line| line.strip_prefix(organization));
        let file = line.unwrap_or_else(|| panic!("{organization} {rest:?}"));
        shell(temp.path(), &format!("{file}\n{asked}"));
    }
    told.stop();
}
