use std::collections::BTreeSet;

use bytes::Bytes;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::block::header_bytes;
use selvedge_identity::channel::{Access, ChannelConfig, ChannelError, is_config_block};
use selvedge_identity::{SignedData, VerificationCache};
use selvedge_proto::common::{
    Block, BlockMetadataIndex, Capabilities, Capability, ChannelHeader, Config, ConfigValue, Envelope,
    Header, Payload, SignatureHeader,
};
use selvedge_proto::protos::{AcLs, ApiResource, Proposal, SignedProposal, TxValidationCode};

fn blocks(channel: &str) -> impl Iterator<Item = Block> {
    Corpus::get().blocks(channel).into_values().map(|bytes| Block::decode(bytes).expect("a block"))
}

fn number(block: &Block) -> u64 {
    block.header.as_ref().expect("a header").number
}

fn codes(block: &Block) -> Vec<i32> {
    let metadata = &block.metadata.as_ref().expect("metadata").metadata;
    metadata[BlockMetadataIndex::TransactionsFilter as usize].iter().map(|code| i32::from(*code)).collect()
}

/// The channel id and the signature of an envelope.
fn opened(envelope: &Bytes) -> Option<(String, SignedData)> {
    let envelope = Envelope::decode(envelope.clone()).ok()?;
    let payload = Payload::decode(envelope.payload.clone()).ok()?;
    let header = ChannelHeader::decode(payload.header?.channel_header).ok()?;
    Some((header.channel_id, SignedData::from_envelope(&envelope).ok()?))
}

fn creator_signed(config: &ChannelConfig, signed: &SignedData) -> bool {
    config.verify_creator(signed).is_ok()
}

/// What the corpus's clients sent to the endorser, with what it answered about their identities.
#[test]
fn golden_creators_are_refused_with_fabrics_texts() {
    let corpus = Corpus::get();
    let mut refusals = 0;
    for exchange in corpus.json_lines("exchanges/endorser.jsonl") {
        let Some(text) =
            exchange["grpc"]["message"].as_str().and_then(|text| text.split_once("access denied: "))
        else {
            continue;
        };
        let request = hex::decode(exchange["request"].as_str().expect("hex")).expect("hex");
        let proposal = SignedProposal::decode(request.as_slice()).expect("a proposal");
        let header = Proposal::decode(proposal.proposal_bytes.clone()).expect("a proposal").header;
        let header = Header::decode(header).expect("a header");
        let channel = ChannelHeader::decode(header.channel_header).expect("a header").channel_id;
        let signer = SignatureHeader::decode(header.signature_header).expect("a header");
        let signed = SignedData {
            data: proposal.proposal_bytes,
            identity: signer.creator,
            signature: proposal.signature,
        };
        let Some(genesis) = corpus.blocks(&channel).remove(&0) else { continue };
        let config = ChannelConfig::from_block(&Block::decode(genesis).expect("a block")).expect("usable");
        let denied = config.verify_creator(&signed).expect_err("refused");
        assert_eq!(denied.to_string(), format!("access denied: {}", text.1), "{}", exchange["label"]);
        refusals += 1;
    }
    assert!(refusals > 0, "the corpus has refusals");
}

#[test]
fn golden_creators_and_orderers_verify_under_the_configuration_in_force() {
    let cache = VerificationCache::new(10_000);
    let mut seen = BTreeSet::new();
    for channel in Corpus::get().channels() {
        let mut in_force: Option<ChannelConfig> = None;
        for block in blocks(channel) {
            let at = format!("{channel} block {}", number(&block));
            if let Some(config) = &in_force {
                config.verify_block(&block).unwrap_or_else(|error| panic!("{at}: {error}"));
                check_creators(config, &block, &at, &mut seen);
            }
            let valid = number(&block) == 0 || codes(&block).iter().all(|code| *code == 0);
            if is_config_block(&block) && valid {
                let config = ChannelConfig::from_block_with(&block, Some(cache.clone()))
                    .unwrap_or_else(|error| panic!("{at}: {error}"));
                assert_eq!(config.channel_id(), channel);
                let previous = in_force.as_ref().map(ChannelConfig::sequence);
                assert_eq!(config.sequence(), previous.map_or(0, |sequence| sequence + 1), "{at}");
                in_force = Some(config);
            }
        }
        assert!(in_force.is_some(), "{channel} has no configuration");
    }
    let both = [TxValidationCode::Valid as i32, TxValidationCode::BadCreatorSignature as i32];
    assert!(seen.is_superset(&BTreeSet::from(both)), "the corpus has good and bad creators");
}

