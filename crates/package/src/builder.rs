//! Detect, build and release with the effect of Fabric's stock ccaas builder.
//!
//! A peer calls them in this order over folders: `src` holds the unpacked code, `meta` the metadata.json, `bld` and
//! `release` start empty. Verdicts and files are the stock builder's, byte for byte, with these differences:
//!
//! * **`domain` is kept.** The stock builder drops it, so a server behind another name than its address cannot be
//!   reached through it. It is written last, only under TLS and only when it is not empty; it is a template like the
//!   other texts.
//! * **Certificate files are inlined.** A `root_cert`, `client_cert` or `client_key` that is no PEM text but the
//!   relative path of a regular file in `src` (such as `tls/ca.pem`) is replaced by that file's content. The stock
//!   builder would hand the path to the peer, which refuses it.
//! * **Links are refused.** The stock builder copies symbolic links as links. A peer never unpacks one, so here one
//!   is either a mistake or an attack.
//! * **Templates** know only what [`crate::template`] lists.
//! * **connection.json is written with mode 0600**, since it can hold a private key.
//! * Files and folders are bounded in size, number and depth.
//!
//! Two traps of the stock builder stay, because a package must not work with one builder and fail with the other: a
//! numeric `dial_timeout` is refused, and an absent one is written as `""`, which the peer refuses. The second is
//! reported as a [`Warning`] of the build.

mod files;

use std::io;
use std::path::Path;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::error::JsonError;
use crate::json::{Object, encode_text, type_name};
use crate::metadata::is_ccaas;
use crate::pack::CONNECTION_FILE;
use crate::parse::METADATA_FILE;
use crate::template::{self, TemplateError};

/// The environment variable whose JSON object the templates in connection.json are evaluated over.
pub const CONFIGURATION_VARIABLE: &str = "CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG";

/// Where a release holds the connection.json that the peer reads.
pub const RELEASED_CONNECTION: &str = "chaincode/server/connection.json";

/// Why a builder says no. The texts are the stock builder's wherever it has one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuilderError {
    // Not a package for this builder.
    /// Detect: the chaincode has another type.
    #[error("chaincode type not supported: {0}")]
    NotSupported(String),
    /// Build: the chaincode has another type.
    #[error("chaincode type should be ccaas, it is {0}")]
    NotCcaas(String),

    // The package is at fault.
    /// metadata.json does not decode.
    #[error("Unable to parse JSON: {0}")]
    Metadata(JsonError),
    /// connection.json does not decode.
    #[error(transparent)]
    Connection(JsonError),
    /// A text of connection.json is a template that cannot be evaluated.
    #[error("Failed to parse the {field} field template: {error}")]
    Template {
        /// The stock builder's name of the field.
        field: &'static str,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// Something in a folder is neither a folder nor a regular file.
    #[error("'{0}' is neither a folder nor a regular file")]
    FileType(String),
    /// A file or a folder is larger than this builder takes.
    #[error("'{path}' exceeds the limit of {limit}")]
    Limit {
        /// The file or folder.
        path: String,
        /// The limit and its unit.
        limit: &'static str,
    },
    /// A file that is inlined does not hold text.
    #[error("'{0}' is not a PEM file")]
    NotText(String),

    // The peer's configuration is at fault.
    /// The builder's configuration is not a JSON object.
    #[error("Failed to unmarshal {0}")]
    Configuration(String),

    // The machine is at fault.
    /// A file that has to be there is not.
    #[error("{0} not found")]
    NotFound(String),
    /// A file or folder cannot be read or written.
    #[error("could not {action} '{path}'")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl BuilderError {
    /// What a person can do about it, in one sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::NotSupported(_) | Self::NotCcaas(_) => {
                "write \"type\": \"ccaas\" into metadata.json, or configure a builder for this type"
            }
            Self::Metadata(_) => "write metadata.json as {\"type\":\"ccaas\",\"label\":\"name_1.0\"}",
            Self::Connection(JsonError::Type { field: "dial_timeout", .. }) => {
                "write \"dial_timeout\": \"10s\""
            }
            Self::Connection(JsonError::Type { expected: "bool", .. }) => {
                "write true or false without quotes"
            }
            Self::Connection(_) => "correct connection.json and build the package again",
            Self::Template { error: TemplateError::MissingKey { .. }, .. } => {
                "give the member in CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG, and list that variable under the builder's \
                 propagateEnvironment in core.yaml"
            }
            Self::Template { .. } => "use only members of the configuration, such as {{.peername}}",
            Self::FileType(_) => "replace the link by the file it stands for",
            Self::Limit { .. } => "leave out what the chaincode does not need",
            Self::NotText(_) => "convert the file to PEM (openssl x509 -inform der -out ca.pem)",
            Self::Configuration(_) => {
                "set CHAINCODE_AS_A_SERVICE_BUILDER_CONFIG to a JSON object such as {\"peername\":\"peer0org1\"}"
            }
            Self::NotFound(_) => {
                "put it there: connection.json at the top of code.tar.gz, metadata.json at the top of the package"
            }
            Self::Io { .. } => {
                "check that the path exists, that its permissions allow this, and that the disk has room"
            }
        }
    }
}

