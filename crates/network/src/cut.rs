//! Blocks that are closed on demand, as under [`Cutting::Manual`].

use std::path::Path;
use std::pin::pin;

use selvedge_orderer::Cutting;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::control::{self, Question};
use crate::{Holder, Network, NetworkError};

/// What closing a block of a channel has made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The channel.
    pub channel: String,
    /// The newest block; none if no transaction waited.
    pub block: Option<u64>,
    /// How many transactions have come into blocks.
    pub transactions: usize,
}

/// Has the process that runs the network of a folder close a block of each of these channels, or of all if none is named;
/// `None` if no process does.
///
/// # Errors
/// When the folder's files cannot be used, the process does not answer, or it has no such channel.
pub async fn cut(folder: &Path, channels: &[String]) -> Result<Option<Vec<Closed>>, NetworkError> {
    let Some(process) = Holder::of(folder)? else { return Ok(None) };
    let question = Question::Cut { channels: channels.to_vec() };
    control::ask(folder, &process, &question).await.map(Some)
}

impl Network {
    /// Closes a block of each channel.
    ///
    /// # Errors
    /// When a channel has stopped.
    pub async fn cut(&self) -> Result<Vec<Closed>, NetworkError> {
        let mut closed = Vec::new();
        for channel in self.channels() {
            closed.push(Closed::of(channel, self.orderer().cut(channel).await?));
        }
        Ok(closed)
    }

    /// How many transactions of a channel wait for their block to be closed.
    pub fn waiting(&self, channel: &str) -> Option<watch::Receiver<usize>> {
        self.orderer().pending(channel)
    }

    /// Does some work on a channel, and closes the blocks that it waits for if nobody else would.
    pub(crate) async fn cut_while<T>(&self, channel: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let waiting = self.waiting(channel).filter(|_| self.cutting() == Cutting::Manual);
        let Some(mut waiting) = waiting else { return work.await };
        loop {
            tokio::select! {
                done = &mut work => return done,
                // What it has seen is let go at once: kept, it would hold up the chain that tells the next number.
                found = async { waiting.wait_for(|waiting| *waiting > 0).await.is_ok() } => {
                    // A chain that has stopped fails the work, which says so.
                    if !found || self.orderer().cut(channel).await.is_err() {
                        return work.await;
                    }
                }
            }
        }
    }
}
