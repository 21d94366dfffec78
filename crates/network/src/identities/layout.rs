//! The folders of Fabric's test network.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use selvedge_pki::{Authority, AuthoritySpec};

use super::Role;
use crate::NetworkError;

/// The NodeOUs file of an MSP folder: which organizational unit stands for which role. `{ca}` is the file name
/// of the authority's certificate.
pub const NODE_OUS: &str = "\
NodeOUs:
  Enable: true
  ClientOUIdentifier:
    Certificate: cacerts/{ca}
    OrganizationalUnitIdentifier: client
  PeerOUIdentifier:
    Certificate: cacerts/{ca}
    OrganizationalUnitIdentifier: peer
  AdminOUIdentifier:
    Certificate: cacerts/{ca}
    OrganizationalUnitIdentifier: admin
  OrdererOUIdentifier:
    Certificate: cacerts/{ca}
    OrganizationalUnitIdentifier: orderer
";

/// What every MSP folder of an organisation holds alike.
pub(super) struct Files<'a> {
    /// The organisation's domain, such as `org1.example.com`.
    pub(super) domain: &'a str,
    /// The certificate of the authority that issues identities.
    pub(super) authority_pem: &'a str,
    /// The certificate of the authority that issues TLS certificates.
    pub(super) tls_authority_pem: &'a str,
}

impl Files<'_> {
    /// Writes an MSP folder's authorities and its `config.yaml`.
    pub(super) fn msp(&self, folder: &Path) -> Result<(), NetworkError> {
        let authority = certificate_name(&format!("ca.{}", self.domain));
        let tls_authority = certificate_name(&format!("tlsca.{}", self.domain));
        write(&folder.join("cacerts").join(&authority), self.authority_pem.as_bytes())?;
        write(&folder.join("tlscacerts").join(tls_authority), self.tls_authority_pem.as_bytes())?;
        write(&folder.join("config.yaml"), NODE_OUS.replace("{ca}", &authority).as_bytes())
    }
}

/// The file that holds the certificate of `name`.
pub(super) fn certificate_name(name: &str) -> String {
    format!("{name}-cert.pem")
}

/// The names of a member's TLS certificate and key.
pub(super) fn tls_names(role: Role) -> (&'static str, &'static str) {
    if role.is_node() { ("server.crt", "server.key") } else { ("client.crt", "client.key") }
}

/// The authority `<prefix>.<domain>` from its folder `<prefix>` below `folder`, or a new one, which is saved there.
pub(crate) fn authority(folder: &Path, prefix: &str, domain: &str) -> Result<Authority, NetworkError> {
    let name = format!("{prefix}.{domain}");
    let certificate_file = folder.join(prefix).join(certificate_name(&name));
    let key_file = folder.join(prefix).join("priv_sk");
    if key_file.exists() {
        return Ok(Authority::from_pem(&read(&certificate_file)?, &read(&key_file)?)?);
    }
    let authority = Authority::new(&AuthoritySpec {
        common_name: name,
        organization: Some(domain.to_owned()),
        ..AuthoritySpec::default()
    })?;
    write(&certificate_file, authority.certificate_pem().as_bytes())?;
    write_secret(&key_file, authority.key_pem().as_str())?;
    Ok(authority)
}

pub(crate) fn read(path: &Path) -> Result<String, NetworkError> {
    fs::read_to_string(path).map_err(NetworkError::file("read", path))
}

/// Writes a file that everybody may read, with the folders above it.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), NetworkError> {
    put(path, content, 0o644)
}

/// Writes a file that only its owner may read.
pub(crate) fn write_secret(path: &Path, content: &str) -> Result<(), NetworkError> {
    put(path, content.as_bytes(), 0o600)
}

fn put(path: &Path, content: &[u8], mode: u32) -> Result<(), NetworkError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(NetworkError::file("create", folder))?;
    }
    // Whatever ends the process, the name stands for the old content or the new, never for half of it.
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = Path::new(&unfinished);
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(unfinished)
        .and_then(|mut file| file.write_all(content))
        .map_err(NetworkError::file("write", unfinished))?;
    fs::rename(unfinished, path).map_err(NetworkError::file("write", path))
}
