use std::time::SystemTime;

use selvedge_identity::SignedData;
use selvedge_ledger::StoreError;
use selvedge_ledger::deliver::{Expiry, Range, Seek, without_data};
use selvedge_ledger::log::PrivateWrites;
use selvedge_proto::common::{Block, Envelope, Status};
use selvedge_proto::protos::deliver_response::Type as Answer;
use selvedge_proto::protos::{BlockAndPrivateData, DeliverResponse};

use super::filtered::filtered;
use super::private::{Rules, readable};
use crate::channel::Channel;
use crate::endorser::Channels;
use crate::follower::{FollowError, Follower};
use crate::lasting::Answers;

/// In which form blocks are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Filtered,
    WithPrivateData,
}

/// Whoever reads on one stream.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) channels: Channels,
    pub(super) own_msp_id: String,
    pub(super) form: Form,
    /// The SHA-256 of the TLS client's certificate, if the listener asks for one.
    pub(super) certificate_hash: Option<[u8; 32]>,
    pub(super) answers: Answers<DeliverResponse>,
}

/// A seek that was granted.
struct Granted {
    follower: Follower,
    range: Range,
    expiry: Option<Expiry>,
}

impl Reader {
    /// Serves one seek that was received at the time `now`. Returns whether the reader may seek again, which it may
    /// after a success only.
    pub(super) async fn serve(&self, envelope: Envelope, now: SystemTime) -> bool {
        let status = match self.grant(&envelope, now) {
            Ok(granted) => match self.deliver(granted).await {
                Some(status) => status,
                // The reader has gone away.
                None => return false,
            },
            Err(status) => status,
        };
        let answer = DeliverResponse { r#type: Some(Answer::Status(status.into())) };
        self.answers.send(Ok(answer)).await.is_ok() && status == Status::Success
    }

    /// Ends the stream of a reader that sent something else than an envelope. There is no further seek.
    pub(super) async fn refuse(&self, status: tonic::Status) -> bool {
        // If the reader has gone away, that is the end as well.
        let _ = self.answers.send(Err(status)).await;
        false
    }

    /// Checks who seeks, and what, in Fabric's order.
    fn grant(&self, envelope: &Envelope, now: SystemTime) -> Result<Granted, Status> {
        let seek = Seek::read(envelope, now, self.certificate_hash.as_ref())?;
        let channel = self.channels.get(&seek.channel_id).ok_or(Status::NotFound)?;
        let info = seek.info()?;
        let expiry = seek.expiry();
        check_expiry(expiry, now)?;
        let follower = Follower::new(channel, self.form.resource(), seek.signed).map_err(|error| {
            tracing::debug!(%error, "a reader of blocks is refused");
            Status::Forbidden
        })?;
        let range = Range::of(&info, follower.height())?;
        Ok(Granted { follower, range, expiry })
    }

    /// Sends the blocks. `None` when the reader has gone away.
    async fn deliver(&self, granted: Granted) -> Option<Status> {
        let Granted { mut follower, range, expiry } = granted;
        let mut number = range.start;
        loop {
            // A block is read only when there is a place for it.
            let place = self.answers.reserve().await.ok()?;
            if number >= follower.height() && !range.wait {
                return Some(Status::NotFound);
            }
            let (form, signed) = (self.form, follower.signed().clone());
            let own_msp_id = self.own_msp_id.clone();
            let answer = follower.read(number, move |channel| {
                form.answer(channel, number, range.headers_only, &signed, &own_msp_id)
            });
            let answer = match answer.await {
                Ok(answer) => answer,
                Err(error) => return Some(status_of(&error)),
            };
            if let Err(status) = check_expiry(expiry, SystemTime::now()) {
                return Some(status);
            }
            place.send(Ok(DeliverResponse { r#type: Some(answer) }));
            if number == range.stop {
                return Some(Status::Success);
            }
            number = number.saturating_add(1);
        }
    }
}

impl Form {
    /// What guards the form.
    fn resource(self) -> &'static str {
        match self {
            Self::Whole | Self::WithPrivateData => "event/Block",
            Self::Filtered => "event/FilteredBlock",
        }
    }

    /// A block in this form; `None` if the ledger lacks it.
    pub(super) fn answer(
        self,
        channel: &Channel,
        number: u64,
        headers_only: bool,
        reader: &SignedData,
        own_msp_id: &str,
    ) -> Result<Option<Answer>, StoreError> {
        let reduced = |block: Block| if headers_only { without_data(block) } else { block };
        let ledger = channel.ledger();
        if self != Self::WithPrivateData {
            let block = ledger.block(number)?.map(reduced);
            return Ok(block.map(|block| match self {
                Self::Filtered => Answer::FilteredBlock(filtered(&block)),
                Self::Whole | Self::WithPrivateData => Answer::Block(block),
            }));
        }
        let Some(record) = ledger.record(number)? else { return Ok(None) };
        let private_data_map = private_data(channel, record.private, reader, own_msp_id);
        let block = reduced(record.block);
        Ok(Some(Answer::BlockAndPrivateData(BlockAndPrivateData { block: Some(block), private_data_map })))
    }
}

fn private_data(
    channel: &Channel,
    private: PrivateWrites,
    reader: &SignedData,
    own_msp_id: &str,
) -> PrivateWrites {
    let (snapshot, config) = (channel.ledger().snapshot(), channel.config());
    let rules = Rules { snapshot: &*snapshot, config: &config, own_msp_id, reader };
    readable(private, &rules)
}

fn check_expiry(expiry: Option<Expiry>, now: SystemTime) -> Result<(), Status> {
    match expiry {
        Some(expiry) if expiry.is_over(now) => Err(Status::Forbidden),
        Some(_) | None => Ok(()),
    }
}

fn status_of(error: &FollowError) -> Status {
    match error {
        FollowError::Ended => Status::ServiceUnavailable,
        FollowError::Access(_) => Status::Forbidden,
        FollowError::Ledger(_) | FollowError::Lost(_) => {
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "a block cannot be delivered");
            Status::InternalServerError
        }
    }
}