/// What a build did that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// connection.json has no `dial_timeout`.
    #[error(
        "connection.json has no dial_timeout, and the peer refuses the empty one: write \"dial_timeout\": \"10s\""
    )]
    NoDialTimeout,
    /// A file was inlined, which the stock builder does not do.
    #[error("{field} was read from the file {path}; the stock ccaas builder does not do that")]
    Inlined {
        /// The field.
        field: &'static str,
        /// The file, relative to the code.
        path: String,
    },
    /// `domain` was kept, which the stock builder does not do.
    #[error("domain was kept; the stock ccaas builder drops it")]
    DomainKept,
}

/// Whether the package is one for this builder: its type is `ccaas` in any mix of cases. `src` is not looked at.
///
/// # Errors
/// [`BuilderError`] when it is not, or metadata.json cannot be read. Any error means exit code 1.
pub fn detect(_src: &Path, meta: &Path) -> Result<(), BuilderError> {
    let chaincode_type = chaincode_type(meta)?;
    if is_ccaas(&chaincode_type) { Ok(()) } else { Err(BuilderError::NotSupported(chaincode_type)) }
}

/// Copies the metadata and META-INF to `bld` and writes the evaluated connection.json there. `configuration` is the
/// value of [`CONFIGURATION_VARIABLE`], empty when it is not set.
///
/// As with the stock builder, metadata and META-INF are in `bld` even when the connection.json is at fault.
///
/// # Errors
/// [`BuilderError`]; any means exit code 1.
pub fn build(src: &Path, meta: &Path, bld: &Path, configuration: &str) -> Result<Vec<Warning>, BuilderError> {
    let chaincode_type = chaincode_type(meta)?;
    if !is_ccaas(&chaincode_type) {
        return Err(BuilderError::NotCcaas(chaincode_type));
    }
    files::copy_tree(&files::resolved(meta)?, bld)?;
    let meta_inf = src.join("META-INF");
    if files::exists(&meta_inf)? {
        files::copy_tree(&meta_inf, &bld.join("META-INF"))?;
    }
    let document = files::read(&src.join(CONNECTION_FILE))?;
    let source = Source::parse(&document).map_err(BuilderError::Connection)?;
    let configuration = parse_configuration(configuration)?;
    let mut warnings = Vec::new();
    let evaluated = source.evaluated(&configuration, src, &mut warnings)?;
    files::write_private(&bld.join(CONNECTION_FILE), evaluated.to_json().as_bytes())?;
    Ok(warnings)
}

/// Copies what the peer reads to `release`: META-INF/statedb as `statedb`, and connection.json as
/// [`RELEASED_CONNECTION`].
///
/// # Errors
/// [`BuilderError`]; any means exit code 1.
pub fn release(bld: &Path, release: &Path) -> Result<(), BuilderError> {
    let statedb = bld.join("META-INF/statedb");
    if files::exists(&statedb)? {
        files::copy_tree(&statedb, &release.join("statedb"))?;
    }
    let connection = files::read(&bld.join(CONNECTION_FILE))?;
    let target = release.join(RELEASED_CONNECTION);
    files::make_folders(&release.join("chaincode/server"))?;
    files::write_private(&target, &connection)
}

