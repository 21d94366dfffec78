//! What is shown while something takes long: on a terminal a line that moves; elsewhere nothing, unless it takes very long.

use std::pin::pin;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

const TICK: Duration = Duration::from_millis(100);

/// After this long a person wants to know what is being waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// A line that says what is being done; it goes when this is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    pub(crate) fn start(text: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message(text.to_owned());
        // It shows itself with the first tick, so what is quick leaves no trace.
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    pub(crate) fn set(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Waits for the block of a transaction; `what` says which, as in "the approval of basic on mychannel".
pub(crate) async fn while_committing<T>(what: &str, work: impl Future<Output = T>) -> T {
    let progress = Progress::start(&format!("waiting for {what}"));
    let mut work = pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => {}
    }
    progress.0.suspend(|| {
        output::tell(&format!(
            "still waiting for {what}: its block is not closed yet. On a network with --cutting manual, selvedge cut \
             closes it."
        ));
    });
    work.await
}
