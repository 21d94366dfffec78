//! Where to connect to.

use std::fmt;
use std::str::FromStr;

use crate::ConfigError;
use crate::text::escape;

/// A host and a port. The host is a DNS name or an IP address; an IPv6 address has brackets in text only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl FromStr for Target {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let fail = |reason| ConfigError::Address { text: escape(text), reason };
        let (host, port) = text.rsplit_once(':').ok_or_else(|| fail("there is no port"))?;
        let port = port.parse().map_err(|_| fail("the port is no number from 0 to 65535"))?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(|| fail("the bracket is not closed"))?,
            None if host.contains(':') => return Err(fail("an IPv6 address needs brackets")),
            None => host,
        };
        if bare.is_empty() {
            return Err(fail("the host is empty"));
        }
        // Whatever stands here ends up in an HTTP authority.
        if !bare.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c)) {
            return Err(fail("the host is neither a DNS name nor an IP address"));
        }
        Ok(Self { host: bare.to_owned(), port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for text in ["localhost:9999", "10.0.0.1:1", "[::1]:7052", "my_cc.example.com:65535"] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        for text in ["localhost", "::1:9", "[::1:9", ":1", "a:70000", "a b:1", "x/y:1", "u@h:1", ""] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
