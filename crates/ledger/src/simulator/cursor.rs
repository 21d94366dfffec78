use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Snapshot, Space, StoredValue};

/// How many results are read from the snapshot at once: one more than a batch of Fabric's has, since the peer
/// looks one result ahead.
const CHUNK: usize = 101;

/// How many bytes of values are read ahead before fewer results have to do, since a transaction may have many ranges
/// open.
const CHUNK_BYTES: usize = 64 << 10;

/// A place in a range of a snapshot. It borrows nothing, so that a simulator can hold many: a snapshot does
/// not change, and so the range can be taken up again behind the last key.
pub(super) struct Cursor {
    space: Space,
    start: Bytes,
    end: Bytes,
    read: VecDeque<(Bytes, StoredValue)>,
    at_end: bool,
}

impl Cursor {
    pub(super) fn new(space: Space, start: &str, end: &str) -> Self {
        Self {
            space,
            start: Bytes::copy_from_slice(start.as_bytes()),
            end: Bytes::copy_from_slice(end.as_bytes()),
            read: VecDeque::new(),
            at_end: !end.is_empty() && start >= end,
        }
    }

    /// The next key and its value.
    pub(super) fn next(&mut self, snapshot: &dyn Snapshot) -> Result<Option<(String, StoredValue)>, Error> {
        if self.read.is_empty() && !self.at_end {
            self.fill(snapshot)?;
        }
        let Some((key, stored)) = self.read.pop_front() else { return Ok(None) };
        let key = String::from_utf8(key.to_vec())
            .map_err(|_| Error::Corrupt { what: format!("a key of {} is not UTF-8", self.space) })?;
        Ok(Some((key, stored)))
    }

    fn fill(&mut self, snapshot: &dyn Snapshot) -> Result<(), Error> {
        let mut bytes = 0;
        for entry in snapshot.range(&self.space, &self.start, &self.end)? {
            let (key, stored) = entry?;
            bytes += stored.value.len();
            let is_full = self.read.len() + 1 == CHUNK || bytes >= CHUNK_BYTES;
            if is_full {
                // The key right behind another in byte order is that key with a zero byte.
                let mut next = BytesMut::with_capacity(key.len() + 1);
                next.extend_from_slice(&key);
                next.put_u8(0);
                self.start = next.freeze();
                self.at_end = !self.end.is_empty() && self.start >= self.end;
            }
            self.read.push_back((key, stored));
            if is_full {
                return Ok(());
            }
        }
        self.at_end = true;
        Ok(())
    }
}
