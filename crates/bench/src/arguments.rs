//! The command line.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use selvedge_client::connect::ConnectionOptions;

use crate::process::Process;
use crate::template::Template;

/// More waiting calls than a gateway of Fabric's takes (500), and few enough to bound what this program holds.
const MOST_IN_FLIGHT: u64 = 4096;

const EXAMPLES: &str = "\
Examples:
  A network and a chaincode of this project, started for the run and gone after it:
    selvedge-bench evaluate --embedded --in-flight 64 ReadAsset asset1
  Any Fabric network: tell the peer, TLS and identity as Fabric's peer command is told, by CORE_PEER_… or options;
  name the processes of this machine whose CPU time counts:
    selvedge-bench submit -C mychannel -n basic --rate 100 --duration 30 \\
      --process peer=$(pgrep -x peer) CreateAsset '{run}-{i}' blue 5 Tomoko 300
  The table in docs/performance.md:
    selvedge-bench figures --rounds 3

Exit code: 0 if every call was answered well, 1 if some failed, 2 if nothing was measured.";

/// Load for a Fabric gateway, this project's or any other: what it answers, how fast, and at what cost in CPU time.
#[derive(Debug, Parser)]
#[command(name = "selvedge-bench", after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Evaluate transactions
    Evaluate(LoadArguments),
    /// Have transactions endorsed, and nothing more
    Endorse(LoadArguments),
    /// Have transactions endorsed and ordered, and wait until each is valid in a block
    Submit(LoadArguments),
    /// Measure this project's own network and sample chaincode, all started for it: one table
    Figures(FiguresArguments),
    /// A network as a process of its own; this program starts it
    #[command(hide = true)]
    Network,
    /// The sample chaincode as a process of its own; this program starts it
    #[command(hide = true)]
    Chaincode,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    /// The channel (default: the one of --config, if it has but one)
    #[arg(long, short = 'C', value_name = "CHANNEL")]
    pub(crate) channel: Option<String>,
    /// The chaincode's name
    #[arg(long, short, value_name = "NAME", default_value = "basic")]
    pub(crate) name: String,
    /// The function, followed by its arguments; {i} in them is the transaction's number, {i%N} its remainder, {run} a
    /// word that no other run has
    #[arg(value_name = "FUNCTION [ARGS]", required = true, allow_negative_numbers = true)]
    pub(crate) call: Vec<Template>,
    #[command(flatten)]
    pub(crate) load: Load,
    /// Name a process whose CPU time is to be told; may be repeated. This program's own is told always
    #[arg(long, value_name = "NAME=PID")]
    pub(crate) process: Vec<Process>,
    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Start a network of one peer and the sample asset-transfer-basic for this run, as processes of their own; the
    /// chaincode is called basic, and holds asset1 to asset6
    #[arg(long, conflicts_with_all = ["config", "peer"])]
    pub(crate) embedded: bool,
    #[command(flatten)]
    pub(crate) connection: ConnectionOptions,
}

/// How much is asked for, and how fast.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// Calls that are made at once at most
    #[arg(long, short, value_name = "N", default_value = "16", value_parser = clap::value_parser!(u16).range(1..=MOST_IN_FLIGHT as i64))]
    pub(crate) in_flight: u16,
    /// Begin so many a second, whether or not earlier ones are answered; latencies count from when a call should have
    /// begun (default: begin one whenever one is answered)
    #[arg(long, value_name = "PER SECOND", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Connections that the calls are spread over
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) connections: u16,
    /// End after this long, at most 840: peers refuse proposals that were signed more than 15 minutes ago
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// End after so many transactions, if that is earlier
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: Option<u32>,
    /// Load that is not counted, beforehand
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) warm_up: Duration,
    /// Proposals that are made and signed beforehand, for warm-up and run together; when none is left the run ends
    /// (default: enough for --count or --rate, else 10,000 a second)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    pub(crate) prepare: Option<u32>,
    /// How long one call may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct FiguresArguments {
    /// Rounds, each with a network of its own; the table has the medians
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=25))]
    pub(crate) rounds: u8,
    /// How long each row is measured in each round
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    pub(crate) duration: Duration,
    /// Load that is not counted, before each row
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) warm_up: Duration,
    /// Print a JSON document with every round instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Fabric's window of 15 minutes for the age of a proposal, less a minute for signing.
pub(crate) const OLDEST: Duration = Duration::from_secs(14 * 60);

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=OLDEST.as_secs_f64()).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err("give seconds, such as 5 or 0.5, at most 840".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(rate),
        _ => Err("give a number from 0.01 to 1000000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
