//! The update that turns one configuration into another, as Fabric's `configtxlator compute_update` makes it.

use std::collections::BTreeMap;

use selvedge_proto::common::{Config, ConfigGroup, ConfigPolicy, ConfigUpdate, ConfigValue};

/// The smallest update that makes `updated` of `original`; the versions of `updated` are not looked at. `None` if they
/// do not differ, or one of them has no group.
pub fn compute(channel_id: &str, original: &Config, updated: &Config) -> Option<ConfigUpdate> {
    let (original, updated) = (original.channel_group.as_ref()?, updated.channel_group.as_ref()?);
    let Difference { read, write, differs } = compare(original, updated);
    differs.then(|| ConfigUpdate {
        channel_id: channel_id.to_owned(),
        read_set: Some(read),
        write_set: Some(write),
        ..ConfigUpdate::default()
    })
}

/// What an update reads and writes of a group.
struct Difference {
    read: ConfigGroup,
    write: ConfigGroup,
    differs: bool,
}

fn compare(original: &ConfigGroup, updated: &ConfigGroup) -> Difference {
    let policies = members(
        &original.policies,
        &updated.policies,
        |before, after| before.mod_policy == after.mod_policy && before.policy == after.policy,
        |version, policy| ConfigPolicy { version, ..policy.clone() },
        |policy| ConfigPolicy { version: policy.version, ..ConfigPolicy::default() },
    );
    let values = members(
        &original.values,
        &updated.values,
        |before, after| before.mod_policy == after.mod_policy && before.value == after.value,
        |version, value| ConfigValue { version, ..value.clone() },
        |value| ConfigValue { version: value.version, ..ConfigValue::default() },
    );
    let groups = groups(&original.groups, &updated.groups);

    let version = original.version;
    let mut read = ConfigGroup { version, groups: groups.read, ..ConfigGroup::default() };
    let mut write = ConfigGroup {
        version,
        policies: policies.write,
        values: values.write,
        groups: groups.write,
        ..ConfigGroup::default()
    };
    let is_itself_changed = policies.membership_differs
        || values.membership_differs
        || groups.membership_differs
        || original.mod_policy != updated.mod_policy;
    if !is_itself_changed {
        let differs = !(write.policies.is_empty() && write.values.is_empty() && write.groups.is_empty());
        return Difference { read, write, differs };
    }
    // A group that changes itself names all its members; those that stay as they are only by their version.
    read.policies.extend(policies.same.clone());
    read.values.extend(values.same.clone());
    read.groups.extend(groups.same.clone());
    write.policies.extend(policies.same);
    write.values.extend(values.same);
    write.groups.extend(groups.same);
    write.version += 1;
    write.mod_policy.clone_from(&updated.mod_policy);
    Difference { read, write, differs: true }
}

/// What an update reads and writes of a group's members of one kind.
struct Members<T> {
    read: BTreeMap<String, T>,
    write: BTreeMap<String, T>,
    /// Those that stay as they are.
    same: BTreeMap<String, T>,
    membership_differs: bool,
}

fn members<T>(
    original: &BTreeMap<String, T>,
    updated: &BTreeMap<String, T>,
    is_same: impl Fn(&T, &T) -> bool,
    with_version: impl Fn(u64, &T) -> T,
    version_only: impl Fn(&T) -> T,
) -> Members<T>
where
    T: Versioned,
{
    let mut members = Members {
        read: BTreeMap::new(),
        write: BTreeMap::new(),
        same: BTreeMap::new(),
        membership_differs: original.keys().any(|name| !updated.contains_key(name)),
    };
    for (name, after) in updated {
        match original.get(name) {
            Some(before) if is_same(before, after) => {
                members.same.insert(name.clone(), version_only(before));
            }
            Some(before) => {
                members.write.insert(name.clone(), with_version(before.version() + 1, after));
            }
            None => {
                members.membership_differs = true;
                members.write.insert(name.clone(), with_version(0, after));
            }
        }
    }
    members
}

fn groups(
    original: &BTreeMap<String, ConfigGroup>,
    updated: &BTreeMap<String, ConfigGroup>,
) -> Members<ConfigGroup> {
    let mut members = Members {
        read: BTreeMap::new(),
        write: BTreeMap::new(),
        same: BTreeMap::new(),
        membership_differs: original.keys().any(|name| !updated.contains_key(name)),
    };
    for (name, after) in updated {
        match original.get(name) {
            Some(before) => {
                let Difference { read, write, differs } = compare(before, after);
                if differs {
                    members.read.insert(name.clone(), read);
                    members.write.insert(name.clone(), write);
                } else {
                    members.same.insert(name.clone(), read);
                }
            }
            None => {
                members.membership_differs = true;
                let new = compare(&ConfigGroup::default(), after).write;
                let mod_policy = after.mod_policy.clone();
                members.write.insert(name.clone(), ConfigGroup { version: 0, mod_policy, ..new });
            }
        }
    }
    members
}

trait Versioned {
    fn version(&self) -> u64;
}

impl Versioned for ConfigValue {
    fn version(&self) -> u64 {
        self.version
    }
}

impl Versioned for ConfigPolicy {
    fn version(&self) -> u64 {
        self.version
    }
}
