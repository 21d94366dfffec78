use std::net::SocketAddr;
use std::sync::Arc;

use selvedge_identity::Msp;
use selvedge_ledger::LedgerConfig;
use selvedge_ledger::storage::Storage;
use selvedge_peer::channel::Channel;
use selvedge_peer::deliver::DeliverService;
use selvedge_peer::endorser::{Endorser, EndorserConfig, EndorserService, LocalEndorser};
use selvedge_peer::gateway::{Broadcaster, Gateway, GatewayChannel, GatewayConfig, GatewayService};
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::node::{Peer, PeerConfig};
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_tls::Listener;
use tokio_util::sync::CancellationToken;

use crate::identities::{KeyPair, Member, Organization};
use crate::{Edge, NetworkConfig, NetworkError, genesis};

/// A running peer of a network.
pub struct NetworkPeer {
    peer: Peer,
    member: Member,
    address: SocketAddr,
    tls_roots_pem: String,
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

    /// A channel that it has joined.
    pub fn channel(&self, id: &str) -> Option<Arc<Channel>> {
        self.peer.channels().get(id)
    }

    pub(crate) async fn shutdown(self) {
        self.peer.shutdown().await;
    }
}

/// A peer on its way: it commits and endorses, and serves nobody yet.
pub(crate) struct PeerSetup {
    pub(crate) peer: Peer,
    pub(crate) endorser: LocalEndorser,
    member: Member,
    listener: Listener,
    tls_roots_pem: String,
}

impl PeerSetup {
    pub(crate) fn new(
        member: &Member,
        organization: &Organization,
        listener: Listener,
        storage: Arc<dyn Storage>,
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
        let host = Host::open(host)?;
        let mut ledgers = LedgerConfig::new(folder.join("channels"));
        ledgers.history = config.requests.history;
        let peer = PeerConfig::new(Arc::clone(&identity), Arc::clone(&local_msp), storage, ledgers);
        let peer = Peer::new(peer, host.clone());
        let address = format!("{}:{}", member.name(), listener.local_addr().port());
        let mut endorser = EndorserConfig::new(address);
        endorser.queries.total_results = config.requests.total_query_limit;
        let endorser = LocalEndorser::new(identity, local_msp, host, peer.channels().clone(), endorser);
        Ok(Self {
            peer,
            endorser,
            member: member.clone(),
            listener,
            tls_roots_pem: organization.tls_authority().certificate_pem().to_owned(),
        })
    }

    /// Gives the peer its services: the gateway, which asks all peers of the network, the endorser, and Deliver. What
    /// follows the chain ends with `stopping`.
    pub(crate) fn finish(
        self,
        endorsers: &[Arc<dyn Endorser>],
        broadcaster: &Arc<dyn Broadcaster>,
        stopping: &CancellationToken,
    ) -> (NetworkPeer, Services, Listener) {
        let gateway = Gateway::new(self.member.msp_id(), GatewayConfig::default());
        for channel in self.peer.channels().all() {
            let broadcasters = vec![Arc::clone(broadcaster)];
            gateway.set_channel(GatewayChannel { channel, endorsers: endorsers.to_vec(), broadcasters });
        }
        let channels = self.peer.channels().clone();
        let deliver = DeliverService::new(channels, self.member.msp_id(), stopping.clone());
        let services = Services::new(ServiceLimits::default())
            .with(EndorserService::new(Arc::new(self.endorser)).server())
            .with(GatewayService::new(gateway).until(stopping.clone()).server())
            .with(deliver.server());
        let peer = NetworkPeer {
            peer: self.peer,
            member: self.member,
            address: self.listener.local_addr(),
            tls_roots_pem: self.tls_roots_pem,
        };
        (peer, services, self.listener)
    }
}
