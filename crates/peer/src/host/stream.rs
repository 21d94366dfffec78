//! One registered stream: its reader, which routes, and the transactions on it, each of which serves itself.
//!
//! The session's state stands behind a lock that is held for single transitions only. A transaction's own future
//! ([`Stream::execute`]) puts its messages into the outgoing queue and waits there if the queue is full, so that a slow
//! chaincode or a slow transaction delays nobody but itself; gRPC's encoder drains the queue into one buffer before it
//! flushes. The reader never waits for a transaction: each has at most one request and its end on the way.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use parking_lot::Mutex;
use prost::Message;
pub(super) use selvedge_proto::MESSAGE_BYTES as MAX_MESSAGE;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeMessage, Response};
use selvedge_session::host::{Event, Outcome, Ready};
use selvedge_session::request::AnyRequest;
use selvedge_session::{Invocation as EntryPoint, Ticket, TxKey};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::error::ExecuteError;
use super::launch::{Held, Incoming};
use crate::invocation::{Invocation, TransactionContext};

/// What a message needs beside its payload: both ids at their longest, with room for the rest.
const ENVELOPE: usize = 4096;
/// A request and the end are on the way to a transaction at most.
const ROUTED: usize = 2;
/// Answers of the reader's own that may wait beside one per transaction; a chaincode that makes more of them wait does
/// not read its stream.
const OWN_ANSWERS: usize = 1024;
/// Faults of the chaincode that are logged as warnings; further ones are details.
const WARNINGS: u32 = 32;

/// How a transaction of a chaincode ended well.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The response, of any status.
    pub response: Response,
    /// The event, if one was set. Its transaction id is set here; its chaincode id is still what the chaincode said,
    /// and the endorser replaces it.
    pub event: Option<ChaincodeEvent>,
    /// The message with which the chaincode ended the transaction, which is the reply to INVOKE_CHAINCODE.
    pub message: ChaincodeMessage,
}

/// A stream on which the chaincode has registered.
pub(super) struct Stream {
    package_id: String,
    /// `None` once the stream has ended, which also closes all routes.
    state: Mutex<Option<State>>,
    outgoing: mpsc::Sender<ChaincodeMessage>,
    /// Wakes the reader when there are answers of its own to send.
    answers: Notify,
    ended: CancellationToken,
    most_answers: usize,
}

struct State {
    /// Absent only within a transition.
    ready: Option<Ready>,
    routes: HashMap<TxKey, Route>,
    serial: u64,
    answers: VecDeque<ChaincodeMessage>,
    faults: u32,
}

struct Route {
    /// Tells apart two transactions of one name that follow each other.
    serial: u64,
    sender: mpsc::Sender<Routed>,
}

/// What the reader hands to a transaction.
enum Routed {
    Request(Ticket, Box<AnyRequest>),
    Finished(Box<selvedge_session::host::Finished>),
}

/// How a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("the chaincode closed the stream")]
    Closed,
    #[error("the stream failed: {0}")]
    Failed(String),
    #[error("the chaincode broke the protocol: {0}")]
    Protocol(#[from] selvedge_session::Ended),
    #[error("the chaincode does not read its stream: {0} answers wait")]
    NotRead(usize),
    #[error("the peer closed the stream")]
    Peer,
}

