//! A contract's way to the ledger.
//!
//! **What crosses the wire is a function of what the contract does and of the replies, never of timing**, or peers
//! would record different reads. So the contract's own poll is the clock: what it asks for while it is polled is
//! collected in a [`queue`], and only when it waits is the next message made of what stands first. A reply is handed out
//! at the beginning of the next poll, to everybody whom it concerns at once. [`run`] does both.

mod queue;
mod run;

use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, ready};

use bytes::Bytes;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::write_record::Type as RecordType;
use selvedge_proto::protos::{ChaincodeEvent, WriteRecord};
use selvedge_session::TxKey;
use selvedge_session::chaincode::{CallError, Limits, PeerError};
use selvedge_session::request::{DelState, PutState, Request, RequestError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tracing::Span;

pub(crate) use self::queue::Batching;
use self::queue::{Queue, Read, Waiter};
use self::run::ContractWake;
use crate::message::{self, MESSAGE_BYTES};
use crate::{ArgumentError, LedgerError, Response};

/// The requests of one transaction.
///
/// A request is on its way once its future has been polled for the first time, and it stays so when the future is
/// dropped.
#[derive(Clone)]
pub(crate) struct Calls {
    shared: Arc<Shared>,
    /// Whether public writes are collected.
    collects: bool,
}

struct Shared {
    transaction: Arc<TxKey>,
    commands: mpsc::Sender<Command>,
    /// As many as may wait at a time; further callers wait to be begun. Closed with the transaction.
    places: Arc<Semaphore>,
    state: Mutex<State>,
    wake: Arc<ContractWake>,
}

struct State {
    queue: Queue,
    phase: Phase,
    /// The reply to the open request, until the contract's next poll.
    reply: Option<Result<Bytes, CallFailure>>,
    /// The open request in a trace, which ends with its reply.
    open: Span,
}

/// Whether calls can be made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The contract has returned.
    Over,
    /// The stream has ended.
    Closed,
}

/// What contracts tell their stream's driver.
pub(crate) enum Command {
    /// One at a time for each transaction.
    Request {
        transaction: Arc<TxKey>,
        message_type: Type,
        payload: Bytes,
    },
    Finish {
        transaction: Arc<TxKey>,
        outcome: Outcome,
    },
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum CallFailure {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error(transparent)]
    Refused(#[from] CallError),
    #[error(transparent)]
    Answer(#[from] RequestError),
    #[error("the peer has answered a request for {asked} keys with {sent} values")]
    Values { asked: usize, sent: usize },
    /// The text is that of the refusal.
    #[error("{0}")]
    Unwritten(String),
}

impl From<CallFailure> for LedgerError {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Peer(PeerError(text)) => Self::Peer(text),
            CallFailure::Refused(error) => error.into(),
            CallFailure::Answer(error) => error.into(),
            CallFailure::Values { asked, sent } => Self::Values { asked, sent },
            CallFailure::Unwritten(reason) => Self::Unwritten { reason },
        }
    }
}

/// How a transaction ended.
pub(crate) enum Outcome {
    /// With a response, whatever its status.
    Completed(Response, Option<ChaincodeEvent>),
    /// Not carried out, for the reason that the peer is to report.
    Failed(String, Option<ChaincodeEvent>),
}

/// The contracts' end of the channel to the driver, and the driver's. Each transaction has room for its open request and
/// its end, so that it never waits.
pub(crate) fn commands(limits: Limits) -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    mpsc::channel(limits.transactions.saturating_mul(2).clamp(1, Semaphore::MAX_PERMITS))
}

impl Calls {
    pub(crate) fn new(
        transaction: Arc<TxKey>,
        commands: mpsc::Sender<Command>,
        limits: Limits,
        batching: Batching,
    ) -> Self {
        let places = limits.queued_requests.saturating_add(1).min(Semaphore::MAX_PERMITS);
        let state =
            State { queue: Queue::new(batching), phase: Phase::Open, reply: None, open: Span::none() };
        let shared = Shared {
            transaction,
            commands,
            places: Arc::new(Semaphore::new(places)),
            state: Mutex::new(state),
            wake: Arc::default(),
        };
        Self { shared: Arc::new(shared), collects: batching.collects() }
    }

    pub(crate) fn transaction(&self) -> &TxKey {
        &self.shared.transaction
    }

