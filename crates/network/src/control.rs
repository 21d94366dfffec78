//! The socket in a network's folder, over which its process says how it is and is told to close blocks. Only the user
//! who runs the network can open it. One who connects sends a question in a line, and gets one answer.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use selvedge_orderer::{Cut, Cutting, Orderer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Closed, Heights, Holder, Network, NetworkError};

const SOCKET: &str = "control.sock";

/// More than the answer for any network takes, and more than any question.
const MOST_BYTES: u64 = 4 << 20;
const QUESTION_BYTES: u64 = 64 << 10;

/// How long one who asks may take to write and to read, and how long the answer may take.
const ASKING: Duration = Duration::from_secs(1);
const ANSWERING: Duration = Duration::from_secs(5);

/// What may be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub(crate) enum Question {
    /// How is it? The answer is [`Said`].
    Status,
    /// Close a block of each of these channels, or of all if none is named. The answer is a list of [`Closed`].
    Cut {
        /// The channels.
        channels: Vec<String>,
    },
}

/// How the network is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Said {
    pub(crate) heights: BTreeMap<String, Heights>,
    pub(crate) waiting: BTreeMap<String, usize>,
    pub(crate) cutting: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer<T> {
    Answer(T),
    Refused(String),
}

/// A peer's name, and its channels' ids with their heights.
type PeerHeights = (String, Vec<(String, watch::Receiver<u64>)>);

/// What the socket's task knows of the network.
struct Control {
    peers: Vec<PeerHeights>,
    channels: Vec<String>,
    orderer: Arc<Orderer>,
    cutting: Cutting,
}

/// Answers everybody who connects, one after the other, until it is stopped.
pub(crate) fn serve(network: &Network, stopping: CancellationToken) -> Result<JoinHandle<()>, NetworkError> {
    let folder = network.folder();
    let path = folder.join(SOCKET);
    remove(folder)?;
    let listener = through(folder, |path| {
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(listener)
    })
    .map_err(NetworkError::file("listen on", &path))?;
    let peers = network.peers().iter().map(|peer| {
        let channels = network.channels().iter();
        let heights = channels.filter_map(|id| Some((id.clone(), peer.channel(id)?.ledger().subscribe())));
        (peer.name().to_owned(), heights.collect())
    });
    let control = Control {
        peers: peers.collect(),
        channels: network.channels().to_vec(),
        orderer: Arc::clone(network.orderer()),
        cutting: network.cutting(),
    };
    Ok(tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            let Ok((mut stream, _)) = accepted else {
                // Such as too many open files: there is nobody to tell, and it may pass.
                tokio::time::sleep(ASKING).await;
                continue;
            };
            let Ok(Some(question)) = timeout(ASKING, question(&mut stream)).await else { continue };
            let Ok(Some(text)) = timeout(ANSWERING, control.answer(question)).await else { continue };
            // Whoever asks and does not read is left alone.
            let _ = timeout(ASKING, stream.write_all(&text)).await;
        }
    }))
}

impl Control {
    async fn answer(&self, question: Question) -> Option<Vec<u8>> {
        match question {
            Question::Status => serde_json::to_vec(&Answer::Answer(self.said())).ok(),
            Question::Cut { channels } => {
                let channels = if channels.is_empty() { &self.channels } else { &channels };
                let mut closed = Vec::new();
                for channel in channels {
                    match self.orderer.cut(channel).await {
                        Ok(cut) => closed.push(Closed::of(channel, cut)),
                        Err(error) => {
                            return serde_json::to_vec(&Answer::<()>::Refused(error.to_string())).ok();
                        }
                    }
                }
                serde_json::to_vec(&Answer::Answer(closed)).ok()
            }
        }
    }

    fn said(&self) -> Said {
        let heights = self.peers.iter().map(|(name, channels)| {
            let heights = channels.iter().map(|(id, height)| (id.clone(), *height.borrow()));
            (name.clone(), heights.collect())
        });
        let waiting = self.channels.iter().filter_map(|id| {
            let pending = self.orderer.pending(id)?;
            let pending = *pending.borrow();
            Some((id.clone(), pending))
        });
        let cutting = match self.cutting {
            Cutting::Adaptive => "adaptive",
            Cutting::Interval(_) => "interval",
            Cutting::BatchTimeout => "batch-timeout",
            Cutting::Manual => "manual",
        };
        Said { heights: heights.collect(), waiting: waiting.collect(), cutting: cutting.to_owned() }
    }
}

impl Closed {
    pub(crate) fn of(channel: &str, cut: Option<Cut>) -> Self {
        Self {
            channel: channel.to_owned(),
            block: cut.map(|cut| cut.block),
            transactions: cut.map_or(0, |cut| cut.envelopes),
        }
    }
}

async fn question(stream: &mut UnixStream) -> Option<Question> {
    let mut line = String::new();
    BufReader::new(stream.take(QUESTION_BYTES)).read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

/// Removes the socket of a process that has ended or is about to.
pub(crate) fn remove(folder: &Path) -> Result<(), NetworkError> {
    let path = folder.join(SOCKET);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetworkError::file("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

/// Asks the process that runs the network of a folder.
pub(crate) async fn ask<T: DeserializeOwned>(
    folder: &Path,
    process: &Holder,
    question: &Question,
) -> Result<T, NetworkError> {
    let answered = timeout(ANSWERING + ASKING, send(folder, question)).await;
    let answered = answered.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match answered.map_err(|source| NetworkError::NotReady { process: process.clone(), source })? {
        Answer::Answer(answer) => Ok(answer),
        Answer::Refused(reason) => Err(NetworkError::Refused(reason)),
    }
}

async fn send<T: DeserializeOwned>(folder: &Path, question: &Question) -> io::Result<Answer<T>> {
    // The path counts only while the connection is made, which does not wait.
    let stream = through(folder, std::os::unix::net::UnixStream::connect)?;
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut text = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Uses the socket of the folder. The system takes no more than a hundred bytes for its path, so where it can be done
/// the folder is named by an open handle.
fn through<T>(folder: &Path, once: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let handle = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string());
    once(if short.exists() { short.join(SOCKET) } else { folder.join(SOCKET) })
}
