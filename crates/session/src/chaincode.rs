//! The chaincode's end of the stream, as a shim implements it.
//!
//! [`Created::new`] gives the first message, REGISTER; REGISTERED leads to [`Established`] and READY to
//! [`Ready`], in which transactions run. A transaction begins with [`Event::Start`] and ends with
//! [`Ready::complete`] or [`Ready::fail`].
//!
//! **Requests.** The peer joins a reply to its request by channel and transaction id alone, and drops a
//! second request of a transaction that comes while one is open. So at most one is sent; the others wait
//! their turn in a bounded queue. A caller that goes away is reported with [`Ready::cancel`]: a waiting
//! request is then never sent, and the reply to one already sent is swallowed, so that the next caller gets
//! its own. For the same reason a transaction that ends while its request is open sends its last message only
//! after the reply has come.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, ChaincodeEvent, ChaincodeId, ChaincodeInput, ChaincodeMessage, Response,
    SignedProposal,
};
use selvedge_proto::wire::{Shape, has_at_most};

use crate::message::Tickets;
use crate::request::{MAX_ELEMENTS, Request};
use crate::{Ended, Invocation, MessageType, State, Ticket, TxKey, Violation};

/// How much one session may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions that run at the same time; further ones are answered with ERROR.
    pub transactions: usize,
    /// Requests of one transaction that wait behind the open one.
    pub queued_requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { transactions: 2048, queued_requests: 256 }
    }
}

/// The batch operations that a peer has offered with READY. Without the offer they must not be sent: a peer
/// of Fabric 2.5 drops the connection when it receives one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The most records in one WRITE_BATCH_STATE, if they may be sent.
    pub write_batch: Option<u32>,
    /// The most keys in one GET_STATE_MULTIPLE, if they may be sent.
    pub get_multiple_keys: Option<u32>,
}

impl Offer {
    /// The smallest size of a batch; a smaller one that is offered is raised to it, as Go's shim does.
    pub const MIN_SIZE: u32 = 100;

    /// Reads the payload of READY. What cannot be decoded offers nothing.
    fn decode(payload: Bytes) -> Self {
        let params = ChaincodeAdditionalParams::decode(payload).unwrap_or_default();
        let size = |offered: bool, size: u32| offered.then(|| size.max(Self::MIN_SIZE));
        Self {
            write_batch: size(params.use_write_batch, params.max_size_write_batch),
            get_multiple_keys: size(params.use_get_multiple_keys, params.max_size_get_multiple_keys),
        }
    }

    fn allows(self, message_type: Type) -> bool {
        match message_type {
            Type::WriteBatchState => self.write_batch.is_some(),
            Type::GetStateMultiple => self.get_multiple_keys.is_some(),
            _ => true,
        }
    }
}

/// REGISTER is on its way; the peer has not answered.
#[derive(Debug)]
pub struct Created {
    limits: Limits,
}

/// What became of a message in a state before [`Ready`].
#[derive(Debug)]
pub enum Handshake<Same, Next> {
    /// The state is the same; the message goes out.
    Waiting(Same, Box<ChaincodeMessage>),
    /// The next state is reached.
    Done(Next),
}

impl Created {
    /// The first state, with the message that opens the dialogue. `chaincode_id` is the package id
    /// (`label:sha256-in-hex`) under which the peer knows this chaincode.
    pub fn new(chaincode_id: &str, limits: Limits) -> (Self, ChaincodeMessage) {
        let id = ChaincodeId { name: chaincode_id.to_owned(), ..Default::default() };
        let register = ChaincodeMessage {
            r#type: Type::Register.into(),
            payload: id.encode_to_vec().into(),
            ..Default::default()
        };
        (Self { limits }, register)
    }

    /// Takes a message of the peer: REGISTERED, or KEEPALIVE, which is echoed.
    ///
    /// # Errors
    /// Anything else ends the stream. A peer that refuses a registration sends nothing at all.
    pub fn receive(self, message: ChaincodeMessage) -> Result<Handshake<Self, Established>, Ended> {
        match MessageType(message.r#type).known() {
            Some(Type::Registered) => Ok(Handshake::Done(Established { limits: self.limits })),
            Some(Type::Keepalive) => Ok(Handshake::Waiting(self, Box::new(message))),
            _ => Err(unexpected(State::Created, "REGISTERED or KEEPALIVE", message)),
        }
    }
}

/// The peer has accepted the registration.
#[derive(Debug)]
pub struct Established {
    limits: Limits,
}

