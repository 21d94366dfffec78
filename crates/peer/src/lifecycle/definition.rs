//! Chaincode definitions, and how they and their approvals are stored.

use bytes::Bytes;
use prost::Message;
use selvedge_ledger::Snapshot;
use selvedge_proto::lifecycle::state_data::Type;
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeEndorsementInfo, ChaincodeValidationInfo,
    CheckCommitReadinessArgs, CommitChaincodeDefinitionArgs,
};
use selvedge_proto::protos::CollectionConfigPackage;

use super::error::{Difference, LifecycleError};
use super::layout::{self, NAMESPACES, SOURCES, Structure};
use super::state::{Committed, Lists, Reads};

/// What the organisations of a channel agreed on for a chaincode name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// The chaincode's name on the channel.
    pub name: String,
    /// Counts the definitions of the name, from 1.
    pub sequence: i64,
    /// The version, which says nothing about the code.
    pub version: String,
    /// How to endorse; `escc` is Fabric's only one.
    pub endorsement_plugin: String,
    /// How to validate; `vscc` is Fabric's only one.
    pub validation_plugin: String,
    /// For `vscc` a marshalled `protos.ApplicationPolicy`; Fabric accepts anything here.
    pub validation_parameter: Bytes,
    /// The explicit collections.
    pub collections: CollectionConfigPackage,
    /// Whether the first call of a version has to be an initialisation.
    pub init_required: bool,
}

impl Definition {
    /// The first parameter in which a definition differs from this one; names and sequences are not looked at.
    pub fn difference(&self, passed: &Self) -> Option<Difference> {
        let field = |field, expected: &str, passed: &str| Difference::Field {
            field,
            expected: expected.to_owned(),
            passed: passed.to_owned(),
        };
        if self.version != passed.version {
            Some(field("Version", &self.version, &passed.version))
        } else if self.endorsement_plugin != passed.endorsement_plugin {
            Some(field("EndorsementPlugin", &self.endorsement_plugin, &passed.endorsement_plugin))
        } else if self.init_required != passed.init_required {
            let [expected, passed] = [self, passed].map(|definition| definition.init_required.to_string());
            Some(field("InitRequired", &expected, &passed))
        } else if self.validation_plugin != passed.validation_plugin {
            Some(field("ValidationPlugin", &self.validation_plugin, &passed.validation_plugin))
        } else if self.validation_parameter != passed.validation_parameter {
            let [expected, passed] =
                [self, passed].map(|definition| hex::encode(&definition.validation_parameter));
            Some(field("ValidationParameter", &expected, &passed))
        } else if self.collections != passed.collections {
            Some(Difference::Collections)
        } else {
            None
        }
    }

    fn parameter_values(&self) -> [Type; 3] {
        let endorsement = ChaincodeEndorsementInfo {
            version: self.version.clone(),
            init_required: self.init_required,
            endorsement_plugin: self.endorsement_plugin.clone(),
        };
        let validation = ChaincodeValidationInfo {
            validation_plugin: self.validation_plugin.clone(),
            validation_parameter: self.validation_parameter.clone(),
        };
        let bytes =
            [endorsement.encode_to_vec(), validation.encode_to_vec(), self.collections.encode_to_vec()];
        bytes.map(|bytes| Type::Bytes(bytes.into()))
    }
}

/// What the channel has committed for a chaincode name, if anything.
///
/// # Errors
/// When the state cannot be read, or what is stored under the name is no chaincode definition.
pub fn committed(snapshot: &dyn Snapshot, name: &str) -> Result<Option<Definition>, LifecycleError> {
    defined(name, &mut Committed(snapshot))
}

/// All definitions of the channel in the order of their names.
///
/// # Errors
/// When the state cannot be read, or a definition cannot be decoded.
pub fn all_committed(snapshot: &dyn Snapshot) -> Result<Vec<Definition>, LifecycleError> {
    all_defined(&mut Committed(snapshot))
}

impl Structure for Definition {
    const TYPE: &'static str = "ChaincodeDefinition";
    const FIELDS: &'static [&'static str] = &["Sequence", "EndorsementInfo", "ValidationInfo", "Collections"];

    fn values(&self) -> Vec<Type> {
        let mut values = vec![Type::Int64(self.sequence)];
        values.extend(self.parameter_values());
        values
    }
}

/// A definition without its sequence, as an organisation's approval holds it; the sequence is part of its name.
pub(super) struct Parameters<'a>(pub(super) &'a Definition);

impl Structure for Parameters<'_> {
    const TYPE: &'static str = "ChaincodeParameters";
    const FIELDS: &'static [&'static str] = &["EndorsementInfo", "ValidationInfo", "Collections"];

    fn values(&self) -> Vec<Type> {
        self.0.parameter_values().into()
    }
}

/// The package that an organisation runs for an approved definition; empty if it has none.
pub(super) struct LocalPackage<'a>(pub(super) &'a str);