impl Stream {
    /// A stream that has just become ready. `transactions` is the session's own limit.
    pub(super) fn new(
        package_id: String,
        ready: Ready,
        outgoing: mpsc::Sender<ChaincodeMessage>,
        transactions: usize,
        ended: CancellationToken,
    ) -> Arc<Self> {
        let state = State {
            ready: Some(ready),
            routes: HashMap::new(),
            serial: 0,
            answers: VecDeque::new(),
            faults: 0,
        };
        Arc::new(Self {
            package_id,
            state: Mutex::new(Some(state)),
            outgoing,
            answers: Notify::new(),
            ended,
            most_answers: transactions.saturating_add(OWN_ANSWERS),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.ended.is_cancelled()
    }

    /// Is cancelled when the stream has ended.
    pub(super) fn end_token(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Reads the stream until it ends, and lets go then of what it rests on.
    pub(super) async fn read(&self, mut incoming: Incoming, held: Held) -> End {
        let end = loop {
            let message = tokio::select! {
                () = self.ended.cancelled() => break End::Peer,
                message = incoming.next() => message,
                never = self.send_answers() => match never {},
            };
            match message {
                Some(Ok(message)) => {
                    if let Err(end) = self.receive(message) {
                        break end;
                    }
                }
                None => break End::Closed,
                Some(Err(status)) => break End::Failed(describe(&status)),
            }
        };
        *self.state.lock() = None;
        self.ended.cancel();
        drop(incoming);
        drop(held);
        end
    }

    /// Runs one transaction. `None` means that the stream had ended before anything of it was sent.
    pub(super) async fn execute(
        &self,
        invocation: &Invocation,
        context: &mut dyn TransactionContext,
        timeout: Duration,
    ) -> Option<Result<Finished, ExecuteError>> {
        let (mut running, message) = match self.start(invocation)? {
            Ok(started) => started,
            Err(error) => return Some(Err(error)),
        };
        let run = running.run(message, context);
        Some(match tokio::time::timeout(timeout, run).await {
            Ok(result) => result,
            Err(_) => Err(ExecuteError::Timeout),
        })
    }

    fn start(
        &self,
        invocation: &Invocation,
    ) -> Option<Result<(Running<'_>, ChaincodeMessage), ExecuteError>> {
        let key = invocation.key();
        let entry_point = if invocation.is_init { EntryPoint::Init } else { EntryPoint::Transaction };
        let size = invocation.input.encoded_len() + invocation.proposal.encoded_len() + ENVELOPE;
        if size > MAX_MESSAGE {
            return Some(Err(ExecuteError::TooLarge { size, limit: MAX_MESSAGE }));
        }
        let mut state = self.state.lock();
        let state = state.as_mut()?;
        let ready = state.ready.as_mut()?;
        let message =
            match ready.start(key.clone(), entry_point, &invocation.input, Some(invocation.proposal.clone()))
            {
                Ok(message) => message,
                Err(error) => return Some(Err(ExecuteError::Start(error))),
            };
        let (sender, events) = mpsc::channel(ROUTED);
        state.serial += 1;
        let serial = state.serial;
        state.routes.insert(key.clone(), Route { serial, sender });
        Some(Ok((Running { stream: self, key, serial, events, open: None }, message)))
    }

    /// Takes one message and routes what it leads to.
    fn receive(&self, message: ChaincodeMessage) -> Result<(), End> {
        let mut state = self.state.lock();
        let Some(state) = state.as_mut() else { return Ok(()) };
        let Some(ready) = state.ready.take() else { return Ok(()) };
        let (ready, step) = ready.receive(message)?;
        state.ready = Some(ready);
        if let Some(answer) = step.send {
            self.answer_later(state, answer)?;
        }
        match step.event {
            Some(Event::Request { transaction, ticket, request }) => {
                let routed = Routed::Request(ticket, Box::new(request));
                let route = state.routes.get(&transaction);
                if route.is_none_or(|route| route.sender.try_send(routed).is_err()) {
                    // Its future is just being dropped: nobody but the reader can answer.
                    self.give_up(state, &transaction, ticket)?;
                }
            }
            Some(Event::Finished(finished)) => {
                if let Some(route) = state.routes.remove(&finished.transaction) {
                    // If its future is just being dropped, nobody wants the outcome.
                    let _ = route.sender.try_send(Routed::Finished(finished));
                }
            }
            Some(other) => self.note(state, &other),
            None => {}
        }
        Ok(())
    }

    /// Answers a request whose transaction is over.
    fn give_up(&self, state: &mut State, transaction: &TxKey, ticket: Ticket) -> Result<(), End> {
        let answer = state
            .ready
            .as_mut()
            .map(|ready| ready.respond(transaction, ticket, Err::<Bytes, _>("no ledger context")));
        match answer {
            Some(Ok(answer)) => self.answer_later(state, answer),
            _ => Ok(()),
        }
    }

    fn answer_later(&self, state: &mut State, answer: ChaincodeMessage) -> Result<(), End> {
        if state.answers.len() >= self.most_answers {
            return Err(End::NotRead(state.answers.len()));
        }
        state.answers.push_back(answer);
        self.answers.notify_one();
        Ok(())
    }

    /// Sends the reader's own answers as the queue takes them. It is dropped and begun anew whenever a message comes
    /// in, so nothing is taken from the answers before there is a place in the queue.
    async fn send_answers(&self) -> Infallible {
        loop {
            let waiting = self.state.lock().as_ref().is_some_and(|state| !state.answers.is_empty());
            if !waiting {
                self.answers.notified().await;
                continue;
            }
            let Ok(permit) = self.outgoing.reserve().await else {
                // Nothing can be sent any more; the incoming half tells why.
                return std::future::pending().await;
            };
            if let Some(answer) = self.state.lock().as_mut().and_then(|state| state.answers.pop_front()) {
                permit.send(answer);
            }
        }
    }

    fn note(&self, state: &mut State, event: &Event) {
        let package_id = &self.package_id;
        let serious = matches!(event, Event::Dropped { .. } | Event::Malformed { .. });
        state.faults = state.faults.saturating_add(u32::from(serious));
        match event {
            Event::Dropped { transaction, dropped, open } if state.faults <= WARNINGS => tracing::warn!(
                package_id, transaction = %escaped(transaction),
                "the chaincode sent {dropped} while its {open} was open; the request is dropped and the chaincode \
                 will wait for it in vain"),
            Event::Malformed { transaction, error } if state.faults <= WARNINGS => tracing::warn!(
                package_id, transaction = %escaped(transaction), "{error}"),
            other => tracing::debug!(package_id, event = ?other, "a message without effect"),
        }
    }

    async fn send(&self, message: ChaincodeMessage) -> Result<(), ExecuteError> {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(ExecuteError::Terminated),
            sent = self.outgoing.send(message) => sent.map_err(|_| ExecuteError::Terminated),
        }
    }
}

/// A transaction on its stream. However it is left, the session forgets it, and a request that is open is answered.
struct Running<'a> {
    stream: &'a Stream,
    key: TxKey,
    serial: u64,
    events: mpsc::Receiver<Routed>,
    open: Option<Ticket>,
}

impl Running<'_> {
    async fn run(
        &mut self,
        start: ChaincodeMessage,
        context: &mut dyn TransactionContext,
    ) -> Result<Finished, ExecuteError> {
        self.stream.send(start).await?;
        loop {
            let (ticket, request) = match self.events.recv().await {
                Some(Routed::Request(ticket, request)) => (ticket, request),
                Some(Routed::Finished(finished)) => return outcome(*finished),
                None => return Err(ExecuteError::Terminated),
            };
            self.open = Some(ticket);
            let reply = tokio::select! {
                // The chaincode may end the transaction, or the stream, without waiting for its answer; what the
                // request still does is not wanted then.
                event = self.events.recv() => match event {
                    Some(Routed::Finished(finished)) => return outcome(*finished),
                    // The session lets no second request through.
                    Some(Routed::Request(..)) | None => return Err(ExecuteError::Terminated),
                },
                reply = context.handle(*request) => bounded(reply),
            };
            if let Some(message) = self.respond(ticket, reply) {
                self.stream.send(message).await?;
            }
        }
    }

