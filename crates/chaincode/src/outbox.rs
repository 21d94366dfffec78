//! Messages on their way to the peer.

use std::collections::VecDeque;
use std::time::Duration;

use selvedge_proto::protos::ChaincodeMessage;
use selvedge_session::Ended;
use tokio::sync::mpsc;
use tonic::Status;

use crate::error::StreamError;
use crate::message::MESSAGE_BYTES;
use crate::meter::{Held, Level, Meter};

/// How long the last message to a peer that has broken the protocol may take.
const PARTING: Duration = Duration::from_secs(5);

/// Keeps messages in order until the connection takes them.
///
/// Nothing here refuses a message, since the transactions that run may each send one more. What bounds it is that
/// the stream is not read while [`Outbox::has_room`] says no.
pub(crate) struct Outbox {
    outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
    waiting: Waiting,
    room: usize,
}

/// The messages that wait, in order.
struct Waiting {
    messages: VecDeque<(ChaincodeMessage, Held)>,
    bytes: usize,
    meter: Meter,
}

impl Waiting {
    fn take(&mut self) -> Option<ChaincodeMessage> {
        let (message, _) = self.messages.pop_front()?;
        self.bytes -= message.payload.len();
        self.meter.sent(message.payload.len());
        Some(message)
    }
}

impl Outbox {
    /// `room` is how many messages may wait before the peer is read no further.
    pub(crate) fn new(
        outgoing: mpsc::Sender<Result<ChaincodeMessage, Status>>,
        room: usize,
        meter: Meter,
    ) -> Self {
        Self { outgoing, waiting: Waiting { messages: VecDeque::new(), bytes: 0, meter }, room }
    }

    pub(crate) fn push(&mut self, message: impl Into<Option<ChaincodeMessage>>) {
        if let Some(message) = message.into() {
            self.waiting.bytes += message.payload.len();
            let held = self.waiting.meter.hold(Level::OutgoingMessages);
            self.waiting.messages.push_back((message, held));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.messages.is_empty()
    }

    pub(crate) fn has_room(&self) -> bool {
        self.waiting.messages.len() < self.room && self.waiting.bytes < MESSAGE_BYTES
    }

    /// Hands over what the connection takes at once.
    pub(crate) fn send_ready(&mut self) {
        while !self.is_empty()
            && let Ok(permit) = self.outgoing.try_reserve()
        {
            if let Some(message) = self.waiting.take() {
                permit.send(Ok(message));
            }
        }
    }

    /// Hands over one message as soon as the connection takes it. Returns whether the connection is still there;
    /// dropping the future loses nothing.
    pub(crate) async fn send_one(&mut self) -> bool {
        let Ok(permit) = self.outgoing.reserve().await else { return false };
        if let Some(message) = self.waiting.take() {
            permit.send(Ok(message));
        }
        true
    }

    /// Hands everything over. Returns whether the connection is still there.
    pub(crate) async fn flush(&mut self) -> bool {
        while !self.is_empty() {
            if !self.send_one().await {
                return false;
            }
        }
        true
    }

    /// Sends the last message of a stream that the peer has broken.
    pub(crate) async fn end(&mut self, ended: Ended) -> StreamError {
        self.push(ended.send.map(|message| *message));
        // A peer that does not read goes without it.
        drop(tokio::time::timeout(PARTING, self.flush()).await);
        ended.violation.into()
    }
}
