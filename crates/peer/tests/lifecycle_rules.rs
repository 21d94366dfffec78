//! What follows from committed definitions: what runs, which collections there are, how writes are judged. And what
//! strangers may send.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod lifecycle_support;

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::ChannelConfig;
use selvedge_ledger::Snapshot;
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::simulator::Simulator;
use selvedge_peer::host::{Host, HostConfig};
use selvedge_peer::lifecycle::{
    self, CallChannel, Definition, Definitions, LIFECYCLE_ENDORSEMENT_POLICY, LifecycleCall, NAMESPACE,
    ResolveError, ValidationInfo, implicit_collection_name,
};
use selvedge_proto::lifecycle::{
    ApproveChaincodeDefinitionForMyOrgArgs, ChaincodeSource, CheckCommitReadinessArgs, InstallChaincodeArgs,
    chaincode_source,
};
use selvedge_proto::protos::{
    ApplicationPolicy, ChaincodeInvocationSpec, ChaincodeProposalPayload, CollectionConfig,
    CollectionConfigPackage, Proposal, Response, SignedProposal, application_policy,
};

use lifecycle_support::Chain;

const FUNCTIONS: [&str; 11] = [
    "InstallChaincode",
    "QueryInstalledChaincode",
    "QueryInstalledChaincodes",
    "GetInstalledChaincodePackage",
    "ApproveChaincodeDefinitionForMyOrg",
    "QueryApprovedChaincodeDefinition",
    "QueryApprovedChaincodeDefinitions",
    "CheckCommitReadiness",
    "CommitChaincodeDefinition",
    "QueryChaincodeDefinition",
    "QueryChaincodeDefinitions",
];

/// A recorded channel with at least one definition that this peer's organisation approved with a package whose bytes
/// were recorded too.
struct World {
    chain: Chain,
    /// The definition.
    definition: Definition,
    /// The approved package.
    package_id: String,
    /// Its bytes.
    package: Bytes,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let packages = packages();
        for channel in Corpus::get().channels() {
            for organisation in Chain::organisations(channel) {
                let chain = Chain::replay(channel, &organisation);
                let height = chain.height();
                for definition in lifecycle::all_committed(chain.snapshot(height).as_ref()).unwrap() {
                    let Some(package_id) = approved_package(&chain, &definition) else { continue };
                    let Some((_, package)) = packages.iter().find(|(id, _)| *id == package_id) else {
                        continue;
                    };
                    let package = package.clone();
                    return World { chain, definition, package_id, package };
                }
            }
        }
        panic!("no recorded package was approved for a recorded definition");
    })
}

/// The packages of the recorded calls of InstallChaincode that are packages, by their ids.
fn packages() -> Vec<(String, Bytes)> {
    let mut packages = Vec::new();
    for line in Corpus::get().json_lines("exchanges/lifecycle.jsonl") {
        let request = hex::decode(line["request"].as_str().unwrap()).unwrap();
        let proposal = SignedProposal::decode(request.as_slice()).unwrap().proposal_bytes;
        let payload = Proposal::decode(proposal).unwrap().payload;
        let input = ChaincodeProposalPayload::decode(payload).unwrap().input;
        let args =
            ChaincodeInvocationSpec::decode(input).unwrap().chaincode_spec.unwrap().input.unwrap().args;
        if args[0] == "InstallChaincode" {
            let package = InstallChaincodeArgs::decode(args[1].clone()).unwrap().chaincode_install_package;
            if let Ok(parsed) =
                selvedge_package::Package::parse(package.clone(), &selvedge_package::Limits::default())
            {
                packages.push((parsed.id().to_string(), package));
            }
        }
    }
    packages
}

fn approved_package(chain: &Chain, definition: &Definition) -> Option<String> {
    let args = selvedge_proto::lifecycle::QueryApprovedChaincodeDefinitionArgs {
        name: definition.name.clone(),
        sequence: definition.sequence,
    };
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(HostConfig::new(folder.path())).unwrap();
    let args = args.encode_to_vec();
    let response = ask(chain, &host, &["QueryApprovedChaincodeDefinition".into(), args.into()]);
    let result = selvedge_proto::lifecycle::QueryApprovedChaincodeDefinitionResult::decode(response.payload);
    match result.unwrap().source?.r#type? {
        chaincode_source::Type::LocalPackage(local) => Some(local.package_id),
        chaincode_source::Type::Unavailable(_) => None,
    }
}