    /// Makes a request and waits for its reply.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, LedgerError> {
        let payload = request.encode();
        self.check_size(payload.len())?;
        let place = self.place().await?;
        self.enqueue::<R>(payload, Some(place))?.wait().await
    }

    /// Makes a request whose reply is taken later. It takes no place among those that wait: who begins one answers for
    /// its number.
    pub(crate) fn begin<R: Request>(&self, request: &R) -> Result<Pending<R>, LedgerError> {
        let payload = request.encode();
        self.check_size(payload.len())?;
        self.enqueue(payload, None)
    }

    /// Committed values, empty for keys that have none. Reads that stand next to each other go out together where the
    /// peer offers it; `listed` ones even if it is one alone.
    pub(crate) async fn read(
        &self,
        keys: Vec<String>,
        collection: &str,
        listed: bool,
    ) -> Result<Vec<Bytes>, LedgerError> {
        for key in &keys {
            self.check_size(key.len() + collection.len())?;
        }
        let place = self.place().await?;
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter { reply, _place: Some(place) };
        self.with_queue(|queue| queue.read(Read::new(collection.to_owned(), keys, listed, waiter)))?;
        Ok(answer.await.map_err(|_| self.ended())??)
    }

    /// Puts a public value, which goes out with the next ones where the peer offers it.
    pub(crate) async fn put(&self, key: &str, value: Bytes) -> Result<(), LedgerError> {
        if !self.collects {
            return self.call(&PutState { key: key.to_owned(), value, collection: String::new() }).await;
        }
        self.collect(key, value, RecordType::PutState).await
    }

    /// Deletes a public value, as [`Calls::put`] puts one.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), LedgerError> {
        if !self.collects {
            return self.call(&DelState { key: key.to_owned(), collection: String::new() }).await;
        }
        self.collect(key, Bytes::new(), RecordType::DelState).await
    }

    /// Sends the writes that are collected, and waits until the peer has taken them.
    pub(crate) async fn flush(&self) -> Result<(), LedgerError> {
        let place = self.place().await?;
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter { reply, _place: Some(place) };
        self.with_queue(|queue| queue.send_writes(Some(waiter)))?;
        answer.await.map_err(|_| self.ended())??;
        Ok(())
    }

    /// Takes the reply to the open request.
    pub(crate) fn deliver(&self, reply: Result<Bytes, CallFailure>) {
        self.state().reply = Some(reply);
        self.shared.wake.wake_by_ref();
    }

    /// Ends all calls, because the stream has ended.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Closed;
        }
        state.queue.clear();
        self.shared.places.close();
    }

    /// Tells the driver how the transaction ended.
    pub(crate) fn finish(self, outcome: Outcome) {
        self.end();
        let transaction = Arc::clone(&self.shared.transaction);
        // The stream may have ended meanwhile; then nobody waits for the outcome.
        drop(self.shared.commands.try_send(Command::Finish { transaction, outcome }));
    }

    /// From here on copies of the context cannot call the ledger any more.
    fn end(&self) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            state.phase = Phase::Over;
        }
        self.shared.places.close();
    }

    async fn collect(&self, key: &str, value: Bytes, of: RecordType) -> Result<(), LedgerError> {
        self.check_size(key.len() + value.len())?;
        let record = WriteRecord { key: key.to_owned(), value, r#type: of.into(), ..Default::default() };
        match self.with_queue(|queue| queue.write(record))?? {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    fn enqueue<R: Request>(
        &self,
        payload: Bytes,
        place: Option<OwnedSemaphorePermit>,
    ) -> Result<Pending<R>, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter { reply, _place: place };
        self.with_queue(|queue| queue.request(R::TYPE, payload, waiter))?;
        Ok(Pending { calls: self.clone(), answer, request: PhantomData })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, LedgerError> {
        Arc::clone(&self.shared.places).acquire_owned().await.map_err(|_| self.ended())
    }

    fn with_queue<T>(&self, act: impl FnOnce(&mut Queue) -> T) -> Result<T, LedgerError> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            drop(state);
            return Err(self.ended());
        }
        let done = act(&mut state.queue);
        drop(state);
        // At the end of its poll the contract's requests are sent anyway.
        self.shared.wake.unless_polled();
        Ok(done)
    }

    /// Why nothing more comes.
    fn ended(&self) -> LedgerError {
        let tx_id = self.shared.transaction.tx_id.clone();
        match self.state().phase {
            Phase::Over => LedgerError::Over { tx_id },
            Phase::Open | Phase::Closed => LedgerError::Closed { tx_id },
        }
    }

    fn check_size(&self, payload: usize) -> Result<(), ArgumentError> {
        match message::size(&self.shared.transaction, payload) {
            bytes if bytes > MESSAGE_BYTES => Err(ArgumentError::TooLarge { bytes, limit: MESSAGE_BYTES }),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Calls {
    /// Only whose they are: keys and values may be secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Calls").field(&self.shared.transaction).finish()
    }
}

/// A request on its way.
pub(crate) struct Pending<R> {
    calls: Calls,
    answer: oneshot::Receiver<Result<Bytes, CallFailure>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Pending<R> {
    async fn wait(mut self) -> Result<R::Reply, LedgerError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// The reply, once it has come; then this must not be polled again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<R::Reply, LedgerError>> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(match answer {
            Ok(Ok(payload)) => R::decode_reply(payload).map_err(Into::into),
            Ok(Err(failure)) => Err(failure.into()),
            Err(_) => Err(self.calls.ended()),
        })
    }
}
