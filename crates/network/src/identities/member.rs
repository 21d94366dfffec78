use std::fs;
use std::path::{Path, PathBuf};

use selvedge_identity::SigningIdentity;
use selvedge_pki::{Authority, KeyPem, LeafSpec, Usage};

use super::layout::{self, Files};
use crate::NetworkError;

/// What an identity may be, by the organizational unit of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Endorses and commits.
    Peer,
    /// Orders.
    Orderer,
    /// Administers the organisation.
    Admin,
    /// Sends transactions.
    Client,
}

impl Role {
    /// The organizational unit that stands for the role, as Fabric's NodeOUs name it.
    pub fn organizational_unit(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Orderer => "orderer",
            Self::Admin => "admin",
            Self::Client => "client",
        }
    }

    /// Whether members of this role run a server.
    pub fn is_node(self) -> bool {
        matches!(self, Self::Peer | Self::Orderer)
    }
}

/// A certificate with its key, both PEM.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: KeyText,
}

/// A private key's PEM text, which is never printed.
#[derive(Clone)]
pub struct KeyText(zeroize::Zeroizing<String>);

impl KeyText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("KeyText(not shown)")
    }
}

impl From<&KeyPem> for KeyText {
    fn from(key: &KeyPem) -> Self {
        Self(zeroize::Zeroizing::new(key.as_str().to_owned()))
    }
}

/// One identity of an organisation with its files.
#[derive(Clone, Debug)]
pub struct Member {
    name: String,
    role: Role,
    msp_id: String,
    folder: PathBuf,
    signing: KeyPair,
    tls: KeyPair,
}

impl Member {
    /// The full name, such as `peer0.org1.example.com` or `User1@org1.example.com`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it may be.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The MSP it belongs to, such as `Org1MSP`.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The identity that signs.
    ///
    /// # Errors
    /// When the files of the member were damaged from outside.
    pub fn signing_identity(&self) -> Result<SigningIdentity, NetworkError> {
        SigningIdentity::from_pem(
            &self.msp_id,
            self.signing.certificate_pem.as_bytes(),
            self.signing.key_pem.as_str().as_bytes(),
        )
        .map_err(|source| NetworkError::Identity { name: self.name.clone(), source: Box::new(source) })
    }

    /// The certificate and key of the member's end of TLS: a server's for peers and orderers, a client's for
    /// users.
    pub fn tls(&self) -> &KeyPair {
        &self.tls
    }

    /// The folder with `msp` and `tls`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate file that applications take for the identity.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.join("msp/signcerts").join(layout::certificate_name(&self.name))
    }

    /// The key file that applications take for the identity.
    pub fn key_file(&self) -> PathBuf {
        self.folder.join("msp/keystore/priv_sk")
    }

    pub(super) fn issue(
        name: &str,
        role: Role,
        msp_id: &str,
        authorities: (&Authority, &Authority),
        folder: PathBuf,
    ) -> Result<Self, NetworkError> {
        let (signing_authority, tls_authority) = authorities;
        let signing = signing_authority.issue(&LeafSpec {
            common_name: name.to_owned(),
            organizational_units: vec![role.organizational_unit().to_owned()],
            usage: Usage::Signing,
            ..LeafSpec::default()
        })?;
        // Applications dial `localhost` and override the name, or the other way round: both are in the certificate.
        let sans = if role.is_node() {
            let short = name.split('.').next().unwrap_or(name);
            [name, short, "localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
        } else {
            Vec::new()
        };
        let usage = if role.is_node() { Usage::Both } else { Usage::Client };
        let tls = tls_authority.issue(&LeafSpec {
            common_name: name.to_owned(),
            sans,
            usage,
            ..LeafSpec::default()
        })?;
        Ok(Self {
            name: name.to_owned(),
            role,
            msp_id: msp_id.to_owned(),
            folder,
            signing: KeyPair { certificate_pem: signing.certificate_pem, key_pem: (&signing.key_pem).into() },
            tls: KeyPair { certificate_pem: tls.certificate_pem, key_pem: (&tls.key_pem).into() },
        })
    }

    pub(super) fn load(name: &str, role: Role, msp_id: &str, folder: PathBuf) -> Result<Self, NetworkError> {
        let (certificate, key) = layout::tls_names(role);
        let mut member = Self {
            name: name.to_owned(),
            role,
            msp_id: msp_id.to_owned(),
            signing: KeyPair { certificate_pem: String::new(), key_pem: KeyText(String::new().into()) },
            tls: KeyPair {
                certificate_pem: layout::read(&folder.join("tls").join(certificate))?,
                key_pem: KeyText(layout::read(&folder.join("tls").join(key))?.into()),
            },
            folder,
        };
        member.signing = KeyPair {
            certificate_pem: layout::read(&member.certificate_file())?,
            key_pem: KeyText(layout::read(&member.key_file())?.into()),
        };
        Ok(member)
    }

    pub(super) fn save(&self, files: &Files<'_>) -> Result<(), NetworkError> {
        files.msp(&self.folder.join("msp"))?;
        layout::write(&self.certificate_file(), self.signing.certificate_pem.as_bytes())?;
        let (certificate, key) = layout::tls_names(self.role);
        let tls = self.folder.join("tls");
        layout::write(&tls.join("ca.crt"), files.tls_authority_pem.as_bytes())?;
        layout::write(&tls.join(certificate), self.tls.certificate_pem.as_bytes())?;
        layout::write_secret(&tls.join(key), self.tls.key_pem.as_str())?;
        // The last one: it tells that all others are there.
        layout::write_secret(&self.key_file(), self.signing.key_pem.as_str())
    }
}

/// Whether a member's folder was saved before.
pub(super) fn exists(folder: &Path) -> bool {
    fs::metadata(folder.join("msp/keystore/priv_sk")).is_ok()
}
