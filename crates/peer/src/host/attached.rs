//! Chaincode that shares the peer's process: there is no package to build and no server to dial.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::BoxStream;
use parking_lot::RwLock;
use selvedge_proto::protos::ChaincodeMessage;
use tokio::sync::mpsc;
use tonic::Status;

use super::store::InstalledPackage;

/// The two directions of a stream that a chaincode has opened within the process.
pub struct AttachedStream {
    /// What the chaincode sends; its first message is REGISTER.
    pub incoming: BoxStream<'static, Result<ChaincodeMessage, Status>>,
    /// Takes what the peer sends.
    pub outgoing: mpsc::Sender<ChaincodeMessage>,
}

type Open = Arc<dyn Fn() -> AttachedStream + Send + Sync>;

/// The chaincodes that were attached, by package id.
#[derive(Default)]
pub(super) struct Attached(RwLock<BTreeMap<String, Open>>);

impl Attached {
    pub(super) fn add(&self, package_id: String, open: impl Fn() -> AttachedStream + Send + Sync + 'static) {
        self.0.write().insert(package_id, Arc::new(open));
    }

    pub(super) fn contains(&self, package_id: &str) -> bool {
        self.0.read().contains_key(package_id)
    }

    /// A new stream to a chaincode that was attached. It is opened without the lock held.
    pub(super) fn open(&self, package_id: &str) -> Option<AttachedStream> {
        let open = self.0.read().get(package_id).cloned();
        open.map(|open| open())
    }

    pub(super) fn list(&self) -> Vec<InstalledPackage> {
        let label = |id: &str| id.split_once(':').map_or(id, |(label, _)| label).to_owned();
        let ids = self.0.read();
        ids.keys().map(|id| InstalledPackage { package_id: id.clone(), label: label(id) }).collect()
    }
}
