//! The policies of a channel's configuration, by path.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_proto::common::ConfigGroup;
use selvedge_proto::common::policy::PolicyType;

use super::{ImplicitMetaPolicy, Policy, PolicyError};

/// How deep configuration groups may nest; real ones have three levels.
const MAX_DEPTH: usize = 16;

/// The policies of a configuration group and of the groups below it.
#[derive(Debug, Default)]
pub struct PolicyManager {
    /// The path of the group without a leading slash, such as `Channel/Application`.
    path: String,
    policies: BTreeMap<String, Arc<Policy>>,
    groups: BTreeMap<String, PolicyManager>,
}

impl PolicyManager {
    /// Compiles the policies of a configuration tree whose root has the given name, which is `Channel`.
    pub fn from_group(name: &str, group: &ConfigGroup) -> Result<Self, PolicyError> {
        Self::compile(name.to_owned(), group, MAX_DEPTH)
    }

    fn compile(path: String, group: &ConfigGroup, depth: usize) -> Result<Self, PolicyError> {
        let depth =
            depth.checked_sub(1).ok_or(PolicyError::TooLarge { what: "nested groups", limit: MAX_DEPTH })?;
        let mut groups = BTreeMap::new();
        for (name, inner) in &group.groups {
            groups.insert(name.clone(), Self::compile(format!("{path}/{name}"), inner, depth)?);
        }
        let mut manager = Self { path, policies: BTreeMap::new(), groups };
        let mut policies = BTreeMap::new();
        for (name, entry) in &group.policies {
            let at_path = |reason| PolicyError::AtPath {
                name: name.clone(),
                path: manager.path.clone(),
                reason: Box::new(reason),
            };
            let message = entry.policy.as_ref().ok_or_else(|| at_path(PolicyError::Empty))?;
            let compiled = if message.r#type == PolicyType::ImplicitMeta as i32 {
                let find = |sub_policy: &str| {
                    manager.groups.values().map(|group| group.find(sub_policy).cloned()).collect()
                };
                ImplicitMetaPolicy::decode(message.value.clone(), find).map(Policy::ImplicitMeta)
            } else {
                Policy::compile_signature(message)
            };
            policies.insert(name.clone(), Arc::new(compiled.map_err(at_path)?));
        }
        manager.policies = policies;
        Ok(manager)
    }

    /// The policy at a path: absolute (`/Channel/Application/Writers`) if the path begins with a slash, else
    /// relative to this group (`Writers`, `Application/Writers`).
    pub fn policy(&self, path: &str) -> Result<&Arc<Policy>, PolicyError> {
        let relative = match path.strip_prefix('/') {
            Some(absolute) => {
                absolute.strip_prefix(self.path.as_str()).and_then(|rest| rest.strip_prefix('/'))
            }
            None => Some(path),
        };
        relative.and_then(|relative| self.find(relative)).ok_or_else(|| PolicyError::Unknown(path.to_owned()))
    }

    /// The policy at a path as an element of a group below names it: relative to that group, unless it is absolute.
    pub fn policy_within(&self, names: &[&str], path: &str) -> Result<&Arc<Policy>, PolicyError> {
        let manager = if path.starts_with('/') { Some(self) } else { self.group(names) };
        manager.ok_or_else(|| PolicyError::Unknown(path.to_owned()))?.policy(path)
    }

    /// The policies of a group below, by the names on the way to it.
    pub fn group(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |manager, name| manager.groups.get(*name))
    }

    /// The path of this group, such as `Channel/Application`.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn find(&self, relative: &str) -> Option<&Arc<Policy>> {
        match relative.split_once('/') {
            None => self.policies.get(relative),
            Some((group, rest)) => self.groups.get(group)?.find(rest),
        }
    }
}
