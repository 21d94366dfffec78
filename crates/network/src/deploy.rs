//! A chaincode's way onto a channel: installed on every peer, approved by every organisation, committed.

use bytes::Bytes;
use selvedge_client::{Approval, Definition};
use selvedge_proto::lifecycle::chaincode_source;
use selvedge_proto::lifecycle::query_approved_chaincode_definitions_result::ApprovedChaincodeDefinition;

use crate::{Network, NetworkError, NetworkPeer};

/// A chaincode to be deployed.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// The channel.
    pub channel: String,
    /// What its organisations agree on.
    pub definition: Definition,
    /// The package, which every peer gets.
    pub package: Bytes,
}

impl Network {
    /// Installs the package on every peer and returns its id.
    ///
    /// # Errors
    /// When a peer refuses it.
    pub async fn install(&self, package: &Bytes) -> Result<String, NetworkError> {
        let mut id = None;
        for peer in self.peers() {
            let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
            id = Some(lifecycle.install(package.clone()).await?.package_id);
        }
        id.ok_or(NetworkError::NoPeers)
    }

    /// Approves the definition for every organisation, each running the package.
    ///
    /// # Errors
    /// When a peer refuses.
    pub async fn approve(
        &self,
        channel: &str,
        definition: &Definition,
        package_id: &str,
    ) -> Result<(), NetworkError> {
        let approval = Approval { definition: definition.clone(), package_id: Some(package_id.to_owned()) };
        for peer in self.one_peer_per_organization() {
            let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
            let commit = lifecycle.approve(channel, &approval).await?;
            self.wait_for_block(channel, commit.block).await?;
        }
        Ok(())
    }

    /// Commits the definition with the endorsements of every organisation.
    ///
    /// # Errors
    /// When too few organisations have approved it.
    pub async fn commit(&self, channel: &str, definition: &Definition) -> Result<(), NetworkError> {
        let peer = self.peers().first().ok_or(NetworkError::NoPeers)?;
        let organizations: Vec<String> =
            self.organizations().iter().map(|organization| organization.msp_id().to_owned()).collect();
        let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
        let commit = lifecycle.commit(channel, definition, &organizations).await?;
        self.wait_for_block(channel, commit.block).await
    }

    /// Installs, approves and commits, and returns the package's id.
    ///
    /// # Errors
    /// When any of the steps is refused.
    pub async fn deploy(&self, deployment: &Deployment) -> Result<String, NetworkError> {
        let Deployment { channel, definition, package } = deployment;
        let package_id = self.install(package).await?;
        self.approve(channel, definition, &package_id).await?;
        self.commit(channel, definition).await?;
        Ok(package_id)
    }

    /// Installs, approves and commits what is not yet, so that a deployment that broke off, or whose package has changed,
    /// is completed.
    ///
    /// # Errors
    /// When any of the steps is refused, or the channel has another definition of the chaincode.
    pub async fn deploy_missing(
        &self,
        deployment: &Deployment,
        package_id: &str,
    ) -> Result<(), NetworkError> {
        let Deployment { channel, definition, package } = deployment;
        let committed = self.is_committed(channel, definition).await?;
        for peer in self.peers() {
            let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
            if lifecycle.installed().await?.iter().all(|installed| installed.package_id != package_id) {
                lifecycle.install(package.clone()).await?;
            }
        }
        let approval = Approval { definition: definition.clone(), package_id: Some(package_id.to_owned()) };
        for peer in self.one_peer_per_organization() {
            let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
            let approved = lifecycle.all_approved(channel).await?.approved_chaincode_definitions;
            if !approved.iter().any(|approved| runs(approved, definition, package_id)) {
                let commit = lifecycle.approve(channel, &approval).await?;
                self.wait_for_block(channel, commit.block).await?;
            }
        }
        if committed { Ok(()) } else { self.commit(channel, definition).await }
    }

    /// Whether the definition is committed. Only its version and sequence are looked at.
    async fn is_committed(&self, channel: &str, definition: &Definition) -> Result<bool, NetworkError> {
        let peer = self.peers().first().ok_or(NetworkError::NoPeers)?;
        let lifecycle = self.lifecycle(peer, self.admin_of(peer)?).await?;
        let all = lifecycle.all_committed(channel).await?.chaincode_definitions;
        match all.into_iter().find(|found| found.name == definition.name) {
            None => Ok(false),
            Some(found) if (&found.version, found.sequence) == (&definition.version, definition.sequence) => {
                Ok(true)
            }
            Some(found) => Err(NetworkError::OtherDefinition {
                channel: channel.to_owned(),
                name: found.name,
                version: found.version,
                sequence: found.sequence,
            }),
        }
    }

    fn one_peer_per_organization(&self) -> impl Iterator<Item = &NetworkPeer> {
        self.organizations().iter().filter_map(|organization| {
            self.peers().iter().find(|peer| peer.msp_id() == organization.msp_id())
        })
    }
}

/// Whether an organisation has approved the definition's sequence, and runs the package for it.
fn runs(approved: &ApprovedChaincodeDefinition, definition: &Definition, package_id: &str) -> bool {
    let source = approved.source.as_ref().and_then(|source| source.r#type.as_ref());
    let package = match source {
        Some(chaincode_source::Type::LocalPackage(local)) => local.package_id == package_id,
        _ => false,
    };
    package && (&approved.name, approved.sequence) == (&definition.name, definition.sequence)
}
