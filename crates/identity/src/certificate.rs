//! X.509 certificates as Fabric looks at them.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;
use thiserror::Error;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

/// The largest certificate accepted, in bytes of PEM or DER. Certificates of real networks have about 1 KiB.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// The extension in which Fabric CA puts attributes: raw JSON, not wrapped in another DER string.
const ATTRIBUTES_OID: &str = "1.2.3.4.5.6.7.8.1";

/// Why bytes are not a certificate.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// More bytes than [`MAX_CERTIFICATE_BYTES`].
    #[error("the certificate has {0} bytes, more than the {MAX_CERTIFICATE_BYTES} allowed")]
    TooLarge(usize),
    /// No PEM block.
    #[error("could not decode the PEM structure")]
    Pem,
    /// The contents are not an X.509 certificate; the text says where parsing stopped.
    #[error("parseCertificate failed: x509: malformed certificate: {0}")]
    Malformed(String),
}

/// A parsed certificate. Cloning shares nothing but the encoded bytes; keep it behind an `Arc` where it is shared.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    pub(crate) der: Bytes,
    pub(crate) to_be_signed: Bytes,
    pub(crate) signature_algorithm: String,
    pub(crate) signature: Bytes,
    pub(crate) version: u32,
    pub(crate) serial: Vec<u8>,
    pub(crate) subject: Name,
    pub(crate) issuer: Name,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) public_key: PublicKeyInfo,
    pub(crate) extensions: Extensions,
}

/// The subject public key, as encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKeyInfo {
    /// The key algorithm's object identifier.
    pub(crate) algorithm: String,
    /// The named curve's object identifier, for elliptic curve keys.
    pub(crate) curve: Option<String>,
    /// The contents of the bit string: an uncompressed point, an RSA key, or an Ed25519 key.
    pub(crate) bytes: Bytes,
}

/// What the extensions say, as far as chains of trust depend on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extensions {
    /// The CA flag and the path length, if basic constraints are present.
    pub(crate) basic_constraints: Option<(bool, Option<u32>)>,
    /// Whether the key may sign certificates, if key usage is present.
    pub(crate) may_sign_certificates: Option<bool>,
    /// Whether the extended key usage admits servers, if it is present.
    pub(crate) admits_servers: Option<bool>,
    pub(crate) subject_key_identifier: Option<Bytes>,
    pub(crate) has_name_constraints: bool,
    pub(crate) unknown_critical: Option<String>,
    pub(crate) attributes: Option<Bytes>,
}

/// A distinguished name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) raw: Bytes,
    /// Object identifier and text of every attribute that is text, in order.
    pub(crate) attributes: Vec<(String, String)>,
}

impl Certificate {
    /// Reads the first PEM block, whatever its label, as Fabric does; text around it is ignored.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        if pem.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge(pem.len()));
        }
        let block = pem::parse(pem).map_err(|_| CertificateError::Pem)?;
        Self::from_der(Bytes::from(block.into_contents()))
    }

    /// Reads one certificate; bytes after it are an error.
    pub fn from_der(der: Bytes) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLarge(der.len()));
        }
        let malformed = |reason: &dyn fmt::Display| CertificateError::Malformed(reason.to_string());
        let (rest, parsed) = X509Certificate::from_der(&der).map_err(|error| malformed(&error))?;
        if !rest.is_empty() {
            return Err(malformed(&"trailing data"));
        }
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let key = parsed.public_key();
        Ok(Self {
            to_be_signed: copy(parsed.tbs_certificate.as_ref()),
            signature_algorithm: parsed.signature_algorithm.algorithm.to_id_string(),
            signature: copy(&parsed.signature_value.data),
            version: parsed.version().0.saturating_add(1),
            serial: minimal(parsed.raw_serial()).to_vec(),
            subject: Name::read(parsed.subject()),
            issuer: Name::read(parsed.issuer()),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            public_key: PublicKeyInfo {
                algorithm: key.algorithm.algorithm.to_id_string(),
                curve: key
                    .algorithm
                    .parameters
                    .as_ref()
                    .and_then(|parameters| parameters.as_oid().ok())
                    .map(|oid| oid.to_id_string()),
                bytes: copy(&key.subject_public_key.data),
            },
            extensions: Extensions::read(&parsed).map_err(|error| malformed(&error))?,
            der: der.clone(),
        })
    }

    /// The encoded certificate.
    pub fn der(&self) -> &Bytes {
        &self.der
    }

    /// The serial number, big-endian without leading zeros.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// The subject as Go's client identity library writes it; see [`crate::Creator::id`].
    pub fn subject(&self) -> String {
        self.subject.to_rfc2253()
    }

    /// The issuer, written like the subject.
    pub fn issuer(&self) -> String {
        self.issuer.to_rfc2253()
    }

    /// The subject's common name; the last one if there are several.
    pub fn common_name(&self) -> Option<&str> {
        self.subject.values("2.5.4.3").last()
    }

    /// The subject's organizational units, in order.
    pub fn organizational_units(&self) -> impl Iterator<Item = &str> {
        self.subject.values("2.5.4.11")
    }

    /// The first second of validity, in Unix time.
    pub fn not_before(&self) -> i64 {
        self.not_before
    }

    /// The last second of validity, in Unix time.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// Whether basic constraints mark this as a certificate authority.
    pub fn is_ca(&self) -> bool {
        matches!(self.extensions.basic_constraints, Some((true, _)))
    }

    /// The subject key identifier, if there is one.
    pub fn subject_key_identifier(&self) -> Option<&Bytes> {
        self.extensions.subject_key_identifier.as_ref()
    }

    /// The value of Fabric CA's attribute extension, if there is one.
    pub(crate) fn attributes(&self) -> Option<&Bytes> {
        self.extensions.attributes.as_ref()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Certificate")
            .field("subject", &self.subject())
            .field("issuer", &self.issuer())
            .finish_non_exhaustive()
    }
}

