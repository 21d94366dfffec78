//! What peers and orderers ask of whoever wants blocks delivered: Fabric has one handler of Deliver for both.
//!
//! A reader sends a signed [`Seek`] and gets the blocks of its [`Range`], as they exist or come to exist. Refusals are
//! the statuses that Fabric gives, and callers keep its order: [`Seek::read`], the channel, [`Seek::info`], the
//! access rules with [`Expiry`], and [`Range::of`].

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use selvedge_identity::channel::is_config_block;
use selvedge_identity::{Certificate, ChannelConfig, SignedData};
use selvedge_proto::common::{Block, ChannelHeader, Envelope, Payload, Status};
use selvedge_proto::msp::SerializedIdentity;
use selvedge_proto::orderer::SeekInfo;
use selvedge_proto::orderer::seek_info::{SeekBehavior, SeekContentType};
use selvedge_proto::orderer::seek_position::Type as Position;

/// How far a reader's clock may be from ours, as Fabric has it.
const TIME_WINDOW: Duration = Duration::from_secs(15 * 60);

/// A reader's request whose form, time and connection were checked. Its signature was not.
#[derive(Clone, Debug)]
pub struct Seek {
    /// The channel that it is for.
    pub channel_id: String,
    /// Who signed what.
    pub signed: SignedData,
    /// The marshalled [`SeekInfo`].
    data: Bytes,
}

/// A range of blocks to be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first block.
    pub start: u64,
    /// The last block. As in Fabric one before the start is never met, so such a reader follows the chain.
    pub stop: u64,
    /// Whether to wait for blocks that do not exist yet.
    pub wait: bool,
    /// Whether the reader wants blocks without their envelopes.
    pub headers_only: bool,
}

/// The end of a certificate, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry(i64);

impl Seek {
    /// Reads a reader's envelope at the time `now`.
    ///
    /// `certificate_hash` is the SHA-256 of the TLS client's certificate, if the listener asks for one. Under mutual
    /// TLS a signed seek is good on its own connection only; otherwise what it claims means nothing.
    ///
    /// # Errors
    /// `BAD_REQUEST`.
    pub fn read(
        envelope: &Envelope,
        now: SystemTime,
        certificate_hash: Option<&[u8; 32]>,
    ) -> Result<Self, Status> {
        let payload = Payload::decode(envelope.payload.clone()).map_err(|_| Status::BadRequest)?;
        let header = payload.header.ok_or(Status::BadRequest)?;
        let header = ChannelHeader::decode(header.channel_header).map_err(|_| Status::BadRequest)?;
        let signed = SignedData::from_envelope(envelope).map_err(|_| Status::BadRequest)?;
        check_time(&header, now)?;
        if certificate_hash.is_some_and(|hash| header.tls_cert_hash != hash.as_slice()) {
            return Err(Status::BadRequest);
        }
        Ok(Self { channel_id: header.channel_id, signed, data: payload.data })
    }

    /// What is sought.
    ///
    /// # Errors
    /// `BAD_REQUEST` when it cannot be decoded.
    pub fn info(&self) -> Result<SeekInfo, Status> {
        SeekInfo::decode(self.data.clone()).map_err(|_| Status::BadRequest)
    }

    /// When the reader's certificate expires.
    pub fn expiry(&self) -> Option<Expiry> {
        Expiry::of(&self.signed.identity)
    }
}

impl Range {
    /// What a seek asks for, on a chain of `height` blocks.
    ///
    /// # Errors
    /// `BAD_REQUEST` when start or stop is missing or the stop is before the start; `NOT_FOUND` when the start is
    /// beyond the next block, even for a reader that would wait.
    pub fn of(info: &SeekInfo, height: u64) -> Result<Self, Status> {
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
        Ok(Self {
            start,
            stop,
            wait: info.behavior() == SeekBehavior::BlockUntilReady,
            headers_only: info.content_type() == SeekContentType::HeaderWithSig,
        })
    }
}

impl Expiry {
    /// When the certificate in a serialized identity expires, whoever issued it. An identity that cannot be read has
    /// no expiry; policies refuse it.
    pub fn of(identity: &[u8]) -> Option<Self> {
        let identity = SerializedIdentity::decode(identity).ok()?;
        let certificate = Certificate::from_pem(&identity.id_bytes).ok()?;
        Some(Self(certificate.not_after()))
    }

    /// The same for an identity that the channel's MSPs may know, which need not be read again then.
    pub fn under(config: &ChannelConfig, identity: &[u8]) -> Option<Self> {
        match config.deserialize(identity) {
            Ok(known) => Some(Self(known.expires_at())),
            Err(_) => Self::of(identity),
        }
    }

