//! What a server is told from outside: by the program, the command line, the environment, or a file.
//!
//! [`serve`](crate::serve()) reads all of them. `docs/server.md` of the project lists every setting with all its names;
//! `--help` prints the same list.

mod error;
mod launched;
mod names;
mod sources;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::time::Duration;

use selvedge_proto::duration::GoDuration;
use selvedge_tls::{ClientFiles, ClientRule, PemFile, ServerFiles, Target, UnknownRevocation};

pub use self::error::{Given, SettingsError};
use self::names::Form;
pub use self::names::Setting;
pub use self::sources::Decision;
use self::sources::{Chosen, Decided, Layers, boolean};
use crate::LaunchingPeer;

/// Everything that a server is told from outside, checked.
///
/// ```
/// use selvedge::settings::{Setting, Settings};
///
/// let settings = Settings::sources()
///     .variable("CHAINCODE_SERVER_ADDRESS", "0.0.0.0:9999")
///     .variable("CORE_CHAINCODE_ID_NAME", format!("basic:{}", "0".repeat(64)))
///     .variable("CHAINCODE_TLS_DISABLED", "true")
///     .set(Setting::Drain, "20s")
///     .read()?;
/// assert_eq!(settings.address, "0.0.0.0:9999");
/// assert_eq!(settings.decisions[1].winner.name, "CORE_CHAINCODE_ID_NAME");
/// # Ok::<(), selvedge::settings::SettingsError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The peer to dial instead of listening, for a chaincode that a peer has launched.
    pub peer: Option<LaunchingPeer>,
    /// Where to listen, `host:port`; empty with a peer to dial.
    pub address: String,
    /// The id of the installed package, `label:hash`.
    pub package_id: String,
    /// The files of the server's TLS configuration; `None` for plaintext, which was asked for by name, and with a peer to
    /// dial.
    pub tls: Option<ServerFiles>,
    /// As [`Server::peer_msp_id`](crate::Server::peer_msp_id).
    pub peer_msp_id: Option<String>,
    /// As [`Server::drain`](crate::Server::drain).
    pub drain: Option<Duration>,
    /// As [`Server::registration_timeout`](crate::Server::registration_timeout).
    pub registration_timeout: Option<Duration>,
    /// As the interval of [`Server::keepalive`](crate::Server::keepalive).
    pub keepalive_interval: Option<Duration>,
    /// As the time-out of [`Server::keepalive`](crate::Server::keepalive).
    pub keepalive_timeout: Option<Duration>,
    /// As [`Server::contract_threads`](crate::Server::contract_threads).
    pub contract_threads: Option<usize>,
    /// As [`Server::batching`](crate::Server::batching).
    pub batching: Option<bool>,
    /// As [`Server::strict`](crate::Server::strict).
    pub strict: Option<bool>,
    /// Where the operations port is opened; `None` for none.
    #[cfg(feature = "operations")]
    pub operations_address: Option<String>,
    /// Where each of them came from, and what was overruled.
    pub decisions: Vec<Decision>,
    /// Variables of the environment that begin with `SELVEDGE_` and mean nothing to a server: misspelt, or of a feature
    /// that is not built in. The log warns of them.
    pub unknown_variables: Vec<String>,
}

/// Where settings are read from. What the program sets counts most, then the command line, the environment, and the
/// file that one of these two names.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    layers: Layers,
}

impl Settings {
    /// No source yet.
    #[must_use]
    pub fn sources() -> Sources {
        Sources::default()
    }

    /// What `--help` prints: every setting with its names.
    #[must_use]
    pub fn help() -> String {
        names::help()
    }

    /// Writes to the log where each setting came from. Values are addresses, ids, paths and numbers: nothing secret.
    pub(crate) fn log(&self) {
        for Decision { setting, winner, overruled } in &self.decisions {
            let overruled: Vec<String> = overruled.iter().map(ToString::to_string).collect();
            let value = error::shown(&winner.value);
            tracing::info!(?setting, value, from = winner.name, ?overruled, "setting");
        }
        for variable in &self.unknown_variables {
            tracing::warn!(variable, "nothing is known of this variable: is it misspelt?");
        }
        let beside = |setting: &Setting| {
            matches!(setting, Setting::TlsCertificate | Setting::TlsKey | Setting::ClientAuthorities)
        };
        if self.peer.is_none()
            && self.tls.is_none()
            && self.decisions.iter().any(|decision| beside(&decision.setting))
        {
            tracing::warn!("TLS is switched off, so certificate, key and client authorities are not used");
        }
    }
}

impl Sources {
    /// The program's own value, which counts more than any other.
    #[must_use]
    pub fn set(mut self, setting: Setting, value: impl Into<String>) -> Self {
        self.layers.code.push((setting, value.into()));
        self
    }

