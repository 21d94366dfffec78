//! One peer's stream: a task that owns the session and joins it to the contracts that run.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use async_task::Task;
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeEvent, ChaincodeMessage};
use selvedge_session::chaincode::{
    CallError, Created, Event, Finished, Handshake, Limits, PeerError, Ready, Start,
};
use selvedge_session::request::Request;
use selvedge_session::{Ended, Invocation, Ticket, TxKey};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::error::StreamError;
use crate::proposal::ProposalView;
use crate::workers::Workers;
use crate::{Chaincode, Context, LedgerError, Response};

/// How many calls of contracts may wait for the stream's task before their callers wait too.
const COMMANDS: usize = 1024;

/// What a stream needs of the server it belongs to.
pub(crate) struct Settings {
    pub(crate) chaincode: Arc<dyn Chaincode>,
    pub(crate) package_id: String,
    pub(crate) limits: Limits,
    pub(crate) workers: Arc<Workers>,
    /// Cancelled when the server is to stop.
    pub(crate) stopping: CancellationToken,
    /// How long transactions that run may go on once the server is to stop.
    pub(crate) drain: Duration,
}

/// A contract's way to the ledger: requests of one transaction.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    transaction: Arc<TxKey>,
    commands: mpsc::Sender<Command>,
}

type Reply = oneshot::Sender<Result<Bytes, CallFailure>>;

enum Command {
    Request { transaction: Arc<TxKey>, message_type: Type, payload: Bytes, reply: Reply },
    Finish { transaction: Arc<TxKey>, outcome: Outcome },
}

enum CallFailure {
    Peer(PeerError),
    Refused(CallError),
}

enum Outcome {
    Completed(Response, Option<ChaincodeEvent>),
    Failed(String, Option<ChaincodeEvent>),
}

impl Calls {
    pub(crate) fn transaction(&self) -> &TxKey {
        &self.transaction
    }

    /// Makes a request and waits for its reply. Dropping the future gives the request up; a reply that still comes
    /// reaches nobody.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Request {
            transaction: Arc::clone(&self.transaction),
            message_type: R::TYPE,
            payload: request.encode(),
            reply,
        };
        let closed = || LedgerError::Closed { tx_id: self.transaction.tx_id.clone() };
        self.commands.send(command).await.map_err(|_| closed())?;
        match answer.await.map_err(|_| closed())? {
            Ok(payload) => Ok(R::decode_reply(payload)?),
            Err(CallFailure::Peer(PeerError(text))) => Err(LedgerError::Peer(text)),
            Err(CallFailure::Refused(error)) => Err(error.into()),
        }
    }
}

/// Serves one stream to its end. `outgoing` is what the peer receives.
pub(crate) async fn serve<S>(
    incoming: S,
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
    settings: Arc<Settings>,
) -> Result<(), StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    let mut incoming = pin!(incoming);
    let (created, register) = Created::new(&settings.package_id, settings.limits);
    let mut outbox = Outbox { outgoing, waiting: VecDeque::from([register]) };
    let Some(session) = handshake(created, incoming.as_mut(), &mut outbox, &settings).await? else {
        return Ok(());
    };
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let driver = Driver { session: Some(session), live: HashMap::new(), outbox, commands, settings };
    driver.run(incoming, inbox).await
}

/// Registers with the peer. `None` when the stream or the server ends first.
async fn handshake<S>(
    mut created: Created,
    mut incoming: Pin<&mut S>,
    outbox: &mut Outbox,
    settings: &Settings,
) -> Result<Option<Ready>, StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    let mut established = loop {
        let Some(message) = next(&mut incoming, outbox, settings).await? else { return Ok(None) };
        match created.receive(message) {
            Ok(Handshake::Waiting(same, echo)) => {
                created = same;
                outbox.push(*echo);
            }
            Ok(Handshake::Done(established)) => break established,
            Err(ended) => return Err(outbox.end(ended).await),
        }
    };
    loop {
        let Some(message) = next(&mut incoming, outbox, settings).await? else { return Ok(None) };
        match established.receive(message) {
            Ok(Handshake::Waiting(same, echo)) => {
                established = same;
                outbox.push(*echo);
            }
            Ok(Handshake::Done(ready)) => return Ok(Some(ready)),
            Err(ended) => return Err(outbox.end(ended).await),
        }
    }
}

/// Sends what waits and takes the next message. `None` when the stream or the server ends.
async fn next<S>(
    incoming: &mut Pin<&mut S>,
    outbox: &mut Outbox,
    settings: &Settings,
) -> Result<Option<ChaincodeMessage>, StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    outbox.flush().await;
    let message = tokio::select! {
        message = incoming.next() => message,
        () = settings.stopping.cancelled() => None,
    };
    Ok(message.transpose()?)
}

/// Messages on their way to the peer. Their number is bounded by the session: a transaction has one open request
/// and one last message.
struct Outbox {
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
    waiting: VecDeque<ChaincodeMessage>,
}

impl Outbox {
    fn push(&mut self, message: impl Into<Option<ChaincodeMessage>>) {
        self.waiting.extend(message.into());
    }

    /// Sends the last message of a stream that the peer has broken.
    async fn end(&mut self, ended: Ended) -> StreamError {
        self.waiting.extend(ended.send.map(|message| *message));
        self.flush().await;
        ended.violation.into()
    }

    /// Hands everything to the connection, waiting as long as the peer is slow.
    async fn flush(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            if self.outgoing.send(Ok(message)).await.is_err() {
                self.waiting.clear();
            }
        }
    }
}

struct Running {
    waiters: Vec<(Ticket, Reply)>,
    // Held so that the contract is cancelled when the stream ends.
    _task: Option<Task<()>>,
}

