//! The edge between peers and chaincode: an authority for chaincode servers, and packages that hold no private key.

use std::path::{Path, PathBuf};

use selvedge_package::{Connection, Package, PackageBuilder};
use selvedge_pki::{Authority, LeafSpec, Usage};

use crate::NetworkError;
use crate::identities::{Member, Organization, layout};

/// The names under which a peer's built-in builder finds the peer's own certificate and key for the edge.
const CLIENT_CERT: &str = "client_cert";
const CLIENT_KEY: &str = "client_key";

/// Where chaincode servers of a network get their certificates.
#[derive(Debug)]
pub struct Edge {
    folder: PathBuf,
    authority: Authority,
    client_authorities_pem: String,
}

/// A chaincode server's place at the edge: its files, and how peers reach it.
#[derive(Clone, Debug)]
pub struct EdgeServer {
    /// Where it listens, as peers dial it: `host:port`.
    pub address: String,
    /// Its certificate, which names the host of the address.
    pub certificate_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
    /// The authorities of the peers that may call it.
    pub client_authority_file: PathBuf,
    /// What peers read to reach it. The peer's own certificate and key are left for its builder to fill in, so that
    /// no private key travels in the package.
    pub connection: Connection,
}

impl Edge {
    /// The authority of the edge from its folder below `root`, or a new one.
    pub(crate) fn open(root: &Path, organizations: &[Organization]) -> Result<Self, NetworkError> {
        let folder = root.join("chaincode");
        let authority = layout::authority(&folder, "ca", "chaincode.example.com")?;
        let client_authorities_pem =
            organizations.iter().map(|organization| organization.tls_authority().certificate_pem()).collect();
        Ok(Self { folder, authority, client_authorities_pem })
    }

    /// The certificate of the authority that issues the servers' certificates, PEM.
    pub fn authority_pem(&self) -> &str {
        self.authority.certificate_pem()
    }

    /// The certificates of the authorities of all peers, PEM.
    pub fn client_authorities_pem(&self) -> &str {
        &self.client_authorities_pem
    }

    /// Makes the files of a chaincode server that peers will dial at `address` (`host:port`).
    ///
    /// # Errors
    /// When the address has no host, or a file cannot be written.
    pub fn server(&self, name: &str, address: &str) -> Result<EdgeServer, NetworkError> {
        let host = host_of(address)?;
        self.server_named(name, address, &[host])
    }

    /// Makes the files of a chaincode server with a certificate for the given hosts, whether or not the address is
    /// one of them.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn server_named(
        &self,
        name: &str,
        address: &str,
        hosts: &[&str],
    ) -> Result<EdgeServer, NetworkError> {
        let leaf = self.authority.issue(&LeafSpec {
            common_name: name.to_owned(),
            sans: hosts.iter().map(|host| (*host).to_owned()).collect(),
            usage: Usage::Server,
            ..LeafSpec::default()
        })?;
        let folder = self.folder.join(name);
        let certificate_file = folder.join("server.crt");
        let key_file = folder.join("server.key");
        let client_authority_file = folder.join("client-ca.crt");
        layout::write(&certificate_file, leaf.certificate_pem.as_bytes())?;
        layout::write_secret(&key_file, leaf.key_pem.as_str())?;
        layout::write(&client_authority_file, self.client_authorities_pem.as_bytes())?;
        let connection = Connection {
            address: address.to_owned(),
            tls_required: true,
            client_auth_required: true,
            root_cert: self.authority.certificate_pem().to_owned(),
            client_cert: format!("{{{{.{CLIENT_CERT}}}}}"),
            client_key: format!("{{{{.{CLIENT_KEY}}}}}"),
            ..Connection::default()
        };
        Ok(EdgeServer {
            address: address.to_owned(),
            certificate_file,
            key_file,
            client_authority_file,
            connection,
        })
    }

    /// What a peer's built-in builder fills into packages: the peer's name, and its TLS certificate and key, with
    /// which it is the client of chaincode servers.
    pub(crate) fn builder_configuration(peer: &Member) -> String {
        serde_json::json!({
            "peername": peer.name(),
            CLIENT_CERT: peer.tls().certificate_pem,
            CLIENT_KEY: peer.tls().key_pem.as_str(),
        })
        .to_string()
    }
}

impl EdgeServer {
    /// The package with which peers reach the server.
    ///
    /// # Errors
    /// When the label is none.
    pub fn package(&self, label: &str) -> Result<Package, NetworkError> {
        Ok(PackageBuilder::new(label)?.connection(&self.connection)?.build()?)
    }
}

fn host_of(address: &str) -> Result<&str, NetworkError> {
    let host = address.rsplit_once(':').map(|(host, _)| host.trim_matches(['[', ']']));
    host.filter(|host| !host.is_empty()).ok_or_else(|| NetworkError::Address { address: address.to_owned() })
}
