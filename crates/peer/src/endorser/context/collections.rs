//! Who may use which collection.

use std::collections::HashMap;

use selvedge_proto::protos::{StaticCollectionConfig, collection_policy_config};

use super::Context;
use crate::lifecycle::{self, Collections};

/// What was found out about the collections of one chaincode in one transaction.
#[derive(Default)]
pub(super) struct Permissions {
    /// `None` until the first private data operation; then the chaincode's collections, if it has any.
    known: Option<Option<Collections>>,
    by_collection: HashMap<String, Permission>,
}

#[derive(Clone, Copy)]
struct Permission {
    read: bool,
    write: bool,
}

impl Context<'_> {
    /// Tells the simulator which collections there are, which reads the chaincode's definition.
    pub(super) fn define_collections(&mut self) -> Result<(), String> {
        if self.permissions.known.is_some() {
            return Ok(());
        }
        let config = &self.transaction.config;
        let read = self.transaction.state.with(|simulator| {
            lifecycle::read_collections(simulator, config, self.executor.own_msp_id(), self.namespace)
        })?;
        self.permissions.known = Some(read);
        Ok(())
    }

    pub(super) fn may_read(&mut self, collection: &str) -> Result<(), String> {
        if self.permission(collection)?.read { Ok(()) } else { Err(self.denied("read", collection)) }
    }

    pub(super) fn may_write(&mut self, collection: &str) -> Result<(), String> {
        if self.permission(collection)?.write { Ok(()) } else { Err(self.denied("write", collection)) }
    }

    fn denied(&self, access: &str, collection: &str) -> String {
        format!(
            "tx creator does not have {access} access permission on privatedata in chaincodeName:{} \
             collectionName: {collection}",
            self.namespace
        )
    }

    fn permission(&mut self, collection: &str) -> Result<Permission, String> {
        self.not_in_init()?;
        if let Some(known) = self.permissions.by_collection.get(collection) {
            return Ok(*known);
        }
        self.define_collections()?;
        let collections = self.permissions.known.as_ref().and_then(Option::as_ref);
        let config = collections.and_then(|known| known.get(collection)).ok_or_else(|| {
            let channel = self.transaction.channel.id();
            format!("collection {channel}/{}/{collection} could not be found", self.namespace)
        })?;
        let member = self.is_member(&config)?;
        let permission = Permission {
            read: member || !config.member_only_read,
            write: member || !config.member_only_write,
        };
        self.permissions.by_collection.insert(collection.to_owned(), permission);
        Ok(permission)
    }

    /// Whether the creator belongs to one of the collection's organisations.
    fn is_member(&self, config: &StaticCollectionConfig) -> Result<bool, String> {
        let members = config.member_orgs_policy.as_ref().and_then(|policy| policy.payload.as_ref());
        let Some(collection_policy_config::Payload::SignaturePolicy(members)) = members else {
            return Err(format!(
                "error setting up collection {}: Collection config policy is nil",
                config.name
            ));
        };
        let policy = self.transaction.config.signature_policy(members).map_err(|error| error.to_string())?;
        Ok(policy.evaluate_identities(std::slice::from_ref(&self.transaction.creator)).is_ok())
    }
}
