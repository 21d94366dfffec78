//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::chain::block::BlockArguments;
use crate::commands::chain::events::EventsArguments;
use crate::commands::chain::tx::TxArguments;
use crate::commands::chaincode::ChaincodeCommand;
use crate::commands::completions::CompletionsArguments;
use crate::commands::explain::ExplainArguments;
use crate::commands::package::PackageCommand;
use crate::commands::tls::TlsCommand;
use crate::commands::transact::{CallArguments, InvokeArguments};
use crate::up::arguments::{CutArguments, DownArguments, StatusArguments, UpArguments};

/// Hyperledger Fabric external chaincode: the peer, the chaincode and the edge between them.
///
/// Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 a negative answer,
/// 2 a failure. RUST_LOG chooses what is logged (default: warn, and error
/// for demo).
#[derive(Debug, Parser)]
#[command(name = "selvedge", version, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole story in one go, with proof: a network, chaincode in a process of its own under mutual TLS,
    /// its transactions, and strangers that are refused
    Demo(DemoArguments),
    /// Serve a sample chaincode to peers
    Sample(SampleArguments),
    /// Run a development network in this process until Ctrl-C
    Up(UpArguments),
    /// Tell how a network is that selvedge up runs; exit code 1 if none runs
    Status(StatusArguments),
    /// Stop a network that selvedge up runs
    Down(DownArguments),
    /// Close a block with the transactions that wait for it on a network that selvedge up runs; exit code 1 if none waits
    Cut(CutArguments),
    /// Make certificates for chaincode servers and peers
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Build and read chaincode packages
    #[command(subcommand)]
    Package(PackageCommand),
    /// Install, approve and commit chaincode on any Fabric peer
    #[command(subcommand)]
    Chaincode(ChaincodeCommand),
    /// Send a transaction through any Fabric gateway, and wait until it is committed
    Invoke(InvokeArguments),
    /// Run a transaction on a peer without recording anything
    Query(CallArguments),
    /// Print the events of a chaincode as they are committed
    Events(EventsArguments),
    /// Print a block of a channel
    Block(BlockArguments),
    /// Print a transaction of a channel
    Tx(TxArguments),
    /// Tell what the code of an error means
    Explain(ExplainArguments),
    /// Print a script with which a shell completes the command line
    Completions(CompletionsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Print one JSON document when it is over, instead of the steps as they happen
    #[arg(long)]
    pub(crate) json: bool,
    /// Keep the network's folder (identities, ledgers, certificates) in DIR, which must be empty or not exist
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "selvedge-demo")]
    pub(crate) keep: Option<PathBuf>,
    /// How many organisations the network has, each with one peer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=10))]
    pub(crate) orgs: u8,
}

#[derive(Debug, Args)]
pub(crate) struct SampleArguments {
    /// Which sample
    pub(crate) name: Sample,
    /// Where to listen, host:port; port 0 takes a free one
    #[arg(long, value_name = "HOST:PORT", env = "CHAINCODE_SERVER_ADDRESS")]
    pub(crate) address: Option<String>,
    /// The id of the installed package, label:hash
    #[arg(long, value_name = "ID", env = "CHAINCODE_ID")]
    pub(crate) package_id: Option<String>,
    /// The server's certificate, PEM, followed by its intermediates if there are any
    #[arg(long, value_name = "FILE", env = "CHAINCODE_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate, PEM
    #[arg(long, value_name = "FILE", env = "CHAINCODE_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities whose clients are let in, PEM, one or more
    #[arg(long, value_name = "FILE", env = "CHAINCODE_CLIENT_CA_CERT")]
    pub(crate) client_ca: Option<PathBuf>,
    /// Let in whoever reaches the port; only the server proves who it is
    #[arg(long, conflicts_with = "client_ca")]
    pub(crate) without_client_certificates: bool,
    /// Serve without TLS: no encryption, and no proof of who is at either end
    #[arg(long, value_name = "BOOL", env = "CHAINCODE_TLS_DISABLED", num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = go_bool)]
    pub(crate) tls_disabled: Option<bool>,
    /// Print what happens (listening, refused, stopped) to standard output, one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Stop when standard input is closed, so that the server never outlives the process that started it
    #[arg(long)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sample {
    /// Assets that are created, read and handed over, as in Fabric's sample of this name
    AssetTransferBasic,
}

/// The spellings that Go, and so Fabric's samples, take for a boolean; empty counts as not set.
fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
