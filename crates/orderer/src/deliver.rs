//! Deliver: a reader seeks a range of blocks and receives them, in order, as they exist or come to exist.

use std::time::SystemTime;

use bytes::Bytes;
use selvedge_ledger::deliver::{Expiry, Range, Seek, without_data};
use selvedge_proto::common::{Envelope, Status};
use selvedge_proto::orderer::DeliverResponse;
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::seek_info::SeekErrorResponse;
use selvedge_tls::Fingerprint;
use tokio::sync::mpsc;

use crate::Orderer;
use crate::admission;
use crate::source::ChainSource;

/// Whoever reads on one stream.
#[derive(Debug)]
pub(crate) struct Reader {
    /// The certificate of the TLS client, if the listener asks for one.
    pub(crate) certificate: Option<Bytes>,
    /// Where the answers go.
    pub(crate) answers: mpsc::Sender<Result<DeliverResponse, tonic::Status>>,
}

/// A seek that was granted.
#[derive(Debug)]
struct Granted {
    source: ChainSource,
    range: Range,
    /// The end of the certificate of whoever seeks.
    expiry: Option<Expiry>,
}

impl Reader {
    /// Serves one seek. Returns whether the reader may seek again, which it may after a success only.
    pub(crate) async fn serve(&self, orderer: &Orderer, envelope: Envelope) -> bool {
        let status = match self.seek(orderer, &envelope) {
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

    /// Checks who seeks, and what, in Fabric's order.
    fn seek(&self, orderer: &Orderer, envelope: &Envelope) -> Result<Granted, Status> {
        let hash = self.certificate.as_ref().map(|certificate| Fingerprint::of(certificate).0);
        let seek = Seek::read(envelope, SystemTime::now(), hash.as_ref())?;
        let channel = orderer.channel(&seek.channel_id).ok_or(Status::NotFound)?;
        let info = seek.info()?;
        let source = channel.source();
        if source.has_ended() && info.error_response() == SeekErrorResponse::Strict {
            return Err(Status::ServiceUnavailable);
        }
        let expiry = seek.expiry();
        check_expiry(expiry)?;
        let config = channel.config();
        let policy = match admission::is_in_maintenance(&config) {
            true => "/Channel/Orderer/Readers",
            false => "/Channel/Readers",
        };
        admission::authorize(&config, policy, seek.signed).map_err(|refusal| refusal.status)?;
        let range = Range::of(&info, source.height())?;
        Ok(Granted { source, range, expiry })
    }

    /// Sends the blocks. `None` when the reader has gone away.
    async fn deliver(&self, granted: Granted) -> Option<Status> {
        let Granted { mut source, range, expiry } = granted;
        let mut number = range.start;
        loop {
            if number >= source.height() {
                if !range.wait {
                    return Some(Status::NotFound);
                }
                let exists = tokio::select! {
                    exists = source.wait_for(number) => exists,
                    () = self.answers.closed() => return None,
                };
                if !exists {
                    return Some(Status::ServiceUnavailable);
                }
            }
            let Ok(Some(block)) = source.block(number).await else {
                return Some(Status::InternalServerError);
            };
            if let Err(status) = check_expiry(expiry) {
                return Some(status);
            }
            let block = if range.headers_only { without_data(block) } else { block };
            self.answers.send(Ok(DeliverResponse { r#type: Some(Answer::Block(block)) })).await.ok()?;
            if number == range.stop {
                return Some(Status::Success);
            }
            number = number.saturating_add(1);
        }
    }
}

fn check_expiry(expiry: Option<Expiry>) -> Result<(), Status> {
    match expiry {
        Some(expiry) if expiry.is_over(SystemTime::now()) => Err(Status::Forbidden),
        Some(_) | None => Ok(()),
    }
}
