//! `connection.json`: where a peer finds a chaincode server and how it secures the connection.
//!
//! | Field | Type | Rule |
//! |---|---|---|
//! | `address` | text | required, `host:port` |
//! | `dial_timeout` | Go duration text, or a number of **nanoseconds** | zero or absent: 3 s |
//! | `tls_required` | boolean | false: plaintext, and the rest is ignored |
//! | `client_auth_required` | boolean | needs `client_key` and `client_cert` |
//! | `root_cert` | PEM text | required with TLS; several certificates may follow each other |
//! | `client_cert`, `client_key` | PEM text | used with client authentication only |
//! | `domain` | text | replaces the server's name; used with client authentication only |
//!
//! This is what the peer reads from the release folder. The stock ccaas builder, through which a package's
//! connection.json passes first, wants `dial_timeout` as a text, turns an absent one into `""` (which the peer
//! then refuses) and drops `domain`.

use std::fmt;
use std::time::Duration;

use selvedge_proto::duration::{DurationError, GoDuration};
use serde_json::Value;
use thiserror::Error;

use crate::error::JsonError;
use crate::json::{Object, encode_text};

/// How long Fabric's peer dials when connection.json does not say.
pub const DEFAULT_DIAL_TIMEOUT: GoDuration = GoDuration::from_secs(3);

const STRUCTURE: &str = "ChaincodeServerUserData";
const FIELDS: [&str; 8] = [
    "address",
    "dial_timeout",
    "domain",
    "tls_required",
    "client_auth_required",
    "root_cert",
    "client_key",
    "client_cert",
];

/// The fields of a connection.json, decoded but not judged; [`Connection::server`] judges them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Connection {
    /// The server's `host:port`.
    pub address: String,
    /// How long to dial; [`GoDuration::ZERO`] for Fabric's default of 3 s.
    pub dial_timeout: GoDuration,
    /// The server name to expect in place of the address's host.
    pub domain: String,
    /// Whether the connection is under TLS.
    pub tls_required: bool,
    /// Whether the peer shows a certificate.
    pub client_auth_required: bool,
    /// The certificates that the server's chain may end in, PEM.
    pub root_cert: String,
    /// The private key of the peer's certificate, PEM.
    pub client_key: String,
    /// The certificate that the peer shows, PEM.
    pub client_cert: String,
}

/// What a peer does with a connection.json, after all checks Fabric makes before it dials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The server's `host:port`.
    pub address: String,
    /// How long to dial.
    pub dial_timeout: Duration,
    /// How the connection is secured.
    pub security: Security,
}

/// How the connection to a chaincode server is secured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    Plaintext,
    /// TLS.
    Tls {
        /// The certificates that the server's chain may end in, PEM.
        root_cert: String,
        /// The peer's own certificate, when client authentication is asked for.
        client: Option<Client>,
    },
}

/// The peer's own certificate for a chaincode server.
#[derive(Clone, PartialEq, Eq)]
pub struct Client {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
    /// The server name to expect in place of the address's host.
    pub domain: Option<String>,
}

/// Why a connection.json cannot be used. The texts are Fabric's wherever Fabric has one;
/// [`ConnectionError::cause`] and [`ConnectionError::fix`] say what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The document or a field does not decode.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `dial_timeout` is a text that is no duration.
    #[error(transparent)]
    Duration(#[from] DurationError),
    /// `dial_timeout` is neither a text nor a number.
    #[error("invalid duration")]
    DurationType,
    /// `dial_timeout` does not fit, or is negative: Fabric's peer gives up at once then.
    #[error("dial_timeout {0} is out of range")]
    DurationRange(String),
    /// No address.
    #[error("chaincode address not provided")]
    NoAddress,
    /// Client authentication without a key.
    #[error("chaincode tls key not provided")]
    NoClientKey,
    /// Client authentication without a certificate.
    #[error("chaincode tls cert not provided")]
    NoClientCertificate,
    /// TLS without a certificate to trust.
    #[error("chaincode tls root cert not provided")]
    NoRootCertificate,
}

