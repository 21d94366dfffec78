//! What a chaincode name of a channel runs on this peer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use selvedge_ledger::Snapshot;
use selvedge_ledger::simulator::Simulator;

use super::approval::{self, ApprovedPackage};
use super::collections::read_legacy;
use super::definition::{self, Definition};
use super::error::{LifecycleError, ResolveError};
use super::state::Public;
use crate::host::Host;

/// The most definitions of one channel that are kept in memory.
const MAX_KNOWN: usize = 4096;

/// A chaincode that this peer can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Runnable {
    /// What the channel committed.
    pub definition: Arc<Definition>,
    /// The installed package that this peer's organisation approved for it.
    pub package_id: String,
}

/// The definitions of one channel with this organisation's approvals, kept as long as no block is committed. What it
/// says is what the given state says.
pub struct Definitions {
    own_msp_id: String,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Clone)]
struct Known {
    /// Two snapshots of one channel with the same height are equal.
    height: u64,
    definition: Arc<Definition>,
    /// `None` if the organisation has not approved the definition.
    package: Option<Arc<ApprovedPackage>>,
}

impl Definitions {
    /// The definitions of a channel for a peer of the given organisation. There must be one such object per channel.
    pub fn new(own_msp_id: impl Into<String>) -> Self {
        Self { own_msp_id: own_msp_id.into(), known: Mutex::default() }
    }

    /// What the channel has committed for a name; as [`committed`](super::committed), but remembered.
    ///
    /// # Errors
    /// As for [`committed`](super::committed).
    pub fn committed(
        &self,
        snapshot: &dyn Snapshot,
        name: &str,
    ) -> Result<Option<Arc<Definition>>, LifecycleError> {
        Ok(self.look_up(snapshot, name)?.map(|known| known.definition))
    }

    /// What a transaction that calls a chaincode runs. Reads in the transaction what Fabric's peer reads on each call,
    /// so that the transaction becomes invalid if another definition is committed before it.
    ///
    /// # Errors
    /// When this peer does not run the chaincode. The texts are Fabric's, without what the endorser puts before them.
    pub fn resolve(
        &self,
        simulator: &mut Simulator,
        channel: &str,
        name: &str,
        host: &Host,
    ) -> Result<Runnable, ResolveError> {
        let failed =
            |source| ResolveError::Lifecycle { name: name.to_owned(), channel: channel.to_owned(), source };
        // The value does not matter, only that it was read: the definition comes from the same state.
        if definition::sequence(name, &mut Public(simulator)).map_err(failed)? == 0 {
            read_legacy(simulator, name).map_err(failed)?;
            return Err(ResolveError::NotFound(name.to_owned()));
        }
        let snapshot = Arc::clone(simulator.snapshot());
        self.runnable(snapshot.as_ref(), channel, name, host)
    }

    /// As [`resolve`](Self::resolve), but outside of any transaction.
    ///
    /// # Errors
    /// As for [`resolve`](Self::resolve).
    pub fn runnable(
        &self,
        snapshot: &dyn Snapshot,
        channel: &str,
        name: &str,
        host: &Host,
    ) -> Result<Runnable, ResolveError> {
        let known = self.look_up(snapshot, name).map_err(|source| ResolveError::Lifecycle {
            name: name.to_owned(),
            channel: channel.to_owned(),
            source,
        })?;
        let Some(Known { definition, package, .. }) = known else {
            return Err(ResolveError::NotFound(name.to_owned()));
        };
        let Some(package) = package else {
            return Err(ResolveError::NotApproved {
                name: name.to_owned(),
                sequence: definition.sequence,
                channel: channel.to_owned(),
            });
        };
        match installed(&package, host) {
            Some(package_id) => Ok(Runnable { definition, package_id }),
            None => Err(ResolveError::NotInstalled(name.to_owned())),
        }
    }

    fn look_up(&self, snapshot: &dyn Snapshot, name: &str) -> Result<Option<Known>, LifecycleError> {
        let height = snapshot.height();
        if let Some(known) = self.known.lock().get(name).filter(|known| known.height == height) {
            return Ok(Some(known.clone()));
        }
        let Some(definition) = definition::committed(snapshot, name)? else { return Ok(None) };
        let package = approval::committed_package(snapshot, &self.own_msp_id, &definition)?;
        let known = Known { height, definition: Arc::new(definition), package: package.map(Arc::new) };
        let mut all = self.known.lock();
        // A reader of an older state does not put back what is newer.
        if all.get(name).is_none_or(|other| other.height < height) {
            if all.len() >= MAX_KNOWN {
                all.clear();
            }
            all.insert(name.to_owned(), known.clone());
        }
        Ok(Some(known))
    }
}

/// The id of the approved package, if it is installed.
fn installed(package: &ApprovedPackage, host: &Host) -> Option<String> {
    match package {
        ApprovedPackage::Id(id) => host.is_installed(id).then(|| id.clone()),
        // As in Fabric, a peer that missed the private data of the approval still knows its own packages' hashes.
        ApprovedPackage::Hash(_) => {
            host.installed().into_iter().map(|installed| installed.package_id).find(|id| package.is(id))
        }
        ApprovedPackage::None => None,
    }
}
