//! Being asked to stop.

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

use crate::errors;
use crate::failure::Failure;

/// Completes when the process is asked to stop: Ctrl-C, SIGTERM, or the terminal going away.
///
/// The signals are caught from the call on, not only from the first poll.
pub(crate) fn stop() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    let catch =
        |kind| signal(kind).map_err(|error| errors::machine("the command cannot listen for signals", &error));
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut terminate = catch(SignalKind::terminate())?;
    let mut hangup = catch(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Completes when standard input is closed.
pub(crate) async fn stdin_closed() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 1024];
    while matches!(stdin.read(&mut ignored).await, Ok(count) if count > 0) {}
}