/// Calls a function at the end of a chain with everybody authorised.
fn ask(chain: &Chain, host: &Host, args: &[Bytes]) -> Response {
    let height = chain.height();
    let mut simulator = Simulator::new(Arc::clone(chain.snapshot(height)) as _, "tx");
    let mut call = LifecycleCall {
        own_msp_id: &chain.msp_id,
        host,
        channel: Some(CallChannel { config: chain.config(height), simulator: &mut simulator }),
        authorize: &|_| Ok(()),
        channels: &Vec::new,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lifecycle::invoke(&mut call, args))
}

fn empty_host() -> (tempfile::TempDir, Host) {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::open(HostConfig::new(folder.path())).unwrap();
    (folder, host)
}

fn state(chain: &Chain) -> Arc<dyn Snapshot> {
    Arc::clone(chain.snapshot(chain.height())) as _
}

#[tokio::test]
async fn golden_a_chaincode_runs_when_it_is_committed_approved_and_installed() {
    let World { chain, definition, package_id, package } = tokio::task::spawn_blocking(world).await.unwrap();
    let (_folder, host) = empty_host();
    let definitions = Definitions::new(&chain.msp_id);
    let resolve = |host: &Host| {
        let mut simulator = Simulator::new(state(chain), "tx");
        definitions.resolve(&mut simulator, &chain.channel, &definition.name, host)
    };
    let error = resolve(&host).unwrap_err();
    assert!(matches!(error, ResolveError::NotInstalled(_)));
    let name = &definition.name;
    assert_eq!(
        error.to_string(),
        format!("chaincode definition for '{name}' exists, but chaincode is not installed")
    );

    // An installation counts at once, without a new block.
    host.install(package.clone()).await.unwrap();
    let runnable = resolve(&host).unwrap();
    assert_eq!(*runnable.definition, *definition);
    assert_eq!(&runnable.package_id, package_id);

    let error = Definitions::new("ForeignMSP")
        .runnable(state(chain).as_ref(), &chain.channel, name, &host)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "chaincode definition for '{name}' at sequence {} on channel '{}' has not yet been approved by this org",
            definition.sequence, chain.channel
        )
    );
}

#[tokio::test]
async fn golden_a_peer_that_missed_the_approval_knows_its_packages_by_their_hashes() {
    let World { chain, definition, package_id, package } = tokio::task::spawn_blocking(world).await.unwrap();
    let (_folder, host) = empty_host();
    host.install(package.clone()).await.unwrap();
    let without = Chain::replay_without_private_data(&chain.channel, &chain.organisation);
    let definitions = Definitions::new(&chain.msp_id);
    let runnable =
        definitions.runnable(state(&without).as_ref(), &chain.channel, &definition.name, &host).unwrap();
    assert_eq!(&runnable.package_id, package_id);
}

