//! Asks other peers, one after the other, until everything is found or everybody was asked.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::{Asker, Given, PrivateDataPeer, Wanted};

/// How long one peer may take to answer (Fabric's wait for a response).
const PATIENCE: Duration = Duration::from_secs(5);

/// How many sets are asked for at once.
pub(super) const BATCH: usize = 64;

/// Asks the peers of a channel for at most [`BATCH`] sets. `take` is shown what each has, and says whether it was what
/// was wanted; nobody else is asked for that then.
pub(super) async fn ask(
    channel: &str,
    asker: &Asker,
    mut wanted: Vec<Wanted>,
    mut take: impl FnMut(Given) -> bool + Send,
) {
    for peer in asker.peers.of(channel) {
        if wanted.is_empty() {
            return;
        }
        for given in ask_one(&peer, channel, asker, wanted.clone()).await {
            // What was not asked for is not looked at.
            if let Some(place) = wanted.iter().position(|wanted| wanted.of == given.of)
                && take(given)
            {
                wanted.swap_remove(place);
            }
        }
    }
}

async fn ask_one(
    peer: &Arc<dyn PrivateDataPeer>,
    channel: &str,
    asker: &Asker,
    wanted: Vec<Wanted>,
) -> Vec<Given> {
    match timeout(PATIENCE, peer.give(channel, &asker.identity, wanted)).await {
        Ok(Ok(given)) => given,
        Ok(Err(error)) => {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(channel, error, "another peer gives no private data");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(channel, patience = ?PATIENCE, "another peer does not answer");
            Vec::new()
        }
    }
}
