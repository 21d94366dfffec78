use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use selvedge_client::configuration::Broadcast;
use selvedge_client::{Deliver, Gateway, Lifecycle};
use selvedge_identity::{SigningIdentity, VerificationCache};
use selvedge_ledger::storage::{DiskStorage, MemoryStorage, Storage};
use selvedge_orderer::{BroadcastService, Cutting, Orderer, OrdererConfig};
use selvedge_peer::gateway::Broadcaster;
use selvedge_peer::host::Registrar;
use selvedge_peer::services::{ServiceLimits, Services};
use selvedge_proto::common::Block;
use selvedge_tls::{
    ClientTls, DialOptions, Identity, Limits, Listener, ReceiveBudget, ServerSecurity, ServerTls,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::genesis::{self, Places};
use crate::hold::Hold;
use crate::identities::{Kind, Member, Organization, OrganizationSpec, Role};
use crate::peer::{self, NetworkPeer, PeerSetup, Sockets};
use crate::{Description, Edge, Holder, Keeping, NetworkConfig, NetworkError, Ports, broadcaster, control};

/// After how long to look again whether the ledgers of a stopped peer are closed, and how often at most. A peer whose
/// ledgers stay open cannot be started again, and says so then.
const CLOSING: Duration = Duration::from_millis(5);
const CLOSINGS: usize = 2000;

/// How many envelopes of a channel may wait at the orderer before whoever sends one waits too.
const ORDERER_QUEUE: usize = 4096;

/// A running network.
pub struct Network {
    config: NetworkConfig,
    organizations: Vec<Organization>,
    orderers: Organization,
    orderer: Arc<Orderer>,
    orderer_address: SocketAddr,
    broadcaster: Arc<dyn Broadcaster>,
    /// What all nodes hold of the messages they receive.
    budget: ReceiveBudget,
    storage: Arc<dyn Storage>,
    signatures: Arc<VerificationCache>,
    /// The genesis blocks of the channels.
    genesis: Vec<Block>,
    /// The peers that run, by organisation.
    peers: Vec<NetworkPeer>,
    /// Where peers listen, by name; one that is started again listens where it did.
    addresses: BTreeMap<String, SocketAddr>,
    edge: Edge,
    stopping: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    /// Ends last, after the ledgers.
    hold: Hold,
}

impl Network {
    /// Starts the network, with the identities and ledgers of its folder where it was started before.
    ///
    /// # Errors
    /// When another process runs the network of this folder, a file cannot be used, a port is taken, or a ledger
    /// belongs to another network.
    pub async fn start(config: NetworkConfig) -> Result<Self, NetworkError> {
        let (hold, organizations, orderers, edge) = identities(&config).await?;
        let storage: Arc<dyn Storage> = match config.keeping {
            Keeping::Disk => Arc::new(DiskStorage),
            Keeping::Memory => Arc::new(MemoryStorage::new()),
        };
        let stopping = CancellationToken::new();
        // What one node has verified no other needs to verify again.
        let signatures = VerificationCache::new(VerificationCache::DEFAULT_ENTRIES);
        let mut servers = Vec::new();

        let node = orderers.members(Role::Orderer).next().ok_or(NetworkError::NoPeers)?;
        let listener = listen(node, config.ports.orderer()).await?;
        let orderer_address = listener.local_addr();
        let orderer = Arc::new(Orderer::new(OrdererConfig {
            identity: Arc::new(node.signing_identity()?),
            storage: Arc::clone(&storage),
            folder: config.folder.join("ledgers").join(node.name()),
            log: Default::default(),
            cutting: config.cutting,
            signatures: Arc::clone(&signatures),
            queue: ORDERER_QUEUE,
        }));
        // The nodes share one process, and so its budget.
        let budget = ReceiveBudget::default();
        let services = Services::new(ServiceLimits::default())
            .within(&budget)
            .with(BroadcastService::server(Arc::clone(&orderer)));
        servers.push(serve(node.name(), services, listener, &stopping));

        let places = Places {
            orderers: &orderers,
            orderer_port: orderer_address.port(),
            organizations: &organizations,
        };
        let genesis = config
            .channels
            .iter()
            .map(|channel| genesis::open(&config.folder, channel, &places))
            .collect::<Result<Vec<Block>, NetworkError>>()?;

        let mut setups = Vec::new();
        for (number, organization) in organizations.iter().enumerate() {
            for (sibling, member) in organization.members(Role::Peer).enumerate() {
                let sockets = sockets(member, config.ports.peer(number, sibling), &config).await?;
                let setup = PeerSetup::new(
                    member,
                    organization,
                    sockets,
                    Arc::clone(&storage),
                    Arc::clone(&signatures),
                    &config,
                )?;
                setups.push(setup);
            }
        }
        // Whoever has to catch up asks the others for private data.
        for setup in &setups {
            peer::share_private_data(&setup.peer, setups.iter().map(|setup| &setup.peer));
        }
        for block in &genesis {
            let source = Arc::new(orderer.join(block)?);
            for setup in &setups {
                setup.peer.join(block.clone(), Arc::clone(&source) as _).await?;
            }
        }
        let broadcaster = broadcaster::of(&orderer, node, orderer_address);
        let peers: Vec<_> =
            setups.into_iter().map(|setup| setup.serve(&budget, stopping.child_token())).collect();
        let addresses = peers.iter().map(|peer| (peer.name().to_owned(), peer.address())).collect();
        for peer in &peers {
            peer.meet(&peers, &broadcaster);
        }
        Ok(Self {
            config,
            organizations,
            orderers,
            orderer,
            orderer_address,
            broadcaster,
            budget,
            storage,
            signatures,
            genesis,
            peers,
            addresses,
            edge,
            stopping,
            servers,
            hold,
        })
    }

    /// Describes the network to others: in files of its folder, and to [`Status::of`](crate::Status::of) and
    /// [`cut`](crate::cut) until it ends.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn announce(&mut self) -> Result<Description, NetworkError> {
        let description = self.leave_description()?;
        self.servers.push(control::serve(self, self.stopping.clone())?);
        Ok(description)
    }

    /// The process that runs it: this one.
    pub fn holder(&self) -> &Holder {
        &self.hold.holder
    }

    /// Whether its ledgers survive the process.
    pub fn keeping(&self) -> Keeping {
        self.config.keeping
    }

    /// The network's folder.
    pub fn folder(&self) -> &Path {
        &self.config.folder
    }

    /// The channels, which all organisations have joined.
    pub fn channels(&self) -> &[String] {
        &self.config.channels
    }

    /// The organisations with peers.
    pub fn organizations(&self) -> &[Organization] {
        &self.organizations
    }

    /// The organisation that orders.
    pub fn orderer_organization(&self) -> &Organization {
        &self.orderers
    }

    /// Where the orderer listens.
    pub fn orderer_address(&self) -> SocketAddr {
        self.orderer_address
    }

    /// The peers that run, by organisation.
    pub fn peers(&self) -> &[NetworkPeer] {
        &self.peers
    }

    /// The ordering service.
    pub(crate) fn orderer(&self) -> &Arc<Orderer> {
        &self.orderer
    }

    /// When blocks are closed.
    pub fn cutting(&self) -> Cutting {
        self.config.cutting
    }

    /// Where chaincode servers get their certificates.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// A peer's gateway over TLS, used in the name of a member.
    ///
    /// # Errors
    /// When the peer cannot be reached or the member's identity cannot be used.
    pub async fn gateway(&self, peer: &NetworkPeer, member: &Member) -> Result<Gateway, NetworkError> {
        let identity: Arc<SigningIdentity> = Arc::new(member.signing_identity()?);
        Ok(Gateway::new(self.connect(peer).await?, identity))
    }

    /// The blocks of a peer over TLS, read in the name of a member.
    ///
    /// # Errors
    /// When the peer cannot be reached or the member's identity cannot be used.
    pub async fn deliver(&self, peer: &NetworkPeer, member: &Member) -> Result<Deliver, NetworkError> {
        let identity: Arc<SigningIdentity> = Arc::new(member.signing_identity()?);
        Ok(Deliver::new(self.connect(peer).await?, identity))
    }

    /// A peer's lifecycle over TLS, used in the name of a member, who must be an administrator for most of it.
    ///
    /// # Errors
    /// When the peer cannot be reached or the member's identity cannot be used.
    pub async fn lifecycle(&self, peer: &NetworkPeer, member: &Member) -> Result<Lifecycle, NetworkError> {
        let channel = self.connect(peer).await?;
        let identity: Arc<SigningIdentity> = Arc::new(member.signing_identity()?);
        Ok(Lifecycle::new(channel.clone(), Gateway::new(channel, identity)))
    }

    /// The orderer over TLS.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn broadcast(&self) -> Result<Broadcast, NetworkError> {
        let unknown = || NetworkError::UnknownMember { name: "orderer".to_owned() };
        let node = self.orderers.members(Role::Orderer).next().ok_or_else(unknown)?;
        let roots_pem = self.orderers.tls_authority().certificate_pem();
        Ok(Broadcast::new(connect(node.name(), self.orderer_address, roots_pem).await?))
    }

    /// The first peer and a user of its organisation.
    ///
    /// # Errors
    /// When there is none.
    pub fn first_user(&self) -> Result<(&NetworkPeer, &Member), NetworkError> {
        let peer = self.peers.first().ok_or(NetworkError::NoPeers)?;
        let unknown = || NetworkError::UnknownMember { name: format!("a user of {}", peer.msp_id()) };
        let mut organizations = self.organizations.iter().filter(|it| it.msp_id() == peer.msp_id());
        let user = organizations.find_map(|it| it.members(Role::Client).next()).ok_or_else(unknown)?;
        Ok((peer, user))
    }

    /// The administrator of a peer's organisation.
    ///
    /// # Errors
    /// When the peer is not of this network.
    pub fn admin_of(&self, peer: &NetworkPeer) -> Result<&Member, NetworkError> {
        self.organizations
            .iter()
            .find(|organization| organization.msp_id() == peer.msp_id())
            .ok_or_else(|| NetworkError::UnknownMember { name: peer.name().to_owned() })?
            .admin()
    }

    /// Waits until every peer that runs has committed a block, so that what they endorse next agrees.
    ///
    /// # Errors
    /// When a peer has not joined the channel, or has stopped.
    pub async fn wait_for_block(&self, channel: &str, number: u64) -> Result<(), NetworkError> {
        for peer in &self.peers {
            let unknown =
                || NetworkError::NotJoined { peer: peer.name().to_owned(), channel: channel.to_owned() };
            let mut height = peer.channel(channel).ok_or_else(unknown)?.ledger().subscribe();
            height.wait_for(|height| *height > number).await.map_err(|_| unknown())?;
        }
        Ok(())
    }

    /// Stops one peer, as if its machine were switched off: the others go on without it.
    ///
    /// # Errors
    /// When no peer of this name runs.
    pub async fn stop_peer(&mut self, name: &str) -> Result<(), NetworkError> {
        let place = self.peers.iter().position(|peer| peer.name() == name);
        let unknown = || NetworkError::UnknownMember { name: name.to_owned() };
        let stopped = self.peers.remove(place.ok_or_else(unknown)?);
        self.meet_each_other();
        let ledgers: Vec<_> = self
            .config
            .channels
            .iter()
            .filter_map(|channel| stopped.channel(channel))
            .map(|channel| Arc::downgrade(&channel))
            .collect();
        stopped.shutdown().await;
        // A call that was under way may hold a ledger open for a moment longer.
        for _ in 0..CLOSINGS {
            if ledgers.iter().all(|ledger| ledger.strong_count() == 0) {
                break;
            }
            tokio::time::sleep(CLOSING).await;
        }
        Ok(())
    }

    /// Starts a peer again that was stopped. It listens where it did, and catches up.
    ///
    /// # Errors
    /// When the network has no such peer, or as [`Network::start`].
    pub async fn start_peer(&mut self, name: &str) -> Result<(), NetworkError> {
        let unknown = || NetworkError::UnknownMember { name: name.to_owned() };
        let (organization, member) = self
            .organizations
            .iter()
            .find_map(|organization| {
                let mut members = organization.members(Role::Peer);
                Some((organization, members.find(|member| member.name() == name)?))
            })
            .ok_or_else(unknown)?;
        let port = self.addresses.get(name).ok_or_else(unknown)?.port();
        let sockets = sockets(member, port, &self.config).await?;
        let storage = Arc::clone(&self.storage);
        let signatures = Arc::clone(&self.signatures);
        let setup = PeerSetup::new(member, organization, sockets, storage, signatures, &self.config)?;
        peer::share_private_data(&setup.peer, self.peers.iter().map(NetworkPeer::node));
        for (block, channel) in self.genesis.iter().zip(&self.config.channels) {
            let source = self.orderer.source(channel).ok_or_else(unknown)?;
            setup.peer.join(block.clone(), Arc::new(source)).await?;
        }
        let started = setup.serve(&self.budget, self.stopping.child_token());
        let order: Vec<&str> = self
            .organizations
            .iter()
            .flat_map(|organization| organization.members(Role::Peer))
            .map(Member::name)
            .collect();
        self.peers.push(started);
        self.peers.sort_by_key(|peer| order.iter().position(|name| *name == peer.name()));
        self.meet_each_other();
        Ok(())
    }

    fn meet_each_other(&self) {
        for peer in &self.peers {
            peer.meet(&self.peers, &self.broadcaster);
        }
    }

    /// Ends all servers, orders what is in line, and closes the ledgers.
    pub async fn shutdown(self) {
        self.stopping.cancel();
        if let Err(error) = control::remove(&self.config.folder) {
            tracing::warn!(%error, "the socket of the folder stays");
        }
        // Readers that follow the chain wait for blocks; the end of the orderer ends them.
        self.orderer.stop().await;
        for server in self.servers {
            if let Err(error) = server.await {
                tracing::error!(%error, "a server ended badly");
            }
        }
        for peer in self.peers {
            peer.shutdown().await;
        }
    }

    async fn connect(&self, peer: &NetworkPeer) -> Result<tonic::transport::Channel, NetworkError> {
        connect(peer.name(), peer.address(), peer.tls_roots_pem()).await
    }
}

