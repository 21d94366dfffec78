//! Which clients are let in among those with a valid chain.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::certificate::{CertificateFacts, Fingerprint};
use crate::text::escape;

/// A client that is let in. With no rules, every client with a valid chain is; with rules, one must match.
///
/// As text a rule is its kind, a colon and its value:
///
/// ```
/// use selvedge_tls::ClientRule;
///
/// for text in [
///     "dns:peer0.org1.example.com",
///     "ip:10.0.0.7",
///     "uri:spiffe://example.com/peer0",
///     "msp:Org1MSP",
///     "sha256:4f5db4ab0d9a2e1e6ae3c4bcd2f1f0c0a8b1b5a3d6f4e2c1b0a9f8e7d6c5b4a3",
/// ] {
///     let rule: ClientRule = text.parse().expect("a rule");
///     assert_eq!(rule.to_string(), text);
/// }
/// // A SPIFFE id says what it is by itself.
/// assert_eq!("spiffe://a/b".parse(), Ok(ClientRule::Uri("spiffe://a/b".into())));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientRule {
    /// A DNS name among the certificate's alternative names, without regard to case; no wildcards.
    DnsName(String),
    /// An IP address among them. It is the certificate's, not the one that the client connects from.
    IpAddress(IpAddr),
    /// A URI among them, byte for byte, such as the SPIFFE id `spiffe://example.com/peer0`.
    Uri(String),
    /// Exactly this certificate.
    Fingerprint(Fingerprint),
    /// Any certificate of an authority that is mapped to this MSP.
    Msp(String),
}

impl ClientRule {
    pub(crate) fn matches(&self, facts: &CertificateFacts, msp: Option<&str>) -> bool {
        match self {
            Self::DnsName(name) => facts.raw_dns_names.iter().any(|dns| dns.eq_ignore_ascii_case(name)),
            Self::IpAddress(address) => facts.ip_addresses.contains(address),
            Self::Uri(uri) => facts.raw_uris.contains(uri),
            Self::Fingerprint(fingerprint) => facts.fingerprint == *fingerprint,
            Self::Msp(name) => msp == Some(name),
        }
    }

    /// Reads a list: one rule a line; empty lines and lines that begin with `#` say nothing.
    ///
    /// # Errors
    /// The first line that is no rule.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, NotARule> {
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::parse).collect()
    }
}

/// The text is no rule for clients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} allows no client: {reason}")]
pub struct NotARule {
    text: String,
    reason: &'static str,
}

impl FromStr for ClientRule {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, NotARule> {
        let fail = |reason| NotARule { text: escape(text), reason };
        let text = text.trim();
        if text.starts_with("spiffe://") {
            return Ok(Self::Uri(text.to_owned()));
        }
        let (kind, value) = text
            .split_once(':')
            .ok_or_else(|| fail("a rule is dns:NAME, ip:ADDRESS, uri:URI, msp:MSP or sha256:FINGERPRINT"))?;
        if value.is_empty() {
            return Err(fail("nothing follows the colon"));
        }
        match kind {
            "dns" if value.contains('*') => Err(fail("wildcards are not understood; list each name")),
            "dns" => Ok(Self::DnsName(value.to_owned())),
            "ip" => value.parse().map(Self::IpAddress).map_err(|_| fail("it is no IP address")),
            "uri" => Ok(Self::Uri(value.to_owned())),
            "msp" => Ok(Self::Msp(value.to_owned())),
            "sha256" => value.parse().map(Self::Fingerprint).map_err(|_| {
                fail("a fingerprint has 64 hexadecimal digits, colons between them are allowed")
            }),
            _ => Err(fail("the kinds are dns, ip, uri, msp and sha256")),
        }
    }
}

impl fmt::Display for ClientRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DnsName(name) => write!(f, "dns:{name}"),
            Self::IpAddress(address) => write!(f, "ip:{address}"),
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Fingerprint(fingerprint) => write!(f, "sha256:{fingerprint}"),
            Self::Msp(name) => write!(f, "msp:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rule_is_refused_with_the_reason() {
        for (text, reason) in [
            ("peer0.org1.example.com", "a rule is"),
            ("dns:", "nothing follows"),
            ("dns:*.example.com", "wildcards"),
            ("ip:peer0", "no IP address"),
            ("sha256:00", "64 hexadecimal digits"),
            ("cn:peer0", "the kinds are"),
        ] {
            let error = text.parse::<ClientRule>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_list_has_a_rule_a_line() {
        let rules = ClientRule::parse_list("# peers\n\n dns:a \nmsp:Org1MSP\n").unwrap();
        assert_eq!(rules, [ClientRule::DnsName("a".into()), ClientRule::Msp("Org1MSP".into())]);
        assert!(ClientRule::parse_list("dns:a\nwho\n").is_err());
    }
}
