//! A network of one peer and the sample chaincode, each as a process of its own, so that what they use can be told apart.
//!
//! The processes are this program, run again. They read standard input and end when it does: they never outlive who
//! started them, whatever ends it.

pub(crate) mod chaincode;
pub(crate) mod network;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use selvedge_client::ProposalBuilder;
use selvedge_client::connect::{ConnectionOptions, Role};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::BenchError;
use crate::process::Process;

pub(crate) const CHANNEL: &str = "mychannel";
pub(crate) const CHAINCODE: &str = "basic";

/// A safety net: starting and ending take about a second.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the network tells when it is ready.
#[derive(Debug, Serialize, Deserialize)]
struct Ready {
    /// The network's description.
    config: PathBuf,
    chaincode: Place,
}

/// Where the chaincode is expected, and with which files.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    address: String,
    package_id: String,
    certificate: PathBuf,
    key: PathBuf,
    client_authority: PathBuf,
}

pub(crate) struct Embedded {
    pub(crate) connection: ConnectionOptions,
    chaincode: Part,
    network: Part,
}

/// A process. Dropping it kills it.
struct Part {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    process: Process,
}

impl Embedded {
    /// Starts both, and fills the ledger with the sample's six assets.
    pub(crate) async fn start(stop: &CancellationToken) -> Result<Self, BenchError> {
        tokio::select! {
            () = stop.cancelled() => Err(BenchError::Embedded("stopped before the network was ready".to_owned())),
            started = Self::started() => started,
        }
    }

    async fn started() -> Result<Self, BenchError> {
        let mut network = Part::start("network", "peer and orderer")?;
        let ready: Ready = parsed(&network.line().await?)?;
        let mut chaincode = Part::start("chaincode", "chaincode")?;
        let mut place = serde_json::to_vec(&ready.chaincode).expect("a place has string keys only");
        place.push(b'\n');
        chaincode.stdin.write_all(&place).await.map_err(BenchError::io("the chaincode's process is gone"))?;
        chaincode.line().await?;
        let connection = ConnectionOptions { config: Some(ready.config), ..ConnectionOptions::default() };
        let gateway = connection.settings(Role::Client)?.gateway().await?;
        gateway.submit_and_wait(ProposalBuilder::new(CHANNEL, CHAINCODE).arg("InitLedger"), &[]).await?;
        Ok(Self { connection, chaincode, network })
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        vec![self.network.process.clone(), self.chaincode.process.clone()]
    }

    /// Ends both.
    pub(crate) async fn stop(self) -> Result<(), BenchError> {
        self.chaincode.stop().await?;
        self.network.stop().await
    }
}

impl Part {
    fn start(role: &str, name: &str) -> Result<Self, BenchError> {
        let failed = BenchError::io("the program cannot be started again");
        let mut child = Command::new(std::env::current_exe().map_err(&failed)?)
            .arg(role)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for this program, which ends the others once it has no more need of them.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(&failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.id());
        let ((stdin, stdout), pid) =
            pipes.ok_or_else(|| BenchError::Embedded(format!("the {name} ended at once")))?;
        let process = Process { name: name.to_owned(), pid };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout), process })
    }

    /// The next line that it tells.
    async fn line(&mut self) -> Result<String, BenchError> {
        const MOST_BYTES: u64 = 64 << 10;
        let mut line = String::new();
        let mut limited = (&mut self.stdout).take(MOST_BYTES);
        match timeout(PATIENCE, limited.read_line(&mut line)).await {
            Ok(Ok(1..)) => Ok(line),
            Ok(Ok(0)) => {
                Err(BenchError::Embedded(format!("the {} ended early; see above why", self.process.name)))
            }
            Ok(Err(source)) => Err(BenchError::io("what a process told cannot be read")(source)),
            Err(_) => Err(BenchError::Embedded(format!("the {} was not ready in time", self.process.name))),
        }
    }

    async fn stop(mut self) -> Result<(), BenchError> {
        drop(self.stdin);
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => {
                Err(BenchError::Embedded(format!("the {} ended badly: {status}", self.process.name)))
            }
            Ok(Err(source)) => Err(BenchError::io("a process cannot be waited for")(source)),
            Err(_) => Err(BenchError::Embedded(format!("the {} did not end", self.process.name))),
        }
    }
}

/// A line of standard input, in a process that was started for it.
async fn first_line(stdin: &mut BufReader<tokio::io::Stdin>) -> Result<String, BenchError> {
    let mut line = String::new();
    stdin.read_line(&mut line).await.map_err(BenchError::io("standard input cannot be read"))?;
    Ok(line)
}

/// Completes when standard input ends.
async fn ended(mut stdin: impl tokio::io::AsyncRead + Unpin) {
    let mut ignored = [0; 64];
    while matches!(stdin.read(&mut ignored).await, Ok(1..)) {}
}

fn parsed<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, BenchError> {
    serde_json::from_str(line)
        .map_err(|error| BenchError::Embedded(format!("{line:?} was not expected: {error}")))
}