/// Connects to a peer under its own name.
pub(crate) async fn connect(
    name: &str,
    address: SocketAddr,
    roots_pem: &str,
) -> Result<tonic::transport::Channel, NetworkError> {
    let tls = ClientTls::builder(roots_pem).server_name(name).build().map_err(NetworkError::tls(name))?;
    let target = address.to_string().parse().map_err(NetworkError::tls(name))?;
    selvedge_tls::channel(&target, &tls.into(), &DialOptions::default())
        .await
        .map_err(NetworkError::tls(name))
}

/// Takes the folder and makes or loads everybody's certificates, which takes a while and reads files.
async fn identities(
    config: &NetworkConfig,
) -> Result<(Hold, Vec<Organization>, Organization, Edge), NetworkError> {
    let folder = config.folder.clone();
    let specs: Vec<OrganizationSpec> = config.organizations.iter().map(|config| config.spec()).collect();
    let made = tokio::task::spawn_blocking(move || {
        let hold = Hold::take(&folder)?;
        control::remove(&folder)?;
        let organizations = specs
            .into_iter()
            .map(|spec| Organization::open(&folder, spec))
            .collect::<Result<Vec<_>, NetworkError>>()?;
        let orderers = OrganizationSpec {
            kind: Kind::Orderers,
            domain: "example.com".to_owned(),
            msp_id: "OrdererMSP".to_owned(),
            nodes: vec!["orderer".to_owned()],
            users: Vec::new(),
        };
        let orderers = Organization::open(&folder, orderers)?;
        let edge = Edge::open(&folder, &organizations)?;
        Ok((hold, organizations, orderers, edge))
    });
    made.await.unwrap_or(Err(NetworkError::BrokenOff))
}

