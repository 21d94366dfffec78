use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use prost::Message;
use selvedge::InProcess;
use selvedge_client::{Approval, Definition, Proposal, ProposalBuilder, sign_envelope};
use selvedge_identity::genesis::{OrderingOrganization, Organization as GenesisOrganization};
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::block::validation_codes;
use selvedge_ledger::storage::MemoryStorage;
use selvedge_peer::channel::{Channel, ChannelState};
use selvedge_peer::endorser::{Endorser, EndorserConfig, LocalEndorser};
use selvedge_peer::gateway::{Broadcaster, Gateway, GatewayChannel, GatewayConfig};
use selvedge_peer::host::{AttachedStream, Host, HostConfig};
use selvedge_peer::node::{Peer, PeerConfig};
use selvedge_proto::common::{ChannelHeader, Envelope, Header, HeaderType, Payload, SignatureHeader};
use selvedge_proto::etcdraft::Consenter;
use selvedge_proto::protos::TxValidationCode;
use tempfile::TempDir;

use super::identity::Organization;
use super::ordering::{Orderer, Ordering};
use super::run::endorse;
use super::setup::Deploy;
use super::{Identity, Ledger, Setup, TestError, compare};
use crate::identities::Role;
use crate::peer::share_private_data;
use crate::{RequestSettings, genesis};

/// Who orders. Nobody else may have this name.
const ORDERERS: &str = "OrdererMSP";

/// Where orderers would listen.
const PORT: u32 = 7050;

/// Cache of a ledger's state, which is in memory anyway.
const STATE_CACHE_BYTES: usize = 1 << 20;

/// A network for a test: a peer for each organisation, channels, and chaincodes, in memory and without sockets. Clones
/// are the same network, which ends with the last of them and of its [`Ledger`]s.
#[derive(Clone)]
pub struct TestNetwork(Arc<Inner>);

struct Inner {
    nodes: Vec<Node>,
    channels: BTreeMap<String, Ordering>,
    first_channel: String,
    /// Peers keep packages in a folder, where there are none.
    _folder: TempDir,
}

/// An organisation's peer.
pub(super) struct Node {
    peer: Peer,
    endorser: LocalEndorser,
    pub(super) gateway: Gateway,
    /// The peer as it would endorse without offering batch operations, if transactions are compared.
    single: Option<Single>,
}

/// An endorser on the same ledgers whose chaincode is offered nothing.
struct Single {
    host: Host,
    endorser: LocalEndorser,
}

impl TestNetwork {
    pub(super) async fn start(setup: Setup) -> Result<Self, TestError> {
        let folder = tempfile::tempdir().map_err(TestError::setup)?;
        let organizations: Vec<_> =
            setup.organizations.iter().map(|msp_id| Organization::named(msp_id)).collect::<Result<_, _>>()?;
        let nodes = organizations
            .iter()
            .map(|organization| Node::new(organization, folder.path(), &setup))
            .collect::<Result<Vec<_>, _>>()?;
        for node in &nodes {
            share_private_data(&node.peer, nodes.iter().map(|node| &node.peer));
        }
        let mut channels = BTreeMap::new();
        for channel in &setup.channels {
            let ordering = begin(channel, &organizations)?;
            try_join_all(nodes.iter().map(|node| node.join(&ordering))).await?;
            for node in &nodes {
                node.meet(channel, &nodes, &ordering)?;
            }
            channels.insert(channel.clone(), ordering);
        }
        let first_channel = setup.channels.into_iter().next();
        let first_channel = first_channel.ok_or_else(|| TestError::Unknown("channel".to_owned()))?;
        let network = Self(Arc::new(Inner { nodes, channels, first_channel, _folder: folder }));
        network.deploy(setup.chaincodes).await?;
        Ok(network)
    }

    /// A chaincode on the first channel.
    pub fn ledger(&self, chaincode: impl Into<String>) -> Ledger {
        self.ledger_on(self.0.first_channel.clone(), chaincode)
    }

    /// A chaincode on a channel. Whether they are there shows when it is called.
    pub fn ledger_on(&self, channel: impl Into<String>, chaincode: impl Into<String>) -> Ledger {
        Ledger::new(self.clone(), channel.into(), chaincode.into())
    }