impl Connection {
    /// Decodes a connection.json with the types and in the way of Fabric's peer; unknown fields are ignored.
    ///
    /// # Errors
    /// [`ConnectionError`] when the document or a field does not decode.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConnectionError> {
        let object = Object::parse(bytes, STRUCTURE)?;
        let mut dial_timeout = GoDuration::ZERO;
        for value in object.values("dial_timeout") {
            dial_timeout = decode_duration(value)?;
        }
        Ok(Self {
            address: object.text("address")?,
            dial_timeout,
            domain: object.text("domain")?,
            tls_required: object.boolean("tls_required")?,
            client_auth_required: object.boolean("client_auth_required")?,
            root_cert: object.text("root_cert")?,
            client_key: object.text("client_key")?,
            client_cert: object.text("client_cert")?,
        })
    }

    /// What a peer would do with it.
    ///
    /// # Errors
    /// [`ConnectionError`] when something is missing, checked in Fabric's order.
    pub fn server(&self) -> Result<Server, ConnectionError> {
        if self.address.is_empty() {
            return Err(ConnectionError::NoAddress);
        }
        let timeout =
            if self.dial_timeout == GoDuration::ZERO { DEFAULT_DIAL_TIMEOUT } else { self.dial_timeout };
        let dial_timeout =
            timeout.to_std().ok_or_else(|| ConnectionError::DurationRange(timeout.to_string()))?;
        Ok(Server { address: self.address.clone(), dial_timeout, security: self.security()? })
    }

    /// Writes the document for a package: fields in a fixed order, empty ones left out, `dial_timeout` always as
    /// a text, so that the stock builder understands it.
    pub fn to_json(&self) -> String {
        let timeout =
            if self.dial_timeout == GoDuration::ZERO { DEFAULT_DIAL_TIMEOUT } else { self.dial_timeout };
        let mut members = vec![
            format!("\"address\":{}", encode_text(&self.address)),
            format!("\"dial_timeout\":{}", encode_text(&timeout.to_string())),
        ];
        if !self.domain.is_empty() {
            members.push(format!("\"domain\":{}", encode_text(&self.domain)));
        }
        members.push(format!("\"tls_required\":{}", self.tls_required));
        if self.client_auth_required {
            members.push("\"client_auth_required\":true".to_owned());
        }
        let texts = [
            ("root_cert", &self.root_cert),
            ("client_key", &self.client_key),
            ("client_cert", &self.client_cert),
        ];
        for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            members.push(format!("\"{name}\":{}", encode_text(text)));
        }
        format!("{{{}}}", members.join(","))
    }

    /// What is legal in connection.json but most likely not meant, for a person to read.
    ///
    /// # Errors
    /// [`ConnectionError`] when the document or a field does not decode.
    pub fn warnings(bytes: &[u8]) -> Result<Vec<Warning>, ConnectionError> {
        let connection = Self::parse(bytes)?;
        let object = Object::parse(bytes, STRUCTURE)?;
        let mut warnings = Vec::new();
        match object.values("dial_timeout").last() {
            None => warnings.push(Warning::NoDialTimeout),
            Some(Value::Number(_)) => warnings.push(Warning::NumericDialTimeout(connection.dial_timeout)),
            Some(_) => {}
        }
        if !connection.domain.is_empty() {
            warnings.push(Warning::DomainDropped);
            if !(connection.tls_required && connection.client_auth_required) {
                warnings.push(Warning::DomainIgnored);
            }
        }
        if !connection.tls_required {
            warnings.push(Warning::Plaintext);
        }
        if connection.client_key.contains("PRIVATE KEY") {
            warnings.push(Warning::EmbeddedKey);
        }
        warnings
            .extend(object.others(&FIELDS).map(|(name, _)| Warning::UnknownField(crate::error::shown(name))));
        Ok(warnings)
    }

    fn security(&self) -> Result<Security, ConnectionError> {
        if !self.tls_required {
            return Ok(Security::Plaintext);
        }
        if self.client_auth_required && self.client_key.is_empty() {
            return Err(ConnectionError::NoClientKey);
        }
        if self.client_auth_required && self.client_cert.is_empty() {
            return Err(ConnectionError::NoClientCertificate);
        }
        if self.root_cert.is_empty() {
            return Err(ConnectionError::NoRootCertificate);
        }
        let client = self.client_auth_required.then(|| Client {
            certificate: self.client_cert.clone(),
            key: self.client_key.clone(),
            domain: Some(self.domain.clone()).filter(|domain| !domain.is_empty()),
        });
        Ok(Security::Tls { root_cert: self.root_cert.clone(), client })
    }
}

