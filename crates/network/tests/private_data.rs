//! Private data in a network of two organisations with two peers each: who gets it, who may use it, what becomes of
//! it, and how a peer gets what it has missed.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use bytes::Bytes;
use prost::Message;
use selvedge_client::definition::collections;
use selvedge_client::{BlockPosition, BlockRange, Definition, Gateway, ProposalBuilder};
use selvedge_ledger::{Snapshot, Space};
use selvedge_network::identities::Member;
use selvedge_network::{Deployment, Keeping, Network, NetworkConfig, NetworkPeer, Ports};
use selvedge_proto::kvrwset::KvrwSet;
use support::collections::Collections;
use support::{CHANNEL, Place, call, definition, free_address, within};
use tempfile::TempDir;

const NAME: &str = "vault";

/// Only peers of Org1 endorse what is for Org1 alone, so that Org2 has never seen it.
const COLLECTIONS: &str = r#"[
    {"name": "shared", "policy": "OR('Org1MSP.member')", "requiredPeerCount": 1, "maxPeerCount": 1,
     "memberOnlyRead": true, "memberOnlyWrite": true,
     "endorsementPolicy": {"signaturePolicy": "OR('Org1MSP.peer')"}},
    {"name": "kept", "policy": "OR('Org1MSP.member')", "requiredPeerCount": 0, "maxPeerCount": 0,
     "endorsementPolicy": {"signaturePolicy": "OR('Org1MSP.peer')"}},
    {"name": "greedy", "policy": "OR('Org1MSP.member')", "requiredPeerCount": 2, "maxPeerCount": 2,
     "endorsementPolicy": {"signaturePolicy": "OR('Org1MSP.peer')"}},
    {"name": "brief", "policy": "OR('Org1MSP.member','Org2MSP.member')", "maxPeerCount": 3, "blockToLive": 2}
]"#;

struct Stage {
    network: Network,
    _chaincode: Collections,
    _folder: TempDir,
}

impl Stage {
    async fn set() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = NetworkConfig {
            keeping: Keeping::Memory,
            ports: Ports::Free,
            ..NetworkConfig::test_network(folder.path(), 2)
        };
        for organization in &mut config.organizations {
            organization.peers = 2;
        }
        let network = Network::start(config).await.unwrap();
        let server = network.edge().server(NAME, &free_address()).unwrap();
        let package = server.package("vault_1").unwrap();
        let deployment = Deployment {
            channel: CHANNEL.to_owned(),
            definition: Definition {
                collections: Some(collections(COLLECTIONS.as_bytes()).unwrap()),
                ..definition(NAME)
            },
            package: package.bytes().clone(),
        };
        let package_id = within(network.deploy(&deployment)).await.unwrap();
        let chaincode = Collections::serve(&Place { server, package_id }).await;
        Self { network, _chaincode: chaincode, _folder: folder }
    }

    fn peer(&self, name: &str) -> &NetworkPeer {
        self.network.peers().iter().find(|peer| peer.name() == name).unwrap()
    }

    fn user(&self, organization: usize) -> &Member {
        let organization = &self.network.organizations()[organization];
        organization.member(&format!("User1@{}", organization.domain())).unwrap()
    }

    async fn gateway(&self, peer: &str, organization: usize) -> Gateway {
        self.network.gateway(self.peer(peer), self.user(organization)).await.unwrap()
    }

    /// Submits at the first peer of Org1, and waits until all peers have the block, whose number it returns.
    async fn submit(&self, proposal: ProposalBuilder) -> u64 {
        let gateway = self.gateway(PEER0_ORG1, 0).await;
        let (_, commit) = within(gateway.submit_and_wait(proposal, &[])).await.unwrap();
        within(self.network.wait_for_block(CHANNEL, commit.block)).await.unwrap();
        commit.block
    }

    /// The private value that a peer holds.
    fn held(&self, peer: &str, collection: &str, key: &str) -> Option<Bytes> {
        let snapshot = self.peer(peer).channel(CHANNEL).unwrap().ledger().snapshot();
        snapshot.get(&Space::private(NAME, collection), key.as_bytes()).unwrap().map(|stored| stored.value)
    }

    /// The keys that a block's private data have, as a peer delivers them to a member of its organisation.
    async fn delivered(&self, peer: &str, organization: usize, block: u64) -> Vec<String> {
        let peer = self.peer(peer);
        let deliver = self.network.deliver(peer, self.user(organization)).await.unwrap();
        let range = BlockRange::new(BlockPosition::Number(block), BlockPosition::Number(block));
        let mut blocks = deliver.blocks_with_private_data(CHANNEL, range).await.unwrap();
        let block = within(tokio_stream::StreamExt::next(&mut blocks)).await.unwrap().unwrap();
        let sets = block.private_data_map.into_values().flat_map(|writes| writes.ns_pvt_rwset);
        let sets = sets.flat_map(|set| set.collection_pvt_rwset);
        let writes = sets.flat_map(|set| KvrwSet::decode(set.rwset).unwrap().writes);
        writes.map(|write| write.key).collect()
    }
}