    /// One value of the command line, by the name of its flag, from a program that reads its command line itself.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>, value: impl Into<String>) -> Self {
        self.layers.flags.push((flag.into(), value.into()));
        self
    }

    /// One variable of the environment. An empty one counts as not set.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        if !value.is_empty() {
            self.layers.variables.push((name, value));
        }
        self
    }

    /// A command line, without the program's name.
    ///
    /// # Errors
    /// When an argument is not known, has no value, or is not UTF-8.
    pub fn arguments<A: Into<OsString>>(
        mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, SettingsError> {
        self.layers.add_arguments(arguments.into_iter().map(Into::into))?;
        Ok(self)
    }

    /// The environment of this process.
    ///
    /// # Errors
    /// When a variable that means something here is not UTF-8.
    pub fn environment(mut self) -> Result<Self, SettingsError> {
        self.layers.add_variables(std::env::vars_os())?;
        Ok(self)
    }

    /// Decides and checks. Reads the file of settings, if one is named, and no other.
    ///
    /// # Errors
    /// When something is missing, cannot be used, or is said twice and differently.
    pub fn read(self) -> Result<Settings, SettingsError> {
        let unknown_variables = self.layers.unknown.clone();
        let decided = self.layers.decide()?;
        let number = |setting| parse(&decided, setting, |text| text.trim().parse::<usize>().ok(), "a number");
        let time = |setting| parse(&decided, setting, duration, "a time such as 500ms, 10s or 1m30s");
        let truth = |setting| decided.get(setting).map(|chosen| boolean(setting, chosen)).transpose();
        let peer = launched::peer(&decided)?;
        let (address, package_id, tls) = match &peer {
            Some(peer) => (String::new(), peer.package_id().to_owned(), None),
            None => (address(&decided)?, package_id(&decided)?, tls(&decided)?),
        };
        Ok(Settings {
            peer,
            address,
            package_id,
            tls,
            peer_msp_id: decided.get(Setting::PeerMspId).map(|chosen| chosen.given.value.clone()),
            drain: time(Setting::Drain)?,
            registration_timeout: time(Setting::RegistrationTimeout)?,
            keepalive_interval: time(Setting::KeepaliveInterval)?,
            keepalive_timeout: time(Setting::KeepaliveTimeout)?,
            contract_threads: number(Setting::ContractThreads)?,
            batching: truth(Setting::Batching)?,
            strict: truth(Setting::Strict)?,
            #[cfg(feature = "operations")]
            operations_address: operations_address(&decided)?,
            decisions: decided.decisions,
            unknown_variables,
        })
    }
}

/// Reads a value that may be absent.
fn parse<T>(
    decided: &Decided,
    setting: Setting,
    read: impl Fn(&str) -> Option<T>,
    wanted: &str,
) -> Result<Option<T>, SettingsError> {
    let Some(chosen) = decided.get(setting) else { return Ok(None) };
    let value = read(&chosen.given.value);
    value.map(Some).ok_or_else(|| bad(setting, chosen, format!("it is not {wanted}")))
}

fn bad(setting: Setting, chosen: &Chosen, reason: impl Into<String>) -> SettingsError {
    SettingsError::Value { setting, given: chosen.given.clone(), reason: reason.into() }
}

/// A time that is some time: none of the settings makes sense with zero.
fn duration(text: &str) -> Option<Duration> {
    let time = text.trim().parse::<GoDuration>().ok()?.to_std()?;
    (!time.is_zero()).then_some(time)
}

fn address(decided: &Decided) -> Result<String, SettingsError> {
    let Some(chosen) = decided.get(Setting::Address) else {
        return Err(SettingsError::NotSet { setting: Setting::Address, what: "where to listen" });
    };
    listening_address(Setting::Address, chosen)
}

fn listening_address(setting: Setting, chosen: &Chosen) -> Result<String, SettingsError> {
    let text = chosen.given.value.trim();
    let text = match chosen.form {
        Form::Port => format!("0.0.0.0:{text}"),
        // Go listens on all interfaces when there is no host.
        _ if text.starts_with(':') => format!("0.0.0.0{text}"),
        _ => text.to_owned(),
    };
    match text.parse::<Target>() {
        Ok(_) => Ok(text),
        Err(error) => Err(bad(setting, chosen, error.to_string())),
    }
}

#[cfg(feature = "operations")]
fn operations_address(decided: &Decided) -> Result<Option<String>, SettingsError> {
    let setting = Setting::OperationsAddress;
    let Some(chosen) = decided.get(setting) else { return Ok(None) };
    match chosen.given.value.trim() {
        // Other interfaces have to be named, since others than this machine are then shown what happens inside.
        text if text.starts_with(':') => Ok(Some(format!("127.0.0.1{text}"))),
        _ => listening_address(setting, chosen).map(Some),
    }
}

fn package_id(decided: &Decided) -> Result<String, SettingsError> {
    let Some(chosen) = decided.get(Setting::PackageId) else {
        return Err(SettingsError::NotSet { setting: Setting::PackageId, what: "which package it is" });
    };
    let id = chosen.given.value.trim();
    let is_hex =
        |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match id.split_once(':') {
        Some((label, hash)) if !label.is_empty() && is_hex(hash) => Ok(id.to_owned()),
        _ => Err(bad(
            Setting::PackageId,
            chosen,
            "the package id is none: a label, a colon and 64 lower-case hexadecimal digits are needed",
        )),
    }
}