impl Established {
    /// Takes a message of the peer: READY, or KEEPALIVE, which is echoed.
    ///
    /// # Errors
    /// Anything else ends the stream.
    pub fn receive(self, message: ChaincodeMessage) -> Result<Handshake<Self, Ready>, Ended> {
        match MessageType(message.r#type).known() {
            Some(Type::Ready) => Ok(Handshake::Done(Ready {
                limits: self.limits,
                offer: Offer::decode(message.payload),
                tickets: Tickets::default(),
                live: HashMap::new(),
            })),
            Some(Type::Keepalive) => Ok(Handshake::Waiting(self, Box::new(message))),
            _ => Err(unexpected(State::Established, "READY or KEEPALIVE", message)),
        }
    }
}

/// Transactions run.
#[derive(Debug)]
pub struct Ready {
    limits: Limits,
    offer: Offer,
    tickets: Tickets,
    live: HashMap<TxKey, Transaction>,
}

/// What a received message leads to.
#[derive(Debug, Default)]
pub struct Step {
    /// Goes out on the stream, after everything that earlier calls gave.
    pub send: Option<ChaincodeMessage>,
    /// What happened.
    pub event: Option<Event>,
}

/// What the peer has caused.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A transaction begins.
    Start(Box<Start>),
    /// A request is answered.
    Answer {
        /// The transaction.
        transaction: TxKey,
        /// The request, as [`Ready::request`] named it.
        ticket: Ticket,
        /// The payload of RESPONSE, to be read with [`Request::decode_reply`], or what ERROR says.
        result: Result<Bytes, PeerError>,
    },
    /// A transaction was not begun; the peer has been told.
    Refused {
        /// The transaction.
        transaction: TxKey,
        /// Why.
        reason: Refusal,
    },
    /// A RESPONSE or ERROR which no open request waits for. It is dropped; it happens without fault when the
    /// peer answers after it has given up the transaction.
    Unsolicited {
        /// The transaction it names.
        transaction: TxKey,
        /// Its type.
        received: MessageType,
    },
}

/// A transaction that begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its name in all calls.
    pub transaction: TxKey,
    /// Whether Init or Invoke is called.
    pub invocation: Invocation,
    /// The arguments.
    pub input: ChaincodeInput,
    /// The client's proposal, from which creator, transient map, timestamp and binding are taken. The peer
    /// leaves it out for internal calls only.
    pub proposal: Option<SignedProposal>,
}

/// The text with which the peer refused a request, unchanged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PeerError(pub String);

/// Why a transaction was not begun.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// One of the same name still runs, for example because the peer has given it up and tries again.
    #[error("the transaction is still running")]
    Duplicate,
    /// [`Limits::transactions`] run already.
    #[error("{limit} transactions are running, which is the limit")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The payload is no ChaincodeInput.
    #[error("failed to unmarshal chaincode input: {0}")]
    Undecodable(#[source] prost::DecodeError),
    /// The arguments and decorations are more than [`MAX_ELEMENTS`].
    #[error("more than {MAX_ELEMENTS} arguments and decorations, which is the limit")]
    TooManyArguments,
}

/// Why a call names something that it cannot be made on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The transaction has ended or never began.
    #[error("transaction {0} is not running")]
    UnknownTransaction(TxKey),
    /// Too many requests of the transaction wait already.
    #[error("{limit} requests of transaction {transaction} wait for their turn, which is the limit")]
    QueueFull {
        /// The transaction.
        transaction: TxKey,
        /// The limit.
        limit: usize,
    },
    /// The peer has not offered this operation.
    #[error("the peer has not offered {0}, so it must not be sent")]
    NotOffered(MessageType),
    /// The type carries no request.
    #[error("{0} is no request")]
    NotARequest(MessageType),
}

/// What a request leads to.
#[derive(Debug)]
pub struct Requested {
    /// Names the request in [`Event::Answer`] and [`Ready::cancel`].
    pub ticket: Ticket,
    /// Goes out on the stream now; `None` if the request waits for its turn.
    pub send: Option<ChaincodeMessage>,
}

/// What the end of a transaction leads to.
#[derive(Debug)]
pub struct Finished {
    /// The last message; `None` if it goes out once the open request is answered.
    pub send: Option<ChaincodeMessage>,
    /// Requests that will not be answered any more.
    pub unanswered: Vec<Ticket>,
}