impl Structure for LocalPackage<'_> {
    const TYPE: &'static str = "ChaincodeLocalPackage";
    const FIELDS: &'static [&'static str] = &["PackageID"];

    fn values(&self) -> Vec<Type> {
        vec![Type::String(self.0.to_owned())]
    }
}

/// What an approval is called.
pub(super) fn private_name(name: &str, sequence: i64) -> String {
    format!("{name}#{sequence}")
}

/// The committed sequence of a name; 0 if there is none.
pub(super) fn sequence(name: &str, state: &mut impl Reads) -> Result<i64, LifecycleError> {
    layout::number(NAMESPACES, name, "Sequence", state)
}

/// The definition of a name, if there is one.
pub(super) fn defined(name: &str, state: &mut impl Reads) -> Result<Option<Definition>, LifecycleError> {
    let during =
        || LifecycleError::during(move || format!("could not deserialize metadata for chaincode {name}"));
    let Some(metadata) = layout::metadata(NAMESPACES, name, state).map_err(during())? else {
        return Ok(None);
    };
    if metadata.datatype != Definition::TYPE {
        return Err(LifecycleError::NotAChaincode(metadata.datatype));
    }
    let definition = read(name, state).map_err(LifecycleError::during(|| {
        format!("could not deserialize chaincode definition for chaincode {name}")
    }))?;
    Ok(Some(definition))
}

/// All chaincode definitions in the order of their names. Namespaces of other types are left out.
pub(super) fn all_defined(state: &mut impl Lists) -> Result<Vec<Definition>, LifecycleError> {
    let all = layout::all_metadata(NAMESPACES, state)
        .map_err(LifecycleError::during(|| "could not query namespace metadata".to_owned()))?;
    let names = all.into_iter().filter(|(_, metadata)| metadata.datatype == Definition::TYPE);
    names.map(|(name, _)| query(&name, state)).collect()
}

/// The definition of a name, which must have one.
pub(super) fn query(name: &str, state: &mut impl Reads) -> Result<Definition, LifecycleError> {
    let metadata = layout::metadata(NAMESPACES, name, state)
        .map_err(LifecycleError::during(|| format!("could not fetch metadata for namespace {name}")))?
        .ok_or_else(|| LifecycleError::NotDefined(name.to_owned()))?;
    layout::check_type::<Definition>(&metadata)
        .and_then(|()| read(name, state))
        .map_err(LifecycleError::during(|| format!("could not deserialize namespace {name} as chaincode")))
}

/// The parameters of an approval, whose metadata has been checked.
pub(super) fn read_parameters(
    name: &str,
    sequence: i64,
    state: &mut impl Reads,
) -> Result<Definition, LifecycleError> {
    let stored = private_name(name, sequence);
    let endorsement: ChaincodeEndorsementInfo =
        layout::message(NAMESPACES, &stored, "EndorsementInfo", state)?;
    let validation: ChaincodeValidationInfo = layout::message(NAMESPACES, &stored, "ValidationInfo", state)?;
    let collections = layout::message(NAMESPACES, &stored, "Collections", state)?;
    Ok(assemble(name, sequence, endorsement, validation, collections))
}

/// The package id of an approval, whose metadata has been checked.
pub(super) fn read_package_id(stored: &str, state: &mut impl Reads) -> Result<String, LifecycleError> {
    layout::text(SOURCES, stored, "PackageID", state)
}

fn read(name: &str, state: &mut impl Reads) -> Result<Definition, LifecycleError> {
    let sequence = sequence(name, state)?;
    let endorsement: ChaincodeEndorsementInfo = layout::message(NAMESPACES, name, "EndorsementInfo", state)?;
    let validation: ChaincodeValidationInfo = layout::message(NAMESPACES, name, "ValidationInfo", state)?;
    let collections = layout::message(NAMESPACES, name, "Collections", state)?;
    Ok(assemble(name, sequence, endorsement, validation, collections))
}

fn assemble(
    name: &str,
    sequence: i64,
    endorsement: ChaincodeEndorsementInfo,
    validation: ChaincodeValidationInfo,
    collections: CollectionConfigPackage,
) -> Definition {
    Definition {
        name: name.to_owned(),
        sequence,
        version: endorsement.version,
        endorsement_plugin: endorsement.endorsement_plugin,
        validation_plugin: validation.validation_plugin,
        validation_parameter: validation.validation_parameter,
        collections,
        init_required: endorsement.init_required,
    }
}

macro_rules! from_arguments {
    ($($arguments:ty),*) => {$(
        impl From<$arguments> for Definition {
            fn from(arguments: $arguments) -> Self {
                Self {
                    name: arguments.name,
                    sequence: arguments.sequence,
                    version: arguments.version,
                    endorsement_plugin: arguments.endorsement_plugin,
                    validation_plugin: arguments.validation_plugin,
                    validation_parameter: arguments.validation_parameter,
                    collections: arguments.collections.unwrap_or_default(),
                    init_required: arguments.init_required,
                }
            }
        }
    )*};
}

from_arguments!(
    ApproveChaincodeDefinitionForMyOrgArgs,
    CheckCommitReadinessArgs,
    CommitChaincodeDefinitionArgs
);
