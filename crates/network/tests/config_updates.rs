//! Configuration updates through Broadcast: they take effect on the orderer and on every peer, and bad ones are refused.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_client::configuration::{SignedUpdate, compute_update};
use selvedge_client::{BlockPosition, BlockRange, ClientError};
use selvedge_identity::SigningIdentity;
use selvedge_identity::genesis::Organization as ChannelMember;
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_network::identities::{Kind, Member, Organization, OrganizationSpec};
use selvedge_network::{Cutting, Keeping, Network, NetworkConfig, NetworkPeer, Ports};
use selvedge_proto::common::{
    ChannelHeader, Config, ConfigGroup, ConfigValue, Envelope, Header, HeaderType, Payload, SignatureHeader,
    Status,
};
use selvedge_proto::orderer::BatchSize;
use selvedge_proto::protos::{AcLs, AnchorPeer, AnchorPeers, ApiResource};
use support::{CHANNEL, within};
use tempfile::TempDir;
use tokio_stream::StreamExt;

/// Long enough that no block is ever closed by it.
const NEVER: Duration = Duration::from_secs(3600);

struct Stage {
    network: Network,
    folder: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = NetworkConfig {
            keeping: Keeping::Disk,
            ports: Ports::Free,
            cutting: Cutting::Interval(NEVER),
            ..NetworkConfig::test_network(folder.path(), 2)
        };
        Self { network: Network::start(config).await.unwrap(), folder }
    }

    fn user(&self, organization: usize) -> &Member {
        let organization = &self.network.organizations()[organization];
        organization.member(&format!("User1@{}", organization.domain())).unwrap()
    }

    fn admin(&self, organization: usize) -> SigningIdentity {
        self.network.organizations()[organization].admin().unwrap().signing_identity().unwrap()
    }

    fn orderer_admin(&self) -> SigningIdentity {
        self.network.orderer_organization().admin().unwrap().signing_identity().unwrap()
    }

    fn height(&self) -> u64 {
        self.network.peers()[0].channel(CHANNEL).unwrap().ledger().height()
    }

    fn config(&self) -> Config {
        self.network.peers()[0].channel(CHANNEL).unwrap().config().config().clone()
    }

    /// Has the configuration changed with these signatures. Returns when all peers have it.
    async fn update(
        &self,
        change: impl FnOnce(&mut ConfigGroup),
        signers: &[SigningIdentity],
    ) -> Result<(), ClientError> {
        let before = self.config();
        let mut after = before.clone();
        change(after.channel_group.as_mut().unwrap());
        let update = compute_update(CHANNEL, &before, &after).unwrap();
        let mut signed = SignedUpdate::new(&update);
        for signer in signers {
            signed = signed.sign(signer)?;
        }
        let envelope = signed.envelope(&signers[0])?;
        self.network.broadcast().await.unwrap().send(envelope).await?;
        let is_in_force =
            |peer: &NetworkPeer| peer.channel(CHANNEL).unwrap().config().sequence() == before.sequence + 1;
        within(async {
            while !self.network.peers().iter().all(is_in_force) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.assert_agreed();
        Ok(())
    }

    /// The peers have the same blocks and the same configuration.
    fn assert_agreed(&self) {
        let channels: Vec<_> =
            self.network.peers().iter().map(|peer| peer.channel(CHANNEL).unwrap()).collect();
        for channel in &channels[1..] {
            assert_eq!(channel.ledger().tip(), channels[0].ledger().tip());
            assert_eq!(channel.config().config(), channels[0].config().config());
        }
    }

    /// Has something ordered that no peer finds valid; only the blocks count here.
    async fn order(&self, number: u8) {
        let user = self.user(0).signing_identity().unwrap();
        let envelope = envelope(&user, number);
        within(self.network.broadcast().await.unwrap().send(envelope)).await.unwrap();
    }

    /// The first block as a peer delivers it.
    async fn first_block(&self, peer: &NetworkPeer, reader: &Member) -> Result<(), ClientError> {
        let deliver = self.network.deliver(peer, reader).await.unwrap();
        let range = BlockRange::new(BlockPosition::Oldest, BlockPosition::Oldest);
        let mut blocks = deliver.blocks(CHANNEL, range).await?;
        within(blocks.next()).await.unwrap().map(|_| ())
    }
}

fn envelope(user: &SigningIdentity, number: u8) -> Envelope {
    let channel_header = ChannelHeader {
        r#type: HeaderType::EndorserTransaction.into(),
        channel_id: CHANNEL.to_owned(),
        ..ChannelHeader::default()
    };
    let nonce = Bytes::copy_from_slice(&[number]);
    let signature_header = SignatureHeader { creator: user.serialized().clone(), nonce };
    let header = Header {
        channel_header: channel_header.encode_to_vec().into(),
        signature_header: signature_header.encode_to_vec().into(),
    };
    let payload: Bytes =
        Payload { header: Some(header), data: Bytes::from_static(b"x") }.encode_to_vec().into();
    let signature = user.sign(&payload).unwrap();
    Envelope { payload, signature }
}

fn group<'a>(root: &'a mut ConfigGroup, names: &[&str]) -> &'a mut ConfigGroup {
    names.iter().fold(root, |group, name| group.groups.get_mut(*name).unwrap())
}