/// Opens the ports of a peer: its own, and, where builders may run chaincode, the one above it for that, as in Fabric's
/// test network. A chaincode is told the port when it is started, so any will do where the peer's own was free to choose.
async fn sockets(member: &Member, port: u16, config: &NetworkConfig) -> Result<Sockets, NetworkError> {
    let services = listen(member, port).await?;
    if config.builders.is_empty() {
        return Ok(Sockets { services, chaincode: None });
    }
    let port = if config.ports == Ports::Free { 0 } else { port.checked_add(1).unwrap_or(0) };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let registrar = Registrar::new()?;
    let tls = registrar.tls(&[member.name(), "localhost", &address.ip().to_string()])?;
    let name = member.name().to_owned();
    let listener = Listener::bind(address, ServerSecurity::Tls(tls), Limits::default())
        .await
        .map_err(|source| NetworkError::Port { name, port, source })?;
    Ok(Sockets { services, chaincode: Some((registrar, listener)) })
}

/// Opens the port of a peer or orderer. Clients show no certificate, as in Fabric's test network; what they send is
/// signed.
async fn listen(member: &Member, port: u16) -> Result<Listener, NetworkError> {
    let identity = Identity::from_pem(&member.tls().certificate_pem, member.tls().key_pem.as_str())
        .map_err(NetworkError::tls(member.name()))?;
    let tls = ServerTls::builder(identity)
        .without_client_certificates()
        .map_err(NetworkError::tls(member.name()))?;
    // Development identities serve nobody but this machine.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let name = member.name().to_owned();
    Listener::bind(address, ServerSecurity::Tls(tls), Limits::default())
        .await
        .map_err(|source| NetworkError::Port { name, port, source })
}

pub(crate) fn serve(
    name: &str,
    services: Services,
    listener: Listener,
    stopping: &CancellationToken,
) -> JoinHandle<()> {
    let name = name.to_owned();
    let stopped = stopping.clone().cancelled_owned();
    tokio::spawn(async move {
        if let Err(error) = services.serve(listener, stopped).await {
            tracing::error!(name, %error, "a server has failed");
        }
    })
}
