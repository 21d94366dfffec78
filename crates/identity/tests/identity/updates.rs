//! Updates of channel configurations: the recorded ones come out as recorded, and wrong ones are refused.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_identity::ChannelConfig;
use selvedge_identity::channel::update::{UpdateError, apply_unsigned, compute, propose, validate};
use selvedge_identity::channel::{config_envelope, is_config_block};
use selvedge_proto::common::{
    Block, Config, ConfigEnvelope, ConfigGroup, ConfigPolicy, ConfigUpdate, ConfigUpdateEnvelope,
    ConfigValue, Envelope, Payload, Policy,
};

/// The recorded configurations after the first, each with the one before it.
fn recorded() -> Vec<(ChannelConfig, ConfigEnvelope)> {
    let mut found = Vec::new();
    for channel in Corpus::get().channels() {
        let blocks = Corpus::get().blocks(channel).into_values();
        let blocks = blocks.map(|bytes| Block::decode(bytes).expect("a block")).filter(is_config_block);
        let mut before: Option<ChannelConfig> = None;
        for block in blocks {
            let after = ChannelConfig::from_block(&block).expect("a configuration");
            if let Some(before) = before.replace(after) {
                found.push((before, config_envelope(&block).expect("a configuration").1));
            }
        }
    }
    assert!(!found.is_empty(), "the corpus has configuration updates");
    found
}

/// The update inside a recorded envelope, changed and put back. The signatures stay as they are.
fn changed(envelope: &Envelope, change: impl FnOnce(&mut ConfigUpdateEnvelope)) -> Envelope {
    let mut payload = Payload::decode(envelope.payload.clone()).expect("a payload");
    let mut signed = ConfigUpdateEnvelope::decode(payload.data).expect("an update");
    change(&mut signed);
    payload.data = signed.encode_to_vec().into();
    Envelope { payload: payload.encode_to_vec().into(), ..envelope.clone() }
}

fn update_of(envelope: &Envelope) -> ConfigUpdate {
    let payload = Payload::decode(envelope.payload.clone()).expect("a payload");
    let signed = ConfigUpdateEnvelope::decode(payload.data).expect("an update");
    ConfigUpdate::decode(signed.config_update).expect("an update")
}

#[test]
fn golden_updates_make_the_recorded_configurations() {
    for (before, recorded) in recorded() {
        let update = recorded.last_update.as_ref().expect("an update");
        let (proposed, next) = propose(&before, update).expect("a good update");
        assert_eq!(proposed, recorded);
        assert_eq!(Some(next.config()), recorded.config.as_ref());
        validate(&before, &recorded).expect("it follows");
    }
}

#[test]
fn golden_updates_are_computed_as_their_makers_did() {
    for (before, recorded) in recorded() {
        let after = recorded.config.as_ref().expect("a configuration");
        let theirs = update_of(recorded.last_update.as_ref().expect("an update"));
        let ours = compute(before.channel_id(), before.config(), after).expect("they differ");
        assert_eq!(ours, theirs);
    }
}

#[test]
fn golden_updates_that_were_tampered_with_are_refused() {
    for (before, recorded) in recorded() {
        let update = recorded.last_update.clone().expect("an update");
        let refused = |update: &Envelope| propose(&before, update).expect_err("refused").to_string();

        let unsigned = refused(&changed(&update, |signed| signed.signatures.clear()));
        assert!(unsigned.starts_with("error authorizing update: error validating DeltaSet: policy for ["));
        assert!(unsigned.contains("not satisfied: "), "{unsigned}");

        let elsewhere = refused(&changed(&update, |signed| {
            let mut update = ConfigUpdate::decode(signed.config_update.clone()).expect("an update");
            update.channel_id = "elsewhere".to_owned();
            signed.config_update = update.encode_to_vec().into();
        }));
        let channel = before.channel_id();
        assert_eq!(
            elsewhere,
            format!(
                "error authorizing update: ConfigUpdate for channel 'elsewhere' but envelope for channel '{channel}'"
            )
        );

        // What was made for the configuration before does not fit the one after.
        let after =
            ChannelConfig::from_config(channel, recorded.config.clone().expect("one")).expect("usable");
        let stale = propose(&after, &update).expect_err("refused").to_string();
        assert!(
            stale.contains("error validating ReadSet: ") || stale.contains("error validating DeltaSet: "),
            "{stale}"
        );

        let mut other = recorded.clone();
        other.config.as_mut().expect("one").sequence += 1;
        assert!(matches!(validate(&before, &other), Err(UpdateError::Sequence { .. })));
        let mut other = recorded.clone();
        other.config.as_mut().and_then(|config| config.channel_group.as_mut()).expect("one").mod_policy =
            "Readers".to_owned();
        assert_eq!(validate(&before, &other), Err(UpdateError::OtherResult));
    }
}

fn value(text: &str) -> ConfigValue {
    ConfigValue {
        version: 0,
        value: Bytes::copy_from_slice(text.as_bytes()),
        mod_policy: "Admins".to_owned(),
    }
}

fn root(values: &[(&str, &str)]) -> ConfigGroup {
    ConfigGroup {
        mod_policy: "Admins".to_owned(),
        values: values.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect(),
        ..ConfigGroup::default()
    }
}

fn config(group: ConfigGroup) -> Config {
    Config { sequence: 0, channel_group: Some(group) }
}

