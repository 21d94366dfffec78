use bytes::Bytes;
use prost::Message;
use selvedge_identity::channel::config_envelope;
use selvedge_proto::common::implicit_meta_policy::Rule;
use selvedge_proto::common::{
    ChannelHeader, Config, ConfigEnvelope, ConfigGroup, Envelope, Header, HeaderType, ImplicitMetaPolicy,
    Payload, SignatureHeader,
};

use super::transaction::encode;
use super::{CHANNEL, Network};

/// An entry with the channel's configuration, numbered and with its application group changed, as an orderer makes it.
pub(crate) fn configuration(
    network: &Network,
    sequence: u64,
    change: impl FnOnce(&mut ConfigGroup),
) -> Bytes {
    let (_, envelope) = config_envelope(&network.genesis).unwrap();
    let mut config = Config { sequence, ..envelope.config.unwrap() };
    change(config.channel_group.as_mut().unwrap().groups.get_mut("Application").unwrap());
    let channel_header = ChannelHeader {
        r#type: HeaderType::Config as i32,
        channel_id: CHANNEL.to_owned(),
        ..ChannelHeader::default()
    };
    let signature_header = SignatureHeader {
        creator: network.orderer.serialized().clone(),
        nonce: Bytes::from_static(b"nonce"),
    };
    let header =
        Header { channel_header: encode(&channel_header), signature_header: encode(&signature_header) };
    let data = encode(&ConfigEnvelope { config: Some(config), last_update: None });
    let payload = encode(&Payload { header: Some(header), data });
    let signature = network.orderer.sign(&payload).unwrap();
    encode(&Envelope { payload, signature })
}

/// Lets any one organization endorse.
pub(crate) fn endorsed_by_any(application: &mut ConfigGroup) {
    let policy = application.policies.get_mut("Endorsement").unwrap().policy.as_mut().unwrap();
    let mut rule = ImplicitMetaPolicy::decode(policy.value.clone()).unwrap();
    rule.rule = Rule::Any as i32;
    policy.value = encode(&rule);
}
