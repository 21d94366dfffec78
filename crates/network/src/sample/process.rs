//! The sample's process.

use std::ffi::OsStr;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{SampleError, ServerEvent};
use crate::{EdgeServer, NetworkError};

/// How long the process may take to begin to listen, or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the last words of a process that has ended may take to arrive. Something it started may hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Events that wait to be looked at; the process waits then.
const EVENTS: usize = 64;
/// How much of the end of the process's standard error is kept.
const STDERR_BYTES: usize = 4096;
/// A port that nobody else is given while it is held. Connections to it are refused.
pub(crate) struct Reservation {
    socket: TcpSocket,
    pub(crate) address: SocketAddr,
}

impl Reservation {
    /// Any port.
    pub(crate) fn new() -> Result<Self, NetworkError> {
        let reserve = || -> io::Result<Self> {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        reserve().map_err(NetworkError::file("reserve a port of", Path::new("127.0.0.1")))
    }

    /// This very port, unless somebody listens there. What remains of old connections does not matter.
    pub(crate) fn at(address: SocketAddr) -> io::Result<Self> {
        // While it is bound this way another process could still take it, so it is only looked whether anybody has.
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Self { socket, address })
    }

    fn release(self) {
        drop(self.socket);
    }
}

/// Whether a variable may be one that tells a chaincode how to serve, or a peer's command where its peer is. Those of the
/// caller's environment must not decide anything here.
fn may_set(variable: &OsStr) -> bool {
    let name = variable.to_string_lossy();
    name == "PORT_CHAINCODE_SERVER"
        || ["CHAINCODE_", "CORE_", "SELVEDGE_"].iter().any(|of| name.starts_with(of))
}

/// The sample in a process of its own. Dropping it kills the process.
pub(crate) struct Process {
    child: Child,
    events: mpsc::Receiver<ServerEvent>,
    stderr: Arc<Mutex<Vec<u8>>>,
    reading: Option<JoinHandle<()>>,
    pub(crate) pid: u32,
    pub(crate) security: String,
}

impl Process {
    /// Starts `program` as the sample and waits until it listens.
    pub(crate) async fn start(
        program: &Path,
        package_id: &str,
        place: &EdgeServer,
        reservation: Reservation,
    ) -> Result<Self, SampleError> {
        let mut command = Command::new(program);
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| may_set(variable)) {
            command.env_remove(variable);
        }
        command
            .args(["sample", "asset-transfer-basic", "--json", "--stop-with-stdin"])
            .env("CHAINCODE_SERVER_ADDRESS", &place.address)
            .env("CHAINCODE_ID", package_id)
            .env("CHAINCODE_TLS_CERT", &place.certificate_file)
            .env("CHAINCODE_TLS_KEY", &place.key_file)
            .env("CHAINCODE_CLIENT_CA_CERT", &place.client_authority_file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C reaches all of a terminal's group; this process ends when it is told to.
            .process_group(0)
            .kill_on_drop(true);
        reservation.release();
        let mut child = command.spawn().map_err(NetworkError::file("start", program))?;
        let (sender, events) = mpsc::channel(EVENTS);
        let stderr: Arc<Mutex<Vec<u8>>> = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_events(stdout, sender, Arc::clone(&stderr)));
        }
        let pipe = child.stderr.take();
        let reading = pipe.map(|pipe| tokio::spawn(read_stderr(pipe, Arc::clone(&stderr))));
        let pid = child.id().unwrap_or_default();
        let mut process = Self { child, events, stderr, reading, pid, security: String::new() };
        match timeout(PATIENCE, process.events.recv()).await {
            Ok(Some(ServerEvent::Listening { security, .. })) => {
                process.security = security;
                Ok(process)
            }
            Ok(Some(other)) => Err(process.failed(format!("told {other:?} before it listened"))),
            Ok(None) => {
                let status = process.ended().await?;
                Err(process.failed(format!("ended before it listened ({status})")))
            }
            Err(_) => Err(process.failed(format!("did not listen within {} s", PATIENCE.as_secs()))),
        }
    }

    /// The next thing that the process tells.
    pub(crate) async fn event(&mut self) -> Option<ServerEvent> {
        self.events.recv().await
    }

    /// Asks the process to end and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<(), SampleError> {
        drop(self.child.stdin.take());
        let status = self.ended().await?;
        if status.success() { Ok(()) } else { Err(self.failed(format!("ended badly ({status})"))) }
    }

    async fn ended(&mut self) -> Result<ExitStatus, SampleError> {
        // Nobody may stop reading what it tells, or it could not end.
        let waiting = async {
            loop {
                tokio::select! {
                    status = self.child.wait() => return status,
                    Some(_) = self.events.recv() => {}
                }
            }
        };
        let ended = timeout(PATIENCE, waiting).await;
        if let (Ok(_), Some(reading)) = (&ended, self.reading.take()) {
            drop(timeout(LAST_WORDS, reading).await);
        }
        match ended {
            Ok(status) => {
                Ok(status.map_err(NetworkError::file("wait for", Path::new("the sample's process")))?)
            }
            Err(_) => Err(self.failed(format!("did not end within {} s", PATIENCE.as_secs()))),
        }
    }

    fn failed(&self, happened: String) -> SampleError {
        let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        SampleError::Process { happened, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

/// Hands out events. What is none is the program's reason for a failure, which it tells programs here; it is kept with
/// what it tells people.
async fn read_events(stdout: ChildStdout, events: mpsc::Sender<ServerEvent>, words: Arc<Mutex<Vec<u8>>>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(event) = serde_json::from_str(&line) else {
            keep(&words, format!("{}\n", reason(&line)).as_bytes());
            continue;
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

/// What a failure in its form for programs says, or the line itself.
fn reason(line: &str) -> String {
    let told = serde_json::from_str::<serde_json::Value>(line).unwrap_or_default();
    let text = |field: &str| told.pointer(field).and_then(|value| value.as_str()).map(str::to_owned);
    let Some(what) = text("/error/what") else { return line.to_owned() };
    let evidence = told.pointer("/error/evidence").and_then(|value| value.as_array());
    let evidence = evidence.into_iter().flatten().filter_map(|value| value.as_str());
    std::iter::once(what.as_str()).chain(evidence).collect::<Vec<_>>().join(": ")
}

/// Keeps the end of what a program says.
fn keep(words: &Mutex<Vec<u8>>, said: &[u8]) {
    let mut kept = words.lock().unwrap_or_else(PoisonError::into_inner);
    kept.extend_from_slice(said);
    let surplus = kept.len().saturating_sub(STDERR_BYTES);
    kept.drain(..surplus);
}

async fn read_stderr(mut stderr: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        keep(&kept, buffer.get(..count).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn what_a_program_is_told_is_told_to_people_too() {
        let line = r#"{"error":{"code":"SV-NET-02","what":"it cannot listen","evidence":["in use","by 7"],"fix":null}}"#;
        assert_eq!(reason(line), "it cannot listen: in use: by 7");
        assert_eq!(reason("thread 'main' panicked"), "thread 'main' panicked");
        assert_eq!(reason("{}"), "{}");
    }
}
