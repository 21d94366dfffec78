//! What organisations approve: `ApproveChaincodeDefinitionForMyOrg` and the questions about approvals.

use std::collections::BTreeMap;

use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::lifecycle::state_data::Type;
use selvedge_proto::lifecycle::{ChaincodeSource, StateMetadata, chaincode_source};

use super::definition::{self, Definition, LocalPackage, Parameters, private_name};
use super::error::{Conflict, LifecycleError};
use super::layout::{self, NAMESPACES, SOURCES, Structure};
use super::state::{CommittedOrganisation, Hashes, Organisation, Public, Reads, sha256};

/// What this peer's organisation approved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Approved {
    pub(super) definition: Definition,
    /// Empty if the organisation has no code.
    pub(super) package_id: String,
}

impl Approved {
    /// Where the code comes from, as the answers tell it.
    pub(super) fn source(self) -> ChaincodeSource {
        let source = if self.package_id.is_empty() {
            chaincode_source::Type::Unavailable(chaincode_source::Unavailable {})
        } else {
            chaincode_source::Type::LocalPackage(chaincode_source::Local { package_id: self.package_id })
        };
        ChaincodeSource { r#type: Some(source) }
    }
}

/// Records the organisation's approval of a definition that has been checked and completed with the defaults.
pub(super) fn approve(
    simulator: &mut Simulator,
    own_msp_id: &str,
    definition: &Definition,
    committed: i64,
    package_id: &str,
) -> Result<(), LifecycleError> {
    let (name, sequence) = (&definition.name, definition.sequence);
    if sequence == committed {
        check_same_as_committed(simulator, definition)?;
    }
    let mut state = Organisation::new(simulator, own_msp_id);
    if is_approved(definition, package_id, &mut state)? {
        let name = name.clone();
        let conflict = if sequence == committed {
            Conflict::UnchangedCommitted { sequence, name }
        } else {
            Conflict::UnchangedUncommitted { sequence, name }
        };
        return Err(conflict.into());
    }
    let stored = private_name(name, sequence);
    let during = |what: &'static str| LifecycleError::during(move || what.to_owned());
    layout::store(NAMESPACES, &stored, &Parameters(definition), &mut state)
        .map_err(during("could not serialize chaincode parameters to state"))?;
    layout::store(SOURCES, &stored, &LocalPackage(package_id), &mut state)
        .map_err(during("could not serialize chaincode package info to state"))
}

/// Whether a sequence can be approved: the committed one, or the one after it.
pub(super) fn check_sequence(requested: i64, committed: i64) -> Result<(), Conflict> {
    let next = committed.wrapping_add(1);
    if requested == 0 && committed == 0 {
        Err(Conflict::FirstSequence)
    } else if requested < committed {
        Err(Conflict::Past { committed, requested })
    } else if requested > next {
        Err(Conflict::TooFar { requested, next })
    } else {
        Ok(())
    }
}

/// The organisation's approval of a sequence; of the latest one it approved if `sequence` is 0.
pub(super) fn query(
    simulator: &mut Simulator,
    own_msp_id: &str,
    channel: &str,
    name: &str,
    sequence: i64,
) -> Result<Approved, LifecycleError> {
    let sequence = if sequence == 0 { latest(simulator, own_msp_id, name)? } else { sequence };
    let stored = private_name(name, sequence);
    let mut state = Organisation::new(simulator, own_msp_id);
    let metadata = layout::metadata(NAMESPACES, &stored, &mut state)
        .map_err(LifecycleError::during(|| format!("could not deserialize namespace metadata for {stored}")))?
        .ok_or_else(|| LifecycleError::NoApproval {
            name: name.to_owned(),
            sequence,
            channel: channel.to_owned(),
        })?;
    read(name, sequence, &metadata, &mut state)
}

/// All approvals of the organisation, in the order of their stored names.
pub(super) fn query_all(
    simulator: &mut Simulator,
    own_msp_id: &str,
    channel: &str,
) -> Result<Vec<Approved>, LifecycleError> {
    let mut state = Organisation::new(simulator, own_msp_id);
    let all = layout::all_metadata(NAMESPACES, &mut state)
        .map_err(LifecycleError::during(|| "could not fetch metadatas".to_owned()))?;
    let mut approvals = Vec::with_capacity(all.len());
    for (stored, metadata) in all {
        let (name, sequence) = split_name(&stored).ok_or_else(|| {
            LifecycleError::Incomplete(format!(
                "could not extract chaincode name and sequence number from metadata: {stored}: invalid private name format: {stored}"
            ))
        })?;
        let approval = read(name, sequence, &metadata, &mut state).map_err(LifecycleError::during(|| {
            format!("could not fetch approved chaincode definition (name: '{name}', sequence: '{sequence}') on channel '{channel}'")
        }))?;
        approvals.push(approval);
    }
    Ok(approvals)
}

/// Per organisation the fields in which its approval differs from the definition; none if it approved just this.
pub(super) fn differences<'a>(
    simulator: &mut Simulator,
    definition: &Definition,
    msp_ids: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Vec<&'static str>>, LifecycleError> {
    let mut all = BTreeMap::new();
    for msp_id in msp_ids {
        let mut state = Organisation::new(simulator, msp_id);
        all.insert(msp_id.to_owned(), differences_of(definition, &mut state)?);
    }
    Ok(all)
}

