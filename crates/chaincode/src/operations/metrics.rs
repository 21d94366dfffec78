//! The metrics and their names.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
pub(crate) use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::meter::Level;

/// Bounds of the histogram of durations, in seconds: from a transaction that asks the peer for nothing to Fabric's
/// time-out of 30 seconds.
const SECONDS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 30.0];

/// Labels by name.
type Labels<const N: usize> = [(&'static str, String); N];

/// Of all servers of an operations port, told apart by their package ids.
pub(crate) struct Metrics {
    streams: Family<Labels<1>, Gauge>,
    registered_peers: Family<Labels<1>, Gauge>,
    transactions: Family<Labels<1>, Gauge>,
    waiting_transactions: Family<Labels<1>, Gauge>,
    outgoing_messages: Family<Labels<1>, Gauge>,
    seconds: Family<Labels<2>, Histogram>,
    messages: Family<Labels<2>, Counter>,
    bytes: Family<Labels<2>, Counter>,
    stream_failures: Family<Labels<2>, Counter>,
    refusals: Family<Labels<2>, Counter>,
    pub(super) held_bytes: Family<Labels<1>, Gauge>,
    pub(super) ready: Family<Labels<1>, Gauge>,
    pub(super) reloads: Family<Labels<2>, Gauge>,
    pub(super) expiry: Family<Labels<3>, Gauge>,
}

impl Metrics {
    pub(super) fn new() -> (Self, Registry) {
        let mut registry = Registry::with_prefix("selvedge");
        let metrics = Self {
            streams: gauge(&mut registry, "streams", "Streams of peers that are open"),
            registered_peers: gauge(
                &mut registry,
                "registered_peers",
                "Streams on which the peer has accepted the registration",
            ),
            transactions: gauge(
                &mut registry,
                "transactions_running",
                "Transactions that have begun and not ended",
            ),
            waiting_transactions: gauge(
                &mut registry,
                "transactions_waiting",
                "Transactions that have begun and that no thread has taken up yet",
            ),
            outgoing_messages: gauge(
                &mut registry,
                "outgoing_messages_waiting",
                "Messages to peers that wait until the connection takes them",
            ),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            messages: Family::default(),
            bytes: Family::default(),
            stream_failures: Family::default(),
            refusals: Family::default(),
            held_bytes: gauge(
                &mut registry,
                "receive_budget_bytes",
                "Bytes of received messages that are held beyond what is free for each connection",
            ),
            ready: gauge(&mut registry, "ready", "1 when peers can be served, else 0"),
            reloads: Family::default(),
            expiry: Family::default(),
        };
        registry.register(
            "transaction_seconds",
            "From a transaction's arrival to its outcome: success, error (a response of status 400 or more), or failed",
            metrics.seconds.clone(),
        );
        registry.register("messages", "Messages received and sent", metrics.messages.clone());
        registry.register("payload_bytes", "Bytes of their payloads", metrics.bytes.clone());
        registry.register(
            "stream_failures",
            "Streams that ended before their peer closed them, by kind",
            metrics.stream_failures.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections that were not let in, or closed when they were judged again, by reason",
            metrics.refusals.clone(),
        );
        registry.register(
            "configuration_reloads",
            "Changes of the TLS configuration's files since the start, by what became of them",
            metrics.reloads.clone(),
        );
        registry.register(
            "expiry_timestamp_seconds",
            "When a certificate or revocation list expires, in seconds since 1970",
            metrics.expiry.clone(),
        );
        (metrics, registry)
    }

    /// The metrics of one server.
    pub(super) fn of(&self, package_id: &str) -> ServerMetrics {
        let labels = [("package_id", package_id.to_owned())];
        let with = |family: &Family<Labels<1>, Gauge>| family.get_or_create(&labels).clone();
        let direction = |family: &Family<Labels<2>, Counter>, direction: &str| {
            family.get_or_create(&labels_of(package_id, "direction", direction)).clone()
        };
        ServerMetrics {
            package_id: package_id.to_owned(),
            streams: with(&self.streams),
            registered_peers: with(&self.registered_peers),
            transactions: with(&self.transactions),
            waiting_transactions: with(&self.waiting_transactions),
            outgoing_messages: with(&self.outgoing_messages),
            received_messages: direction(&self.messages, "received"),
            received_bytes: direction(&self.bytes, "received"),
            sent_messages: direction(&self.messages, "sent"),
            sent_bytes: direction(&self.bytes, "sent"),
            seconds: self.seconds.clone(),
            stream_failures: self.stream_failures.clone(),
        }
    }

    /// A connection was refused, for a reason of a fixed list.
    pub(super) fn refused(&self, package_id: &str, reason: &'static str) {
        self.refusals.get_or_create(&labels_of(package_id, "reason", reason)).inc();
    }
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Family<Labels<1>, Gauge> {
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}

pub(super) fn labels_of(package_id: &str, name: &'static str, value: &str) -> Labels<2> {
    [("package_id", package_id.to_owned()), (name, value.to_owned())]
}

/// What a server measures while it serves.
pub(crate) struct ServerMetrics {
    package_id: String,
    streams: Gauge,
    registered_peers: Gauge,
    transactions: Gauge,
    waiting_transactions: Gauge,
    outgoing_messages: Gauge,
    received_messages: Counter,
    received_bytes: Counter,
    sent_messages: Counter,
    sent_bytes: Counter,
    seconds: Family<Labels<2>, Histogram>,
    stream_failures: Family<Labels<2>, Counter>,
}

impl ServerMetrics {
    pub(crate) fn level(&self, level: Level) -> &Gauge {
        match level {
            Level::Streams => &self.streams,
            Level::RegisteredPeers => &self.registered_peers,
            Level::Transactions => &self.transactions,
            Level::WaitingTransactions => &self.waiting_transactions,
            Level::OutgoingMessages => &self.outgoing_messages,
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.received_messages.inc();
        self.received_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.sent_messages.inc();
        self.sent_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    pub(crate) fn stream_failed(&self, kind: &'static str) {
        self.stream_failures.get_or_create(&labels_of(&self.package_id, "kind", kind)).inc();
    }

    pub(crate) fn finished(&self, outcome: &'static str, after: Duration) {
        let labels = labels_of(&self.package_id, "outcome", outcome);
        self.seconds.get_or_create(&labels).observe(after.as_secs_f64());
    }
}
