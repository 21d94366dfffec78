//! Updates of a channel's configuration: what one changes, who has to have signed it, and what comes out.
//!
//! The rules are those of Fabric's `configtx` package, and the texts of the errors are the ones that its orderers
//! answer with. Orderers make the next configuration with [`propose`]; peers check with [`validate`] that it follows
//! from the update; clients make updates with [`compute`].

mod compute;
mod elements;
mod error;

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::common::{
    ChannelHeader, Config, ConfigEnvelope, ConfigGroup, ConfigUpdate, ConfigUpdateEnvelope, Envelope,
    HeaderType, Payload,
};

pub use self::compute::compute;
use self::elements::{Element, Elements, check_mod_policy};
pub use self::error::UpdateError;
use super::{ChannelConfig, OrdererOrg};
use crate::policy::SignedData;

/// The configuration that follows from an envelope of type CONFIG_UPDATE, as it stands in an envelope of type CONFIG,
/// and the same compiled.
///
/// # Errors
/// When the update is not for this channel and configuration, is not signed by those whom the changed elements name,
/// or makes a configuration that cannot be used or may not follow.
pub fn propose(
    current: &ChannelConfig,
    update: &Envelope,
) -> Result<(ConfigEnvelope, ChannelConfig), UpdateError> {
    let signed = read_envelope(update).map_err(|error| UpdateError::NoUpdate { reason: Box::new(error) })?;
    let group =
        authorize(current, &signed).map_err(|error| UpdateError::Unauthorized { reason: Box::new(error) })?;
    let sequence = current.sequence().checked_add(1).ok_or(UpdateError::LastSequence)?;
    let config = Config { sequence, channel_group: Some(group) };
    let next = current
        .following(config.clone())
        .map_err(|error| UpdateError::Unusable { reason: Box::new(error) })?;
    check_follows(current, &next)?;
    let (before, after) = (&current.consensus().kind, &next.consensus().kind);
    if before != after {
        return Err(UpdateError::ConsensusType { before: before.clone(), after: after.clone() });
    }
    Ok((ConfigEnvelope { config: Some(config), last_update: Some(update.clone()) }, next))
}

/// Checks that a configuration is the one which the update in its envelope makes of the current one.
///
/// # Errors
/// As [`propose`], and when the configuration is another one.
pub fn validate(current: &ChannelConfig, envelope: &ConfigEnvelope) -> Result<(), UpdateError> {
    let config = envelope.config.as_ref().ok_or(UpdateError::NoConfiguration)?;
    if Some(config.sequence) != current.sequence().checked_add(1) {
        return Err(UpdateError::Sequence { current: current.sequence(), found: config.sequence });
    }
    let update = envelope.last_update.as_ref().ok_or(UpdateError::NoHeader)?;
    let group = authorize(current, &read_envelope(update)?)?;
    if config.channel_group.as_ref() == Some(&group) { Ok(()) } else { Err(UpdateError::OtherResult) }
}

/// What an update makes of a configuration's root group when nobody is asked who has signed it, as
/// `configtxlator`'s users see it.
///
/// # Errors
/// As [`propose`], but for signatures.
pub fn apply_unsigned(current: &ConfigGroup, update: &ConfigUpdate) -> Result<ConfigGroup, UpdateError> {
    apply(current, update, |_| Ok(()))
}

