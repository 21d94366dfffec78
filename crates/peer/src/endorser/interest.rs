//! What a transaction touched, as the choice of further endorsers needs to know it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use selvedge_ledger::simulator::Simulated;
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::protos::{ChaincodeCall, ChaincodeInterest, MetaDataKeys};

use super::error::INVALID_WIRE;
use super::is_system_chaincode;

/// What one namespace needs.
#[derive(Default)]
struct Needs {
    /// Whether the chaincode's own policy has to be satisfied for public keys.
    public: bool,
    /// The policies of single keys.
    keys: Vec<SignaturePolicyEnvelope>,
    /// The collections touched, by name.
    collections: BTreeSet<String>,
}

/// The chaincodes and collections that a simulation touched, system chaincodes left out. A key with a policy of its
/// own that is written brings that policy.
///
/// # Errors
/// When a key's policy cannot be decoded.
pub(super) fn interest(simulated: &Simulated) -> Result<ChaincodeInterest, String> {
    let mut all: BTreeMap<&str, Needs> = BTreeMap::new();
    for ((namespace, collection), keys) in &simulated.written {
        let needs = all.entry(namespace).or_default();
        for metadata in keys.values() {
            match metadata.get(MetaDataKeys::ValidationParameter.as_str_name()) {
                Some(policy) => needs.keys.push(decode(policy)?),
                None if collection.is_empty() => needs.public = true,
                None => {
                    needs.collections.insert(collection.clone());
                }
            }
        }
    }
    for namespace in &simulated.namespaces {
        // What was only read still runs the chaincode.
        all.entry(namespace).or_insert_with(|| Needs { public: true, ..Needs::default() });
    }
    for (namespace, collection) in &simulated.private_reads {
        all.entry(namespace).or_default().collections.insert(collection.clone());
    }
    let user = all.into_iter().filter(|(namespace, _)| !is_system_chaincode(namespace));
    Ok(ChaincodeInterest {
        chaincodes: user.flat_map(|(name, needs)| calls(simulated, name, needs)).collect(),
    })
}

fn calls(simulated: &Simulated, name: &str, needs: Needs) -> Vec<ChaincodeCall> {
    let mut calls = Vec::new();
    if needs.public || !needs.keys.is_empty() {
        calls.push(ChaincodeCall {
            name: name.to_owned(),
            disregard_namespace_policy: !needs.public,
            key_policies: needs.keys,
            ..ChaincodeCall::default()
        });
    }
    for collection in needs.collections {
        let read = simulated.private_reads.contains(&(name.to_owned(), collection.clone()));
        calls.push(ChaincodeCall {
            name: name.to_owned(),
            collection_names: vec![collection],
            no_private_reads: !read,
            ..ChaincodeCall::default()
        });
    }
    calls
}

fn decode(policy: &Bytes) -> Result<SignaturePolicyEnvelope, String> {
    SignaturePolicyEnvelope::decode(policy.clone())
        .map_err(|_| format!("error unmarshalling SignaturePolicyEnvelope: {INVALID_WIRE}"))
}
