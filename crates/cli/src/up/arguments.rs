//! The command lines of `up`, `status` and `down`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use selvedge_client::connect::NO_DESCRIPTION;
use selvedge_network::{Cutting, Description};

use crate::arguments::Sample;
use crate::errors;
use crate::failure::Failure;

/// Where a network is kept if `--dir` names no other folder.
const FOLDER: &str = "selvedge-network";

/// The variable that names the file of a network.
const CONFIG: &str = "SELVEDGE_CONFIG";

/// What the peers of the largest network need above the first port: 10 organisations of 10 peers.
const PORTS: u16 = 1 + 9 * 2000 + 9 * 100;

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// How many organisations the network has [default: as in the folder, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) orgs: Option<u8>,
    /// How many peers each organisation has [default: as in the folder, or 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) peers: Option<u8>,
    /// The channels, which all peers join [default: as in the folder, or mychannel]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', value_parser = channel)]
    pub(crate) channels: Vec<String>,
    /// Keep identities and ledgers in DIR (selvedge-network if only --dir is given), and continue with what is there;
    /// without it everything is gone when the network stops
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = FOLDER)]
    pub(crate) dir: Option<PathBuf>,
    /// The orderer's port; peers have the ports above it, organisations 2000 apart. 0 takes any free ports
    #[arg(long, value_name = "PORT", default_value = "7050", value_parser = port)]
    pub(crate) port: u16,
    /// When the orderer closes a block: adaptive (at once while nothing else waits), batch-timeout (as long after its
    /// first transaction as the channel's BatchTimeout says, as a real ordering service does), interval=DURATION after its
    /// first transaction, or manual (when Enter is pressed here, or by selvedge cut)
    #[arg(long, value_name = "WHEN", default_value = "adaptive", value_parser = cutting)]
    pub(crate) cutting: Cutting,
    /// Run a sample chaincode as a process of its own, bring it onto the first channel as `basic`, and commit its first
    /// transaction
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "asset-transfer-basic")]
    pub(crate) sample: Option<Sample>,
    /// Write endpoints, channels, organisations and identities with their files to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) config_out: Option<PathBuf>,
    /// Print the same as one line of JSON when the network is ready, and another one about the sample, instead of telling
    /// a person
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DownArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print a JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CutArguments {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Only this channel; may be repeated (default: all)
    #[arg(long = "channel", short = 'C', value_name = "CHANNEL")]
    pub(crate) channels: Vec<String>,
    /// Print a JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which network is meant.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The network's folder, as selvedge up says it [default: that of $SELVEDGE_CONFIG, or selvedge-network]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The file that selvedge up has written with --config-out, instead of the folder
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    config: Option<PathBuf>,
}

impl Place {
    /// The folder of the network that is meant: as the command line says, or the variable that all other commands obey.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        let from = |file: &Path| {
            let description = Description::read_file(file);
            let description = description.map_err(|error| errors::network(&error).or_fix(NO_DESCRIPTION))?;
            Ok(description.folder)
        };
        match (&self.dir, &self.config) {
            (Some(dir), _) => Ok(dir.clone()),
            (None, Some(file)) => from(file),
            (None, None) => match std::env::var_os(CONFIG).filter(|file| !file.is_empty()) {
                Some(file) => from(Path::new(&file)),
                None => Ok(PathBuf::from(FOLDER)),
            },
        }
    }
}

/// The rule is Fabric's: such names are safe as file names too.
fn channel(name: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
    if name.len() <= 249 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(good) {
        Ok(name.to_owned())
    } else {
        Err("a channel's name begins with a lower-case letter and has lower-case letters, digits, dots and \
             hyphens, at most 249"
            .to_owned())
    }
}

fn port(text: &str) -> Result<u16, String> {
    let highest = u16::MAX - PORTS;
    match text.parse() {
        Ok(port) if port == 0 || (1024..=highest).contains(&port) => Ok(port),
        _ => Err(format!("give 0, or a port from 1024 to {highest}: the peers need those above it")),
    }
}

fn cutting(text: &str) -> Result<Cutting, String> {
    const LONGEST: Duration = Duration::from_secs(3600);
    match text {
        "adaptive" => return Ok(Cutting::Adaptive),
        "batch-timeout" => return Ok(Cutting::BatchTimeout),
        "manual" => return Ok(Cutting::Manual),
        _ => {}
    }
    let interval = text.strip_prefix("interval=").and_then(duration);
    match interval {
        Some(interval) if !interval.is_zero() && interval <= LONGEST => Ok(Cutting::Interval(interval)),
        _ => Err("give adaptive, batch-timeout, manual, or interval=DURATION such as interval=2s or interval=500ms, at most 1h"
            .to_owned()),
    }
}

/// A whole number with its unit: `ms`, `s`, `m` or `h`.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    Some(Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(milliseconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_leave_room_for_the_peers() {
        assert_eq!(port("0"), Ok(0));
        assert_eq!(port("7050"), Ok(7050));
        assert_eq!(port(&(u16::MAX - PORTS).to_string()), Ok(u16::MAX - PORTS));
        for wrong in ["", "-1", "80", "65535", "70000", "http"] {
            assert!(port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn blocks_are_cut_at_once_or_after_a_while() {
        assert_eq!(cutting("adaptive"), Ok(Cutting::Adaptive));
        assert_eq!(cutting("batch-timeout"), Ok(Cutting::BatchTimeout));
        assert_eq!(cutting("interval=500ms"), Ok(Cutting::Interval(Duration::from_millis(500))));
        assert_eq!(cutting("interval=1h"), Ok(Cutting::Interval(Duration::from_secs(3600))));
        assert_eq!(cutting("manual"), Ok(Cutting::Manual));
        for wrong in ["", "interval", "interval=", "interval=2", "interval=0s", "interval=2h", "interval=-1s"]
        {
            assert!(cutting(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn channels_have_names_as_fabric_wants_them() {
        assert!(channel("my.channel-1").is_ok());
        for wrong in ["", "1a", "My", "../a", "a/b", "a_b", &"a".repeat(250)] {
            assert!(channel(wrong).is_err(), "{wrong}");
        }
    }
}
