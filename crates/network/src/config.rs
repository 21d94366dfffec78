use std::path::PathBuf;
use std::time::Duration;

use selvedge_orderer::Cutting;
use selvedge_peer::endorser::Limits;
use selvedge_peer::host::{ExternalBuilder, sample_runtime_params};
use selvedge_proto::protos::ChaincodeAdditionalParams;
use serde::{Deserialize, Serialize};

use crate::identities::{Kind, OrganizationSpec};

/// The first port of Fabric's test network: the orderer's. Peers begin at the one after it.
const ORDERER_PORT: u16 = 7050;
/// The port distance between the first peers of organisations.
const PEER_PORT_STEP: u16 = 2000;
/// The port distance between the peers of one organisation.
const SIBLING_PORT_STEP: u16 = 100;

/// What a network is made of.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// The network's folder: identities, genesis blocks, and, unless in memory, the ledgers. What is there already
    /// is used again.
    pub folder: PathBuf,
    /// Whether ledgers survive the process.
    pub keeping: Keeping,
    /// The organisations with peers.
    pub organizations: Vec<OrganizationConfig>,
    /// The channels, which all organisations join.
    pub channels: Vec<String>,
    /// Where the servers listen.
    pub ports: Ports,
    /// When the orderer closes a block that is not full.
    pub cutting: Cutting,
    /// How long peers wait for chaincode.
    pub chaincode: ChaincodeTimeouts,
    /// What peers offer chaincode, and how much it may ask for.
    pub requests: RequestSettings,
    /// Programs that turn packages into something that runs (`chaincode.externalBuilders`). Every peer tries them in
    /// this order, and the built-in ccaas builder after them.
    pub builders: Vec<ExternalBuilder>,
}

/// What peers offer chaincode, and how much it may ask for. The defaults are those of Fabric's sample core.yaml, but for
/// rich queries.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestSettings {
    /// The most results of one query (`ledger.state.totalQueryLimit`, 100 000); more are left out without a word.
    pub total_query_limit: usize,
    /// Whether keys have a history (`ledger.history.enableHistoryDatabase`, on).
    pub history: bool,
    /// Whether chaincode may ask rich queries (on), as with `ledger.state.stateDatabase` at `CouchDB`. Without them peers
    /// answer as those of `goleveldb` do.
    pub rich_queries: bool,
    /// What READY offers (`chaincode.runtimeParams`, both operations in batches of 1000); `None` offers nothing and
    /// leaves READY empty, as peers up to 3.0 do.
    pub runtime_params: Option<ChaincodeAdditionalParams>,
}

/// How long peers wait for chaincode. The defaults are those of Fabric's sample core.yaml.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChaincodeTimeouts {
    /// For building, dialling and registering together (`chaincode.startuptimeout`, 300 s). At least 5 s.
    pub startup: Duration,
    /// For one transaction (`chaincode.executetimeout`, 30 s). Below a second it counts as 30 s.
    pub execute: Duration,
    /// For the builders of an installation together (`chaincode.installTimeout`, 300 s).
    pub install: Duration,
}

/// An organisation with peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationConfig {
    /// The domain, such as `org1.example.com`.
    pub domain: String,
    /// The MSP's name, such as `Org1MSP`.
    pub msp_id: String,
    /// How many peers it has.
    pub peers: usize,
    /// How many users it has besides its administrator.
    pub users: usize,
}

/// Where ledgers are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keeping {
    /// On disk; a committed transaction survives a loss of power.
    Disk,
    /// In memory; they end with the process.
    Memory,
}

/// Where servers listen. It is always the loopback interface: development identities serve nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Those of Fabric's test network: the orderer at 7050, peers at 7051, 9051, and so on.
    TestNetwork,
    /// The orderer at this port and the peers above it, as far apart as in the test network: those of an organisation
    /// by 100, organisations by 2000.
    From(u16),
    /// Whatever is free.
    Free,
}

impl NetworkConfig {
    /// A network of `organizations` organisations with one peer and one user each, named as in Fabric's test
    /// network, with the channel `mychannel`, on disk and at the test network's ports.
    pub fn test_network(folder: impl Into<PathBuf>, organizations: usize) -> Self {
        let organization = |number| OrganizationConfig {
            domain: format!("org{number}.example.com"),
            msp_id: format!("Org{number}MSP"),
            peers: 1,
            users: 1,
        };
        Self {
            folder: folder.into(),
            keeping: Keeping::Disk,
            organizations: (1..=organizations).map(organization).collect(),
            channels: vec!["mychannel".to_owned()],
            ports: Ports::TestNetwork,
            cutting: Cutting::default(),
            chaincode: ChaincodeTimeouts::default(),
            requests: RequestSettings::default(),
            builders: Vec::new(),
        }
    }
}

impl Default for ChaincodeTimeouts {
    fn default() -> Self {
        Self {
            startup: Duration::from_secs(300),
            execute: Duration::from_secs(30),
            install: Duration::from_secs(300),
        }
    }
}

impl Default for RequestSettings {
    fn default() -> Self {
        Self {
            total_query_limit: Limits::default().total_results,
            history: true,
            rich_queries: true,
            runtime_params: Some(sample_runtime_params()),
        }
    }
}

impl OrganizationConfig {
    pub(crate) fn spec(&self) -> OrganizationSpec {
        OrganizationSpec {
            kind: Kind::Peers,
            domain: self.domain.clone(),
            msp_id: self.msp_id.clone(),
            nodes: (0..self.peers).map(|number| format!("peer{number}")).collect(),
            users: (1..=self.users).map(|number| format!("User{number}")).collect(),
        }
    }
}

impl Ports {
    /// The orderer's port; 0 lets the system choose.
    pub(crate) fn orderer(self) -> u16 {
        match self {
            Self::TestNetwork => ORDERER_PORT,
            Self::From(base) => base,
            Self::Free => 0,
        }
    }

    /// The port of a peer by its organisation's and its own number, both from 0; 0 lets the system choose.
    pub(crate) fn peer(self, organization: usize, peer: usize) -> u16 {
        let offset = |count: usize, step: u16| u16::try_from(count).ok()?.checked_mul(step);
        if self == Self::Free {
            return 0;
        }
        let first = self.orderer().checked_add(1);
        let port = offset(organization, PEER_PORT_STEP)
            .zip(offset(peer, SIBLING_PORT_STEP))
            .and_then(|(organization, peer)| first?.checked_add(organization)?.checked_add(peer));
        // Beyond what the scheme has room for, any free port will do.
        port.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::Ports;

    #[test]
    fn ports_are_those_of_the_test_network() {
        assert_eq!(Ports::TestNetwork.orderer(), 7050);
        assert_eq!(Ports::TestNetwork.peer(0, 0), 7051);
        assert_eq!(Ports::TestNetwork.peer(1, 0), 9051);
        assert_eq!(Ports::TestNetwork.peer(1, 1), 9151);
        assert_eq!(Ports::TestNetwork.peer(40, 0), 0);
        assert_eq!(Ports::Free.peer(1, 0), 0);
        assert_eq!(Ports::From(20_000).orderer(), 20_000);
        assert_eq!(Ports::From(20_000).peer(1, 2), 22_201);
        assert_eq!(Ports::From(u16::MAX).peer(0, 0), 0);
    }
}