fn set(group: &mut ConfigGroup, name: &str, value: &impl Message) {
    let value = value.encode_to_vec().into();
    let entry = group
        .values
        .entry(name.to_owned())
        .or_insert_with(|| ConfigValue { mod_policy: "Admins".to_owned(), ..ConfigValue::default() });
    entry.value = value;
}

fn only_admins_read_blocks(root: &mut ConfigGroup) {
    let rule = ApiResource { policy_ref: "/Channel/Application/Admins".to_owned() };
    let acls = AcLs { acls: [("event/Block".to_owned(), rule)].into() };
    set(group(root, &["Application"]), "ACLs", &acls);
}

#[track_caller]
fn assert_refused(result: Result<(), ClientError>, expected: Status, text: &str) {
    match result.unwrap_err() {
        ClientError::Refused { status, message, .. } => {
            assert_eq!(status, i32::from(expected), "{message}");
            assert!(message.contains(text), "{message}");
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_size_takes_effect_at_once_and_after_a_restart() {
    let stage = Stage::set().await;
    // What is pending is closed by the update, which gets a block of its own.
    stage.order(0).await;
    let pending = stage.height();
    let two = |root: &mut ConfigGroup| {
        let size =
            BatchSize { max_message_count: 2, absolute_max_bytes: 1 << 20, preferred_max_bytes: 1 << 19 };
        set(group(root, &["Orderer"]), "BatchSize", &size);
    };
    stage.update(two, &[stage.orderer_admin()]).await.unwrap();
    within(stage.network.wait_for_block(CHANNEL, pending + 1)).await.unwrap();

    let counts = |network: &Network, from: u64| -> Vec<usize> {
        let ledger = std::sync::Arc::clone(network.peers()[0].channel(CHANNEL).unwrap().ledger());
        let blocks = (from..ledger.height()).map(|number| ledger.block(number).unwrap().unwrap());
        blocks.map(|block| block.data.unwrap().data.len()).collect()
    };
    assert_eq!(counts(&stage.network, pending), [1, 1]);
    for number in 1..=4 {
        stage.order(number).await;
    }
    within(stage.network.wait_for_block(CHANNEL, pending + 3)).await.unwrap();
    assert_eq!(counts(&stage.network, pending), [1, 1, 2, 2]);
    stage.assert_agreed();

    // An envelope that is too large now is refused.
    let user = stage.user(0).signing_identity().unwrap();
    let mut large = envelope(&user, 9);
    let mut payload = Payload::decode(large.payload).unwrap();
    payload.data = vec![0; 2 << 20].into();
    large.payload = payload.encode_to_vec().into();
    let sent = stage.network.broadcast().await.unwrap().send(large).await;
    assert_refused(sent, Status::BadRequest, "and exceeds maximum allowed 1048576 bytes");

    let Stage { network, folder } = stage;
    within(network.shutdown()).await;
    let config = NetworkConfig {
        ports: Ports::Free,
        cutting: Cutting::Interval(NEVER),
        ..NetworkConfig::test_network(folder.path(), 2)
    };
    let stage = Stage { network: Network::start(config).await.unwrap(), folder };
    let height = stage.height();
    stage.order(5).await;
    stage.order(6).await;
    within(stage.network.wait_for_block(CHANNEL, height)).await.unwrap();
    assert_eq!(counts(&stage.network, height), [2]);
    within(stage.network.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_members_change_on_all_peers() {
    let stage = Stage::set().await;
    let both = [stage.admin(0), stage.admin(1)];

    // One administrator alone may not change what belongs to all.
    let refused = stage.update(only_admins_read_blocks, &both[..1]).await;
    assert_refused(
        refused,
        Status::BadRequest,
        "error applying config update to existing channel 'mychannel': error authorizing update: error validating \
         DeltaSet: policy for [",
    );
    let user = stage.user(0).signing_identity().unwrap();
    let refused = stage.update(only_admins_read_blocks, &[user]).await;
    assert_refused(
        refused,
        Status::BadRequest,
        "not satisfied: implicit policy evaluation failed - 0 sub-policies were satisfied, but this policy requires 2 \
         of the 'Admins' sub-policies to be satisfied",
    );
    assert_eq!(stage.height(), 1, "nothing refused is in a block");

    // Who may read blocks.
    for peer in stage.network.peers() {
        stage.first_block(peer, stage.user(0)).await.unwrap();
    }
    stage.update(only_admins_read_blocks, &both).await.unwrap();
    for peer in stage.network.peers() {
        assert_refused(stage.first_block(peer, stage.user(0)).await, Status::Forbidden, "FORBIDDEN");
    }
    let everybody = |root: &mut ConfigGroup| {
        group(root, &["Application"]).values.remove("ACLs");
    };
    stage.update(everybody, &both).await.unwrap();

    // An organisation changes what is its own with its own signature.
    let anchor = |root: &mut ConfigGroup| {
        let peer = AnchorPeer { host: "peer0.org1.example.com".to_owned(), port: 7777 };
        let organization = group(root, &["Application", "Org1MSP"]);
        set(organization, "AnchorPeers", &AnchorPeers { anchor_peers: vec![peer] });
    };
    stage.update(anchor, &both[..1]).await.unwrap();
    for peer in stage.network.peers() {
        let config = peer.channel(CHANNEL).unwrap().config();
        assert_eq!(config.org_of_msp("Org1MSP").unwrap().anchor_peers[0].port, 7777);
    }

    // A third organisation comes and goes.
    let third = Organization::open(
        stage.folder.path(),
        OrganizationSpec {
            kind: Kind::Peers,
            domain: "org3.example.com".to_owned(),
            msp_id: "Org3MSP".to_owned(),
            nodes: Vec::new(),
            users: vec!["User1".to_owned()],
        },
    )
    .unwrap();
    let stranger = third.member("User1@org3.example.com").unwrap();
    for peer in stage.network.peers() {
        assert_refused(stage.first_block(peer, stranger).await, Status::Forbidden, "FORBIDDEN");
    }
    let member = ChannelMember {
        name: "Org3MSP".to_owned(),
        msp_id: "Org3MSP".to_owned(),
        msp: msp_config(&MspDescription {
            id: "Org3MSP".to_owned(),
            root: third.authority().certificate_pem().to_owned().into(),
            ..MspDescription::default()
        }),
        anchor_peers: Vec::new(),
    }
    .group();
    let comes = |root: &mut ConfigGroup| {
        group(root, &["Application"]).groups.insert("Org3MSP".to_owned(), member);
    };
    stage.update(comes, &both).await.unwrap();
    for peer in stage.network.peers() {
        stage.first_block(peer, stranger).await.unwrap();
    }
    let goes = |root: &mut ConfigGroup| {
        group(root, &["Application"]).groups.remove("Org3MSP");
    };
    // Two of three are a majority.
    stage.update(goes, &both).await.unwrap();
    for peer in stage.network.peers() {
        assert_refused(stage.first_block(peer, stranger).await, Status::Forbidden, "FORBIDDEN");
    }
    within(stage.network.shutdown()).await;
}