fn check_creators(config: &ChannelConfig, block: &Block, at: &str, seen: &mut BTreeSet<i32>) {
    let data = &block.data.as_ref().expect("data").data;
    for (index, (envelope, code)) in data.iter().zip(codes(block)).enumerate() {
        let opened = opened(envelope);
        if code == TxValidationCode::Valid as i32 {
            let (_, signed) = opened.unwrap_or_else(|| panic!("{at} transaction {index} cannot be opened"));
            assert!(creator_signed(config, &signed), "{at} transaction {index} is valid");
        } else if code == TxValidationCode::BadCreatorSignature as i32 {
            // An unknown channel gets this code too, whatever the signature.
            let bad = opened.is_none_or(|(channel, signed)| {
                channel != config.channel_id() || !creator_signed(config, &signed)
            });
            assert!(bad, "{at} transaction {index} has a bad creator");
        }
        seen.insert(code);
    }
}

#[test]
fn golden_blocks_do_not_verify_once_changed() {
    for channel in Corpus::get().channels() {
        let mut blocks = blocks(channel);
        let config =
            ChannelConfig::from_block(&blocks.next().expect("a genesis block")).expect("a configuration");
        let mut block = blocks.next().expect("a second block");
        config.verify_block(&block).expect("as recorded");
        block.header.as_mut().expect("a header").number += 1;
        assert!(config.verify_block(&block).is_err(), "{channel}: another number");
    }
}

#[test]
fn golden_configurations_say_what_the_network_was() {
    for channel in Corpus::get().channels() {
        let config = genesis(channel);
        assert!(!config.orgs().is_empty());
        for org in config.orgs() {
            assert!(config.msps().msp(&org.msp_id).is_some(), "{channel}: {}", org.msp_id);
            assert_eq!(config.org_of_msp(&org.msp_id), Some(org));
            let endorsement = format!("/Channel/Application/{}/Endorsement", org.name);
            assert!(config.policy(&endorsement).is_ok(), "{endorsement}");
        }
        assert!(!config.orderer_addresses().is_empty());
        assert!(config.batch().max_message_count > 0 && !config.batch().timeout.is_zero());
        assert!(!config.consensus().kind.is_empty());
        assert!(!config.capabilities().application().is_empty());
        for unknown in
            ["/Channel/Application/Nobody", "/Channel", "/channel/Readers", "/Channel/Readers/", "", "/"]
        {
            assert!(config.policy(unknown).is_err(), "'{unknown}'");
        }
        assert!(config.policies().policy("Application/Writers").is_ok());
    }
}

fn genesis(channel: &str) -> ChannelConfig {
    ChannelConfig::from_block(&blocks(channel).next().expect("a genesis block")).expect("a configuration")
}

fn recorded_config() -> Config {
    let channel = Corpus::get().channels().first().copied().expect("a channel");
    genesis(channel).config().clone()
}

fn changed(change: impl FnOnce(&mut Config)) -> Result<ChannelConfig, ChannelError> {
    let mut config = recorded_config();
    change(&mut config);
    ChannelConfig::from_config("mychannel", config)
}

fn value(message: &impl Message) -> ConfigValue {
    ConfigValue { value: message.encode_to_vec().into(), ..ConfigValue::default() }
}

