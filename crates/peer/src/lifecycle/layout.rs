//! How structures lie in `_lifecycle`: the key `<table>/metadata/<name>` says what type the structure called `name`
//! has and which fields, and each field has the key `<table>/fields/<name>/<field>`.
//!
//! Only what changes is written, so that the write sets of an upgrade are as small as Fabric's. Organisations compare
//! approvals by the hashes of these bytes: the encoding must not change.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::lifecycle::state_data::Type;
use selvedge_proto::lifecycle::{StateData, StateMetadata};

use super::error::LifecycleError;
use super::state::{Hashes, Lists, Reads, Writes, sha256};

/// The table of definitions and, in an organisation's collection, of approvals.
pub(super) const NAMESPACES: &str = "namespaces";
/// The table that tells which package an organisation runs; only in its collection.
pub(super) const SOURCES: &str = "chaincode-sources";

/// The most fields that the metadata of a stored structure may list. Fabric's have at most four.
const MAX_FIELDS: usize = 64;

/// A structure that is stored field by field.
pub(super) trait Structure {
    /// The name of its type, as Fabric calls it.
    const TYPE: &'static str;
    /// Its fields in Fabric's order.
    const FIELDS: &'static [&'static str];

    /// The value of each field, in the order of [`FIELDS`](Self::FIELDS).
    fn values(&self) -> Vec<Type>;
}

/// The key of a structure's metadata.
pub(super) fn metadata_key(table: &str, name: &str) -> String {
    format!("{table}/metadata/{name}")
}

/// The key of a structure's field.
pub(super) fn field_key(table: &str, name: &str, field: &str) -> String {
    format!("{table}/fields/{name}/{field}")
}

/// The bytes of a field.
pub(super) fn encode_value(value: Type) -> Bytes {
    StateData { r#type: Some(value) }.encode_to_vec().into()
}

/// Writes a structure where it differs from what is there, and deletes fields that it does not have any more.
pub(super) fn store<S: Structure>(
    table: &str,
    name: &str,
    structure: &S,
    state: &mut impl Writes,
) -> Result<(), LifecycleError> {
    let metadata = metadata(table, name, state)
        .map_err(LifecycleError::during(|| {
            format!("could not deserialize metadata for namespace {table}/{name}")
        }))?
        .unwrap_or_default();
    let mut existing = BTreeMap::new();
    for field in &metadata.fields {
        let key = field_key(table, name, field);
        let value = state
            .get(&key)
            .map_err(LifecycleError::reading(|| format!("could not get value for key {key}")))?;
        existing.insert(key, value.unwrap_or_default());
    }
    for (field, value) in S::FIELDS.iter().zip(structure.values()) {
        let key = field_key(table, name, field);
        let value = encode_value(value);
        if existing.remove(&key).as_ref() != Some(&value) {
            state
                .put(&key, value)
                .map_err(LifecycleError::reading(|| "could not write key into state".to_owned()))?;
        }
    }
    if !existing.is_empty() || metadata.datatype != S::TYPE || metadata.fields.len() != S::FIELDS.len() {
        state.put(&metadata_key(table, name), encode_metadata::<S>()).map_err(LifecycleError::reading(
            || format!("could not store metadata for namespace {table}/{name}"),
        ))?;
    }
    for key in existing.into_keys() {
        state
            .delete(&key)
            .map_err(LifecycleError::reading(|| format!("could not delete unneeded key {key}")))?;
    }
    Ok(())
}

/// The fields in which a stored structure, known by its hashes only, differs from `structure`; the name of the type
/// alone if no such structure is stored.
pub(super) fn differences<S: Structure>(
    table: &str,
    name: &str,
    structure: &S,
    state: &mut impl Hashes,
) -> Result<Vec<&'static str>, LifecycleError> {
    let mut hash = |key: &str| {
        state.hash(key).map_err(LifecycleError::reading(|| format!("could not get value for key {key}")))
    };
    let metadata = hash(&metadata_key(table, name))?;
    let mut fields = Vec::with_capacity(S::FIELDS.len());
    for field in S::FIELDS {
        fields.push(hash(&field_key(table, name, field))?);
    }
    if metadata != Some(sha256(&encode_metadata::<S>())) {
        return Ok(vec![S::TYPE]);
    }
    let values = S::FIELDS.iter().zip(fields).zip(structure.values());
    let different =
        values.filter(|((_, stored), value)| *stored != Some(sha256(&encode_value(value.clone()))));
    Ok(different.map(|((field, _), _)| *field).collect())
}

/// Whether a structure of this type is stored, judged by the hash of its metadata.
pub(super) fn is_stored<S: Structure>(
    table: &str,
    name: &str,
    state: &mut impl Hashes,
) -> Result<bool, LifecycleError> {
    let key = metadata_key(table, name);
    let stored = state
        .hash(&key)
        .map_err(LifecycleError::reading(|| format!("could not get state hash for metadata key {key}")))?;
    Ok(stored == Some(sha256(&encode_metadata::<S>())))
}