impl ConnectionError {
    /// What stands behind the error, in one sentence.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Json(JsonError::Type { expected: "bool", .. }) => {
                "tls_required and client_auth_required are JSON booleans; \"true\" in quotes is a text"
            }
            Self::Json(JsonError::Type { .. }) => "a field has another JSON type than Fabric reads",
            Self::Json(_) => "connection.json is not a JSON object",
            Self::Duration(DurationError::Invalid(text)) if text.is_empty() => {
                "the stock ccaas builder writes an empty dial_timeout when connection.json has none"
            }
            Self::Duration(DurationError::MissingUnit(_)) => "a duration in quotes needs a unit",
            Self::Duration(_) => "dial_timeout is not a Go duration",
            Self::DurationType => "dial_timeout is neither a text nor a number",
            Self::DurationRange(_) => "with such a dial_timeout Fabric's peer gives up before it dials",
            Self::NoAddress => "address is absent or empty",
            Self::NoClientKey => "client_auth_required is true but client_key is absent or empty",
            Self::NoClientCertificate => "client_auth_required is true but client_cert is absent or empty",
            Self::NoRootCertificate => "tls_required is true but root_cert is absent or empty",
        }
    }

    /// What to do about it, in one sentence.
    pub fn fix(&self) -> &'static str {
        match self {
            Self::Json(JsonError::Type { expected: "bool", .. }) => "write true or false without quotes",
            Self::Json(_) => {
                "correct the field; certificates and keys are PEM text with \\n between the lines"
            }
            Self::Duration(_) | Self::DurationType | Self::DurationRange(_) => {
                "write \"dial_timeout\": \"10s\""
            }
            Self::NoAddress => {
                "write \"address\": \"host:port\" of the chaincode server as the peer reaches it"
            }
            Self::NoClientKey => "put the PEM text of the peer's client key into client_key",
            Self::NoClientCertificate => "put the PEM text of the peer's client certificate into client_cert",
            Self::NoRootCertificate => {
                "put the PEM text of the CA that issued the server's certificate into root_cert"
            }
        }
    }
}

/// Something legal in connection.json that is most likely not meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Warning {
    /// The stock builder turns an absent `dial_timeout` into one the peer refuses.
    #[error(
        "without dial_timeout the stock ccaas builder writes an empty one, which the peer refuses; give \"10s\""
    )]
    NoDialTimeout,
    /// A number is nanoseconds, and the stock builder refuses it.
    #[error(
        "a numeric dial_timeout is nanoseconds ({0} here), and the stock ccaas builder refuses it; give \"10s\""
    )]
    NumericDialTimeout(GoDuration),
    /// The stock builder drops `domain`.
    #[error("the stock ccaas builder drops domain: the certificate must name the address's host there")]
    DomainDropped,
    /// The peer does not apply `domain`.
    #[error("domain has no effect unless tls_required and client_auth_required are both true")]
    DomainIgnored,
    /// No TLS.
    #[error(
        "tls_required is not true: everything between peer and chaincode can be read and changed on the way"
    )]
    Plaintext,
    /// A private key travels inside the package.
    #[error("client_key is inside the package: whoever has the package can pose as the peer")]
    EmbeddedKey,
    /// Nothing reads the field.
    #[error("the field {0} is not one Fabric reads")]
    UnknownField(String),
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("address", &self.address)
            .field("dial_timeout", &self.dial_timeout)
            .field("domain", &self.domain)
            .field("tls_required", &self.tls_required)
            .field("client_auth_required", &self.client_auth_required)
            .field("root_cert", &self.root_cert)
            .field("client_cert", &self.client_cert)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("certificate", &self.certificate)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

