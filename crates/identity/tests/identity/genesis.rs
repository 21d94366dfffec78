use std::collections::BTreeMap;

use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::channel::{ChannelConfig, config_envelope};
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization};
use selvedge_identity::{SignedData, SigningIdentity};
use selvedge_proto::common::policy::PolicyType;
use selvedge_proto::common::{Block, ConfigGroup, ImplicitMetaPolicy};
use selvedge_proto::etcdraft::Consenter;
use selvedge_proto::protos::AnchorPeer;

use crate::authority::Authority;

struct Network {
    orgs: Vec<Authority>,
    orderer: Authority,
}

impl Network {
    fn new() -> Self {
        Self {
            orgs: vec![Authority::new("Org1MSP"), Authority::new("Org2MSP")],
            orderer: Authority::new("OrdererMSP"),
        }
    }

    fn genesis(&self) -> Genesis {
        let organization = |(index, authority): (usize, &Authority)| Organization {
            name: format!("Org{}", index + 1),
            msp_id: format!("Org{}MSP", index + 1),
            msp: authority.msp(),
            anchor_peers: vec![AnchorPeer { host: "127.0.0.1".to_owned(), port: 7051 }],
        };
        Genesis {
            channel_id: "mychannel".to_owned(),
            organizations: self.orgs.iter().enumerate().map(organization).collect(),
            orderers: vec![OrderingOrganization {
                name: "OrdererOrg".to_owned(),
                msp_id: "OrdererMSP".to_owned(),
                msp: self.orderer.msp(),
                endpoints: vec!["127.0.0.1:7050".to_owned()],
            }],
            consenters: vec![Consenter {
                host: "127.0.0.1".to_owned(),
                port: 7050,
                client_tls_cert: self.orderer.pem().into(),
                server_tls_cert: self.orderer.pem().into(),
            }],
            max_message_count: 500,
            absolute_max_bytes: 10 << 20,
            preferred_max_bytes: 2 << 20,
            batch_timeout: "2s".to_owned(),
            channel_capability: "V2_0".to_owned(),
            orderer_capability: "V2_0".to_owned(),
            application_capability: "V2_5".to_owned(),
            access: BTreeMap::new(),
            created_at: 1_700_000_000,
            nonce: vec![7; 24].into(),
        }
    }
}

#[test]
fn a_genesis_block_is_read_back_as_described() {
    let network = Network::new();
    let genesis = Genesis {
        access: BTreeMap::from([("peer/Propose".to_owned(), "/Channel/Application/Admins".to_owned())]),
        ..network.genesis()
    };
    let block = genesis.block();
    assert_eq!(block.encode_to_vec(), genesis.block().encode_to_vec(), "deterministic");
    let decoded = Block::decode(block.encode_to_vec().as_slice()).expect("a block");
    let config = ChannelConfig::from_block(&decoded).expect("a configuration");
    assert_eq!(config.channel_id(), "mychannel");
    assert_eq!(config.sequence(), 0);
    assert_eq!(config.orgs().iter().map(|org| org.name.as_str()).collect::<Vec<_>>(), ["Org1", "Org2"]);
    assert_eq!(config.orgs()[0].anchor_peers.len(), 1);
    assert_eq!(config.orderer_addresses(), ["127.0.0.1:7050"]);
    assert_eq!(config.batch().max_message_count, 500);
    assert_eq!(config.batch().timeout.as_secs(), 2);
    assert_eq!(config.acl("peer/Propose").as_deref(), Some("/Channel/Application/Admins"));
    assert!(config.capabilities().purge_private_data());
}

fn satisfied(config: &ChannelConfig, path: &str, signers: &[&SigningIdentity]) -> bool {
    let signed = |signer: &&SigningIdentity| SignedData {
        data: b"message".as_slice().into(),
        identity: signer.serialized().clone(),
        signature: signer.sign(b"message").expect("signed"),
    };
    let signed: Vec<_> = signers.iter().map(signed).collect();
    config.policy(path).expect("a policy").evaluate(&signed).is_ok()
}