    /// Lets blocks pass on a channel, for private data that live for a number of blocks. Each holds one transaction that
    /// peers find invalid and that changes nothing.
    ///
    /// # Errors
    /// When there is no such channel.
    pub async fn pass_blocks(&self, channel: &str, blocks: u64) -> Result<(), TestError> {
        let nothing = Self::nothing(channel)?;
        for _ in 0..blocks {
            let number = self.ordering(channel)?.order(std::slice::from_ref(&nothing))?;
            self.committed(channel, number).await?;
        }
        Ok(())
    }

    /// Stops the peers and their chaincode, and waits for their tasks. Without it they end at some time after the network
    /// is dropped.
    pub async fn shutdown(self) {
        for node in &self.0.nodes {
            node.peer.shutdown().await;
            if let Some(single) = &node.single {
                single.host.shutdown().await;
            }
        }
    }

    /// Whether a transaction is the same with and without batch operations, if that is asked. It runs on the peer of
    /// the first of these organisations, or of the identity's.
    pub(super) async fn compare(
        &self,
        identity: &Identity,
        endorsers: &[String],
        proposal: &Proposal,
    ) -> Result<(), TestError> {
        let first = endorsers.first().map_or(identity.msp_id(), String::as_str);
        let node = self.0.nodes.iter().find(|node| node.peer.msp_id() == first).or(self.0.nodes.first());
        let Some((node, single)) = node.and_then(|node| Some((node, node.single.as_ref()?))) else {
            return Ok(());
        };
        let Ok(channel) = self.channel(&proposal.channel_id, Some(node.peer.msp_id())) else { return Ok(()) };
        loop {
            let height = channel.ledger().height();
            let batched = node.endorser.evaluate(proposal.signed.clone()).await;
            let single = single.endorser.evaluate(proposal.signed.clone()).await;
            // Only what was simulated on the same state can be compared.
            if channel.ledger().height() == height {
                return compare::same(batched, single);
            }
        }
    }

    /// The peer that an identity talks to: its organisation's, or the first one.
    pub(super) fn node_of(&self, identity: &Identity) -> Result<&Node, TestError> {
        let own = self.0.nodes.iter().find(|node| node.peer.msp_id() == identity.msp_id());
        own.or(self.0.nodes.first()).ok_or_else(|| TestError::Unknown("organisation".to_owned()))
    }

    /// A channel as an organisation's peer has it; the first one's if none is named.
    pub(super) fn channel(&self, channel: &str, msp_id: Option<&str>) -> Result<Arc<Channel>, TestError> {
        let mut nodes = self.0.nodes.iter();
        let node = match msp_id {
            Some(msp_id) => nodes.find(|node| node.peer.msp_id() == msp_id),
            None => nodes.next(),
        };
        let node =
            node.ok_or_else(|| TestError::Unknown(format!("organisation {}", msp_id.unwrap_or(""))))?;
        let joined = node.peer.channels().get(channel);
        joined.ok_or_else(|| TestError::Unknown(format!("channel {channel}")))
    }

    pub(super) fn ordering(&self, channel: &str) -> Result<&Ordering, TestError> {
        self.0.channels.get(channel).ok_or_else(|| TestError::Unknown(format!("channel {channel}")))
    }

    /// Waits until all peers have a block, so that they agree on what is endorsed next.
    pub(super) async fn committed(&self, channel: &str, number: u64) -> Result<(), TestError> {
        for node in &self.0.nodes {
            let joined = node.peer.channels().get(channel);
            let joined = joined.ok_or_else(|| TestError::Unknown(format!("channel {channel}")))?;
            let (mut height, mut state) = (joined.ledger().subscribe(), joined.watch_state());
            tokio::select! {
                biased;
                reached = height.wait_for(|height| *height > number) => {
                    reached.map_err(|_| TestError::Ended)?;
                }
                // A peer that takes in no more blocks, since it was shut down or failed, never reaches it.
                _ = state.wait_for(|state| !matches!(state, ChannelState::Running)) => {
                    return Err(TestError::Ended);
                }
            }
        }
        Ok(())
    }

    /// What became of the transactions of a block that all peers have.
    pub(super) fn verdicts(&self, channel: &str, number: u64) -> Result<Vec<TxValidationCode>, TestError> {
        let ledger = self.channel(channel, None)?;
        let block = ledger.ledger().block(number).map_err(TestError::setup)?.ok_or(TestError::Ended)?;
        Ok(validation_codes(&block))
    }