impl Ready {
    /// What the peer has offered.
    pub fn offer(&self) -> Offer {
        self.offer
    }

    /// The number of transactions whose last message has not been given out.
    pub fn live(&self) -> usize {
        self.live.len()
    }

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// A message that does not belong here ends the stream.
    pub fn receive(mut self, mut message: ChaincodeMessage) -> Result<(Self, Step), Ended> {
        let step = match MessageType(message.r#type).known() {
            Some(Type::Transaction) => self.start(Invocation::Transaction, TxKey::of(&mut message)?, message),
            Some(Type::Init) => self.start(Invocation::Init, TxKey::of(&mut message)?, message),
            Some(Type::Response | Type::Error) => self.answer(TxKey::of(&mut message)?, message),
            Some(Type::Keepalive) => Step { send: Some(message), event: None },
            _ => {
                let expected = "TRANSACTION, INIT, RESPONSE, ERROR or KEEPALIVE";
                return Err(unexpected(State::Ready, expected, message));
            }
        };
        Ok((self, step))
    }

    /// Makes a request of a transaction.
    ///
    /// # Errors
    /// See [`Ready::request_raw`].
    pub fn request<R: Request>(&mut self, transaction: &TxKey, request: &R) -> Result<Requested, CallError> {
        self.request_raw(transaction, R::TYPE, request.encode())
    }

    /// Makes a request whose payload is encoded already.
    ///
    /// # Errors
    /// When the transaction is not running, its queue is full, the type is no request, or the peer has not
    /// offered it. Nothing has changed then.
    pub fn request_raw(
        &mut self,
        transaction: &TxKey,
        message_type: Type,
        payload: Bytes,
    ) -> Result<Requested, CallError> {
        if !crate::request::AnyRequest::is_request(message_type.into()) {
            return Err(CallError::NotARequest(message_type.into()));
        }
        if !self.offer.allows(message_type) {
            return Err(CallError::NotOffered(message_type.into()));
        }
        let live = running(&mut self.live, transaction)?;
        if matches!(live.open, Open::None) {
            let ticket = self.tickets.next();
            live.open = Open::Asked(ticket);
            return Ok(Requested { ticket, send: Some(transaction.message(message_type, payload)) });
        }
        if live.queue.len() >= self.limits.queued_requests {
            let limit = self.limits.queued_requests;
            return Err(CallError::QueueFull { transaction: transaction.clone(), limit });
        }
        let ticket = self.tickets.next();
        live.queue.push_back(Queued { ticket, message_type, payload });
        Ok(Requested { ticket, send: None })
    }

    /// Gives up a request whose caller has gone away. One that is answered already, or whose transaction has
    /// ended, is left alone.
    pub fn cancel(&mut self, transaction: &TxKey, ticket: Ticket) {
        if let Some(live) = self.live.get_mut(transaction) {
            live.queue.retain(|queued| queued.ticket != ticket);
            if matches!(live.open, Open::Asked(open) if open == ticket) {
                live.open = Open::Abandoned;
            }
        }
    }

    /// Ends a transaction with a response, whatever its status.
    ///
    /// # Errors
    /// When the transaction is not running.
    pub fn complete(
        &mut self,
        transaction: &TxKey,
        response: &Response,
        event: Option<ChaincodeEvent>,
    ) -> Result<Finished, CallError> {
        self.finish(transaction, Type::Completed, response.encode_to_vec().into(), event)
    }

    /// Ends a transaction that could not be carried out; the peer reports `text` to the client.
    ///
    /// # Errors
    /// When the transaction is not running.
    pub fn fail(
        &mut self,
        transaction: &TxKey,
        text: impl Into<String>,
        event: Option<ChaincodeEvent>,
    ) -> Result<Finished, CallError> {
        self.finish(transaction, Type::Error, text.into().into(), event)
    }

    fn finish(
        &mut self,
        transaction: &TxKey,
        message_type: Type,
        payload: Bytes,
        event: Option<ChaincodeEvent>,
    ) -> Result<Finished, CallError> {
        let live = running(&mut self.live, transaction)?;
        let mut last = transaction.message(message_type, payload);
        last.chaincode_event = event;
        let mut unanswered: Vec<_> = live.queue.drain(..).map(|queued| queued.ticket).collect();
        match live.open {
            Open::None => {
                self.live.remove(transaction);
                return Ok(Finished { send: Some(last), unanswered });
            }
            Open::Asked(ticket) => unanswered.insert(0, ticket),
            Open::Abandoned | Open::Ending(_) => {}
        }
        live.open = Open::Ending(Box::new(last));
        Ok(Finished { send: None, unanswered })
    }

