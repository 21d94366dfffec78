use std::path::PathBuf;

use super::names::{CONFIG_FLAG, CONFIG_VARIABLE, Setting};

/// A value that was given, and by which name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Given {
    /// The flag, the variable, the key in the file, or "the program" itself.
    pub name: String,
    /// The value, as it was given.
    pub value: String,
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}", self.name, shown(&self.value))
    }
}

/// Why a server cannot be set up as it was told. `Display` says what, with the evidence; [`SettingsError::cause`] and
/// [`SettingsError::fix`] go on from there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Something that cannot be guessed was not given.
    #[error("the chaincode was not told {what}: neither {} nor {} is set", .setting.flag(), .setting.variable())]
    NotSet {
        /// What is missing.
        setting: Setting,
        /// The same in words.
        what: &'static str,
    },
    /// An address and a package id were given and nothing else, which is all that Fabric's test network gives.
    #[error(
        "the chaincode was told its address and package id, and nothing about TLS: neither --tls-cert nor CHAINCODE_TLS_CERT is set, and TLS is not switched off"
    )]
    OnlyAddressAndId,
    /// Two names of one setting say different things.
    #[error("{first}, and {second}: they mean the same setting")]
    Contradiction {
        /// One of them.
        first: Given,
        /// The other.
        second: Given,
    },
    /// Two settings exclude each other.
    #[error("{first}, and {second}: one excludes the other")]
    Exclusive {
        /// One of them.
        first: Given,
        /// The other.
        second: Given,
    },
    /// A value cannot be used.
    #[error("{given}: {reason}")]
    Value {
        /// What it is a value of.
        setting: Setting,
        /// The value and its name.
        given: Given,
        /// What is wrong with it.
        reason: String,
    },
    /// The command line has something that nothing is known of.
    #[error("the argument {} is not known", shown(.argument))]
    UnknownArgument {
        /// As it was given.
        argument: String,
    },
    /// A flag stands at the end of the command line without its value.
    #[error("{flag} has no value")]
    NoValue {
        /// The flag.
        flag: String,
    },
    /// An argument or a variable that matters is not UTF-8.
    #[error("{name} is not UTF-8")]
    NotUtf8 {
        /// Which one.
        name: String,
    },
    /// The file of settings cannot be used.
    #[error("the file of settings {} cannot be used: {reason}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl SettingsError {
    /// What usually leads here.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::OnlyAddressAndId => {
                "Fabric's deployCCAAS.sh sets CHAINCODE_SERVER_ADDRESS and CHAINCODE_ID only: its connection.json says tls_required false, so its peers dial plaintext, while this chaincode has TLS on unless it is switched off by name"
            }
            Self::NotSet { setting: Setting::TlsCertificate | Setting::TlsKey, .. } => {
                "TLS is on unless it is switched off"
            }
            Self::NotSet { setting: Setting::ClientAuthorities, .. } => {
                "without client certificates, whoever reaches the port can act as a peer"
            }
            Self::NotSet { .. } => "a chaincode that serves peers cannot guess it",
            Self::Contradiction { .. } => {
                "the names come from Fabric's samples and shims of different languages, and more than one is set"
            }
            Self::Exclusive { .. } => "both were set, perhaps in different places",
            Self::Value { setting: Setting::PackageId, .. } => {
                "a peer keeps callers waiting when chaincode registers with another id than the package's"
            }
            Self::Value { .. } | Self::NotUtf8 { .. } => "it is misspelt, or meant for something else",
            Self::UnknownArgument { .. } | Self::NoValue { .. } => "the command line is misspelt",
            Self::File { .. } => "it is not there, or not a JSON object with the settings of docs/server.md",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::OnlyAddressAndId => {
                "for that network, add CHAINCODE_TLS_DISABLED=true to the container's environment; anywhere else give CHAINCODE_TLS_CERT, CHAINCODE_TLS_KEY and CHAINCODE_CLIENT_CA_CERT, and let connection.json say tls_required true (--tls-disabled does the same as the variable)".into()
            }
            Self::NotSet { setting, .. } | Self::Value { setting, .. } => fix_of(*setting),
            Self::Contradiction { first, second } => {
                format!("set one of {} and {}, or both to the same value", first.name, second.name)
            }
            Self::Exclusive { first, second } => format!("take back {} or {}", first.name, second.name),
            Self::UnknownArgument { .. } | Self::NoValue { .. } => "--help lists what there is".into(),
            Self::NotUtf8 { name } => format!("write {name} in UTF-8"),
            Self::File { .. } => {
                format!("correct the file that {CONFIG_FLAG} or {CONFIG_VARIABLE} names, or leave it out")
            }
        }
    }
}

fn fix_of(setting: Setting) -> String {
    match setting {
        Setting::Address => {
            "give --address or CHAINCODE_SERVER_ADDRESS as host:port, for example 0.0.0.0:9999, or, to a chaincode that a peer has launched, --peer.address or CORE_PEER_ADDRESS".into()
        }
        Setting::PackageId => {
            "give --package-id or CHAINCODE_ID exactly as the peer shows it after the installation (peer lifecycle chaincode queryinstalled)".into()
        }
        Setting::TlsCertificate | Setting::TlsKey => {
            "give certificate and key, or serve plaintext with --tls-disabled where nobody else listens".into()
        }
        Setting::ClientAuthorities => {
            "give the TLS authorities of the peers' organisations, or say --without-client-certificates".into()
        }
        other => {
            let row = other.row();
            format!("{} or {}: {}", other.flag(), other.variable(), row.help)
        }
    }
}

/// A value for a message: escaped, and bounded as remote text is.
pub(crate) fn shown(value: &str) -> String {
    format!("\"{}\"", selvedge_tls::escape(value))
}
