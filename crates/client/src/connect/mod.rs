//! How programs reach a peer, and in whose name: options first; then the network's description, if one is given; then
//! the environment variables of Fabric's peer command.

mod description;
mod error;
mod msp;

use std::fs::File;
use std::io::Read;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_identity::SigningIdentity;
use selvedge_tls::{ClientSecurity, ClientTls, DialOptions, Identity, Target};
use tonic::transport::Channel;

pub use self::description::Role;
use self::description::{Description, Peer};
pub use self::error::{ConnectError, NO_DESCRIPTION};
use crate::{Deliver, Gateway, Lifecycle};

/// The largest file that is read here: a description of thousands of peers, or a bundle of authorities.
const MOST_BYTES: u64 = 16 << 20;

/// Where a peer is and who calls it. With the feature `clap` these are the flags of a command.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "clap", derive(clap::Args), command(next_help_heading = "Connection"))]
pub struct ConnectionOptions {
    /// The description of a network, as `selvedge up --config-out` writes it; the variables CORE_PEER_… do not count
    /// then
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG"))]
    pub config: Option<PathBuf>,
    /// The peer: its address host:port [env: CORE_PEER_ADDRESS], or its name in the description (default: the first)
    #[cfg_attr(feature = "clap", arg(long, value_name = "PEER"))]
    pub peer: Option<String>,
    /// The user in the description (default: the administrator for chaincode commands, else the first client)
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "NAME", requires = "config", conflicts_with = "msp_dir")
    )]
    pub user: Option<String>,
    /// The MSP of the identity [env: CORE_PEER_LOCALMSPID]
    #[cfg_attr(feature = "clap", arg(long, value_name = "MSP"))]
    pub msp_id: Option<String>,
    /// The identity's MSP folder, with signcerts and keystore [env: CORE_PEER_MSPCONFIGPATH]
    #[cfg_attr(feature = "clap", arg(long, value_name = "DIR"))]
    pub msp_dir: Option<PathBuf>,
    /// The authority of the peer's TLS certificate, PEM [env: CORE_PEER_TLS_ROOTCERT_FILE]
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE"))]
    pub tls_root: Option<PathBuf>,
    /// The name in the peer's certificate, when it is not the address's host
    /// [env: CORE_PEER_TLS_SERVERHOSTOVERRIDE]
    #[cfg_attr(feature = "clap", arg(long, value_name = "HOST"))]
    pub server_name: Option<String>,
    /// A certificate for peers that demand one [env: CORE_PEER_TLS_CLIENTCERT_FILE]
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE"))]
    pub tls_cert: Option<PathBuf>,
    /// The key of that certificate [env: CORE_PEER_TLS_CLIENTKEY_FILE]
    #[cfg_attr(feature = "clap", arg(long, value_name = "FILE"))]
    pub tls_key: Option<PathBuf>,
    /// Dial without TLS: anybody on the way can read and change what is sent
    #[cfg_attr(feature = "clap", arg(long, conflicts_with_all = ["tls_root", "tls_cert", "tls_key"]))]
    pub plaintext: bool,
}

/// Where to go, how, and in whose name; nothing is connected yet.
pub struct Settings {
    target: Target,
    security: ClientSecurity,
    identity: Arc<SigningIdentity>,
    channels: Vec<String>,
}

impl ConnectionOptions {
    /// Puts the settings together; `role` chooses the user of a description when none is named.
    ///
    /// # Errors
    /// When a setting is missing, or a file or an address cannot be used.
    pub fn settings(&self, role: Role) -> Result<Settings, ConnectError> {
        let Some(path) = &self.config else { return self.settings_from_environment() };
        let description = Description::read(path)?;
        let peer = description.peer(self.peer.as_deref())?;
        // An address that the description does not know is dialled as it is, with what else the flags say.
        let address = peer.as_ref().map_or(self.peer.as_deref(), |peer| Some(&peer.address));
        let target = target(address.unwrap_or_default())?;
        let security = self.security(&Environment::none(), peer.as_ref())?;
        let identity = match &self.msp_dir {
            Some(folder) => msp::identity(required(self.msp_id.as_deref(), &MSP_ID)?, folder)?,
            None => description.identity(self.user.as_deref(), peer.as_ref(), role)?,
        };
        Ok(Settings { target, security, identity: Arc::new(identity), channels: description.channels })
    }

    fn settings_from_environment(&self) -> Result<Settings, ConnectError> {
        let environment = Environment::of_process();
        let address = self.peer.clone().or(environment.get("CORE_PEER_ADDRESS"));
        let target = target(required(address.as_deref(), &ADDRESS)?)?;
        let security = self.security(&environment, None)?;
        let msp_id = self.msp_id.clone().or(environment.get("CORE_PEER_LOCALMSPID"));
        let msp_dir = self.msp_dir.clone().or(environment.path("CORE_PEER_MSPCONFIGPATH"));
        let msp_id = required(msp_id.as_deref(), &MSP_ID)?;
        let identity = msp::identity(msp_id, required(msp_dir.as_deref(), &MSP_DIR)?)?;
        Ok(Settings { target, security, identity: Arc::new(identity), channels: Vec::new() })
    }

