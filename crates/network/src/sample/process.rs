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
        let stderr = Arc::default();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(read_events(stdout, sender));
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

async fn read_events(stdout: ChildStdout, events: mpsc::Sender<ServerEvent>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // What is not an event is nobody's business.
        let Ok(event) = serde_json::from_str(&line) else { continue };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

async fn read_stderr(mut stderr: ChildStderr, kept: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
        let surplus = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..surplus);
    }
}