fn chaincode_type(meta: &Path) -> Result<String, BuilderError> {
    let document = files::read(&meta.join(METADATA_FILE))?;
    let object = Object::parse(&document, "chaincodeMetadata").map_err(BuilderError::Metadata)?;
    object.text("type").map_err(BuilderError::Metadata)
}

fn parse_configuration(text: &str) -> Result<Map<String, Value>, BuilderError> {
    if text.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(other) => Err(BuilderError::Configuration(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            type_name(&other)
        ))),
        Err(error) => Err(BuilderError::Configuration(error.to_string())),
    }
}

/// connection.json as the stock builder reads and writes it, with `domain` besides.
#[derive(Default)]
struct Source {
    address: String,
    dial_timeout: String,
    tls_required: bool,
    client_auth_required: bool,
    root_cert: String,
    client_key: String,
    client_cert: String,
    domain: String,
}

impl Source {
    fn parse(document: &[u8]) -> Result<Self, JsonError> {
        let object = Object::parse(document, "connection")?;
        Ok(Self {
            address: object.text("address")?,
            dial_timeout: object.text("dial_timeout")?,
            tls_required: object.boolean("tls_required")?,
            client_auth_required: object.boolean("client_auth_required")?,
            root_cert: object.text("root_cert")?,
            client_key: object.text("client_key")?,
            client_cert: object.text("client_cert")?,
            // The stock builder does not decode this field, so it cannot fail on its type either.
            domain: object.text("domain").unwrap_or_default(),
        })
    }

    /// Without TLS only address and dial_timeout count.
    fn evaluated(
        &self,
        configuration: &Map<String, Value>,
        src: &Path,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, BuilderError> {
        let evaluate = |field, text: &str| {
            template::evaluate(text, configuration).map_err(|error| BuilderError::Template { field, error })
        };
        let mut evaluated = Self {
            address: evaluate("Address", &self.address)?,
            dial_timeout: evaluate("DialTimeout", &self.dial_timeout)?,
            ..Self::default()
        };
        if evaluated.dial_timeout.is_empty() {
            warnings.push(Warning::NoDialTimeout);
        }
        if !self.tls_required {
            return Ok(evaluated);
        }
        evaluated.tls_required = true;
        evaluated.client_auth_required = self.client_auth_required;
        evaluated.root_cert = inlined(src, "root_cert", evaluate("RootCert", &self.root_cert)?, warnings)?;
        evaluated.client_key =
            inlined(src, "client_key", evaluate("ClientKey", &self.client_key)?, warnings)?;
        evaluated.client_cert =
            inlined(src, "client_cert", evaluate("ClientCert", &self.client_cert)?, warnings)?;
        evaluated.domain = evaluate("Domain", &self.domain)?;
        if !evaluated.domain.is_empty() {
            warnings.push(Warning::DomainKept);
        }
        Ok(evaluated)
    }

    fn to_json(&self) -> String {
        let domain = if self.domain.is_empty() {
            String::new()
        } else {
            format!(",\"domain\":{}", encode_text(&self.domain))
        };
        format!(
            "{{\"address\":{},\"dial_timeout\":{},\"tls_required\":{},\"client_auth_required\":{},\
             \"root_cert\":{},\"client_key\":{},\"client_cert\":{}{domain}}}",
            encode_text(&self.address),
            encode_text(&self.dial_timeout),
            self.tls_required,
            self.client_auth_required,
            encode_text(&self.root_cert),
            encode_text(&self.client_key),
            encode_text(&self.client_cert),
        )
    }
}

/// The content of the file in `src` that `value` names, or `value` itself when it names none.
fn inlined(
    src: &Path,
    field: &'static str,
    value: String,
    warnings: &mut Vec<Warning>,
) -> Result<String, BuilderError> {
    let plain = value.len() <= 1024
        && !value.contains(char::is_control)
        && value.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if !plain {
        return Ok(value);
    }
    let Some(content) = files::read_inside(src, &value)? else {
        return Ok(value);
    };
    let text = String::from_utf8(content).ok().filter(|text| text.contains("-----BEGIN "));
    let text = text.ok_or_else(|| BuilderError::NotText(value.clone()))?;
    warnings.push(Warning::Inlined { field, path: value });
    Ok(text)
}
