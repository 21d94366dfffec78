//! What a measurement tells, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::arguments::Load;
use crate::outcome::{ErrorKind, Outcome};
use crate::prepare::{Call, Operation};
use crate::process::{Process, Usage};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    operation: Operation,
    channel: String,
    chaincode: String,
    function: String,
    connections: u16,
    in_flight: u16,
    /// Calls a second that were asked for.
    rate: Option<f64>,
    /// What ended it.
    ended: &'static str,
    seconds: f64,
    /// Good answers.
    pub(crate) transactions: u64,
    /// Good answers a second.
    pub(crate) throughput: f64,
    pub(crate) latency_ms: Latencies,
    /// By kind.
    pub(crate) errors: BTreeMap<String, ErrorKind>,
    /// Those of the warm-up, which count nowhere else.
    pub(crate) warm_up_errors: BTreeMap<String, ErrorKind>,
    pub(crate) processes: Vec<ProcessReport>,
}

/// Of good answers, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latencies {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ProcessReport {
    pub(crate) name: String,
    pid: u32,
    /// User and system, microseconds for each good answer.
    pub(crate) cpu_us_per_transaction: f64,
    /// Of one core, while the load lasted.
    cpu_percent: f64,
    /// At the end.
    pub(crate) resident_mib: f64,
}

impl ProcessReport {
    pub(crate) fn new(process: &Process, before: &Usage, after: &Usage, outcome: &Outcome) -> Self {
        let cpu = after.cpu.saturating_sub(before.cpu);
        Self {
            name: process.name.clone(),
            pid: process.pid,
            cpu_us_per_transaction: outcome.per_answer(cpu),
            cpu_percent: cpu.as_secs_f64() * 100.0 / outcome.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            resident_mib: after.resident_bytes as f64 / f64::from(1 << 20),
        }
    }
}

impl Report {
    pub(crate) fn new(
        call: &Call,
        load: &Load,
        warm_up: &Outcome,
        outcome: &Outcome,
        processes: Vec<ProcessReport>,
    ) -> Self {
        let ended = match (outcome, load.count) {
            (Outcome { interrupted: true, .. }, _) => "interrupted",
            (Outcome { ran_out: true, .. }, _) => "no prepared proposal left",
            (_, Some(count)) if outcome.answers() + outcome.failures() >= u64::from(count) => "count",
            _ => "duration",
        };
        Self {
            operation: call.operation,
            channel: call.channel.clone(),
            chaincode: call.chaincode.clone(),
            function: call.words.first().map(|word| word.fill(0, "")).unwrap_or_default(),
            connections: load.connections,
            in_flight: load.in_flight,
            rate: load.rate,
            ended,
            seconds: outcome.elapsed.as_secs_f64(),
            transactions: outcome.answers(),
            throughput: outcome.throughput(),
            latency_ms: Latencies {
                p50: outcome.quantile(0.5),
                p90: outcome.quantile(0.9),
                p99: outcome.quantile(0.99),
                max: outcome.longest(),
            },
            errors: outcome.errors.clone(),
            warm_up_errors: warm_up.errors.clone(),
            processes,
        }
    }

    /// The first failure, if there is any, in the warm-up or later.
    pub(crate) fn failure(&self) -> Option<(u64, &str)> {
        let kinds = || self.errors.values().chain(self.warm_up_errors.values());
        let first = kinds().next()?;
        Some((kinds().map(|kind| kind.count).sum(), &first.example))
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let verb = match self.operation {
            Operation::Evaluate => "evaluate",
            Operation::Endorse => "endorse",
            Operation::Submit => "submit and commit",
        };
        let mut row = |label: &str, value: String| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{label:<14}{value}");
        };
        let rate = self.rate.map(|rate| format!(", {rate} a second asked for")).unwrap_or_default();
        row(
            verb,
            format!(
                "{} of {} on {}, {} in flight over {} connections{rate}",
                self.function, self.chaincode, self.channel, self.in_flight, self.connections
            ),
        );
        row(
            "transactions",
            format!("{} in {:.2} s (ended by: {})", self.transactions, self.seconds, self.ended),
        );
        row("throughput", format!("{:.1}/s", self.throughput));
        let Latencies { p50, p90, p99, max } = self.latency_ms;
        row("latency", format!("p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, max {max:.2} ms"));
        for process in &self.processes {
            let ProcessReport { name, pid, cpu_us_per_transaction, cpu_percent, resident_mib } = process;
            row(
                "CPU",
                format!(
                    "{name} ({pid}): {cpu_us_per_transaction:.0} µs a transaction, {cpu_percent:.0}% of a core, \
                     {resident_mib:.0} MiB resident"
                ),
            );
        }
        for (when, errors) in [("errors", &self.errors), ("in warm-up", &self.warm_up_errors)] {
            for (kind, ErrorKind { count, example }) in errors {
                row(when, format!("{count} × {kind}, such as: {example}"));
            }
        }
        text
    }
}