/// A boolean that is false unless it is given.
fn truth(decided: &Decided, setting: Setting) -> Result<bool, SettingsError> {
    decided.get(setting).map_or(Ok(false), |chosen| boolean(setting, chosen))
}

fn file(chosen: &Chosen, path: &str) -> PemFile {
    PemFile { path: chosen.path(path), base64: chosen.form == Form::Base64 }
}

fn tls(decided: &Decided) -> Result<Option<ServerFiles>, SettingsError> {
    let truth = |setting| truth(decided, setting);
    if truth(Setting::TlsDisabled)? {
        return Ok(None);
    }
    let one = |setting, what| match decided.get(setting) {
        Some(chosen) => Ok(file(chosen, &chosen.given.value)),
        None => Err(SettingsError::NotSet { setting, what }),
    };
    if nothing_but_address_and_id(decided) {
        return Err(SettingsError::OnlyAddressAndId);
    }
    let certificate = one(Setting::TlsCertificate, "its certificate")?;
    let key = one(Setting::TlsKey, "its private key")?;
    let clients = match truth(Setting::WithoutClientCertificates)? {
        true => without_clients(decided)?,
        false => Some(clients(decided, file)?),
    };
    Ok(Some(ServerFiles { certificate, key, clients }))
}

fn nothing_but_address_and_id(decided: &Decided) -> bool {
    decided.decisions.iter().all(|decision| matches!(decision.setting, Setting::Address | Setting::PackageId))
}

/// Clients without certificates cannot be narrowed, and whoever tried to has forgotten that.
fn without_clients(decided: &Decided) -> Result<Option<ClientFiles>, SettingsError> {
    let narrowing = [
        Setting::ClientAuthorities,
        Setting::ClientMsps,
        Setting::AllowedClients,
        Setting::AllowedClientsFile,
        Setting::RevocationLists,
    ];
    let without = decided.get(Setting::WithoutClientCertificates);
    match (without, narrowing.iter().find_map(|setting| decided.get(*setting))) {
        (Some(first), Some(second)) => {
            let (first, second) = (first.given.clone(), second.given.clone());
            Err(SettingsError::Exclusive { first, second })
        }
        _ => Ok(None),
    }
}

fn clients(decided: &Decided, file: impl Fn(&Chosen, &str) -> PemFile) -> Result<ClientFiles, SettingsError> {
    let authorities: Vec<PemFile> =
        list(decided, Setting::ClientAuthorities, |chosen, path| Ok(file(chosen, path)))?;
    let msps = list(decided, Setting::ClientMsps, |chosen, pair| {
        let wanted = || bad(Setting::ClientMsps, chosen, format!("{} is not MSP=FILE", error::shown(pair)));
        let (msp, path) = pair.split_once('=').ok_or_else(wanted)?;
        Ok((msp.trim().to_owned(), file(chosen, path.trim())))
    })?;
    if authorities.is_empty() && msps.is_empty() {
        let setting = Setting::ClientAuthorities;
        return Err(SettingsError::NotSet { setting, what: "whose clients to let in" });
    }
    let rules = list(decided, Setting::AllowedClients, |chosen, rule| {
        rule.parse::<ClientRule>().map_err(|error| bad(Setting::AllowedClients, chosen, error.to_string()))
    })?;
    let path = |chosen: &Chosen, path: &str| Ok(chosen.path(path));
    let read = |text: &str| match text.trim() {
        "refuse" => Some(UnknownRevocation::Refuse),
        "allow" => Some(UnknownRevocation::Allow),
        _ => None,
    };
    let unknown_revocation = parse(decided, Setting::UnknownRevocation, read, "refuse or allow")?;
    Ok(ClientFiles {
        authorities,
        msps,
        rules,
        rule_list: decided.get(Setting::AllowedClientsFile).map(|chosen| chosen.path(&chosen.given.value)),
        revocation_lists: list(decided, Setting::RevocationLists, path)?,
        unknown_revocation: unknown_revocation.unwrap_or_default(),
    })
}

/// Reads what is separated by commas.
fn list<T>(
    decided: &Decided,
    setting: Setting,
    read: impl Fn(&Chosen, &str) -> Result<T, SettingsError>,
) -> Result<Vec<T>, SettingsError> {
    let Some(chosen) = decided.get(setting) else { return Ok(Vec::new()) };
    let parts = chosen.given.value.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list: Vec<T> = parts.map(|part| read(chosen, part)).collect::<Result<_, _>>()?;
    match list.is_empty() {
        true => Err(bad(setting, chosen, "it names nothing")),
        false => Ok(list),
    }
}

impl Settings {
    /// How the connections are secured, in words for a person.
    #[must_use]
    pub fn security(&self) -> &'static str {
        match &self.tls {
            _ if self.peer.is_some() => "as the peer that is dialled has it",
            None => "PLAINTEXT: anybody on the way can read and change what is sent",
            Some(ServerFiles { clients: None, .. }) => "TLS, clients not verified",
            Some(_) => "mutual TLS",
        }
    }
}