#[test]
fn wrong_updates_are_refused_with_fabrics_texts() {
    let before = root(&[("a", "1")]);
    let good = compute("c", &config(before.clone()), &config(root(&[("a", "2")]))).expect("they differ");
    apply_unsigned(&before, &good).expect("a good update");
    let refused = |change: &dyn Fn(&mut ConfigUpdate)| {
        let mut update = good.clone();
        change(&mut update);
        apply_unsigned(&before, &update).expect_err("refused").to_string()
    };
    let write = |update: &mut ConfigUpdate, change: &dyn Fn(&mut ConfigGroup)| {
        change(update.write_set.as_mut().expect("a write set"));
    };
    assert_eq!(
        refused(&|update| update.read_set.as_mut().expect("a read set").version = 1),
        "error validating ReadSet: proposed update requires that key [Group]  /Channel be at version 1, but it is \
         currently at version 0"
    );
    assert_eq!(
        refused(&|update| {
            update
                .read_set
                .as_mut()
                .expect("a read set")
                .values
                .insert("b".to_owned(), ConfigValue::default());
        }),
        "error validating ReadSet: existing config does not contain element for [Value]  /Channel/b but was in the \
         read set"
    );
    assert_eq!(
        refused(&|update| write(update, &|group| group.values.clear())),
        "error validating DeltaSet: delta set was empty -- update would have no effect"
    );
    assert_eq!(
        refused(&|update| write(update, &|group| group.values.get_mut("a").expect("a").version = 3)),
        "error validating DeltaSet: attempt to set key [Value]  /Channel/a to version 3, but key is at version 0"
    );
    assert_eq!(
        refused(&|update| write(update, &|group| {
            group.values.get_mut("a").expect("a").mod_policy.clear();
        })),
        "error validating DeltaSet: invalid mod_policy for element [Value]  /Channel/a: mod_policy not set"
    );
    assert_eq!(
        refused(&|update| write(update, &|group| {
            group.values.insert("b".to_owned(), ConfigValue { version: 1, ..value("x") });
        })),
        "error validating DeltaSet: attempted to set key [Value]  /Channel/b to version 1, but key does not exist"
    );
    assert_eq!(
        refused(&|update| write(update, &|group| {
            group.values.insert("b/c".to_owned(), value("x"));
        })),
        "error mapping WriteSet: illegal characters in key: [Value]  : config ID 'b/c' contains illegal characters"
    );
}

/// Groups of groups deeper than any channel's exhaust nobody's stack.
#[test]
fn deep_groups_are_refused() {
    let mut group = ConfigGroup::default();
    for _ in 0..50 {
        let inner = std::mem::take(&mut group);
        group.groups.insert("g".to_owned(), inner);
    }
    let update = ConfigUpdate { write_set: Some(group), ..ConfigUpdate::default() };
    let error = apply_unsigned(&root(&[]), &update).expect_err("refused").to_string();
    assert_eq!(error, "error mapping WriteSet: config groups are nested deeper than 16");
}

fn groups() -> impl Strategy<Value = ConfigGroup> {
    let names = || prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned);
    let policies = || prop::sample::select(vec!["Admins", "/Channel/Writers"]).prop_map(str::to_owned);
    let value = || {
        (prop::collection::vec(0u8..3, 0..2), policies()).prop_map(|(value, mod_policy)| ConfigValue {
            version: 0,
            value: value.into(),
            mod_policy,
        })
    };
    let policy = || {
        (1i32..3, policies()).prop_map(|(r#type, mod_policy)| ConfigPolicy {
            version: 0,
            policy: Some(Policy { r#type, value: Bytes::new() }),
            mod_policy,
        })
    };
    let group = move |inner: BoxedStrategy<std::collections::BTreeMap<String, ConfigGroup>>| {
        (
            inner,
            prop::collection::btree_map(names(), value(), 0..4),
            prop::collection::btree_map(names(), policy(), 0..4),
            policies(),
        )
            .prop_map(|(groups, values, policies, mod_policy)| ConfigGroup {
                version: 0,
                groups,
                values,
                policies,
                mod_policy,
            })
    };
    let leaf = group(Just(Default::default()).boxed()).boxed();
    let middle = group(prop::collection::btree_map(names(), leaf, 0..3).boxed()).boxed();
    group(prop::collection::btree_map(names(), middle, 0..3).boxed())
}

fn without_versions(group: &ConfigGroup) -> ConfigGroup {
    let mut group = group.clone();
    group.version = 0;
    group.values.values_mut().for_each(|value| value.version = 0);
    group.policies.values_mut().for_each(|policy| policy.version = 0);
    group.groups.values_mut().for_each(|inner| *inner = without_versions(inner));
    group
}

proptest! {
    /// Whatever two configurations look like, the update computed from them leads from one to the other, and then
    /// back, with versions that only grow.
    #[test]
    fn a_computed_update_leads_where_it_should(first in groups(), second in groups()) {
        let mut at = first.clone();
        for goal in [second, first] {
            match compute("c", &config(at.clone()), &config(goal.clone())) {
                Some(update) => {
                    let next = apply_unsigned(&at, &update).expect("a good update");
                    prop_assert_eq!(without_versions(&next), goal);
                    prop_assert!(next.version >= at.version);
                    at = next;
                }
                None => prop_assert_eq!(without_versions(&at), goal),
            }
        }
    }
}