    fn security(
        &self,
        environment: &Environment,
        peer: Option<&Peer>,
    ) -> Result<ClientSecurity, ConnectError> {
        if self.plaintext {
            return Ok(ClientSecurity::Plaintext);
        }
        let root = self
            .tls_root
            .clone()
            .or(peer.map(|peer| peer.tls_root.clone()))
            .or(environment.path("CORE_PEER_TLS_ROOTCERT_FILE"));
        let root = required(root.as_deref(), &TLS_ROOT)?;
        let mut builder = ClientTls::builder(read(root)?);
        let certificate = self.tls_cert.clone().or(environment.path("CORE_PEER_TLS_CLIENTCERT_FILE"));
        let key = self.tls_key.clone().or(environment.path("CORE_PEER_TLS_CLIENTKEY_FILE"));
        if certificate.is_some() || key.is_some() {
            let certificate = required(certificate.as_deref(), &TLS_CERT)?;
            let identity = Identity::from_files(certificate, required(key.as_deref(), &TLS_KEY)?);
            builder = builder.identity(identity.map_err(ConnectError::ClientCertificate)?);
        }
        let name = self
            .server_name
            .clone()
            .or(peer.map(|peer| peer.name.clone()))
            .or(environment.get("CORE_PEER_TLS_SERVERHOSTOVERRIDE"));
        if let Some(name) = name {
            builder = builder.server_name(name);
        }
        let unusable = |source| ConnectError::Authority { path: root.to_owned(), source };
        builder.build().map(Into::into).map_err(unusable)
    }
}

impl Settings {
    /// Connects to the peer; each call makes another connection.
    ///
    /// # Errors
    /// With the verdict on the peer that was dialled.
    pub async fn connect(&self) -> Result<Channel, ConnectError> {
        Ok(selvedge_tls::channel(&self.target, &self.security, &DialOptions::default()).await?)
    }

    /// Connects to the peer's gateway.
    ///
    /// # Errors
    /// As [`Settings::connect`].
    pub async fn gateway(&self) -> Result<Gateway, ConnectError> {
        Ok(Gateway::new(self.connect().await?, Arc::clone(&self.identity)))
    }

    /// Connects to the peer for the lifecycle of chaincode.
    ///
    /// # Errors
    /// As [`Settings::connect`].
    pub async fn lifecycle(&self) -> Result<Lifecycle, ConnectError> {
        let channel = self.connect().await?;
        Ok(Lifecycle::new(channel.clone(), Gateway::new(channel, Arc::clone(&self.identity))))
    }

    /// Connects to the peer for its blocks.
    ///
    /// # Errors
    /// As [`Settings::connect`].
    pub async fn deliver(&self) -> Result<Deliver, ConnectError> {
        let deliver = Deliver::new(self.connect().await?, Arc::clone(&self.identity));
        let shown = match &self.security {
            ClientSecurity::Tls(tls) => tls.identity().map(|identity| identity.certificate().fingerprint),
            ClientSecurity::Plaintext => None,
        };
        Ok(match shown {
            Some(fingerprint) => deliver.certificate_hash(fingerprint.0),
            None => deliver,
        })
    }

    /// Who calls.
    pub fn identity(&self) -> &Arc<SigningIdentity> {
        &self.identity
    }

    /// The peer's address.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The channel that was asked for, or the description's when it has but one.
    ///
    /// # Errors
    /// [`ConnectError::Channel`] when neither says which.
    pub fn channel(&self, asked: Option<&str>) -> Result<String, ConnectError> {
        match (asked, &self.channels[..]) {
            (Some(asked), _) => Ok(asked.to_owned()),
            (None, [only]) => Ok(only.clone()),
            (None, channels) => Err(ConnectError::Channel { described: channels.len() }),
        }
    }
}

/// The variables of Fabric's peer command; empty ones count as not set.
struct Environment {
    read: bool,
}

impl Environment {
    fn of_process() -> Self {
        Self { read: true }
    }

    fn none() -> Self {
        Self { read: false }
    }

    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| self.read && !value.is_empty())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

/// A setting that may be missing: what it is, its flag, its variable.
struct Setting(&'static str, &'static str, &'static str);

const ADDRESS: Setting = Setting("the peer's address", "--peer", "CORE_PEER_ADDRESS");
const MSP_ID: Setting = Setting("the identity's MSP", "--msp-id", "CORE_PEER_LOCALMSPID");
const MSP_DIR: Setting = Setting("the identity's MSP folder", "--msp-dir", "CORE_PEER_MSPCONFIGPATH");
const TLS_ROOT: Setting =
    Setting("the authority of the peer's TLS certificate", "--tls-root", "CORE_PEER_TLS_ROOTCERT_FILE");
const TLS_CERT: Setting = Setting("the client certificate", "--tls-cert", "CORE_PEER_TLS_CLIENTCERT_FILE");
const TLS_KEY: Setting =
    Setting("the key of the client certificate", "--tls-key", "CORE_PEER_TLS_CLIENTKEY_FILE");

fn required<'a, T: ?Sized>(value: Option<&'a T>, setting: &Setting) -> Result<&'a T, ConnectError> {
    let Setting(what, flag, variable) = setting;
    value.ok_or(ConnectError::NotTold { what, flag, variable })
}

fn target(address: &str) -> Result<Target, ConnectError> {
    address.parse().map_err(ConnectError::Address)
}

fn read(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES).read_to_end(&mut content))
        .map_err(|source| ConnectError::File { path: path.to_owned(), source })?;
    Ok(content)
}