    /// Whether the moment of the end has come.
    pub fn is_over(self, now: SystemTime) -> bool {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.0 <= i64::try_from(now).unwrap_or(i64::MAX)
    }
}

/// A block for readers of headers: without its envelopes, unless it holds a configuration, which they need too.
pub fn without_data(block: Block) -> Block {
    if is_config_block(&block) { block } else { Block { data: None, ..block } }
}

fn check_time(header: &ChannelHeader, now: SystemTime) -> Result<(), Status> {
    let sent = header.timestamp.ok_or(Status::BadRequest)?;
    let sent = i128::from(sent.seconds) * 1_000_000_000 + i128::from(sent.nanos);
    let now = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let distance = sent.abs_diff(i128::try_from(now).unwrap_or(i128::MAX));
    if distance > TIME_WINDOW.as_nanos() { Err(Status::BadRequest) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use prost::Message;
    use selvedge_proto::common::{ChannelHeader, Envelope, Header, Payload, SignatureHeader, Status};
    use selvedge_proto::orderer::seek_position::Type as Position;
    use selvedge_proto::orderer::{
        SeekInfo, SeekNewest, SeekNextCommit, SeekOldest, SeekPosition, SeekSpecified,
    };

    use super::{Expiry, Range, Seek, TIME_WINDOW};

    fn position(position: Position) -> Option<SeekPosition> {
        Some(SeekPosition { r#type: Some(position) })
    }

    fn at(number: u64) -> Option<SeekPosition> {
        position(Position::Specified(SeekSpecified { number }))
    }

    fn range(start: Option<SeekPosition>, stop: Option<SeekPosition>) -> Result<(u64, u64), Status> {
        let info = SeekInfo { start, stop, ..SeekInfo::default() };
        Range::of(&info, 10).map(|range| (range.start, range.stop))
    }

    #[test]
    fn positions_are_found_on_the_chain() {
        let oldest = position(Position::Oldest(SeekOldest {}));
        let newest = position(Position::Newest(SeekNewest {}));
        let next = position(Position::NextCommit(SeekNextCommit {}));
        assert_eq!(range(oldest, newest), Ok((0, 9)));
        assert_eq!(range(newest, newest), Ok((9, 9)));
        assert_eq!(range(at(3), oldest), Ok((3, 3)));
        assert_eq!(range(next, at(u64::MAX)), Ok((10, u64::MAX)));
        assert_eq!(range(at(10), at(12)), Ok((10, 12)));
        assert_eq!(range(at(11), at(12)), Err(Status::NotFound));
        assert_eq!(range(at(3), at(2)), Err(Status::BadRequest));
        assert_eq!(range(None, newest), Err(Status::BadRequest));
        assert_eq!(range(newest, None), Err(Status::BadRequest));
        assert_eq!(range(newest, next), Ok((9, 0)), "a reader that is never done");
    }

    #[test]
    fn only_fresh_seeks_of_this_connection_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let channel_header = ChannelHeader {
            timestamp: Some(now.into()),
            tls_cert_hash: vec![7; 32].into(),
            ..ChannelHeader::default()
        };
        let header = Header {
            channel_header: channel_header.encode_to_vec().into(),
            signature_header: SignatureHeader::default().encode_to_vec().into(),
        };
        let payload = Payload { header: Some(header), ..Payload::default() }.encode_to_vec().into();
        let envelope = Envelope { payload, ..Envelope::default() };
        let read = |now, hash: Option<&[u8; 32]>| Seek::read(&envelope, now, hash).map(|_| ());
        assert_eq!(read(now, None), Ok(()));
        assert_eq!(read(now, Some(&[7; 32])), Ok(()));
        assert_eq!(read(now, Some(&[8; 32])), Err(Status::BadRequest));
        let moment = Duration::from_nanos(1);
        for edge in [now + TIME_WINDOW, now - TIME_WINDOW] {
            assert_eq!(read(edge, None), Ok(()));
        }
        for beyond in [now + TIME_WINDOW + moment, now - TIME_WINDOW - moment] {
            assert_eq!(read(beyond, None), Err(Status::BadRequest));
        }
        let garbage = Envelope { payload: "\u{7f}\u{7f}".into(), ..Envelope::default() };
        assert_eq!(Seek::read(&garbage, now, None).map(|_| ()), Err(Status::BadRequest));
    }

    #[test]
    fn a_certificate_is_over_at_its_last_second() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!Expiry(100).is_over(at(99)));
        assert!(Expiry(100).is_over(at(100)));
        assert_eq!(Expiry::of(b"no identity"), None);
    }
}
