//! A channel of two organizations with real keys, its ordering service, and transactions for it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

pub(crate) mod configuration;
pub(crate) mod source;
mod transaction;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::block::header_bytes;
use selvedge_identity::genesis::{Genesis, OrderingOrganization, Organization};
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_identity::{Msp, SigningIdentity};
use selvedge_ledger::block::build;
use selvedge_ledger::storage::Storage;
use selvedge_ledger::{Committed, LedgerConfig};
use selvedge_peer::channel::{Channel, ChannelState};
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::node::{Peer, PeerConfig};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage};
use selvedge_proto::common::{
    Block, BlockHeader, LastConfig, Metadata, MetadataSignature, OrdererBlockMetadata, SignatureHeader,
};
use selvedge_proto::etcdraft::Consenter;
use selvedge_proto::msp::MspConfig;
use tokio::sync::broadcast::Receiver;

pub(crate) use transaction::{Draft, definition};

pub(crate) const CHANNEL: &str = "testchannel";

/// Far more than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// An organization with one identity for each role.
pub(crate) struct Org {
    pub(crate) msp_id: String,
    pub(crate) msp: MspConfig,
    pub(crate) peer: Arc<SigningIdentity>,
    pub(crate) client: Arc<SigningIdentity>,
    pub(crate) admin: Arc<SigningIdentity>,
}

/// Two organizations, Org1MSP and Org2MSP, and an ordering one.
pub(crate) struct Network {
    pub(crate) orgs: [Org; 2],
    pub(crate) orderer: Arc<SigningIdentity>,
    pub(crate) genesis: Block,
}

impl Org {
    fn new(msp_id: &str, role: &str) -> Self {
        let spec = AuthoritySpec { common_name: format!("ca.{msp_id}"), ..AuthoritySpec::default() };
        let authority = Authority::new(&spec).unwrap();
        let identity = |role: &str| {
            let leaf = authority
                .issue(&LeafSpec {
                    common_name: format!("{role}0"),
                    organizational_units: vec![role.to_owned()],
                    usage: Usage::Signing,
                    ..LeafSpec::default()
                })
                .unwrap();
            let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes());
            Arc::new(SigningIdentity::from_pem(msp_id, certificate, key).unwrap())
        };
        let root = Bytes::copy_from_slice(authority.certificate_pem().as_bytes());
        let msp = msp_config(&MspDescription { id: msp_id.to_owned(), root, ..MspDescription::default() });
        let (peer, client, admin) = (identity(role), identity("client"), identity("admin"));
        Self { msp_id: msp_id.to_owned(), msp, peer, client, admin }
    }
}

impl Network {
    pub(crate) fn new() -> Self {
        let orgs = [Org::new("Org1MSP", "peer"), Org::new("Org2MSP", "peer")];
        let ordering = Org::new("OrdererMSP", "orderer");
        let genesis = genesis(&orgs, &ordering).block();
        Self { orgs, orderer: ordering.peer, genesis }
    }

    /// A block of these entries after another one, signed by the orderer.
    pub(crate) fn block(&self, previous: &Block, entries: Vec<Bytes>) -> Block {
        let mut block = build(previous.header.as_ref(), entries);
        self.sign(&mut block, 0);
        block
    }

    /// Signs a block; `last_config` is the number of the block with the configuration.
    pub(crate) fn sign(&self, block: &mut Block, last_config: u64) {
        let value: Bytes = OrdererBlockMetadata {
            last_config: Some(LastConfig { index: last_config }),
            ..OrdererBlockMetadata::default()
        }
        .encode_to_vec()
        .into();
        let creator = self.orderer.serialized().clone();
        let signature_header: Bytes =
            SignatureHeader { creator, nonce: Bytes::from_static(b"nonce") }.encode_to_vec().into();
        let header = header_bytes(block.header.as_ref().unwrap());
        let signed = [&value[..], &signature_header, &header].concat();
        let signature = self.orderer.sign(&signed).unwrap();
        let signature = MetadataSignature { signature_header, signature, ..MetadataSignature::default() };
        let metadata = Metadata { value, signatures: vec![signature] };
        block.metadata.as_mut().unwrap().metadata[0] = metadata.encode_to_vec().into();
    }

    /// A draft of a transaction by the client of Org1, endorsed by the peers of both.
    pub(crate) fn draft(&self, chaincode: &str) -> Draft<'_> {
        Draft::new(self, chaincode)
    }

    /// An entry that commits definitions of chaincodes `basic`, with the channel's default policy and the collection
    /// `secrets` of Org1, and `open`, with a policy that any peer satisfies.
    pub(crate) fn definitions(&self) -> Bytes {
        let mut draft = self.draft("_lifecycle");
        for (key, value) in definition("basic", None)
            .into_iter()
            .chain(definition("open", Some("OR('Org1MSP.peer','Org2MSP.peer')")))
        {
            draft = draft.put(&key, value);
        }
        draft.entry()
    }

    /// A peer of an organization, with all it keeps in `storage`.
    pub(crate) fn peer(&self, org: usize, storage: Arc<dyn Storage>, folder: &std::path::Path) -> Peer {
        let org = &self.orgs[org];
        let host = Host::open(HostConfig::new(folder)).unwrap();
        let msp = Arc::new(Msp::from_config(&org.msp).unwrap());
        Peer::new(PeerConfig::new(Arc::clone(&org.peer), msp, storage, LedgerConfig::new("/ledgers")), host)
    }
}

fn genesis(orgs: &[Org], ordering: &Org) -> Genesis {
    let organization = |(index, org): (usize, &Org)| Organization {
        name: format!("Org{}", index + 1),
        msp_id: org.msp_id.clone(),
        msp: org.msp.clone(),
        anchor_peers: Vec::new(),
    };
    let certificate = ordering.peer.certificate_pem().clone();
    Genesis {
        channel_id: CHANNEL.to_owned(),
        organizations: orgs.iter().enumerate().map(organization).collect(),
        orderers: vec![OrderingOrganization {
            name: "OrdererOrg".to_owned(),
            msp_id: ordering.msp_id.clone(),
            msp: ordering.msp.clone(),
            endpoints: vec!["127.0.0.1:7050".to_owned()],
        }],
        consenters: vec![Consenter {
            host: "127.0.0.1".to_owned(),
            port: 7050,
            client_tls_cert: certificate.clone(),
            server_tls_cert: certificate,
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

pub(crate) fn header(block: &Block) -> &BlockHeader {
    block.header.as_ref().unwrap()
}

/// Waits until a block is committed and everybody was told.
pub(crate) async fn until_told(blocks: &mut Receiver<Arc<Committed>>, number: u64) -> Arc<Committed> {
    loop {
        let block = tokio::time::timeout(LONG, blocks.recv()).await.expect("in time").unwrap();
        if block.number() == number {
            return block;
        }
    }
}

/// Waits until the channel's state is of a kind.
pub(crate) async fn until_state(channel: &Channel, is: impl Fn(&ChannelState) -> bool) -> ChannelState {
    let mut states = channel.watch_state();
    tokio::time::timeout(LONG, states.wait_for(|state| is(state))).await.expect("in time").unwrap().clone()
}