struct Driver {
    // Only `None` while a message is being received, which consumes the session.
    session: Option<Ready>,
    live: HashMap<TxKey, Running>,
    outbox: Outbox,
    commands: mpsc::Sender<Command>,
    settings: Arc<Settings>,
}

impl Driver {
    async fn run<S>(
        mut self,
        mut incoming: Pin<&mut S>,
        mut inbox: mpsc::Receiver<Command>,
    ) -> Result<(), StreamError>
    where
        S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
    {
        let settings = Arc::clone(&self.settings);
        let outgoing = self.outbox.outgoing.clone();
        let mut drained = pin!(async {
            settings.stopping.cancelled().await;
            tokio::time::sleep(settings.drain).await;
        });
        loop {
            if settings.stopping.is_cancelled() && self.is_idle() {
                return Ok(());
            }
            tokio::select! {
                message = incoming.next() => {
                    let Some(message) = message.transpose()? else { return Ok(()) };
                    if let Err(ended) = self.receive(message) {
                        return Err(self.outbox.end(ended).await);
                    }
                }
                Some(command) = inbox.recv() => self.obey(command),
                permit = outgoing.reserve(), if !self.outbox.waiting.is_empty() => {
                    let Ok(permit) = permit else { return Ok(()) };
                    if let Some(message) = self.outbox.waiting.pop_front() {
                        permit.send(Ok(message));
                    }
                }
                () = settings.stopping.cancelled(), if !settings.stopping.is_cancelled() => {}
                () = &mut drained => return Ok(()),
            }
        }
    }

    /// Whether every transaction has sent its last message.
    fn is_idle(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.live() == 0) && self.outbox.waiting.is_empty()
    }

    fn receive(&mut self, message: ChaincodeMessage) -> Result<(), Ended> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let (session, step) = session.receive(message)?;
        self.session = Some(session);
        self.outbox.push(step.send);
        match step.event {
            Some(Event::Start(start)) => self.start(*start),
            Some(Event::Answer { transaction, ticket, result }) => self.answer(&transaction, ticket, result),
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
            Command::Request { transaction, message_type, payload, reply } => {
                self.forget_abandoned(&transaction);
                let Some(session) = &mut self.session else { return };
                match session.request_raw(&transaction, message_type, payload) {
                    Ok(requested) => {
                        self.outbox.push(requested.send);
                        if let Some(running) = self.live.get_mut(&*transaction) {
                            running.waiters.push((requested.ticket, reply));
                        }
                    }
                    Err(error) => drop(reply.send(Err(CallFailure::Refused(error)))),
                }
            }
            Command::Finish { transaction, outcome } => {
                let Some(session) = &mut self.session else { return };
                let finished = match outcome {
                    Outcome::Completed(response, event) => {
                        session.complete(&transaction, &response.into(), event)
                    }
                    Outcome::Failed(text, event) => session.fail(&transaction, text, event),
                };
                match finished {
                    Ok(Finished { send, .. }) => self.outbox.push(send),
                    Err(error) => tracing::debug!(%transaction, %error, "a transaction ended twice"),
                }
                self.live.remove(&*transaction);
            }
        }
    }

    /// Tells the session of callers that have dropped their calls, before it acts for the transaction again.
    fn forget_abandoned(&mut self, transaction: &TxKey) {
        let (Some(session), Some(running)) = (&mut self.session, self.live.get_mut(transaction)) else {
            return;
        };
        running.waiters.retain(|(ticket, reply)| {
            if reply.is_closed() {
                session.cancel(transaction, *ticket);
            }
            !reply.is_closed()
        });
    }

    fn answer(&mut self, transaction: &TxKey, ticket: Ticket, result: Result<Bytes, PeerError>) {
        let Some(running) = self.live.get_mut(transaction) else { return };
        if let Some(position) = running.waiters.iter().position(|(waiting, _)| *waiting == ticket) {
            let (_, reply) = running.waiters.swap_remove(position);
            // The caller may have dropped its call; then nobody wants the answer.
            drop(reply.send(result.map_err(CallFailure::Peer)));
        }
    }

    fn start(&mut self, start: Start) {
        let Start { transaction, invocation, input, proposal } = start;
        let key = Arc::new(transaction.clone());
        let commands = self.commands.clone();
        let calls = Calls { transaction: Arc::clone(&key), commands: commands.clone() };
        let chaincode = Arc::clone(&self.settings.chaincode);
        let contract = async move {
            let outcome = match ProposalView::new(proposal) {
                Ok(proposal) => run(&*chaincode, invocation, Context::new(input, proposal, calls)).await,
                Err(error) => Outcome::Failed(error.to_string(), None),
            };
            // The stream may have ended meanwhile; then nobody waits for the outcome.
            drop(commands.send(Command::Finish { transaction: key, outcome }).await);
        };
        let task = self.settings.workers.spawn(contract);
        self.live.insert(transaction, Running { waiters: Vec::new(), _task: task });
    }
}

async fn run(chaincode: &dyn Chaincode, invocation: Invocation, context: Context) -> Outcome {
    let called = async {
        match invocation {
            Invocation::Init => chaincode.init(&context).await,
            Invocation::Transaction => chaincode.invoke(&context).await,
        }
    };
    let result = AssertUnwindSafe(called).catch_unwind().await;
    let event = context.take_event();
    match result {
        // Go's shim reports a failed Init as a failure of the transaction itself.
        Ok(response) if invocation == Invocation::Init && response.status >= Response::ERROR => {
            Outcome::Failed(response.message, event)
        }
        Ok(response) => Outcome::Completed(response, event),
        Err(_) => {
            tracing::error!(tx_id = context.tx_id(), "the chaincode panicked");
            Outcome::Failed("the chaincode panicked; its log says where".to_owned(), None)
        }
    }
}
