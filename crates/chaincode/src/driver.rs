//! A ready stream: the session, joined to the contracts that run.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use async_task::Task;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_session::chaincode::{Event, PeerError, Ready, Start, Step};
use selvedge_session::{Ended, TxKey};
use tokio::sync::mpsc;
use tonic::Status;

use crate::calls::{self, Batching, CallFailure, Calls, Command, Outcome};
use crate::error::StreamError;
use crate::message::MESSAGE_BYTES;
use crate::outbox::Outbox;
use crate::stream::Settings;
use crate::transaction;

/// The most bytes that the inputs of a stream's running transactions may have together: four of the largest.
const INPUT_BYTES: usize = 4 * MESSAGE_BYTES;

pub(crate) struct Driver {
    // Only `None` while a message is being received, which consumes the session.
    session: Option<Ready>,
    running: HashMap<TxKey, Running>,
    /// Of the running transactions' inputs, together.
    input_bytes: usize,
    outbox: Outbox,
    batching: Batching,
    commands: mpsc::Sender<Command>,
    inbox: mpsc::Receiver<Command>,
    settings: Arc<Settings>,
}

struct Running {
    /// Held so that the contract is cancelled when the stream ends. It is dropped before its calls end, so that their end
    /// does not wake the contract first.
    _task: Task<()>,
    calls: Ending,
    input_bytes: usize,
}

/// Ends a transaction's calls when it is dropped.
struct Ending(Calls);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Driver {
    pub(crate) fn new(session: Ready, outbox: Outbox, settings: Arc<Settings>) -> Self {
        let (commands, inbox) = calls::commands(settings.limits);
        let batching = if settings.batching { Batching::of(session.offer()) } else { Batching::default() };
        Self {
            batching,
            session: Some(session),
            running: HashMap::new(),
            input_bytes: 0,
            outbox,
            commands,
            inbox,
            settings,
        }
    }

    /// Serves until the peer closes the stream or breaks it, or, once the server is to stop, the last transaction has
    /// ended.
    pub(crate) async fn run<S>(mut self, mut incoming: Pin<&mut S>) -> Result<(), StreamError>
    where
        S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
    {
        let settings = Arc::clone(&self.settings);
        loop {
            self.outbox.send_ready();
            let stopping = settings.stopping.is_cancelled();
            if stopping && self.running.is_empty() && self.outbox.is_empty() {
                return Ok(());
            }
            let input = tokio::select! {
                // A peer that sends and does not read is not read either.
                message = incoming.next(), if self.outbox.has_room() => Input::Message(message.transpose()?),
                Some(command) = self.inbox.recv() => Input::Command(command),
                sent = self.outbox.send_one(), if !self.outbox.is_empty() => Input::Sent(sent),
                () = settings.stopping.cancelled(), if !stopping => continue,
            };
            match input {
                Input::Message(Some(message)) => {
                    if let Err(ended) = self.receive(message) {
                        return Err(self.outbox.end(ended).await);
                    }
                }
                Input::Message(None) | Input::Sent(false) => return Ok(()),
                Input::Command(command) => self.obey(command),
                Input::Sent(true) => {}
            }
        }
    }

    fn receive(&mut self, message: ChaincodeMessage) -> Result<(), Ended> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let bytes = message.payload.len() + proposal_bytes(&message);
        let (session, Step { send, event, .. }) = session.receive(message)?;
        self.session = Some(session);
        self.outbox.push(send);
        match event {
            Some(Event::Start(start)) => self.start(*start, bytes),
            Some(Event::Answer { transaction, result, .. }) => self.answer(&transaction, result),
            Some(Event::Refused { transaction, reason }) => {
                tracing::warn!(%transaction, %reason, "a transaction was not begun");
            }
            Some(Event::Unsolicited { transaction, received }) => {
                tracing::debug!(%transaction, %received, "an answer came that nothing waits for");
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Request { transaction, message_type, payload } => {
                self.request(&transaction, message_type, payload);
            }
            Command::Finish { transaction, outcome } => self.finish(&transaction, outcome),
        }
    }

    fn request(&mut self, transaction: &TxKey, message_type: Type, payload: Bytes) {
        let (Some(session), Some(running)) = (&mut self.session, self.running.get(transaction)) else {
            return;
        };
        match session.request_raw(transaction, message_type, payload) {
            Ok(requested) => self.outbox.push(requested.send),
            Err(error) => running.calls.0.deliver(Err(error.into())),
        }
    }

    fn answer(&self, transaction: &TxKey, result: Result<Bytes, PeerError>) {
        if let Some(running) = self.running.get(transaction) {
            running.calls.0.deliver(result.map_err(CallFailure::Peer));
        }
    }

    fn start(&mut self, start: Start, input_bytes: usize) {
        let key = Arc::new(start.transaction.clone());
        if let Some(refusal) = self.refusal(input_bytes) {
            tracing::warn!(transaction = %key, refusal, "a transaction was not begun");
            return self.close(&key, Outcome::Failed(refusal.to_owned(), None));
        }
        let calls = Calls::new(Arc::clone(&key), self.commands.clone(), self.settings.limits, self.batching);
        let contract = transaction::carry_out(Arc::clone(&self.settings), start, calls.clone());
        let task = self.settings.workers.spawn(contract);
        self.input_bytes += input_bytes;
        let running = Running { _task: task, calls: Ending(calls), input_bytes };
        self.running.insert(TxKey::clone(&key), running);
    }

    /// Why no further transaction can begin, if so.
    fn refusal(&self, input_bytes: usize) -> Option<&'static str> {
        if self.settings.stopping.is_cancelled() {
            Some("the chaincode is being stopped")
        } else if self.input_bytes.saturating_add(input_bytes) > INPUT_BYTES {
            Some("the arguments of the running transactions take all the memory there is for them")
        } else {
            None
        }
    }

    fn finish(&mut self, transaction: &TxKey, outcome: Outcome) {
        let Some(running) = self.running.remove(transaction) else { return };
        self.input_bytes -= running.input_bytes;
        self.close(transaction, outcome);
    }

    /// Has the session end a transaction that has no request under way.
    fn close(&mut self, transaction: &TxKey, outcome: Outcome) {
        let Some(session) = &mut self.session else { return };
        let finished = match outcome {
            Outcome::Completed(response, event) => session.complete(transaction, &response.into(), event),
            Outcome::Failed(text, event) => session.fail(transaction, text, event),
        };
        match finished {
            Ok(finished) => self.outbox.push(finished.send),
            Err(error) => tracing::error!(%transaction, %error, "a transaction ended twice"),
        }
    }
}

enum Input {
    Message(Option<ChaincodeMessage>),
    Command(Command),
    /// Whether the connection still takes messages.
    Sent(bool),
}

fn proposal_bytes(message: &ChaincodeMessage) -> usize {
    message.proposal.as_ref().map_or(0, |proposal| proposal.proposal_bytes.len() + proposal.signature.len())
}
