//! Capabilities: features that every member of a channel must have.

use std::collections::BTreeSet;

use prost::Message;
use selvedge_proto::common::{Capabilities as CapabilitiesMessage, ConfigGroup};

use super::{ChannelError, malformed};
use crate::msp::MspVersion;

const CHANNEL: [&str; 6] = ["V1_1", "V1_3", "V1_4_2", "V1_4_3", "V2_0", "V3_0"];
const ORDERER: [&str; 3] = ["V1_1", "V1_4_2", "V2_0"];
const APPLICATION: [&str; 6] = ["V1_1", "V1_2", "V1_3", "V1_4_2", "V2_0", "V2_5"];

/// The capabilities a channel requires, by level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    channel: BTreeSet<String>,
    orderer: BTreeSet<String>,
    application: BTreeSet<String>,
}

impl Capabilities {
    pub(super) fn read(
        root: &ConfigGroup,
        orderer: &ConfigGroup,
        application: &ConfigGroup,
    ) -> Result<Self, ChannelError> {
        let capabilities = Self {
            channel: level("Channel", root, &CHANNEL)?,
            orderer: level("Orderer", orderer, &ORDERER)?,
            application: level("Application", application, &APPLICATION)?,
        };
        if !["V1_4_3", "V2_0", "V3_0"].iter().any(|name| capabilities.channel.contains(*name)) {
            return Err(ChannelError::TooOld { level: "Channel", oldest: "V1_4_3" });
        }
        if !["V2_0", "V2_5"].iter().any(|name| capabilities.application.contains(*name)) {
            return Err(ChannelError::TooOld { level: "Application", oldest: "V2_0" });
        }
        Ok(capabilities)
    }

    /// The names required of everyone, such as `V2_0`.
    pub fn channel(&self) -> &BTreeSet<String> {
        &self.channel
    }

    /// The names required of orderers.
    pub fn orderer(&self) -> &BTreeSet<String> {
        &self.orderer
    }

    /// The names required of peers.
    pub fn application(&self) -> &BTreeSet<String> {
        &self.application
    }

    /// The rules the channel's MSPs follow.
    pub fn msp_version(&self) -> MspVersion {
        if self.channel.contains("V3_0") { MspVersion::V3_0 } else { MspVersion::V1_4_3 }
    }

    /// Whether private data may be purged (application capability V2_5).
    pub fn purge_private_data(&self) -> bool {
        self.application.contains("V2_5")
    }
}

fn level(
    name: &'static str,
    group: &ConfigGroup,
    supported: &[&str],
) -> Result<BTreeSet<String>, ChannelError> {
    let Some(value) = group.values.get("Capabilities") else { return Ok(BTreeSet::new()) };
    let message =
        CapabilitiesMessage::decode(value.value.clone()).map_err(malformed("the value Capabilities"))?;
    let required: BTreeSet<String> = message.capabilities.into_keys().collect();
    match required.iter().find(|required| !supported.contains(&required.as_str())) {
        Some(unknown) => Err(ChannelError::UnsupportedCapability {
            level: name,
            name: unknown.clone(),
            supported: supported.join(", "),
        }),
        None => Ok(required),
    }
}
