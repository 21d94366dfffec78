//! A channel's configuration as its chain has it, and what it makes of envelopes.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use prost::Message;
use selvedge_identity::channel::update;
use selvedge_identity::{ChannelConfig, SigningIdentity};
use selvedge_proto::common::{
    ChannelHeader, ConfigEnvelope, Envelope, Header, HeaderType, Payload, SignatureHeader, Status,
};

use crate::admission::{self, Refusal};
use crate::cutter::BatchLimits;
use crate::seal;

/// What the orderer itself allows, whatever the configuration says.
#[derive(Debug)]
pub(crate) struct Current {
    config: ArcSwap<ChannelConfig>,
    /// Signs configurations.
    identity: Arc<SigningIdentity>,
    /// What a block can carry, in bytes.
    carried: u32,
}

/// An envelope that passed the checks.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The marshalled envelope.
    pub(crate) bytes: Bytes,
    /// What counts for the limits of a block, in bytes: payload and signature.
    pub(crate) size: usize,
    /// The number of the configuration that it was checked by.
    pub(crate) sequence: u64,
    /// For an envelope with a configuration, what made it.
    pub(crate) change: Option<Change>,
}

/// A configuration on its way into a block.
#[derive(Debug)]
pub(crate) struct Change {
    /// The update that the client sent.
    update: Envelope,
    /// The configuration that holds after the block.
    pub(crate) next: Arc<ChannelConfig>,
}

impl Current {
    pub(crate) fn new(config: ChannelConfig, identity: Arc<SigningIdentity>, carried: u32) -> Self {
        Self { config: ArcSwap::from_pointee(config), identity, carried }
    }

    pub(crate) fn config(&self) -> Arc<ChannelConfig> {
        self.config.load_full()
    }

    /// Replaces the configuration; the chain does once the block with it is written.
    pub(crate) fn set(&self, config: Arc<ChannelConfig>) {
        self.config.store(config);
    }

    /// The limits of a block.
    pub(crate) fn limits(&self) -> BatchLimits {
        let config = self.config();
        let batch = config.batch();
        BatchLimits {
            max_messages: batch.max_message_count,
            // Half of it leaves room for the framing of many small envelopes.
            preferred_max_bytes: batch.preferred_max_bytes.min(self.carried / 2),
        }
    }

    /// How long a block may wait for further envelopes.
    pub(crate) fn timeout(&self) -> Duration {
        self.config().batch().timeout
    }

    /// Checks an envelope for this channel, and makes the configuration of one that holds an update.
    ///
    /// # Errors
    /// With the answer that Fabric gives.
    pub(crate) fn admit(
        &self,
        header: &ChannelHeader,
        envelope: &Envelope,
        now: SystemTime,
    ) -> Result<Admitted, Refusal> {
        match HeaderType::try_from(header.r#type) {
            Ok(HeaderType::Config) => {
                let info = "message is of type that cannot be processed directly";
                return Err(Refusal::bad_request(info));
            }
            Ok(HeaderType::OrdererTransaction) => {
                return Err(Refusal::bad_request("message is of type that is no longer supported"));
            }
            Ok(HeaderType::ConfigUpdate) => return self.admit_update(envelope, now),
            _ => {}
        }
        let config = self.config();
        if admission::is_in_maintenance(&config) {
            let info = "normal transactions are rejected: maintenance mode";
            return Err(Refusal::new(Status::ServiceUnavailable, info));
        }
        admission::check(&config, envelope, self.limit(&config), now)?;
        Ok(Admitted {
            bytes: envelope.encode_to_vec().into(),
            size: admission::size_of(envelope),
            sequence: config.sequence(),
            change: None,
        })
    }

    /// Checks an envelope again that was admitted by an earlier configuration.
    ///
    /// # Errors
    /// With the answer that Fabric would have given; whoever sent it has had another one.
    pub(crate) fn admit_again(&self, admitted: Admitted, now: SystemTime) -> Result<Admitted, Refusal> {
        if let Some(Change { update, .. }) = &admitted.change {
            return self.admit_update(update, now);
        }
        let undecodable = |_| Refusal::bad_request("it cannot be decoded");
        let envelope = Envelope::decode(admitted.bytes).map_err(undecodable)?;
        let header = admission::channel_header(&envelope)?;
        self.admit(&header, &envelope, now)
    }

    fn admit_update(&self, update: &Envelope, now: SystemTime) -> Result<Admitted, Refusal> {
        let config = self.config();
        let id = config.channel_id();
        let limit = self.limit(&config);
        admission::check(&config, update, limit, now).map_err(|refusal| {
            refusal.within("config update for existing channel did not pass initial checks")
        })?;
        let (contents, next) = update::propose(&config, update).map_err(|error| {
            Refusal::bad_request(format!("error applying config update to existing channel '{id}': {error}"))
        })?;
        let envelope = self.sign(id, &contents, now)?;
        admission::check(&config, &envelope, limit, now).map_err(|refusal| {
            refusal.within("config update for existing channel did not pass final checks")
        })?;
        Ok(Admitted {
            bytes: envelope.encode_to_vec().into(),
            size: admission::size_of(&envelope),
            sequence: config.sequence(),
            change: Some(Change { update: update.clone(), next: Arc::new(next) }),
        })
    }

    /// The envelope with which an orderer brings a configuration.
    fn sign(&self, id: &str, contents: &ConfigEnvelope, now: SystemTime) -> Result<Envelope, Refusal> {
        let failed = |error: &dyn std::error::Error| {
            Refusal::new(Status::InternalServerError, format!("the configuration cannot be signed: {error}"))
        };
        let channel_header = ChannelHeader {
            r#type: HeaderType::Config.into(),
            timestamp: Some(now.into()),
            channel_id: id.to_owned(),
            ..ChannelHeader::default()
        };
        let nonce = seal::nonce().map_err(|error| failed(&error))?;
        let signature_header = SignatureHeader { creator: self.identity.serialized().clone(), nonce };
        let header = Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        };
        let data = contents.encode_to_vec().into();
        let payload: Bytes = Payload { header: Some(header), data }.encode_to_vec().into();
        let signature = self.identity.sign(&payload).map_err(|error| failed(&error))?;
        Ok(Envelope { payload, signature })
    }

    /// The largest envelope, in bytes.
    fn limit(&self, config: &ChannelConfig) -> u32 {
        config.batch().absolute_max_bytes.min(self.carried)
    }
}