#[test]
fn the_policies_of_a_genesis_block_are_those_of_the_test_network() {
    let network = Network::new();
    let config = ChannelConfig::from_block(&network.genesis().block()).expect("a configuration");
    let of = |org: usize, unit: &str| network.orgs[org].signer("somebody", unit);
    let (client, peer1, peer2) = (of(0, "client"), of(0, "peer"), of(1, "peer"));
    let (admin1, admin2) = (of(0, "admin"), of(1, "admin"));
    let orderer = network.orderer.signer("orderer", "orderer");
    for (path, signers, expected) in [
        ("/Channel/Application/Writers", vec![&client], true),
        ("/Channel/Application/Writers", vec![&peer1], false),
        ("/Channel/Application/Readers", vec![&peer1], true),
        ("/Channel/Application/Readers", vec![&orderer], false),
        ("/Channel/Application/Admins", vec![&admin1], false),
        ("/Channel/Application/Admins", vec![&admin1, &admin2], true),
        ("/Channel/Application/Endorsement", vec![&peer1], false),
        ("/Channel/Application/Endorsement", vec![&peer1, &peer2], true),
        ("/Channel/Application/LifecycleEndorsement", vec![&peer1, &peer2], true),
        ("/Channel/Application/LifecycleEndorsement", vec![&peer1, &admin2], false),
        ("/Channel/Application/Org1/Endorsement", vec![&peer1], true),
        ("/Channel/Application/Org1/Endorsement", vec![&peer2], false),
        ("/Channel/Orderer/BlockValidation", vec![&orderer], true),
        ("/Channel/Orderer/BlockValidation", vec![&peer1], false),
        ("/Channel/Writers", vec![&client], true),
        ("/Channel/Writers", vec![&orderer], true),
    ] {
        assert_eq!(satisfied(&config, path, &signers), expected, "{path} by {signers:?}");
    }
}

/// The tree of a configuration group: names, policies and modification policies, without the values' contents and
/// with the organizations' names replaced by their kind, since those differ between networks.
fn shape(group: &ConfigGroup, path: &str, lines: &mut Vec<String>) {
    lines.push(format!("{path} v{} by {}", group.version, group.mod_policy));
    for (name, value) in &group.values {
        lines.push(format!("{path} value {name} v{} by {}", value.version, value.mod_policy));
    }
    for (name, policy) in &group.policies {
        let inner = policy.policy.as_ref().expect("a policy");
        let rule = if inner.r#type == PolicyType::ImplicitMeta as i32 {
            let rule = ImplicitMetaPolicy::decode(inner.value.clone()).expect("a rule");
            format!("{:?}", rule)
        } else {
            // The rule and the classification of the principals; the MSP ids differ.
            let envelope = selvedge_proto::common::SignaturePolicyEnvelope::decode(inner.value.clone())
                .expect("a policy");
            let roles: Vec<_> = envelope
                .identities
                .iter()
                .map(|principal| {
                    selvedge_proto::common::MspRole::decode(principal.principal.clone()).expect("a role").role
                })
                .collect();
            format!("{:?} {roles:?}", envelope.rule)
        };
        lines.push(format!("{path} policy {name} v{} by {}: {rule}", policy.version, policy.mod_policy));
    }
    for (name, inner) in &group.groups {
        let is_org = inner.values.contains_key("MSP");
        shape(inner, &format!("{path}/{}", if is_org { "<org>" } else { name }), lines);
    }
}

fn shape_of(block: &Block) -> Vec<String> {
    let (_, envelope) = config_envelope(block).expect("a configuration");
    let mut lines = Vec::new();
    let root = envelope.config.expect("a configuration").channel_group.expect("a root");
    shape(&root, "Channel", &mut lines);
    lines.sort();
    lines.dedup();
    lines
}

#[test]
fn golden_genesis_blocks_have_the_same_groups_values_and_policies() {
    let ours = shape_of(&Network::new().genesis().block());
    let corpus = Corpus::get();
    let channels = corpus.channels();
    assert!(!channels.is_empty());
    for channel in channels {
        let recorded = corpus.blocks(channel);
        let block = Block::decode(recorded[&0]).expect("a block");
        assert_eq!(ours, shape_of(&block), "{channel}");
        let own_metadata = Network::new().genesis().block().metadata.expect("metadata").metadata;
        let metadata = block.metadata.expect("metadata").metadata;
        // The committer adds the third entry, the verdicts, when it joins.
        assert_eq!(own_metadata[0], metadata[0]);
        assert_eq!(own_metadata.len(), metadata.len());
    }
}
