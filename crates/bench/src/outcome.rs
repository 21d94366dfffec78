//! What came of the calls.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use selvedge_client::ClientError;

/// Digits that latencies keep.
const DIGITS: u8 = 3;

/// Longer ones count as this long.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Answers and failures. Both are bounded: latencies are counted in buckets, failures by their kind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Latencies of good answers, in microseconds.
    latencies: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, ErrorKind>,
    /// From the beginning of the first call to the last answer.
    pub(crate) elapsed: Duration,
    /// The prepared proposals did not last.
    pub(crate) ran_out: bool,
    pub(crate) interrupted: bool,
}

/// How often one kind of failure happened, and what the first of them said.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct ErrorKind {
    pub(crate) count: u64,
    pub(crate) example: String,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            latencies: Histogram::new(DIGITS).expect("a histogram may have three digits"),
            errors: BTreeMap::new(),
            elapsed: Duration::ZERO,
            ran_out: false,
            interrupted: false,
        }
    }
}

impl Outcome {
    pub(crate) fn answered(&mut self, latency: Duration) {
        let microseconds = latency.min(LONGEST).as_micros() as u64;
        self.latencies.record(microseconds).expect("a histogram without a bound makes room");
    }

    pub(crate) fn refused(&mut self, error: &ClientError) {
        let kind = match error {
            ClientError::Service { operation, code, .. } => format!("{operation}: {code:?}"),
            ClientError::Refused { operation, status, .. } => format!("{operation}: status {status}"),
            ClientError::Invalid { code, .. } => format!("commit: {}", code.as_str_name()),
            ClientError::Answer { operation, .. } => format!("{operation}: unusable answer"),
            _ => "signing".to_owned(),
        };
        self.failed(&kind, &error.to_string());
    }

    /// Calls that could not begin in time.
    pub(crate) fn missed(&mut self, count: u64, in_flight: u16) {
        let example = format!("their moment came while {in_flight} calls waited for answers, until the end");
        self.errors.insert("not begun".to_owned(), ErrorKind { count, example });
    }

    pub(crate) fn failed(&mut self, kind: &str, example: &str) {
        let seen = self.errors.entry(kind.to_owned());
        seen.or_insert_with(|| ErrorKind { count: 0, example: example.to_owned() }).count += 1;
    }

    /// Takes in what another worker saw.
    pub(crate) fn add(&mut self, other: &Self) {
        self.latencies += &other.latencies;
        for (kind, seen) in &other.errors {
            let mine = self.errors.entry(kind.clone());
            mine.or_insert_with(|| ErrorKind { count: 0, ..seen.clone() }).count += seen.count;
        }
        self.ran_out |= other.ran_out;
    }

    /// How many good answers there were.
    pub(crate) fn answers(&self) -> u64 {
        self.latencies.len()
    }

    /// How many calls failed.
    pub(crate) fn failures(&self) -> u64 {
        self.errors.values().map(|kind| kind.count).sum()
    }

    /// The latency that this share of the answers does not exceed, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1000.0
    }

    pub(crate) fn longest(&self) -> f64 {
        self.latencies.max() as f64 / 1000.0
    }

    /// Good answers a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.answers() as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
