//! Every setting with all the names by which it may be given: one table, from which reading, messages and help derive.

/// What a server can be told from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Setting {
    /// Where to listen.
    Address,
    /// The id of the installed package.
    PackageId,
    /// Whether to serve without TLS.
    TlsDisabled,
    /// The server's certificate.
    TlsCertificate,
    /// The certificate's private key.
    TlsKey,
    /// The authorities whose clients are let in.
    ClientAuthorities,
    /// The same, with the MSP that each stands for.
    ClientMsps,
    /// Whether whoever reaches the port is let in.
    WithoutClientCertificates,
    /// Which of the clients with a valid certificate are let in.
    AllowedClients,
    /// The same, from a file.
    AllowedClientsFile,
    /// Revocation lists.
    RevocationLists,
    /// What happens to clients for whom there is no current revocation list.
    UnknownRevocation,
    /// The peer that has launched the chaincode.
    PeerAddress,
    /// What a builder's run was told of that peer.
    RunMetadata,
    /// The MSP of the peer that is served.
    PeerMspId,
    /// How long running transactions may go on at the end.
    Drain,
    /// How long a peer may take to accept the registration.
    RegistrationTimeout,
    /// How often an idle connection is asked whether it lives.
    KeepaliveInterval,
    /// How long it may take to answer.
    KeepaliveTimeout,
    /// How many threads contracts may hold.
    ContractThreads,
    /// Whether the peer's batch operations are used.
    Batching,
    /// Whether calls fail that hint at a mistake.
    Strict,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[cfg(feature = "operations")]
    OperationsAddress,
}

/// What a setting's text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Boolean,
    Path,
    /// Separated by commas.
    Paths,
    /// `MSP=path`, separated by commas.
    MspPaths,
    /// Separated by commas.
    Texts,
    /// As Go writes it.
    Duration,
    Number,
}

/// How a name's value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the setting's kind says.
    Plain,
    /// The opposite of a boolean.
    Opposite,
    /// The file holds PEM text in base64. Counts only where no plain name is given beside it: Java demands both.
    Base64,
    /// A port, on all interfaces.
    Port,
}

pub(crate) struct Name {
    pub(crate) text: &'static str,
    pub(crate) form: Form,
}

/// One setting.
pub(crate) struct Row {
    pub(crate) setting: Setting,
    pub(crate) kind: Kind,
    /// Its name in a file.
    pub(crate) key: &'static str,
    /// The first one is what messages name.
    pub(crate) flags: &'static [Name],
    pub(crate) variables: &'static [Name],
    /// What stands for its value in the help.
    pub(crate) value: &'static str,
    pub(crate) help: &'static str,
}

const fn plain(text: &'static str) -> Name {
    Name { text, form: Form::Plain }
}

const fn base64(text: &'static str) -> Name {
    Name { text, form: Form::Base64 }
}

impl Setting {
    pub(crate) fn row(self) -> &'static Row {
        // Every setting has its row: `each_setting_has_a_row` in the tests below.
        ROWS.iter().find(|row| row.setting == self).unwrap_or(&ROWS[0])
    }

    /// The name that a command line gives it by.
    #[must_use]
    pub fn flag(self) -> &'static str {
        self.row().flags.first().map_or("", |name| name.text)
    }

    /// The first of the environment variables that it is given by.
    #[must_use]
    pub fn variable(self) -> &'static str {
        self.row().variables.first().map_or("", |name| name.text)
    }
}

