use std::sync::Arc;

use futures_util::future::join_all;
use selvedge_proto::gateway::{EndorseRequest, EndorseResponse};
use selvedge_proto::protos::{
    ChaincodeCall, ChaincodeEndorsedAction, ChaincodeInterest, ProposalResponse, SignedProposal,
};
use tonic::Code;

use super::error::endorser_detail;
use super::judge::judged;
use super::plan::{Candidate, Goal, Next, Plan};
use super::prepare::prepare;
use super::proposal::Unpacked;
use super::requirements::{Requirements, RequirementsError, is_defined};
use super::{Gateway, GatewayChannel, GatewayError};
use crate::endorser::Endorser;

impl Gateway {
    /// Collects enough endorsements for a proposal and puts the transaction together, which the client has to sign.
    ///
    /// # Errors
    /// Fabric's, among them `ABORTED` with what the endorsers said.
    pub async fn endorse(&self, request: EndorseRequest) -> Result<EndorseResponse, GatewayError> {
        let proposal =
            request.proposed_transaction.filter(|proposal| !proposal.proposal_bytes.is_empty()).ok_or_else(
                || GatewayError::invalid("the proposed transaction must contain a signed proposal"),
            )?;
        let unpacked = Unpacked::read(&proposal).map_err(GatewayError::invalid)?;
        // The state that this peer knows before anybody is asked; the others should know it too.
        let height = self.channel(&unpacked.channel_id).map_or(0, |joined| joined.channel.ledger().height());
        let plan = if request.endorsing_organizations.is_empty() {
            self.plan_from_first(&unpacked, &proposal).await?
        } else {
            self.plan_for(&unpacked, request.endorsing_organizations)?
        };
        let plan = self.collect(plan, &proposal, (&unpacked.channel_id, height)).await?;
        let (proposal_response_payload, endorsements) = plan.into_endorsements();
        let action = ChaincodeEndorsedAction { proposal_response_payload, endorsements };
        let prepared = prepare(unpacked.header, unpacked.payload, action);
        Ok(EndorseResponse { prepared_transaction: Some(prepared) })
    }

    /// Asks endorsers until there are enough endorsements. Those that can tell are given a moment to reach the height
    /// of this peer's channel, since endorsements on different states disagree.
    async fn collect(
        &self,
        mut plan: Plan,
        proposal: &SignedProposal,
        (channel_id, height): (&str, u64),
    ) -> Result<Plan, GatewayError> {
        loop {
            let indices = match plan.next() {
                Next::Done => return Ok(plan),
                Next::Ask(indices) => indices,
                Next::Impossible => {
                    let message = "failed to collect enough transaction endorsements, see attached details for more \
                                   info";
                    return Err(GatewayError::with_details(Code::Aborted, message, plan.into_details()));
                }
            };
            let asked = indices.iter().map(|index| {
                let endorser = &plan.candidate(*index).endorser;
                judged(self.config().endorsement_timeout, async move {
                    endorser.catch_up(channel_id, height).await;
                    endorser.process_proposal(proposal.clone()).await
                })
            });
            let answers = join_all(asked).await;
            for (index, answer) in indices.into_iter().zip(answers) {
                match answer {
                    Ok(response) => plan.endorsed(index, response),
                    Err(failure) => plan.failed(index, failure.message),
                }
            }
        }
    }

