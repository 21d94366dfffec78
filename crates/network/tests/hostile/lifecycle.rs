//! The arguments of `_lifecycle`'s functions, as an administrator might send them.

use bytes::Bytes;
use prost::Message;
use selvedge_client::ProposalBuilder;
use selvedge_golden::spoilt;
use selvedge_identity::policy::dsl;
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessArgs,
    CommitChaincodeDefinitionArgs, GetInstalledChaincodePackageArgs, InstallChaincodeArgs,
    QueryApprovedChaincodeDefinitionArgs, QueryChaincodeDefinitionArgs, QueryInstalledChaincodeArgs,
    chaincode_source,
};
use selvedge_proto::protos::{
    ApplicationPolicy, CollectionConfig, CollectionConfigPackage, CollectionPolicyConfig, ProposalResponse,
    StaticCollectionConfig, application_policy, collection_config, collection_policy_config,
};

use crate::endorser::PROCESS_PROPOSAL;
use crate::support::CHANNEL;
use crate::support::forge::encode;
use crate::{STAGE, Stage, Tally};

fn collections() -> CollectionConfigPackage {
    let policy = || dsl::parse("OR('Org1MSP.member','Org2MSP.member')").unwrap();
    let members = collection_policy_config::Payload::SignaturePolicy(policy());
    let endorsers = application_policy::Type::SignaturePolicy(policy());
    let secrets = StaticCollectionConfig {
        name: "secrets".to_owned(),
        member_orgs_policy: Some(CollectionPolicyConfig { payload: Some(members) }),
        required_peer_count: 0,
        maximum_peer_count: 1,
        block_to_live: 3,
        member_only_read: true,
        endorsement_policy: Some(ApplicationPolicy { r#type: Some(endorsers) }),
        ..StaticCollectionConfig::default()
    };
    let payload = Some(collection_config::Payload::StaticCollectionConfig(secrets));
    CollectionConfigPackage { config: vec![CollectionConfig { payload }] }
}

fn validation_parameter() -> Bytes {
    let policy = dsl::parse("AND('Org1MSP.peer','Org2MSP.peer')").unwrap();
    encode(&ApplicationPolicy { r#type: Some(application_policy::Type::SignaturePolicy(policy)) })
}

/// The functions with whole arguments, and the channel on which they are called.
fn calls(stage: &Stage) -> Vec<(&'static str, &'static str, Bytes)> {
    let (name, version) = (|| "new".to_owned(), || "1.0".to_owned());
    let package_id = || stage.place.package_id.clone();
    let local = chaincode_source::Local { package_id: package_id() };
    let approve = ApproveChaincodeDefinitionForMyOrgArgs {
        name: name(),
        version: version(),
        sequence: 1,
        endorsement_plugin: "escc".to_owned(),
        validation_plugin: "vscc".to_owned(),
        validation_parameter: validation_parameter(),
        collections: Some(collections()),
        init_required: true,
        source: Some(ChaincodeSource { r#type: Some(chaincode_source::Type::LocalPackage(local)) }),
    };
    let check = CheckCommitReadinessArgs {
        name: name(),
        version: version(),
        sequence: 1,
        validation_parameter: validation_parameter(),
        collections: Some(collections()),
        ..CheckCommitReadinessArgs::default()
    };
    let commit = CommitChaincodeDefinitionArgs {
        name: name(),
        version: version(),
        sequence: 1,
        validation_parameter: validation_parameter(),
        collections: Some(collections()),
        ..CommitChaincodeDefinitionArgs::default()
    };
    let committed = || "basic".to_owned();
    vec![
        (CHANNEL, "ApproveChaincodeDefinitionForMyOrg", encode(&approve)),
        (CHANNEL, "CheckCommitReadiness", encode(&check)),
        (CHANNEL, "CommitChaincodeDefinition", encode(&commit)),
        (CHANNEL, "QueryChaincodeDefinition", encode(&QueryChaincodeDefinitionArgs { name: committed() })),
        (
            CHANNEL,
            "QueryApprovedChaincodeDefinition",
            encode(&QueryApprovedChaincodeDefinitionArgs { name: committed(), sequence: 1 }),
        ),
        ("", "QueryInstalledChaincode", encode(&QueryInstalledChaincodeArgs { package_id: package_id() })),
        (
            "",
            "GetInstalledChaincodePackage",
            encode(&GetInstalledChaincodePackageArgs { package_id: package_id() }),
        ),
        ("", "InstallChaincode", encode(&InstallChaincodeArgs { chaincode_install_package: "none".into() })),
    ]
}

/// The parts of a definition that have a default or may be absent, and what a question about readiness does not judge.
const OPTIONAL: [&str; 26] = [
    "ApproveChaincodeDefinitionForMyOrg 4",
    "ApproveChaincodeDefinitionForMyOrg 5",
    "ApproveChaincodeDefinitionForMyOrg 6",
    "ApproveChaincodeDefinitionForMyOrg 7",
    "ApproveChaincodeDefinitionForMyOrg 7.1",
    "ApproveChaincodeDefinitionForMyOrg 7.1.1.4",
    "ApproveChaincodeDefinitionForMyOrg 7.1.1.5",
    "ApproveChaincodeDefinitionForMyOrg 7.1.1.6",
    "ApproveChaincodeDefinitionForMyOrg 7.1.1.8",
    "ApproveChaincodeDefinitionForMyOrg 8",
    "ApproveChaincodeDefinitionForMyOrg 9",
    "ApproveChaincodeDefinitionForMyOrg 9.2",
    "ApproveChaincodeDefinitionForMyOrg 9.2.1",
    "CheckCommitReadiness 2",
    "CheckCommitReadiness 3",
    "CheckCommitReadiness 6",
    "CheckCommitReadiness 7",
    "CheckCommitReadiness 7.1",
    "CheckCommitReadiness 7.1.1",
    "CheckCommitReadiness 7.1.1.1",
    "CheckCommitReadiness 7.1.1.2",
    "CheckCommitReadiness 7.1.1.4",
    "CheckCommitReadiness 7.1.1.5",
    "CheckCommitReadiness 7.1.1.6",
    "CheckCommitReadiness 7.1.1.8",
    "QueryApprovedChaincodeDefinition 2",
];

#[test]
fn every_part_of_a_lifecycle_argument_spoilt_in_turn_is_answered() {
    STAGE.run(async |stage| {
        let line = stage.peer(0).await;
        let admin = stage.organization().admin().unwrap().signing_identity().unwrap();
        let mut tally = Tally::default();
        for (channel, function, whole) in calls(stage) {
            for spoilt in spoilt(&whole) {
                let what = format!("{function} {} {:?}", spoilt.field, spoilt.spoil);
                let call = ProposalBuilder::new(channel, "_lifecycle").arg(function).arg(spoilt.bytes);
                let request = encode(&call.sign(&admin).unwrap().signed);
                let answer = line.call(PROCESS_PROPOSAL, &[request], 1).await;
                let answer = answer.messages.first().unwrap_or_else(|| panic!("{what}: {answer:?}"));
                let response = ProposalResponse::decode(answer.clone()).unwrap().response.unwrap();
                match response.status {
                    200 => tally.taken(&what),
                    500 => {
                        assert!(response.message.contains(function), "{what}: {}", response.message);
                        tally.refused();
                    }
                    // What is asked for is not defined.
                    404 => tally.refused(),
                    other => panic!("{what}: {other} {}", response.message),
                }
            }
        }
        assert!(tally.taken > 50 && tally.refused > 50, "{} done, {} refused", tally.taken, tally.refused);
        // What lies within a policy is the policy's own.
        let policies = [" 6.", " 7.1.1.2.", " 7.1.1.8."];
        tally.optional.retain(|part| !policies.iter().any(|policy| part.contains(policy)));
        assert_eq!(tally.optional, OPTIONAL);
        stage.works(&line).await;
    });
}
