use std::collections::BTreeMap;

use prost::Message;
use selvedge_proto::common::SignaturePolicyEnvelope;
use selvedge_proto::protos::{ChaincodeCall, ChaincodeInterest, MetaDataKeys};

use crate::Error;

use super::Simulated;

/// What a namespace needs for endorsement.
#[derive(Default)]
struct Needs {
    /// The policies of the written keys that have their own.
    key_policies: Vec<SignaturePolicyEnvelope>,
    /// By collection, "" for the chaincode itself: whether the policy of the chaincode or collection is needed.
    policies: BTreeMap<String, bool>,
}

impl Simulated {
    /// Whose endorsements the simulation calls for, as discovery takes it: one call for each chaincode and one
    /// for each collection that was written without key-level policies or read in clear. System chaincodes
    /// have no part in it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if a written key's validation parameter is not a policy. No endorsement is
    /// possible then.
    pub fn interest(&self, is_system: impl Fn(&str) -> bool) -> Result<ChaincodeInterest, Error> {
        let mut chaincodes = Vec::new();
        for (name, needs) in self.needs()? {
            if !is_system(name) {
                self.add_calls(name, needs, &mut chaincodes);
            }
        }
        Ok(ChaincodeInterest { chaincodes })
    }

    fn needs(&self) -> Result<BTreeMap<&str, Needs>, Error> {
        let parameter = MetaDataKeys::ValidationParameter.as_str_name();
        let mut namespaces: BTreeMap<&str, Needs> = BTreeMap::new();
        for ((namespace, collection), keys) in &self.written {
            let needs = namespaces.entry(namespace).or_default();
            needs.policies.entry(String::new()).or_insert(false);
            for metadata in keys.values() {
                match metadata.get(parameter) {
                    None => {
                        needs.policies.insert(collection.clone(), true);
                    }
                    Some(policy) => {
                        let policy = SignaturePolicyEnvelope::decode(policy.clone())
                            .map_err(|error| Error::malformed("key-level policy", error))?;
                        needs.key_policies.push(policy);
                    }
                }
            }
        }
        for namespace in &self.namespaces {
            let read_only = || Needs { policies: [(String::new(), true)].into(), ..Needs::default() };
            namespaces.entry(namespace).or_insert_with(read_only);
        }
        for (namespace, collection) in &self.private_reads {
            namespaces.entry(namespace).or_default().policies.insert(collection.clone(), true);
        }
        Ok(namespaces)
    }

    fn add_calls(&self, name: &str, needs: Needs, calls: &mut Vec<ChaincodeCall>) {
        for (collection, is_needed) in needs.policies {
            let mut call = ChaincodeCall { name: name.to_owned(), ..ChaincodeCall::default() };
            if collection.is_empty() {
                if needs.key_policies.is_empty() && !is_needed {
                    continue;
                }
                call.key_policies.clone_from(&needs.key_policies);
                call.disregard_namespace_policy = !is_needed;
            } else {
                let read = (name.to_owned(), collection.clone());
                call.no_private_reads = !self.private_reads.contains(&read);
                call.collection_names.push(collection);
            }
            calls.push(call);
        }
    }
}
