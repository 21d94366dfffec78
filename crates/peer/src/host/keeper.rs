//! Keeps a chaincode connected without waiting for a call.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Inner;

/// The pause after the first failure and after a stream's end; it doubles with every further failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Launches the chaincode again whenever it has no stream, until the host shuts down. Tells the log when the server
/// is not there, once for each reason, and when it is there again.
pub(super) async fn keep(host: Weak<Inner>, package_id: String) {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    loop {
        let Some(inner) = host.upgrade() else { return };
        let stopping = inner.stopping.clone();
        let launched = inner.stream(&package_id).await;
        drop(inner);
        match launched {
            Ok(stream) => {
                if told.take().is_some() {
                    tracing::info!(package_id, "the chaincode server is there now");
                }
                pause = FIRST_PAUSE;
                // The stream is let go before the wait, which must not keep it alive.
                let ended = stream.end_token();
                drop(stream);
                ended.cancelled().await;
            }
            Err(_) if stopping.is_cancelled() => return,
            Err(error) => {
                let text = error.to_string();
                if told.as_ref() != Some(&text) {
                    tracing::warn!(package_id, %error,
                        "the chaincode cannot be reached; calls of it will fail until its server is there");
                    told = Some(text);
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Starts [`keep`] unless it runs already for this package.
pub(super) fn start(inner: &Arc<Inner>, package_id: &str) {
    if inner.stopping.is_cancelled() || !inner.kept_warm.lock().insert(package_id.to_owned()) {
        return;
    }
    inner.tasks.spawn(keep(Arc::downgrade(inner), package_id.to_owned()));
}
