//! How a network is, asked from another process.
//!
//! Heights come from the process itself, over a socket in the network's folder that only says and never listens;
//! everything else is asked of each peer over TLS, as any administrator would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use prost::Message;
use selvedge_client::{Gateway, Lifecycle, ProposalBuilder};
use selvedge_identity::SigningIdentity;
use selvedge_proto::lifecycle::{QueryChaincodeDefinitionsArgs, QueryChaincodeDefinitionsResult};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::description::{Description, Node, OrganizationDescription};
use crate::identities::layout;
use crate::network::connect;
use crate::{Holder, Network, NetworkError};

const SOCKET: &str = "status.sock";

/// More than the heights of any network take.
const MOST_BYTES: u64 = 4 << 20;

/// How long one who asks may take to read, and how long the answer may take.
const ASKING: Duration = Duration::from_secs(1);
const ANSWERING: Duration = Duration::from_secs(5);

/// How long a peer may take to answer everything.
const PEER: Duration = Duration::from_secs(10);

/// The heights of a peer's channels: the number of blocks it has committed.
pub type Heights = BTreeMap<String, u64>;

/// A running network.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its folder.
    pub folder: PathBuf,
    /// The process that runs it.
    pub process: Holder,
    /// Where the orderer listens.
    pub orderer: Node,
    /// Its peers.
    pub peers: Vec<PeerStatus>,
}

/// A peer of a running network.
#[derive(Clone, Debug, Serialize)]
pub struct PeerStatus {
    /// Who it is and where it listens.
    #[serde(flatten)]
    pub node: Node,
    /// The heights of its channels.
    pub heights: Heights,
    /// The ids of the packages on it.
    pub installed: Vec<String>,
    /// What is committed, by channel.
    pub committed: BTreeMap<String, Vec<CommittedChaincode>>,
    /// Why it did not answer, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A chaincode that a channel's organisations have agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommittedChaincode {
    /// The name under which clients call it.
    pub name: String,
    /// The version label.
    pub version: String,
    /// How many definitions of it were committed.
    pub sequence: i64,
}

/// The channels of a peer with their heights, which change.
type Channels = Vec<(String, watch::Receiver<u64>)>;

/// What the socket says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    heights: BTreeMap<String, Heights>,
}

impl Status {
    /// Asks the network of a folder; `None` if none runs there.
    ///
    /// # Errors
    /// When the folder's files cannot be used, or the process that runs it is not ready, or ends at this moment.
    pub async fn of(folder: &Path) -> Result<Option<Self>, NetworkError> {
        let Some(process) = Holder::of(folder)? else { return Ok(None) };
        let not_ready = |source| NetworkError::NotReady { process: process.clone(), source };
        let mut said = timeout(ANSWERING, ask(folder))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(not_ready)?;
        let description =
            Description::read(folder)?.ok_or_else(|| not_ready(io::ErrorKind::NotFound.into()))?;
        let peers = description
            .organizations
            .iter()
            .flat_map(|organization| organization.peers.iter().map(move |node| (organization, node)));
        let channels = &description.channels;
        let peers = peers.map(|(organization, node)| {
            let heights = said.heights.remove(&node.name).unwrap_or_default();
            peer_status(organization, node, channels, heights)
        });
        let peers = join_all(peers).await;
        Ok(Some(Self { folder: description.folder, process, orderer: description.orderer, peers }))
    }
}

