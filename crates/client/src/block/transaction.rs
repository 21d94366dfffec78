use bytes::Bytes;
use prost::{DecodeError, Message};
use selvedge_proto::bounds::{MAX_ELEMENTS, TRANSACTION_SET};
use selvedge_proto::common::{ChannelHeader, Envelope, HeaderType, Payload, SignatureHeader};
use selvedge_proto::kvrwset::{HashedRwSet, KvrwSet};
use selvedge_proto::prost_types::Timestamp;
use selvedge_proto::protos::{
    self, ChaincodeAction, ChaincodeActionPayload, ChaincodeEvent, ChaincodeInvocationSpec,
    ChaincodeProposalPayload, ProposalResponsePayload, Response,
};
use selvedge_proto::rwset::{NsReadWriteSet, TxReadWriteSet};
use selvedge_proto::wire::has_at_most;

use super::{Party, Verdict};

/// A transaction, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// Its id; configuration blocks of old may have none.
    pub tx_id: String,
    /// Its channel.
    pub channel_id: String,
    /// Fabric's name of its type, such as `ENDORSER_TRANSACTION`.
    pub kind: String,
    /// When its client has made it, by the client's clock.
    pub timestamp: Option<Timestamp>,
    /// Whose it is.
    pub creator: Party,
    /// What the peer has made of it; none if the peer does not say.
    pub verdict: Option<Verdict>,
    /// What it does.
    pub content: Content,
}

/// What a transaction does.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// It calls a chaincode.
    Call(Box<Action>),
    /// It configures the channel.
    Config,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// A call of a chaincode, with what came of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Action {
    /// The chaincode's name.
    pub chaincode: String,
    /// Its version.
    pub version: String,
    /// The arguments, the function first.
    pub arguments: Vec<Bytes>,
    /// Whether it initialises the chaincode.
    pub is_init: bool,
    /// What the chaincode answered.
    pub response: Response,
    /// The event that it set, if it has.
    pub event: Option<ChaincodeEvent>,
    /// Who has endorsed it.
    pub endorsers: Vec<Party>,
    /// What it read and wrote, by chaincode.
    pub namespaces: Vec<Namespace>,
}

/// What a transaction read and wrote of one chaincode's state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Namespace {
    /// The chaincode.
    pub name: String,
    /// What everybody sees.
    pub public: KvrwSet,
    /// What only members of the collections see; here are its hashes.
    pub collections: Vec<Collection>,
}

/// What a transaction read and wrote of a collection, by hashes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collection {
    /// The collection's name.
    pub name: String,
    /// Hashes of keys and values.
    pub hashed: HashedRwSet,
    /// The hash of what members have.
    pub private_hash: Bytes,
}

impl Transaction {
    /// Takes an envelope of a block apart.
    pub fn of(envelope: Bytes, verdict: Option<Verdict>) -> Self {
        let mut transaction = Self {
            tx_id: String::new(),
            channel_id: String::new(),
            kind: "UNKNOWN".to_owned(),
            timestamp: None,
            creator: Party::default(),
            verdict,
            content: Content::Config,
        };
        if let Err(reason) = transaction.read(envelope) {
            transaction.content = Content::Unreadable(reason);
        }
        transaction
    }

    fn read(&mut self, envelope: Bytes) -> Result<(), String> {
        let envelope = Envelope::decode(envelope).map_err(unreadable("envelope"))?;
        let payload = Payload::decode(envelope.payload).map_err(unreadable("payload"))?;
        let header = payload.header.ok_or("it has no header")?;
        let channel = ChannelHeader::decode(header.channel_header).map_err(unreadable("channel header"))?;
        let signature =
            SignatureHeader::decode(header.signature_header).map_err(unreadable("signature header"))?;
        self.tx_id = channel.tx_id;
        self.channel_id = channel.channel_id;
        self.timestamp = channel.timestamp;
        self.creator = Party::of(&signature.creator);
        let kind = HeaderType::try_from(channel.r#type).map_err(|_| "its type is unknown")?;
        kind.as_str_name().clone_into(&mut self.kind);
        self.content = match kind {
            HeaderType::EndorserTransaction => Content::Call(Box::new(Action::read(payload.data)?)),
            HeaderType::Config => Content::Config,
            _ => return Err("nothing of its type belongs into a block".to_owned()),
        };
        Ok(())
    }
}

impl Action {
    fn read(transaction: Bytes) -> Result<Self, String> {
        let transaction = protos::Transaction::decode(transaction).map_err(unreadable("transaction"))?;
        // More than one is not valid, and nobody makes any.
        let action = transaction.actions.into_iter().next().ok_or("it has no action")?;
        let payload = ChaincodeActionPayload::decode(action.payload).map_err(unreadable("action"))?;
        let endorsed = payload.action.ok_or("its action has nothing that is endorsed")?;
        let response = ProposalResponsePayload::decode(endorsed.proposal_response_payload)
            .map_err(unreadable("proposal response"))?;
        let result = ChaincodeAction::decode(response.extension).map_err(unreadable("chaincode action"))?;
        let event = ChaincodeEvent::decode(result.events).map_err(unreadable("event"))?;
        let mut action = Self {
            response: result.response.unwrap_or_default(),
            event: (!event.event_name.is_empty()).then_some(event),
            endorsers: endorsed.endorsements.iter().map(|one| Party::of(&one.endorser)).collect(),
            namespaces: namespaces(result.results)?,
            ..Self::default()
        };
        let id = result.chaincode_id.unwrap_or_default();
        (action.chaincode, action.version) = (id.name, id.version);
        action.read_call(payload.chaincode_proposal_payload)?;
        Ok(action)
    }

    /// The arguments, from what the client proposed.
    fn read_call(&mut self, proposal: Bytes) -> Result<(), String> {
        let proposal = ChaincodeProposalPayload::decode(proposal).map_err(unreadable("proposal"))?;
        let invocation = ChaincodeInvocationSpec::decode(proposal.input).map_err(unreadable("call"))?;
        let spec = invocation.chaincode_spec.unwrap_or_default();
        if self.chaincode.is_empty() {
            self.chaincode = spec.chaincode_id.unwrap_or_default().name;
        }
        let input = spec.input.unwrap_or_default();
        (self.arguments, self.is_init) = (input.args, input.is_init);
        Ok(())
    }
}

pub(super) fn namespaces(results: Bytes) -> Result<Vec<Namespace>, String> {
    if !has_at_most(MAX_ELEMENTS, &results, &TRANSACTION_SET) {
        return Err(format!("its read/write set has more than {MAX_ELEMENTS} elements"));
    }
    let set = TxReadWriteSet::decode(results).map_err(unreadable("read/write set"))?;
    set.ns_rwset.into_iter().map(namespace).collect()
}

fn namespace(set: NsReadWriteSet) -> Result<Namespace, String> {
    let public = KvrwSet::decode(set.rwset).map_err(unreadable("read/write set of a chaincode"))?;
    let collections = set.collection_hashed_rwset.into_iter().map(|collection| {
        let hashed = HashedRwSet::decode(collection.hashed_rwset)
            .map_err(unreadable("read/write set of a collection"))?;
        Ok(Collection { name: collection.collection_name, hashed, private_hash: collection.pvt_rwset_hash })
    });
    Ok(Namespace { name: set.namespace, public, collections: collections.collect::<Result<_, String>>()? })
}

fn unreadable(what: &'static str) -> impl Fn(DecodeError) -> String {
    move |error| format!("its {what} cannot be decoded: {error}")
}