    /// The plan of a client that says which organisations are to endorse.
    fn plan_for(&self, unpacked: &Unpacked, orgs: Vec<String>) -> Result<Plan, GatewayError> {
        let channel = self.channel(&unpacked.channel_id);
        let candidates: Vec<_> = channel.as_deref().map_or_else(Vec::new, |channel| {
            let chaincodes = std::iter::once(unpacked.chaincode());
            candidates(channel, chaincodes)
                .filter(|found| orgs.iter().any(|org| org == found.endorser.msp_id()))
                .collect()
        });
        let has_peer = |org: &&String| candidates.iter().any(|found| found.endorser.msp_id() == org.as_str());
        let missing: Vec<&str> = orgs.iter().filter(|org| !has_peer(org)).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!("failed to find any endorsing peers for org(s): {}", missing.join(", "));
            return Err(GatewayError::new(Code::Unavailable, message));
        }
        Ok(Plan::new(Goal::Organizations(orgs.into_iter().collect()), candidates))
    }

    /// Asks a first endorser, preferably of the own organisation, and plans by what the transaction touched there.
    async fn plan_from_first(
        &self,
        unpacked: &Unpacked,
        proposal: &SignedProposal,
    ) -> Result<Plan, GatewayError> {
        let chaincode = unpacked.chaincode();
        let default = ChaincodeInterest {
            chaincodes: vec![ChaincodeCall { name: chaincode.to_owned(), ..ChaincodeCall::default() }],
        };
        let channel = self.channel(&unpacked.channel_id).ok_or_else(|| {
            let channel = unpacked.channel_id.clone();
            no_combination(RequirementsError::Undefined { chaincode: chaincode.to_owned(), channel })
        })?;
        let firsts = self.first_endorsers(unpacked, &channel, &default)?;
        let (first, response) = self.ask_first(firsts, proposal).await?;
        let interest = match &response.interest {
            Some(interest) if !interest.chaincodes.is_empty() => interest.clone(),
            _ => default,
        };
        let mut plan = if unpacked.has_transient() {
            self.protecting_plan(&channel, interest)?
        } else {
            self.plan_by(&channel, &interest).map_err(no_combination_of)?
        };
        plan.expect_payload(response.payload.clone());
        if let Some(index) = plan.position(&first) {
            plan.endorsed(index, response);
        }
        Ok(plan)
    }

    /// Who may be asked first.
    fn first_endorsers(
        &self,
        unpacked: &Unpacked,
        channel: &GatewayChannel,
        default: &ChaincodeInterest,
    ) -> Result<Vec<Arc<dyn Endorser>>, GatewayError> {
        let chaincodes = std::iter::once(unpacked.chaincode());
        let own = candidates(channel, chaincodes).filter(|found| found.endorser.msp_id() == self.msp_id());
        let own: Vec<_> = own.map(|found| found.endorser).collect();
        if !own.is_empty() && is_defined(&channel.channel, unpacked.chaincode()) {
            return Ok(own);
        }
        if unpacked.has_transient() {
            let message = "no endorsers found in the gateway's organization; retry specifying endorsing \
                           organization(s) to protect transient data";
            return Err(GatewayError::new(Code::FailedPrecondition, message));
        }
        let plan = self.plan_by(channel, default).map_err(no_combination_of)?;
        let Next::Ask(indices) = plan.next() else { return Err(no_combination("no peers")) };
        Ok(indices.into_iter().map(|index| Arc::clone(&plan.candidate(index).endorser)).collect())
    }

    async fn ask_first(
        &self,
        endorsers: Vec<Arc<dyn Endorser>>,
        proposal: &SignedProposal,
    ) -> Result<(Arc<dyn Endorser>, ProposalResponse), GatewayError> {
        let mut details = Vec::new();
        for endorser in endorsers {
            let answer = endorser.process_proposal(proposal.clone());
            match judged(self.config().endorsement_timeout, answer).await {
                Ok(response) => return Ok((endorser, response)),
                Err(failure) => details.push(endorser_detail(endorser.as_ref(), failure.message)),
            }
        }
        let message = "failed to endorse transaction, see attached details for more info";
        Err(GatewayError::with_details(Code::Aborted, message, details))
    }

    /// A plan that shows transient data only to members of the collections that are written, since what is written
    /// probably comes from there.
    fn protecting_plan(
        &self,
        channel: &GatewayChannel,
        interest: ChaincodeInterest,
    ) -> Result<Plan, GatewayError> {
        let mut careful = interest.clone();
        let mut protected = Vec::new();
        for call in careful.chaincodes.iter_mut().filter(|call| call.no_private_reads) {
            call.no_private_reads = false;
            protected.extend(call.collection_names.iter().cloned());
        }
        self.plan_by(channel, &careful).map_err(|error| {
            if protected.is_empty() || self.plan_by(channel, &interest).is_err() {
                return no_combination_of(error);
            }
            let message = format!(
                "requires endorsement from organisation(s) that are not in the distribution policy of the private \
                 data collection(s): [{}]; retry specifying trusted endorsing organizations to protect transient data",
                protected.join(" ")
            );
            GatewayError::new(Code::FailedPrecondition, message)
        })
    }

    /// A plan that can succeed.
    fn plan_by(&self, channel: &GatewayChannel, interest: &ChaincodeInterest) -> Result<Plan, String> {
        let requirements = Requirements::of(&channel.channel, interest).map_err(|error| error.to_string())?;
        let member = |found: &Candidate| {
            let identity = std::slice::from_ref(&found.identity);
            requirements.membership.iter().all(|policy| policy.evaluate_identities(identity).is_ok())
        };
        let none = std::iter::empty();
        let all = self.own_first(candidates(channel, none).filter(member).collect());
        let id = channel.channel.id();
        let runs =
            |found: &Candidate| requirements.chaincodes.iter().all(|name| found.endorser.runs(id, name));
        let running = all.iter().filter(|found| runs(found)).cloned().collect();
        let plan = Plan::new(Goal::Policies(requirements.endorsement), all);
        if plan.next() == Next::Impossible {
            return Err("no peer combination can satisfy the endorsement policy".to_owned());
        }
        let plan = plan.with_candidates(running);
        if plan.next() == Next::Impossible {
            return Err("required chaincodes are not installed on sufficient peers".to_owned());
        }
        Ok(plan)
    }

    fn own_first(&self, all: Vec<Candidate>) -> Vec<Candidate> {
        let (mut own, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|found| found.endorser.msp_id() == self.msp_id());
        own.extend(others);
        own
    }
}

/// The channel's endorsers that run all of these chaincodes and have an identity that the channel knows.
fn candidates<'a>(
    channel: &'a GatewayChannel,
    chaincodes: impl Iterator<Item = &'a str> + Clone + 'a,
) -> impl Iterator<Item = Candidate> + 'a {
    let config = channel.channel.config();
    let id = channel.channel.id();
    let running = channel
        .endorsers
        .iter()
        .filter(move |endorser| chaincodes.clone().all(|name| endorser.runs(id, name)));
    running.filter_map(move |endorser| match config.deserialize(endorser.identity()) {
        Ok(identity) => Some(Candidate { endorser: Arc::clone(endorser), identity }),
        Err(error) => {
            tracing::warn!(address = endorser.address(), %error, "an endorser's identity is not one of the channel's");
            None
        }
    })
}

fn no_combination(reason: impl std::fmt::Display) -> GatewayError {
    let message =
        format!("no combination of peers can be derived which satisfy the endorsement policy: {reason}");
    GatewayError::new(Code::FailedPrecondition, message)
}

fn no_combination_of(reason: String) -> GatewayError {
    no_combination(reason)
}
