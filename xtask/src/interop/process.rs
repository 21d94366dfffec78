//! A program that runs beside ours and never outlives it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command;
use crate::error::Error;

const POLL: Duration = Duration::from_millis(50);

/// How long a program may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(30);

/// How much of a log goes into an error.
const TAIL_LINES: usize = 40;

/// A running program with its output in a file, which is killed when dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self, Error> {
        let make = |source| Error::File { action: "make", path: log.to_owned(), source };
        let output = File::create(log).map_err(make)?;
        let errors = output.try_clone().map_err(make)?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        command::announce(command);
        Ok(Self { name, child: command::spawn(command)?, log: log.to_owned() })
    }

    /// Waits until `ready` holds; an error if the program ends before, or if it takes longer than `limit`.
    pub(crate) fn wait_until(
        &mut self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        while !ready() {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => return Err(self.error(format!("no {what} after {} s", limit.as_secs()))),
                Ok(Some(status)) => return Err(self.error(format!("no {what}: it ended with {status}"))),
                Err(error) => return Err(self.error(format!("no {what}: {error}"))),
            }
        }
        Ok(())
    }

    /// Expects a program that was asked to end to end well.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let deadline = Instant::now() + GRACE;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
                Ok(None) => {
                    return Err(self.error(format!("still running after {} s", GRACE.as_secs())));
                }
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.error(format!("it ended with {status}"))),
                Err(error) => return Err(self.error(format!("nobody knows whether it has ended: {error}"))),
            }
        }
    }

    /// Ends a program that serves until it is killed.
    pub(crate) fn kill(mut self) -> Result<(), Error> {
        // A program that has ended before says so by the status below.
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(self.error(format!("it ended by itself with {status}")));
        }
        self.child.kill().map_err(|error| self.error(format!("it cannot be killed: {error}")))
    }

    /// An error about this program, with the end of its log.
    pub(crate) fn error(&self, reason: String) -> Error {
        let tail = tail(&self.log).unwrap_or_else(|error| format!("(its log cannot be read: {error})"));
        Error::Process { process: self.name.to_owned(), reason, log: self.log.clone(), tail }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing left to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn tail(log: &Path) -> io::Result<String> {
    let mut last = VecDeque::with_capacity(TAIL_LINES);
    for line in BufReader::new(File::open(log)?).split(b'\n') {
        if last.len() == TAIL_LINES {
            last.pop_front();
        }
        last.push_back(format!("  | {}", String::from_utf8_lossy(&line?)));
    }
    Ok(last.into_iter().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_program_ends_well_when_it_is_asked_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        let mut command = shell("touch \"$0\"; until [ -e \"$1\" ]; do sleep 0.01; done; echo bye");
        let command = command.arg(file("ready")).arg(file("end"));
        let mut process = Process::start("server", command, &file("log")).unwrap();
        process.wait_until("file", PATIENCE, || file("ready").exists()).unwrap();
        fs::write(file("end"), "").unwrap();
        process.finish().unwrap();
        assert_eq!(fs::read_to_string(file("log")).unwrap(), "bye\n");
        let process = Process::start("server", &mut shell("exit 3"), &file("log")).unwrap();
        assert!(process.finish().unwrap_err().to_string().contains("exit status: 3"));
    }

    #[test]
    fn a_program_that_ends_early_shows_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = Process::start("server", &mut shell("echo no port; exit 3"), &log).unwrap();
        let error = process.wait_until("port", PATIENCE, || false).unwrap_err().to_string();
        assert!(error.contains("server: no port: it ended with exit status: 3"), "{error}");
        assert!(error.ends_with("  | no port"), "{error}");
    }

    #[test]
    fn a_server_that_died_is_not_killed_in_silence() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start("server", &mut shell("exit 0"), &folder.path().join("log")).unwrap();
        process.child.wait().unwrap();
        assert!(process.kill().unwrap_err().to_string().contains("it ended by itself"));
    }

    #[test]
    fn only_the_end_of_a_long_log_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::write(&log, "line\n".repeat(TAIL_LINES * 3) + "last\n").unwrap();
        let tail = tail(&log).unwrap();
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("  | last"));
    }
}
