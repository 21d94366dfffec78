//! What a sample is served with: flags first, then the environment variables of Fabric's samples.

use std::path::Path;

use selvedge::tls::{Identity, ServerSecurity, ServerTls, Target};
use selvedge_package::PackageId;

use crate::arguments::SampleArguments;
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;

/// How the server's connections are secured, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Mutual,
    ServerOnly,
    Plaintext,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Mutual => "mutual-tls",
            Self::ServerOnly => "tls",
            Self::Plaintext => "plaintext",
        }
    }

    pub(super) fn description(self) -> &'static str {
        match self {
            Self::Mutual => "mutual TLS",
            Self::ServerOnly => "TLS, clients not verified",
            Self::Plaintext => "PLAINTEXT: anybody on the way can read and change what is sent",
        }
    }
}

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) address: String,
    pub(super) package_id: String,
    pub(super) security: ServerSecurity,
    pub(super) level: Level,
}

impl Settings {
    pub(super) fn read(arguments: &SampleArguments) -> Result<Self, Failure> {
        let address = address(arguments.address.as_deref())?;
        let package_id = package_id(arguments.package_id.as_deref())?;
        let (security, level) = security(arguments)?;
        Ok(Self { address, package_id, security, level })
    }
}

fn address(given: Option<&str>) -> Result<String, Failure> {
    const FIX: &str = "give --address or CHAINCODE_SERVER_ADDRESS as host:port, for example 0.0.0.0:9999";
    let Some(address) = given.filter(|address| !address.is_empty()) else {
        return Err(missing("where to listen", "--address", "CHAINCODE_SERVER_ADDRESS").fix(FIX));
    };
    match address.parse::<Target>() {
        Ok(_) => Ok(address.to_owned()),
        Err(error) => Err(errors::security("the sample does not know where to listen", &error).fix(FIX)),
    }
}

fn package_id(given: Option<&str>) -> Result<String, Failure> {
    const FIX: &str = "give --package-id or CHAINCODE_ID exactly as the peer shows it after the installation \
                       (peer lifecycle chaincode queryinstalled)";
    let Some(id) = given.filter(|id| !id.is_empty()) else {
        return Err(missing("which package it is", "--package-id", "CHAINCODE_ID").fix(FIX));
    };
    match id.parse::<PackageId>() {
        Ok(_) => Ok(id.to_owned()),
        Err(error) => Err(errors::package("the package id is none", &error)
            .cause("a peer keeps callers waiting when chaincode registers with another id than the package's")
            .fix(FIX)),
    }
}

fn security(arguments: &SampleArguments) -> Result<(ServerSecurity, Level), Failure> {
    if arguments.tls_disabled == Some(true) {
        return Ok((ServerSecurity::Plaintext, Level::Plaintext));
    }
    let certificate = given(arguments.tls_cert.as_deref());
    let key = given(arguments.tls_key.as_deref());
    let (Some(certificate), Some(key)) = (certificate, key) else {
        let (what, flag, variable) = match certificate {
            None => ("its certificate", "--tls-cert", "CHAINCODE_TLS_CERT"),
            Some(_) => ("its private key", "--tls-key", "CHAINCODE_TLS_KEY"),
        };
        return Err(missing(what, flag, variable).cause("TLS is on unless it is switched off").fix(
            "give certificate and key, or serve plaintext with --tls-disabled where nobody else listens",
        ));
    };
    let unusable = |error| errors::security("the sample's certificate or key cannot be used", &error);
    let builder = ServerTls::builder(Identity::from_files(certificate, key).map_err(unusable)?);
    if arguments.without_client_certificates {
        let tls = builder.without_client_certificates().map_err(unusable)?;
        return Ok((tls.into(), Level::ServerOnly));
    }
    let Some(authorities) = given(arguments.client_ca.as_deref()) else {
        return Err(missing("whose clients to let in", "--client-ca", "CHAINCODE_CLIENT_CA_CERT")
            .cause("without client certificates, whoever reaches the port can act as a peer")
            .fix(
                "give the TLS authorities of the peers' organisations, or say --without-client-certificates",
            ));
    };
    let pem = std::fs::read(authorities)
        .map_err(|error| errors::file("read the client authorities in", authorities, &error))?;
    let tls = builder.require_client_certificates(pem).build().map_err(|error| {
        errors::security(
            &format!("the client authorities in {} cannot be used", authorities.display()),
            &error,
        )
    })?;
    Ok((tls.into(), Level::Mutual))
}

/// An empty variable counts as not set, as in Fabric's samples.
fn given(path: Option<&Path>) -> Option<&Path> {
    path.filter(|path| !path.as_os_str().is_empty())
}

fn missing(what: &str, flag: &str, variable: &str) -> Failure {
    Failure::new(catalogue::NOT_TOLD, format!("the sample was not told {what}"))
        .evidence(format!("neither {flag} nor {variable} is set"))
}