pub(crate) const ROWS: &[Row] = &[
    Row {
        setting: Setting::Address,
        kind: Kind::Text,
        key: "address",
        flags: &[plain("--address"), plain("--chaincode-address")],
        variables: &[
            plain("CHAINCODE_SERVER_ADDRESS"),
            plain("CORE_CHAINCODE_ADDRESS"),
            Name { text: "PORT_CHAINCODE_SERVER", form: Form::Port },
        ],
        value: "HOST:PORT",
        help: "where to listen; port 0 takes a free one",
    },
    Row {
        setting: Setting::PackageId,
        kind: Kind::Text,
        key: "package_id",
        flags: &[plain("--package-id"), plain("--chaincode-id"), plain("--id"), plain("-i")],
        variables: &[plain("CHAINCODE_ID"), plain("CORE_CHAINCODE_ID_NAME"), plain("CORE_CHAINCODE_ID")],
        value: "ID",
        help: "the id of the installed package, label:hash, as queryinstalled shows it",
    },
    Row {
        setting: Setting::TlsDisabled,
        kind: Kind::Boolean,
        key: "tls_disabled",
        flags: &[plain("--tls-disabled")],
        variables: &[
            plain("CHAINCODE_TLS_DISABLED"),
            Name { text: "CORE_PEER_TLS_ENABLED", form: Form::Opposite },
        ],
        value: "BOOL",
        help: "serve without TLS: no encryption, and no proof of who is at either end",
    },
    Row {
        setting: Setting::TlsCertificate,
        kind: Kind::Path,
        key: "tls_cert",
        flags: &[
            plain("--tls-cert"),
            plain("--chaincode-tls-cert-file"),
            base64("--chaincode-tls-cert-path"),
        ],
        variables: &[
            plain("CHAINCODE_TLS_CERT"),
            plain("CHAINCODE_TLS_CERT_FILE"),
            plain("CORE_CHAINCODE_TLS_CERT_FILE"),
            plain("CORE_TLS_CLIENT_CERT_FILE"),
            base64("CORE_CHAINCODE_TLS_CERT_PATH"),
            base64("CORE_TLS_CLIENT_CERT_PATH"),
        ],
        value: "FILE",
        help: "the server's certificate, PEM, followed by its intermediates if there are any",
    },
    Row {
        setting: Setting::TlsKey,
        kind: Kind::Path,
        key: "tls_key",
        flags: &[plain("--tls-key"), plain("--chaincode-tls-key-file"), base64("--chaincode-tls-key-path")],
        variables: &[
            plain("CHAINCODE_TLS_KEY"),
            plain("CHAINCODE_TLS_KEY_FILE"),
            plain("CORE_CHAINCODE_TLS_KEY_FILE"),
            plain("CORE_TLS_CLIENT_KEY_FILE"),
            base64("CORE_CHAINCODE_TLS_KEY_PATH"),
            base64("CORE_TLS_CLIENT_KEY_PATH"),
        ],
        value: "FILE",
        help: "the private key of the certificate, PEM",
    },
    Row {
        setting: Setting::ClientAuthorities,
        kind: Kind::Paths,
        key: "client_ca",
        flags: &[
            plain("--client-ca"),
            plain("--chaincode-tls-client-cacert-file"),
            base64("--chaincode-tls-client-cacert-path"),
        ],
        variables: &[
            plain("CHAINCODE_CLIENT_CA_CERT"),
            plain("CHAINCODE_TLS_CLIENT_CA_CERT"),
            plain("CHAINCODE_TLS_CLIENT_CACERT_FILE"),
            plain("CORE_CHAINCODE_TLS_CLIENT_CACERT_FILE"),
            plain("CORE_PEER_TLS_ROOTCERT_FILE"),
            base64("CORE_CHAINCODE_TLS_CLIENT_CACERT_PATH"),
        ],
        value: "FILE[,FILE]",
        help: "the authorities whose clients are let in, PEM, one or more",
    },
    Row {
        setting: Setting::ClientMsps,
        kind: Kind::MspPaths,
        key: "client_msps",
        flags: &[plain("--client-msps")],
        variables: &[plain("SELVEDGE_CLIENT_MSPS")],
        value: "MSP=FILE[,MSP=FILE]",
        help: "authorities whose clients are let in, and the MSP that each stands for",
    },
    Row {
        setting: Setting::WithoutClientCertificates,
        kind: Kind::Boolean,
        key: "without_client_certificates",
        flags: &[plain("--without-client-certificates")],
        variables: &[plain("SELVEDGE_WITHOUT_CLIENT_CERTIFICATES")],
        value: "BOOL",
        help: "let in whoever reaches the port; only the server proves who it is",
    },
    Row {
        setting: Setting::AllowedClients,
        kind: Kind::Texts,
        key: "allowed_clients",
        flags: &[plain("--allowed-clients")],
        variables: &[plain("SELVEDGE_ALLOWED_CLIENTS")],
        value: "RULE[,RULE]",
        help: "of those, only clients that one rule names: dns:NAME, ip:ADDRESS, uri:URI, spiffe://…, msp:MSP, sha256:HEX",
    },
    Row {
        setting: Setting::AllowedClientsFile,
        kind: Kind::Path,
        key: "allowed_clients_file",
        flags: &[plain("--allowed-clients-file")],
        variables: &[plain("SELVEDGE_ALLOWED_CLIENTS_FILE")],
        value: "FILE",
        help: "the same rules, one a line; read again when it changes",
    },
    Row {
        setting: Setting::RevocationLists,
        kind: Kind::Paths,
        key: "crl",
        flags: &[plain("--crl")],
        variables: &[plain("SELVEDGE_CRL")],
        value: "FILE[,FILE]",
        help: "revocation lists of the clients' authorities, PEM",
    },
    Row {
        setting: Setting::UnknownRevocation,
        kind: Kind::Text,
        key: "crl_unknown",
        flags: &[plain("--crl-unknown")],
        variables: &[plain("SELVEDGE_CRL_UNKNOWN")],
        value: "refuse|allow",
        help: "what becomes of clients whose issuer has no current revocation list (default: refuse)",
    },
    Row {
        setting: Setting::PeerAddress,
        kind: Kind::Text,
        key: "peer_address",
        flags: &[plain("--peer.address"), plain("--peer-address")],
        variables: &[plain("CORE_PEER_ADDRESS")],
        value: "HOST:PORT",
        help: "the peer that has launched this chaincode, dialled if there is no address to listen on",
    },
    Row {
        setting: Setting::RunMetadata,
        kind: Kind::Path,
        key: "run_metadata",
        flags: &[plain("--run-metadata")],
        variables: &[plain("SELVEDGE_RUN_METADATA")],
        value: "FILE",
        help: "the chaincode.json that a peer has given a builder's run: the same peer, with all it takes",
    },
    Row {
        setting: Setting::PeerMspId,
        kind: Kind::Text,
        key: "peer_msp_id",
        flags: &[plain("--peer-msp-id")],
        variables: &[plain("CORE_PEER_LOCALMSPID")],
        value: "MSP",
        help: "the MSP of the peer that is served, for contracts that ask for it",
    },
    Row {
        setting: Setting::Drain,
        kind: Kind::Duration,
        key: "drain",
        flags: &[plain("--drain")],
        variables: &[plain("SELVEDGE_DRAIN")],
        value: "TIME",
        help: "how long running transactions may go on once the server is to stop (default: 10s)",
    },
    Row {
        setting: Setting::RegistrationTimeout,
        kind: Kind::Duration,
        key: "registration_timeout",
        flags: &[plain("--registration-timeout")],
        variables: &[plain("SELVEDGE_REGISTRATION_TIMEOUT")],
        value: "TIME",
        help: "how long a peer may take to accept the registration (default: 60s)",
    },
    Row {
        setting: Setting::KeepaliveInterval,
        kind: Kind::Duration,
        key: "keepalive_interval",
        flags: &[plain("--keepalive-interval")],
        variables: &[plain("SELVEDGE_KEEPALIVE_INTERVAL")],
        value: "TIME",
        help: "after how much silence a connection is asked whether it lives (default: 60s)",
    },
    Row {
        setting: Setting::KeepaliveTimeout,
        kind: Kind::Duration,
        key: "keepalive_timeout",
        flags: &[plain("--keepalive-timeout")],
        variables: &[plain("SELVEDGE_KEEPALIVE_TIMEOUT")],
        value: "TIME",
        help: "how long it may take to answer before it counts as dead (default: 20s)",
    },
    Row {
        setting: Setting::ContractThreads,
        kind: Kind::Number,
        key: "contract_threads",
        flags: &[plain("--contract-threads")],
        variables: &[plain("SELVEDGE_CONTRACT_THREADS")],
        value: "N",
        help: "the most threads that contracts may hold at once (default: 512)",
    },
    Row {
        setting: Setting::Batching,
        kind: Kind::Boolean,
        key: "batching",
        flags: &[plain("--batching")],
        variables: &[plain("SELVEDGE_BATCHING")],
        value: "BOOL",
        help: "use the batch operations that a peer offers (default: true)",
    },
    Row {
        setting: Setting::Strict,
        kind: Kind::Boolean,
        key: "strict",
        flags: &[plain("--strict")],
        variables: &[plain("SELVEDGE_STRICT")],
        value: "BOOL",
        help: "let calls fail that hint at a mistake, such as reading a key after writing it (default: false)",
    },
    #[cfg(feature = "operations")]
    Row {
        setting: Setting::OperationsAddress,
        kind: Kind::Text,
        key: "operations_address",
        flags: &[plain("--operations-address")],
        variables: &[plain("SELVEDGE_OPERATIONS_ADDRESS")],
        value: "HOST:PORT",
        help: "where /livez, /readyz and /metrics are served, in plaintext; loopback where no host is named",
    },
];