fn decode_duration(value: &Value) -> Result<GoDuration, ConnectionError> {
    match value {
        Value::String(text) => Ok(text.parse()?),
        Value::Number(number) => {
            // Go reads every number as a 64-bit float and cuts its fraction off; 2^63 is the first that does not fit.
            let float = number.as_f64().unwrap_or(f64::INFINITY);
            if float.abs() < 9_223_372_036_854_775_808.0 {
                Ok(GoDuration::from_nanos(float as i64))
            } else {
                Err(ConnectionError::DurationRange(number.to_string()))
            }
        }
        _ => Err(ConnectionError::DurationType),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Connection, ConnectionError, Security, Warning};
    use crate::GoDuration;

    fn server_error(json: &str) -> ConnectionError {
        Connection::parse(json.as_bytes()).and_then(|connection| connection.server()).unwrap_err()
    }

    #[test]
    fn the_dial_timeout_is_a_text_or_nanoseconds() {
        for (json, timeout) in [
            (r#"{"address":"a:1"}"#, Duration::from_secs(3)),
            (r#"{"address":"a:1","dial_timeout":0}"#, Duration::from_secs(3)),
            (r#"{"address":"a:1","dial_timeout":"0"}"#, Duration::from_secs(3)),
            (r#"{"address":"a:1","dial_timeout":"1m30s"}"#, Duration::from_secs(90)),
            (r#"{"address":"a:1","dial_timeout":10}"#, Duration::from_nanos(10)),
            (r#"{"address":"a:1","dial_timeout":5e9}"#, Duration::from_secs(5)),
            (r#"{"address":"a:1","dial_timeout":1.9}"#, Duration::from_nanos(1)),
        ] {
            let server = Connection::parse(json.as_bytes()).unwrap().server().unwrap();
            assert_eq!(server.dial_timeout, timeout, "{json}");
            assert_eq!(server.security, Security::Plaintext);
        }
    }

    #[test]
    fn errors_are_fabrics() {
        for (json, text) in [
            ("{}", "chaincode address not provided"),
            (r#"{"address":"a:1","dial_timeout":""}"#, "time: invalid duration \"\""),
            (r#"{"address":"a:1","dial_timeout":"10"}"#, "time: missing unit in duration \"10\""),
            (r#"{"address":"a:1","dial_timeout":true}"#, "invalid duration"),
            (r#"{"address":"a:1","dial_timeout":null}"#, "invalid duration"),
            (r#"{"address":"a:1","dial_timeout":1e30}"#, "dial_timeout 1e+30 is out of range"),
            (r#"{"address":"a:1","dial_timeout":"-1s"}"#, "dial_timeout -1s is out of range"),
            (
                r#"{"address":"a:1","tls_required":"true"}"#,
                "json: cannot unmarshal string into Go struct field ChaincodeServerUserData.tls_required of type bool",
            ),
            (r#"{"address":"a:1","tls_required":true}"#, "chaincode tls root cert not provided"),
            (
                r#"{"address":"a:1","tls_required":true,"client_auth_required":true}"#,
                "chaincode tls key not provided",
            ),
            (
                r#"{"address":"a:1","tls_required":true,"client_auth_required":true,"client_key":"k"}"#,
                "chaincode tls cert not provided",
            ),
        ] {
            let error = server_error(json);
            assert_eq!(error.to_string(), text, "{json}");
            assert!(!error.cause().is_empty() && !error.fix().is_empty());
        }
    }

    #[test]
    fn the_domain_counts_with_client_authentication_only() {
        let mut connection = Connection {
            address: "a:1".into(),
            domain: "d".into(),
            tls_required: true,
            root_cert: "r".into(),
            client_key: "k".into(),
            client_cert: "c".into(),
            ..Connection::default()
        };
        let Security::Tls { client: None, .. } = connection.server().unwrap().security else {
            panic!("a client certificate without client authentication");
        };
        connection.client_auth_required = true;
        let Security::Tls { client: Some(client), .. } = connection.server().unwrap().security else {
            panic!("no client certificate");
        };
        assert_eq!(client.domain.as_deref(), Some("d"));
        assert!(!format!("{connection:?} {client:?}").contains("\"k\""), "a key is shown");
    }

    #[test]
    fn what_is_written_reads_back() {
        let connection = Connection {
            address: "a:1".into(),
            dial_timeout: GoDuration::from_secs(90),
            domain: "<d>".into(),
            tls_required: true,
            client_auth_required: true,
            root_cert: "-----BEGIN\n".into(),
            client_key: "k".into(),
            client_cert: "c".into(),
        };
        assert_eq!(Connection::parse(connection.to_json().as_bytes()).unwrap(), connection);
        let smallest = Connection { address: "a:1".into(), ..Connection::default() };
        assert_eq!(smallest.to_json(), r#"{"address":"a:1","dial_timeout":"3s","tls_required":false}"#);
    }

    #[test]
    fn traps_are_told() {
        let json = br#"{"address":"a:1","dial_timeout":10,"domain":"d","client_key":"-----BEGIN PRIVATE KEY-----","x":1}"#;
        assert_eq!(
            Connection::warnings(json).unwrap(),
            [
                Warning::NumericDialTimeout(GoDuration::from_nanos(10)),
                Warning::DomainDropped,
                Warning::DomainIgnored,
                Warning::Plaintext,
                Warning::EmbeddedKey,
                Warning::UnknownField("x".into()),
            ]
        );
    }
}
