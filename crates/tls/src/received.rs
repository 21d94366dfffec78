//! A budget for the bytes of messages that a server receives.
//!
//! gRPC's decoder makes room for a message as soon as its length is announced, before any service knows of the call. So
//! the bytes of every message are taken from a budget at that moment, for the connection and for the process, and are
//! given back when the next message of the call begins or the call is over. A call whose message does not fit is refused
//! with RESOURCE_EXHAUSTED; nothing waits, since calls that have sent half of what they announced would wait for each
//! other.
//!
//! It stands here because the account of a connection begins and ends with the connection that the listener accepted; it
//! comes to the calls with their [`PeerInfo`].

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Sleep, sleep};
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use crate::PeerInfo;

/// How many bytes of messages a server holds while it receives and answers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Of one message. Default 100 MiB, as Fabric has it.
    pub message: usize,
    /// Of one connection. Default 256 MiB: clients share one connection among all their calls.
    pub connection: usize,
    /// Of all connections together, beyond what is free for each. Default 1 GiB.
    pub process: usize,
    /// What each connection may have although the others have used up what there is for all, so that calls of ordinary
    /// size are always served. Default 1 MiB.
    pub free: usize,
    /// How long a message may take from its first byte to its last. Default 5 minutes.
    pub time: Duration,
}

impl Default for ReceiveLimits {
    fn default() -> Self {
        Self {
            message: 100 << 20,
            connection: 256 << 20,
            process: 1 << 30,
            free: 1 << 20,
            time: Duration::from_secs(5 * 60),
        }
    }
}

/// The budget itself, a layer for a gRPC server. Clones are the same budget: servers of one process share one.
#[derive(Clone, Debug, Default)]
pub struct ReceiveBudget(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    limits: ReceiveLimits,
    /// What the connections hold beyond what is free for each.
    used: AtomicUsize,
}

/// What the calls of one connection hold together.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<usize>);

impl ReceiveBudget {
    /// A budget of these limits.
    #[must_use]
    pub fn new(limits: ReceiveLimits) -> Self {
        Self(Arc::new(Shared { limits, used: AtomicUsize::new(0) }))
    }

    /// The bytes that are taken from what there is for all connections.
    #[must_use]
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn take(&self, account: &Account, bytes: usize) -> Result<(), Status> {
        let ReceiveLimits { connection, process, .. } = self.limits;
        let mut held = account.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = held.saturating_add(bytes);
        if after > connection {
            return Err(Status::resource_exhausted(format!(
                "the messages of this connection exceed the {connection} bytes that the server holds for one; wait for \
                 answers before you send more"
            )));
        }
        let more = self.beyond_free(after) - self.beyond_free(*held);
        let fits = |used: usize| used.checked_add(more).filter(|used| *used <= process);
        if more > 0 && self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return Err(Status::resource_exhausted(format!(
                "the server holds as many bytes of messages as it may, {process}; try again later"
            )));
        }
        *held = after;
        Ok(())
    }

    fn give_back(&self, account: &Account, bytes: usize) {
        let mut held = account.0.lock().unwrap_or_else(PoisonError::into_inner);
        let after = held.saturating_sub(bytes);
        self.used.fetch_sub(self.beyond_free(*held) - self.beyond_free(after), Ordering::Relaxed);
        *held = after;
    }

    fn beyond_free(&self, held: usize) -> usize {
        held.saturating_sub(self.limits.free)
    }
}

/// What one call holds; given back when the last part of the call is dropped.
struct Call {
    budget: Arc<Shared>,
    account: Arc<Account>,
    held: AtomicUsize,
}

impl Call {
    fn take(&self, bytes: usize) -> Result<(), Status> {
        self.budget.take(&self.account, bytes)?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.budget.give_back(&self.account, bytes);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.budget.give_back(&self.account, *self.held.get_mut());
    }
}

impl<S> Layer<S> for ReceiveBudget {
    type Service = Budgeted<S>;

