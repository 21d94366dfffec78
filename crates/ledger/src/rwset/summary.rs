use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use prost::Message;
use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
use selvedge_proto::kvrwset::{KvRead, QueryReads, QueryReadsMerkleSummary};

use crate::hash::{finish, sha256};

/// The degree that Fabric's peers use: up to this many results are recorded one by one.
pub const MAX_DEGREE: u32 = 50;

/// Sums up the results of a range query as they are pulled.
///
/// Up to `degree` results stand for themselves. When one more comes, the SHA-256 of all pending results (as a
/// marshalled `QueryReads`) becomes a hash of level 1. A level that gets more than `degree` hashes collapses
/// to the hash of their concatenation, one level up. At the end what is left on the lower levels rolls up, and
/// the hashes of the highest level are the summary.
pub struct RangeSummary {
    degree: usize,
    keeps_reads: bool,
    reads: Vec<KvRead>,
    pending: Context,
    pending_count: usize,
    /// The hashes of level 1 and above.
    levels: Vec<Vec<Bytes>>,
}

impl RangeSummary {
    /// A summary that keeps the results themselves while they are few.
    ///
    /// Returns `None` for a degree below 2, with which no tree can be built.
    pub fn new(degree: u32) -> Option<Self> {
        (degree >= 2).then(|| Self {
            degree: usize::try_from(degree).unwrap_or(usize::MAX),
            keeps_reads: true,
            reads: Vec::new(),
            pending: Context::new(&SHA256),
            pending_count: 0,
            levels: Vec::new(),
        })
    }

    /// A summary that is only wanted if it is a tree: it keeps no results, whatever the degree.
    pub fn tree(degree: u32) -> Option<Self> {
        Some(Self { keeps_reads: false, ..Self::new(degree)? })
    }

    /// Takes in the next result.
    pub fn add(&mut self, read: KvRead) {
        // A message with one element; several of them in a row are the message with all elements.
        let element = QueryReads { kv_reads: vec![read] };
        self.pending.update(&element.encode_to_vec());
        self.pending_count += 1;
        if self.keeps_reads && self.levels.is_empty() {
            self.reads.extend(element.kv_reads);
        }
        if self.pending_count > self.degree {
            self.close_leaf();
        }
    }

    /// The reads or the tree; `None` without results, or for a [`tree`](Self::tree) that did not come about.
    pub fn finish(mut self) -> Option<ReadsInfo> {
        if self.levels.is_empty() {
            return (!self.reads.is_empty())
                .then_some(ReadsInfo::RawReads(QueryReads { kv_reads: self.reads }));
        }
        if self.pending_count > 0 {
            self.close_leaf();
        }
        for level in 0..self.levels.len() - 1 {
            self.roll_up(level);
        }
        let top = self.levels.len() - 1;
        if self.levels[top].len() > self.degree {
            self.roll_up(top);
        }
        Some(ReadsInfo::ReadsMerkleHashes(QueryReadsMerkleSummary {
            max_degree: u32::try_from(self.degree).unwrap_or(u32::MAX),
            max_level: u32::try_from(self.levels.len()).unwrap_or(u32::MAX),
            max_level_hashes: self.levels.pop().unwrap_or_default(),
        }))
    }

    fn close_leaf(&mut self) {
        let pending = std::mem::replace(&mut self.pending, Context::new(&SHA256));
        self.pending_count = 0;
        self.reads = Vec::new();
        self.push(0, Bytes::copy_from_slice(&finish(pending)));
        let mut level = 0;
        while self.levels[level].len() > self.degree {
            self.roll_up(level);
            level += 1;
        }
    }

    /// Makes one hash of the next level out of a level's hashes. A single hash moves up as it is.
    fn roll_up(&mut self, level: usize) {
        let mut hashes = std::mem::take(&mut self.levels[level]);
        let combined = match hashes.len() {
            0 => return,
            1 => hashes.remove(0),
            _ => Bytes::copy_from_slice(&sha256(hashes.iter().map(AsRef::as_ref))),
        };
        self.push(level + 1, combined);
    }

    fn push(&mut self, level: usize, hash: Bytes) {
        if level == self.levels.len() {
            self.levels.push(Vec::new());
        }
        self.levels[level].push(hash);
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use selvedge_golden::Corpus;
    use selvedge_proto::kvrwset::range_query_info::ReadsInfo;
    use selvedge_proto::kvrwset::{KvRead, Version};

    use super::RangeSummary;

    fn read(number: u64) -> KvRead {
        let version = Version { block_num: number / 100, tx_num: number % 7 };
        KvRead { key: format!("key_{number:06}"), version: Some(version) }
    }

    #[test]
    fn golden_summaries_are_fabrics() {
        let vectors = Corpus::get().json_lines("vectors/range-merkle.jsonl");
        assert!(!vectors.is_empty());
        for vector in vectors {
            let degree = u32::try_from(vector["max_degree"].as_u64().unwrap()).unwrap();
            let results = vector["results"].as_u64().unwrap();
            let mut summary = RangeSummary::new(degree).unwrap();
            let mut tree = RangeSummary::tree(degree).unwrap();
            (0..results).for_each(|number| {
                summary.add(read(number));
                tree.add(read(number));
            });
            let (field, found) = match summary.finish() {
                None => ("raw_reads", Vec::new()),
                Some(ReadsInfo::RawReads(reads)) => ("raw_reads", reads.encode_to_vec()),
                Some(ReadsInfo::ReadsMerkleHashes(hashes)) => ("summary", hashes.encode_to_vec()),
            };
            assert_eq!(vector[field], hex::encode(&found), "{results} results with degree {degree}");
            let tree = tree.finish().map(|tree| match tree {
                ReadsInfo::RawReads(_) => panic!("a tree keeps no reads"),
                ReadsInfo::ReadsMerkleHashes(hashes) => hashes.encode_to_vec(),
            });
            assert_eq!(tree, (field == "summary").then_some(found));
        }
    }

    #[test]
    fn a_degree_below_two_makes_no_tree() {
        assert!(RangeSummary::new(0).is_none());
        assert!(RangeSummary::tree(1).is_none());
    }
}
