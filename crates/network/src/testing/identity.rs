//! Who signs in tests. Authorities and identities are made once per process, whichever test asks first.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_identity::creator::Creator;
use selvedge_identity::msp::{MspDescription, msp_config};
use selvedge_identity::{Msp, SigningIdentity};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, Usage};
use selvedge_proto::msp::MspConfig;

use super::TestError;
use crate::identities::Role;

/// The authorities of all organisations that tests of this process have named.
static AUTHORITIES: LazyLock<Mutex<BTreeMap<String, Arc<Organization>>>> = LazyLock::new(Mutex::default);

/// Somebody who sends transactions. The certificate is issued by the authority of the organisation when it is first
/// used; the same description gives the same identity everywhere in the process.
///
/// An organisation that a network does not have makes its members strangers there.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    msp_id: String,
    name: String,
    role: Role,
    attributes: BTreeMap<String, String>,
}

impl Identity {
    /// A client of an organisation, such as `alice` of `Org1MSP`. The name is the certificate's common name.
    pub fn client(msp_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::of(msp_id, name, Role::Client)
    }

    /// An administrator of an organisation.
    pub fn admin(msp_id: impl Into<String>, name: impl Into<String>) -> Self {
        Self::of(msp_id, name, Role::Admin)
    }

    /// With an attribute in the certificate, as Fabric CA puts it there.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }

    /// The MSP it belongs to.
    pub fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The id that contracts see, as Go's client identity library has it: base64 of `x509::<subject>::<issuer>`.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn id(&self) -> Result<String, TestError> {
        let creator = Creator::parse(self.signing()?.serialized()).map_err(TestError::setup)?;
        Ok(creator.id())
    }

    /// The certificate, PEM.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn certificate_pem(&self) -> Result<Bytes, TestError> {
        Ok(self.signing()?.certificate_pem().clone())
    }

    pub(super) fn of(msp_id: impl Into<String>, name: impl Into<String>, role: Role) -> Self {
        Self { msp_id: msp_id.into(), name: name.into(), role, attributes: BTreeMap::new() }
    }

    pub(super) fn signing(&self) -> Result<Arc<SigningIdentity>, TestError> {
        Organization::named(&self.msp_id)?.identity(self)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.msp_id)
    }
}

/// An organisation's authority, and whom it has vouched for.
pub(super) struct Organization {
    msp_id: String,
    authority: Authority,
    msp_config: MspConfig,
    msp: Arc<Msp>,
    identities: Mutex<BTreeMap<Identity, Arc<SigningIdentity>>>,
}

impl Organization {
    /// The organisation of this MSP id, the same for the whole process.
    pub(super) fn named(msp_id: &str) -> Result<Arc<Self>, TestError> {
        let mut all = AUTHORITIES.lock();
        if let Some(organization) = all.get(msp_id) {
            return Ok(Arc::clone(organization));
        }
        let organization = Arc::new(Self::new(msp_id)?);
        all.insert(msp_id.to_owned(), Arc::clone(&organization));
        Ok(organization)
    }

    fn new(msp_id: &str) -> Result<Self, TestError> {
        let domain = domain(msp_id);
        let authority = Authority::new(&AuthoritySpec {
            common_name: format!("ca.{domain}"),
            organization: Some(domain),
            ..AuthoritySpec::default()
        })
        .map_err(TestError::setup)?;
        let msp_config = msp_config(&MspDescription {
            id: msp_id.to_owned(),
            root: Bytes::copy_from_slice(authority.certificate_pem().as_bytes()),
            ..MspDescription::default()
        });
        let msp = Arc::new(Msp::from_config(&msp_config).map_err(TestError::setup)?);
        Ok(Self { msp_id: msp_id.to_owned(), authority, msp_config, msp, identities: Mutex::default() })
    }

    pub(super) fn msp_id(&self) -> &str {
        &self.msp_id
    }

    /// The MSP as channels carry it.
    pub(super) fn msp_config(&self) -> &MspConfig {
        &self.msp_config
    }

    pub(super) fn msp(&self) -> &Arc<Msp> {
        &self.msp
    }

    /// The organisation's peer or orderer.
    pub(super) fn node(&self, role: Role) -> Result<Arc<SigningIdentity>, TestError> {
        self.identity(&Identity::of(&self.msp_id, self.node_name(role), role))
    }

    /// The full name of the organisation's peer or orderer.
    pub(super) fn node_name(&self, role: Role) -> String {
        let short = if role == Role::Orderer { "orderer" } else { "peer0" };
        format!("{short}.{}", domain(&self.msp_id))
    }

    fn identity(&self, of: &Identity) -> Result<Arc<SigningIdentity>, TestError> {
        if let Some(known) = self.identities.lock().get(of) {
            return Ok(Arc::clone(known));
        }
        let leaf = self
            .authority
            .issue(&LeafSpec {
                common_name: of.name.clone(),
                organizational_units: vec![of.role.organizational_unit().to_owned()],
                usage: Usage::Signing,
                attributes: of.attributes.clone(),
                ..LeafSpec::default()
            })
            .map_err(TestError::setup)?;
        let (certificate, key) = (leaf.certificate_pem.as_bytes(), leaf.key_pem.as_bytes());
        let made = SigningIdentity::from_pem(&self.msp_id, certificate, key).map_err(TestError::setup)?;
        // Whoever was first is the one that all get.
        Ok(Arc::clone(self.identities.lock().entry(of.clone()).or_insert_with(|| Arc::new(made))))
    }
}

/// `Org1MSP` is `org1.example.com`, as in Fabric's test network.
fn domain(msp_id: &str) -> String {
    format!("{}.example.com", msp_id.strip_suffix("MSP").unwrap_or(msp_id).to_lowercase())
}
