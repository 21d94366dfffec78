//! The sample chaincode `asset-transfer-basic` in a process of its own, under mutual TLS, on a network of this process.

mod error;
mod event;
mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use selvedge_client::{Definition, Gateway, ProposalBuilder};
use serde::Serialize;

pub use self::error::SampleError;
pub use self::event::{Refused, ServerEvent};
pub(crate) use self::process::{Process, Reservation};
use crate::identities::layout;
use crate::{Deployment, EdgeServer, Network, NetworkError};

/// The name under which clients call the sample.
pub(crate) const NAME: &str = "basic";
/// The version of its definition.
pub(crate) const VERSION: &str = "1.0";
/// The label of its package.
pub(crate) const LABEL: &str = "basic_1.0";

/// The sample on a network; it runs until it is stopped or dropped.
pub struct Sample {
    process: Process,
    facts: SampleFacts,
}

/// Where the sample is and what it has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SampleFacts {
    /// The name under which clients call it.
    pub chaincode: String,
    /// Its channel.
    pub channel: String,
    /// Its package, which every peer has.
    pub package_id: String,
    /// Where its process listens.
    pub address: String,
    /// Its process.
    pub pid: u32,
    /// How its connections are secured: `mutual-tls`.
    pub security: String,
    /// The transaction that gave the ledger its first assets; none where it had some.
    pub first: Option<FirstTransaction>,
    /// How many assets the ledger has.
    pub assets: usize,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirstTransaction {
    /// Its id.
    pub tx_id: String,
    /// Its block.
    pub block: u64,
}

/// What its peers agree on.
pub(crate) fn definition() -> Definition {
    Definition { name: NAME.to_owned(), version: VERSION.to_owned(), sequence: 1, ..Definition::default() }
}

impl Sample {
    /// Starts `program`, which takes `sample asset-transfer-basic`, and brings it onto the network's first channel. What
    /// an earlier start has done is not done again: it keeps its port if that is free, its definition, and its assets.
    ///
    /// `progress` is told what is being done.
    ///
    /// # Errors
    /// When the process does not begin to listen, the network refuses the chaincode or has another one of its name, or a
    /// transaction fails.
    pub async fn start(
        network: &Network,
        program: &Path,
        progress: &(dyn Fn(&str) + Sync),
    ) -> Result<Self, SampleError> {
        let channel = network.channels().first().ok_or(NetworkError::NoPeers)?;
        let (place, reservation) = place(network)?;
        let package = place.package(LABEL)?;
        let package_id = package.id().to_string();
        progress("Starting the sample and bringing it onto the channel");
        // The process begins to listen while the organisations agree on it.
        let deployment = Deployment {
            channel: channel.clone(),
            definition: definition(),
            package: package.bytes().clone(),
        };
        let (process, deployed) = tokio::join!(
            Process::start(program, &package_id, &place, reservation),
            network.cut_while(channel, network.deploy_missing(&deployment, &package_id)),
        );
        let process = process?;
        deployed?;
        progress("Committing its first transaction");
        let (peer, user) = network.first_user()?;
        let gateway = network.gateway(peer, user).await?;
        let (first, assets) = network.cut_while(channel, fill(network, &gateway, channel)).await?;
        let facts = SampleFacts {
            chaincode: NAME.to_owned(),
            channel: channel.clone(),
            package_id,
            address: place.address,
            pid: process.pid,
            security: process.security.clone(),
            first,
            assets,
        };
        Ok(Self { process, facts })
    }

    /// Where it is and what it has done.
    pub fn facts(&self) -> &SampleFacts {
        &self.facts
    }

    /// The next thing that its process tells; none when it has ended.
    pub async fn event(&mut self) -> Option<ServerEvent> {
        self.process.event().await
    }

    /// Asks the process to end and waits until it has.
    ///
    /// # Errors
    /// When it ends badly, or does not.
    pub async fn stop(self) -> Result<(), SampleError> {
        self.process.stop().await
    }
}

/// The sample's place at the edge, at the port it had before if that is free.
fn place(network: &Network) -> Result<(EdgeServer, Reservation), SampleError> {
    let file = address_file(network);
    let before = layout::read(&file).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    let reservation = match before.map(Reservation::at) {
        Some(Ok(reservation)) => reservation,
        Some(Err(_)) | None => Reservation::new()?,
    };
    let place = network.edge().server(NAME, &reservation.address.to_string())?;
    layout::write(&file, place.address.as_bytes())?;
    Ok((place, reservation))
}

fn address_file(network: &Network) -> PathBuf {
    network.folder().join("chaincode").join(NAME).join("address")
}

/// Gives the ledger its first assets, if it has none. The first call reaches the chaincode, and so waits for it.
async fn fill(
    network: &Network,
    gateway: &Gateway,
    channel: &str,
) -> Result<(Option<FirstTransaction>, usize), SampleError> {
    let call = |function: &'static str| ProposalBuilder::new(channel, NAME).arg(function);
    let assets = count(gateway, call("GetAllAssets")).await?;
    if assets > 0 {
        return Ok((None, assets));
    }
    let (submitted, commit) = gateway.submit_and_wait(call("InitLedger"), &[]).await?;
    network.wait_for_block(channel, commit.block).await?;
    let first = FirstTransaction { tx_id: submitted.tx_id, block: commit.block };
    Ok((Some(first), count(gateway, call("GetAllAssets")).await?))
}

async fn count(gateway: &Gateway, call: ProposalBuilder) -> Result<usize, SampleError> {
    let payload = gateway.evaluate(call).await?.payload;
    let assets = serde_json::from_slice::<Vec<serde_json::Value>>(&payload);
    assets
        .map(|assets| assets.len())
        .map_err(|_| SampleError::Answer(String::from_utf8_lossy(&payload).into_owned()))
}