/// The package of an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ApprovedPackage {
    /// The organisation runs this package.
    Id(String),
    /// This peer does not have the private value, but knows the SHA-256 of its stored form.
    Hash(bytes::Bytes),
    /// The organisation runs none.
    None,
}

impl ApprovedPackage {
    /// Whether a package is the approved one.
    pub(super) fn is(&self, package_id: &str) -> bool {
        match self {
            Self::Id(id) => id == package_id,
            Self::Hash(hash) => *hash == hash_of_package_id(package_id),
            Self::None => false,
        }
    }
}

/// The package that an organisation approved for a committed definition; `None` if it did not approve the definition.
pub(super) fn committed_package(
    snapshot: &dyn Snapshot,
    msp_id: &str,
    definition: &Definition,
) -> Result<Option<ApprovedPackage>, LifecycleError> {
    let mut state = CommittedOrganisation::new(snapshot, msp_id);
    if !differences_of(definition, &mut state)?.is_empty() {
        return Ok(None);
    }
    let stored = private_name(&definition.name, definition.sequence);
    if !layout::is_stored::<LocalPackage<'_>>(SOURCES, &stored, &mut state)? {
        return Ok(Some(ApprovedPackage::None));
    }
    let key = layout::field_key(SOURCES, &stored, "PackageID");
    let reading = || LifecycleError::reading(|| format!("could not get state for key {key}"));
    let Some(hash) = state.hash(&key).map_err(reading())? else { return Ok(Some(ApprovedPackage::None)) };
    if hash == hash_of_package_id("") {
        return Ok(Some(ApprovedPackage::None));
    }
    let private = state.private(&key).map_err(reading())?;
    // A value that the hash does not stand for is one that this peer holds by mistake.
    let package = match private.filter(|value| sha256(value) == hash) {
        Some(value) => {
            let mut value = OneValue(value);
            ApprovedPackage::Id(definition::read_package_id(&stored, &mut value)?)
        }
        None => ApprovedPackage::Hash(hash),
    };
    Ok(Some(package))
}

/// A value that was read already.
struct OneValue(bytes::Bytes);

impl Reads for OneValue {
    fn get(&mut self, _: &str) -> Result<Option<bytes::Bytes>, selvedge_ledger::simulator::SimulationError> {
        Ok(Some(self.0.clone()))
    }
}

fn hash_of_package_id(package_id: &str) -> bytes::Bytes {
    sha256(&layout::encode_value(Type::String(package_id.to_owned())))
}

fn differences_of(
    definition: &Definition,
    state: &mut impl Hashes,
) -> Result<Vec<&'static str>, LifecycleError> {
    let stored = private_name(&definition.name, definition.sequence);
    layout::differences(NAMESPACES, &stored, &Parameters(definition), state)
        .map_err(LifecycleError::during(|| format!("serialization check failed for key {stored}")))
}

