//! The gateway: what a client's application talks to instead of endorsers, orderers and block events.
//!
//! * `Evaluate` asks one endorser.
//! * `Endorse` asks one endorser of the gateway's own organisation, learns from the answer which policies the
//!   transaction has to satisfy, and asks as many others as it takes.
//! * `Submit` passes the signed transaction to the ordering service.
//! * `CommitStatus` waits for the verdict.
//! * `ChaincodeEvents` follows the events of a chaincode.
//!
//! For each channel the gateway has a list of [`Endorser`]s and a list of [`Broadcaster`]s, and it does not know which
//! of them share its process.

mod broadcaster;
mod commit_status;
mod endorse;
mod error;
mod evaluate;
mod events;
mod judge;
mod plan;
mod prepare;
mod proposal;
#[cfg(test)]
mod replay;
mod requirements;
mod service;
mod submit;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::channel::Channel;
use crate::endorser::Endorser;

pub use broadcaster::{BroadcastError, Broadcaster, RemoteBroadcaster};
pub use error::GatewayError;
pub use events::ChaincodeEvents;
pub use service::{GatewayService, MAX_CONCURRENT_REQUESTS};

/// How a gateway works.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// How long one endorser may take (Fabric's `peer.gateway.endorsementTimeout`).
    pub endorsement_timeout: Duration,
    /// How long one orderer may take (Fabric's `peer.gateway.broadcastTimeout`).
    pub broadcast_timeout: Duration,
}

impl Default for GatewayConfig {
    /// Fabric's time-outs of 30 seconds.
    fn default() -> Self {
        let half_a_minute = Duration::from_secs(30);
        Self { endorsement_timeout: half_a_minute, broadcast_timeout: half_a_minute }
    }
}

/// What a gateway knows of a channel.
#[derive(Clone)]
pub struct GatewayChannel {
    /// The channel as the gateway's own peer has joined it.
    pub channel: Arc<Channel>,
    /// The channel's endorsers, this peer among them. Of two that would do, the earlier one is asked.
    pub endorsers: Vec<Arc<dyn Endorser>>,
    /// The channel's ordering nodes, tried in this order.
    pub broadcasters: Vec<Arc<dyn Broadcaster>>,
}

/// A gateway. Cheap to clone; clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    msp_id: String,
    config: GatewayConfig,
    channels: ArcSwap<BTreeMap<String, Arc<GatewayChannel>>>,
}

impl Gateway {
    /// A gateway of the organisation with this MSP id.
    pub fn new(msp_id: impl Into<String>, config: GatewayConfig) -> Self {
        Self(Arc::new(Inner { msp_id: msp_id.into(), config, channels: ArcSwap::default() }))
    }

    /// The MSP id of the gateway's organisation.
    pub fn msp_id(&self) -> &str {
        &self.0.msp_id
    }

    /// Serves a channel from now on, or with other endorsers and orderers than before.
    pub fn set_channel(&self, channel: GatewayChannel) {
        let channel = Arc::new(channel);
        self.0.channels.rcu(|channels| {
            let mut channels = BTreeMap::clone(channels);
            channels.insert(channel.channel.id().to_owned(), Arc::clone(&channel));
            channels
        });
    }

    fn channel(&self, id: &str) -> Option<Arc<GatewayChannel>> {
        self.0.channels.load().get(id).cloned()
    }

    fn config(&self) -> &GatewayConfig {
        &self.0.config
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.0.channels.load();
        formatter
            .debug_struct("Gateway")
            .field("msp_id", &self.0.msp_id)
            .field("channels", &channels.keys())
            .finish_non_exhaustive()
    }
}

/// What the gateway says of a channel that its peer has not joined.
fn unknown_channel(id: &str) -> String {
    format!("failed to get config for channel [{id}]: could not get last config for channel {id}")
}