impl Extensions {
    fn read(parsed: &X509Certificate<'_>) -> Result<Self, String> {
        let mut extensions = Self::default();
        let mut seen = HashSet::new();
        for extension in parsed.extensions() {
            let oid = extension.oid.to_id_string();
            if !seen.insert(oid.clone()) {
                return Err(format!("the extension {oid} occurs twice"));
            }
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => {
                    extensions.basic_constraints = Some((constraints.ca, constraints.path_len_constraint));
                }
                ParsedExtension::KeyUsage(usage) => {
                    extensions.may_sign_certificates = Some(usage.flags == 0 || usage.key_cert_sign());
                }
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    extensions.admits_servers = Some(usage.any || usage.server_auth);
                }
                ParsedExtension::SubjectKeyIdentifier(identifier) => {
                    extensions.subject_key_identifier = Some(Bytes::copy_from_slice(identifier.0));
                }
                ParsedExtension::NameConstraints(_) => extensions.has_name_constraints = true,
                ParsedExtension::ParseError { error } => {
                    return Err(format!("the extension {oid} is malformed: {error}"));
                }
                _ if oid == ATTRIBUTES_OID => {
                    extensions.attributes = Some(Bytes::copy_from_slice(extension.value));
                }
                ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                    extensions.unknown_critical = Some(oid);
                }
                _ => {}
            }
        }
        Ok(extensions)
    }
}

impl Name {
    fn read(name: &X509Name<'_>) -> Self {
        let attributes = name
            .iter_attributes()
            .filter_map(|attribute| {
                Some((attribute.attr_type().to_id_string(), text(attribute.attr_value())?))
            })
            .collect();
        Self { raw: Bytes::copy_from_slice(name.as_raw()), attributes }
    }

    fn values<'a>(&'a self, oid: &'a str) -> impl Iterator<Item = &'a str> {
        self.attributes.iter().filter(move |(key, _)| key == oid).map(|(_, value)| value.as_str())
    }

    /// The name in RFC 2253 form, as Go's `pkix.Name` renders what it understood of a certificate: the attribute
    /// types below only, each gathered into one multi-valued part, the most specific part first.
    fn to_rfc2253(&self) -> String {
        let gathered = |(oid, label): &(&str, &str)| {
            let values: Vec<_> = self.values(oid).map(|value| format!("{label}={}", escape(value))).collect();
            (!values.is_empty()).then(|| values.join("+"))
        };
        let single = |(oid, label): &(&str, &str)| {
            self.values(oid)
                .last()
                .filter(|value| !value.is_empty())
                .map(|value| format!("{label}={}", escape(value)))
        };
        let parts: Vec<_> =
            SINGLE.iter().filter_map(single).chain(GATHERED.iter().filter_map(gathered)).collect();
        parts.join(",")
    }
}

/// Attribute types of which Go keeps the last value only.
const SINGLE: [(&str, &str); 2] = [("2.5.4.5", "SERIALNUMBER"), ("2.5.4.3", "CN")];
/// Attribute types of which Go keeps every value, the most specific first.
const GATHERED: [(&str, &str); 7] = [
    ("2.5.4.11", "OU"),
    ("2.5.4.10", "O"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.6", "C"),
];

fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (index, character) in value.char_indices() {
        let at_edge =
            (index == 0 && matches!(character, ' ' | '#')) || (index + 1 == value.len() && character == ' ');
        if at_edge || matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The text of an attribute value of one of the string types that Go takes for text.
fn text(value: &x509_parser::der_parser::asn1_rs::Any<'_>) -> Option<String> {
    const BMP_STRING: u32 = 30;
    const TEXT_TAGS: [u32; 6] = [12, 18, 19, 20, 22, 27];
    let tag = value.tag().0;
    if tag == BMP_STRING {
        let (units, rest) = value.data.as_chunks::<2>();
        let units: Vec<_> = units.iter().map(|pair| u16::from_be_bytes(*pair)).collect();
        return rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten();
    }
    TEXT_TAGS.contains(&tag).then(|| String::from_utf8(value.data.to_vec()).ok()).flatten()
}

fn minimal(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
