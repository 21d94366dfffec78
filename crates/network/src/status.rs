//! How a network is, asked from another process.
//!
//! Heights, and how many transactions wait for a block, come from the process itself, over the socket in its folder;
//! everything else is asked of each peer over TLS, as any administrator would.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use selvedge_client::{Gateway, Lifecycle};
use selvedge_identity::SigningIdentity;
use serde::Serialize;
use tokio::time::timeout;

use crate::control::{self, Question, Said};
use crate::description::{Description, Node, OrganizationDescription};
use crate::identities::layout;
use crate::network::connect;
use crate::{Holder, NetworkError};

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
    /// When blocks are closed: `adaptive`, `interval` or `manual`.
    pub cutting: String,
    /// How many transactions of each channel wait for their block to be closed.
    pub waiting: BTreeMap<String, usize>,
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

impl Status {
    /// Asks the network of a folder; `None` if none runs there.
    ///
    /// # Errors
    /// When the folder's files cannot be used, or the process that runs it is not ready, or ends at this moment.
    pub async fn of(folder: &Path) -> Result<Option<Self>, NetworkError> {
        let Some(process) = Holder::of(folder)? else { return Ok(None) };
        let Said { mut heights, waiting, cutting } =
            control::ask(folder, &process, &Question::Status).await?;
        let description = Description::read(folder)?.ok_or_else(|| NetworkError::NotReady {
            process: process.clone(),
            source: io::ErrorKind::NotFound.into(),
        })?;
        let peers = description
            .organizations
            .iter()
            .flat_map(|organization| organization.peers.iter().map(move |node| (organization, node)));
        let channels = &description.channels;
        let peers = peers.map(|(organization, node)| {
            let heights = heights.remove(&node.name).unwrap_or_default();
            peer_status(organization, node, channels, heights)
        });
        let peers = join_all(peers).await;
        let Description { folder, orderer, .. } = description;
        Ok(Some(Self { folder, process, orderer, cutting, waiting, peers }))
    }
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
    let lifecycle = Lifecycle::new(channel.clone(), Gateway::new(channel, Arc::new(identity)));
    let installed = lifecycle.installed().await?.into_iter().map(|package| package.package_id).collect();
    let mut committed = BTreeMap::new();
    for id in channels {
        let definitions = lifecycle.all_committed(id).await?.chaincode_definitions.into_iter();
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
