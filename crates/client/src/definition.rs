//! The parts of a chaincode definition that people write as text: endorsement policies and collections.

use bytes::Bytes;
use prost::Message;
use selvedge_identity::policy::dsl;
use selvedge_proto::protos::{
    ApplicationPolicy, CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig,
    StaticCollectionConfig, application_policy, collection_config, collection_policy_config,
};
use serde::Deserialize;

pub use selvedge_identity::policy::dsl::DslError;

/// Why a collections file is not one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CollectionsError {
    /// It is not a JSON list of collections.
    #[error("it is not a list of collections: {0}")]
    Json(#[from] serde_json::Error),
    /// A policy's text is not one.
    #[error("the {field} of the collection {collection:?}: {source}")]
    Policy {
        /// The collection's name.
        collection: String,
        /// Which of its policies.
        field: &'static str,
        /// What is wrong with it.
        source: DslError,
    },
    /// An endorsement policy says two things, or nothing.
    #[error(
        "the endorsementPolicy of the collection {collection:?} needs exactly one of signaturePolicy and \
         channelConfigPolicy"
    )]
    Ambiguous {
        /// The collection's name.
        collection: String,
    },
}

/// The marshalled `protos.ApplicationPolicy` of a policy text such as `OR('Org1MSP.peer','Org2MSP.peer')`.
///
/// # Errors
/// When the text is no policy.
pub fn signature_policy(text: &str) -> Result<Bytes, DslError> {
    Ok(encode(application_policy::Type::SignaturePolicy(dsl::parse(text)?)))
}

/// The marshalled `protos.ApplicationPolicy` that points to a policy of the channel's configuration, such as
/// `/Channel/Application/Endorsement`.
pub fn channel_config_policy(path: &str) -> Bytes {
    encode(application_policy::Type::ChannelConfigPolicyReference(path.to_owned()))
}

/// The collections of a file in the JSON form that Fabric's peer command takes.
///
/// # Errors
/// When the text is not such a list; fields that Fabric does not know are refused.
pub fn collections(json: &[u8]) -> Result<CollectionConfigPackage, CollectionsError> {
    let collections: Vec<Collection> = serde_json::from_slice(json)?;
    let config = collections.into_iter().map(Collection::config).collect::<Result<_, _>>()?;
    Ok(CollectionConfigPackage { config })
}

/// Fabric's own defaults: no other peer must have the data, one is tried.
fn one() -> i32 {
    1
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Collection {
    name: String,
    policy: String,
    #[serde(default)]
    required_peer_count: i32,
    #[serde(default = "one")]
    max_peer_count: i32,
    #[serde(default)]
    block_to_live: u64,
    #[serde(default)]
    member_only_read: bool,
    #[serde(default)]
    member_only_write: bool,
    endorsement_policy: Option<EndorsementPolicy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EndorsementPolicy {
    #[serde(default)]
    signature_policy: String,
    #[serde(default)]
    channel_config_policy: String,
}

impl Collection {
    fn config(self) -> Result<CollectionConfig, CollectionsError> {
        let parse = |field, text: &str| {
            dsl::parse(text).map_err(|source| CollectionsError::Policy {
                collection: self.name.clone(),
                field,
                source,
            })
        };
        let members = collection_policy_config::Payload::SignaturePolicy(parse("policy", &self.policy)?);
        let endorsement_policy = match &self.endorsement_policy {
            None => None,
            Some(policy) => {
                let kind = match (&*policy.signature_policy, &*policy.channel_config_policy) {
                    (text, "") if !text.is_empty() => {
                        application_policy::Type::SignaturePolicy(parse("endorsementPolicy", text)?)
                    }
                    ("", path) if !path.is_empty() => {
                        application_policy::Type::ChannelConfigPolicyReference(path.to_owned())
                    }
                    _ => return Err(CollectionsError::Ambiguous { collection: self.name }),
                };
                Some(ApplicationPolicy { r#type: Some(kind) })
            }
        };
        let collection = StaticCollectionConfig {
            name: self.name,
            member_orgs_policy: Some(CollectionPolicyConfig { payload: Some(members) }),
            required_peer_count: self.required_peer_count,
            maximum_peer_count: self.max_peer_count,
            block_to_live: self.block_to_live,
            member_only_read: self.member_only_read,
            member_only_write: self.member_only_write,
            endorsement_policy,
        };
        let payload = collection_config::Payload::StaticCollectionConfig(collection);
        Ok(CollectionConfig { payload: Some(payload) })
    }
}

fn encode(policy: application_policy::Type) -> Bytes {
    ApplicationPolicy { r#type: Some(policy) }.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use super::{CollectionsError, channel_config_policy, collection_config, collections, signature_policy};

    #[test]
    fn collections_have_fabrics_form_and_defaults() {
        let package = collections(
            br#"[{"name":"a","policy":"OR('Org1MSP.member')"},
                {"name":"b","policy":"OR('Org1MSP.member','Org2MSP.member')","requiredPeerCount":1,
                 "maxPeerCount":3,"blockToLive":5,"memberOnlyRead":true,"memberOnlyWrite":true,
                 "endorsementPolicy":{"signaturePolicy":"OR('Org1MSP.peer')"}}]"#,
        )
        .unwrap();
        let [a, b] = &package.config[..] else { panic!("not two collections") };
        let collection_config::Payload::StaticCollectionConfig(a) = a.payload.as_ref().unwrap();
        assert_eq!((a.name.as_str(), a.required_peer_count, a.maximum_peer_count), ("a", 0, 1));
        assert_eq!(a.endorsement_policy, None);
        let collection_config::Payload::StaticCollectionConfig(b) = b.payload.as_ref().unwrap();
        assert_eq!((b.required_peer_count, b.maximum_peer_count, b.block_to_live), (1, 3, 5));
        assert!(b.member_only_read && b.member_only_write && b.endorsement_policy.is_some());
    }

    #[test]
    fn what_is_no_collections_file_is_refused() {
        for json in ["{}", "[{\"name\":\"a\"}]", r#"[{"name":"a","policy":"OR('A.member')","ttl":1}]"#] {
            assert!(matches!(collections(json.as_bytes()), Err(CollectionsError::Json(_))), "{json}");
        }
        let policy = collections(br#"[{"name":"a","policy":"OR("}]"#);
        assert!(matches!(policy, Err(CollectionsError::Policy { field: "policy", .. })));
        let both = br#"[{"name":"a","policy":"OR('A.member')",
            "endorsementPolicy":{"signaturePolicy":"OR('A.peer')","channelConfigPolicy":"/x"}}]"#;
        assert!(matches!(collections(both), Err(CollectionsError::Ambiguous { .. })));
    }

    #[test]
    fn policies_are_marshalled_or_refused() {
        assert!(!signature_policy("OR('Org1MSP.peer')").unwrap().is_empty());
        assert!(signature_policy("XOR('Org1MSP.peer')").is_err());
        // Field 2, with the length of the path.
        assert_eq!(&channel_config_policy("/a")[..], b"\x12\x02/a");
    }
}