/// What an update makes of a configuration's root group. `may_change` is asked for each element that exists and
/// changes.
fn apply(
    current: &ConfigGroup,
    update: &ConfigUpdate,
    mut may_change: impl FnMut(&Element<'_>) -> Result<(), UpdateError>,
) -> Result<ConfigGroup, UpdateError> {
    let existing = Elements::of(Some(current))?;
    let read_set =
        Elements::of(update.read_set.as_ref()).map_err(UpdateError::within("error mapping ReadSet"))?;
    check_read_set(&existing, &read_set).map_err(UpdateError::within("error validating ReadSet"))?;
    let write_set =
        Elements::of(update.write_set.as_ref()).map_err(UpdateError::within("error mapping WriteSet"))?;
    let mut changes = BTreeMap::new();
    for (path, element) in write_set.iter() {
        let is_read = read_set.get(path).is_some_and(|read| read.version() == element.version());
        if !is_read {
            changes.insert(path.as_str(), element);
        }
    }
    check_changes(&existing, &changes, &mut may_change)
        .map_err(UpdateError::within("error validating DeltaSet"))?;
    let result = existing.overlaid(&changes);
    if let Some(lost) = write_set.iter().map(|(path, _)| path).find(|path| result.get(path).is_none()) {
        let reason = Box::new(UpdateError::Lost { path: lost.clone() });
        return Err(UpdateError::Within { what: "full config did not verify", reason });
    }
    result.into_group()
}

fn authorize(current: &ChannelConfig, signed: &ConfigUpdateEnvelope) -> Result<ConfigGroup, UpdateError> {
    let update = ConfigUpdate::decode(signed.config_update.clone()).map_err(UpdateError::undecodable)?;
    if update.channel_id != current.channel_id() {
        let (found, channel) = (update.channel_id, current.channel_id().to_owned());
        return Err(UpdateError::OtherChannel { found, channel });
    }
    let signatures = SignedData::from_config_update(signed).map_err(UpdateError::undecodable)?;
    let group = current.config().channel_group.as_ref().ok_or(UpdateError::NoConfiguration)?;
    apply(group, &update, |element| {
        let policy = current.policies().policy_within(&element.group_path()[1..], element.mod_policy());
        let policy = policy.map_err(|_| UpdateError::MissingPolicy {
            policy: element.mod_policy().to_owned(),
            element: element.key().to_owned(),
        })?;
        policy
            .evaluate(current.msps(), &signatures)
            .map_err(|reason| UpdateError::NotSatisfied { path: element.path(), reason })
    })
}

fn check_read_set(existing: &Elements<'_>, read_set: &Elements<'_>) -> Result<(), UpdateError> {
    for (path, read) in read_set.iter() {
        let known = existing.get(path).ok_or_else(|| UpdateError::UnknownRead { path: path.clone() })?;
        if known.version() != read.version() {
            let (wanted, found) = (read.version(), known.version());
            return Err(UpdateError::ReadVersion { path: path.clone(), wanted, found });
        }
    }
    Ok(())
}

fn check_changes(
    existing: &Elements<'_>,
    changes: &BTreeMap<&str, &Element<'_>>,
    may_change: &mut impl FnMut(&Element<'_>) -> Result<(), UpdateError>,
) -> Result<(), UpdateError> {
    if changes.is_empty() {
        return Err(UpdateError::NoEffect);
    }
    for (path, element) in changes {
        let path = (*path).to_owned();
        check_mod_policy(element.mod_policy())
            .map_err(|reason| UpdateError::ModPolicy { path: path.clone(), reason: Box::new(reason) })?;
        let version = element.version();
        match existing.get(&path) {
            None if version == 0 => {}
            None => return Err(UpdateError::NewVersion { path, version }),
            Some(known) if Some(version) != known.version().checked_add(1) => {
                return Err(UpdateError::NextVersion { path, version, current: known.version() });
            }
            Some(known) => may_change(known)?,
        }
    }
    Ok(())
}

/// Checks what a configuration may not change, however it is signed.
///
/// # Errors
/// [`UpdateError::MspId`] and [`UpdateError::NoEndpoints`].
pub fn check_follows(current: &ChannelConfig, next: &ChannelConfig) -> Result<(), UpdateError> {
    let is_v3 = |config: &ChannelConfig| config.capabilities().channel().contains("V3_0");
    if !is_v3(current)
        && is_v3(next)
        && let Some(org) = next.orderer_orgs().iter().find(|org| org.endpoints.is_empty())
    {
        return Err(UpdateError::NoEndpoints { org: org.name.clone() });
    }
    let ordering = |config: &ChannelConfig| -> BTreeMap<String, String> {
        let pair = |org: &OrdererOrg| (org.name.clone(), org.msp_id.clone());
        config.orderer_orgs().iter().map(pair).collect()
    };
    let application = |config: &ChannelConfig| -> BTreeMap<String, String> {
        config.orgs().iter().map(|org| (org.name.clone(), org.msp_id.clone())).collect()
    };
    for (kind, before, after) in [
        ("orderer", ordering(current), ordering(next)),
        ("application", application(current), application(next)),
    ] {
        for (org, before) in before {
            if let Some(after) = after.get(&org).filter(|after| **after != before) {
                return Err(UpdateError::MspId { kind, org, before, after: after.clone() });
            }
        }
    }
    Ok(())
}

/// The signed update in an envelope of type CONFIG_UPDATE.
fn read_envelope(envelope: &Envelope) -> Result<ConfigUpdateEnvelope, UpdateError> {
    let payload = Payload::decode(envelope.payload.clone()).map_err(UpdateError::undecodable)?;
    let header = payload.header.ok_or(UpdateError::NoHeader)?;
    let header = ChannelHeader::decode(header.channel_header).map_err(UpdateError::undecodable)?;
    if header.r#type != i32::from(HeaderType::ConfigUpdate) {
        return Err(UpdateError::Type { found: header.r#type });
    }
    decode_signed(payload.data)
}

fn decode_signed(data: Bytes) -> Result<ConfigUpdateEnvelope, UpdateError> {
    ConfigUpdateEnvelope::decode(data).map_err(UpdateError::undecodable)
}
