use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use selvedge_pki::Authority;

use super::layout::{self, Files};
use super::member;
use super::{Member, Role};
use crate::NetworkError;

/// Whether an organisation has peers or orderers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Has peers and users.
    Peers,
    /// Has orderers.
    Orderers,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Peers => "peerOrganizations",
            Self::Orderers => "ordererOrganizations",
        }
    }

    fn members(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Orderers => "orderers",
        }
    }
}

/// What an organisation is called and whom it has.
#[derive(Clone, Debug)]
pub struct OrganizationSpec {
    /// Peers or orderers.
    pub kind: Kind,
    /// The domain, such as `org1.example.com`.
    pub domain: String,
    /// The MSP's name, such as `Org1MSP`.
    pub msp_id: String,
    /// The host names of its peers or orderers, such as `peer0`.
    pub nodes: Vec<String>,
    /// The names of its users, such as `User1`; an `Admin` is always made.
    pub users: Vec<String>,
}

/// An organisation with its authorities and members.
#[derive(Debug)]
pub struct Organization {
    spec: OrganizationSpec,
    folder: PathBuf,
    authority: Authority,
    tls_authority: Authority,
    members: BTreeMap<String, Member>,
}

impl Organization {
    /// Loads the organisation from its folder under `root`; what is missing there is made and saved.
    ///
    /// # Errors
    /// When a file cannot be read or written, or holds something else than it should.
    pub fn open(root: &Path, spec: OrganizationSpec) -> Result<Self, NetworkError> {
        let folder = root.join(spec.kind.folder()).join(&spec.domain);
        let issuer = layout::authority(&folder, "ca", &spec.domain)?;
        let tls_issuer = layout::authority(&folder, "tlsca", &spec.domain)?;
        let mut organization =
            Self { spec, folder, authority: issuer, tls_authority: tls_issuer, members: BTreeMap::new() };
        organization.files().msp(&organization.folder.join("msp"))?;
        let node_role = match organization.spec.kind {
            Kind::Peers => Role::Peer,
            Kind::Orderers => Role::Orderer,
        };
        for node in organization.spec.nodes.clone() {
            let name = format!("{node}.{}", organization.spec.domain);
            organization.add(name, node_role)?;
        }
        for user in organization.spec.users.clone() {
            let name = format!("{user}@{}", organization.spec.domain);
            organization.add(name, Role::Client)?;
        }
        let admin = format!("Admin@{}", organization.spec.domain);
        organization.add(admin, Role::Admin)?;
        Ok(organization)
    }

    /// The domain, such as `org1.example.com`.
    pub fn domain(&self) -> &str {
        &self.spec.domain
    }

    /// The MSP's name, such as `Org1MSP`.
    pub fn msp_id(&self) -> &str {
        &self.spec.msp_id
    }

    /// The authority that issues the organisation's identities.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority that issues the organisation's TLS certificates.
    pub fn tls_authority(&self) -> &Authority {
        &self.tls_authority
    }

    /// The file with the certificate of the TLS authority, which clients of its servers trust.
    pub fn tls_authority_file(&self) -> PathBuf {
        self.folder.join("tlsca").join(layout::certificate_name(&format!("tlsca.{}", self.spec.domain)))
    }

    /// A member by its full name, such as `User1@org1.example.com`.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.get(name)
    }

    /// The members of one role, by name.
    pub fn members(&self, role: Role) -> impl Iterator<Item = &Member> {
        self.members.values().filter(move |member| member.role() == role)
    }

    /// The organisation's administrator.
    ///
    /// # Errors
    /// Never for an organisation that [`Organization::open`] made.
    pub fn admin(&self) -> Result<&Member, NetworkError> {
        self.members(Role::Admin)
            .next()
            .ok_or_else(|| NetworkError::UnknownMember { name: format!("Admin@{}", self.spec.domain) })
    }

    fn add(&mut self, name: String, role: Role) -> Result<(), NetworkError> {
        let group = if role.is_node() { self.spec.kind.members() } else { "users" };
        let folder = self.folder.join(group).join(&name);
        let member = if member::exists(&folder) {
            Member::load(&name, role, &self.spec.msp_id, folder)?
        } else {
            let authorities = (&self.authority, &self.tls_authority);
            let member = Member::issue(&name, role, &self.spec.msp_id, authorities, folder)?;
            member.save(&self.files())?;
            member
        };
        self.members.insert(name, member);
        Ok(())
    }

    fn files(&self) -> Files<'_> {
        Files {
            domain: &self.spec.domain,
            authority_pem: self.authority.certificate_pem(),
            tls_authority_pem: self.tls_authority.certificate_pem(),
        }
    }
}
