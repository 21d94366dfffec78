//! One measurement: prepare, warm up, load, and what that took of every process.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use selvedge_client::connect::Settings;
use selvedge_client::{Gateway, Timeouts};
use tokio_util::sync::CancellationToken;

use crate::arguments::{Load, OLDEST};
use crate::error::BenchError;
use crate::load::{Pace, drive};
use crate::outcome::Outcome;
use crate::prepare::{Call, Stock};
use crate::process::{Process, Usage};
use crate::report::{ProcessReport, Report};
use crate::tell;

/// What is prepared for each second that has no rate and no count.
const PREPARED_PER_SECOND: f64 = 10_000.0;

/// The most that is prepared unless told otherwise; a proposal takes about two kilobytes.
const MOST_PREPARED: f64 = 300_000.0;

/// Puts the load on the gateway.
pub(crate) async fn measure(
    settings: &Settings,
    call: &Call,
    load: &Load,
    processes: &[Process],
    stop: &CancellationToken,
) -> Result<Report, BenchError> {
    if load.warm_up + load.duration > OLDEST {
        let most = OLDEST.as_secs();
        return Err(BenchError::TooLong { most });
    }
    let processes: Vec<Process> = std::iter::once(Process::own()).chain(processes.iter().cloned()).collect();
    // Whoever named a process that cannot be watched learns of it before the load, not after.
    usage(&processes)?;
    let gateways = connect(settings, load).await?;
    let gateways: Arc<[Gateway]> = gateways.into();
    let count = prepared(load);
    tell(&format!("signing {count} proposals beforehand"));
    let stock = Arc::new(Stock::make(call, &gateways[0], &run_word(), count).await?);
    let send = {
        let (gateways, stock) = (Arc::clone(&gateways), Arc::clone(&stock));
        move |worker: u16| stock.send(&gateways[usize::from(worker) % gateways.len()])
    };
    let interval = load.rate.map(|rate| Duration::from_secs_f64(1.0 / rate));
    tell("warming up");
    let pace = Pace { in_flight: load.in_flight, interval, duration: load.warm_up, count: u64::MAX };
    let warm_up = drive(pace, stop, send.clone()).await;

    let before = usage(&processes)?;
    tell("measuring; Ctrl-C ends it with what it has");
    let count = load.count.map_or(u64::MAX, u64::from);
    let mut outcome = drive(Pace { duration: load.duration, count, ..pace }, stop, send).await;
    let after: Vec<_> = processes.iter().map(Usage::of).collect();
    let mut used = Vec::new();
    for (process, (before, after)) in processes.iter().zip(before.iter().zip(after)) {
        match after {
            Ok(after) => used.push(ProcessReport::new(process, before, &after, &outcome)),
            // The rest is told all the same.
            Err(error) => outcome.failed("process", &error.to_string()),
        }
    }
    Ok(Report::new(call, load, &warm_up, &outcome, used))
}

fn usage(processes: &[Process]) -> Result<Vec<Usage>, BenchError> {
    processes.iter().map(Usage::of).collect()
}

async fn connect(settings: &Settings, load: &Load) -> Result<Vec<Gateway>, BenchError> {
    let timeouts = Timeouts {
        evaluate: load.timeout,
        endorse: load.timeout,
        submit: load.timeout,
        commit_status: load.timeout,
    };
    let mut gateways = Vec::new();
    for _ in 0..load.connections {
        gateways.push(settings.gateway().await?.timeouts(timeouts));
    }
    Ok(gateways)
}

/// How many transactions are made beforehand.
fn prepared(load: &Load) -> u32 {
    if let Some(prepared) = load.prepare {
        return prepared;
    }
    let expected = |time: Duration| (time.as_secs_f64() * load.rate.unwrap_or(PREPARED_PER_SECOND)).ceil();
    let run = load
        .count
        .map_or_else(|| expected(load.duration), |count| f64::from(count).min(expected(load.duration)));
    (expected(load.warm_up) + run).clamp(1.0, MOST_PREPARED) as u32
}

/// A word that no other run has.
fn run_word() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_micros(), std::process::id())
}

impl Outcome {
    /// The share of CPU time that falls to one good answer.
    pub(crate) fn per_answer(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() * 1e6 / (self.answers().max(1)) as f64
    }
}
