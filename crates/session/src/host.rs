//! The peer's end of the stream.
//!
//! [`Created`] waits for REGISTER and leads to [`Registering`], on which the peer decides;
//! [`Registering::accept`] leads to [`Ready`]. A transaction begins with [`Ready::start`] and ends with
//! [`Event::Finished`], or when the peer gives it up with [`Ready::abandon`].
//!
//! **Requests.** Of each transaction at most one is open. The peer answers every one with [`Ready::respond`],
//! even if the transaction has ended meanwhile, since the chaincode may still wait; a further one that comes
//! before is dropped without an answer, as Fabric's peer does, and reported as [`Event::Dropped`] so that it
//! can be logged. A request outside a running transaction and one whose payload cannot be read are answered
//! here, with Fabric's texts.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, ChaincodeId, ChaincodeInput, ChaincodeMessage, Response, SignedProposal,
};

use crate::message::Tickets;
use crate::request::{AnyRequest, Request, RequestError};
use crate::{Ended, Invocation, MessageType, State, Ticket, TxKey, Violation};

/// How much one session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions that run at the same time, together with ended ones whose request is still open.
    pub transactions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 4096 }
    }
}

/// The stream is open; the chaincode has not registered.
#[derive(Debug)]
pub struct Created {
    limits: Limits,
}

/// What became of a message in [`Created`].
#[derive(Debug)]
pub enum Handshake {
    /// KEEPALIVE, which is ignored.
    Waiting(Created),
    /// The chaincode wants to register.
    Register(Registering),
}

impl Created {
    /// The first state. Nothing is sent; the chaincode speaks first.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Takes a message of the chaincode: REGISTER or KEEPALIVE.
    ///
    /// # Errors
    /// Anything else ends the stream, as does a REGISTER that cannot be read.
    pub fn receive(self, message: ChaincodeMessage) -> Result<Handshake, Ended> {
        match MessageType(message.r#type).known() {
            Some(Type::Keepalive) => Ok(Handshake::Waiting(self)),
            Some(Type::Register) => {
                let id = ChaincodeId::decode(message.payload).map_err(Violation::Registration)?;
                Ok(Handshake::Register(Registering { limits: self.limits, name: id.name }))
            }
            _ => Err(unexpected(State::Created, "REGISTER or KEEPALIVE", message)),
        }
    }
}

/// The chaincode has said who it is; the peer decides.
///
/// A peer that refuses drops this value and closes the stream. Fabric's peer sends no message then, and
/// neither does this one.
#[derive(Debug)]
pub struct Registering {
    limits: Limits,
    name: String,
}

/// Why a registration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistrationError {
    /// The name is empty.
    #[error("the chaincode registered without an id; it must register as {expected}")]
    Empty {
        /// The package id that was expected.
        expected: String,
    },
    /// The name is another one.
    #[error("the chaincode registered as {registered:?}, but the package installed here is {expected}")]
    Mismatch {
        /// The package id that was expected.
        expected: String,
        /// What REGISTER said, cut to a printable length.
        registered: String,
    },
}

impl Registering {
    /// The id in REGISTER, as the chaincode gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Compares the id with the package id (in development mode `name:version`) that the peer has asked for.
    ///
    /// # Errors
    /// When they differ; the error names both.
    pub fn check(&self, expected: &str) -> Result<(), RegistrationError> {
        let expected_id = expected.to_owned();
        match self.name.as_str() {
            name if name == expected => Ok(()),
            "" => Err(RegistrationError::Empty { expected: expected_id }),
            name => {
                let registered = name.chars().take(256).collect();
                Err(RegistrationError::Mismatch { expected: expected_id, registered })
            }
        }
    }

