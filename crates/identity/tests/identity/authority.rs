//! A small certificate authority for tests that need private keys.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName, DnType, IsCa,
    KeyPair, KeyUsagePurpose,
};
use selvedge_identity::SigningIdentity;
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_proto::msp::MspConfig;

pub(crate) struct Authority {
    msp_id: String,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(msp_id: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name(&format!("ca.{msp_id}"), None);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("keys can be made");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("the CA can be signed");
        Self { msp_id: msp_id.to_owned(), issuer }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub(crate) fn msp(&self) -> MspConfig {
        let root = self.pem().into();
        msp_config(&MspDescription { id: self.msp_id.clone(), root, ..MspDescription::default() })
    }

    /// A certificate and its key in PEM.
    pub(crate) fn issue(
        &self,
        common_name: &str,
        unit: Option<&str>,
        attributes: Option<&str>,
    ) -> (String, KeyPair) {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name = name(common_name, unit);
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if let Some(json) = attributes {
            let oid = [1, 2, 3, 4, 5, 6, 7, 8, 1];
            parameters.custom_extensions =
                vec![CustomExtension::from_oid_content(&oid, json.as_bytes().to_vec())];
        }
        let key = KeyPair::generate().expect("keys can be made");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("the certificate can be signed");
        (certificate.pem(), key)
    }

    pub(crate) fn signer(&self, common_name: &str, unit: &str) -> SigningIdentity {
        let (certificate, key) = self.issue(common_name, Some(unit), None);
        SigningIdentity::from_pem(&self.msp_id, certificate.as_bytes(), key.serialize_pem().as_bytes())
            .expect("the pair fits")
    }
}

fn name(common_name: &str, unit: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    if let Some(unit) = unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name
}
