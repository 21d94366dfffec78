//! The functions of `_lifecycle` that concern the packages on this peer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_ledger::Snapshot;
use selvedge_proto::lifecycle::{
    GetInstalledChaincodePackageResult, InstallChaincodeResult, QueryInstalledChaincodeResult,
    QueryInstalledChaincodesResult, query_installed_chaincode_result, query_installed_chaincodes_result,
};

use super::approval::{self, ApprovedPackage};
use super::definition::all_committed;
use super::error::LifecycleError;
use crate::host::Host;

/// Stores and builds a package.
pub(super) async fn install(host: &Host, package: Bytes) -> Result<InstallChaincodeResult, LifecycleError> {
    let installed = host.install(package).await?;
    Ok(InstallChaincodeResult { package_id: installed.package_id, label: installed.label })
}

/// The file of an installed package.
pub(super) async fn package(
    host: &Host,
    package_id: String,
) -> Result<GetInstalledChaincodePackageResult, LifecycleError> {
    let (host, id) = (host.clone(), package_id.clone());
    let package = tokio::task::spawn_blocking(move || host.package(&id))
        .await
        .map_err(|error| LifecycleError::Broken(error.to_string()))?;
    let chaincode_install_package = package.ok_or(LifecycleError::NoPackage(package_id))?;
    Ok(GetInstalledChaincodePackageResult { chaincode_install_package })
}

/// One installed package and what runs it.
pub(super) fn query(
    host: &Host,
    uses: &Uses,
    package_id: String,
) -> Result<QueryInstalledChaincodeResult, LifecycleError> {
    use query_installed_chaincode_result::{Chaincode, References};

    let found = host.installed().into_iter().find(|installed| installed.package_id == package_id);
    let installed = found.ok_or(LifecycleError::UnknownPackage(package_id))?;
    let references = uses.of(&installed.package_id).map(|(channel, uses)| {
        let chaincodes =
            uses.map(|used| Chaincode { name: used.name.clone(), version: used.version.clone() });
        (channel.to_owned(), References { chaincodes: chaincodes.collect() })
    });
    Ok(QueryInstalledChaincodeResult {
        references: references.collect(),
        package_id: installed.package_id,
        label: installed.label,
    })
}

/// All installed packages and what runs them, in the order of their ids.
pub(super) fn query_all(host: &Host, uses: &Uses) -> QueryInstalledChaincodesResult {
    use query_installed_chaincodes_result::{Chaincode, InstalledChaincode, References};

    let all = host.installed().into_iter().map(|installed| {
        let references = uses.of(&installed.package_id).map(|(channel, uses)| {
            let chaincodes =
                uses.map(|used| Chaincode { name: used.name.clone(), version: used.version.clone() });
            (channel.to_owned(), References { chaincodes: chaincodes.collect() })
        });
        InstalledChaincode {
            references: references.collect(),
            package_id: installed.package_id,
            label: installed.label,
        }
    });
    QueryInstalledChaincodesResult { installed_chaincodes: all.collect() }
}

/// Which packages this organisation approved for the committed definitions, by channel.
pub(super) struct Uses(BTreeMap<String, Vec<Use>>);

/// A committed definition and its approved package.
pub(super) struct Use {
    name: String,
    version: String,
    package: ApprovedPackage,
}

impl Uses {
    /// Reads the definitions of all the given channels.
    pub(super) fn read(
        own_msp_id: &str,
        channels: Vec<(String, Arc<dyn Snapshot>)>,
    ) -> Result<Self, LifecycleError> {
        let mut all = BTreeMap::new();
        for (channel, snapshot) in channels {
            let mut uses = Vec::new();
            for definition in all_committed(snapshot.as_ref())? {
                let package = approval::committed_package(snapshot.as_ref(), own_msp_id, &definition)?;
                if let Some(package) = package {
                    uses.push(Use { name: definition.name, version: definition.version, package });
                }
            }
            all.insert(channel, uses);
        }
        Ok(Self(all))
    }

    /// Per channel what runs a package; channels where nothing does are left out.
    fn of(&self, package_id: &str) -> impl Iterator<Item = (&str, impl Iterator<Item = &Use>)> {
        self.0.iter().filter_map(move |(channel, uses)| {
            let mut found = uses.iter().filter(move |used| used.package.is(package_id)).peekable();
            found.peek().is_some().then_some((channel.as_str(), found))
        })
    }
}
