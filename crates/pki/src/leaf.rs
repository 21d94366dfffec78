//! End-entity certificates.

use std::collections::BTreeMap;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::subject::{alternative_names, distinguished_name, random_serial};
use crate::{KeyPem, PkiError, Validity};

/// Where Fabric CA puts an identity's attributes: `{"attrs":{"name":"value"}}`, bare in the extension.
const FABRIC_ATTRIBUTES: [u64; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 1];

/// What a certificate may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// TLS servers: digitalSignature and serverAuth.
    Server,
    /// TLS clients: digitalSignature and clientAuth.
    Client,
    /// Both ends of TLS: digitalSignature, serverAuth and clientAuth.
    Both,
    /// Fabric signing identities: digitalSignature only.
    Signing,
    /// Neither a key usage nor an extended key usage, as `openssl req -x509` leaves it.
    Unrestricted,
}

/// What a certificate says. Nothing here is judged: odd combinations are made as asked.
#[derive(Debug, Clone)]
pub struct LeafSpec {
    /// The subject's common name; left out of the subject when empty.
    pub common_name: String,
    /// The subject's organization, if any.
    pub organization: Option<String>,
    /// The subject's organizational units, at most two. Fabric reads roles from them: `client`, `peer`,
    /// `admin`, `orderer`.
    pub organizational_units: Vec<String>,
    /// Subject alternative names: IP addresses, URIs (with `://`) and DNS names, told apart by their form.
    pub sans: Vec<String>,
    /// Both ends of TLS unless told otherwise.
    pub usage: Usage,
    /// One year unless told otherwise.
    pub validity: Validity,
    /// Fabric CA's attributes (`hf.EnrollmentID` and the like); no extension when empty.
    pub attributes: BTreeMap<String, String>,
}

impl Default for LeafSpec {
    fn default() -> Self {
        Self {
            common_name: String::new(),
            organization: None,
            organizational_units: Vec::new(),
            sans: Vec::new(),
            usage: Usage::Both,
            validity: Validity::default(),
            attributes: BTreeMap::new(),
        }
    }
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// The certificate alone, without its authority's.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: KeyPem,
}

impl Leaf {
    pub(crate) fn new(certificate: &rcgen::Certificate, key: &KeyPair) -> Self {
        Self { certificate_pem: certificate.pem(), key_pem: KeyPem::new(key.serialize_pem()) }
    }
}

/// A certificate signed by its own key that also claims to be an authority (CA:TRUE, with key identifiers),
/// as `openssl req -x509` makes it; [`Usage::Unrestricted`] completes the likeness.
///
/// # Errors
/// When a name cannot be encoded or the system's random source fails.
pub fn self_signed(spec: &LeafSpec) -> Result<Leaf, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = params(spec)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    let certificate = params.self_signed(&key)?;
    Ok(Leaf::new(&certificate, &key))
}

pub(crate) fn params(spec: &LeafSpec) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name =
        distinguished_name(&spec.common_name, spec.organization.as_deref(), &spec.organizational_units)?;
    params.subject_alt_names = alternative_names(&spec.sans)?;
    params.serial_number = Some(random_serial()?);
    params.not_before = spec.validity.not_before;
    params.not_after = spec.validity.not_after;
    if spec.usage != Usage::Unrestricted {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    }
    params.extended_key_usages = match spec.usage {
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Signing | Usage::Unrestricted => Vec::new(),
    };
    if !spec.attributes.is_empty() {
        let content = serde_json::json!({ "attrs": spec.attributes }).to_string().into_bytes();
        params.custom_extensions.push(CustomExtension::from_oid_content(&FABRIC_ATTRIBUTES, content));
    }
    Ok(params)
}
