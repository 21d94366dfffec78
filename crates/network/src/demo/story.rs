//! The order of the story, and what is open while it is told.

use std::path::Path;

use tokio::task::JoinHandle;

use super::step::{Recorder, Told};
use super::strangers::{self, Stack};
use super::transactions::Transactions;
use super::{DemoConfig, DemoError};
use crate::sample::{self, LABEL, NAME, Process, Reservation, VERSION};
use crate::{EdgeServer, Network, NetworkConfig, NetworkError, Ports};

/// What has been opened so far; whatever it is, [`Story::end`] closes it.
#[derive(Default)]
pub(super) struct Story {
    /// The network while it starts: what is half done then cannot be ended before it is done, or it would still
    /// write into a folder that is gone.
    starting: Option<JoinHandle<Result<Network, NetworkError>>>,
    network: Option<Network>,
    chaincode: Option<Process>,
}

/// A chaincode server's place and the package with which peers find it.
struct Packaged {
    place: EdgeServer,
    package: selvedge_package::Package,
}

impl Story {
    /// Plays it to its end or to the first step without which the others make no sense. `false` says that a step
    /// did not do what it should.
    pub(super) async fn play(
        &mut self,
        recorder: &mut Recorder<'_>,
        config: &DemoConfig,
        folder: &Path,
    ) -> bool {
        self.try_play(recorder, config, folder).await.unwrap_or(false)
    }

    /// Closes everything.
    pub(super) async fn end(self) -> Result<((), Told), DemoError> {
        let mut told = Told::default();
        let stopped = match self.chaincode {
            Some(chaincode) => {
                let pid = chaincode.pid;
                let stopped = chaincode.stop().await;
                told = told.fact("chaincode", format!("process {pid} has ended"));
                stopped
            }
            None => Ok(()),
        };
        let network = match self.starting {
            // A start that failed has nothing that would have to be ended.
            Some(starting) => starting.await.ok().and_then(Result::ok),
            None => self.network,
        };
        if let Some(network) = network {
            network.shutdown().await;
            told = told.fact("network", "every port is closed");
        }
        stopped?;
        Ok(((), told))
    }

    async fn try_play(
        &mut self,
        recorder: &mut Recorder<'_>,
        config: &DemoConfig,
        folder: &Path,
    ) -> Option<bool> {
        let title = "Start the network";
        let starting = self.starting.insert(start(config, folder));
        let network = recorder.step("network", title, started(starting)).await;
        self.starting = None;
        let network = network?;
        let network = &*self.network.insert(network);
        let channel = network.channels().first()?;

        let title = "Make the chaincode server's certificate";
        let (place, reservation) = recorder.step("certificate", title, make_place(network)).await?;
        let title = "Package connection.json";
        let packaged = recorder.step("package", title, package(place)).await?;
        self.chaincode = Some(deploy(recorder, network, channel, &packaged, config, reservation).await?);
        let chaincode = self.chaincode.as_mut()?;

        let title = "Connect to a peer's gateway as a user";
        let gateway = recorder.step("gateway", title, connect(network)).await?;
        Transactions { gateway: &gateway, channel, chaincode: NAME }.run(recorder).await?;

        let title = "Look for other TLS stacks on this machine";
        let stacks = recorder.step("stacks", title, stacks()).await?;
        Some(strangers::run(recorder, network, &packaged.place, chaincode, &stacks).await)
    }
}

fn start(config: &DemoConfig, folder: &Path) -> JoinHandle<Result<Network, NetworkError>> {
    tokio::spawn(Network::start(NetworkConfig {
        ports: Ports::Free,
        ..NetworkConfig::test_network(folder.join("network"), config.organizations)
    }))
}