    fn respond(&mut self, ticket: Ticket, reply: Result<Bytes, String>) -> Option<ChaincodeMessage> {
        self.open = None;
        let mut state = self.stream.state.lock();
        let ready = state.as_mut()?.ready.as_mut()?;
        ready.respond(&self.key, ticket, reply).ok()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.stream.state.lock();
        let Some(state) = state.as_mut() else { return };
        if state.routes.get(&self.key).is_some_and(|route| route.serial == self.serial) {
            state.routes.remove(&self.key);
            if let Some(ready) = &mut state.ready {
                ready.abandon(&self.key);
            }
        }
        let mut open: Vec<_> = self.open.take().into_iter().collect();
        while let Ok(routed) = self.events.try_recv() {
            if let Routed::Request(ticket, _) = routed {
                open.push(ticket);
            }
        }
        for ticket in open {
            if self.stream.give_up(state, &self.key, ticket).is_err() {
                self.stream.ended.cancel();
            }
        }
    }
}

/// How a transaction ended for the endorser.
pub(crate) fn outcome(finished: selvedge_session::host::Finished) -> Result<Finished, ExecuteError> {
    let message = finished.message;
    match finished.outcome {
        Outcome::Completed(response) => {
            let tx_id = finished.transaction.tx_id;
            let event = message.chaincode_event.clone().map(|event| ChaincodeEvent { tx_id, ..event });
            Ok(Finished { response, event, message })
        }
        Outcome::Failed(text) => Err(ExecuteError::Failed { text, message: Box::new(message) }),
        Outcome::Undecodable(source) => Err(ExecuteError::Undecodable {
            transaction: finished.transaction,
            source,
            message: Box::new(message),
        }),
    }
}

/// A reply that is too large for the stream would end it for everybody, so the chaincode is told instead.
fn bounded(reply: Result<Bytes, String>) -> Result<Bytes, String> {
    match reply {
        Ok(payload) if payload.len() > MAX_MESSAGE - ENVELOPE => Err(format!(
            "the reply of {} bytes exceeds the limit of {MAX_MESSAGE} for a message",
            payload.len()
        )),
        Err(mut cause) if cause.len() > MAX_MESSAGE - ENVELOPE => {
            let end = cause.floor_char_boundary(ENVELOPE);
            cause.truncate(end);
            Err(cause)
        }
        other => other,
    }
}

fn escaped(transaction: &TxKey) -> String {
    selvedge_tls::escape(&transaction.to_string())
}

/// A status with what lies behind it, such as why a connection broke.
pub(super) fn describe(status: &tonic::Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), selvedge_tls::escape(status.message()));
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        let cause = selvedge_tls::escape(&error.to_string());
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = error.source();
    }
    text
}
