//! The MSPs of a channel.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_proto::msp::MspConfig;

use super::{AccessDenied, Identity, IdentityError, Msp, MspError, MspVersion, decode};
use crate::certificate::MAX_CERTIFICATE_BYTES;
use crate::policy::SignedData;
use crate::signature::VerificationCache;

/// All MSPs of a channel, by id. Identities that share one id belong to one MSP, however many groups list it.
#[derive(Debug, Default)]
pub struct MspManager {
    msps: BTreeMap<String, Msp>,
}

impl MspManager {
    /// Sets up the MSPs of a channel. The same configuration may come more than once, as an organization may both
    /// order and endorse; two different ones of one id are an error.
    pub fn from_configs<'a>(
        configs: impl IntoIterator<Item = &'a MspConfig>,
        version: MspVersion,
        signatures: Option<Arc<VerificationCache>>,
    ) -> Result<Self, MspError> {
        let mut seen: BTreeMap<String, &MspConfig> = BTreeMap::new();
        let mut msps = BTreeMap::new();
        for config in configs {
            let msp = Msp::with_version(config, version, signatures.clone())?;
            match seen.insert(msp.id().to_owned(), config) {
                Some(earlier) if earlier != config => return Err(MspError::Conflict(msp.id().to_owned())),
                Some(_) => {}
                None => {
                    msps.insert(msp.id().to_owned(), msp);
                }
            }
        }
        Ok(Self { msps })
    }

    /// The MSP of an id.
    pub fn msp(&self, id: &str) -> Option<&Msp> {
        self.msps.get(id)
    }

    /// All MSPs in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Msp> {
        self.msps.values()
    }

    /// Reads an encoded `SerializedIdentity` with the MSP it names. [`IdentityError::Malformed`] and
    /// [`IdentityError::UnknownMsp`] tell a creator that cannot be placed from one its own MSP refuses.
    pub fn deserialize(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        if serialized.len() > MAX_CERTIFICATE_BYTES {
            return Err(IdentityError::TooLarge(serialized.len()));
        }
        let named = decode(serialized)?.mspid;
        match self.msps.get(&named) {
            Some(msp) => msp.deserialize(serialized),
            None => Err(IdentityError::UnknownMsp(named)),
        }
    }

    /// Whether it was one of these MSPs that read the identity.
    pub(crate) fn has_read(&self, identity: &Identity) -> bool {
        self.msps.get(identity.msp_id()).is_some_and(|msp| Arc::ptr_eq(&msp.rules, &identity.rules))
    }

    /// Reads an identity and checks that it is valid.
    pub fn deserialize_valid(&self, serialized: &[u8]) -> Result<Arc<Identity>, IdentityError> {
        let identity = self.deserialize(serialized)?;
        identity.validate()?;
        Ok(identity)
    }

    /// Checks that a message comes from a valid member: its creator is read, validated, and its signature checked,
    /// in Fabric's order. `channel` is named in the error only; it is empty for requests to the peer itself.
    pub fn verify_creator(&self, channel: &str, signed: &SignedData) -> Result<Arc<Identity>, AccessDenied> {
        let channel = || channel.to_owned();
        let creator = self
            .deserialize(&signed.identity)
            .map_err(|reason| AccessDenied::UnknownCreator { channel: channel(), reason })?;
        let msp_id = || creator.msp_id().to_owned();
        creator.validate().map_err(|reason| AccessDenied::InvalidCreator {
            channel: channel(),
            msp_id: msp_id(),
            reason,
        })?;
        creator.verify(&signed.data, &signed.signature).map_err(|reason| AccessDenied::BadSignature {
            channel: channel(),
            msp_id: msp_id(),
            reason,
        })?;
        Ok(creator)
    }
}
