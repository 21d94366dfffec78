use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessArgs,
    CheckCommitReadinessResult, CommitChaincodeDefinitionArgs, InstallChaincodeArgs, InstallChaincodeResult,
    QueryApprovedChaincodeDefinitionsArgs, QueryApprovedChaincodeDefinitionsResult,
    QueryChaincodeDefinitionArgs, QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsArgs,
    QueryChaincodeDefinitionsResult, QueryInstalledChaincodesArgs, QueryInstalledChaincodesResult,
    chaincode_source,
};
use selvedge_proto::protos::endorser_client::EndorserClient;
use selvedge_proto::protos::{CollectionConfigPackage, Response};
use tonic::Request;
use tonic::transport::Channel;

use crate::gateway::MESSAGE_BYTES;
use crate::{ClientError, Commit, Gateway, ProposalBuilder};

const LIFECYCLE: &str = "_lifecycle";

/// How long an installation may take: Fabric's figure, since it may include a build.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(300);

/// Installs, approves and commits chaincode as an organisation's administrator.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    gateway: Gateway,
    endorser: EndorserClient<Channel>,
}

/// What a channel's organisations agree on for a chaincode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Definition {
    /// The name under which clients call it.
    pub name: String,
    /// A label of its own choice.
    pub version: String,
    /// 1 for the first definition; one more for each change.
    pub sequence: i64,
    /// A marshalled `protos.ApplicationPolicy`; empty for the channel's default.
    pub validation_parameter: Bytes,
    /// Its collections, if it has any.
    pub collections: Option<CollectionConfigPackage>,
    /// Whether clients must initialise it before anything else.
    pub init_required: bool,
}

/// A definition as an organisation approves it.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// What is approved.
    pub definition: Definition,
    /// The package that the organisation's peers run; `None` for organisations that do not run it.
    pub package_id: Option<String>,
}

/// A package on a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledPackage {
    /// Its id, `label:sha256-in-hex`.
    pub package_id: String,
    /// Its label.
    pub label: String,
}

/// Who has approved a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Per MSP whether it has.
    pub approvals: BTreeMap<String, bool>,
}

impl Definition {
    /// The proposal that commits it to a channel, which organisations that have approved it endorse.
    pub fn proposal(&self, channel_id: &str) -> ProposalBuilder {
        let args = CommitChaincodeDefinitionArgs {
            name: self.name.clone(),
            version: self.version.clone(),
            sequence: self.sequence,
            validation_parameter: self.validation_parameter.clone(),
            collections: self.collections.clone(),
            init_required: self.init_required,
            ..Default::default()
        };
        call(channel_id, "CommitChaincodeDefinition", &args)
    }
}

