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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use prost::Message;
    use selvedge_golden::Corpus;
    use selvedge_ledger::simulator::SimulationError;
    use selvedge_proto::lifecycle::{ChaincodeEndorsementInfo, ChaincodeValidationInfo, StateMetadata};
    use serde_json::Value;

    use super::super::layout::{self, NAMESPACES, SOURCES, Structure};
    use super::super::state::{Hashes, Reads, Writes, sha256};
    use super::{Definition, LocalPackage, Parameters, assemble, defined, private_name, read_parameters};

    type Keys = BTreeMap<String, Bytes>;

    impl Reads for Keys {
        fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
            Ok(BTreeMap::get(self, key).cloned())
        }
    }

    impl Writes for Keys {
        fn put(&mut self, key: &str, value: Bytes) -> Result<(), SimulationError> {
            self.insert(key.to_owned(), value);
            Ok(())
        }

        fn delete(&mut self, key: &str) -> Result<(), SimulationError> {
            self.remove(key);
            Ok(())
        }
    }

    impl Hashes for Keys {
        fn hash(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
            Ok(BTreeMap::get(self, key).map(|value| sha256(value)))
        }
    }

    fn stored(table: &str, name: &str, structure: &impl Structure) -> Keys {
        let mut keys = Keys::new();
        layout::store(table, name, structure, &mut keys).unwrap();
        keys
    }

    fn recorded(list: &Value) -> Keys {
        let entries = list.as_array().unwrap().iter().map(|entry| {
            let value: Bytes = hex::decode(entry["value"].as_str().unwrap()).unwrap().into();
            assert_eq!(hex::encode(sha256(&value)), entry["sha256"].as_str().unwrap());
            (entry["key"].as_str().unwrap().to_owned(), value)
        });
        entries.collect()
    }

    fn definition(vector: &Value) -> Definition {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (endorsement, validation) = (&vector["endorsement_info"], &vector["validation_info"]);
        let parameter = &validation["validationParameter"];
        let parameter = STANDARD.decode(parameter.as_str().unwrap_or_default()).unwrap().into();
        let collections = hex::decode(vector["collections"].as_str().unwrap_or_default()).unwrap();
        assemble(
            vector["name"].as_str().unwrap(),
            vector["sequence"].as_i64().unwrap(),
            ChaincodeEndorsementInfo {
                version: text(&endorsement["version"]),
                init_required: endorsement["initRequired"].as_bool().unwrap_or_default(),
                endorsement_plugin: text(&endorsement["endorsementPlugin"]),
            },
            ChaincodeValidationInfo {
                validation_plugin: text(&validation["validationPlugin"]),
                validation_parameter: parameter,
            },
            Message::decode(collections.as_slice()).unwrap(),
        )
    }

    #[test]
    fn golden_definitions_and_approvals_are_stored_to_the_byte() {
        let vectors = Corpus::get().json_lines("vectors/lifecycle-state.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let definition = definition(&vector);
            let name = private_name(&definition.name, definition.sequence);
            let (mut public, mut approval) = (recorded(&vector["public"]), recorded(&vector["approval"]));
            assert_eq!(stored(NAMESPACES, &definition.name, &definition), public);
            assert_eq!(stored(NAMESPACES, &name, &Parameters(&definition)), approval);
            let source = recorded(&vector["source"]);
            let package_id = layout::text(SOURCES, &name, "PackageID", &mut source.clone()).unwrap();
            assert_eq!(stored(SOURCES, &name, &LocalPackage(&package_id)), source);

            assert_eq!(defined(&definition.name, &mut public).unwrap().as_ref(), Some(&definition));
            let read = read_parameters(&definition.name, definition.sequence, &mut approval).unwrap();
            assert_eq!(read, definition);
            let different = layout::differences(NAMESPACES, &name, &Parameters(&definition), &mut approval);
            assert_eq!(different.unwrap(), Vec::<&str>::new());
        }
    }

    #[test]
    fn only_what_changed_is_written() {
        let first = Definition {
            name: "cc".to_owned(),
            sequence: 1,
            version: "1".to_owned(),
            ..Definition::default()
        };
        let second = Definition { sequence: 2, init_required: true, ..first.clone() };
        let mut keys = Recording { keys: stored(NAMESPACES, "cc", &first), written: Vec::new() };
        layout::store(NAMESPACES, "cc", &second, &mut keys).unwrap();
        assert_eq!(keys.written, ["namespaces/fields/cc/Sequence", "namespaces/fields/cc/EndorsementInfo"]);
        assert_eq!(keys.keys, stored(NAMESPACES, "cc", &second));
    }

    #[test]
    fn fields_of_another_structure_are_deleted() {
        let definition = Definition { name: "cc".to_owned(), sequence: 1, ..Definition::default() };
        let mut keys = stored(NAMESPACES, "cc", &definition);
        let metadata = StateMetadata { datatype: "Other".to_owned(), fields: vec!["Old".to_owned()] };
        keys.insert(layout::metadata_key(NAMESPACES, "cc"), metadata.encode_to_vec().into());
        keys.insert(layout::field_key(NAMESPACES, "cc", "Old"), Bytes::from_static(b"x"));
        layout::store(NAMESPACES, "cc", &definition, &mut keys).unwrap();
        assert_eq!(keys, stored(NAMESPACES, "cc", &definition));
    }

    #[test]
    fn differences_name_the_fields() {
        let approved = Definition {
            name: "cc".to_owned(),
            sequence: 1,
            version: "1".to_owned(),
            ..Definition::default()
        };
        let mut keys = stored(NAMESPACES, "cc#1", &Parameters(&approved));
        let mut check = |other: &Definition| {
            layout::differences(NAMESPACES, "cc#1", &Parameters(other), &mut keys).unwrap()
        };
        assert_eq!(check(&approved), Vec::<&str>::new());
        assert_eq!(check(&Definition { version: "2".to_owned(), ..approved.clone() }), ["EndorsementInfo"]);
        assert_eq!(
            check(&Definition { validation_plugin: "x".to_owned(), ..approved.clone() }),
            ["ValidationInfo"]
        );
        let nothing = layout::differences(NAMESPACES, "cc#1", &Parameters(&approved), &mut Keys::new());
        assert_eq!(nothing.unwrap(), ["ChaincodeParameters"]);
    }

    proptest::proptest! {
        #[test]
        fn damaged_state_is_an_error_at_worst(
            values in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 5),
            change in proptest::prelude::any::<proptest::sample::Index>(),
        ) {
            let definition = Definition { name: "cc".to_owned(), sequence: 1, ..Definition::default() };
            let mut keys = stored(NAMESPACES, "cc", &definition);
            // One damaged key at first, so that the others lead to it; then all.
            let key = keys.keys().nth(change.index(keys.len())).unwrap().clone();
            keys.insert(key, values[0].clone().into());
            let _ = defined("cc", &mut keys);
            let _ = layout::store(NAMESPACES, "cc", &definition, &mut keys.clone());
            let damaged: Vec<_> = keys.keys().cloned().zip(values).collect();
            keys.extend(damaged.into_iter().map(|(key, value)| (key, value.into())));
            let _ = defined("cc", &mut keys);
        }
    }

    struct Recording {
        keys: Keys,
        written: Vec<String>,
    }

    impl Reads for Recording {
        fn get(&mut self, key: &str) -> Result<Option<Bytes>, SimulationError> {
            Reads::get(&mut self.keys, key)
        }
    }

    impl Writes for Recording {
        fn put(&mut self, key: &str, value: Bytes) -> Result<(), SimulationError> {
            self.written.push(key.to_owned());
            self.keys.put(key, value)
        }

        fn delete(&mut self, key: &str) -> Result<(), SimulationError> {
            self.keys.delete(key)
        }
    }
}
