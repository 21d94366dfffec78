//! Runs one program of an external builder.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::host::config::ExternalBuilder;
use crate::host::error::StepError;

/// The variables that every builder may see.
const DEFAULT_ENVIRONMENT: [&str; 4] = ["LD_LIBRARY_PATH", "LIBPATH", "PATH", "TMPDIR"];
/// The most bytes of one line of stderr that are kept; fewer may be shown.
const LINE: usize = 2048;
/// The most lines of stderr that are logged in [`MINUTE`]; the rest is read and dropped. Builders end within minutes, and
/// the chaincode that they run goes on.
const LINES: usize = 1000;
const MINUTE: Duration = Duration::from_secs(60);
/// How long stderr is read on after the program has ended, for what processes outside its group still hold.
const STDERR_PATIENCE: Duration = Duration::from_secs(1);

/// How long a program that is asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// How often to look whether anything of it is left.
const LOOK: Duration = Duration::from_millis(20);

/// Runs `program` in a process group of its own and waits for its end. It gets the paths as its arguments, an empty
/// stdin, no stdout, and nothing of the environment but what [`select`] lets through; its stderr goes to the log.
///
/// When the program has ended, and also when this future is dropped, whatever is left of its group is killed.
pub(super) async fn run(
    builder: &ExternalBuilder,
    program: &Path,
    arguments: &[&Path],
    environment: &BTreeMap<OsString, OsString>,
) -> Result<(), StepError> {
    run_until(builder, program, arguments, environment, std::future::pending()).await
}

/// As [`run`], but asks the program to end when `stop` completes, by SIGTERM, and kills it after 5 s, as Fabric's peer
/// does.
pub(super) async fn run_until(
    builder: &ExternalBuilder,
    program: &Path,
    arguments: &[&Path],
    environment: &BTreeMap<OsString, OsString>,
    stop: impl Future<Output = ()>,
) -> Result<(), StepError> {
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(select(builder, environment))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| StepError::Start { program: program.to_owned(), source })?;
    let group = Group::of(&child);
    let mut log = StderrLog::new(builder, program);
    let status = {
        let stderr = child.stderr.take();
        let reading = async {
            if let Some(stderr) = stderr {
                log.read(stderr).await;
            }
        };
        let ending = end(&mut child, &group, stop);
        tokio::pin!(reading, ending);
        let ended = tokio::select! {
            status = &mut ending => Some(status),
            () = &mut reading => None,
        };
        match ended {
            Some(status) => {
                group.signal(Signal::SIGKILL);
                // Nothing is lost that matters if somebody outside the group holds the pipe open.
                let _ = tokio::time::timeout(STDERR_PATIENCE, reading).await;
                status
            }
            None => ending.await,
        }
    };
    drop(group);
    match status.map_err(StepError::Wait)? {
        status if status.success() => Ok(()),
        status => Err(StepError::Exit { status: described(status), last_line: log.last }),
    }
}

/// Waits for the program's end, and brings it about once `stop` completes.
async fn end(
    child: &mut Child,
    group: &Group,
    stop: impl Future<Output = ()>,
) -> std::io::Result<ExitStatus> {
    tokio::select! {
        status = child.wait() => return status,
        () = stop => {}
    }
    group.signal(Signal::SIGTERM);
    // A script may end before the program that it has started; that has its time too.
    let ended = async {
        let status = child.wait().await;
        while group.is_there() {
            tokio::time::sleep(LOOK).await;
        }
        status
    };
    if let Ok(status) = tokio::time::timeout(GRACE, ended).await {
        return status;
    }
    group.signal(Signal::SIGKILL);
    child.wait().await
}

/// The part of the environment that a builder may see.
fn select<'a>(
    builder: &'a ExternalBuilder,
    environment: &'a BTreeMap<OsString, OsString>,
) -> impl Iterator<Item = (&'a OsStr, &'a OsString)> {
    let configured = builder.propagate_environment.iter().map(String::as_str);
    DEFAULT_ENVIRONMENT
        .into_iter()
        .chain(configured)
        .filter_map(|name| environment.get(OsStr::new(name)).map(|value| (OsStr::new(name), value)))
}

/// The status in Go's words.
fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => {
            let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
            format!("killed by signal {signal} ({name})")
        }
        (None, None) => status.to_string(),
    }
}

/// A process group, which is killed when this is dropped.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn is_there(&self) -> bool {
        self.0.is_some_and(|group| killpg(group, None).is_ok())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // It fails only when nothing of the group is left. Then its number has just become free; the system hands
            // numbers out in turn, so no other group has it yet.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Logs stderr line by line, cut and escaped, and keeps the last line for the error.
struct StderrLog<'a> {
    builder: &'a str,
    program: &'a Path,
    line: Vec<u8>,
    logged: usize,
    since: Instant,
    last: String,
}

impl<'a> StderrLog<'a> {
    fn new(builder: &'a ExternalBuilder, program: &'a Path) -> Self {
        Self {
            builder: &builder.name,
            program,
            line: Vec::new(),
            logged: 0,
            since: Instant::now(),
            last: String::new(),
        }
    }

    async fn read(&mut self, mut stderr: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        loop {
            // An error of the pipe ends it like its end does; the exit status tells what matters.
            let count = stderr.read(&mut buffer).await.unwrap_or(0);
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                self.end_line();
                return;
            };
            for byte in bytes {
                match byte {
                    b'\n' => self.end_line(),
                    byte if self.line.len() < LINE => self.line.push(*byte),
                    _ => {}
                }
            }
        }
    }

    fn end_line(&mut self) {
        let text = selvedge_tls::escape(String::from_utf8_lossy(&self.line).trim_end());
        self.line.clear();
        if text.is_empty() {
            return;
        }
        if self.since.elapsed() > MINUTE {
            (self.logged, self.since) = (0, Instant::now());
        }
        if self.logged < LINES {
            tracing::info!(builder = self.builder, program = %self.program.display(), "{text}");
        } else if self.logged == LINES {
            tracing::warn!(builder = self.builder, limit = LINES, "more lines than are logged");
        }
        self.logged += 1;
        self.last = text;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stderr_is_cut_into_bounded_lines() {
        let builder =
            ExternalBuilder { name: "b".into(), path: "/b".into(), propagate_environment: Vec::new() };
        let mut log = StderrLog::new(&builder, Path::new("/b/bin/build"));
        let text = format!("first\n{}\n\n\x1b[31mlast", "x".repeat(3 * LINE));
        log.read(text.as_bytes()).await;
        assert_eq!(log.logged, 3);
        assert!(log.last.ends_with("last") && !log.last.contains('\x1b'), "{:?}", log.last);
        log.read("x".repeat(3 * LINE).as_bytes()).await;
        assert!(log.last.len() <= LINE && log.last.starts_with("xxx"), "{}", log.last.len());
        assert!(log.line.capacity() <= 2 * LINE);
    }
}
