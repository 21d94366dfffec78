//! The second stage: a proposal whose creator may make it.

use std::sync::Arc;

use selvedge_identity::{ChannelConfig, Identity, Msp};

use super::{Received, Refusal, check_access, is_system_chaincode};
use crate::channel::Channel;

/// The resource that guards proposals to a channel's own chaincodes.
const PROPOSE: &str = "peer/Propose";

/// A proposal signed by a valid member, who may propose transactions, and that is not on the ledger.
#[derive(Clone, Debug)]
pub struct Verified {
    pub(super) proposal: Received,
    pub(super) creator: Arc<Identity>,
    pub(super) place: Option<Place>,
}

/// The channel of a proposal with the configuration by which it was judged.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) channel: Arc<Channel>,
    pub(super) config: Arc<ChannelConfig>,
}

impl Received {
    /// Checks who made the proposal: by the channel's MSPs, or by the peer's own for a call outside any channel.
    /// `channel` is the one that [`channel_id`](Self::channel_id) names.
    ///
    /// # Errors
    /// The first of Fabric's checks that fails.
    pub fn verify(self, channel: Option<Arc<Channel>>, local_msp: &Msp) -> Result<Verified, Refusal> {
        self.check_header()?;
        let place = channel.map(|channel| Place { config: channel.config(), channel });
        let creator = match &place {
            Some(place) => place.config.msps().deserialize(self.creator()),
            None => local_msp.deserialize(self.creator()),
        };
        let creator = creator.map_err(|error| {
            tracing::debug!(%error, "a proposal's creator is unknown");
            Refusal::UnknownCreator { channel: self.channel_id().to_owned() }
        })?;
        self.check_creator(&creator)?;
        if let Some(Place { channel, config }) = &place {
            self.check_new(channel)?;
            if !is_system_chaincode(self.chaincode()) {
                check_access(config, PROPOSE, std::slice::from_ref(&creator))?;
            }
        }
        Ok(Verified { proposal: self, creator, place })
    }

    fn check_creator(&self, creator: &Identity) -> Result<(), Refusal> {
        let denied = |error: &dyn std::error::Error| {
            tracing::debug!(%error, ?creator, "a proposal's creator is refused");
            Refusal::Creator { channel: self.channel_id().to_owned(), msp_id: creator.msp_id().to_owned() }
        };
        creator.validate().map_err(|error| denied(&error))?;
        creator.verify(&self.signed.proposal_bytes, &self.signed.signature).map_err(|error| denied(&error))
    }

    fn check_new(&self, channel: &Channel) -> Result<(), Refusal> {
        if channel.ledger().contains_transaction(self.tx_id())? {
            let creator = hex::encode(self.creator());
            return Err(Refusal::Duplicate { tx_id: self.tx_id().to_owned(), creator });
        }
        Ok(())
    }
}

impl Verified {
    /// The proposal.
    pub fn proposal(&self) -> &Received {
        &self.proposal
    }

    /// Who made it.
    pub fn creator(&self) -> &Arc<Identity> {
        &self.creator
    }
}