    /// Accepts the registration. The two messages, REGISTERED and READY, go out in this order.
    ///
    /// `offer` is what READY says of batch operations. A peer of Fabric 3.1 always says something, and gives
    /// the sizes even if the operations are off; `None` leaves the payload empty, as peers up to 3.0 do.
    pub fn accept(self, offer: Option<&ChaincodeAdditionalParams>) -> (Ready, [ChaincodeMessage; 2]) {
        let ready = ChaincodeMessage {
            r#type: Type::Ready.into(),
            payload: offer.map(|offer| offer.encode_to_vec().into()).unwrap_or_default(),
            ..Default::default()
        };
        let registered = ChaincodeMessage { r#type: Type::Registered.into(), ..Default::default() };
        let session = Ready { limits: self.limits, tickets: Tickets::default(), live: HashMap::new() };
        (session, [registered, ready])
    }
}

/// Transactions run.
#[derive(Debug)]
pub struct Ready {
    limits: Limits,
    tickets: Tickets,
    live: HashMap<TxKey, Transaction>,
}

/// A transaction that runs, or that has ended with its request still open.
#[derive(Debug)]
struct Transaction {
    running: bool,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    ticket: Ticket,
    message_type: MessageType,
}

/// What a received message leads to.
#[derive(Debug, Default)]
pub struct Step {
    /// Goes out on the stream.
    pub send: Option<ChaincodeMessage>,
    /// What happened; `None` for KEEPALIVE.
    pub event: Option<Event>,
}

/// What the chaincode has caused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A transaction makes a request; it waits for [`Ready::respond`].
    Request {
        /// The transaction.
        transaction: TxKey,
        /// Names the request in the answer.
        ticket: Ticket,
        /// What is wanted.
        request: AnyRequest,
    },
    /// A transaction is over.
    Finished(Box<Finished>),
    /// A request was dropped because another one of the same transaction is open. The chaincode will wait in
    /// vain: a defect of its shim.
    Dropped {
        /// The transaction.
        transaction: TxKey,
        /// The type of the dropped request.
        dropped: MessageType,
        /// The type of the open one.
        open: MessageType,
    },
    /// A request names no running transaction; the chaincode has been told.
    Late {
        /// What it names.
        transaction: TxKey,
        /// Its type.
        received: MessageType,
    },
    /// A request's payload cannot be read; the chaincode has been told.
    Malformed {
        /// The transaction.
        transaction: TxKey,
        /// What is wrong.
        error: RequestError,
    },
    /// COMPLETED or ERROR for a transaction that does not run. It is dropped; it happens without fault when
    /// the peer has given up the transaction.
    Unsolicited {
        /// What it names.
        transaction: TxKey,
        /// Its type.
        received: MessageType,
    },
}

/// A transaction that is over.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The transaction.
    pub transaction: TxKey,
    /// How it ended.
    pub outcome: Outcome,
    /// The message itself, which is the reply to an INVOKE_CHAINCODE; its event's ids are not to be trusted.
    pub message: ChaincodeMessage,
    /// The request that is still open. It must not change what the transaction has done any more, but is to
    /// be answered.
    pub open: Option<MessageType>,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// COMPLETED, with any status.
    Completed(Response),
    /// ERROR, with its text.
    Failed(String),
    /// COMPLETED, with a payload that is no Response.
    Undecodable(prost::DecodeError),
}

/// Why a transaction cannot begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// One of the same name runs, or has a request open: a chaincode that calls itself or is part of a cycle,
    /// or a proposal that comes again at once. The text is Fabric's.
    #[error("txid: {0} exists")]
    Exists(TxKey),
    /// [`Limits::transactions`] run already.
    #[error("{limit} transactions of this chaincode are running, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// An id is too long to be one.
    #[error("an id of {length} bytes; at most {limit} are allowed", limit = crate::MAX_ID_LENGTH)]
    IdTooLong {
        /// Bytes of the longer id.
        length: usize,
    },
}

/// The request is not open: it has been answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no request of transaction {0} waits for this answer")]
pub struct NotOpen(pub TxKey);

impl Ready {
    /// The number of transactions that run or have a request open.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Begins a transaction with the message that is given out. `proposal` is absent only for internal calls.
    ///
    /// # Errors
    /// When one of the same name runs, or too many run.
    pub fn start(
        &mut self,
        transaction: TxKey,
        invocation: Invocation,
        input: &ChaincodeInput,
        proposal: Option<SignedProposal>,
    ) -> Result<ChaincodeMessage, StartError> {
        let length = transaction.channel_id.len().max(transaction.tx_id.len());
        if length > crate::MAX_ID_LENGTH {
            return Err(StartError::IdTooLong { length });
        }
        if self.live.contains_key(&transaction) {
            return Err(StartError::Exists(transaction));
        }
        if self.live.len() >= self.limits.transactions {
            return Err(StartError::TooMany { limit: self.limits.transactions });
        }
        let mut message = transaction.message(invocation.into(), input.encode_to_vec().into());
        message.proposal = proposal;
        self.live.insert(transaction, Transaction { running: true, open: None });
        Ok(message)
    }

    /// Gives up a transaction, for example because its time is over. Returns whether it was running. What the
    /// chaincode still sends for it is then late.
    pub fn abandon(&mut self, transaction: &TxKey) -> bool {
        self.end(transaction).is_some()
    }

