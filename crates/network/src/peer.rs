use std::net::SocketAddr;
use std::sync::Arc;

use selvedge_identity::{Msp, VerificationCache};
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::storage::Storage;
use selvedge_peer::channel::Channel;
use selvedge_peer::deliver::DeliverService;
use selvedge_peer::endorser::{EndorserConfig, EndorserService, LocalEndorser};
use selvedge_peer::gateway::{Broadcaster, Gateway, GatewayChannel, GatewayConfig, GatewayService};
use selvedge_peer::host::{Host, HostConfig, PeerLaunch, Registrar};
use selvedge_peer::node::{Peer, PeerConfig};
use selvedge_peer::private_data::PrivateDataPeer;
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_tls::{Listener, ReceiveBudget};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::identities::{KeyPair, Member, Organization};
use crate::{Edge, NetworkConfig, NetworkError, genesis, network};

/// A running peer of a network.
pub struct NetworkPeer {
    peer: Peer,
    endorser: LocalEndorser,
    gateway: Gateway,
    member: Member,
    address: SocketAddr,
    tls_roots_pem: String,
    /// Ends its servers and whatever follows its chain.
    stopping: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

impl NetworkPeer {
    /// The full name, such as `peer0.org1.example.com`.
    pub fn name(&self) -> &str {
        self.member.name()
    }

    /// The MSP it belongs to, such as `Org1MSP`.
    pub fn msp_id(&self) -> &str {
        self.member.msp_id()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The authority that its clients must trust, PEM.
    pub fn tls_roots_pem(&self) -> &str {
        &self.tls_roots_pem
    }

    /// Its TLS certificate and key, which it shows to chaincode servers too.
    pub fn tls_identity(&self) -> &KeyPair {
        self.member.tls()
    }

    /// The peer without its services.
    pub(crate) fn node(&self) -> &Peer {
        &self.peer
    }

    /// A channel that it has joined.
    pub fn channel(&self, id: &str) -> Option<Arc<Channel>> {
        self.peer.channels().get(id)
    }

    /// Asks these peers for endorsements and shares private data with them. It may be among them itself.
    pub(crate) fn meet(&self, peers: &[NetworkPeer], broadcaster: &Arc<dyn Broadcaster>) {
        for channel in self.peer.channels().all() {
            let endorsers = peers.iter().map(|peer| Arc::new(peer.endorser.clone()) as _).collect();
            let broadcasters = vec![Arc::clone(broadcaster)];
            self.gateway.set_channel(GatewayChannel { channel, endorsers, broadcasters });
        }
        share_private_data(&self.peer, peers.iter().map(|peer| &peer.peer));
    }

    /// Ends its services, and closes its ledgers.
    pub(crate) async fn shutdown(self) {
        self.stopping.cancel();
        for server in self.servers {
            if let Err(error) = server.await {
                tracing::error!(name = self.member.name(), %error, "a server ended badly");
            }
        }
        self.peer.shutdown().await;
    }
}

/// Lets a peer share private data with those of a list that are not the peer itself.
pub(crate) fn share_private_data<'a>(peer: &Peer, peers: impl Iterator<Item = &'a Peer>) {
    let others = peers.filter(|other| other.identity().serialized() != peer.identity().serialized());
    peer.private_data_peers().set(
        others.map(|other| Arc::new(other.as_private_data_peer()) as Arc<dyn PrivateDataPeer>).collect(),
    );
}

/// A peer on its way: it commits and endorses, and serves nobody yet.
pub(crate) struct PeerSetup {
    pub(crate) peer: Peer,
    pub(crate) endorser: LocalEndorser,
    member: Member,
    sockets: Sockets,
    tls_roots_pem: String,
}

/// Where a peer listens.
pub(crate) struct Sockets {
    pub(crate) services: Listener,
    /// For chaincode that builders run; none in a network without builders.
    pub(crate) chaincode: Option<(Registrar, Listener)>,
}

impl PeerSetup {
    pub(crate) fn new(
        member: &Member,
        organization: &Organization,
        sockets: Sockets,
        storage: Arc<dyn Storage>,
        signatures: Arc<VerificationCache>,
        config: &NetworkConfig,
    ) -> Result<Self, NetworkError> {
        let identity = Arc::new(member.signing_identity()?);
        let local_msp = Arc::new(Msp::from_config(&genesis::msp(organization)).map_err(|source| {
            NetworkError::Identity { name: member.name().to_owned(), source: Box::new(source) }
        })?);
        let folder = config.folder.join("ledgers").join(member.name());
        let mut host = HostConfig::new(&folder);
        host.ccaas_builder = Some(Edge::builder_configuration(member));
        host.builders.clone_from(&config.builders);
        host.startup_timeout = config.chaincode.startup;
        host.execute_timeout = config.chaincode.execute;
        host.install_timeout = config.chaincode.install;
        host.offer = config.requests.runtime_params;
        host.launching = sockets.chaincode.as_ref().map(|(registrar, listener)| PeerLaunch {
            registrar: registrar.clone(),
            address: listener.local_addr().to_string(),
            msp_id: member.msp_id().to_owned(),
        });
        let host = Host::open(host)?;
        let mut ledgers = LedgerConfig::new(folder.join("channels"));
        ledgers.history = config.requests.history;
        let mut peer = PeerConfig::new(Arc::clone(&identity), Arc::clone(&local_msp), storage, ledgers);
        peer.signatures = signatures;
        let peer = Peer::new(peer, host.clone());
        let address = format!("{}:{}", member.name(), sockets.services.local_addr().port());
        let mut endorser = EndorserConfig::new(address);
        endorser.queries.total_results = config.requests.total_query_limit;
        endorser.private_data_peers = peer.private_data_peers().clone();
        endorser.rich_queries = config.requests.rich_queries;
        let endorser = LocalEndorser::new(identity, local_msp, host, peer.channels().clone(), endorser);
        Ok(Self {
            peer,
            endorser,
            member: member.clone(),
            sockets,
            tls_roots_pem: organization.tls_authority().certificate_pem().to_owned(),
        })
    }

    /// Serves the peer within this budget: the gateway, the endorser, and Deliver, and, for itself, registration. The gateway asks nobody until the
    /// peer has met others.
    pub(crate) fn serve(self, budget: &ReceiveBudget, stopping: CancellationToken) -> NetworkPeer {
        let gateway = Gateway::new(self.member.msp_id(), GatewayConfig::default());
        let channels = self.peer.channels().clone();
        let deliver = DeliverService::new(channels, self.member.msp_id(), stopping.clone());
        let services = Services::new(ServiceLimits::default())
            .within(budget)
            .with(EndorserService::new(Arc::new(self.endorser.clone())).server())
            .with(GatewayService::new(gateway.clone()).until(stopping.clone()).server())
            .with(deliver.server());
        let Sockets { services: listener, chaincode } = self.sockets;
        let address = listener.local_addr();
        let mut servers = vec![network::serve(self.member.name(), services, listener, &stopping)];
        if let Some((registrar, listener)) = chaincode {
            let services = Services::new(ServiceLimits::default()).within(budget).with(registrar.server());
            servers.push(network::serve(self.member.name(), services, listener, &stopping));
        }
        NetworkPeer {
            servers,
            peer: self.peer,
            endorser: self.endorser,
            gateway,
            member: self.member,
            address,
            tls_roots_pem: self.tls_roots_pem,
            stopping,
        }
    }
}
