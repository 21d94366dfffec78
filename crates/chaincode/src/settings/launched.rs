//! The settings of a chaincode that a peer has launched: with Fabric's names, which mean the client's side of TLS here.

use std::error::Error;

use selvedge_tls::{ClientSecurity, DialFiles, PemFile};

use super::names::Setting;
use super::sources::Decided;
use super::{SettingsError, bad, file, list, truth};
use crate::LaunchingPeer;

/// The peer to dial. Whoever has an address to listen on is a server, whatever else is set, as in Fabric's contract API.
pub(super) fn peer(decided: &Decided) -> Result<Option<LaunchingPeer>, SettingsError> {
    if decided.get(Setting::Address).is_some() {
        return Ok(None);
    }
    if let Some(chosen) = decided.get(Setting::RunMetadata) {
        let peer = LaunchingPeer::from_run_metadata(chosen.path(&chosen.given.value));
        let unusable = |error| bad(Setting::RunMetadata, chosen, with_causes(&error));
        return peer.map(Some).map_err(unusable);
    }
    let Some(chosen) = decided.get(Setting::PeerAddress) else { return Ok(None) };
    let Some(id) = decided.get(Setting::PackageId) else {
        let what = "under which id the peer has launched it";
        return Err(SettingsError::NotSet { setting: Setting::PackageId, what });
    };
    let peer = LaunchingPeer::new(chosen.given.value.trim(), id.given.value.trim(), security(decided)?);
    let peer = peer.map_err(|error| bad(Setting::PeerAddress, chosen, with_causes(&error)))?;
    Ok(Some(match decided.get(Setting::PeerMspId) {
        Some(msp_id) => peer.msp_id(&msp_id.given.value),
        None => peer,
    }))
}

fn security(decided: &Decided) -> Result<ClientSecurity, SettingsError> {
    if truth(decided, Setting::TlsDisabled)? {
        return Ok(ClientSecurity::Plaintext);
    }
    let one = |setting| decided.get(setting).map(|chosen| file(chosen, &chosen.given.value));
    let missing = |setting, what| SettingsError::NotSet { setting, what };
    let identity = match (one(Setting::TlsCertificate), one(Setting::TlsKey)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(missing(Setting::TlsKey, "the key of its certificate")),
        (None, Some(_)) => return Err(missing(Setting::TlsCertificate, "the certificate of its key")),
    };
    let authorities: Vec<PemFile> =
        list(decided, Setting::ClientAuthorities, |chosen, path| Ok(file(chosen, path)))?;
    let Some(chosen) = decided.get(Setting::ClientAuthorities) else {
        let what = "whose peers to trust (CORE_PEER_TLS_ROOTCERT_FILE)";
        return Err(SettingsError::NotSet { setting: Setting::ClientAuthorities, what });
    };
    let tls = DialFiles { authorities, identity }.load();
    let unusable = |error| bad(Setting::ClientAuthorities, chosen, with_causes(&error));
    Ok(tls.map_err(unusable)?.into())
}

fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