    fn layer(&self, inner: S) -> Budgeted<S> {
        Budgeted { inner, budget: Arc::clone(&self.0) }
    }
}

/// A service whose calls are received within a [`ReceiveBudget`].
#[derive(Clone, Debug)]
pub struct Budgeted<S> {
    inner: S,
    budget: Arc<Shared>,
}

impl<S> Service<Request<Body>> for Budgeted<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // A connection that no listener of ours accepted has no account: each of its calls has one of its own then.
        let account = request.extensions().get::<PeerInfo>().map(|peer| Arc::clone(&peer.received));
        let call = Arc::new(Call {
            budget: Arc::clone(&self.budget),
            account: account.unwrap_or_default(),
            held: AtomicUsize::new(0),
        });
        let receiving = Arc::clone(&call);
        let answering = self.inner.call(request.map(|body| Body::new(Receiving::new(body, receiving))));
        Box::pin(async move {
            answering.await.map(|response| response.map(|body| Body::new(Answer { body, _call: call })))
        })
    }
}

/// The body of a request. It takes what is announced from the budget before the decoder sees the announcement.
struct Receiving {
    body: Body,
    call: Arc<Call>,
    /// The beginning of a message: its compression flag and its length, as far as they have come.
    prefix: [u8; PREFIX],
    prefix_length: usize,
    /// What is still to come of the message that has begun.
    missing: usize,
    /// What the messages took that the decoder may still hold.
    current: usize,
    /// What the messages took that the service has asked for the next one after.
    taken_over: usize,
    deadline: Option<Pin<Box<Sleep>>>,
}

/// The bytes of a gRPC message before its content.
const PREFIX: usize = 5;

impl Receiving {
    fn new(body: Body, call: Arc<Call>) -> Self {
        Self {
            body,
            call,
            prefix: [0; PREFIX],
            prefix_length: 0,
            missing: 0,
            current: 0,
            taken_over: 0,
            deadline: None,
        }
    }

    fn is_within_a_message(&self) -> bool {
        self.missing > 0 || self.prefix_length > 0
    }

    fn receive(&mut self, mut data: &[u8]) -> Result<(), Status> {
        while let [first, rest @ ..] = data {
            if self.missing > 0 {
                let come = self.missing.min(data.len());
                self.missing -= come;
                data = data.get(come..).unwrap_or_default();
                continue;
            }
            if let Some(place) = self.prefix.get_mut(self.prefix_length) {
                *place = *first;
            }
            self.prefix_length += 1;
            data = rest;
            if self.prefix_length == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.prefix_length = 0;
                self.begin(usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX))?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, length: usize) -> Result<(), Status> {
        let most = self.call.budget.limits.message;
        if length > most {
            // The words of Go's library.
            let text = format!("grpc: received message larger than max ({length} vs. {most})");
            return Err(Status::resource_exhausted(text));
        }
        if self.taken_over > 0 {
            self.call.give_back(std::mem::take(&mut self.taken_over));
        }
        self.call.take(length)?;
        self.current += length;
        self.missing = length;
        Ok(())
    }

    /// Whether a message that has begun is out of its time.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_within_a_message() {
            return false;
        }
        let time = self.call.budget.limits.time;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(time))).as_mut().poll(cx).is_ready()
    }
}

impl HttpBody for Receiving {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        if !this.is_within_a_message() {
            // Whoever asks for more has been given all messages that are whole.
            this.taken_over += std::mem::take(&mut this.current);
            this.deadline = None;
        }
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.is_late(cx) {
                let text = "a message did not arrive within the time that the server gives it";
                return Poll::Ready(Some(Err(Status::deadline_exceeded(text))));
            }
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && let Err(refusal) = this.receive(data)
        {
            return Poll::Ready(Some(Err(refusal)));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of a response, with whose end the call is over.
struct Answer {
    body: Body,
    _call: Arc<Call>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
