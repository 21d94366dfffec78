//! What a certificate says, read for messages, rules and checks. Reading proves nothing about trust.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use aws_lc_rs::digest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use crate::text::escape;

/// A moment in seconds since 1970, shown as `2026-11-22T10:00:00Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub(crate) fn from_unix(time: rustls_pki_types::UnixTime) -> Self {
        Self(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match time::OffsetDateTime::from_unix_timestamp(self.0) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            ),
            Err(_) => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// A certificate's SHA-256 fingerprint, over its DER. Written as 64 hex digits; read with or without colons.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// The text is not the hexadecimal SHA-256 of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no SHA-256 fingerprint: 64 hexadecimal digits are needed, colons between them are allowed"
)]
pub struct NotAFingerprint {
    text: String,
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| NotAFingerprint { text: escape(text) })?;
        Ok(Self(bytes))
    }
}

/// What a certificate says. All text is escaped for terminals and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject's distinguished name.
    pub subject: String,
    /// The subject's common name, if it has one.
    pub common_name: Option<String>,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// Subject alternative names that are DNS names.
    pub dns_names: Vec<String>,
    /// Subject alternative names that are IP addresses.
    pub ip_addresses: Vec<IpAddr>,
    /// Subject alternative names that are URIs, such as SPIFFE ids.
    pub uris: Vec<String>,
    /// The first moment of validity.
    pub not_before: Timestamp,
    /// The last moment of validity.
    pub not_after: Timestamp,
    /// SHA-256 over the DER.
    pub fingerprint: Fingerprint,
    /// Extended key usages in Fabric's and openssl's words; `None` when the certificate is not restricted.
    pub extended_key_usage: Option<Vec<String>>,
    /// Whether it may sign other certificates: CA:TRUE (or X.509 version 1, which cannot say) and, where it
    /// has a key usage, keyCertSign. This is Go's rule for roots.
    pub may_issue: bool,
    pub(crate) raw_subject: Vec<u8>,
    pub(crate) raw_issuer: Vec<u8>,
    /// As they stand in the certificate, for rules: escaping and cutting is for people.
    pub(crate) raw_dns_names: Vec<String>,
    pub(crate) raw_uris: Vec<String>,
    pub(crate) allows_server: bool,
    pub(crate) allows_client: bool,
}

impl CertificateFacts {
    /// Reads one certificate in DER.
    ///
    /// # Errors
    /// With the reason, when it is not X.509 or bytes follow it.
    pub fn from_der(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let names = AlternativeNames::of(&certificate)?;
        let usage = ExtendedUsage::of(&certificate);
        Ok(Self {
            subject: escape(&certificate.subject().to_string()),
            common_name: certificate
                .subject()
                .iter_common_name()
                .next()
                .and_then(|name| name.as_str().ok())
                .map(escape),
            issuer: escape(&certificate.issuer().to_string()),
            dns_names: names.dns.iter().map(|name| escape(name)).collect(),
            ip_addresses: names.ip,
            uris: names.uri.iter().map(|uri| escape(uri)).collect(),
            not_before: Timestamp(certificate.validity().not_before.timestamp()),
            not_after: Timestamp(certificate.validity().not_after.timestamp()),
            fingerprint: Fingerprint::of(der),
            extended_key_usage: usage.names,
            may_issue: may_issue(&certificate),
            raw_subject: certificate.subject().as_raw().to_vec(),
            raw_issuer: certificate.issuer().as_raw().to_vec(),
            raw_dns_names: names.dns,
            raw_uris: names.uri,
            allows_server: usage.server,
            allows_client: usage.client,
        })
    }

    /// DNS names, addresses and URIs together, as an operator lists them.
    #[must_use]
    pub fn alternative_names(&self) -> Vec<String> {
        let addresses = self.ip_addresses.iter().map(ToString::to_string);
        self.dns_names.iter().cloned().chain(addresses).chain(self.uris.iter().cloned()).collect()
    }
}

#[derive(Default)]
struct AlternativeNames {
    dns: Vec<String>,
    ip: Vec<IpAddr>,
    uri: Vec<String>,
}

impl AlternativeNames {
    fn of(certificate: &X509Certificate<'_>) -> Result<Self, String> {
        let mut names = Self::default();
        let extension = certificate.subject_alternative_name().map_err(|error| error.to_string())?;
        for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::URI(name) => names.uri.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.ip.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(names)
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        Some(four.into())
    } else {
        <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
    }
}

struct ExtendedUsage {
    names: Option<Vec<String>>,
    server: bool,
    client: bool,
}

impl ExtendedUsage {
    fn of(certificate: &X509Certificate<'_>) -> Self {
        let found =
            certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
                ParsedExtension::ExtendedKeyUsage(usage) => Some(usage),
                _ => None,
            });
        let Some(usage) = found else { return Self { names: None, server: true, client: true } };
        let known = [
            (usage.any, "anyExtendedKeyUsage"),
            (usage.server_auth, "serverAuth"),
            (usage.client_auth, "clientAuth"),
            (usage.code_signing, "codeSigning"),
            (usage.email_protection, "emailProtection"),
            (usage.time_stamping, "timeStamping"),
            (usage.ocsp_signing, "OCSPSigning"),
        ];
        let known = known.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned());
        let names = known.chain(usage.other.iter().map(ToString::to_string)).collect();
        Self {
            names: Some(names),
            server: usage.any || usage.server_auth,
            client: usage.any || usage.client_auth,
        }
    }
}

fn may_issue(certificate: &X509Certificate<'_>) -> bool {
    let authority = certificate.version() == X509Version::V1 || certificate.is_ca();
    let may_sign = match certificate.key_usage() {
        Ok(Some(usage)) => usage.value.key_cert_sign(),
        Ok(None) => true,
        Err(_) => false,
    };
    authority && may_sign
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use selvedge_pki::{LeafSpec, self_signed};

    use super::*;

    fn der() -> Vec<u8> {
        let sans = ["localhost", "10.0.0.1", "spiffe://a/b"].map(String::from).to_vec();
        let leaf = self_signed(&LeafSpec { common_name: "cc".into(), sans, ..LeafSpec::default() });
        let pem = leaf.expect("a certificate").certificate_pem;
        use rustls_pki_types::pem::PemObject;
        rustls_pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec()
    }

    proptest! {
        #[test]
        fn damaged_certificates_are_read_or_refused_without_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            length in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = der();
            for (index, value) in damage {
                let place = index.index(bytes.len());
                bytes[place] = value;
            }
            if cut {
                bytes.truncate(length.index(bytes.len()));
            }
            if let Ok(facts) = CertificateFacts::from_der(&bytes) {
                prop_assert_eq!(facts.fingerprint, Fingerprint::of(&bytes));
                prop_assert!(facts.alternative_names().iter().all(|name| !name.contains(char::is_control)));
            }
        }
    }

    #[test]
    fn moments_are_written_as_in_rfc_3339() {
        assert_eq!(Timestamp(1_795_342_245).to_string(), "2026-11-22T10:10:45Z");
        assert_eq!(Timestamp(i64::MAX).to_string(), format!("{} s after 1970", i64::MAX));
    }
}
