//! Certificate authorities.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PublicKeyData, RevokedCertParams, SerialNumber,
};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::subject::{distinguished_name, random_serial};
use crate::{KeyPem, Leaf, LeafSpec, PkiError, Validity, leaf};

/// How long an authority lives unless told otherwise: ten years, as Fabric's cryptogen has it.
const AUTHORITY_DAYS: u32 = 3650;

/// What a new authority is called and how long it lives.
#[derive(Debug, Clone)]
pub struct AuthoritySpec {
    /// The subject's common name, such as `ca.org1.example.com`.
    pub common_name: String,
    /// The subject's organization, if any.
    pub organization: Option<String>,
    /// Ten years unless told otherwise.
    pub validity: Validity,
}

impl Default for AuthoritySpec {
    fn default() -> Self {
        Self {
            common_name: "Selvedge CA".into(),
            organization: None,
            validity: Validity::days(AUTHORITY_DAYS),
        }
    }
}

/// A certificate authority with its private key.
pub struct Authority {
    certificate_pem: String,
    key_pem: KeyPem,
    subject: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new self-signed authority: CA:TRUE, a subject key identifier, keyCertSign and cRLSign.
    ///
    /// # Errors
    /// When the system's random source fails or a name cannot be encoded.
    pub fn new(spec: &AuthoritySpec) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let params = Self::params(spec)?;
        let certificate = params.self_signed(&key)?;
        Self::assemble(&certificate, params, key)
    }

    /// A new authority under this one. Servers that use it must send this one's child in their chain.
    ///
    /// # Errors
    /// As for [`Authority::new`].
    pub fn issue_authority(&self, spec: &AuthoritySpec) -> Result<Self, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = Self::params(spec)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Self::assemble(&certificate, params, key)
    }

    /// An existing authority from its PEM certificate and its PKCS#8 (or SEC1) PEM key.
    ///
    /// # Errors
    /// When either is no PEM of its kind, the key does not belong to the certificate, or the certificate is
    /// no authority.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let der = single_certificate(certificate_pem)?;
        let certificate_error = |reason: String| PkiError::Certificate { reason };
        let (rest, parsed) = X509Certificate::from_der(&der)
            .map_err(|error| certificate_error(format!("it is not X.509: {error}")))?;
        if !rest.is_empty() {
            return Err(certificate_error(format!("{} bytes follow it", rest.len())));
        }
        // The library below does not expect an empty relative name.
        if parsed.subject().iter().any(|rdn| rdn.iter().next().is_none()) {
            return Err(certificate_error("its subject has an empty relative name".into()));
        }
        let subject = parsed.subject().to_string();
        let key = KeyPair::from_pem(key_pem).map_err(|error| PkiError::Key { reason: error.to_string() })?;
        if key.subject_public_key_info() != parsed.public_key().raw {
            return Err(PkiError::KeyMismatch { subject });
        }
        if !parsed.is_ca()
            || matches!(parsed.key_usage(), Ok(Some(usage)) if !usage.value.key_cert_sign())
            || parsed.key_usage().is_err()
        {
            return Err(PkiError::NotAnAuthority { subject });
        }
        let raw_subject = parsed.subject().as_raw().to_vec();
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key)?;
        Ok(Self {
            certificate_pem: pem::encode_config(&pem::Pem::new("CERTIFICATE", der), line_feeds()),
            key_pem: KeyPem::new(key_pem.to_owned()),
            subject: raw_subject,
            issuer,
        })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's private key.
    #[must_use]
    pub fn key_pem(&self) -> &KeyPem {
        &self.key_pem
    }

    /// A certificate with a new key, signed by this authority. The certificate may outlive the authority if
    /// the specification says so; nothing is clipped.
    ///
    /// # Errors
    /// When a name cannot be encoded or the system's random source fails.
    pub fn issue(&self, spec: &LeafSpec) -> Result<Leaf, PkiError> {
        let key = KeyPair::generate()?;
        let mut params = leaf::params(spec)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer)?;
        self.check_issuer(certificate.der())?;
        Ok(Leaf::new(&certificate, &key))
    }

    /// A revocation list (PEM) with these certificates (PEM, one each), which says that the next one comes by
    /// `next_update`. A list whose time is over is made as asked.
    ///
    /// # Errors
    /// When one of them is no certificate, or the authority may not sign revocation lists.
    pub fn revocation_list(&self, revoked: &[&str], next_update: OffsetDateTime) -> Result<String, PkiError> {
        // Issued a little ago, so that hosts with a slow clock accept it, and always before it is due.
        let this_update = (next_update - Duration::DAY).min(OffsetDateTime::now_utc() - Duration::minutes(5));
        let revoke = |pem: &&str| {
            let der = single_certificate(pem)?;
            let (_, parsed) = X509Certificate::from_der(&der)
                .map_err(|error| PkiError::Certificate { reason: format!("it is not X.509: {error}") })?;
            Ok(RevokedCertParams {
                serial_number: SerialNumber::from_slice(parsed.raw_serial()),
                revocation_time: this_update,
                reason_code: None,
                invalidity_date: None,
            })
        };
        let params = CertificateRevocationListParams {
            this_update,
            next_update,
            crl_number: random_serial()?,
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(revoke).collect::<Result<_, PkiError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }

    fn params(spec: &AuthoritySpec) -> Result<CertificateParams, PkiError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(&spec.common_name, spec.organization.as_deref(), &[])?;
        params.serial_number = Some(random_serial()?);
        params.not_before = spec.validity.not_before;
        params.not_after = spec.validity.not_after;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(params)
    }

    fn assemble(
        certificate: &rcgen::Certificate,
        params: CertificateParams,
        key: KeyPair,
    ) -> Result<Self, PkiError> {
        let (_, parsed) = X509Certificate::from_der(certificate.der())
            .map_err(|error| PkiError::Making { reason: error.to_string() })?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: KeyPem::new(key.serialize_pem()),
            subject: parsed.subject().as_raw().to_vec(),
            issuer: Issuer::new(params, key),
        })
    }

    /// A loaded authority's name passes through the library's own form, which cannot hold every name. A
    /// certificate whose issuer differs in a single byte would verify nowhere, so it is not handed out.
    fn check_issuer(&self, der: &[u8]) -> Result<(), PkiError> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| PkiError::Making { reason: error.to_string() })?;
        if parsed.issuer().as_raw() == self.subject {
            Ok(())
        } else {
            Err(PkiError::Certificate { reason: "its subject has a form that cannot be reproduced".into() })
        }
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

fn single_certificate(text: &str) -> Result<Vec<u8>, PkiError> {
    let error = |reason: String| PkiError::Certificate { reason };
    let mut blocks = pem::parse_many(text).map_err(|problem| error(problem.to_string()))?;
    match (blocks.pop(), blocks.len()) {
        (None, _) => Err(error("it holds no PEM block".into())),
        (Some(block), 0) if block.tag() == "CERTIFICATE" => Ok(block.into_contents()),
        (Some(block), 0) => Err(error(format!("it is a PEM block of kind {:?}", block.tag()))),
        (Some(_), more) => Err(error(format!("it holds {} PEM blocks instead of one", more + 1))),
    }
}

fn line_feeds() -> pem::EncodeConfig {
    pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF)
}
