//! Polls a contract, hands out replies before and sends the next request after.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tracing::Span;

use super::{Calls, Command};
use crate::LedgerError;
use crate::transaction::TRACE_TARGET;

impl Calls {
    /// Carries out a contract's call, and then sends what it has begun and collected: requests whose callers have gone
    /// are answered first, as they would be if replies came faster.
    ///
    /// The second result says why writes were refused that the contract believes made.
    pub(crate) async fn run<T>(&self, contract: impl Future<Output = T>) -> (T, Option<LedgerError>) {
        let wake = &self.shared.wake;
        let waker = Waker::from(Arc::clone(wake));
        let mut contract = pin!(contract);
        let output = poll_fn(|cx| {
            wake.begin(cx.waker());
            self.hand_out_reply();
            // Whoever that has woken is polled now.
            wake.woken.store(false, Ordering::SeqCst);
            let polled = contract.as_mut().poll(&mut Context::from_waker(&waker));
            let woken = wake.end();
            if polled.is_pending() {
                self.send_next();
                if woken || self.state().reply.is_some() {
                    cx.waker().wake_by_ref();
                }
            }
            polled
        })
        .await;
        self.state().queue.send_writes(None);
        self.end();
        poll_fn(|cx| {
            wake.outer.register(cx.waker());
            self.hand_out_reply();
            self.send_next();
            if self.state().queue.is_done() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        let refused = self.state().queue.refused().cloned();
        (output, refused.map(Into::into))
    }

    fn hand_out_reply(&self) {
        let mut state = self.state();
        if let Some(reply) = state.reply.take() {
            state.open = Span::none();
            state.queue.answer(reply);
        }
    }

    fn send_next(&self) {
        let Some((message_type, payload)) = self.state().queue.next() else { return };
        let name = message_type.as_str_name();
        let span =
            tracing::debug_span!(target: TRACE_TARGET, "request", otel.name = name, otel.kind = "client");
        self.state().open = span;
        let transaction = Arc::clone(&self.shared.transaction);
        // There is room for one request of each transaction; without a stream nobody waits for the answer.
        drop(self.shared.commands.try_send(Command::Request { transaction, message_type, payload }));
    }
}

/// The contract's waker. What wakes the contract while a reply is handed out needs no further poll: the poll comes right
/// behind.
#[derive(Default)]
pub(super) struct ContractWake {
    woken: AtomicBool,
    /// Whether a reply is being handed out or the contract polled.
    polled: AtomicBool,
    outer: AtomicWaker,
}

impl ContractWake {
    /// Wakes the task unless its poll, which looks at everything at its end, is under way.
    pub(super) fn unless_polled(&self) {
        if !self.polled.load(Ordering::SeqCst) {
            self.outer.wake();
        }
    }

    fn begin(&self, outer: &Waker) {
        self.outer.register(outer);
        self.polled.store(true, Ordering::SeqCst);
    }

    /// Ends the poll. Whether the contract has been woken since its own poll began.
    fn end(&self) -> bool {
        self.polled.store(false, Ordering::SeqCst);
        self.woken.swap(false, Ordering::SeqCst)
    }
}

impl Wake for ContractWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Either this sees that the poll is over, or the poll's end sees the mark.
        self.woken.store(true, Ordering::SeqCst);
        self.unless_polled();
    }
}
