//! The connections that live, so that they can be judged again.
//!
//! A connection is judged when it is made. It is judged again when the listener's security is replaced, and when
//! something that its judgement rests on expires: its certificate, an authority, a revocation list. One that would not
//! be let in any more is closed at once.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::UnixTime;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, oneshot};
use tokio::time::sleep;

use crate::certificate::Timestamp;
use crate::connection::PeerInfo;
use crate::refusal::RefusalReason;
use crate::server::ServerSecurity;

/// A clock that is set back or forth is noticed within this time.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Living {
    table: Mutex<Table>,
    /// Told when the security was replaced.
    replaced: Notify,
    /// Told when a connection came whose judgement may end before the others'.
    came: Notify,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    entries: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    peer: PeerInfo,
    /// The last moment for which its judgement holds.
    until: Option<Timestamp>,
    cut: oneshot::Sender<()>,
}

/// A connection's place among the living; dropping it gives it up.
#[derive(Debug)]
pub(crate) struct Life {
    living: Arc<Living>,
    id: u64,
    cut: Option<oneshot::Receiver<()>>,
}

impl Living {
    pub(crate) fn enter(self: &Arc<Self>, peer: PeerInfo, until: Option<Timestamp>) -> Life {
        let (cut, receiver) = oneshot::channel();
        let id = self.with(|table| {
            table.next += 1;
            table.entries.insert(table.next, Entry { peer, until, cut });
            table.next
        });
        self.came.notify_one();
        Life { living: Arc::clone(self), id, cut: Some(receiver) }
    }

    /// To be called once another security counts.
    pub(crate) fn replaced(&self) {
        self.replaced.notify_one();
    }

    /// Judges connections again whenever there is reason to, and reports those that it closes. Never returns.
    pub(crate) async fn watch_over(
        &self,
        current: impl Fn() -> Arc<ServerSecurity>,
        report: impl Fn(&PeerInfo, RefusalReason),
    ) {
        loop {
            let everybody = tokio::select! {
                () = self.replaced.notified() => true,
                () = self.came.notified() => false,
                () = sleep(self.time_left()) => false,
            };
            let moment = Timestamp::from_unix(UnixTime::now());
            let is_due = |until: Option<Timestamp>| everybody || until.is_some_and(|until| until < moment);
            let due = self.with(|table| {
                let entries = table.entries.iter().filter(|(_, entry)| is_due(entry.until));
                entries.map(|(id, entry)| (*id, entry.peer.clone())).collect::<Vec<_>>()
            });
            let security = current();
            for (id, peer) in due {
                match security.judge(&peer, UnixTime::now()) {
                    Ok(until) => self.with(|table| {
                        if let Some(entry) = table.entries.get_mut(&id) {
                            entry.until = until;
                        }
                    }),
                    Err(reason) => {
                        if let Some(entry) = self.with(|table| table.entries.remove(&id)) {
                            report(&peer, reason);
                            // It may have ended meanwhile.
                            let _ = entry.cut.send(());
                        }
                    }
                }
                // Each judgement verifies signatures; others want to go on in between.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Until the first judgement ends.
    fn time_left(&self) -> Duration {
        let first = self.with(|table| table.entries.values().filter_map(|entry| entry.until).min());
        let Some(Timestamp(until)) = first else { return LONGEST_SLEEP };
        // The last moment is a whole second that still counts.
        let end = Duration::from_secs(u64::try_from(until).unwrap_or(0).saturating_add(1));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        end.saturating_sub(now).clamp(Duration::from_millis(10), LONGEST_SLEEP)
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Life {
    /// Whether the connection is to be closed. Wakes the task once it is.
    pub(crate) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(cut) = &mut self.cut else { return true };
        match Pin::new(cut).poll(cx) {
            Poll::Pending => false,
            Poll::Ready(_) => {
                self.cut = None;
                true
            }
        }
    }

    /// The same, for who writes: one that does not read must not hold up the end of the connection. It wakes nobody.
    pub(crate) fn is_over_by_now(&mut self) -> bool {
        let waits = |cut: &mut oneshot::Receiver<()>| matches!(cut.try_recv(), Err(TryRecvError::Empty));
        if !self.cut.as_mut().is_some_and(waits) {
            self.cut = None;
        }
        self.cut.is_none()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.living.with(|table| table.entries.remove(&self.id));
    }
}