#[test]
fn golden_an_unknown_chaincode_is_looked_for_in_both_lifecycles() {
    let World { chain, .. } = world();
    let (_folder, host) = empty_host();
    let mut simulator = Simulator::new(state(chain), "tx");
    let error = Definitions::new(&chain.msp_id).resolve(&mut simulator, &chain.channel, "ghost", &host);
    assert_eq!(error.unwrap_err().to_string(), "chaincode ghost not found");
    let set = ReadWriteSet::parse(&simulator.finish().public).unwrap();
    let reads = |namespace| {
        let set = set.namespace(namespace).unwrap();
        set.public.reads.iter().map(|read| read.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(reads(NAMESPACE), ["namespaces/fields/ghost/Sequence"]);
    assert_eq!(reads("lscc"), ["ghost"]);
}

#[test]
fn golden_definitions_are_those_of_the_asked_state() {
    let (_folder, host) = empty_host();
    let mut changed = 0;
    for channel in Corpus::get().channels() {
        let chain = Chain::replay(channel, &Chain::organisations(channel)[0]);
        let definitions = Definitions::new(&chain.msp_id);
        let names: Vec<_> = lifecycle::all_committed(state(&chain).as_ref()).unwrap();
        // Forwards, backwards and forwards again: what is remembered must never answer for another height.
        let heights = (1..=chain.height()).chain((1..=chain.height()).rev()).chain(1..=chain.height());
        let mut last = None;
        for height in heights {
            let snapshot = chain.snapshot(height);
            for definition in &names {
                let remembered = definitions.committed(snapshot.as_ref(), &definition.name).unwrap();
                let read = lifecycle::committed(snapshot.as_ref(), &definition.name).unwrap();
                assert_eq!(remembered.as_deref(), read.as_ref(), "{channel} at {height}");
                let _ = definitions.runnable(snapshot.as_ref(), channel, &definition.name, &host);
                changed += usize::from(last.replace(read.clone()) != Some(read));
            }
        }
    }
    assert!(changed > 1);
}

/// The path of a marshalled policy reference.
fn reference(policy: &Bytes) -> String {
    match ApplicationPolicy::decode(policy.clone()).unwrap().r#type.unwrap() {
        application_policy::Type::ChannelConfigPolicyReference(path) => path,
        other @ application_policy::Type::SignaturePolicy(_) => panic!("{other:?}"),
    }
}

#[test]
fn golden_lifecycle_is_judged_by_its_own_policy_or_by_most_organisations() {
    let World { chain, .. } = world();
    let config = chain.config(chain.height());
    let info = lifecycle::validation_info(state(chain).as_ref(), config, NAMESPACE).unwrap().unwrap();
    assert_eq!(
        (info.plugin.as_str(), reference(&info.policy).as_str()),
        ("vscc", LIFECYCLE_ENDORSEMENT_POLICY)
    );

    let bare = without_policies(config, &["LifecycleEndorsement", "Endorsement"]);
    let info = ValidationInfo::of_lifecycle(&bare);
    let policy = ApplicationPolicy::decode(info.policy.clone()).unwrap().r#type.unwrap();
    let application_policy::Type::SignaturePolicy(envelope) = policy else { panic!("a reference") };
    let orgs = bare.orgs();
    assert_eq!(envelope.identities.len(), orgs.len());
    let rule = envelope.rule.clone().unwrap().r#type.unwrap();
    let selvedge_proto::common::signature_policy::Type::NOutOf(threshold) = rule else {
        panic!("one signature")
    };
    assert_eq!(usize::try_from(threshold.n).unwrap(), orgs.len() / 2 + 1);
    bare.application_policy(info.policy).unwrap();
}

#[test]
fn golden_implicit_collections_are_judged_by_their_organisation() {
    let World { chain, definition, .. } = world();
    let config = chain.config(chain.height());
    let snapshot = state(chain);
    let info = lifecycle::validation_info(snapshot.as_ref(), config, &definition.name).unwrap().unwrap();
    assert_eq!(info.policy, definition.validation_parameter);
    let bare = without_policies(config, &["Endorsement"]);
    for org in config.orgs() {
        let collection = implicit_collection_name(&org.msp_id);
        let policy = info.collection_policy(config, &collection).unwrap();
        assert_eq!(reference(&policy), format!("/Channel/Application/{}/Endorsement", org.name));
        let policy = info.collection_policy(&bare, &collection).unwrap();
        let policy = ApplicationPolicy::decode(policy).unwrap().r#type.unwrap();
        assert!(matches!(policy, application_policy::Type::SignaturePolicy(envelope)
            if envelope.identities.len() == 1));
        let settings = lifecycle::collection_config(
            snapshot.as_ref(),
            config,
            &chain.msp_id,
            &definition.name,
            &collection,
        );
        let settings = settings.unwrap().unwrap();
        assert_eq!(settings.maximum_peer_count, i32::from(org.msp_id == chain.msp_id));
        assert_eq!((settings.required_peer_count, settings.block_to_live), (0, 0));
        assert!(!settings.member_only_read && !settings.member_only_write);
    }
    let error = info.collection_policy(config, &implicit_collection_name("ForeignMSP")).unwrap_err();
    assert_eq!(error.to_string(), "no org found in channel with MSPID 'ForeignMSP'");
    let error = info.collection_policy(config, "no-such").unwrap_err();
    assert_eq!(error.to_string(), "no such collection 'no-such'");
    let nothing = lifecycle::validation_info(snapshot.as_ref(), config, "ghost").unwrap();
    assert_eq!(nothing, None);
}

#[test]
fn golden_explicit_collections_have_their_own_policy_or_the_chaincodes() {
    let (mut own, mut inherited) = (0, 0);
    for channel in Corpus::get().channels() {
        let chain = Chain::replay(channel, &Chain::organisations(channel)[0]);
        let config = chain.config(chain.height());
        for definition in lifecycle::all_committed(state(&chain).as_ref()).unwrap() {
            let info = ValidationInfo::of(&definition);
            for collection in lifecycle::explicit_collections(&definition.collections) {
                let policy = info.collection_policy(config, &collection.name).unwrap();
                match &collection.endorsement_policy {
                    Some(expected) => {
                        assert_eq!(ApplicationPolicy::decode(policy).unwrap(), *expected);
                        own += 1;
                    }
                    None => {
                        assert_eq!(policy, definition.validation_parameter);
                        inherited += 1;
                    }
                }
            }
        }
    }
    assert!(own > 0 && inherited > 0);
}

/// The same configuration without some policies of the group Application and of the organisations in it.
fn without_policies(config: &ChannelConfig, names: &[&str]) -> ChannelConfig {
    let mut changed = config.config().clone();
    let root = changed.channel_group.as_mut().unwrap();
    let application = root.groups.get_mut("Application").unwrap();
    for name in names {
        application.policies.remove(*name);
        for org in application.groups.values_mut() {
            org.policies.remove(*name);
        }
    }
    ChannelConfig::from_config(config.channel_id(), changed).unwrap()
}

#[test]
fn golden_a_definition_without_a_policy_needs_the_channels() {
    let World { chain, .. } = world();
    let config = without_policies(chain.config(chain.height()), &["Endorsement"]);
    let (_folder, host) = empty_host();
    let mut simulator = Simulator::new(state(chain), "tx");
    let mut call = LifecycleCall {
        own_msp_id: &chain.msp_id,
        host: &host,
        channel: Some(CallChannel { config: &config, simulator: &mut simulator }),
        authorize: &|_| Ok(()),
        channels: &Vec::new,
    };
    let args = CheckCommitReadinessArgs { sequence: 1, name: "new".to_owned(), ..Default::default() };
    let args = ["CheckCommitReadiness".into(), args.encode_to_vec().into()];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let response = runtime.block_on(lifecycle::invoke(&mut call, &args));
    let channel = &chain.channel;
    assert_eq!(
        (response.status, response.message),
        (
            500,
            format!(
                "failed to invoke backing implementation of 'CheckCommitReadiness': could not set defaults for chaincode definition in channel {channel}: policy '/Channel/Application/Endorsement' must be defined for channel '{channel}' before chaincode operations can be attempted"
            )
        )
    );
}

#[test]
fn golden_calls_of_the_wrong_form_are_refused() {
    let World { chain, .. } = world();
    let (_folder, host) = empty_host();
    let answer = |args: &[Bytes]| {
        let response = ask(chain, &host, args);
        (response.status, response.message)
    };
    assert_eq!(answer(&[]), (500, "lifecycle scc must be invoked with arguments".to_owned()));
    let two = |count: usize| {
        (500, format!("lifecycle scc operations require exactly two arguments but received {count}"))
    };
    assert_eq!(answer(&[Bytes::from_static(b"x")]), two(1));
    assert_eq!(answer(&vec![Bytes::from_static(b"x"); 3]), two(3));
    let unknown = answer(&["Nope".into(), Bytes::new()]);
    assert_eq!(
        unknown.1,
        "failed to invoke backing implementation of 'Nope': receiver *lifecycle.Invocation.Nope does not exist"
    );
}

#[test]
fn golden_a_definition_has_a_limit_of_collections_and_bytes() {
    let World { chain, .. } = world();
    let (_folder, host) = empty_host();
    let mut args = CheckCommitReadinessArgs { sequence: 1, name: "new".to_owned(), ..Default::default() };
    args.collections = Some(CollectionConfigPackage { config: vec![CollectionConfig::default(); 5000] });
    let many = ask(chain, &host, &["CheckCommitReadiness".into(), args.encode_to_vec().into()]);
    assert!(many.message.contains("more than 4096 collections"), "{}", many.message);
    args.collections = None;
    args.validation_parameter = vec![0; 2 << 20].into();
    let long = ask(chain, &host, &["CheckCommitReadiness".into(), args.encode_to_vec().into()]);
    assert!(long.message.contains("bytes, more than 1048576"), "{}", long.message);
}

#[test]
fn golden_an_approval_of_the_committed_sequence_can_change_the_package_only() {
    let World { chain, definition, .. } = world();
    let (_folder, host) = empty_host();
    let approve = |version: &str, package_id: &str| {
        let source = chaincode_source::Local { package_id: package_id.to_owned() };
        let args = ApproveChaincodeDefinitionForMyOrgArgs {
            sequence: definition.sequence,
            name: definition.name.clone(),
            version: version.to_owned(),
            endorsement_plugin: definition.endorsement_plugin.clone(),
            validation_plugin: definition.validation_plugin.clone(),
            validation_parameter: definition.validation_parameter.clone(),
            collections: Some(definition.collections.clone()),
            init_required: definition.init_required,
            source: Some(ChaincodeSource { r#type: Some(chaincode_source::Type::LocalPackage(source)) }),
        };
        ask(chain, &host, &["ApproveChaincodeDefinitionForMyOrg".into(), args.encode_to_vec().into()])
    };
    let other_package = approve(&definition.version, "other:00");
    assert_eq!(other_package.status, 200, "{}", other_package.message);
    let other_version = approve("another", "other:00");
    assert!(other_version.message.contains("with different parameters: expected Version"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn golden_hostile_arguments_are_answered(
        function in 0..FUNCTIONS.len(),
        junk in proptest::collection::vec(any::<u8>(), 0..200),
        with_channel in any::<bool>(),
    ) {
        let World { chain, .. } = world();
        let (_folder, host) = shared_host();
        let args = [Bytes::from_static(FUNCTIONS[function].as_bytes()), junk.into()];
        let response = if with_channel { ask(chain, host, &args) } else { ask_without_channel(chain, host, &args) };
        prop_assert!([200, 404, 500].contains(&response.status));
        prop_assert_eq!(response.status == 200, response.message.is_empty());
    }

    #[test]
    fn golden_damaged_definitions_are_answered(
        function in prop::sample::select(&["ApproveChaincodeDefinitionForMyOrg", "CheckCommitReadiness", "CommitChaincodeDefinition"][..]),
        sequence in any::<i64>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let World { chain, definition, .. } = world();
        let (_folder, host) = shared_host();
        let args = ApproveChaincodeDefinitionForMyOrgArgs {
            sequence,
            name: definition.name.clone(),
            version: definition.version.clone(),
            validation_parameter: definition.validation_parameter.clone(),
            collections: Some(richest_collections().clone()),
            ..Default::default()
        };
        let mut bytes = args.encode_to_vec();
        let index = at.index(bytes.len());
        bytes[index] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let args = [Bytes::from_static(function.as_bytes()), bytes.into()];
        let response = ask(chain, host, &args);
        prop_assert!([200, 500].contains(&response.status));
    }
}

fn shared_host() -> &'static (tempfile::TempDir, Host) {
    static HOST: OnceLock<(tempfile::TempDir, Host)> = OnceLock::new();
    HOST.get_or_init(empty_host)
}

/// The most collections that any recorded definition has.
fn richest_collections() -> &'static CollectionConfigPackage {
    static COLLECTIONS: OnceLock<CollectionConfigPackage> = OnceLock::new();
    COLLECTIONS.get_or_init(|| {
        let vectors = Corpus::get().json_lines("vectors/lifecycle-state.jsonl");
        let packages =
            vectors.iter().map(|vector| hex::decode(vector["collections"].as_str().unwrap()).unwrap());
        let longest = packages.max_by_key(Vec::len).unwrap();
        CollectionConfigPackage::decode(longest.as_slice()).unwrap()
    })
}

fn ask_without_channel(chain: &Chain, host: &Host, args: &[Bytes]) -> Response {
    let channels = || vec![(chain.channel.clone(), state(chain))];
    let mut call = LifecycleCall {
        own_msp_id: &chain.msp_id,
        host,
        channel: None,
        authorize: &|_| Ok(()),
        channels: &channels,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lifecycle::invoke(&mut call, args))
}
