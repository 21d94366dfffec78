//! A contract's way to the ledger.

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use selvedge_proto::protos::ChaincodeEvent;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_session::TxKey;
use selvedge_session::chaincode::{CallError, Limits, PeerError};
use selvedge_session::request::Request;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::message::{self, MESSAGE_BYTES};
use crate::{ArgumentError, LedgerError, Response};

/// The requests of one transaction.
///
/// A request is on its way once its future has been polled for the first time, and it stays so when the future is
/// dropped: what the peer sees depends on what the contract does and not on how fast replies come, or peers would
/// record different reads.
#[derive(Clone, Debug)]
pub(crate) struct Calls {
    transaction: Arc<TxKey>,
    commands: mpsc::Sender<Command>,
    /// As many as the session queues, so that it never refuses a request for want of room. Closed with the
    /// transaction.
    places: Arc<Semaphore>,
}

/// What contracts tell their stream's driver.
pub(crate) enum Command {
    Request { transaction: Arc<TxKey>, message_type: Type, payload: Bytes, waiter: Waiter },
    Finish { transaction: Arc<TxKey>, outcome: Outcome },
}

/// Where a reply goes. The caller may have gone away.
pub(crate) struct Waiter {
    reply: oneshot::Sender<Result<Bytes, CallFailure>>,
    _place: OwnedSemaphorePermit,
}

pub(crate) enum CallFailure {
    Peer(PeerError),
    Refused(CallError),
}

/// How a transaction ended.
pub(crate) enum Outcome {
    /// With a response, whatever its status.
    Completed(Response, Option<ChaincodeEvent>),
    /// Not carried out, for the reason that the peer is to report.
    Failed(String, Option<ChaincodeEvent>),
}

/// The contracts' end of the channel to the driver, and the driver's. A contract that has a place also has room here,
/// so it never waits.
pub(crate) fn commands(limits: Limits) -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    let each = limits.queued_requests.saturating_add(2);
    mpsc::channel(limits.transactions.saturating_mul(each).clamp(1, Semaphore::MAX_PERMITS))
}

impl Calls {
    pub(crate) fn new(transaction: Arc<TxKey>, commands: mpsc::Sender<Command>, limits: Limits) -> Self {
        let places = limits.queued_requests.saturating_add(1).min(Semaphore::MAX_PERMITS);
        Self { transaction, commands, places: Arc::new(Semaphore::new(places)) }
    }

    pub(crate) fn transaction(&self) -> &TxKey {
        &self.transaction
    }

    /// Makes a request and waits for its reply.
    pub(crate) async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, LedgerError> {
        self.begin(request).await?.wait().await
    }

    /// Makes a request whose reply is taken later.
    pub(crate) async fn begin<R: Request>(&self, request: &R) -> Result<Pending<R>, LedgerError> {
        let payload = request.encode();
        let bytes = message::size(&self.transaction, payload.len());
        if bytes > MESSAGE_BYTES {
            return Err(ArgumentError::TooLarge { bytes, limit: MESSAGE_BYTES }.into());
        }
        let over = |_| LedgerError::Over { tx_id: self.transaction.tx_id.clone() };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(over)?;
        let (reply, answer) = oneshot::channel();
        let pending = Pending { transaction: Arc::clone(&self.transaction), answer, request: PhantomData };
        let command = Command::Request {
            transaction: Arc::clone(&self.transaction),
            message_type: R::TYPE,
            payload,
            waiter: Waiter { reply, _place: place },
        };
        self.commands.send(command).await.map_err(|_| closed(&self.transaction))?;
        Ok(pending)
    }

    /// Ends the transaction. Copies of its context that live on cannot call the ledger any more.
    pub(crate) async fn finish(self, outcome: Outcome) {
        self.places.close();
        // The stream may have ended meanwhile; then nobody waits for the outcome.
        drop(self.commands.send(Command::Finish { transaction: self.transaction, outcome }).await);
    }

    /// Ends the transaction from where nothing can wait.
    pub(crate) fn finish_now(self, outcome: Outcome) {
        self.places.close();
        drop(self.commands.try_send(Command::Finish { transaction: self.transaction, outcome }));
    }
}

impl Waiter {
    pub(crate) fn answer(self, result: Result<Bytes, CallFailure>) {
        // The caller may have dropped its call; then nobody wants the answer.
        drop(self.reply.send(result));
    }
}

/// A request on its way.
pub(crate) struct Pending<R> {
    transaction: Arc<TxKey>,
    answer: oneshot::Receiver<Result<Bytes, CallFailure>>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Pending<R> {
    /// Waits for the reply. It can be dropped and called again, but not once it has given the reply.
    pub(crate) async fn wait(&mut self) -> Result<R::Reply, LedgerError> {
        match (&mut self.answer).await.map_err(|_| closed(&self.transaction))? {
            Ok(payload) => Ok(R::decode_reply(payload)?),
            Err(CallFailure::Peer(PeerError(text))) => Err(LedgerError::Peer(text)),
            Err(CallFailure::Refused(error)) => Err(error.into()),
        }
    }
}

fn closed(transaction: &TxKey) -> LedgerError {
    LedgerError::Closed { tx_id: transaction.tx_id.clone() }
}