async fn started(
    starting: &mut JoinHandle<Result<Network, NetworkError>>,
) -> Result<(Network, Told), DemoError> {
    let network = starting.await.map_err(|error| DemoError::unexpected("a network", error.to_string()))??;
    let mut told = Told::default();
    for peer in network.peers() {
        told = told.fact(peer.msp_id(), format!("{} at {}", peer.name(), peer.address()));
    }
    let told = told
        .fact("orderer", network.orderer_address().to_string())
        .fact("channel", network.channels().join(", "));
    Ok((network, told))
}

async fn make_place(network: &Network) -> Result<((EdgeServer, Reservation), Told), DemoError> {
    let reservation = Reservation::new()?;
    let place = network.edge().server(NAME, &reservation.address.to_string())?;
    let told = Told::default()
        .fact("for", reservation.address.ip().to_string())
        .fact("clients", "let in with a certificate of one of the organisations' TLS authorities");
    Ok(((place, reservation), told))
}

async fn package(place: EdgeServer) -> Result<(Packaged, Told), DemoError> {
    let package = place.package(LABEL)?;
    let told = Told::default()
        .fact("address", place.address.clone())
        .fact("package id", package.id().to_string())
        .fact("private keys", "none in the package; each peer's builder fills in its own");
    Ok((Packaged { place, package }, told))
}

/// Installs, approves and commits the chaincode and starts its process.
async fn deploy(
    recorder: &mut Recorder<'_>,
    network: &Network,
    channel: &str,
    packaged: &Packaged,
    config: &DemoConfig,
    reservation: Reservation,
) -> Option<Process> {
    let definition = sample::definition();
    let package_id = packaged.package.id().to_string();
    let install = async {
        let installed = network.install(&packaged.package.bytes().clone()).await?;
        if installed != package_id {
            let seen = format!("the peers call it {installed}");
            return Err(DemoError::unexpected(format!("the package id {package_id}"), seen));
        }
        Ok(((), Told::default().fact("peers", network.peers().len().to_string())))
    };
    recorder.step("install", "Install it on every peer", install).await?;
    let approve = async {
        network.approve(channel, &definition, &package_id).await?;
        Ok::<_, NetworkError>(((), Told::default().fact("approved by", names(network))))
    };
    recorder.step("approve", "Approve its definition for every organisation", approve).await?;
    let commit = async {
        network.commit(channel, &definition).await?;
        let told = Told::default().fact("committed", format!("{NAME} {VERSION}, sequence 1, on {channel}"));
        Ok::<_, NetworkError>(((), told))
    };
    recorder.step("commit", "Commit the definition to the channel", commit).await?;
    let serve = async {
        let chaincode = Process::start(&config.program, &package_id, &packaged.place, reservation).await?;
        let told = Told::default()
            .fact("process", chaincode.pid.to_string())
            .fact("listens", format!("{}, {}", packaged.place.address, chaincode.security));
        if chaincode.security != "mutual-tls" {
            return Err(DemoError::unexpected("mutual TLS", format!("it is {}", chaincode.security)));
        }
        Ok((chaincode, told))
    };
    recorder.step("chaincode", "Start the chaincode in a process of its own", serve).await
}

async fn connect(network: &Network) -> Result<(selvedge_client::Gateway, Told), DemoError> {
    let (peer, user) = network.first_user()?;
    let gateway = network.gateway(peer, user).await?;
    let told = Told::default().fact("as", user.name()).fact("at", peer.name());
    Ok((gateway, told))
}

async fn stacks() -> Result<(Vec<Stack>, Told), DemoError> {
    let (foreign, absent) = Stack::foreign().await;
    let mut told = Told::default();
    for stack in &foreign {
        told = told.fact("found", stack.title());
    }
    for name in absent {
        told = told.fact("absent", format!("{name} is not on the PATH, so its part is left out"));
    }
    let mut stacks = vec![Stack::Selvedge];
    stacks.extend(foreign);
    Ok((stacks, told))
}

fn names(network: &Network) -> String {
    let names: Vec<&str> = network.organizations().iter().map(|organization| organization.msp_id()).collect();
    names.join(", ")
}
