//! One peer's stream, from registration to its end.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_session::Ended;
use selvedge_session::chaincode::{Created, Handshake, Limits, Ready};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::Chaincode;
use crate::driver::Driver;
use crate::error::StreamError;
use crate::meter::{Level, Meter};
use crate::outbox::Outbox;
use crate::workers::Workers;

/// What a stream needs of the server it belongs to.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) chaincode: Arc<dyn Chaincode>,
    pub(crate) package_id: String,
    pub(crate) limits: Limits,
    /// Whether the batch operations are used that the peer offers.
    pub(crate) batching: bool,
    /// Whether contracts fail that may make peers disagree.
    pub(crate) strict: bool,
    /// The MSP of the peers that are served, if the server knows.
    pub(crate) peer_msp_id: Option<Arc<str>>,
    pub(crate) workers: Arc<Workers>,
    /// How long a peer may take to accept the registration.
    pub(crate) registration: Duration,
    /// Cancelled when the server is to stop.
    pub(crate) stopping: CancellationToken,
    /// How long transactions that run may go on once the server is to stop.
    pub(crate) drain: Duration,
    pub(crate) meter: Meter,
}

/// Serves one stream to its end. `outgoing` is what the peer receives.
///
/// When this returns or is dropped, every contract of the stream is cancelled.
pub(crate) async fn serve<S>(
    incoming: S,
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
    settings: Arc<Settings>,
) -> Result<(), StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    let _open = settings.meter.hold(Level::Streams);
    let last_word = outgoing.clone();
    let incoming = incoming.inspect(|message| {
        if let Ok(message) = message {
            settings.meter.received(message.payload.len());
        }
    });
    let out_of_time = async {
        settings.stopping.cancelled().await;
        tokio::time::sleep(settings.drain).await;
    };
    let served = tokio::select! {
        served = converse(incoming, outgoing, &settings) => served,
        () = out_of_time => Ok(()),
    };
    if let Err(error) = &served {
        settings.meter.stream_failed(error.kind());
        // The status that Go's server gives; a peer that does not read goes without it.
        let status = match error {
            StreamError::Protocol(_) | StreamError::NotRegistered { .. } => {
                Status::unknown(error.to_string())
            }
            StreamError::Transport(status) => status.clone(),
        };
        drop(last_word.try_send(Err(status)));
    }
    served
}

async fn converse<S>(
    incoming: S,
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
    settings: &Arc<Settings>,
) -> Result<(), StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    let mut incoming = pin!(incoming);
    let (created, register) = Created::new(&settings.package_id, settings.limits);
    // Each transaction that runs may have one message waiting.
    let mut outbox = Outbox::new(outgoing, settings.limits.transactions.max(1), settings.meter.clone());
    outbox.push(register);
    let registered = tokio::select! {
        registered = handshake(created, incoming.as_mut(), &mut outbox) => registered?,
        () = settings.stopping.cancelled() => None,
        () = tokio::time::sleep(settings.registration) => {
            let package_id = settings.package_id.clone();
            return Err(StreamError::NotRegistered { package_id, after: settings.registration });
        }
    };
    match registered {
        Some(Registered::Ready(session)) => {
            let _registered = settings.meter.hold(Level::RegisteredPeers);
            Driver::new(session, outbox, Arc::clone(settings)).run(incoming).await
        }
        Some(Registered::Broken(ended)) => Err(outbox.end(ended).await),
        None => Ok(()),
    }
}

/// What became of a registration.
enum Registered {
    Ready(Ready),
    Broken(Ended),
}

/// Registers with the peer. `None` when the stream ends first.
async fn handshake<S>(
    mut created: Created,
    mut incoming: Pin<&mut S>,
    outbox: &mut Outbox,
) -> Result<Option<Registered>, StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    let mut established = loop {
        let Some(message) = next(&mut incoming, outbox).await? else { return Ok(None) };
        match created.receive(message) {
            Ok(Handshake::Waiting(same, echo)) => {
                created = same;
                outbox.push(*echo);
            }
            Ok(Handshake::Done(established)) => break established,
            Err(ended) => return Ok(Some(Registered::Broken(ended))),
        }
    };
    loop {
        let Some(message) = next(&mut incoming, outbox).await? else { return Ok(None) };
        match established.receive(message) {
            Ok(Handshake::Waiting(same, echo)) => {
                established = same;
                outbox.push(*echo);
            }
            Ok(Handshake::Done(ready)) => return Ok(Some(Registered::Ready(ready))),
            Err(ended) => return Ok(Some(Registered::Broken(ended))),
        }
    }
}

/// Sends what waits and takes the next message. `None` when the stream ends.
async fn next<S>(
    incoming: &mut Pin<&mut S>,
    outbox: &mut Outbox,
) -> Result<Option<ChaincodeMessage>, StreamError>
where
    S: Stream<Item = Result<ChaincodeMessage, Status>> + Send,
{
    if !outbox.flush().await {
        return Ok(None);
    }
    Ok(incoming.next().await.transpose()?)
}
