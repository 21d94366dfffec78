//! Which endorsers to ask.
//!
//! After each round of answers the plan looks for the fewest further endorsers whose identities, together with those
//! that have endorsed already, satisfy the policies. An endorser that fails is not asked again, so that the next look
//! finds another way around it, if there is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_identity::Identity;
use selvedge_identity::policy::ChannelPolicy;
use selvedge_proto::gateway::ErrorDetail;
use selvedge_proto::protos::{Endorsement, ProposalResponse};

use super::error::endorser_detail;
use crate::endorser::Endorser;

/// How many combinations of endorsers are tried before any combination that will do is taken instead of the smallest.
const MOST_COMBINATIONS: usize = 4096;

/// What the endorsers have to satisfy.
#[derive(Debug)]
pub(super) enum Goal {
    /// Each of these policies.
    Policies(Vec<ChannelPolicy>),
    /// One endorser of each of these organisations, as the client asked for.
    Organizations(BTreeSet<String>),
}

/// An endorser that may be asked.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) endorser: Arc<dyn Endorser>,
    pub(super) identity: Arc<Identity>,
}

/// The endorsements of one transaction as they come in.
pub(super) struct Plan {
    goal: Goal,
    candidates: Vec<Candidate>,
    untried: Vec<usize>,
    endorsed: Vec<(usize, Endorsement)>,
    payload: Option<Bytes>,
    details: Vec<ErrorDetail>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There are enough endorsements.
    Done,
    /// These have to be asked, by their place among the candidates.
    Ask(Vec<usize>),
    /// There cannot be enough.
    Impossible,
}

impl Plan {
    /// A plan with these candidates, in the order of preference.
    pub(super) fn new(goal: Goal, candidates: Vec<Candidate>) -> Self {
        let untried = (0..candidates.len()).collect();
        Self { goal, candidates, untried, endorsed: Vec::new(), payload: None, details: Vec::new() }
    }

    /// The same plan with other candidates, before anybody was asked.
    pub(super) fn with_candidates(self, candidates: Vec<Candidate>) -> Self {
        Self::new(self.goal, candidates)
    }

    pub(super) fn candidate(&self, index: usize) -> &Candidate {
        &self.candidates[index]
    }

    /// The place of an endorser among the candidates.
    pub(super) fn position(&self, endorser: &Arc<dyn Endorser>) -> Option<usize> {
        self.candidates.iter().position(|candidate| Arc::ptr_eq(&candidate.endorser, endorser))
    }

    /// What the answers say so far must be equal to this.
    pub(super) fn expect_payload(&mut self, payload: Bytes) {
        self.payload = Some(payload);
    }

    /// Takes an endorsement. It counts only if it is one of the result that the others endorsed.
    pub(super) fn endorsed(&mut self, index: usize, response: ProposalResponse) {
        self.untried.retain(|untried| *untried != index);
        let payload = self.payload.get_or_insert_with(|| response.payload.clone());
        if *payload != response.payload {
            tracing::warn!(
                endorser = self.candidates[index].endorser.address(),
                "the endorsers' results differ: ProposalResponsePayloads do not match"
            );
            self.failed(index, "ProposalResponsePayloads do not match");
        } else if let Some(endorsement) = response.endorsement {
            self.endorsed.push((index, endorsement));
        } else {
            self.failed(index, "the response has no endorsement");
        }
    }

    /// Notes that an endorser did not endorse, and why.
    pub(super) fn failed(&mut self, index: usize, message: impl Into<String>) {
        self.untried.retain(|untried| *untried != index);
        self.details.push(endorser_detail(self.candidates[index].endorser.as_ref(), message));
    }

    /// What the failed endorsers said.
    pub(super) fn into_details(self) -> Vec<ErrorDetail> {
        self.details
    }

