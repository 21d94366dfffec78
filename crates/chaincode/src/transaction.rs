//! One call of a contract, from its arguments to its outcome.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use futures_util::FutureExt;
use selvedge_session::chaincode::Start;
use selvedge_session::{Invocation, TxKey};
use tracing::{Instrument, Span};

use crate::calls::{Calls, Outcome};
use crate::checks::Checks;
use crate::message::{self, MESSAGE_BYTES};
use crate::meter::Level;
use crate::proposal::ProposalView;
use crate::stream::Settings;
use crate::{Chaincode, Context, LedgerError, Response};

/// What the client hears of a panic. Its own text may hold secrets, so it goes to standard error only, where Rust puts
/// it.
const PANICKED: &str = "the chaincode panicked; its log says where";

/// The spans of transactions and their requests, by which a filter chooses them. Their level is `debug`.
pub const TRACE_TARGET: &str = "selvedge::trace";

/// A longer first argument is hardly the name of a function.
const LONGEST_NAME: usize = 128;

/// Carries out a transaction and tells the driver how it ended, also when the contract panics in a place where
/// panics cannot be caught.
pub(crate) fn carry_out(
    settings: Arc<Settings>,
    start: Start,
    calls: Calls,
) -> impl Future<Output = ()> + Send + 'static {
    let begun = Instant::now();
    let span = span(&settings, &start);
    let running = settings.meter.hold(Level::Transactions);
    let waiting = settings.meter.hold(Level::WaitingTransactions);
    async move {
        // A thread has taken it up.
        drop(waiting);
        let report = Report { calls: Some(calls.clone()) };
        let meter = settings.meter.clone();
        let outcome = outcome(settings, start, calls).instrument(span.clone()).await;
        let word = word(&outcome);
        span.record("outcome", word);
        if word != "success" {
            span.record("otel.status_code", "ERROR");
        }
        // Whoever has the peer's answer finds the transaction measured and traced.
        drop(span);
        meter.finished(word, begun.elapsed());
        drop(running);
        report.send(outcome);
    }
}

/// The transaction in a trace. Nobody pays for it who has none.
fn span(settings: &Settings, start: &Start) -> Span {
    let span = tracing::debug_span!(
        target: TRACE_TARGET,
        "transaction",
        otel.name = tracing::field::Empty,
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        fabric.channel = %start.transaction.channel_id,
        fabric.tx_id = %start.transaction.tx_id,
        fabric.package_id = %settings.package_id,
        outcome = tracing::field::Empty,
    );
    if !span.is_disabled() {
        let function = start.input.args.first().map(|name| String::from_utf8_lossy(name).into_owned());
        let named = function.as_deref().filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
        span.record("otel.name", named.unwrap_or("transaction"));
    }
    span
}

/// Carries it out.
async fn outcome(settings: Arc<Settings>, start: Start, calls: Calls) -> Outcome {
    let Start { invocation, input, proposal, .. } = start;
    match ProposalView::new(proposal, &calls.transaction().tx_id) {
        Ok(proposal) => {
            let checks = Checks::new(settings.strict);
            let context = Context::new(input, proposal, calls.clone(), checks, settings.peer_msp_id.clone());
            let called = call(&*settings.chaincode, invocation, &context);
            let (outcome, refused) = calls.run(called).await;
            within_limit(with_writes(outcome, refused), calls.transaction())
        }
        Err(error) => Outcome::Failed(error.to_string(), None),
    }
}

/// How a transaction ended, for metrics and traces.
fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Completed(response, _) if response.is_error() => "error",
        Outcome::Completed(..) => "success",
        Outcome::Failed(..) => "failed",
    }
}

async fn call(chaincode: &dyn Chaincode, invocation: Invocation, context: &Context) -> Outcome {
    let called = async {
        match invocation {
            Invocation::Init => chaincode.init(context).await,
            Invocation::Transaction => chaincode.invoke(context).await,
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
            tracing::error!(transaction = %context.key(), "the chaincode panicked");
            Outcome::Failed(PANICKED.to_owned(), None)
        }
    }
}

/// A success whose writes were refused is none.
fn with_writes(outcome: Outcome, refused: Option<LedgerError>) -> Outcome {
    match (outcome, refused) {
        (Outcome::Completed(response, _), Some(error)) if !response.is_error() => {
            Outcome::Failed(error.to_string(), None)
        }
        (outcome, _) => outcome,
    }
}

/// Puts an error in the place of a result that no peer would take.
fn within_limit(outcome: Outcome, transaction: &TxKey) -> Outcome {
    let (payload, event) = match &outcome {
        Outcome::Completed(response, event) => (response.message.len() + response.payload.len(), event),
        Outcome::Failed(text, event) => (text.len(), event),
    };
    let event = event.as_ref().map_or(0, |event| event.event_name.len() + event.payload.len());
    let bytes = message::size(transaction, payload.saturating_add(event));
    if bytes <= MESSAGE_BYTES {
        return outcome;
    }
    tracing::error!(%transaction, bytes, "the chaincode's response is too large");
    let text = format!(
        "the response and the event make a message of {bytes} bytes; a peer takes at most {MESSAGE_BYTES}"
    );
    Outcome::Failed(text, None)
}

/// Tells the driver that the contract is done, at the latest when it is dropped.
struct Report {
    calls: Option<Calls>,
}

impl Report {
    fn send(mut self, outcome: Outcome) {
        if let Some(calls) = self.calls.take() {
            calls.finish(outcome);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        // Either a panic that could not be caught, or the stream has ended and nobody listens.
        if let Some(calls) = self.calls.take() {
            calls.finish(Outcome::Failed(PANICKED.to_owned(), None));
        }
    }
}
