//! The system chaincode `_lifecycle`: its functions by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_identity::ChannelConfig;
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, CheckCommitReadinessArgs, CheckCommitReadinessResult,
    CommitChaincodeDefinitionArgs, GetInstalledChaincodePackageArgs, InstallChaincodeArgs,
    QueryApprovedChaincodeDefinitionArgs, QueryApprovedChaincodeDefinitionResult,
    QueryApprovedChaincodeDefinitionsArgs, QueryApprovedChaincodeDefinitionsResult,
    QueryChaincodeDefinitionArgs, QueryChaincodeDefinitionResult, QueryChaincodeDefinitionsArgs,
    QueryChaincodeDefinitionsResult, QueryInstalledChaincodeArgs, QueryInstalledChaincodesArgs,
    chaincode_source, check_commit_readiness_result::Mismatches,
    query_approved_chaincode_definitions_result::ApprovedChaincodeDefinition,
    query_chaincode_definitions_result::ChaincodeDefinition,
};
use selvedge_proto::protos::Response;

use super::arguments::{decode, decode_definition};
use super::check::check_definition;
use super::collections::read_collections;
use super::definition::{self, Definition};
use super::error::{DefinitionError, LifecycleError};
use super::installed::{self, Uses};
use super::state::Public;
use super::{NAMESPACE, approval, commit};
use crate::host::Host;

/// Everything that one invocation of `_lifecycle` may use.
pub struct LifecycleCall<'a> {
    /// The MSP id of this peer's organisation.
    pub own_msp_id: &'a str,
    /// Where packages are installed.
    pub host: &'a Host,
    /// The channel that the proposal names, if it names one.
    pub channel: Option<CallChannel<'a>>,
    /// Checks that the proposal's creator may use a resource, here `_lifecycle/` and the function's name. The error is
    /// what the client gets to read.
    pub authorize: &'a (dyn Fn(&str) -> Result<(), String> + Send + Sync),
    /// The committed state of every channel of this peer by the channel's id, for questions about packages.
    pub channels: &'a (dyn Fn() -> Vec<(String, Arc<dyn Snapshot>)> + Send + Sync),
}

/// The channel of an invocation.
pub struct CallChannel<'a> {
    /// The channel's configuration, from which its id is taken too.
    pub config: &'a ChannelConfig,
    /// The transaction, which gets the reads and writes that Fabric's peer would record.
    pub simulator: &'a mut Simulator,
}

/// Invokes `_lifecycle`. The arguments are the function's name and its marshalled message, and the response's payload
/// is the marshalled result, as [`selvedge_proto::lifecycle`] has them.
///
/// The status is 200; 404 for a definition that does not exist; 500 for all other refusals, with Fabric's texts.
pub async fn invoke(call: &mut LifecycleCall<'_>, args: &[Bytes]) -> Response {
    let refused = |status, message| Response { status, message, payload: Bytes::new() };
    let (name, argument) = match args {
        [name, argument] => (String::from_utf8_lossy(name), argument),
        [] => return refused(500, "lifecycle scc must be invoked with arguments".to_owned()),
        _ => {
            let count = args.len();
            return refused(
                500,
                format!("lifecycle scc operations require exactly two arguments but received {count}"),
            );
        }
    };
    if let Err(cause) = (call.authorize)(&format!("{NAMESPACE}/{name}")) {
        return refused(500, format!("Failed to authorize invocation due to failed ACL check: {cause}"));
    }
    match run(call, &name, argument).await {
        Ok(payload) => Response { status: 200, message: String::new(), payload: payload.into() },
        Err(error @ LifecycleError::NotDefined(_)) => refused(404, error.to_string()),
        Err(error) => refused(500, format!("failed to invoke backing implementation of '{name}': {error}")),
    }
}

