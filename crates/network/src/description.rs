//! What a user needs to know about a network, as people and as programs read it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::identities::{Organization, Role, layout};
use crate::{Holder, Keeping, Network, NetworkError};

const FILE: &str = "network.json";

/// More than the largest network that a machine runs needs.
const MOST_BYTES: u64 = 16 << 20;

/// A network with its endpoints and files; all paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The network's folder.
    pub folder: PathBuf,
    /// Whether ledgers survive the process.
    pub keeping: Keeping,
    /// The process that runs it, or ran it last.
    pub process: Holder,
    /// Its channels, which all peers have joined.
    pub channels: Vec<String>,
    /// The ordering service.
    pub orderer: Node,
    /// The organisations with peers.
    pub organizations: Vec<OrganizationDescription>,
}

/// An organisation with its endpoints and files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganizationDescription {
    /// Its MSP, such as `Org1MSP`.
    pub msp_id: String,
    /// Its domain, such as `org1.example.com`.
    pub domain: String,
    /// Its peers.
    pub peers: Vec<Node>,
    /// Its administrator and its users.
    pub users: Vec<User>,
    /// The environment in which Fabric's `peer` command acts as the organisation's administrator at its first peer.
    pub environment: BTreeMap<String, String>,
    /// The same as a file for a shell to source.
    pub environment_file: PathBuf,
}

/// A peer or an orderer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The full name, which its certificate has beside `localhost`.
    pub name: String,
    /// Its MSP.
    pub msp_id: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The certificate of the authority that its clients trust, PEM.
    pub tls_root: PathBuf,
}

/// Somebody who signs, with the files of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The full name, such as `User1@org1.example.com`.
    pub name: String,
    /// `admin` or `client`.
    pub role: String,
    /// The MSP folder, as Fabric's `peer` command takes it.
    pub msp: PathBuf,
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
}

impl Description {
    /// What a folder says of its network, which runs or ran; `None` if it never did.
    ///
    /// # Errors
    /// When the file cannot be read or is no description.
    pub fn read(folder: &Path) -> Result<Option<Self>, NetworkError> {
        let path = folder.join(FILE);
        if path.exists() { Self::read_file(&path).map(Some) } else { Ok(None) }
    }

    /// A description from its own file.
    ///
    /// # Errors
    /// When the file cannot be read or is no description.
    pub fn read_file(path: &Path) -> Result<Self, NetworkError> {
        let mut text = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text))
            .map_err(NetworkError::file("read", path))?;
        serde_json::from_slice(&text)
            .map_err(|source| NetworkError::Description { path: path.to_owned(), source })
    }

    /// The file in which the network's folder has it.
    pub fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Writes it as JSON; whoever reads the file meanwhile sees the old one or the new one, whole.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_file(&self, path: &Path) -> Result<(), NetworkError> {
        let described = |source| NetworkError::Description { path: path.to_owned(), source };
        let mut text = serde_json::to_vec_pretty(self).map_err(described)?;
        text.push(b'\n');
        // A device or a pipe is written to; it must not be replaced.
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            return fs::write(path, text).map_err(NetworkError::file("write", path));
        }
        layout::write(path, &text)
    }
}

impl OrganizationDescription {
    /// The environment as lines for a shell.
    pub fn exports(&self) -> String {
        self.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
    }
}

impl Network {
    /// The network as users see it.
    ///
    /// # Errors
    /// When the folder is gone.
    pub fn description(&self) -> Result<Description, NetworkError> {
        let folder = fs::canonicalize(self.folder()).map_err(NetworkError::file("find", self.folder()))?;
        let orderers = self.orderer_organization();
        let orderer = orderers.members(Role::Orderer).next().ok_or(NetworkError::NoPeers)?;
        let organizations = self.organizations().iter();
        Ok(Description {
            keeping: self.keeping(),
            process: self.holder().clone(),
            channels: self.channels().to_vec(),
            orderer: Node {
                name: orderer.name().to_owned(),
                msp_id: orderer.msp_id().to_owned(),
                address: self.orderer_address(),
                tls_root: absolute(self.folder(), &folder, orderers.tls_authority_file()),
            },
            organizations: organizations
                .map(|organization| self.describe(organization, &folder))
                .collect::<Result<_, _>>()?,
            folder,
        })
    }

    /// Leaves the description and the environments of the organisations in the network's folder.
    pub(crate) fn leave_description(&self) -> Result<Description, NetworkError> {
        let description = self.description()?;
        for organization in &description.organizations {
            layout::write(&organization.environment_file, organization.exports().as_bytes())?;
        }
        description.write_file(&description.file())?;
        Ok(description)
    }

    fn describe(
        &self,
        organization: &Organization,
        folder: &Path,
    ) -> Result<OrganizationDescription, NetworkError> {
        let absolute = |path| absolute(self.folder(), folder, path);
        let tls_root = absolute(organization.tls_authority_file());
        let peers = self.peers().iter().filter(|peer| peer.msp_id() == organization.msp_id());
        let peers: Vec<Node> = peers
            .map(|peer| Node {
                name: peer.name().to_owned(),
                msp_id: peer.msp_id().to_owned(),
                address: peer.address(),
                tls_root: tls_root.clone(),
            })
            .collect();
        let users = organization.members(Role::Admin).chain(organization.members(Role::Client));
        let users = users.map(|member| User {
            name: member.name().to_owned(),
            role: member.role().organizational_unit().to_owned(),
            msp: absolute(member.folder().join("msp")),
            certificate: absolute(member.certificate_file()),
            key: absolute(member.key_file()),
        });
        let admin = absolute(organization.admin()?.folder().join("msp"));
        let first = peers.first().ok_or(NetworkError::NoPeers)?;
        let environment = [
            ("CORE_PEER_TLS_ENABLED", "true".to_owned()),
            ("CORE_PEER_LOCALMSPID", organization.msp_id().to_owned()),
            ("CORE_PEER_TLS_ROOTCERT_FILE", tls_root.display().to_string()),
            ("CORE_PEER_MSPCONFIGPATH", admin.display().to_string()),
            ("CORE_PEER_ADDRESS", first.address.to_string()),
        ];
        Ok(OrganizationDescription {
            msp_id: organization.msp_id().to_owned(),
            domain: organization.domain().to_owned(),
            users: users.collect(),
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            environment_file: folder.join(format!("{}.env", organization.domain())),
            peers,
        })
    }
}

/// A path of the network below its folder's absolute name.
fn absolute(named: &Path, folder: &Path, path: PathBuf) -> PathBuf {
    path.strip_prefix(named).map(|rest| folder.join(rest)).unwrap_or(path)
}

/// A word as a shell takes it, so that a command that has it can be copied.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@+,=%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("/tmp/a-b_c.d:1@x"), "/tmp/a-b_c.d:1@x");
        assert_eq!(quoted("my folder"), "'my folder'");
        assert_eq!(quoted("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }
}
