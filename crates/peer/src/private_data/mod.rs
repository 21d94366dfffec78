//! Private data between peers.
//!
//! ```text
//! endorser --distribute--> other peers' transient stores     committer --gather--> own transient store, then other
//!                                                                                  peers; the rest is missing
//!                                                            reconciler: what is missing, again and again
//! ```
//!
//! A peer reaches others only through a list of [`PrivateDataPeer`]s and never knows which of them share its process.
//! [`EmbeddedPeer`] is one that does. Whoever gives private data checks that the collection admits who asks; whoever
//! takes it checks it against the hashes of the block.

mod asking;
mod distribution;
mod embedded;
mod gathering;
mod membership;
mod reconciliation;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use selvedge_ledger::state::Missing;
use selvedge_proto::rwset::TxPvtReadWriteSet;
use tokio::sync::watch;

pub(crate) use distribution::{Endorsed, distribute};
pub use embedded::EmbeddedPeer;
pub(crate) use gathering::gather;
pub(crate) use reconciliation::Reconciler;

/// What one peer asks another for: a transaction's private writes to one collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which writes.
    pub of: Missing,
    /// The transaction's id, by which a peer finds what is not in its ledger yet; empty if it is not known.
    pub transaction_id: String,
}

/// What a peer has of what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Which writes.
    pub of: Missing,
    /// The marshalled sets that may be the ones: a client can have had several proposals endorsed with one id.
    pub sets: Vec<Bytes>,
}

/// Why another peer did not keep or give private data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateDataError {
    /// The other peer is not on the channel.
    #[error("the peer has not joined the channel {0}")]
    NotJoined(String),
    /// The other peer does not know who asks.
    #[error("the peer does not know who asks")]
    Unknown(#[source] selvedge_identity::IdentityError),
    /// The other peer's ledger failed.
    #[error("the peer's ledger failed")]
    Ledger(#[from] selvedge_ledger::StoreError),
    /// The other peer broke off.
    #[error("the peer broke off")]
    BrokenOff,
}

/// Another peer, which keeps and gives private data.
#[async_trait]
pub trait PrivateDataPeer: Send + Sync {
    /// Its encoded `msp.SerializedIdentity`, by which collections admit it.
    fn identity(&self) -> &Bytes;

    /// Whether it has joined a channel, as far as is known.
    fn has_joined(&self, channel: &str) -> bool;

    /// Keeps private writes of a transaction that was simulated at this height, until a block brings it. When this
    /// returns, they survive a loss of the peer's power.
    ///
    /// # Errors
    /// When it cannot be reached or has no room.
    async fn keep(
        &self,
        channel: &str,
        transaction_id: &str,
        height: u64,
        writes: TxPvtReadWriteSet,
    ) -> Result<(), PrivateDataError>;

    /// Gives what it has and the asking peer may have, in no particular order. `asker` is the encoded
    /// `msp.SerializedIdentity` of that peer.
    ///
    /// # Errors
    /// When it cannot be reached or does not know the asker.
    async fn give(
        &self,
        channel: &str,
        asker: &Bytes,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<Given>, PrivateDataError>;
}

/// The other peers that a peer knows. Clones share the list.
#[derive(Clone)]
pub struct PrivateDataPeers(Arc<watch::Sender<List>>);

type List = Arc<[Arc<dyn PrivateDataPeer>]>;

impl PrivateDataPeers {
    /// Knows these peers from now on, and no others. The peer itself is not to be among them.
    pub fn set(&self, peers: Vec<Arc<dyn PrivateDataPeer>>) {
        self.0.send_replace(peers.into());
    }

    /// The peers that have joined a channel.
    pub(crate) fn of(&self, channel: &str) -> Vec<Arc<dyn PrivateDataPeer>> {
        self.0.borrow().iter().filter(|peer| peer.has_joined(channel)).cloned().collect()
    }

    /// Tells when others are known.
    pub(crate) fn watch(&self) -> watch::Receiver<List> {
        self.0.subscribe()
    }
}

impl Default for PrivateDataPeers {
    /// No other peers.
    fn default() -> Self {
        let none: List = Arc::new([]);
        Self(Arc::new(watch::Sender::new(none)))
    }
}

impl fmt::Debug for PrivateDataPeers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("PrivateDataPeers").field(&self.0.borrow().len()).finish()
    }
}

/// Who a peer is when it asks for private data, and whom it asks.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    /// The MSP id of its organisation.
    pub(crate) msp_id: String,
    /// Its encoded `msp.SerializedIdentity`.
    pub(crate) identity: Bytes,
    pub(crate) peers: PrivateDataPeers,
}