    /// Installs, approves and commits, as administrators do.
    async fn deploy(&self, chaincodes: Vec<Deploy>) -> Result<(), TestError> {
        let mut definitions = Vec::new();
        for deploy in chaincodes {
            let definition = deploy.definition()?;
            let package_id = deploy.package_id;
            let served = Arc::new(deploy.server.in_process().map_err(TestError::setup)?);
            for node in &self.0.nodes {
                node.attach(&package_id, &served);
            }
            let channels = deploy.channels.unwrap_or_else(|| self.0.channels.keys().cloned().collect());
            for channel in &channels {
                self.ordering(channel)?;
            }
            definitions.extend(channels.into_iter().map(|channel| {
                let package_id = Some(package_id.clone());
                (channel, Approval { definition: Definition::clone(&definition), package_id })
            }));
        }
        for (channel, ordering) in &self.0.channels {
            let approvals: Vec<_> = definitions.iter().filter(|(of, _)| of == channel).collect();
            if approvals.is_empty() {
                continue;
            }
            let mut approved = Vec::new();
            for (_, approval) in &approvals {
                for node in &self.0.nodes {
                    approved.push(node.administer(approval.proposal(channel), true).await?);
                }
            }
            self.agree(channel, ordering, approved).await?;
            let mut committed = Vec::new();
            let node = self.0.nodes.first().ok_or_else(|| TestError::Unknown("organisation".to_owned()))?;
            for (_, approval) in &approvals {
                committed.push(node.administer(approval.definition.proposal(channel), false).await?);
            }
            self.agree(channel, ordering, committed).await?;
        }
        Ok(())
    }

    /// Has administrators' transactions committed in one block.
    async fn agree(
        &self,
        channel: &str,
        ordering: &Ordering,
        transactions: Vec<(String, Envelope)>,
    ) -> Result<(), TestError> {
        let (ids, envelopes): (Vec<_>, Vec<_>) = transactions.into_iter().unzip();
        let block = ordering.order(&envelopes)?;
        self.committed(channel, block).await?;
        for (tx_id, code) in ids.into_iter().zip(self.verdicts(channel, block)?) {
            if code != TxValidationCode::Valid {
                return Err(TestError::Invalid { tx_id, block, code });
            }
        }
        Ok(())
    }

    /// A transaction without an action, in the orderer's name.
    fn nothing(channel: &str) -> Result<Envelope, TestError> {
        let orderer = Organization::named(ORDERERS)?.node(Role::Orderer)?;
        let channel_header = ChannelHeader {
            r#type: HeaderType::Message.into(),
            channel_id: channel.to_owned(),
            ..ChannelHeader::default()
        };
        let signature_header =
            SignatureHeader { creator: orderer.serialized().clone(), nonce: vec![0; 24].into() };
        let header = Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: signature_header.encode_to_vec().into(),
        };
        let payload = Payload { header: Some(header), ..Payload::default() };
        let envelope = Envelope { payload: payload.encode_to_vec().into(), ..Envelope::default() };
        sign_envelope(envelope, &orderer).map_err(TestError::setup)
    }
}

impl fmt::Debug for TestNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestNetwork").field("channels", &self.0.channels.keys()).finish_non_exhaustive()
    }
}

impl Node {
    fn new(organization: &Organization, folder: &Path, setup: &Setup) -> Result<Self, TestError> {
        let RequestSettings { total_query_limit, history, rich_queries, runtime_params } = &setup.requests;
        let identity = organization.node(Role::Peer)?;
        let name = organization.node_name(Role::Peer);
        let mut host = HostConfig::new(folder.join(&name));
        folder.clone_into(&mut host.temp_dir);
        host.execute_timeout = setup.execute_timeout;
        host.offer = *runtime_params;
        let mut nothing_offered = host.clone();
        nothing_offered.root = folder.join(format!("{name}-single"));
        nothing_offered.offer = None;
        let host = Host::open(host).map_err(TestError::setup)?;
        let mut ledgers = LedgerConfig::new("/ledgers");
        ledgers.history = *history;
        ledgers.state_cache_bytes = STATE_CACHE_BYTES;
        let msp = Arc::clone(organization.msp());
        let storage = Arc::new(MemoryStorage::new());
        let config = PeerConfig::new(Arc::clone(&identity), Arc::clone(&msp), storage, ledgers);
        let peer = Peer::new(config, host.clone());
        let mut config = EndorserConfig::new(format!("{name}:7051"));
        config.queries.total_results = *total_query_limit;
        config.rich_queries = *rich_queries;
        config.private_data_peers = peer.private_data_peers().clone();
        // Tests say what time it is.
        config.time_window = Duration::MAX;
        let endorser = |host: Host| {
            let (identity, msp) = (Arc::clone(&identity), Arc::clone(&msp));
            LocalEndorser::new(identity, msp, host, peer.channels().clone(), config.clone())
        };
        let single = match setup.compare_batching {
            true => {
                let host = Host::open(nothing_offered).map_err(TestError::setup)?;
                Some(Single { endorser: endorser(host.clone()), host })
            }
            false => None,
        };
        let endorser = endorser(host);
        let gateway = Gateway::new(organization.msp_id(), GatewayConfig::default());
        Ok(Self { peer, endorser, gateway, single })
    }

