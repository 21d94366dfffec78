use std::ops::Bound;

use bytes::Bytes;
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{KvRead, QueryReadsMerkleSummary, RangeQueryInfo};

use crate::rwset::RangeSummary;
use crate::{Error, RangeIterator, Space, Update, Version};

use super::Overlay;

/// Whether a range gives the results that it gave in the simulation.
///
/// A range that was not exhausted ends with its last result, which is why its end belongs to it. Its other end
/// does not: an exhausted range ends before its end key.
pub(super) fn is_unchanged(
    state: &Overlay<'_>,
    space: &Space,
    range: &RangeQueryInfo,
) -> Result<bool, Error> {
    let results = Results::new(state, space, range)?;
    match &range.reads_info {
        Some(ReadsInfo::ReadsMerkleHashes(expected)) => same_summary(results, expected),
        Some(ReadsInfo::RawReads(reads)) => same_reads(results, &reads.kv_reads),
        None => same_reads(results, &[]),
    }
}

fn same_reads(mut results: Results<'_>, expected: &[KvRead]) -> Result<bool, Error> {
    for read in expected {
        let Some((key, version)) = results.next()? else { return Ok(false) };
        // A read without a version cannot come from a range, which has existing keys only. It makes Fabric's
        // peers fail; here it is a result that is not there.
        if key != read.key.as_bytes() || Some(version) != read.version.as_ref().map(Version::from) {
            return Ok(false);
        }
    }
    Ok(results.next()?.is_none())
}

/// A tree of a degree below 2 halts Fabric's peers. Here no range has such a summary.
fn same_summary(mut results: Results<'_>, expected: &QueryReadsMerkleSummary) -> Result<bool, Error> {
    let Some(mut summary) = RangeSummary::tree(expected.max_degree) else { return Ok(false) };
    while let Some((key, version)) = results.next()? {
        let Ok(key) = String::from_utf8(key.to_vec()) else { return Ok(false) };
        summary.add(KvRead { key, version: Some(version.into()) });
    }
    Ok(match summary.finish() {
        Some(ReadsInfo::ReadsMerkleHashes(found)) => found == *expected,
        _ => false,
    })
}

/// The keys of a range with their versions: the committed ones with the block's changes so far.
struct Results<'a> {
    committed: Side<RangeIterator<'a>>,
    changed: std::collections::btree_map::Range<'a, Bytes, Update>,
    next_change: Option<(&'a Bytes, &'a Update)>,
    /// The end key, if it belongs to the range and was not looked at yet.
    end: Option<(Bytes, Option<Version>)>,
}

/// An iterator with the item that comes next.
struct Side<I> {
    rest: I,
    next: Option<(Bytes, Version)>,
}

impl<'a> Results<'a> {
    fn new(state: &'a Overlay<'_>, space: &Space, range: &'a RangeQueryInfo) -> Result<Self, Error> {
        let (start, end) = (range.start_key.as_bytes(), range.end_key.as_bytes());
        let is_empty = !end.is_empty() && start >= end;
        let rest: RangeIterator<'a> =
            if is_empty { Box::new(std::iter::empty()) } else { state.snapshot.range(space, start, end)? };
        let mut committed = Side { rest, next: None };
        committed.advance()?;

        static NO_CHANGES: std::collections::BTreeMap<Bytes, Update> = std::collections::BTreeMap::new();
        let changes = state.updates.space(space).unwrap_or(&NO_CHANGES);
        // A map refuses a range whose end lies before its start.
        let upper = if end.is_empty() { Bound::Unbounded } else { Bound::Excluded(end.max(start)) };
        let mut changed = changes.range::<[u8], _>((Bound::Included(start), upper));
        let next_change = changed.next();

        let end = if range.itr_exhausted {
            None
        } else {
            let version = state.get(space, end)?.map(|stored| stored.version);
            Some((Bytes::copy_from_slice(end), version))
        };
        Ok(Self { committed, changed, next_change, end })
    }

    fn next(&mut self) -> Result<Option<(Bytes, Version)>, Error> {
        loop {
            let takes_change = match (&self.committed.next, &self.next_change) {
                (None, None) => {
                    let end = self.end.take();
                    return Ok(end.and_then(|(key, version)| Some((key, version?))));
                }
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (Some((committed, _)), Some((changed, _))) => *changed <= committed,
            };
            if !takes_change {
                let result = self.committed.next.take();
                self.committed.advance()?;
                return Ok(result);
            }
            let Some((key, update)) = self.next_change else { continue };
            self.next_change = self.changed.next();
            if self.committed.next.as_ref().is_some_and(|(committed, _)| committed == key) {
                self.committed.advance()?;
            }
            if let Update::Put(stored) = update {
                return Ok(Some((key.clone(), stored.version)));
            }
        }
    }
}

impl Side<RangeIterator<'_>> {
    fn advance(&mut self) -> Result<(), Error> {
        self.next = self.rest.next().transpose()?.map(|(key, stored)| (key, stored.version));
        Ok(())
    }
}
