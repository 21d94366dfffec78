//! `selvedge package`: chaincode packages.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use selvedge_package::{Connection, GoDuration, Limits, Package, PackageBuilder};
use selvedge_tls::{ClientTls, Identity, Target};
use serde_json::json;

use super::files::{self, NewFile};
use super::inspect;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};

/// What the stock ccaas builder replaces in the texts of connection.json.
const TEMPLATE: &str = "{{";

#[derive(Debug, Subcommand)]
pub(crate) enum PackageCommand {
    /// Build the package of an external chaincode (ccaas) and print its id; the same input gives the same bytes
    Build(BuildArguments),
    /// Print a package's id, as peers compute it
    Id(FileArguments),
    /// Print what is in a package, and what is wrong with it (then with exit code 1)
    Inspect(FileArguments),
}

#[derive(Debug, Args)]
pub(crate) struct BuildArguments {
    /// The label, such as basic_1.0
    #[arg(long, value_name = "LABEL")]
    label: String,
    /// Where peers dial the chaincode's server; may be a template such as {{.peername}}.chaincode:9999
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "connection")]
    address: Option<String>,
    /// The authority of the server's certificate, PEM
    #[arg(long, visible_alias = "tls-root", value_name = "FILE",
        required_unless_present_any = ["plaintext", "connection"])]
    root_cert: Option<PathBuf>,
    /// The peer's client certificate: a file, or a template that each peer's builder fills in
    #[arg(
        long,
        visible_alias = "tls-cert",
        value_name = "FILE|TEMPLATE",
        default_value = "{{.client_cert}}"
    )]
    client_cert: String,
    /// Its key: a template, or a file, which then travels inside the package
    #[arg(long, visible_alias = "tls-key", value_name = "FILE|TEMPLATE", default_value = "{{.client_key}}")]
    client_key: String,
    /// Peers show no certificate to the server
    #[arg(long)]
    without_client_certificates: bool,
    /// Peers dial without TLS
    #[arg(long, conflicts_with_all = ["root_cert", "without_client_certificates"])]
    plaintext: bool,
    /// How long peers wait for the connection, as Go writes durations
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    dial_timeout: String,
    /// A connection.json, taken as it is instead of one from the flags above
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["address", "root_cert", "without_client_certificates", "plaintext"])]
    connection: Option<PathBuf>,
    /// A folder that goes into the package as META-INF, with the indexes of CouchDB
    #[arg(long, value_name = "DIR")]
    meta_inf: Option<PathBuf>,
    /// The package's file (default: LABEL.tgz)
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace a file that is there already
    #[arg(long)]
    force: bool,
    /// Print a JSON document instead of the id
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FileArguments {
    /// The package's file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(command: &PackageCommand) -> Result<Answer, Failure> {
    match command {
        PackageCommand::Build(arguments) => build(arguments),
        PackageCommand::Id(arguments) => {
            let package = parse(read(&arguments.file)?, &arguments.file)?;
            let id = package.id().to_string();
            if arguments.json {
                super::json(&json!({ "package_id": id, "label": package.metadata().label() }))?;
            } else {
                super::line(&id)?;
            }
            Ok(Answer::Done)
        }
        PackageCommand::Inspect(arguments) => {
            let package = parse(read(&arguments.file)?, &arguments.file)?;
            let findings = inspect::inspect(&package)?;
            if arguments.json {
                super::json(&findings.document)?;
            } else {
                super::line(&output::outline(&findings.document))?;
            }
            Ok(if findings.sound { Answer::Done } else { Answer::Negative })
        }
    }
}

/// A package's file, which is bounded before it is in memory.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error| errors::file("read", path, &error);
    let limit = Limits::default().package;
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > limit {
        let what = format!("{} is no chaincode package", path.display());
        return Err(Failure::new(catalogue::PACKAGE_LIMIT, what)
            .evidence(format!("it has {size} bytes, more than the {limit} that a peer takes")));
    }
    fs::read(path).map_err(failed)
}

pub(super) fn parse(bytes: Vec<u8>, path: &Path) -> Result<Package, Failure> {
    Package::parse(bytes, &Limits::default())
        .map_err(|error| errors::package(format!("{} is no chaincode package", path.display()), &error))
}