fn check_same_as_committed(simulator: &mut Simulator, definition: &Definition) -> Result<(), LifecycleError> {
    let (name, sequence) = (&definition.name, definition.sequence);
    let committed = definition::query(name, &mut Public(simulator)).map_err(|error| match error {
        LifecycleError::NotDefined(_) => LifecycleError::Incomplete(format!(
            "missing metadata for currently committed sequence number ({sequence})"
        )),
        error => error,
    })?;
    match committed.difference(definition) {
        None => Ok(()),
        Some(difference) => Err(Conflict::Different { sequence, name: name.clone(), difference }.into()),
    }
}

/// Whether the organisation has approved just this with just this package.
fn is_approved(
    definition: &Definition,
    package_id: &str,
    state: &mut impl Reads,
) -> Result<bool, LifecycleError> {
    let (name, sequence) = (&definition.name, definition.sequence);
    let stored = private_name(name, sequence);
    let metadata = layout::metadata(NAMESPACES, &stored, state).map_err(LifecycleError::during(|| {
        format!("could not fetch chaincode definition, chaincode {stored}, requested at sequence {sequence}")
    }))?;
    let Some(metadata) = metadata else { return Ok(false) };
    let approved = layout::check_type::<Parameters<'_>>(&metadata)
        .and_then(|()| definition::read_parameters(name, sequence, state))
        .map_err(LifecycleError::during(|| {
            format!("could not deserialize namespace {stored} as chaincode")
        }))?;
    if approved.difference(definition).is_some() {
        return Ok(false);
    }
    let metadata = layout::metadata(SOURCES, &stored, state).map_err(LifecycleError::during(|| {
        format!("could not deserialize chaincode-source metadata for {stored}")
    }))?;
    let Some(metadata) = metadata else { return Ok(false) };
    let approved = layout::check_type::<LocalPackage<'_>>(&metadata)
        .and_then(|()| definition::read_package_id(&stored, state))
        .map_err(LifecycleError::during(|| {
            format!("could not deserialize chaincode package for {stored}")
        }))?;
    Ok(approved == package_id)
}

/// The committed sequence, or the one after it if the organisation has approved that.
fn latest(simulator: &mut Simulator, own_msp_id: &str, name: &str) -> Result<i64, LifecycleError> {
    let committed = definition::sequence(name, &mut Public(simulator))
        .map_err(LifecycleError::during(|| "could not get current sequence".to_owned()))?;
    let next = committed.wrapping_add(1);
    let mut state = Organisation::new(simulator, own_msp_id);
    let metadata = layout::metadata(NAMESPACES, &private_name(name, next), &mut state).map_err(
        LifecycleError::during(|| {
            format!("could not deserialize namespace metadata for next sequence {next}")
        }),
    )?;
    Ok(if metadata.is_some() { next } else { committed })
}

fn read(
    name: &str,
    sequence: i64,
    metadata: &StateMetadata,
    state: &mut impl Reads,
) -> Result<Approved, LifecycleError> {
    let stored = private_name(name, sequence);
    let incomplete = |what: String| Err(LifecycleError::Incomplete(what));
    if metadata.datatype != Parameters::TYPE {
        return incomplete(format!("not a chaincode parameters type: {}", metadata.datatype));
    }
    let definition =
        definition::read_parameters(name, sequence, state).map_err(LifecycleError::during(|| {
            format!("could not deserialize chaincode parameters for {stored}")
        }))?;
    let source = layout::metadata(SOURCES, &stored, state).map_err(LifecycleError::during(|| {
        format!("could not deserialize chaincode-source metadata for {stored}")
    }))?;
    let Some(source) = source else {
        return incomplete(format!("could not fetch chaincode-source metadata for {stored}"));
    };
    if source.datatype != LocalPackage::TYPE {
        return incomplete(format!("not a chaincode local package type: {}", source.datatype));
    }
    let package_id = definition::read_package_id(&stored, state).map_err(LifecycleError::during(|| {
        format!("could not deserialize chaincode package for {stored}")
    }))?;
    Ok(Approved { definition, package_id })
}

fn split_name(stored: &str) -> Option<(&str, i64)> {
    let (name, sequence) = stored.split_once('#')?;
    Some((name, sequence.parse().ok()?))
}
