use std::path::Path;

use bytes::{Buf, Bytes};
use prost::Message;
use selvedge_proto::common::Block;

use super::record::{HEADER, Header, Part, decode_private};
use super::segment::{FILE_HEADER, Index, MAGIC, corrupt, file_header};
use super::{LogOptions, PrivateWrites};
use crate::StoreError;
use crate::storage::File;

/// Reads one file of the log and believes none of its bytes.
pub(super) struct Reader<'a> {
    pub(super) file: &'a dyn File,
    pub(super) path: &'a Path,
    pub(super) first: u64,
    pub(super) options: &'a LogOptions,
}

impl Reader<'_> {
    /// The salt, if the file begins with a valid header.
    pub(super) fn salt(&self) -> Result<Option<u64>, StoreError> {
        if self.size()? < FILE_HEADER as u64 {
            return Ok(None);
        }
        let mut bytes = [0; FILE_HEADER];
        self.read(0, &mut bytes)?;
        let salt = (&bytes[MAGIC.len()..]).get_u64_le();
        Ok((bytes == file_header(salt, self.first)).then_some(salt))
    }

    /// The index of a file that takes no more records.
    pub(super) fn index(&self) -> Result<Index, StoreError> {
        let salt = self.salt()?.ok_or_else(|| self.damaged(0, "it does not begin with a valid header"))?;
        let size = self.size()?;
        let mut index = Index::empty(salt);
        while index.end() < size {
            let offset = index.end();
            let number = index.next(self.first);
            let end = self
                .find_header(salt, offset, size, number)?
                .map(|header| offset + header.record_length())
                .filter(|end| *end <= size)
                .ok_or_else(|| self.no_record(offset, number))?;
            index.offsets.push(end);
        }
        Ok(index)
    }

    /// The index of the newest file, all of whose records are checked. It ends where the last whole one ends.
    pub(super) fn recover(&self, salt: u64, size: u64) -> Result<Index, StoreError> {
        let mut index = Index::empty(salt);
        while index.end() < size {
            let offset = index.end();
            let number = index.next(self.first);
            let Some(header) = self.find_header(salt, offset, size, number)? else {
                self.check_nothing_follows(salt, offset, size, number)?;
                break;
            };
            let end = offset + header.record_length();
            if end > size {
                break;
            }
            match self.block_bytes(offset, &header).and_then(|_| self.private_bytes(offset, &header)) {
                Ok(_) => index.offsets.push(end),
                // One record at a time is written and made safe, so only the last can be torn.
                Err(StoreError::Corrupt { .. }) if end == size => break,
                Err(error) => return Err(error),
            }
        }
        Ok(index)
    }

    /// The header of a block's record, which must be there.
    pub(super) fn header(&self, salt: u64, offset: u64, number: u64) -> Result<Header, StoreError> {
        let header = self.find_header(salt, offset, self.size()?, number)?;
        header.ok_or_else(|| self.no_record(offset, number))
    }

    /// The block of a record.
    pub(super) fn block(&self, offset: u64, header: &Header) -> Result<Block, StoreError> {
        Block::decode(self.block_bytes(offset, header)?)
            .map_err(|error| self.damaged(offset, &format!("it holds no block: {error}")))
    }

    /// The private writes of a record.
    pub(super) fn private(&self, offset: u64, header: &Header) -> Result<PrivateWrites, StoreError> {
        decode_private(self.private_bytes(offset, header)?)
            .map_err(|error| self.damaged(offset, &format!("it holds no private writes: {error}")))
    }

    fn block_bytes(&self, offset: u64, header: &Header) -> Result<Bytes, StoreError> {
        self.part(offset + HEADER as u64, header.block)
    }

    fn private_bytes(&self, offset: u64, header: &Header) -> Result<Bytes, StoreError> {
        self.part(offset + HEADER as u64 + u64::from(header.block.length), header.private)
    }

    fn part(&self, offset: u64, part: Part) -> Result<Bytes, StoreError> {
        let mut bytes = vec![0; part.length as usize];
        self.read(offset, &mut bytes)?;
        if part.is(&bytes) { Ok(bytes.into()) } else { Err(self.damaged(offset, "a checksum is wrong")) }
    }

    /// A valid header of this block at this place, if there is one.
    fn find_header(
        &self,
        salt: u64,
        offset: u64,
        size: u64,
        number: u64,
    ) -> Result<Option<Header>, StoreError> {
        if size.saturating_sub(offset) < HEADER as u64 {
            return Ok(None);
        }
        let mut bytes = [0; HEADER];
        self.read(offset, &mut bytes)?;
        let LogOptions { part_bytes, private_bytes, .. } = *self.options;
        Ok(Header::decode(&bytes, salt).filter(|header| {
            header.number == number
                && header.block.length <= part_bytes
                && header.private.length <= private_bytes
        }))
    }

    /// Tells a torn record, after which nothing can follow, from a damaged one, after which others do.
    fn check_nothing_follows(
        &self,
        salt: u64,
        offset: u64,
        size: u64,
        number: u64,
    ) -> Result<(), StoreError> {
        let left = size - offset;
        let LogOptions { part_bytes, private_bytes, .. } = *self.options;
        if left > HEADER as u64 + u64::from(part_bytes) + u64::from(private_bytes) {
            return Err(self.no_record(offset, number));
        }
        let mut rest = vec![0; usize::try_from(left).map_err(|_| self.no_record(offset, number))?];
        self.read(offset, &mut rest)?;
        let follows = rest.array_windows::<HEADER>().any(|window| Header::decode(window, salt).is_some());
        if follows { Err(self.no_record(offset, number)) } else { Ok(()) }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_at(offset, buffer).map_err(StoreError::io("read", self.path))
    }

    fn size(&self) -> Result<u64, StoreError> {
        self.file.size().map_err(StoreError::io("measure", self.path))
    }

    fn no_record(&self, offset: u64, number: u64) -> StoreError {
        self.damaged(offset, &format!("there is no valid record of block {number}"))
    }

    fn damaged(&self, offset: u64, reason: &str) -> StoreError {
        corrupt(self.path, offset, reason)
    }
}
