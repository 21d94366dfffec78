//! Deliver: a reader seeks a range of blocks and receives them, in order, as they exist or come to exist.

use std::time::{Duration, SystemTime};

use prost::Message;
use selvedge_identity::SignedData;
use selvedge_proto::common::{Block, BlockData, ChannelHeader, Envelope, Payload, Status};
use selvedge_proto::orderer::deliver_response::Type as Answer;
use selvedge_proto::orderer::seek_info::{SeekBehavior, SeekContentType};
use selvedge_proto::orderer::seek_position::Type as Position;
use selvedge_proto::orderer::{DeliverResponse, SeekInfo, SeekPosition};
use tokio::sync::mpsc;

use crate::Orderer;
use crate::admission;
use crate::chain::ChainSource;

/// How far a reader's clock may be from ours, as Fabric has it.
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

type Answers = mpsc::Sender<Result<DeliverResponse, tonic::Status>>;

/// A range of blocks to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u64,
    stop: u64,
    wait: bool,
    headers_only: bool,
}

/// Serves one seek. Returns whether the reader may seek again, which it may after a success only.
pub(crate) async fn serve(orderer: &Orderer, envelope: Envelope, answers: &Answers) -> bool {
    let status = match seek(orderer, &envelope) {
        Ok((source, range)) => match deliver(source, range, answers).await {
            Some(status) => status,
            // The reader has gone away.
            None => return false,
        },
        Err(status) => status,
    };
    let answer = DeliverResponse { r#type: Some(Answer::Status(status.into())) };
    answers.send(Ok(answer)).await.is_ok() && status == Status::Success
}

/// Checks who seeks, and what.
fn seek(orderer: &Orderer, envelope: &Envelope) -> Result<(ChainSource, Range), Status> {
    let payload = Payload::decode(envelope.payload.clone()).map_err(|_| Status::BadRequest)?;
    let header = payload.header.ok_or(Status::BadRequest)?;
    let header = ChannelHeader::decode(header.channel_header).map_err(|_| Status::BadRequest)?;
    check_time(&header)?;
    let channel = orderer.channel(&header.channel_id).ok_or(Status::NotFound)?;
    let signed = SignedData::from_envelope(envelope).map_err(|_| Status::BadRequest)?;
    let config = channel.config();
    if admission::is_expired(&config, &signed, SystemTime::now()) {
        return Err(Status::Forbidden);
    }
    admission::authorize(&config, "/Channel/Readers", signed).map_err(|refusal| refusal.status)?;
    let info = SeekInfo::decode(payload.data).map_err(|_| Status::BadRequest)?;
    let source = channel.source();
    let range = range(&info, source.height())?;
    Ok((source, range))
}

fn check_time(header: &ChannelHeader) -> Result<(), Status> {
    let sent = header.timestamp.ok_or(Status::BadRequest)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let distance = u64::try_from(sent.seconds).map_err(|_| Status::BadRequest)?.abs_diff(now);
    if distance > TIME_WINDOW.as_secs() { Err(Status::BadRequest) } else { Ok(()) }
}

/// What a seek asks for, on a chain of `height` blocks.
fn range(info: &SeekInfo, height: u64) -> Result<Range, Status> {
    let position = |position: &Option<SeekPosition>| {
        position.as_ref().and_then(|position| position.r#type).ok_or(Status::BadRequest)
    };
    let newest = height.saturating_sub(1);
    let start_position = position(&info.start)?;
    let start = match start_position {
        Position::Oldest(_) => 0,
        Position::Newest(_) => newest,
        Position::NextCommit(_) => height,
        Position::Specified(specified) => specified.number,
    };
    let stop = match position(&info.stop)? {
        // As in Fabric, a reader that starts at the newest block and stops there gets one block.
        Position::Newest(_) => newest.max(start),
        Position::Oldest(_) => 0,
        Position::NextCommit(_) => height,
        Position::Specified(specified) => specified.number,
    };
    if matches!(start_position, Position::Specified(_)) && start > height {
        return Err(Status::NotFound);
    }
    if stop < start {
        return Err(Status::BadRequest);
    }
    Ok(Range {
        start,
        stop,
        wait: info.behavior() == SeekBehavior::BlockUntilReady,
        headers_only: info.content_type() == SeekContentType::HeaderWithSig,
    })
}

/// Sends the blocks. `None` when the reader has gone away.
async fn deliver(mut source: ChainSource, range: Range, answers: &Answers) -> Option<Status> {
    for number in range.start..=range.stop {
        if number >= source.height() {
            if !range.wait {
                return Some(Status::NotFound);
            }
            let exists = tokio::select! {
                exists = source.wait_for(number) => exists,
                () = answers.closed() => return None,
            };
            if !exists {
                return Some(Status::ServiceUnavailable);
            }
        }
        let Ok(Some(block)) = source.block(number).await else { return Some(Status::InternalServerError) };
        let block = if range.headers_only { without_data(block) } else { block };
        answers.send(Ok(DeliverResponse { r#type: Some(Answer::Block(block)) })).await.ok()?;
    }
    Some(Status::Success)
}

fn without_data(block: Block) -> Block {
    Block { data: None::<BlockData>, ..block }
}
