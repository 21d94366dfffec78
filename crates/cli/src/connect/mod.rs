//! How client commands reach a peer, and in whose name: flags first; then the network's description, if one is given;
//! then the environment variables of Fabric's peer command.

mod description;
mod msp;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use selvedge_client::{Gateway, Lifecycle};
use selvedge_identity::SigningIdentity;
use selvedge_tls::{ClientSecurity, ClientTls, DialOptions, Identity, Target};

pub(crate) use self::description::Role;
use self::description::{Description, Peer};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArguments {
    /// The description of a network, as `selvedge up --config-out` writes it; the variables CORE_PEER_… do not count
    /// then
    #[arg(long, value_name = "FILE", env = "SELVEDGE_CONFIG")]
    config: Option<PathBuf>,
    /// The peer: its address host:port [env: CORE_PEER_ADDRESS], or its name in the description (default: the first)
    #[arg(long, value_name = "PEER")]
    peer: Option<String>,
    /// The user in the description (default: the administrator for chaincode commands, else the first client)
    #[arg(long, value_name = "NAME", requires = "config", conflicts_with = "msp_dir")]
    user: Option<String>,
    /// The MSP of the identity [env: CORE_PEER_LOCALMSPID]
    #[arg(long, value_name = "MSP")]
    msp_id: Option<String>,
    /// The identity's MSP folder, with signcerts and keystore [env: CORE_PEER_MSPCONFIGPATH]
    #[arg(long, value_name = "DIR")]
    msp_dir: Option<PathBuf>,
    /// The authority of the peer's TLS certificate, PEM [env: CORE_PEER_TLS_ROOTCERT_FILE]
    #[arg(long, value_name = "FILE")]
    tls_root: Option<PathBuf>,
    /// The name in the peer's certificate, when it is not the address's host
    /// [env: CORE_PEER_TLS_SERVERHOSTOVERRIDE]
    #[arg(long, value_name = "HOST")]
    server_name: Option<String>,
    /// A certificate for peers that demand one [env: CORE_PEER_TLS_CLIENTCERT_FILE]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate [env: CORE_PEER_TLS_CLIENTKEY_FILE]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Dial without TLS: anybody on the way can read and change what is sent
    #[arg(long, conflicts_with_all = ["tls_root", "tls_cert", "tls_key"])]
    plaintext: bool,
}

/// Where to go, how, and in whose name; nothing is connected yet.
pub(crate) struct Settings {
    target: Target,
    security: ClientSecurity,
    identity: Arc<SigningIdentity>,
    channels: Vec<String>,
}

impl ConnectionArguments {
    /// Puts the settings together; `role` chooses the user of a description when none is named.
    pub(crate) fn settings(&self, role: Role) -> Result<Settings, Failure> {
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

    fn settings_from_environment(&self) -> Result<Settings, Failure> {
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

    fn security(&self, environment: &Environment, peer: Option<&Peer>) -> Result<ClientSecurity, Failure> {
        if self.plaintext {
            return Ok(ClientSecurity::Plaintext);
        }
        let root = self
            .tls_root
            .clone()
            .or(peer.map(|peer| peer.tls_root.clone()))
            .or(environment.path("CORE_PEER_TLS_ROOTCERT_FILE"));
        let root = required(root.as_deref(), &TLS_ROOT)?;
        let roots = std::fs::read(root).map_err(|error| errors::file("read", root, &error))?;
        let mut builder = ClientTls::builder(roots);
        let certificate = self.tls_cert.clone().or(environment.path("CORE_PEER_TLS_CLIENTCERT_FILE"));
        let key = self.tls_key.clone().or(environment.path("CORE_PEER_TLS_CLIENTKEY_FILE"));
        if certificate.is_some() || key.is_some() {
            let certificate = required(certificate.as_deref(), &TLS_CERT)?;
            let identity = Identity::from_files(certificate, required(key.as_deref(), &TLS_KEY)?);
            builder =
                builder
                    .identity(identity.map_err(|error| {
                        errors::security("the client certificate cannot be used", &error)
                    })?);
        }
        let name = self
            .server_name
            .clone()
            .or(peer.map(|peer| peer.name.clone()))
            .or(environment.get("CORE_PEER_TLS_SERVERHOSTOVERRIDE"));
        if let Some(name) = name {
            builder = builder.server_name(name);
        }
        let what = format!("the peer's authority in {} cannot be used", root.display());
        builder.build().map(Into::into).map_err(|error| errors::security(&what, &error))
    }
}

impl Settings {
    /// Connects to the peer's gateway.
    pub(crate) async fn gateway(&self) -> Result<Gateway, Failure> {
        let channel = selvedge_tls::channel(&self.target, &self.security, &DialOptions::default()).await;
        Ok(Gateway::new(channel.map_err(|error| errors::dial(&error))?, Arc::clone(&self.identity)))
    }

    /// Connects to the peer for the lifecycle of chaincode.
    pub(crate) async fn lifecycle(&self) -> Result<Lifecycle, Failure> {
        let channel = selvedge_tls::channel(&self.target, &self.security, &DialOptions::default()).await;
        let channel = channel.map_err(|error| errors::dial(&error))?;
        Ok(Lifecycle::new(channel.clone(), Gateway::new(channel, Arc::clone(&self.identity))))
    }

    /// The channel that was asked for, or the description's when it has but one.
    pub(crate) fn channel(&self, asked: Option<&str>) -> Result<String, Failure> {
        match (asked, &self.channels[..]) {
            (Some(asked), _) => Ok(asked.to_owned()),
            (None, [only]) => Ok(only.clone()),
            (None, channels) => Err(Failure::new("the command was not told which channel")
                .code(catalogue::NOT_TOLD)
                .evidence(format!("the network's description names {} channels", channels.len()))
                .fix("give --channel (-C), for example -C mychannel")),
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

fn required<'a, T: ?Sized>(value: Option<&'a T>, setting: &Setting) -> Result<&'a T, Failure> {
    let Setting(what, flag, variable) = setting;
    value.ok_or_else(|| {
        Failure::new(format!("the command was not told {what}"))
            .code(catalogue::NOT_TOLD)
            .evidence(format!("neither {flag} nor {variable} is set"))
            .fix(format!("give {flag} or {variable}, or --config with a network's description"))
    })
}

fn target(address: &str) -> Result<Target, Failure> {
    address.parse().map_err(|error| {
        errors::security("the peer's address cannot be understood", &error)
            .fix("give host:port, for example localhost:7051")
    })
}

/// A path of a file that may be relative to the file that names it.
fn beside(file: &Path, named: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(named)
}
