//! Judges examined transactions one after the other.

use std::collections::HashSet;

use selvedge_identity::ChannelConfig;
use selvedge_ledger::Error;
use selvedge_ledger::state::StateSnapshot;
use selvedge_proto::protos::TxValidationCode;

use super::Judged;
use super::definitions::Definitions;
use super::endorsement::{ChangedKeys, Check};
use super::transaction::{Call, Examination};

pub(super) fn judge(
    config: &ChannelConfig,
    snapshot: &StateSnapshot,
    transactions: &[Examination],
) -> Result<Judged, Error> {
    let mut judge = Judge {
        snapshot,
        definitions: Definitions::new(config, snapshot),
        changed: ChangedKeys::default(),
        ids: HashSet::new(),
    };
    let mut judged = Judged { codes: Vec::with_capacity(transactions.len()), config: None };
    for (index, transaction) in transactions.iter().enumerate() {
        let code = match transaction {
            Examination::Refused(refusal) => {
                tracing::info!(index, %refusal, "a transaction is invalid");
                refusal.code
            }
            Examination::Configuration(config) => {
                judged.config = Some(config.clone());
                TxValidationCode::Valid
            }
            Examination::Endorsed { id, call } => judge.endorsed(
                index,
                id,
                call.as_ref().map_err(|refusal| {
                    tracing::info!(index, id, %refusal, "a transaction is invalid");
                    refusal.code
                }),
            )?,
        };
        judged.codes.push(code);
    }
    Ok(judged)
}

struct Judge<'a> {
    snapshot: &'a StateSnapshot,
    definitions: Definitions<'a>,
    changed: ChangedKeys,
    /// The ids of the valid transactions of this block.
    ids: HashSet<&'a str>,
}

impl<'a> Judge<'a> {
    fn endorsed(
        &mut self,
        index: usize,
        id: &'a str,
        call: Result<&Call, TxValidationCode>,
    ) -> Result<TxValidationCode, Error> {
        if self.snapshot.transaction(id)?.is_some() {
            tracing::info!(index, id, "a transaction is invalid: an earlier block has its id");
            return Ok(TxValidationCode::DuplicateTxid);
        }
        let code = match call {
            Ok(call) => self.call(call)?,
            Err(code) => code,
        };
        // Only valid transactions take their id away from later ones of the block.
        if code == TxValidationCode::Valid && !self.ids.insert(id) {
            tracing::info!(index, id, "a transaction is invalid: an earlier one of the block has its id");
            return Ok(TxValidationCode::DuplicateTxid);
        }
        Ok(code)
    }

    fn call(&mut self, call: &Call) -> Result<TxValidationCode, Error> {
        let mut namespaces = Vec::new();
        for namespace in call.namespaces() {
            let Some(info) = self.definitions.namespace(namespace)? else {
                tracing::info!(namespace, "a transaction is invalid: the namespace is not defined");
                return Ok(TxValidationCode::InvalidChaincode);
            };
            namespaces.push((namespace, info));
        }
        let mut code = TxValidationCode::Valid;
        let mut endorsed = Vec::new();
        for (namespace, info) in namespaces {
            let set = call.set.namespace(namespace);
            let check =
                Check::new(&mut self.definitions, self.snapshot, &self.changed, &info, &call.endorsers);
            if check.holds(set)? {
                endorsed.extend(set);
            } else {
                tracing::info!(namespace, "a transaction is invalid: its endorsements do not suffice");
                code = TxValidationCode::EndorsementPolicyFailure;
            }
        }
        for set in endorsed {
            self.changed.add(set);
        }
        Ok(code)
    }
}