#[test]
fn golden_unknown_capabilities_are_refused() {
    for path in [vec![], vec!["Orderer"], vec!["Application"]] {
        let refused = changed(|config| {
            let mut group = config.channel_group.as_mut().expect("a root");
            for name in &path {
                group = group.groups.get_mut(*name).expect("a group");
            }
            let capabilities = [("V9_9".to_owned(), Capability {}), ("V2_0".to_owned(), Capability {})];
            let message = Capabilities { capabilities: capabilities.into() };
            group.values.insert("Capabilities".to_owned(), value(&message));
        });
        assert!(
            matches!(&refused, Err(ChannelError::UnsupportedCapability { name, .. }) if name == "V9_9"),
            "{path:?}: {refused:?}"
        );
    }
}

#[test]
fn golden_access_rules_override_defaults() {
    let plain = changed(|_| {}).expect("as recorded");
    let writers = || Some(Access::Policy("/Channel/Application/Writers".to_owned()));
    assert_eq!(plain.access("peer/Propose"), writers());
    assert_eq!(plain.acl("event/Block").as_deref(), Some("/Channel/Application/Readers"));
    assert_eq!(plain.access("_lifecycle/InstallChaincode"), Some(Access::LocalAdmins));
    assert_eq!(plain.access("cscc/GetChannels"), Some(Access::LocalMembers));
    assert_eq!(plain.access("no/Such"), None);
    assert_eq!(plain.acl("cscc/JoinChain"), None);

    let own = changed(|config| {
        let rule = |path: &str| ApiResource { policy_ref: path.to_owned() };
        let acls = AcLs {
            acls: [
                ("peer/Propose".to_owned(), rule("/Channel/Application/Admins")),
                ("event/Block".to_owned(), rule("Admins")),
                ("qscc/GetChainInfo".to_owned(), rule("")),
                ("_lifecycle/InstallChaincode".to_owned(), rule("Readers")),
            ]
            .into(),
        };
        let root = config.channel_group.as_mut().expect("a root");
        let application = root.groups.get_mut("Application").expect("a group");
        application.values.insert("ACLs".to_owned(), value(&acls));
    })
    .expect("usable");
    assert_eq!(own.acl("peer/Propose").as_deref(), Some("/Channel/Application/Admins"));
    assert_eq!(own.acl("event/Block").as_deref(), Some("/Channel/Application/Admins"));
    assert_eq!(own.acl("qscc/GetChainInfo").as_deref(), Some("/Channel/Application/Readers"));
    assert_eq!(own.access("_lifecycle/InstallChaincode"), Some(Access::LocalAdmins));
    assert_eq!(own.access("peer/ChaincodeToChaincode"), writers());
}

#[test]
fn golden_configurations_without_their_parts_are_refused() {
    for missing in ["Orderer", "Application"] {
        let refused = changed(|config| {
            config.channel_group.as_mut().expect("a root").groups.remove(missing);
        });
        assert!(matches!(refused, Err(ChannelError::MissingGroup(name)) if name == missing));
    }
    for missing in ["BatchSize", "BatchTimeout", "ConsensusType"] {
        let refused = changed(|config| {
            let root = config.channel_group.as_mut().expect("a root");
            root.groups.get_mut("Orderer").expect("a group").values.remove(missing);
        });
        assert!(matches!(refused, Err(ChannelError::MissingValue { value, .. }) if value == missing));
    }
    assert!(matches!(changed(|config| config.channel_group = None), Err(ChannelError::MissingGroup(_))));
    for id in ["", "Upper", "1digit", "white space", &"x".repeat(300)] {
        let refused = ChannelConfig::from_config(id, recorded_config());
        assert!(matches!(refused, Err(ChannelError::ChannelId(_))), "{id}");
    }
}

#[test]
fn golden_block_headers_are_encoded_as_signed() {
    let corpus = Corpus::get();
    let mut count = 0;
    for channel in corpus.channels() {
        let blocks: Vec<_> = blocks(channel).map(|block| block.header.expect("a header")).collect();
        for (header, next) in blocks.iter().zip(blocks.iter().skip(1)) {
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &header_bytes(header));
            assert_eq!(hash.as_ref(), next.previous_hash.as_ref(), "{channel} block {}", header.number);
            count += 1;
        }
    }
    assert!(count > 0, "the corpus has chains");
}
