//! A chaincode that is served within its process, to peers that share it.

use std::sync::Arc;

use futures_util::{FutureExt, Stream, StreamExt};
use selvedge_proto::protos::ChaincodeMessage;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::server::{OUTGOING, Server, ServerError};
use crate::stream::{self, Settings};

/// A chaincode without a port: a peer of the same process opens its streams. Dropping it stops the chaincode as
/// [`BoundServer::serve`](crate::BoundServer::serve) stops one that is told to.
///
/// What crosses a stream are the messages that a connection would carry, so that the chaincode behaves as it does behind
/// a port; only TLS, HTTP/2 and the encoding are left out. `selvedge_network::testing` stands on it.
pub struct InProcess {
    settings: Arc<Settings>,
    stopping: CancellationToken,
}

/// The peer's end of a stream.
pub struct PeerEnd<S> {
    /// What the chaincode sends; its first message is REGISTER.
    pub incoming: S,
    /// Takes what the peer sends.
    pub outgoing: mpsc::Sender<ChaincodeMessage>,
}

impl Server {
    /// Serves within this process instead of opening a port. The security and the limits of connections do not matter.
    ///
    /// # Errors
    /// When the package id is empty or no thread can be started.
    pub fn in_process(self) -> Result<InProcess, ServerError> {
        let (_, settings) = self.into_parts()?;
        let stopping = settings.stopping.clone();
        Ok(InProcess { settings: Arc::new(settings), stopping })
    }
}

impl InProcess {
    /// Opens a stream for a peer of the organisation whose MSP has this name; the chaincode registers on it. It must be
    /// called within a Tokio runtime.
    pub fn connect(
        &self,
        peer_msp_id: &str,
    ) -> PeerEnd<impl Stream<Item = Result<ChaincodeMessage, Status>> + Send + use<>> {
        let (to_peer, from_chaincode) = mpsc::channel(OUTGOING);
        let (to_chaincode, from_peer) = mpsc::channel(OUTGOING);
        let settings = Settings { peer_msp_id: Some(peer_msp_id.into()), ..Settings::clone(&self.settings) };
        let settings = Arc::new(settings);
        let incoming = ReceiverStream::new(from_peer).map(Ok);
        tokio::spawn(async move {
            if let Err(error) = stream::serve(incoming, to_peer, settings).boxed().await {
                tracing::warn!(%error, "the stream of a peer in this process has ended");
            }
        });
        PeerEnd { incoming: ReceiverStream::new(from_chaincode), outgoing: to_chaincode }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}