/// The file itself.
pub(crate) const CONFIG_FLAG: &str = "--config";
pub(crate) const CONFIG_VARIABLE: &str = "SELVEDGE_CHAINCODE_CONFIG";

/// What `--help` prints.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "Serves a chaincode to Fabric peers. A setting is taken from the command line, else from the environment, else\n\
         from the file. Two names of one setting with different values are an error.\n\n",
    );
    let mut entry = |flags: String, variables: &str, help: &str| {
        text.push_str(&format!("  {flags}\n        {help}\n        [{variables}]\n"));
    };
    for row in ROWS {
        let names = |names: &[Name]| names.iter().map(|name| name.text).collect::<Vec<_>>().join(", ");
        let value = match row.kind {
            Kind::Boolean => format!("[={}]", row.value),
            _ => format!(" {}", row.value),
        };
        let help = format!("{}; in the file: {}", row.help, row.key);
        entry(format!("{}{value}", names(row.flags)), &names(row.variables), &help);
    }
    entry(format!("{CONFIG_FLAG} FILE"), CONFIG_VARIABLE, "a JSON object with settings");
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_setting_has_a_row_and_each_name_one_meaning() {
        let mut settings = BTreeSet::new();
        let mut names = BTreeSet::from([CONFIG_FLAG, CONFIG_VARIABLE]);
        for row in ROWS {
            assert!(settings.insert(row.setting), "{:?} has two rows", row.setting);
            assert_eq!(row.setting.row().key, row.key);
            assert!(names.insert(row.key), "{}", row.key);
            for name in row.flags.iter().chain(row.variables) {
                assert!(names.insert(name.text), "{} has two meanings", name.text);
                assert_eq!(name.text.starts_with('-'), row.flags.iter().any(|flag| flag.text == name.text));
            }
        }
        // The last of the enumeration.
        let more = usize::from(cfg!(feature = "operations"));
        assert_eq!(settings.len(), Setting::Strict as usize + 1 + more);
    }

    #[test]
    fn the_guide_names_every_name() {
        let guide = include_str!("../../../../docs/server.md");
        for row in ROWS {
            for name in row.flags.iter().chain(row.variables).map(|name| name.text).chain([row.key]) {
                assert!(guide.contains(&format!("`{name}`")), "docs/server.md does not name {name}");
            }
        }
    }
}
