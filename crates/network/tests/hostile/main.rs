//! What anybody can send to a running network over TLS: every call answers with a clear error, nothing panics or hangs,
//! and the connection and the next good call work.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[path = "../support/mod.rs"]
mod support;

mod broadcast;
mod chaincode;
mod deliver;
mod endorser;
mod frames;
mod gateway;
mod lifecycle;
mod recorded;
mod refusals;
mod sizes;

use std::sync::{Arc, LazyLock};

use selvedge::{Context, Response};
use selvedge_client::ProposalBuilder;
use selvedge_identity::SigningIdentity;
use selvedge_network::NetworkConfig;
use selvedge_network::identities::Organization;
use selvedge_proto::gateway::EvaluateRequest;
use selvedge_tls::{ClientTls, Identity};
use support::forge::encode;
use support::line::Line;
use support::sharing::{Shared, Sharing};
use support::{CHANNEL, Place, Serving, World, serve};
use tonic::Code;

static STAGE: LazyLock<Sharing<Stage>> = Sharing::new();

/// Two organisations with a chaincode that needs the endorsements of both.
struct Stage {
    world: World,
    identity: Arc<SigningIdentity>,
    place: Place,
    serving: Serving,
}

impl Shared for Stage {
    async fn start() -> Self {
        let world = World::with(|config| {
            config.organizations = NetworkConfig::test_network("", 2).organizations;
        })
        .await;
        let place = world.deploy("basic").await;
        let identity = Arc::new(world.member().signing_identity().unwrap());
        let serving = serve(&place, basic).await;
        Self { world, identity, place, serving }
    }

    async fn stop(self) {
        self.serving.stop().await;
        self.world.stop().await;
    }
}

/// Answers with its last argument and, if it is to put something, puts that under the argument before.
async fn basic(ctx: Context) -> Response {
    let args = ctx.args();
    let last = args.last().cloned().unwrap_or_default();
    if let [function, key, value] = args
        && function == "put"
    {
        let key = String::from_utf8_lossy(key).into_owned();
        if let Err(error) = ctx.put(&key, value.clone()).await {
            return Response::error(error.to_string());
        }
    }
    match ctx.set_event("called", last.clone()) {
        Ok(()) => Response::success(last),
        Err(error) => Response::error(error.to_string()),
    }
}

impl Stage {
    /// A connection of its own to the peer of an organisation.
    async fn peer(&self, number: usize) -> Line {
        let peer = &self.world.network.peers()[number];
        Line::dial(peer.address(), peer.tls_roots_pem()).await
    }

    /// A connection of its own to the orderer.
    async fn orderer(&self) -> Line {
        let network = &self.world.network;
        let roots = network.orderer_organization().tls_authority().certificate_pem();
        Line::dial(network.orderer_address(), roots).await
    }

    /// A connection of its own to the chaincode server, as a peer has it.
    async fn chaincode(&self) -> Line {
        let network = &self.world.network;
        let keys = network.peers()[0].tls_identity();
        let identity = Identity::from_pem(&keys.certificate_pem, keys.key_pem.as_str()).unwrap();
        let tls = ClientTls::builder(network.edge().authority_pem()).identity(identity).build().unwrap();
        Line::dial_with(self.place.server.address.parse().unwrap(), tls).await
    }

    fn organization(&self) -> &Organization {
        &self.world.network.organizations()[0]
    }

    /// A call that works.
    fn good(&self) -> ProposalBuilder {
        ProposalBuilder::new(CHANNEL, "basic").arg("echo").arg("fine")
    }

    /// What is sent for a call that works, on the same connection, which must be the first one still.
    async fn works(&self, line: &Line) {
        let proposal = self.good().sign(&self.identity).unwrap();
        let request = EvaluateRequest {
            transaction_id: proposal.tx_id,
            channel_id: CHANNEL.to_owned(),
            proposed_transaction: Some(proposal.signed),
            target_organizations: Vec::new(),
        };
        let answer = line.call(gateway::EVALUATE, &[encode(&request)], 1).await;
        assert!(answer.messages.first().is_some_and(|answer| answer.ends_with(b"fine")), "{answer:?}");
        assert!(line.is_unbroken(), "the connection was lost");
    }

    /// Submits a transaction and waits for its block.
    async fn commits(&self, key: &'static str) {
        let call = ProposalBuilder::new(CHANNEL, "basic").arg("put").arg(key).arg("value");
        assert_eq!(self.world.submit(call).await.unwrap(), "value");
    }

    /// A transaction that both organisations have endorsed and its client has signed.
    async fn endorsed(&self, key: &'static str) -> (String, selvedge_proto::common::Envelope) {
        let call = ProposalBuilder::new(CHANNEL, "basic").arg("put").arg(key).arg("value");
        let proposal = call.sign(&self.identity).unwrap();
        let request = selvedge_proto::gateway::EndorseRequest {
            transaction_id: proposal.tx_id.clone(),
            channel_id: CHANNEL.to_owned(),
            proposed_transaction: Some(proposal.signed),
            endorsing_organizations: Vec::new(),
        };
        let answer = self.peer(0).await.call(gateway::ENDORSE, &[encode(&request)], 1).await;
        let answer =
            <selvedge_proto::gateway::EndorseResponse as prost::Message>::decode(answer.messages[0].clone());
        let prepared = answer.unwrap().prepared_transaction.unwrap();
        (proposal.tx_id, selvedge_client::sign_envelope(prepared, &self.identity).unwrap())
    }
}

/// What a refusal must have: a status that is none of a server that broke down, and a text.
#[track_caller]
fn is_clear(what: &str, (code, message): (Code, &str)) {
    assert_ne!(code, Code::Ok, "{what}");
    assert!(!message.is_empty(), "{what}: {code:?} without a text");
    assert!(!message.contains("panic"), "{what}: {message}");
}

/// What became of messages each of which has a part spoilt.
#[derive(Default)]
struct Tally {
    refused: usize,
    taken: usize,
    /// The parts that were left out of a message that was taken. They are listed in full, so that a part whose absence
    /// nobody notices any more shows.
    optional: Vec<String>,
}

impl Tally {
    fn refused(&mut self) {
        self.refused += 1;
    }

    /// `what` was done to a message that was taken: the part and the way in which it was spoilt.
    fn taken(&mut self, what: &str) {
        self.taken += 1;
        self.optional.extend(what.strip_suffix(" Missing").map(str::to_owned));
    }
}
