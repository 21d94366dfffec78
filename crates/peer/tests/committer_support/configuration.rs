use bytes::Bytes;
use prost::Message;
use selvedge_client::configuration::{SignedUpdate, compute_update};
use selvedge_identity::ChannelConfig;
use selvedge_identity::channel::config_envelope;
use selvedge_identity::channel::update::propose;
use selvedge_proto::common::implicit_meta_policy::Rule;
use selvedge_proto::common::{
    ChannelHeader, Config, ConfigEnvelope, ConfigGroup, Envelope, Header, HeaderType, ImplicitMetaPolicy,
    Payload, SignatureHeader,
};

use super::transaction::encode;
use super::{CHANNEL, Network};

/// An entry with the channel's first configuration, numbered and with its application group changed, as an orderer
/// makes it of an update that the administrators of both organizations have signed. Without a change there is no update.
pub(crate) fn configuration(
    network: &Network,
    sequence: u64,
    change: impl FnOnce(&mut ConfigGroup),
) -> Bytes {
    let (_, envelope) = config_envelope(&network.genesis).unwrap();
    let before = envelope.config.unwrap();
    let mut after = before.clone();
    change(after.channel_group.as_mut().unwrap().groups.get_mut("Application").unwrap());
    let last_update = compute_update(CHANNEL, &before, &after).map(|update| {
        let [first, second] = &network.orgs;
        let signed = SignedUpdate::new(&update).sign(&first.admin).unwrap().sign(&second.admin).unwrap();
        signed.envelope(&first.client).unwrap()
    });
    let current = ChannelConfig::from_block(&network.genesis).unwrap();
    let proposed = last_update.as_ref().map(|update| propose(&current, update).unwrap().0.config.unwrap());
    let config = Config { sequence, ..proposed.unwrap_or(after) };
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
    let data = encode(&ConfigEnvelope { config: Some(config), last_update });
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