fn build(arguments: &BuildArguments) -> Result<Answer, Failure> {
    let failed = |error| errors::package("the package cannot be built", &error);
    let mut builder = PackageBuilder::new(&arguments.label).map_err(failed)?;
    builder = match &arguments.connection {
        Some(path) => {
            let text = fs::read(path).map_err(|error| errors::file("read", path, &error))?;
            let connection = Connection::parse(&text).and_then(|connection| connection.server());
            connection
                .map_err(|error| errors::connection(format!("{} would not work", path.display()), &error))?;
            builder.file("connection.json", text)
        }
        None => builder.connection(&connection(arguments)?),
    }
    .map_err(failed)?;
    if let Some(folder) = &arguments.meta_inf {
        builder = builder.folder("META-INF", folder).map_err(failed)?;
    }
    let package = builder.build().map_err(failed)?;
    let path = arguments.output.clone().unwrap_or_else(|| format!("{}.tgz", arguments.label).into());
    let findings = inspect::inspect(&package)?;
    let shown = path.display().to_string();
    files::write(&[NewFile { path, content: package.bytes(), secret: findings.secret }], arguments.force)?;
    for warning in &findings.warnings {
        output::tell(&output::wrapped(warning, "warning: ", "  ", output::width()));
    }
    output::tell(&format!("wrote {shown}"));
    let id = package.id().to_string();
    if arguments.json {
        super::json(&json!({
            "package_id": id, "label": arguments.label, "file": shown, "warnings": findings.warnings,
        }))?;
    } else {
        super::line(&id)?;
    }
    Ok(Answer::Done)
}

fn connection(arguments: &BuildArguments) -> Result<Connection, Failure> {
    let address = arguments.address.clone().unwrap_or_default();
    if !address.contains(TEMPLATE) {
        address.parse::<Target>().map_err(|error| {
            errors::security("the chaincode's address cannot be understood", &error)
                .fix("give host:port as peers dial it, for example chaincode.example.com:9999")
        })?;
    }
    let dial_timeout: GoDuration = arguments.dial_timeout.parse().map_err(|error| {
        errors::text(catalogue::ARGUMENT, "the dial timeout cannot be understood", &error)
            .fix("give a number with a unit, for example 10s")
    })?;
    let mut connection = Connection { address, dial_timeout, ..Connection::default() };
    if let Some(path) = &arguments.root_cert {
        connection.tls_required = true;
        connection.root_cert = root(path)?;
        if !arguments.without_client_certificates {
            connection.client_auth_required = true;
            (connection.client_cert, connection.client_key) = client(arguments)?;
        }
    }
    connection.server().map_err(|error| errors::connection("the connection would not work", &error))?;
    Ok(connection)
}

/// The authorities of a file, when peers can use them.
fn root(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| errors::file("read", path, &error))?;
    ClientTls::builder(&text).build().map_err(|error| {
        errors::security(&format!("the authority in {} cannot be used", path.display()), &error)
    })?;
    Ok(text)
}

/// The peer's certificate and key: both templates, or both files that belong together.
fn client(arguments: &BuildArguments) -> Result<(String, String), Failure> {
    let (certificate, key) = (&arguments.client_cert, &arguments.client_key);
    match (certificate.contains(TEMPLATE), key.contains(TEMPLATE)) {
        (true, true) => Ok((certificate.clone(), key.clone())),
        (false, false) => {
            let read = |path: &str| {
                let path = Path::new(path);
                fs::read_to_string(path).map_err(|error| errors::file("read", path, &error))
            };
            let pair = (read(certificate)?, read(key)?);
            Identity::from_pem(&pair.0, &pair.1).map_err(|error| {
                errors::security("the client certificate and its key cannot be used", &error)
            })?;
            Ok(pair)
        }
        _ => Err(Failure::new(
            catalogue::ARGUMENT,
            "the client's certificate and key come from different places",
        )
        .evidence("one of --client-cert and --client-key is a template, the other a file")
        .fix("give two templates (preferred, so that no private key travels), or two files")),
    }
}
