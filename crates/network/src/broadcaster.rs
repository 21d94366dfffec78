//! The embedded orderer as gateways see it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use selvedge_orderer::Orderer;
use selvedge_peer::gateway::{BroadcastError, Broadcaster};
use selvedge_proto::common::Envelope;
use selvedge_proto::orderer::BroadcastResponse;

use crate::identities::Member;

/// The orderer of this process; a call of it crosses no socket.
struct Embedded {
    orderer: Arc<Orderer>,
    address: String,
    msp_id: String,
}

pub(crate) fn of(orderer: &Arc<Orderer>, node: &Member, address: SocketAddr) -> Arc<dyn Broadcaster> {
    Arc::new(Embedded {
        orderer: Arc::clone(orderer),
        address: format!("{}:{}", node.name(), address.port()),
        msp_id: node.msp_id().to_owned(),
    })
}

#[async_trait]
impl Broadcaster for Embedded {
    fn address(&self) -> &str {
        &self.address
    }

    fn msp_id(&self) -> &str {
        &self.msp_id
    }

    async fn broadcast(&self, envelope: Envelope) -> Result<BroadcastResponse, BroadcastError> {
        Ok(self.orderer.broadcast(envelope).await)
    }
}
