//! A server's TLS configuration as files, which can be read again when they change.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use base64::Engine;
use zeroize::Zeroizing;

use crate::pem::{self, PemError, PemOrigin, PemProblem};
use crate::revocation::UnknownRevocation;
use crate::rule::ClientRule;
use crate::{ClientTls, ConfigError, Identity, ServerTls};

/// A file with PEM text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PemFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether the PEM text is written in base64 once more, as in the files that Fabric's Node and Java shims take
    /// from variables whose names end in `_PATH`.
    pub base64: bool,
}

impl<P: Into<PathBuf>> From<P> for PemFile {
    fn from(path: P) -> Self {
        Self { path: path.into(), base64: false }
    }
}

/// The files that a server's [`ServerTls`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's certificate, followed by its intermediates if there are any.
    pub certificate: PemFile,
    /// Its private key.
    pub key: PemFile,
    /// Which clients are let in; `None` lets everybody in who reaches the port.
    pub clients: Option<ClientFiles>,
}

/// The files that a client's [`ClientTls`] is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialFiles {
    /// The authorities whose servers are trusted.
    pub authorities: Vec<PemFile>,
    /// The client's certificate, followed by its intermediates if there are any, and its private key.
    pub identity: Option<(PemFile, PemFile)>,
}

impl DialFiles {
    /// Reads the files and makes the configuration.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in it cannot be used.
    pub fn load(&self) -> Result<ClientTls, ConfigError> {
        let read = |file: &PemFile| file.decode(pem::read(&file.path)?);
        let mut authorities = Vec::new();
        for file in &self.authorities {
            authorities.extend_from_slice(&read(file)?);
            authorities.push(b'\n');
        }
        let builder = ClientTls::builder(authorities);
        let Some((certificate, key)) = &self.identity else { return builder.build() };
        let origin = |file: &PemFile| PemOrigin::File(file.path.clone());
        let identity = Identity::load(&read(certificate)?, &origin(certificate), &read(key)?, &origin(key))?;
        crate::identity::warn_of_loose_permissions(&key.path);
        builder.identity(identity).build()
    }
}

/// Which clients are let in, and the files that say so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientFiles {
    /// Authorities whose clients are let in. At least one is needed here or in `msps`.
    pub authorities: Vec<PemFile>,
    /// The same, and the MSP that an authority's clients belong to.
    pub msps: Vec<(String, PemFile)>,
    /// With any rule, here or in `rule_list`, a valid chain alone is not enough.
    pub rules: Vec<ClientRule>,
    /// A file of rules as [`ClientRule::parse_list`] reads it. An empty list lets nobody in.
    pub rule_list: Option<PathBuf>,
    /// Revocation lists.
    pub revocation_lists: Vec<PathBuf>,
    /// What happens to clients for whom no current revocation list is configured, once any is.
    pub unknown_revocation: UnknownRevocation,
}

impl ServerFiles {
    /// Reads the files and makes the configuration.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in it cannot be used; the error names the file.
    pub fn load(&self) -> Result<ServerTls, ConfigError> {
        self.read()?.build(self)
    }

    /// All the files, for whoever waits until they change.
    pub(crate) fn paths(&self) -> Vec<&Path> {
        let mut paths = vec![self.certificate.path.as_path(), self.key.path.as_path()];
        if let Some(clients) = &self.clients {
            paths.extend(clients.authorities.iter().map(|file| file.path.as_path()));
            paths.extend(clients.msps.iter().map(|(_, file)| file.path.as_path()));
            paths.extend(clients.rule_list.as_deref());
            paths.extend(clients.revocation_lists.iter().map(PathBuf::as_path));
        }
        paths
    }

    /// Reads all the files once, so that what is compared with the last reading is what is used.
    pub(crate) fn read(&self) -> Result<Contents, PemError> {
        let files = self.paths().into_iter().map(pem::read);
        Ok(Contents(files.collect::<Result<_, _>>()?))
    }
}

/// What the files hold, in the order of [`ServerFiles::paths`].
pub(crate) struct Contents(Vec<Zeroizing<Vec<u8>>>);

impl Contents {
    /// Differs when anything differs.
    pub(crate) fn digest(&self) -> digest::Digest {
        let mut context = digest::Context::new(&digest::SHA256);
        for file in &self.0 {
            context.update(&u64::try_from(file.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(file);
        }
        context.finish()
    }

    pub(crate) fn build(self, files: &ServerFiles) -> Result<ServerTls, ConfigError> {
        let mut contents = self.0.into_iter();
        // There is one for each path.
        let mut next = || contents.next().unwrap_or_default();
        let certificate = files.certificate.decode(next())?;
        let key = files.key.decode(next())?;
        let origin = |file: &PemFile| PemOrigin::File(file.path.clone());
        let identity = Identity::load(&certificate, &origin(&files.certificate), &key, &origin(&files.key))?;
        crate::identity::warn_of_loose_permissions(&files.key.path);
        let builder = ServerTls::builder(identity);
        let Some(clients) = &files.clients else { return builder.without_client_certificates() };
        let mut builder = builder.no_clients_yet();
        for file in &clients.authorities {
            builder = builder.authority(&file.decode(next())?, origin(file), None);
        }
        for (msp, file) in &clients.msps {
            builder = builder.authority(&file.decode(next())?, origin(file), Some(msp.clone()));
        }
        builder = builder.allow_all(clients.rules.iter().cloned());
        if let Some(path) = &clients.rule_list {
            let fail = |reason| PemError {
                origin: PemOrigin::File(path.clone()),
                problem: PemProblem::NotAList { reason },
            };
            let text = next();
            let text = std::str::from_utf8(&text).map_err(|error| fail(error.to_string()))?;
            builder =
                builder.allow_only(ClientRule::parse_list(text).map_err(|error| fail(error.to_string()))?);
        }
        builder = builder.unknown_revocation(clients.unknown_revocation);
        for path in &clients.revocation_lists {
            builder = builder.revocations(&next(), PemOrigin::File(path.clone()));
        }
        builder.build()
    }
}

impl PemFile {
    /// The PEM text of what the file holds.
    fn decode(&self, content: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, PemError> {
        if !self.base64 {
            return Ok(content);
        }
        let text: Zeroizing<Vec<u8>> =
            Zeroizing::new(content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
        let decoded = base64::engine::general_purpose::STANDARD.decode(&*text).map_err(|error| PemError {
            origin: PemOrigin::File(self.path.clone()),
            problem: PemProblem::NotBase64 { reason: error.to_string() },
        })?;
        Ok(Zeroizing::new(decoded))
    }
}
