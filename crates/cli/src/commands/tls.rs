//! `selvedge tls`: certificates for chaincode servers and peers.

use std::fs;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use selvedge_pki::{Authority, AuthoritySpec, LeafSpec, PkiError, Usage, Validity};
use selvedge_tls::Target;
use serde_json::json;

use super::files::{self, NewFile};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make a certificate authority: ca.crt and ca.key
    Ca(CaArguments),
    /// Issue a certificate for a server, a client, or both
    Issue(IssueArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CaArguments {
    /// The folder for ca.crt and ca.key
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The authority's common name
    #[arg(long, value_name = "CN", default_value = "Selvedge CA")]
    name: String,
    /// The authority's organisation
    #[arg(long, value_name = "O")]
    organization: Option<String>,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    #[command(flatten)]
    writing: WritingArguments,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArguments {
    /// The folder with the authority's ca.crt and ca.key
    #[arg(long, value_name = "DIR", default_value = ".")]
    ca: PathBuf,
    /// The folder for the certificate and the key
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// The files' name, NAME.crt and NAME.key, and the common name (default: server or client)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where peers dial the server, as in connection.json: the host becomes a subject alternative name
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// A further subject alternative name, DNS name or IP address; may be repeated
    #[arg(long = "san", value_name = "NAME")]
    sans: Vec<String>,
    /// Which end of TLS the certificate is for
    #[arg(long, value_name = "USAGE", default_value = "server")]
    usage: End,
    /// How long it is valid
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    #[command(flatten)]
    writing: WritingArguments,
}

#[derive(Debug, Args)]
struct WritingArguments {
    /// Replace files that are there already
    #[arg(long)]
    force: bool,
    /// Print a JSON document instead of the files' names
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    /// A server that peers or clients dial
    Server,
    /// A client, such as a peer that dials chaincode
    Client,
    /// Either
    Both,
}

pub(crate) fn run(command: &TlsCommand) -> Result<Answer, Failure> {
    match command {
        TlsCommand::Ca(arguments) => ca(arguments),
        TlsCommand::Issue(arguments) => issue(arguments),
    }
}

fn ca(arguments: &CaArguments) -> Result<Answer, Failure> {
    let authority = Authority::new(&AuthoritySpec {
        common_name: arguments.name.clone(),
        organization: arguments.organization.clone(),
        validity: Validity::days(arguments.days),
    })
    .map_err(|error| unmade("the authority cannot be made", &error))?;
    let pair = Pair {
        name: "ca",
        certificate: authority.certificate_pem(),
        key: authority.key_pem().as_bytes(),
        folder: &arguments.out,
    };
    pair.write(&arguments.writing)?;
    output::tell("ca.crt is for everybody who dials what this authority certifies; ca.key stays here");
    Ok(Answer::Done)
}

fn issue(arguments: &IssueArguments) -> Result<Answer, Failure> {
    let name = match (&arguments.name, arguments.usage) {
        (Some(name), _) => name.as_str(),
        (None, End::Client) => "client",
        (None, _) => "server",
    };
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(Failure::new(catalogue::ARGUMENT, "the name cannot be that of files")
            .evidence(format!("--name {name:?}"))
            .fix("give a name without slashes that does not begin with a dot"));
    }
    let sans = alternative_names(arguments)?;
    let authority = authority(arguments)?;
    let leaf = authority.issue(&LeafSpec {
        common_name: name.to_owned(),
        sans,
        usage: match arguments.usage {
            End::Server => Usage::Server,
            End::Client => Usage::Client,
            End::Both => Usage::Both,
        },
        validity: Validity::days(arguments.days),
        ..LeafSpec::default()
    });
    let leaf = leaf.map_err(|error| unmade("the certificate cannot be issued", &error))?;
    let pair = Pair {
        name,
        certificate: &leaf.certificate_pem,
        key: leaf.key_pem.as_bytes(),
        folder: &arguments.out,
    };
    pair.write(&arguments.writing)?;
    Ok(Answer::Done)
}

fn alternative_names(arguments: &IssueArguments) -> Result<Vec<String>, Failure> {
    let mut sans = Vec::new();
    if let Some(address) = &arguments.address {
        let target: Target = address
            .parse()
            .map_err(|error| errors::security("the server's address cannot be understood", &error))?;
        sans.push(target.host);
    }
    for san in &arguments.sans {
        if !sans.contains(san) {
            sans.push(san.clone());
        }
    }
    if sans.is_empty() && arguments.usage != End::Client {
        return Err(Failure::new(
            catalogue::NOT_TOLD,
            "the command was not told whom the certificate is for",
        )
        .evidence("neither --address nor --san is given")
        .cause("peers refuse a server whose certificate does not name the host that they dial")
        .fix("give --address as in connection.json, for example --address chaincode.example.com:9999"));
    }
    Ok(sans)
}

fn authority(arguments: &IssueArguments) -> Result<Authority, Failure> {
    let read = |name: &str| {
        let path = arguments.ca.join(name);
        fs::read_to_string(&path).map_err(|error| {
            errors::file("read", &path, &error)
                .fix("make an authority with selvedge tls ca, and name its folder with --ca")
        })
    };
    let certificate = read("ca.crt")?;
    // The text of the key is wiped by whoever takes it over.
    let key = zeroize::Zeroizing::new(read("ca.key")?);
    Authority::from_pem(&certificate, &key)
        .map_err(|error| unmade("the authority's files cannot be used", &error))
}

fn unmade(what: &str, error: &PkiError) -> Failure {
    errors::text(catalogue::CERTIFICATE_MAKING, what, error)
}

/// A certificate and its key on their way to two files.
struct Pair<'a> {
    name: &'a str,
    certificate: &'a str,
    key: &'a [u8],
    folder: &'a PathBuf,
}

impl Pair<'_> {
    fn write(&self, writing: &WritingArguments) -> Result<(), Failure> {
        let certificate = self.folder.join(format!("{}.crt", self.name));
        let key = self.folder.join(format!("{}.key", self.name));
        let (shown_certificate, shown_key) = (certificate.display().to_string(), key.display().to_string());
        files::write(
            &[
                NewFile { path: key, content: self.key, secret: true },
                NewFile { path: certificate, content: self.certificate.as_bytes(), secret: false },
            ],
            writing.force,
        )?;
        if writing.json {
            return super::json(&json!({ "certificate": shown_certificate, "key": shown_key }));
        }
        super::line(&shown_certificate)?;
        super::line(&shown_key)
    }
}