async fn run(
    call: &mut LifecycleCall<'_>,
    function: &str,
    argument: &Bytes,
) -> Result<Vec<u8>, LifecycleError> {
    match function {
        "InstallChaincode" => {
            // The host bounds packages.
            let args = InstallChaincodeArgs::decode(argument.clone()).map_err(|error| {
                LifecycleError::Argument { function: "InstallChaincode", reason: error.to_string() }
            })?;
            Ok(installed::install(call.host, args.chaincode_install_package).await?.encode_to_vec())
        }
        "GetInstalledChaincodePackage" => {
            let args: GetInstalledChaincodePackageArgs = decode("GetInstalledChaincodePackage", argument)?;
            Ok(installed::package(call.host, args.package_id).await?.encode_to_vec())
        }
        "QueryInstalledChaincode" => {
            let args: QueryInstalledChaincodeArgs = decode("QueryInstalledChaincode", argument)?;
            let uses = Uses::read(call.own_msp_id, (call.channels)())?;
            Ok(installed::query(call.host, &uses, args.package_id)?.encode_to_vec())
        }
        "QueryInstalledChaincodes" => {
            decode::<QueryInstalledChaincodesArgs>("QueryInstalledChaincodes", argument)?;
            let uses = Uses::read(call.own_msp_id, (call.channels)())?;
            Ok(installed::query_all(call.host, &uses).encode_to_vec())
        }
        _ => OnChannel::new(call)?.run(function, argument),
    }
}

/// An invocation of one of the functions that read or write a channel.
struct OnChannel<'a> {
    own_msp_id: &'a str,
    channel: Option<(&'a ChannelConfig, &'a mut Simulator)>,
}

impl<'a> OnChannel<'a> {
    fn new(call: &'a mut LifecycleCall<'_>) -> Result<Self, LifecycleError> {
        let own_msp_id = call.own_msp_id;
        let mut channel = None;
        if let Some(CallChannel { config, simulator }) = &mut call.channel {
            read_collections(simulator, config, own_msp_id, NAMESPACE)?;
            channel = Some((*config, &mut **simulator));
        }
        Ok(Self { own_msp_id, channel })
    }

    fn run(&mut self, function: &str, argument: &Bytes) -> Result<Vec<u8>, LifecycleError> {
        match function {
            "ApproveChaincodeDefinitionForMyOrg" => {
                self.approve(decode_definition("ApproveChaincodeDefinitionForMyOrg", argument)?)
            }
            "CheckCommitReadiness" => {
                self.check_commit_readiness(decode_definition("CheckCommitReadiness", argument)?)
            }
            "CommitChaincodeDefinition" => {
                self.commit(decode_definition("CommitChaincodeDefinition", argument)?)
            }
            "QueryApprovedChaincodeDefinition" => {
                self.query_approved(decode("QueryApprovedChaincodeDefinition", argument)?)
            }
            "QueryApprovedChaincodeDefinitions" => {
                decode::<QueryApprovedChaincodeDefinitionsArgs>(
                    "QueryApprovedChaincodeDefinitions",
                    argument,
                )?;
                self.query_all_approved()
            }
            "QueryChaincodeDefinition" => self.query_committed(decode("QueryChaincodeDefinition", argument)?),
            "QueryChaincodeDefinitions" => {
                decode::<QueryChaincodeDefinitionsArgs>("QueryChaincodeDefinitions", argument)?;
                self.query_all_committed()
            }
            _ => Err(LifecycleError::UnknownFunction(function.to_owned())),
        }
    }

    fn approve(&mut self, args: ApproveChaincodeDefinitionForMyOrgArgs) -> Result<Vec<u8>, LifecycleError> {
        let package_id = match args.source.clone().and_then(|source| source.r#type) {
            Some(chaincode_source::Type::LocalPackage(local)) => local.package_id,
            Some(chaincode_source::Type::Unavailable(_)) | None => String::new(),
        };
        let mut definition = Definition::from(args);
        self.check(&definition)?;
        let own_msp_id = self.own_msp_id;
        let (config, simulator) = self.channel()?;
        let committed = commit::committed_sequence(simulator, &definition.name)?;
        approval::check_sequence(definition.sequence, committed)?;
        commit::set_defaults(&mut definition, config)?;
        approval::approve(simulator, own_msp_id, &definition, committed, &package_id)?;
        Ok(Vec::new())
    }

    fn commit(&mut self, args: CommitChaincodeDefinitionArgs) -> Result<Vec<u8>, LifecycleError> {
        let mut definition = Definition::from(args);
        self.check(&definition)?;
        let own_msp_id = self.own_msp_id;
        let (config, simulator) = self.channel()?;
        commit::commit(simulator, config, own_msp_id, &mut definition)?;
        Ok(Vec::new())
    }

    fn check_commit_readiness(&mut self, args: CheckCommitReadinessArgs) -> Result<Vec<u8>, LifecycleError> {
        let (config, simulator) = self.channel()?;
        let differences = commit::readiness(simulator, config, &mut Definition::from(args))?;
        let approvals = approved(&differences);
        let different = differences.into_iter().filter(|(_, fields)| !fields.is_empty());
        let mismatches = different.map(|(msp_id, fields)| {
            let items = fields.into_iter().map(str::to_owned).collect();
            (msp_id, Mismatches { items })
        });
        Ok(CheckCommitReadinessResult { approvals, mismatches: mismatches.collect() }.encode_to_vec())
    }