    /// Takes a message of the chaincode.
    ///
    /// # Errors
    /// A message whose type is no request, COMPLETED, ERROR or KEEPALIVE ends the stream.
    pub fn receive(mut self, mut message: ChaincodeMessage) -> Result<(Self, Step), Ended> {
        let message_type = MessageType(message.r#type);
        let step = match message_type.known() {
            Some(Type::Keepalive) => Step::default(),
            Some(Type::Completed | Type::Error) => self.finish(TxKey::of(&mut message)?, message),
            _ if AnyRequest::is_request(message_type) => self.request(TxKey::of(&mut message)?, message),
            _ => {
                let expected = "a request, COMPLETED, ERROR or KEEPALIVE";
                return Err(unexpected(State::Ready, expected, message));
            }
        };
        Ok((self, step))
    }

    /// Answers a request with the encoded reply, or with the cause for which it failed; the cause is put into
    /// Fabric's text, `<TYPE> failed: transaction ID: <txid>: <cause>`.
    ///
    /// # Errors
    /// When the request is not open; nothing is to be sent then.
    pub fn respond(
        &mut self,
        transaction: &TxKey,
        ticket: Ticket,
        result: Result<Bytes, impl fmt::Display>,
    ) -> Result<ChaincodeMessage, NotOpen> {
        let live = self.live.get_mut(transaction).ok_or_else(|| NotOpen(transaction.clone()))?;
        let open = live.open.take_if(|open| open.ticket == ticket);
        let open = open.ok_or_else(|| NotOpen(transaction.clone()))?;
        if !live.running {
            self.live.remove(transaction);
        }
        Ok(match result {
            Ok(payload) => transaction.message(Type::Response, payload),
            Err(cause) => failure(transaction, open.message_type, cause),
        })
    }

    /// Answers a request with its typed reply, or with the cause for which it failed.
    ///
    /// # Errors
    /// See [`Ready::respond`].
    pub fn reply<R: Request>(
        &mut self,
        transaction: &TxKey,
        ticket: Ticket,
        result: Result<R::Reply, impl fmt::Display>,
    ) -> Result<ChaincodeMessage, NotOpen> {
        self.respond(transaction, ticket, result.map(|reply| R::encode_reply(&reply)))
    }

    fn request(&mut self, transaction: TxKey, message: ChaincodeMessage) -> Step {
        let received = MessageType(message.r#type);
        let live = self.live.get_mut(&transaction);
        if let Some(Transaction { open: Some(open), .. }) = &live {
            let open = open.message_type;
            return Step { send: None, event: Some(Event::Dropped { transaction, dropped: received, open }) };
        }
        let Some(live) = live else {
            let cause = match received.known() {
                Some(Type::InvokeChaincode) => "could not get valid transaction",
                _ => "no ledger context",
            };
            return Step {
                send: Some(failure(&transaction, received, cause)),
                event: Some(Event::Late { transaction, received }),
            };
        };
        match AnyRequest::decode(received, message.payload) {
            Ok(request) => {
                let ticket = self.tickets.next();
                live.open = Some(Open { ticket, message_type: received });
                Step { send: None, event: Some(Event::Request { transaction, ticket, request }) }
            }
            Err(error) => Step {
                send: Some(failure(&transaction, received, error.fabric_cause())),
                event: Some(Event::Malformed { transaction, error }),
            },
        }
    }

    fn finish(&mut self, transaction: TxKey, mut message: ChaincodeMessage) -> Step {
        let received = MessageType(message.r#type);
        let Some(open) = self.end(&transaction) else {
            return Step { send: None, event: Some(Event::Unsolicited { transaction, received }) };
        };
        let outcome = match received.known() {
            Some(Type::Completed) => match Response::decode(message.payload.clone()) {
                Ok(response) => Outcome::Completed(response),
                Err(error) => Outcome::Undecodable(error),
            },
            _ => Outcome::Failed(String::from_utf8_lossy(&message.payload).into_owned()),
        };
        message.channel_id.clone_from(&transaction.channel_id);
        message.txid.clone_from(&transaction.tx_id);
        let finished = Finished { transaction, outcome, message, open };
        Step { send: None, event: Some(Event::Finished(Box::new(finished))) }
    }

    /// Ends a running transaction and returns the type of its open request; `None` if it is not running.
    fn end(&mut self, transaction: &TxKey) -> Option<Option<MessageType>> {
        let live = self.live.get_mut(transaction).filter(|live| live.running)?;
        live.running = false;
        let open = live.open.as_ref().map(|open| open.message_type);
        if open.is_none() {
            self.live.remove(transaction);
        }
        Some(open)
    }
}

fn failure(transaction: &TxKey, request: MessageType, cause: impl fmt::Display) -> ChaincodeMessage {
    let text = format!("{request} failed: transaction ID: {}: {cause}", transaction.tx_id);
    transaction.message(Type::Error, text.into())
}

/// Ends the stream as Fabric's peer does: without a message.
fn unexpected(state: State, expected: &'static str, mut message: ChaincodeMessage) -> Ended {
    let received = MessageType(message.r#type);
    match TxKey::of(&mut message) {
        Ok(transaction) => Violation::Unexpected { state, expected, received, transaction }.into(),
        Err(too_long) => too_long.into(),
    }
}