/// Says the heights of the network's peers to everybody who connects, until it is stopped.
pub(crate) fn serve(network: &Network, stopping: CancellationToken) -> Result<JoinHandle<()>, NetworkError> {
    let folder = network.folder();
    let path = folder.join(SOCKET);
    remove(folder)?;
    let listener =
        through(folder, |path| UnixListener::bind(path)).map_err(NetworkError::file("listen on", &path))?;
    let peers = network.peers().iter().map(|peer| {
        let channels = network.channels().iter();
        let heights = channels.filter_map(|id| Some((id.clone(), peer.channel(id)?.ledger().subscribe())));
        (peer.name().to_owned(), heights.collect())
    });
    let peers: Vec<(String, Channels)> = peers.collect();
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
            let heights = peers.iter().map(|(name, channels)| {
                let heights = channels.iter().map(|(id, height)| (id.clone(), *height.borrow()));
                (name.clone(), heights.collect())
            });
            let Ok(text) = serde_json::to_vec(&Said { heights: heights.collect() }) else { return };
            // Whoever asks and does not read is left alone.
            let _ = timeout(ASKING, stream.write_all(&text)).await;
        }
    }))
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

async fn ask(folder: &Path) -> io::Result<Said> {
    // The path counts only while the connection is made, which does not wait.
    let stream = through(folder, std::os::unix::net::UnixStream::connect)?;
    stream.set_nonblocking(true)?;
    let mut text = Vec::new();
    UnixStream::from_std(stream)?.take(MOST_BYTES).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// Uses the socket of the folder. The system takes no more than a hundred bytes for its path, so where it can be done
/// the folder is named by an open handle.
fn through<T>(folder: &Path, once: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    let handle = File::open(folder)?;
    let short = Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string());
    once(if short.exists() { short.join(SOCKET) } else { folder.join(SOCKET) })
}

async fn peer_status(
    organization: &OrganizationDescription,
    node: &Node,
    channels: &[String],
    heights: Heights,
) -> PeerStatus {
    let asked = timeout(PEER, ask_peer(organization, node, channels)).await;
    let (answer, problem) = match asked {
        Ok(Ok(answer)) => (answer, None),
        Ok(Err(error)) => (Answer::default(), Some(told(&error))),
        Err(_) => (Answer::default(), Some(format!("it did not answer within {} s", PEER.as_secs()))),
    };
    let Answer { installed, committed } = answer;
    PeerStatus { node: node.clone(), heights, installed, committed, problem }
}

#[derive(Default)]
struct Answer {
    installed: Vec<String>,
    committed: BTreeMap<String, Vec<CommittedChaincode>>,
}

async fn ask_peer(
    organization: &OrganizationDescription,
    node: &Node,
    channels: &[String],
) -> Result<Answer, NetworkError> {
    let unknown = || NetworkError::UnknownMember { name: format!("Admin@{}", organization.domain) };
    let admin = organization.users.iter().find(|user| user.role == "admin").ok_or_else(unknown)?;
    let certificate = layout::read(&admin.certificate)?;
    let key = zeroize::Zeroizing::new(layout::read(&admin.key)?);
    let identity = SigningIdentity::from_pem(&organization.msp_id, certificate.as_bytes(), key.as_bytes())
        .map_err(|source| NetworkError::Identity { name: admin.name.clone(), source: Box::new(source) })?;
    let channel = connect(&node.name, node.address, &layout::read(&node.tls_root)?).await?;
    let gateway = Gateway::new(channel.clone(), Arc::new(identity));
    let lifecycle = Lifecycle::new(channel, gateway.clone());
    let installed = lifecycle.installed().await?.into_iter().map(|package| package.package_id).collect();
    let mut committed = BTreeMap::new();
    for id in channels {
        let call = ProposalBuilder::new(id, "_lifecycle")
            .arg("QueryChaincodeDefinitions")
            .arg(QueryChaincodeDefinitionsArgs::default().encode_to_vec());
        let payload = gateway.evaluate(call).await?.payload;
        let definitions = QueryChaincodeDefinitionsResult::decode(payload)
            .map_err(|source| NetworkError::Answer { name: node.name.clone(), source })?;
        let definitions = definitions.chaincode_definitions.into_iter();
        let chaincodes = definitions.map(|definition| CommittedChaincode {
            name: definition.name,
            version: definition.version,
            sequence: definition.sequence,
        });
        committed.insert(id.clone(), chaincodes.collect());
    }
    Ok(Answer { installed, committed })
}

/// An error with its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