    fn query_approved(
        &mut self,
        args: QueryApprovedChaincodeDefinitionArgs,
    ) -> Result<Vec<u8>, LifecycleError> {
        let own_msp_id = self.own_msp_id;
        let (config, simulator) = self.channel()?;
        let approved =
            approval::query(simulator, own_msp_id, config.channel_id(), &args.name, args.sequence)?;
        let (definition, source) = (approved.definition.clone(), approved.source());
        let result = QueryApprovedChaincodeDefinitionResult {
            sequence: definition.sequence,
            version: definition.version,
            endorsement_plugin: definition.endorsement_plugin,
            validation_plugin: definition.validation_plugin,
            validation_parameter: definition.validation_parameter,
            collections: Some(definition.collections),
            init_required: definition.init_required,
            source: Some(source),
        };
        Ok(result.encode_to_vec())
    }

    fn query_all_approved(&mut self) -> Result<Vec<u8>, LifecycleError> {
        let own_msp_id = self.own_msp_id;
        let (config, simulator) = self.channel()?;
        let all = approval::query_all(simulator, own_msp_id, config.channel_id())?;
        let all = all.into_iter().map(|approved| {
            let (definition, source) = (approved.definition.clone(), approved.source());
            ApprovedChaincodeDefinition {
                name: definition.name,
                sequence: definition.sequence,
                version: definition.version,
                endorsement_plugin: definition.endorsement_plugin,
                validation_plugin: definition.validation_plugin,
                validation_parameter: definition.validation_parameter,
                collections: Some(definition.collections),
                init_required: definition.init_required,
                source: Some(source),
            }
        });
        let approved_chaincode_definitions = all.collect();
        Ok(QueryApprovedChaincodeDefinitionsResult { approved_chaincode_definitions }.encode_to_vec())
    }

    fn query_committed(&mut self, args: QueryChaincodeDefinitionArgs) -> Result<Vec<u8>, LifecycleError> {
        let (config, simulator) = self.channel()?;
        let definition = definition::query(&args.name, &mut Public(simulator))?;
        let msp_ids = config.orgs().iter().map(|org| org.msp_id.as_str());
        let approvals = approved(&approval::differences(simulator, &definition, msp_ids)?);
        let result = QueryChaincodeDefinitionResult {
            sequence: definition.sequence,
            version: definition.version,
            endorsement_plugin: definition.endorsement_plugin,
            validation_plugin: definition.validation_plugin,
            validation_parameter: definition.validation_parameter,
            collections: Some(definition.collections),
            init_required: definition.init_required,
            approvals,
        };
        Ok(result.encode_to_vec())
    }

    fn query_all_committed(&mut self) -> Result<Vec<u8>, LifecycleError> {
        let (_, simulator) = self.channel()?;
        let all = definition::all_defined(&mut Public(simulator))?;
        let all = all.into_iter().map(|definition| ChaincodeDefinition {
            name: definition.name,
            sequence: definition.sequence,
            version: definition.version,
            endorsement_plugin: definition.endorsement_plugin,
            validation_plugin: definition.validation_plugin,
            validation_parameter: definition.validation_parameter,
            collections: Some(definition.collections),
            init_required: definition.init_required,
        });
        Ok(QueryChaincodeDefinitionsResult { chaincode_definitions: all.collect() }.encode_to_vec())
    }

    fn check(&mut self, definition: &Definition) -> Result<(), DefinitionError> {
        let (config, simulator) = match &mut self.channel {
            Some((config, simulator)) => (Some(*config), Some(&mut **simulator)),
            None => (None, None),
        };
        check_definition(definition, config, simulator)
    }

    fn channel(&mut self) -> Result<(&'a ChannelConfig, &mut Simulator), LifecycleError> {
        let (config, simulator) = self.channel.as_mut().ok_or(LifecycleError::NoChannel)?;
        Ok((*config, simulator))
    }
}

fn approved(differences: &BTreeMap<String, Vec<&'static str>>) -> BTreeMap<String, bool> {
    differences.iter().map(|(msp_id, fields)| (msp_id.clone(), fields.is_empty())).collect()
}
