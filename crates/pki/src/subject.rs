//! Distinguished names, serial numbers and alternative names in the library's form.

use std::net::IpAddr;

use rcgen::{DistinguishedName, DnType, SanType, SerialNumber};

use crate::PkiError;

/// X.520's organizationalUnitName. The library keeps one value per attribute type; naming the type by its
/// number makes room for a second unit, which Fabric needs for a role beside a department.
const ORGANIZATIONAL_UNIT: [u64; 4] = [2, 5, 4, 11];

/// RFC 5280 allows 20 octets; 16 random ones leave no chance of a repetition.
const SERIAL_LENGTH: usize = 16;

pub(crate) fn distinguished_name(
    common_name: &str,
    organization: Option<&str>,
    organizational_units: &[String],
) -> Result<DistinguishedName, PkiError> {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    match organizational_units {
        [] => {}
        [one] => name.push(DnType::OrganizationalUnitName, one),
        [one, two] => {
            name.push(DnType::OrganizationalUnitName, one);
            name.push(DnType::CustomDnType(ORGANIZATIONAL_UNIT.to_vec()), two);
        }
        more => return Err(PkiError::OrganizationalUnits { count: more.len() }),
    }
    if !common_name.is_empty() {
        name.push(DnType::CommonName, common_name);
    }
    Ok(name)
}

/// An IP address, a URI (it has a scheme, as SPIFFE ids have) or else a DNS name.
pub(crate) fn alternative_names(names: &[String]) -> Result<Vec<SanType>, PkiError> {
    let refuse =
        |name: &str, error: rcgen::Error| PkiError::Name { name: name.into(), reason: error.to_string() };
    names
        .iter()
        .map(|name| {
            if let Ok(address) = name.parse::<IpAddr>() {
                Ok(SanType::IpAddress(address))
            } else if name.contains("://") {
                name.as_str().try_into().map(SanType::URI).map_err(|error| refuse(name, error))
            } else if name.is_empty() {
                Err(PkiError::Name { name: String::new(), reason: "it is empty".into() })
            } else {
                name.as_str().try_into().map(SanType::DnsName).map_err(|error| refuse(name, error))
            }
        })
        .collect()
}

pub(crate) fn random_serial() -> Result<SerialNumber, PkiError> {
    let mut bytes = [0_u8; SERIAL_LENGTH];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| PkiError::Making { reason: "the system gave no random bytes".into() })?;
    // A clear top bit keeps the number positive, a set second one keeps its length.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}