    /// What all endorsers signed, and the endorsements that the goal needs, each endorser once.
    pub(super) fn into_endorsements(self) -> (Bytes, Vec<Endorsement>) {
        let mut needed: Vec<usize> = (0..self.endorsed.len()).collect();
        // The last ones are given up first: whoever endorsed first comes from the gateway's own organisation.
        for place in (0..self.endorsed.len()).rev() {
            let without: Vec<usize> = needed.iter().copied().filter(|kept| *kept != place).collect();
            let indices: Vec<usize> = without.iter().map(|kept| self.endorsed[*kept].0).collect();
            if self.satisfied(&indices) {
                needed = without;
            }
        }
        let mut seen = BTreeSet::new();
        let all = self.endorsed.into_iter().enumerate();
        let kept = all.filter(|(place, _)| needed.contains(place)).map(|(_, (_, endorsement))| endorsement);
        let unique = kept.filter(|endorsement| seen.insert(endorsement.endorser.clone()));
        (self.payload.unwrap_or_default(), unique.collect())
    }

    /// What to do next.
    pub(super) fn next(&self) -> Next {
        let endorsed: Vec<usize> = self.endorsed.iter().map(|(index, _)| *index).collect();
        if self.satisfied(&endorsed) {
            return Next::Done;
        }
        let found = match &self.goal {
            Goal::Policies(_) => self.fewest(&endorsed),
            Goal::Organizations(orgs) => self.of_organizations(orgs, &endorsed),
        };
        found.map_or(Next::Impossible, Next::Ask)
    }

    fn satisfied(&self, indices: &[usize]) -> bool {
        // A transaction without any endorsement is none, even where a policy asks for nothing.
        if indices.is_empty() {
            return false;
        }
        match &self.goal {
            Goal::Policies(policies) => {
                let identities: Vec<_> =
                    indices.iter().map(|index| Arc::clone(&self.candidates[*index].identity)).collect();
                policies.iter().all(|policy| policy.evaluate_identities(&identities).is_ok())
            }
            Goal::Organizations(orgs) => orgs.iter().all(|org| self.has_of(org, indices)),
        }
    }

    fn has_of(&self, org: &str, indices: &[usize]) -> bool {
        indices.iter().any(|index| self.candidates[*index].endorser.msp_id() == org)
    }

    fn of_organizations(&self, orgs: &BTreeSet<String>, endorsed: &[usize]) -> Option<Vec<usize>> {
        let missing = orgs.iter().filter(|org| !self.has_of(org, endorsed));
        missing.map(|org| self.untried.iter().copied().find(|index| self.has_of(org, &[*index]))).collect()
    }

    /// The fewest untried candidates that, with the endorsers so far, satisfy the policies; of several the first in the
    /// order of preference.
    fn fewest(&self, endorsed: &[usize]) -> Option<Vec<usize>> {
        let with = |more: &[usize]| {
            let all: Vec<usize> = endorsed.iter().chain(more).copied().collect();
            self.satisfied(&all)
        };
        if !with(&self.untried) {
            return None;
        }
        let mut tries = MOST_COMBINATIONS;
        for size in 1..self.untried.len() {
            let mut places: Vec<usize> = (0..size).collect();
            loop {
                let more: Vec<usize> = places.iter().map(|place| self.untried[*place]).collect();
                if with(&more) {
                    return Some(more);
                }
                tries -= 1;
                if tries == 0 {
                    return Some(self.shrunk(&with));
                }
                if !advance(&mut places, self.untried.len()) {
                    break;
                }
            }
        }
        Some(self.untried.clone())
    }

    /// All untried candidates without those that are not needed, the least preferred left out first.
    fn shrunk(&self, satisfied: &dyn Fn(&[usize]) -> bool) -> Vec<usize> {
        let mut kept = self.untried.clone();
        for index in self.untried.iter().rev() {
            let without: Vec<usize> = kept.iter().copied().filter(|other| other != index).collect();
            if satisfied(&without) {
                kept = without;
            }
        }
        kept
    }
}

/// Steps to the next combination of places below `length` in lexicographic order, or says that there is none.
fn advance(places: &mut [usize], length: usize) -> bool {
    let size = places.len();
    let Some(movable) = (0..size).rev().find(|at| places[*at] < length - size + at) else { return false };
    let first = places[movable] + 1;
    for (offset, place) in places[movable..].iter_mut().enumerate() {
        *place = first + offset;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::advance;

    #[test]
    fn all_combinations_come_once_and_in_order() {
        let mut places = vec![0, 1];
        let mut seen = vec![places.clone()];
        while advance(&mut places, 4) {
            seen.push(places.clone());
        }
        assert_eq!(seen, [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]);
        assert!(!advance(&mut [], 4));
    }
}
