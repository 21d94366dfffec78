//! The rows that this project publishes of itself, each measured several times; what is told is the median.

use std::fmt::Write;
use std::time::Duration;

use selvedge_client::Gateway;
use selvedge_client::connect::{Role, Settings};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::arguments::{FiguresArguments, Load};
use crate::embedded::{CHAINCODE, CHANNEL, Embedded};
use crate::error::BenchError;
use crate::measure::measure;
use crate::prepare::{Call, Operation, Stock};
use crate::report::Report;
use crate::{json, print, tell};

/// What a row measures.
struct Row {
    name: &'static str,
    operation: Operation,
    call: &'static [&'static str],
    in_flight: u16,
    /// More than the fastest machine in sight takes in a second.
    prepared_per_second: f64,
}

const READ: &[&str] = &["ReadAsset", "asset{i%1000}"];
const CREATE: &[&str] = &["CreateAsset", "bench-{run}-{i}", "blue", "5", "Tomoko", "300"];

/// How many assets there are while the first rows read them.
const ASSETS: u32 = 1000;

const fn row(name: &'static str, operation: Operation, call: &'static [&'static str], in_flight: u16) -> Row {
    let prepared_per_second = match operation {
        Operation::Evaluate => 15_000.0,
        Operation::Endorse | Operation::Submit => 6_000.0,
    };
    Row { name, operation, call, in_flight, prepared_per_second }
}

/// In this order: rows that write make the ledger larger for those after them.
const ROWS: [Row; 8] = [
    row("evaluate ReadAsset, 1 in flight", Operation::Evaluate, READ, 1),
    row("evaluate ReadAsset, 16", Operation::Evaluate, READ, 16),
    row("evaluate ReadAsset, 64", Operation::Evaluate, READ, 64),
    row("evaluate GetAllAssets of 1,000, 1", Operation::Evaluate, &["GetAllAssets"], 1),
    row("endorse CreateAsset, 16", Operation::Endorse, CREATE, 16),
    row("submit CreateAsset until committed, 1", Operation::Submit, CREATE, 1),
    row("submit CreateAsset until committed, 64", Operation::Submit, CREATE, 64),
    row("submit CreateAsset until committed, 256", Operation::Submit, CREATE, 256),
];

/// A row's measurements, one for each round.
#[derive(Serialize)]
struct Figure {
    name: &'static str,
    rounds: Vec<Report>,
}

/// Measures and prints. What is complete when it is stopped is told.
pub(crate) async fn run(arguments: &FiguresArguments, stop: &CancellationToken) -> Result<(), BenchError> {
    let mut figures: Vec<Figure> =
        ROWS.iter().map(|row| Figure { name: row.name, rounds: Vec::new() }).collect();
    for round in 1..=arguments.rounds {
        if stop.is_cancelled() {
            break;
        }
        let embedded = Embedded::start(stop).await?;
        let measured = measure_round(arguments, &embedded, round, &mut figures, stop).await;
        embedded.stop().await?;
        measured?;
    }
    if arguments.json { print(&json(&figures)) } else { print(&table(&figures)) }
}

async fn measure_round(
    arguments: &FiguresArguments,
    embedded: &Embedded,
    round: u8,
    figures: &mut [Figure],
    stop: &CancellationToken,
) -> Result<(), BenchError> {
    let settings = embedded.connection.settings(Role::Client)?;
    fill(&settings).await?;
    for (row, figure) in ROWS.iter().zip(figures) {
        tell(&format!("round {round} of {}: {}", arguments.rounds, row.name));
        let seconds = (arguments.duration + arguments.warm_up).as_secs_f64();
        let load = Load {
            in_flight: row.in_flight,
            rate: None,
            connections: 4,
            duration: arguments.duration,
            count: None,
            warm_up: arguments.warm_up,
            prepare: Some((seconds * row.prepared_per_second).clamp(1.0, 2e6) as u32),
            timeout: Duration::from_secs(30),
        };
        let call = call(row.operation, row.call);
        let report = measure(&settings, &call, &load, &embedded.processes(), stop).await?;
        if let Some((errors, example)) = report.failure() {
            return Err(BenchError::Row { row: row.name, errors, example: example.to_owned() });
        }
        if stop.is_cancelled() {
            break;
        }
        figure.rounds.push(report);
    }
    Ok(())
}

fn call(operation: Operation, words: &[&str]) -> Call {
    let words = words.iter().map(|word| word.parse().expect("the rows' words are templates")).collect();
    Call { operation, channel: CHANNEL.to_owned(), chaincode: CHAINCODE.to_owned(), words }
}

/// Adds assets to the sample's six, so that there are `asset0` to `asset999`.
async fn fill(settings: &Settings) -> Result<(), BenchError> {
    const IN_FLIGHT: usize = 64;
    let gateway: Gateway = settings.gateway().await?;
    let words = ["CreateAsset", "asset{i}", "blue", "5", "Tomoko", "300"];
    let stock = Stock::make(&call(Operation::Submit, &words), &gateway, "", ASSETS).await?;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..ASSETS {
        let Some(send) = stock.send(&gateway) else { break };
        // The ledger has these already.
        if !(1..=6).contains(&number) {
            calls.spawn(send);
        }
        if calls.len() == IN_FLIGHT {
            done(&mut calls).await?;
        }
    }
    while !calls.is_empty() {
        done(&mut calls).await?;
    }
    Ok(())
}

async fn done(
    calls: &mut tokio::task::JoinSet<Result<(), selvedge_client::ClientError>>,
) -> Result<(), BenchError> {
    match calls.join_next().await {
        Some(Ok(result)) => Ok(result?),
        Some(Err(error)) => Err(BenchError::Embedded(error.to_string())),
        None => Ok(()),
    }
}

/// A table in Markdown.
fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| | per second | p50 ms | p99 ms | CPU peer and orderer, µs | CPU chaincode, µs | CPU load program, µs |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for figure in figures.iter().filter(|figure| !figure.rounds.is_empty()) {
        let median = |of: &dyn Fn(&Report) -> f64| median(figure.rounds.iter().map(of).collect());
        let cpu = |place: usize| {
            median(&|report| report.processes.get(place).map_or(f64::NAN, |used| used.cpu_us_per_transaction))
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {:.1} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} |",
            figure.name,
            median(&|report| report.throughput),
            median(&|report| report.latency_ms.p50),
            median(&|report| report.latency_ms.p99),
            cpu(1),
            cpu(2),
            cpu(0),
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
