//! Deliver: a reader seeks a range of blocks and receives them, in order, as they exist or come to exist.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_identity::SignedData;
use selvedge_identity::channel::is_config_block;
use selvedge_proto::common::{Block, ChannelHeader, Envelope, Payload, Status};
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::seek_info::{SeekBehavior, SeekContentType, SeekErrorResponse};
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{DeliverResponse, SeekInfo};
use selvedge_tls::Fingerprint;
use tokio::sync::mpsc;

use crate::Orderer;
use crate::admission::{self, Expiry};
use crate::source::ChainSource;

/// How far a reader's clock may be from ours, as Fabric has it.
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

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
struct Seek {
    source: ChainSource,
    range: Range,
    /// The end of the certificate of whoever seeks.
    expiry: Option<Expiry>,
}

/// A range of blocks to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    /// The last block. As in Fabric one before the start is never met, so such a reader follows the chain.
    stop: u64,
    wait: bool,
    headers_only: bool,
}

impl Reader {
    /// Serves one seek. Returns whether the reader may seek again, which it may after a success only.
    pub(crate) async fn serve(&self, orderer: &Orderer, envelope: Envelope) -> bool {
        let status = match self.seek(orderer, &envelope) {
            Ok(seek) => match self.deliver(seek).await {
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
    fn seek(&self, orderer: &Orderer, envelope: &Envelope) -> Result<Seek, Status> {
        let payload = Payload::decode(envelope.payload.clone()).map_err(|_| Status::BadRequest)?;
        let header = payload.header.ok_or(Status::BadRequest)?;
        let header = ChannelHeader::decode(header.channel_header).map_err(|_| Status::BadRequest)?;
        let signed = SignedData::from_envelope(envelope).map_err(|_| Status::BadRequest)?;
        check_time(&header)?;
        self.check_binding(&header)?;
        let channel = orderer.channel(&header.channel_id).ok_or(Status::NotFound)?;
        let info = SeekInfo::decode(payload.data).map_err(|_| Status::BadRequest)?;
        let source = channel.source();
        if source.has_ended() && info.error_response() == SeekErrorResponse::Strict {
            return Err(Status::ServiceUnavailable);
        }
        let expiry = admission::expiry(&signed.identity);
        check_expiry(expiry)?;
        let policy = match admission::is_in_maintenance(&channel.config) {
            true => "/Channel/Orderer/Readers",
            false => "/Channel/Readers",
        };
        admission::authorize(&channel.config, policy, signed).map_err(|refusal| refusal.status)?;
        let range = range(&info, source.height())?;
        Ok(Seek { source, range, expiry })
    }

    /// Under mutual TLS a signed seek is good on its own connection only. Otherwise a claim means nothing.
    fn check_binding(&self, header: &ChannelHeader) -> Result<(), Status> {
        match &self.certificate {
            Some(certificate) if header.tls_cert_hash != Fingerprint::of(certificate).0.as_slice() => {
                Err(Status::BadRequest)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Sends the blocks. `None` when the reader has gone away.
    async fn deliver(&self, seek: Seek) -> Option<Status> {
        let Seek { mut source, range, expiry } = seek;
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

fn check_time(header: &ChannelHeader) -> Result<(), Status> {
    let sent = header.timestamp.ok_or(Status::BadRequest)?;
    let sent = i128::from(sent.seconds) * 1_000_000_000 + i128::from(sent.nanos);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let distance = sent.abs_diff(i128::try_from(now).unwrap_or(i128::MAX));
    if distance > TIME_WINDOW.as_nanos() { Err(Status::BadRequest) } else { Ok(()) }
}

fn check_expiry(expiry: Option<Expiry>) -> Result<(), Status> {
    match expiry {
        Some(expiry) if expiry.is_over(SystemTime::now()) => Err(Status::Forbidden),
        Some(_) | None => Ok(()),
    }
}

/// What a seek asks for, on a chain of `height` blocks.
fn range(info: &SeekInfo, height: u64) -> Result<Range, Status> {
    let (Some(start_position), Some(stop_position)) = (info.start, info.stop) else {
        return Err(Status::BadRequest);
    };
    let newest = height.saturating_sub(1);
    let start = match start_position.r#type {
        Some(Position::Oldest(_)) => 0,
        Some(Position::Newest(_)) => newest,
        Some(Position::NextCommit(_)) => height,
        Some(Position::Specified(specified)) if specified.number <= height => specified.number,
        Some(Position::Specified(_)) | None => return Err(Status::NotFound),
    };
    let stop = match stop_position.r#type {
        Some(Position::Oldest(_)) => start,
        Some(Position::Newest(_)) => newest,
        Some(Position::Specified(specified)) if specified.number >= start => specified.number,
        Some(Position::Specified(_)) => return Err(Status::BadRequest),
        // Fabric gives these no meaning as an end and takes them for block 0.
        Some(Position::NextCommit(_)) | None => 0,
    };
    Ok(Range {
        start,
        stop,
        wait: info.behavior() == SeekBehavior::BlockUntilReady,
        headers_only: info.content_type() == SeekContentType::HeaderWithSig,
    })
}

/// A block without its envelopes, unless it holds a configuration, which readers of headers need too.
fn without_data(block: Block) -> Block {
    if is_config_block(&block) { block } else { Block { data: None, ..block } }
}