/// A structure's metadata, if there is such a structure.
pub(super) fn metadata(
    table: &str,
    name: &str,
    state: &mut impl Reads,
) -> Result<Option<StateMetadata>, LifecycleError> {
    let bytes = state.get(&metadata_key(table, name)).map_err(LifecycleError::reading(|| {
        format!("could not query metadata for namespace {table}/{name}")
    }))?;
    let unreadable = || format!("could not unmarshal metadata for namespace {table}/{name}");
    bytes.map(|bytes| decode_metadata(bytes, unreadable)).transpose()
}

/// The metadata of all structures of a table by their names, in the order of the names.
pub(super) fn all_metadata(
    table: &str,
    state: &mut impl Lists,
) -> Result<Vec<(String, StateMetadata)>, LifecycleError> {
    let prefix = metadata_key(table, "");
    let rows = state
        .list(&prefix)
        .map_err(LifecycleError::reading(|| format!("could not get state range for namespace {table}")))?;
    let mut all = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let metadata = decode_metadata(value, || format!("error unmarshalling metadata for key {key}"))?;
        if let Some(name) = key.strip_prefix(&prefix) {
            all.push((name.to_owned(), metadata));
        }
    }
    Ok(all)
}

/// Checks that a stored structure is of the expected type.
pub(super) fn check_type<S: Structure>(metadata: &StateMetadata) -> Result<(), LifecycleError> {
    if metadata.datatype == S::TYPE {
        return Ok(());
    }
    Err(LifecycleError::TypeName { expected: S::TYPE, stored: metadata.datatype.clone() })
}

/// A field that holds a number; 0 if it is not there.
pub(super) fn number(
    table: &str,
    name: &str,
    field: &str,
    state: &mut impl Reads,
) -> Result<i64, LifecycleError> {
    match value(table, name, field, state)? {
        None => Ok(0),
        Some(Type::Int64(number)) => Ok(number),
        Some(other) => Err(wrong_type(field_key(table, name, field), "Int64", &other)),
    }
}

/// A field that holds a text; empty if it is not there.
pub(super) fn text(
    table: &str,
    name: &str,
    field: &str,
    state: &mut impl Reads,
) -> Result<String, LifecycleError> {
    match value(table, name, field, state)? {
        None => Ok(String::new()),
        Some(Type::String(text)) => Ok(text),
        Some(other) => Err(wrong_type(field_key(table, name, field), "String", &other)),
    }
}

/// A field that holds a message; the empty message if it is not there.
pub(super) fn message<M: Message + Default>(
    table: &str,
    name: &str,
    field: &str,
    state: &mut impl Reads,
) -> Result<M, LifecycleError> {
    let bytes = match value(table, name, field, state)? {
        None => Bytes::new(),
        Some(Type::Bytes(bytes)) => bytes,
        Some(other) => return Err(wrong_type(field_key(table, name, field), "[]byte", &other)),
    };
    let key = || format!("could not unmarshal key {}", field_key(table, name, field));
    M::decode(bytes).map_err(|error| LifecycleError::Malformed { what: key(), reason: error.to_string() })
}

fn value(
    table: &str,
    name: &str,
    field: &str,
    state: &mut impl Reads,
) -> Result<Option<Type>, LifecycleError> {
    let key = field_key(table, name, field);
    let value =
        state.get(&key).map_err(LifecycleError::reading(|| format!("could not get state for key {key}")))?;
    let data = StateData::decode(value.unwrap_or_default()).map_err(|error| LifecycleError::Malformed {
        what: format!("could not unmarshal state for key {key}"),
        reason: error.to_string(),
    })?;
    Ok(data.r#type)
}

fn wrong_type(key: String, expected: &'static str, stored: &Type) -> LifecycleError {
    let stored = match stored {
        Type::Int64(_) => "Int64",
        Type::Bytes(_) => "Bytes",
        Type::String(_) => "String",
    };
    LifecycleError::FieldType { key, expected, stored }
}

fn encode_metadata<S: Structure>() -> Bytes {
    let fields = S::FIELDS.iter().map(|field| (*field).to_owned()).collect();
    StateMetadata { datatype: S::TYPE.to_owned(), fields }.encode_to_vec().into()
}

fn decode_metadata(bytes: Bytes, what: impl Fn() -> String) -> Result<StateMetadata, LifecycleError> {
    let malformed = |reason| LifecycleError::Malformed { what: what(), reason };
    let metadata = StateMetadata::decode(bytes).map_err(|error| malformed(error.to_string()))?;
    if metadata.fields.len() > MAX_FIELDS {
        return Err(malformed(format!("it lists {} fields", metadata.fields.len())));
    }
    Ok(metadata)
}