impl Approval {
    /// The proposal with which an organisation's administrator approves it, which the organisation's own peer endorses.
    pub fn proposal(&self, channel_id: &str) -> ProposalBuilder {
        let Self { definition, package_id } = self;
        let source = match package_id {
            Some(package_id) => chaincode_source::Type::LocalPackage(chaincode_source::Local {
                package_id: package_id.clone(),
            }),
            None => chaincode_source::Type::Unavailable(chaincode_source::Unavailable {}),
        };
        let args = ApproveChaincodeDefinitionForMyOrgArgs {
            name: definition.name.clone(),
            version: definition.version.clone(),
            sequence: definition.sequence,
            validation_parameter: definition.validation_parameter.clone(),
            collections: definition.collections.clone(),
            init_required: definition.init_required,
            source: Some(ChaincodeSource { r#type: Some(source) }),
            ..Default::default()
        };
        call(channel_id, "ApproveChaincodeDefinitionForMyOrg", &args)
    }
}

impl Lifecycle {
    /// Uses the peer at the other end of a connection, whose gateway `gateway` uses too.
    pub fn new(channel: Channel, gateway: Gateway) -> Self {
        let endorser = EndorserClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        Self { gateway, endorser }
    }

    /// Installs a package on the peer.
    ///
    /// # Errors
    /// When the peer refuses the package, its builders fail on it, or it is installed already.
    pub async fn install(&self, package: impl Into<Bytes>) -> Result<InstalledPackage, ClientError> {
        const OPERATION: &str = "install";
        let args = InstallChaincodeArgs { chaincode_install_package: package.into() };
        let response = self.ask_peer(OPERATION, "InstallChaincode", &args).await?;
        let result: InstallChaincodeResult = decode(OPERATION, response.payload)?;
        Ok(InstalledPackage { package_id: result.package_id, label: result.label })
    }

    /// The packages on the peer.
    ///
    /// # Errors
    /// When the peer refuses.
    pub async fn installed(&self) -> Result<Vec<InstalledPackage>, ClientError> {
        const OPERATION: &str = "query installed";
        let args = QueryInstalledChaincodesArgs {};
        let response = self.ask_peer(OPERATION, "QueryInstalledChaincodes", &args).await?;
        let result: QueryInstalledChaincodesResult = decode(OPERATION, response.payload)?;
        Ok(result
            .installed_chaincodes
            .into_iter()
            .map(|chaincode| InstalledPackage { package_id: chaincode.package_id, label: chaincode.label })
            .collect())
    }

    /// Approves a definition for the identity's own organisation and waits for the commit.
    ///
    /// # Errors
    /// When the definition is refused, or the transaction is not valid.
    pub async fn approve(&self, channel_id: &str, approval: &Approval) -> Result<Commit, ClientError> {
        // Only the own organisation may see and endorse its approval.
        let own = [self.gateway.identity().msp_id().to_owned()];
        let proposal = approval.proposal(channel_id);
        self.gateway.submit_and_wait(proposal, &own).await.map(|(_, commit)| commit)
    }

    /// Which organisations have approved a definition.
    ///
    /// # Errors
    /// When the peer refuses.
    pub async fn readiness(
        &self,
        channel_id: &str,
        definition: &Definition,
    ) -> Result<Readiness, ClientError> {
        let args = CheckCommitReadinessArgs {
            name: definition.name.clone(),
            version: definition.version.clone(),
            sequence: definition.sequence,
            validation_parameter: definition.validation_parameter.clone(),
            collections: definition.collections.clone(),
            init_required: definition.init_required,
            ..Default::default()
        };
        let response = self.gateway.evaluate(call(channel_id, "CheckCommitReadiness", &args)).await?;
        let result: CheckCommitReadinessResult = decode("check commit readiness", response.payload)?;
        Ok(Readiness { approvals: result.approvals })
    }

    /// Commits a definition with the endorsements of the given organisations and waits for it.
    ///
    /// # Errors
    /// When too few organisations have approved it.
    pub async fn commit(
        &self,
        channel_id: &str,
        definition: &Definition,
        organizations: &[String],
    ) -> Result<Commit, ClientError> {
        let proposal = definition.proposal(channel_id);
        self.gateway.submit_and_wait(proposal, organizations).await.map(|(_, commit)| commit)
    }

    /// Everything that the peer's own organisation has approved on a channel, whether or not it is committed. Peers
    /// from Fabric 3.0 on tell it, to an administrator of their organisation.
    ///
    /// # Errors
    /// When the peer refuses.
    pub async fn all_approved(
        &self,
        channel_id: &str,
    ) -> Result<QueryApprovedChaincodeDefinitionsResult, ClientError> {
        let args = QueryApprovedChaincodeDefinitionsArgs {};
        let call = call(channel_id, "QueryApprovedChaincodeDefinitions", &args);
        decode("query approved", self.gateway.evaluate(call).await?.payload)
    }

    /// The committed definition of a chaincode with the approvals for it.
    ///
    /// # Errors
    /// When the peer refuses, or there is none.
    pub async fn committed(
        &self,
        channel_id: &str,
        name: &str,
    ) -> Result<QueryChaincodeDefinitionResult, ClientError> {
        let args = QueryChaincodeDefinitionArgs { name: name.to_owned() };
        let response = self.gateway.evaluate(call(channel_id, "QueryChaincodeDefinition", &args)).await?;
        decode("query committed", response.payload)
    }

    /// All committed definitions of a channel.
    ///
    /// # Errors
    /// When the peer refuses.
    pub async fn all_committed(
        &self,
        channel_id: &str,
    ) -> Result<QueryChaincodeDefinitionsResult, ClientError> {
        let args = QueryChaincodeDefinitionsArgs {};
        let response = self.gateway.evaluate(call(channel_id, "QueryChaincodeDefinitions", &args)).await?;
        decode("query committed", response.payload)
    }

    /// A call that belongs to no channel, answered by the peer itself.
    async fn ask_peer(
        &self,
        operation: &'static str,
        function: &'static str,
        args: &impl Message,
    ) -> Result<Response, ClientError> {
        let proposal = call("", function, args).sign(self.gateway.identity())?;
        let mut request = Request::new(proposal.signed);
        request.set_timeout(INSTALL_TIMEOUT);
        let answer = self
            .endorser
            .clone()
            .process_proposal(request)
            .await
            .map_err(|status| ClientError::from_status(operation, &status))?;
        let response = answer.into_inner().response;
        let response = response.ok_or_else(|| ClientError::answer(operation, "it has no response"))?;
        if (200..400).contains(&response.status) {
            Ok(response)
        } else {
            Err(ClientError::Refused { operation, status: response.status, message: response.message })
        }
    }
}

fn call(channel_id: &str, function: &'static str, args: &impl Message) -> ProposalBuilder {
    ProposalBuilder::new(channel_id, LIFECYCLE).arg(function).arg(args.encode_to_vec())
}

fn decode<M: Message + Default>(operation: &'static str, payload: Bytes) -> Result<M, ClientError> {
    M::decode(payload).map_err(|error| ClientError::answer(operation, error))
}
