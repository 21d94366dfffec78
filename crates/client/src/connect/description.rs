//! The description of a network: a JSON file that says where its peers are and which files identify its users.
//!
//! Fields that are not read here may be there. Relative paths start at the file's own folder.

use std::path::{Path, PathBuf};

use selvedge_identity::SigningIdentity;
use serde::Deserialize;

use super::{ConnectError, msp};

#[derive(Debug, Deserialize)]
pub(super) struct Description {
    organizations: Vec<Organization>,
    #[serde(default)]
    pub(super) channels: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Organization {
    msp_id: String,
    #[serde(default)]
    peers: Vec<Peer>,
    #[serde(default)]
    users: Vec<User>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Peer {
    /// The full name, which is also in its certificate.
    pub(super) name: String,
    /// `host:port`.
    pub(super) address: String,
    /// The file of the authority of its TLS certificate.
    pub(super) tls_root: PathBuf,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
    role: Role,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Installs, approves, commits.
    Admin,
    /// Sends transactions.
    Client,
}

impl Description {
    pub(super) fn read(path: &Path) -> Result<Self, ConnectError> {
        let content = super::read(path).map_err(|error| match error {
            ConnectError::File { path, source } => ConnectError::NoDescription { path, source },
            error => error,
        })?;
        let mut description: Self = serde_json::from_slice(&content)
            .map_err(|source| ConnectError::Description { path: path.to_owned(), source })?;
        for organization in &mut description.organizations {
            for peer in &mut organization.peers {
                peer.tls_root = beside(path, &peer.tls_root);
            }
            for user in &mut organization.users {
                user.certificate = beside(path, &user.certificate);
                user.key = beside(path, &user.key);
            }
        }
        Ok(description)
    }

    /// The peer of a name or address, or the first; none for an address that is not described.
    pub(super) fn peer(&self, asked: Option<&str>) -> Result<Option<Peer>, ConnectError> {
        let mut peers = self.organizations.iter().flat_map(|organization| &organization.peers);
        let found = match asked {
            None => peers.next(),
            Some(asked) => peers.find(|peer| peer.name == asked || peer.address == asked),
        };
        if found.is_some() || asked.is_some_and(|asked| asked.contains(':')) {
            return Ok(found.cloned());
        }
        let names = self.organizations.iter().flat_map(|organization| &organization.peers);
        Err(unknown("peer", asked, names.map(|peer| peer.name.as_str())))
    }

    /// The identity of a name, or the first of the role in the peer's organisation.
    pub(super) fn identity(
        &self,
        asked: Option<&str>,
        peer: Option<&Peer>,
        role: Role,
    ) -> Result<SigningIdentity, ConnectError> {
        let users = || {
            self.organizations
                .iter()
                .flat_map(|organization| organization.users.iter().map(move |user| (organization, user)))
        };
        let at_peer = |organization: &Organization| match peer {
            Some(peer) => organization.peers.iter().any(|other| other.name == peer.name),
            None => true,
        };
        let found = match asked {
            Some(asked) => users().find(|(_, user)| user.name == asked),
            None => users().find(|(organization, user)| user.role == role && at_peer(organization)),
        };
        let (organization, user) =
            found.ok_or_else(|| unknown("user", asked, users().map(|(_, user)| user.name.as_str())))?;
        msp::from_files(&organization.msp_id, &user.certificate, &user.key)
    }
}

fn unknown<'a>(
    kind: &'static str,
    asked: Option<&str>,
    names: impl Iterator<Item = &'a str>,
) -> ConnectError {
    ConnectError::Unknown {
        kind,
        asked: asked.map(ToOwned::to_owned),
        known: names.map(Into::into).collect(),
    }
}

/// A path of a file that may be relative to the file that names it.
fn beside(file: &Path, named: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}