    async fn join(&self, ordering: &Ordering) -> Result<(), TestError> {
        let joined = self.peer.join(ordering.genesis()?, Arc::new(ordering.clone())).await;
        joined.map(drop).map_err(TestError::setup)
    }

    /// Asks these peers for endorsements on a channel.
    fn meet(&self, channel: &str, nodes: &[Self], ordering: &Ordering) -> Result<(), TestError> {
        let channel = self.peer.channels().get(channel).ok_or(TestError::Ended)?;
        let endorsers =
            nodes.iter().map(|node| Arc::new(node.endorser.clone()) as Arc<dyn Endorser>).collect();
        let address = format!("{}:{PORT}", Organization::named(ORDERERS)?.node_name(Role::Orderer));
        let orderer = Orderer { ordering: ordering.clone(), address, config: channel.config() };
        let broadcasters = vec![Arc::new(orderer) as Arc<dyn Broadcaster>];
        self.gateway.set_channel(GatewayChannel { channel, endorsers, broadcasters });
        Ok(())
    }

    fn attach(&self, package_id: &str, served: &Arc<InProcess>) {
        let hosts = self.single.iter().map(|single| &single.host).chain([self.peer.host()]);
        for host in hosts {
            let (served, msp_id) = (Arc::clone(served), self.peer.msp_id().to_owned());
            host.attach(package_id, move || {
                let end = served.connect(&msp_id);
                AttachedStream { incoming: end.incoming.boxed(), outgoing: end.outgoing }
            });
        }
    }

    /// A transaction of the organisation's administrator, which its own peer endorses, or whoever the gateway asks.
    async fn administer(
        &self,
        proposal: ProposalBuilder,
        own: bool,
    ) -> Result<(String, Envelope), TestError> {
        let admin = Identity::admin(self.peer.msp_id(), "admin").signing()?;
        let proposal = proposal.sign(&admin).map_err(TestError::setup)?;
        let organizations = if own { vec![self.peer.msp_id().to_owned()] } else { Vec::new() };
        let endorsed = endorse(self, &proposal, organizations, |_| None).await?;
        Ok((proposal.tx_id, sign_envelope(endorsed, &admin).map_err(TestError::setup)?))
    }
}

/// Begins a channel of these organisations.
fn begin(channel: &str, organizations: &[Arc<Organization>]) -> Result<Ordering, TestError> {
    let members = organizations.iter().map(|organization| GenesisOrganization {
        name: organization.msp_id().to_owned(),
        msp_id: organization.msp_id().to_owned(),
        msp: organization.msp_config().clone(),
        anchor_peers: Vec::new(),
    });
    let orderers = Organization::named(ORDERERS)?;
    let (identity, host) = (orderers.node(Role::Orderer)?, orderers.node_name(Role::Orderer));
    let ordering = OrderingOrganization {
        name: "OrdererOrg".to_owned(),
        msp_id: orderers.msp_id().to_owned(),
        msp: orderers.msp_config().clone(),
        endpoints: vec![format!("{host}:{PORT}")],
    };
    let certificate = identity.certificate_pem().clone();
    let consenter =
        Consenter { host, port: PORT, client_tls_cert: certificate.clone(), server_tls_cert: certificate };
    let genesis = genesis::channel(channel, members.collect(), ordering, consenter);
    Ok(Ordering::new(identity, genesis.map_err(TestError::setup)?.block()))
}
