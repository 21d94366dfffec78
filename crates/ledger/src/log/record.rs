use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use selvedge_proto::common::Block;
use selvedge_proto::protos::BlockAndPrivateData;

use super::{LogOptions, PrivateWrites};
use crate::StoreError;

/// The header's length in bytes: the block's number (8), then length and CRC-32C (4 each) of the block, the same
/// of the private writes, and the CRC-32C of the header itself. All numbers are little-endian.
pub(super) const HEADER: usize = 28;

/// What stands before a block in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) number: u64,
    pub(super) block: Part,
    pub(super) private: Part,
}

/// The length and checksum of a stretch of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) length: u32,
    pub(super) checksum: u32,
}

/// A record ready to be written.
pub(super) struct Parts {
    header: Header,
    body: Vec<u8>,
}

impl Header {
    /// Reads a header. The salt of the file enters the checksum, so that no transaction can carry bytes that look
    /// like a header of the file it ends up in.
    pub(super) fn decode(bytes: &[u8; HEADER], salt: u64) -> Option<Self> {
        let checksum = salted(&bytes[..HEADER - 4], salt);
        let mut fields = bytes.as_slice();
        let header = Self {
            number: fields.get_u64_le(),
            block: Part { length: fields.get_u32_le(), checksum: fields.get_u32_le() },
            private: Part { length: fields.get_u32_le(), checksum: fields.get_u32_le() },
        };
        (fields.get_u32_le() == checksum).then_some(header)
    }

    /// The length of the record, header and all.
    pub(super) fn record_length(&self) -> u64 {
        HEADER as u64 + u64::from(self.block.length) + u64::from(self.private.length)
    }

    fn encode(&self, salt: u64) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let mut fields = bytes.as_mut_slice();
        fields.put_u64_le(self.number);
        for part in [self.block, self.private] {
            fields.put_u32_le(part.length);
            fields.put_u32_le(part.checksum);
        }
        let checksum = salted(&bytes[..HEADER - 4], salt);
        bytes[HEADER - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }
}

impl Part {
    fn of(bytes: &[u8], what: &'static str, limit: u32) -> Result<Self, StoreError> {
        let size = bytes.len() as u64;
        match u32::try_from(size) {
            Ok(length) if length <= limit => Ok(Self { length, checksum: crc32c::crc32c(bytes) }),
            _ => Err(StoreError::TooLarge { what, size, limit: limit.into() }),
        }
    }

    /// Whether these are the bytes.
    pub(super) fn is(self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == u64::from(self.length) && crc32c::crc32c(bytes) == self.checksum
    }
}

impl Parts {
    /// Encodes a record, with room for its header in front.
    pub(super) fn encode(
        number: u64,
        block: &Block,
        private: &PrivateWrites,
        limits: &LogOptions,
    ) -> Result<Self, StoreError> {
        let mut body = Vec::with_capacity(HEADER + block.encoded_len());
        body.resize(HEADER, 0);
        block.encode(&mut body).expect("a vector grows as needed");
        let private = encode_private(private);
        let header = Header {
            number,
            block: Part::of(&body[HEADER..], "a block", limits.part_bytes)?,
            private: Part::of(&private, "the private writes of a block", limits.private_bytes)?,
        };
        body.extend_from_slice(&private);
        Ok(Self { header, body })
    }

    /// What the record is about.
    pub(super) fn header(&self) -> Header {
        self.header
    }

    /// The bytes for a file with this salt.
    pub(super) fn into_bytes(mut self, salt: u64) -> Vec<u8> {
        self.body[..HEADER].copy_from_slice(&self.header.encode(salt));
        self.body
    }
}

/// Private writes as they are stored: a `BlockAndPrivateData` without its block.
fn encode_private(private: &PrivateWrites) -> Vec<u8> {
    if private.is_empty() {
        return Vec::new();
    }
    BlockAndPrivateData { block: None, private_data_map: private.clone() }.encode_to_vec()
}

/// Reads private writes.
pub(super) fn decode_private(bytes: Bytes) -> Result<PrivateWrites, prost::DecodeError> {
    Ok(BlockAndPrivateData::decode(bytes)?.private_data_map)
}

fn salted(fields: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), fields)
}