const PEER0_ORG1: &str = "peer0.org1.example.com";
const PEER1_ORG1: &str = "peer1.org1.example.com";
const ORG2: [&str; 2] = ["peer0.org2.example.com", "peer1.org2.example.com"];

fn put(collection: &'static str, key: &'static str, value: &'static str) -> ProposalBuilder {
    call(NAME, "put").arg(collection).arg(key).arg(value)
}

fn with(function: &'static str, collection: &'static str, key: &'static str) -> ProposalBuilder {
    call(NAME, function).arg(collection).arg(key)
}

#[track_caller]
fn says(error: &selvedge_client::ClientError, text: &str) {
    let found = format!("{error} {error:?}");
    assert!(found.contains(text), "no {text:?} in: {found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn private_data_goes_to_members_and_ends_when_it_should() {
    let stage = Stage::set().await;

    // The sibling gets it, and nobody of the other organisation.
    let block = stage.submit(put("shared", "a", "secret")).await;
    for peer in [PEER0_ORG1, PEER1_ORG1] {
        assert_eq!(stage.held(peer, "shared", "a").unwrap(), "secret", "{peer}");
        assert_eq!(stage.delivered(peer, 0, block).await, ["a"], "{peer}");
    }
    for peer in ORG2 {
        assert_eq!(stage.held(peer, "shared", "a"), None, "{peer}");
        assert!(stage.delivered(peer, 1, block).await.is_empty(), "{peer}");
        let missing =
            stage.peer(peer).channel(CHANNEL).unwrap().ledger().snapshot().missing_collections().unwrap();
        assert!(missing.contains(&(NAME.to_owned(), "shared".to_owned())), "{peer} knows that it lacks it");
    }
    let member = stage.gateway(PEER1_ORG1, 0).await;
    let read = within(member.evaluate(with("get", "shared", "a"))).await.unwrap();
    assert_eq!(read.payload, "secret");

    // Strangers may neither read nor write it.
    let stranger = stage.gateway(ORG2[0], 1).await;
    let denied = |access| {
        format!(
            "tx creator does not have {access} access permission on privatedata in chaincodeName:{NAME} \
             collectionName: shared"
        )
    };
    let error = within(stranger.evaluate(with("get", "shared", "a"))).await.unwrap_err();
    says(&error, &denied("read"));
    let error = within(stranger.submit(put("shared", "a", "mine"), &[])).await.unwrap_err();
    says(&error, &denied("write"));

    // What cannot be given to enough peers is not endorsed.
    let error = within(member.submit(put("greedy", "a", "x"), &[])).await.unwrap_err();
    says(
        &error,
        &format!(
            "could not build private data dissemination plan for chaincode {NAME} and collection greedy: required \
             to disseminate to at least 2 peers, but know of only 1 eligible peers"
        ),
    );

    // What is purged is shown to nobody any more, not even as it was before.
    stage.submit(with("purge", "shared", "a")).await;
    for peer in [PEER0_ORG1, PEER1_ORG1] {
        assert_eq!(stage.held(peer, "shared", "a"), None, "{peer}");
        assert!(stage.delivered(peer, 0, block).await.is_empty(), "{peer}");
    }

    // With a block to live of 2 it is there until the third block after it.
    let block = stage.submit(put("brief", "b", "soon gone")).await;
    for value in ["1", "2"] {
        stage.submit(put("kept", "other", value)).await;
        for peer in [PEER0_ORG1, PEER1_ORG1, ORG2[0], ORG2[1]] {
            assert_eq!(stage.held(peer, "brief", "b").unwrap(), "soon gone", "{peer}");
            assert_eq!(stage.delivered(peer, usize::from(peer.contains("org2")), block).await, ["b"]);
        }
    }
    stage.submit(put("kept", "other", "3")).await;
    for peer in [PEER0_ORG1, PEER1_ORG1, ORG2[0], ORG2[1]] {
        assert_eq!(stage.held(peer, "brief", "b"), None, "{peer}");
        assert!(stage.delivered(peer, usize::from(peer.contains("org2")), block).await.is_empty());
    }
    within(stage.network.shutdown()).await;
}

/// Only the endorser has the data, and it is stopped before the transaction is ordered. So its sibling commits without
/// them, and gets them when the endorser is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_gets_later_what_nobody_could_give_it() {
    let mut stage = Stage::set().await;
    let endorser = stage.gateway(PEER0_ORG1, 0).await;
    let proposal = put("kept", "k", "v").sign(endorser.identity()).unwrap();
    let endorsed = within(endorser.endorse(&proposal, &[])).await.unwrap();
    within(stage.network.stop_peer(PEER0_ORG1)).await.unwrap();

    let sibling = stage.gateway(PEER1_ORG1, 0).await;
    let submitted = within(sibling.submit_endorsed(proposal, endorsed)).await.unwrap();
    let commit = within(sibling.commit_status(CHANNEL, &submitted.tx_id)).await.unwrap();
    commit.valid(&submitted.tx_id).unwrap();
    assert_eq!(stage.held(PEER1_ORG1, "kept", "k"), None);
    let error = within(sibling.evaluate(with("get", "kept", "k"))).await.unwrap_err();
    says(&error, "private data matching public hash version is not available");

    // While it is away a key of its own is overwritten; that write it gets from its sibling.
    let (_, later) = within(sibling.submit_and_wait(put("kept", "later", "w"), &[])).await.unwrap();

    within(stage.network.start_peer(PEER0_ORG1)).await.unwrap();
    within(stage.network.wait_for_block(CHANNEL, later.block)).await.unwrap();
    assert_eq!(stage.held(PEER0_ORG1, "kept", "k").unwrap(), "v", "the transient store survived");
    let all = [(PEER1_ORG1, "k", "v"), (PEER0_ORG1, "later", "w")];
    for (peer, key, value) in all {
        within(async {
            while stage.held(peer, "kept", key).is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(stage.held(peer, "kept", key).unwrap(), value, "{peer} {key}");
        let snapshot = stage.peer(peer).channel(CHANNEL).unwrap().ledger().snapshot();
        assert!(snapshot.missing_of(NAME, "kept", None, 10).unwrap().is_empty(), "{peer}");
    }
    assert_eq!(
        stage.delivered(PEER1_ORG1, 0, commit.block).await,
        ["k"],
        "it is delivered as if never missing"
    );
    let sibling = stage.gateway(PEER1_ORG1, 0).await;
    let read = within(sibling.evaluate(with("get", "kept", "k"))).await.unwrap();
    assert_eq!(read.payload, "v");
    within(stage.network.shutdown()).await;
}
