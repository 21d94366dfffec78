//! What is measured while a chaincode is served. Without the feature `operations`, or without an operations port, nothing
//! is.

use std::time::Duration;

/// What is there at a moment, counted up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Streams that are open.
    Streams,
    /// Of those, the ones whose peer has accepted the registration.
    RegisteredPeers,
    /// Transactions that have begun and not ended.
    Transactions,
    /// Of those, the ones that no thread has taken up yet.
    WaitingTransactions,
    /// Messages that wait until the connection takes them.
    OutgoingMessages,
}

/// Where a server's measurements go.
#[derive(Clone, Default)]
pub(crate) struct Meter {
    #[cfg(feature = "operations")]
    metrics: Option<std::sync::Arc<crate::operations::ServerMetrics>>,
}

/// Something that counts at a [`Level`] until it is dropped.
#[derive(Default)]
pub(crate) struct Held {
    #[cfg(feature = "operations")]
    gauge: Option<crate::operations::Gauge>,
}

#[cfg(feature = "operations")]
impl Meter {
    pub(crate) fn new(metrics: crate::operations::ServerMetrics) -> Self {
        Self { metrics: Some(std::sync::Arc::new(metrics)) }
    }

    pub(crate) fn hold(&self, level: Level) -> Held {
        let gauge = self.metrics.as_ref().map(|metrics| metrics.level(level).clone());
        if let Some(gauge) = &gauge {
            gauge.inc();
        }
        Held { gauge }
    }

    /// A message came with a payload of so many bytes.
    pub(crate) fn received(&self, bytes: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.received(bytes);
        }
    }

    /// A message was handed to the connection.
    pub(crate) fn sent(&self, bytes: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.sent(bytes);
        }
    }

    /// A stream ended before its peer closed it.
    pub(crate) fn stream_failed(&self, kind: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.stream_failed(kind);
        }
    }

    /// A transaction ended.
    pub(crate) fn finished(&self, outcome: &'static str, after: Duration) {
        if let Some(metrics) = &self.metrics {
            metrics.finished(outcome, after);
        }
    }
}

#[cfg(feature = "operations")]
impl Drop for Held {
    fn drop(&mut self) {
        if let Some(gauge) = &self.gauge {
            gauge.dec();
        }
    }
}

#[cfg(not(feature = "operations"))]
impl Meter {
    pub(crate) fn hold(&self, _level: Level) -> Held {
        Held::default()
    }

    pub(crate) fn received(&self, _bytes: usize) {}

    pub(crate) fn sent(&self, _bytes: usize) {}

    pub(crate) fn stream_failed(&self, _kind: &'static str) {}

    pub(crate) fn finished(&self, _outcome: &'static str, _after: Duration) {}
}
