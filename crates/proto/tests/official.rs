//! Our `.proto` files declare what Fabric's own declare: `official.txt` lists the facts of the official
//! bindings (`xtask/official_descriptors.py` prints it), and this test lists ours in the same words.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet, ServiceDescriptorProto,
};
use selvedge_proto::{DESCRIPTORS, prost};

const OFFICIAL: &str = include_str!("official.txt");

/// What Fabric declares and we do not carry: a reason, and the files, messages and services it holds for.
const ABSENT: &[(&str, &[&str])] = &[
    (
        "repeats messages of the package protos, which every Fabric program uses instead",
        &[
            "common/collection.proto",
            "common.CollectionConfig",
            "common.CollectionConfigPackage",
            "common.CollectionPolicyConfig",
            "common.StaticCollectionConfig",
        ],
    ),
    (
        "travels only between ordering nodes, of which Selvedge runs a single one",
        &[
            "orderer/cluster.proto",
            "orderer.Cluster",
            "orderer.ConsensusRequest",
            "orderer.StepRequest",
            "orderer.StepResponse",
            "orderer.SubmitRequest",
            "orderer.SubmitResponse",
            "orderer/clusterserver.proto",
            "orderer.ClusterNodeService",
            "orderer.ClusterNodeServiceStepRequest",
            "orderer.ClusterNodeServiceStepResponse",
            "orderer.NodeAuthRequest",
            "orderer.NodeConsensusRequest",
            "orderer.NodeTransactionOrderRequest",
            "orderer.TransactionOrderResponse",
        ],
    ),
    (
        "tunes BFT ordering nodes, and no Selvedge network orders by BFT",
        &["orderer/smartbft/configuration.proto", "orderer.smartbft.Options"],
    ),
    (
        "belongs to the lifecycle before Fabric 2.0, which version 3 no longer has",
        &["peer/signed_cc_dep_spec.proto", "protos.SignedChaincodeDeploymentSpec"],
    ),
    (
        "is how Fabric's peer stores private data for itself and never travels",
        &["transientstore/transientstore.proto", "transientstore.TxPvtReadWriteSetWithConfigInfo"],
    ),
];

#[test]
fn our_files_declare_what_the_official_ones_declare() {
    let official: BTreeSet<_> = OFFICIAL.lines().map(str::to_owned).collect();
    let ours = facts(&FileDescriptorSet::decode(DESCRIPTORS).expect("the crate carries its descriptors"));

    let missing: Vec<_> = official.difference(&ours).filter(|fact| absence(fact).is_none()).collect();
    let invented: Vec<_> = ours.difference(&official).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "official only: {missing:#?}\nours only: {invented:#?}"
    );
}

#[test]
fn everything_called_absent_is_official_and_not_ours() {
    let ours = facts(&FileDescriptorSet::decode(DESCRIPTORS).expect("the crate carries its descriptors"));
    for name in ABSENT.iter().flat_map(|(_, names)| *names) {
        assert!(OFFICIAL.lines().any(|fact| absence(fact) == Some(name)), "{name} is not an official name");
        assert!(!ours.iter().any(|fact| absence(fact) == Some(name)), "{name} is carried after all");
    }
}

#[test]
fn the_official_listing_is_in_the_order_in_which_it_is_printed() {
    let facts: Vec<_> = OFFICIAL.lines().collect();
    assert!(facts.is_sorted_by(|a, b| a < b), "official.txt is not sorted, or holds a line twice");
}

/// The entry of [`ABSENT`] that a fact falls under.
fn absence(fact: &str) -> Option<&'static str> {
    let subject = fact.split(' ').nth(1)?;
    // Methods are listed by their path, and what is declared inside a message by its full name.
    let subject = subject.strip_prefix('/').unwrap_or(subject);
    ABSENT.iter().flat_map(|(_, names)| *names).copied().find(|name| {
        subject.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
    })
}

