use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Keeps back whoever would sync, until the hold is dropped. It is a failpoint like a
/// [`Fault`](super::Fault), but one that slows instead of breaking: a disk that takes as long as a test wants.
#[derive(Debug)]
pub struct SyncHold {
    gate: Arc<Gate>,
    held: watch::Receiver<usize>,
}

/// What every sync passes.
#[derive(Debug)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
    /// How many wait before it.
    held: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { is_closed: Mutex::default(), opened: Condvar::new(), held: watch::Sender::new(0) }
    }
}

impl Gate {
    pub(super) fn close(gate: &Arc<Self>) -> SyncHold {
        *gate.is_closed() = true;
        SyncHold { gate: Arc::clone(gate), held: gate.held.subscribe() }
    }

    /// Returns once the gate is open.
    pub(super) fn pass(&self) {
        let is_closed = self.is_closed();
        if *is_closed {
            self.held.send_modify(|held| *held += 1);
            drop(self.opened.wait_while(is_closed, |closed| *closed).unwrap_or_else(PoisonError::into_inner));
            self.held.send_modify(|held| *held -= 1);
        }
    }

    fn is_closed(&self) -> MutexGuard<'_, bool> {
        self.is_closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SyncHold {
    /// Returns once somebody is held.
    pub async fn reached(&mut self) {
        // The hold keeps the sender alive.
        let _ = self.held.wait_for(|held| *held > 0).await;
    }
}

impl Drop for SyncHold {
    fn drop(&mut self) {
        *self.gate.is_closed() = false;
        self.gate.opened.notify_all();
    }
}
