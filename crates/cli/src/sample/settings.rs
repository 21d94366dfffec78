//! What a sample is served with: what the library is told from outside, the command's own flags among it.

use std::path::Path;

use selvedge::ServerError;
use selvedge::settings::{Setting, Settings, SettingsError, Sources};

use crate::arguments::SampleArguments;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

pub(super) fn read(arguments: &SampleArguments) -> Result<Settings, Failure> {
    let path =
        |path: &Option<std::path::PathBuf>| path.as_deref().map(Path::display).map(|path| path.to_string());
    let given = [
        (Setting::Address, arguments.address.clone()),
        (Setting::PackageId, arguments.package_id.clone()),
        (Setting::TlsCertificate, path(&arguments.tls_cert)),
        (Setting::TlsKey, path(&arguments.tls_key)),
        (Setting::ClientAuthorities, path(&arguments.client_ca)),
        (Setting::TlsDisabled, arguments.tls_disabled.map(|disabled| disabled.to_string())),
        (
            Setting::WithoutClientCertificates,
            arguments.without_client_certificates.then(|| "true".to_owned()),
        ),
    ];
    let sources = Settings::sources().environment().map_err(|error| refused(&error))?;
    let add = |sources, (setting, value): (Setting, Option<String>)| add(sources, setting, value);
    given.into_iter().fold(sources, add).read().map_err(|error| refused(&error))
}

/// Adds what a flag gave. The command takes some variables for flags; those the library reads itself, so that it can
/// tell when two of them contradict each other.
fn add(sources: Sources, setting: Setting, value: Option<String>) -> Sources {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return sources };
    let is_the_variables = match (setting, std::env::var(setting.variable())) {
        (Setting::TlsDisabled, Ok(text)) => {
            matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True") == (value == "true")
        }
        (_, Ok(text)) => text == value,
        (_, Err(_)) => false,
    };
    if is_the_variables { sources } else { sources.flag(setting.flag(), value) }
}

/// How the server's connections are secured, in a word.
pub(super) fn level(settings: &Settings) -> &'static str {
    match &settings.tls {
        None => "plaintext",
        Some(files) if files.clients.is_none() => "tls",
        Some(_) => "mutual-tls",
    }
}

fn refused(error: &SettingsError) -> Failure {
    let code = match error {
        SettingsError::NotSet { .. } | SettingsError::OnlyAddressAndId => catalogue::NOT_TOLD,
        SettingsError::Value { setting: Setting::Address, .. } => catalogue::ADDRESS,
        SettingsError::Value { setting: Setting::PackageId, .. } => catalogue::PACKAGE_ID,
        SettingsError::File { .. } => catalogue::FILE,
        _ => catalogue::ARGUMENT,
    };
    Failure::new(code, "the sample cannot be set up").chain(error).cause(error.cause()).fix(error.fix())
}

/// Why the sample does not listen.
pub(super) fn cannot_listen(error: &ServerError) -> Failure {
    match error {
        ServerError::Tls(error) => errors::security("the sample's TLS configuration cannot be used", error),
        error => errors::text(catalogue::LISTEN, "the sample cannot listen", error),
    }
}