/// All facts about Fabric's files in a set. Files of the protobuf project, whose paths begin with `google/`,
/// are not Fabric's.
fn facts(set: &FileDescriptorSet) -> BTreeSet<String> {
    let mut facts = BTreeSet::new();
    for file in set.file.iter().filter(|file| !file.name().starts_with("google/")) {
        assert_eq!(file.syntax(), "proto3", "{}", file.name());
        facts.insert(format!("file {} {}", file.name(), file.package()));
        for message in &file.message_type {
            message_facts(file.package(), message, &mut facts);
        }
        for declared in &file.enum_type {
            enum_facts(file.package(), declared, &mut facts);
        }
        for service in &file.service {
            service_facts(file.package(), service, &mut facts);
        }
    }
    facts
}

fn message_facts(scope: &str, message: &DescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", message.name());
    facts.insert(format!("message {name}"));
    // The compiler turns a map into a repeated entry message; the listing speaks of maps.
    let (entries, nested): (Vec<_>, Vec<_>) = message
        .nested_type
        .iter()
        .partition(|nested| nested.options.as_ref().is_some_and(|options| options.map_entry()));
    let entries: BTreeMap<_, _> =
        entries.into_iter().map(|entry| (format!(".{name}.{}", entry.name()), entry)).collect();
    for field in &message.field {
        facts.insert(field_fact(&name, message, field, &entries));
    }
    for range in &message.reserved_range {
        facts.insert(format!("reserved {name} {} to {}", range.start(), range.end() - 1));
    }
    for reserved in &message.reserved_name {
        facts.insert(format!("reserved {name} \"{reserved}\""));
    }
    for nested in nested {
        message_facts(&name, nested, facts);
    }
    for declared in &message.enum_type {
        enum_facts(&name, declared, facts);
    }
}

fn field_fact(
    scope: &str,
    message: &DescriptorProto,
    field: &FieldDescriptorProto,
    entries: &BTreeMap<String, &DescriptorProto>,
) -> String {
    let shape = match entries.get(field.type_name()) {
        Some(entry) => {
            let part = |number| entry.field.iter().find(|part| part.number() == number);
            let [key, value] = [1, 2].map(|number| part(number).map_or_else(String::new, type_name));
            format!("map {key} {value}")
        }
        None => format!("{} {}", label(field.label()), type_name(field)),
    };
    let oneof = field
        .oneof_index
        .and_then(|index| message.oneof_decl.get(usize::try_from(index).ok()?))
        .map_or_else(String::new, |oneof| format!(" [oneof {}]", oneof.name()));
    format!("field {scope} {} {} {shape}{oneof}", field.number(), field.name())
}

fn label(label: Label) -> String {
    label.as_str_name().trim_start_matches("LABEL_").to_lowercase()
}

fn type_name(field: &FieldDescriptorProto) -> String {
    let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
    match field.r#type() {
        Type::Message | Type::Enum => format!("{kind} {}", field.type_name().trim_start_matches('.')),
        _ => kind,
    }
}

fn enum_facts(scope: &str, declared: &EnumDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", declared.name());
    facts.insert(format!("enum {name}"));
    for value in &declared.value {
        facts.insert(format!("enum-value {name} {} {}", value.number(), value.name()));
    }
    for range in &declared.reserved_range {
        facts.insert(format!("reserved {name} {} to {}", range.start(), range.end()));
    }
    for reserved in &declared.reserved_name {
        facts.insert(format!("reserved {name} \"{reserved}\""));
    }
}

fn service_facts(scope: &str, service: &ServiceDescriptorProto, facts: &mut BTreeSet<String>) {
    let name = format!("{scope}.{}", service.name());
    facts.insert(format!("service {name}"));
    let side = |stream: bool, message: &str| {
        format!("{}{}", if stream { "stream " } else { "" }, message.trim_start_matches('.'))
    };
    for method in &service.method {
        facts.insert(format!(
            "rpc /{name}/{} {} -> {}",
            method.name(),
            side(method.client_streaming(), method.input_type()),
            side(method.server_streaming(), method.output_type()),
        ));
    }
}
