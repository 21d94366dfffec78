//! A chaincode server at the right place with the wrong certificate: it names another host.

use std::time::Duration;

use futures_util::StreamExt;
use selvedge_tls::{Connection, Identity, Limits, Listener, Refusal, ServerTls};
use tokio::io::AsyncReadExt;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::super::DemoError;
use crate::EdgeServer;
use crate::sample::Refused;

/// How long a connection that was let in may stay silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server is called where it is quoted.
pub(super) const NAME: &str = "wrong server";

/// The server. It serves nothing: it only watches how connections end.
pub(super) struct Misnamed {
    place: EdgeServer,
    listener: Listener,
    refusals: broadcast::Receiver<Refusal>,
}

impl Misnamed {
    pub(super) async fn start(mut place: EdgeServer) -> Result<Self, DemoError> {
        let authorities = std::fs::read(&place.client_authority_file)
            .map_err(DemoError::io("read", &place.client_authority_file))?;
        let identity = Identity::from_files(&place.certificate_file, &place.key_file)?;
        let tls = ServerTls::builder(identity).require_client_certificates(authorities).build()?;
        let listener = Listener::bind(&place.address, tls, Limits::default()).await?;
        let refusals = listener.refusals();
        place.address = listener.local_addr().to_string();
        place.connection.address.clone_from(&place.address);
        Ok(Self { place, listener, refusals })
    }

    /// Where it listens, and how peers are told to reach it.
    pub(super) fn place(&self) -> &EdgeServer {
        &self.place
    }

    /// How the next connection ends.
    pub(super) async fn next(&mut self) -> Option<Refused> {
        loop {
            tokio::select! {
                refusal = self.refusals.recv() => match refusal {
                    Ok(refusal) => return Some(Refused::from(&refusal)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
                connection = self.listener.next() => match connection {
                    Some(Ok(connection)) => return Some(watch(connection).await),
                    Some(Err(_)) => {}
                    None => return None,
                },
            }
        }
    }
}

/// Some stacks look at the server's name only after the handshake; then they leave.
async fn watch(mut connection: Connection) -> Refused {
    let remote = connection.peer().remote_addr.to_string();
    let mut bytes = [0; 1024];
    let mut count = 0;
    loop {
        match timeout(PATIENCE, connection.read(&mut bytes)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(more)) => count += more,
            Err(_) => {
                let message = "the client stays, though the certificate is not for the address it dialled";
                return refused(remote, "stayed", message);
            }
        }
    }
    let message = if count == 0 {
        "the client finished the handshake and left without a word"
    } else {
        "the client finished the handshake and left before its first request was answered"
    };
    refused(remote, "left-after-handshake", message)
}

fn refused(remote: String, reason: &str, message: &str) -> Refused {
    Refused { remote, reason: reason.to_owned(), message: message.to_owned() }
}
