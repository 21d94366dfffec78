//! Which envelopes go into one block: Fabric's rule, as a pure function of what has arrived.

use bytes::Bytes;

/// The limits of one block, from the channel's `BatchSize`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchLimits {
    /// The most envelopes in a block.
    pub(crate) max_messages: u32,
    /// A block is closed before it would grow beyond this size in bytes; a larger envelope gets a block of its own.
    pub(crate) preferred_max_bytes: u32,
}

/// Collects envelopes until a block is full.
#[derive(Debug)]
pub(crate) struct Cutter {
    limits: BatchLimits,
    pending: Vec<Bytes>,
    pending_bytes: usize,
}

impl Cutter {
    /// A cutter with nothing pending.
    pub(crate) fn new(limits: BatchLimits) -> Self {
        Self { limits, pending: Vec::new(), pending_bytes: 0 }
    }

    /// Goes by other limits from now on.
    pub(crate) fn set_limits(&mut self, limits: BatchLimits) {
        self.limits = limits;
    }

    /// Takes the next envelope and returns the batches that are full now, none of them empty: at most two, the
    /// pending ones that the envelope did not fit with, and the one that the envelope completes. `size` is what
    /// counts for the limits, in bytes.
    pub(crate) fn order(&mut self, envelope: Bytes, size: usize) -> Vec<Vec<Bytes>> {
        let mut full = Vec::new();
        let preferred = self.limits.preferred_max_bytes as usize;
        if size > preferred {
            full.extend(self.cut());
            full.push(vec![envelope]);
            return full;
        }
        if self.pending_bytes + size > preferred {
            full.extend(self.cut());
        }
        self.pending_bytes += size;
        self.pending.push(envelope);
        if self.pending.len() >= self.limits.max_messages as usize {
            full.extend(self.cut());
        }
        full
    }

    /// Closes the batch that is pending, if there is one.
    pub(crate) fn cut(&mut self) -> Option<Vec<Bytes>> {
        self.pending_bytes = 0;
        let batch = std::mem::take(&mut self.pending);
        (!batch.is_empty()).then_some(batch)
    }

    /// How many envelopes are pending.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{BatchLimits, Cutter};

    const LIMITS: BatchLimits = BatchLimits { max_messages: 3, preferred_max_bytes: 10 };

    fn envelope(size: usize) -> Bytes {
        Bytes::from(vec![7; size])
    }

    fn sizes(batches: &[Vec<Bytes>]) -> Vec<Vec<usize>> {
        batches.iter().map(|batch| batch.iter().map(Bytes::len).collect()).collect()
    }

    #[test]
    fn the_count_closes_a_batch() {
        let mut cutter = Cutter::new(LIMITS);
        assert!(cutter.order(envelope(1), 1).is_empty());
        assert!(cutter.order(envelope(2), 2).is_empty());
        assert_eq!(sizes(&cutter.order(envelope(3), 3)), [vec![1, 2, 3]]);
        assert_eq!(cutter.pending(), 0);
    }

    #[test]
    fn an_envelope_that_does_not_fit_closes_what_is_pending() {
        let mut cutter = Cutter::new(LIMITS);
        assert!(cutter.order(envelope(6), 6).is_empty());
        assert_eq!(sizes(&cutter.order(envelope(5), 5)), [vec![6]]);
        assert_eq!(cutter.pending(), 1);
    }

    #[test]
    fn a_large_envelope_is_alone_in_its_block() {
        let mut cutter = Cutter::new(LIMITS);
        assert!(cutter.order(envelope(6), 6).is_empty());
        assert_eq!(sizes(&cutter.order(envelope(11), 11)), [vec![6], vec![11]]);
        assert_eq!(cutter.cut(), None);
    }

    proptest! {
        #[test]
        fn order_is_kept_and_limits_hold(sizes in prop::collection::vec(0usize..20, 0..60)) {
            let mut cutter = Cutter::new(LIMITS);
            let mut out = Vec::new();
            for size in &sizes {
                out.extend(cutter.order(envelope(*size), *size));
            }
            out.extend(cutter.cut());
            for batch in &out {
                prop_assert!(!batch.is_empty() && batch.len() <= 3);
                let bytes: usize = batch.iter().map(Bytes::len).sum();
                prop_assert!(bytes <= 10 || batch.len() == 1);
            }
            let flat: Vec<usize> = out.iter().flatten().map(Bytes::len).collect();
            prop_assert_eq!(flat, sizes);
        }
    }
}
