//! What goes on while a network runs: what waits for a block, what its sample tells, and what its user asks for.

use std::io::IsTerminal;
use std::pin::Pin;

use selvedge_network::sample::{Sample, ServerEvent};
use selvedge_network::{Cutting, Network};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};
use tokio::task::JoinSet;

use crate::cut;
use crate::errors;
use crate::output::{self, safe};

/// A network with its sample, if it has one.
pub(super) struct Running {
    pub(super) network: Network,
    pub(super) sample: Option<Sample>,
}

impl Running {
    /// Tells what happens, until it is asked to stop.
    pub(super) async fn until(&mut self, mut stop: Pin<&mut (dyn Future<Output = ()> + Send)>) {
        let by_hand = self.network.cutting() == Cutting::Manual;
        let mut keys = (by_hand && std::io::stdin().is_terminal()).then(lines);
        // They end when this does.
        let mut watching = JoinSet::new();
        if by_hand {
            watch(&self.network, keys.is_some(), &mut watching);
        }
        loop {
            tokio::select! {
                () = &mut stop => return,
                pressed = enter(&mut keys) => if pressed { self.cut().await } else { keys = None },
                event = event(&mut self.sample) => self.tell(event).await,
            }
        }
    }

    /// Ends the sample and the network.
    pub(super) async fn end(self) {
        if let Some(sample) = self.sample
            && let Err(error) = sample.stop().await
        {
            output::failure(&errors::sample(&error));
        }
        self.network.shutdown().await;
    }

    async fn cut(&self) {
        match self.network.cut().await {
            Ok(closed) => closed.iter().for_each(|closed| output::tell(&cut::told(closed))),
            Err(error) => output::failure(&errors::network(&error)),
        }
    }

    async fn tell(&mut self, event: Option<ServerEvent>) {
        match event {
            Some(ServerEvent::Refused(refused)) => output::tell(&format!(
                "the sample refused a connection from {}: {}",
                safe(&refused.remote),
                safe(&refused.message)
            )),
            Some(ServerEvent::RefusalsMissed { count }) => {
                output::tell(&format!("the sample refused {count} more connections"));
            }
            Some(ServerEvent::Listening { .. } | ServerEvent::Stopped) => {}
            None => {
                let ended = match self.sample.take() {
                    Some(sample) => sample.stop().await,
                    None => Ok(()),
                };
                output::tell(
                    "the sample's process has ended: its transactions fail until selvedge up runs again",
                );
                if let Err(error) = ended {
                    output::failure(&errors::sample(&error));
                }
            }
        }
    }
}

fn lines() -> Lines<BufReader<Stdin>> {
    BufReader::new(tokio::io::stdin()).lines()
}

/// Waits for Enter; `false` says that there will be none any more.
async fn enter(keys: &mut Option<Lines<BufReader<Stdin>>>) -> bool {
    match keys {
        Some(keys) => matches!(keys.next_line().await, Ok(Some(_))),
        None => std::future::pending().await,
    }
}

async fn event(sample: &mut Option<Sample>) -> Option<ServerEvent> {
    match sample {
        Some(sample) => sample.event().await,
        None => std::future::pending().await,
    }
}

/// Tells how many transactions wait for a block, whenever that changes, and how it is closed.
fn watch(network: &Network, has_keys: bool, watching: &mut JoinSet<()>) {
    let how = if has_keys { "Enter or selvedge cut closes" } else { "selvedge cut closes" };
    for channel in network.channels() {
        let Some(mut waiting) = network.waiting(channel) else { continue };
        let channel = channel.clone();
        watching.spawn(async move {
            while waiting.changed().await.is_ok() {
                let (count, wait) = match *waiting.borrow_and_update() {
                    0 => continue,
                    1 => ("1 transaction".to_owned(), "waits"),
                    count => (format!("{count} transactions"), "wait"),
                };
                output::tell(&format!("{channel}: {count} {wait} for a block; {how} it"));
            }
        });
    }
}