    fn start(&mut self, invocation: Invocation, transaction: TxKey, message: ChaincodeMessage) -> Step {
        let input = if self.live.contains_key(&transaction) {
            Err(Refusal::Duplicate)
        } else if self.live.len() >= self.limits.transactions {
            Err(Refusal::TooMany { limit: self.limits.transactions })
        } else {
            input(message.payload)
        };
        match input {
            Ok(input) => {
                self.live.insert(transaction.clone(), Transaction::default());
                let start = Start { transaction, invocation, input, proposal: message.proposal };
                Step { send: None, event: Some(Event::Start(Box::new(start))) }
            }
            Err(reason) => Step {
                send: Some(transaction.message(Type::Error, reason.to_string().into())),
                event: Some(Event::Refused { transaction, reason }),
            },
        }
    }

    fn answer(&mut self, transaction: TxKey, message: ChaincodeMessage) -> Step {
        let received = MessageType(message.r#type);
        let live = self.live.get_mut(&transaction);
        let Some(live) = live.filter(|live| !matches!(live.open, Open::None)) else {
            return Step { send: None, event: Some(Event::Unsolicited { transaction, received }) };
        };
        match std::mem::take(&mut live.open) {
            Open::Ending(last) => {
                self.live.remove(&transaction);
                Step { send: Some(*last), event: None }
            }
            Open::Asked(ticket) => {
                let send = live.send_next(&transaction);
                let result = match received.known() {
                    Some(Type::Response) => Ok(message.payload),
                    _ => Err(PeerError(String::from_utf8_lossy(&message.payload).into_owned())),
                };
                Step { send, event: Some(Event::Answer { transaction, ticket, result }) }
            }
            Open::Abandoned | Open::None => Step { send: live.send_next(&transaction), event: None },
        }
    }
}

/// A transaction that runs.
#[derive(Debug, Default)]
struct Transaction {
    open: Open,
    /// Empty whenever nothing is open.
    queue: VecDeque<Queued>,
}

impl Transaction {
    fn send_next(&mut self, transaction: &TxKey) -> Option<ChaincodeMessage> {
        let Queued { ticket, message_type, payload } = self.queue.pop_front()?;
        self.open = Open::Asked(ticket);
        Some(transaction.message(message_type, payload))
    }
}

/// The request that the peer has not answered.
#[derive(Debug, Default)]
enum Open {
    #[default]
    None,
    Asked(Ticket),
    /// Its caller has gone away.
    Abandoned,
    /// The transaction is over; its last message waits for the answer.
    Ending(Box<ChaincodeMessage>),
}

#[derive(Debug)]
struct Queued {
    ticket: Ticket,
    message_type: Type,
    payload: Bytes,
}

/// Reads the payload of TRANSACTION or INIT.
fn input(payload: Bytes) -> Result<ChaincodeInput, Refusal> {
    if !has_at_most(MAX_ELEMENTS, &payload, &Shape::FLAT) {
        return Err(Refusal::TooManyArguments);
    }
    ChaincodeInput::decode(payload).map_err(Refusal::Undecodable)
}

/// The transaction, unless it has not begun or is over.
fn running<'a>(
    live: &'a mut HashMap<TxKey, Transaction>,
    transaction: &TxKey,
) -> Result<&'a mut Transaction, CallError> {
    live.get_mut(transaction)
        .filter(|live| !matches!(live.open, Open::Ending(_)))
        .ok_or_else(|| CallError::UnknownTransaction(transaction.clone()))
}

/// Ends the stream as Go's shim does: with an ERROR that names the transaction but no channel.
fn unexpected(state: State, expected: &'static str, mut message: ChaincodeMessage) -> Ended {
    let received = MessageType(message.r#type);
    let transaction = match TxKey::of(&mut message) {
        Ok(transaction) => transaction,
        Err(too_long) => return too_long.into(),
    };
    let tx_id = &transaction.tx_id;
    let text = format!("[{tx_id}] Chaincode h cannot handle message ({received}) while in state: {state}");
    let reply = ChaincodeMessage {
        r#type: Type::Error.into(),
        payload: text.into(),
        txid: tx_id.clone(),
        ..Default::default()
    };
    Ended {
        violation: Box::new(Violation::Unexpected { state, expected, received, transaction }),
        send: Some(Box::new(reply)),
    }
}
