//! A configuration as a flat map of its groups, values and policies by path.

use std::collections::BTreeMap;

use selvedge_proto::common::{ConfigGroup, ConfigPolicy, ConfigValue};

use super::UpdateError;

const ROOT: &str = "Channel";
const MAX_NAME: usize = 249;

/// How deep groups may nest; real ones have three levels.
const MAX_DEPTH: usize = 16;

/// With this element in a configuration, elements without a `mod_policy` get [`DEFAULT_MOD_POLICY`], as Fabric mends
/// channels that its version 1.0 made without.
const MENDING: &str = "[Value]  /Channel/Orderer/Capabilities";
const DEFAULT_MOD_POLICY: &str = "Admins";

/// One element, with the names of the groups that it is in.
#[derive(Clone, Debug)]
pub(crate) struct Element<'a> {
    groups: Vec<&'a str>,
    key: &'a str,
    content: Content<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Content<'a> {
    Group(&'a ConfigGroup),
    Value(&'a ConfigValue),
    Policy(&'a ConfigPolicy),
}

/// All elements of a configuration, or of a set of an update, by path.
#[derive(Debug, Default)]
pub(super) struct Elements<'a>(BTreeMap<String, Element<'a>>);

impl<'a> Element<'a> {
    /// The path with its kind, such as `[Value]  /Channel/Orderer/BatchSize`.
    pub(super) fn path(&self) -> String {
        let mut path = match self.content {
            Content::Group(_) => "[Group]  ",
            Content::Value(_) => "[Value]  ",
            Content::Policy(_) => "[Policy] ",
        }
        .to_owned();
        for name in self.groups.iter().chain([&self.key]) {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// The names of the groups, from the root on, in which the element's own policies are looked for: those that it is
    /// in, and for a group itself.
    pub(super) fn group_path(&self) -> Vec<&'a str> {
        let mut path = self.groups.clone();
        if matches!(self.content, Content::Group(_)) {
            path.push(self.key);
        }
        path
    }

    pub(super) fn key(&self) -> &'a str {
        self.key
    }

    pub(super) fn version(&self) -> u64 {
        match self.content {
            Content::Group(group) => group.version,
            Content::Value(value) => value.version,
            Content::Policy(policy) => policy.version,
        }
    }

    pub(super) fn mod_policy(&self) -> &'a str {
        match self.content {
            Content::Group(group) => &group.mod_policy,
            Content::Value(value) => &value.mod_policy,
            Content::Policy(policy) => &policy.mod_policy,
        }
    }
}

impl<'a> Elements<'a> {
    /// The elements of a root group; none if there is no group.
    pub(super) fn of(root: Option<&'a ConfigGroup>) -> Result<Self, UpdateError> {
        let mut elements = Self::default();
        if let Some(root) = root {
            elements.add_group(Vec::new(), ROOT, root)?;
        }
        Ok(elements)
    }

    pub(super) fn get(&self, path: &str) -> Option<&Element<'a>> {
        self.0.get(path)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Element<'a>)> {
        self.0.iter()
    }

    /// These elements, with others in the place of those of the same path.
    pub(super) fn overlaid(&self, changes: &BTreeMap<&str, &Element<'a>>) -> Self {
        let mut elements = self.0.clone();
        elements.extend(changes.iter().map(|(path, element)| ((*path).to_owned(), (*element).clone())));
        Self(elements)
    }

    /// The root group that these elements make. What no group names any more is left out.
    pub(super) fn into_group(self) -> Result<ConfigGroup, UpdateError> {
        let mends = self.0.contains_key(MENDING);
        self.group(&format!("/{ROOT}"), mends)
    }

    fn add_group(
        &mut self,
        groups: Vec<&'a str>,
        key: &'a str,
        group: &'a ConfigGroup,
    ) -> Result<(), UpdateError> {
        if groups.len() >= MAX_DEPTH {
            return Err(UpdateError::Depth(MAX_DEPTH));
        }
        self.add(Element { groups: groups.clone(), key, content: Content::Group(group) }, "[Group]  ")?;
        let mut inside = groups;
        inside.push(key);
        for (key, group) in &group.groups {
            self.add_group(inside.clone(), key, group)?;
        }
        for (key, value) in &group.values {
            let content = Content::Value(value);
            self.add(Element { groups: inside.clone(), key, content }, "[Value]  ")?;
        }
        for (key, policy) in &group.policies {
            let content = Content::Policy(policy);
            self.add(Element { groups: inside.clone(), key, content }, "[Policy] ")?;
        }
        Ok(())
    }

    fn add(&mut self, element: Element<'a>, kind: &'static str) -> Result<(), UpdateError> {
        check_name(element.key)
            .map_err(|reason| UpdateError::Key { path: kind, reason: Box::new(reason) })?;
        self.0.insert(element.path(), element);
        Ok(())
    }

    fn group(&self, path: &str, mends: bool) -> Result<ConfigGroup, UpdateError> {
        let find = |kind, prefix: &str, path: &str| {
            let path = format!("{prefix}{path}");
            self.0.get(&path).map(|element| element.content).ok_or(UpdateError::Missing { kind, path })
        };
        let mended = |mod_policy: &str| match mod_policy {
            "" if mends => DEFAULT_MOD_POLICY.to_owned(),
            named => named.to_owned(),
        };
        let Content::Group(source) = find("group", "[Group]  ", path)? else {
            return Err(UpdateError::Missing { kind: "group", path: path.to_owned() });
        };
        let mut group = ConfigGroup {
            version: source.version,
            mod_policy: mended(&source.mod_policy),
            ..ConfigGroup::default()
        };
        for key in source.groups.keys() {
            group.groups.insert(key.clone(), self.group(&format!("{path}/{key}"), mends)?);
        }
        for key in source.values.keys() {
            if let Content::Value(value) = find("value", "[Value]  ", &format!("{path}/{key}"))? {
                let mod_policy = mended(&value.mod_policy);
                group.values.insert(key.clone(), ConfigValue { mod_policy, ..value.clone() });
            }
        }
        for key in source.policies.keys() {
            if let Content::Policy(policy) = find("policy", "[Policy] ", &format!("{path}/{key}"))? {
                let mod_policy = mended(&policy.mod_policy);
                group.policies.insert(key.clone(), ConfigPolicy { mod_policy, ..policy.clone() });
            }
        }
        Ok(group)
    }
}

/// Checks that a policy can be named like this.
pub(super) fn check_mod_policy(path: &str) -> Result<(), UpdateError> {
    if path.is_empty() {
        return Err(UpdateError::NoModPolicy);
    }
    for (at, name) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
        check_name(name).map_err(|reason| UpdateError::PathElement { at, reason: Box::new(reason) })?;
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), UpdateError> {
    if name.is_empty() {
        return Err(UpdateError::EmptyName);
    }
    if name.len() > MAX_NAME {
        return Err(UpdateError::LongName(MAX_NAME));
    }
    if matches!(name, "." | "..") {
        return Err(UpdateError::ForbiddenName(name.to_owned()));
    }
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')) {
        Ok(())
    } else {
        Err(UpdateError::NameCharacters(name.to_owned()))
    }
}
