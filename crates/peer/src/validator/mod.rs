//! Judges a block's transactions by everything but the versions of what they read, which the ledger looks at.
//!
//! ```text
//! entries --examine--> Examined --judge--> Judged --Ledger::validate--> Validated
//! ```
//!
//! [`examine`] does what needs only the channel's configuration: forms, ids and signatures. It takes most of the
//! time, works on all cores and may run while earlier blocks are committed, as long as those hold no
//! configuration. [`Examined::judge`] does what depends on the state before the block, and on the order of its
//! transactions: ids used before, chaincode definitions, and endorsement policies of chaincodes, collections and
//! keys.
//!
//! The verdicts are those of Fabric's peers, whose checks come in the same order. Where Fabric's peers break off,
//! hang, or may disagree with each other, these rules of our own apply:
//!
//! * A transaction for another channel is `BAD_CREATOR_SIGNATURE`, whatever other channels the peer has joined.
//! * A hashed write to an undefined collection, or to the implicit collection of a stranger, and a write to a key
//!   whose validation parameter is no policy, are `ENDORSEMENT_POLICY_FAILURE`.
//! * A chaincode whose definition cannot be read, or names another plugin than `vscc`, is `INVALID_CHAINCODE`. This
//!   verdict comes before those of the endorsement policies of other namespaces.
//! * A change of a key's validation parameter counts against later transactions of the block if the policies for
//!   its own namespace hold, whatever becomes of the transaction.
//! * A configuration that does not stand alone in its block, cannot be used or does not follow from the update that it
//!   carries is `INVALID_CONFIG_TRANSACTION`.

mod configuration;
mod definitions;
mod endorsement;
mod judge;
mod parallel;
mod transaction;

use std::sync::Arc;

use bytes::Bytes;
use selvedge_identity::ChannelConfig;
use selvedge_ledger::Error;
use selvedge_ledger::rwset::ReadWriteSet;
use selvedge_ledger::state::StateSnapshot;
use selvedge_proto::protos::TxValidationCode;

use self::transaction::Examination;

/// The transactions of a block, whose forms, ids and signatures were checked.
#[derive(Debug)]
pub struct Examined {
    config: Arc<ChannelConfig>,
    transactions: Vec<Examination>,
}

/// The verdicts on a block's transactions before the ledger's own.
#[derive(Debug)]
pub struct Judged {
    /// One for each transaction.
    pub codes: Vec<TxValidationCode>,
    /// The channel's new configuration, if the block brings one.
    pub config: Option<Arc<ChannelConfig>>,
}

/// Examines the entries of a block on as many threads as there are cores.
pub fn examine(config: &Arc<ChannelConfig>, entries: &[Bytes]) -> Examined {
    let is_alone = entries.len() == 1;
    let examine = |entry: &Bytes| Examination::of(entry, config, is_alone);
    Examined { config: Arc::clone(config), transactions: parallel::map(entries, examine) }
}

impl Examined {
    /// Judges the transactions on the state before the block.
    ///
    /// # Errors
    /// Only those of the snapshot; no content of a block is an error.
    pub fn judge(&self, snapshot: &StateSnapshot) -> Result<Judged, Error> {
        judge::judge(&self.config, snapshot, &self.transactions)
    }

    /// The configuration by which the transactions were examined.
    pub fn config(&self) -> &Arc<ChannelConfig> {
        &self.config
    }

    /// Whether there is a configuration among the transactions.
    pub fn has_configuration(&self) -> bool {
        self.transactions.iter().any(|transaction| matches!(transaction, Examination::Configuration(_)))
    }

    /// The transactions with read/write sets: their index, id and set.
    pub fn sets(&self) -> impl Iterator<Item = (usize, &str, &ReadWriteSet)> {
        self.transactions.iter().enumerate().filter_map(|(index, transaction)| match transaction {
            Examination::Endorsed { id, call: Ok(call) } => Some((index, id.as_str(), &call.set)),
            _ => None,
        })
    }
}
