//! The sample chaincode, under mutual TLS.

use std::fs;

use asset_transfer_basic::AssetTransfer;
use selvedge::Server;
use selvedge::tls::{Identity, ServerTls};
use tokio::io::BufReader;

use super::{Place, ended, first_line, parsed};
use crate::error::BenchError;
use crate::print;

/// Runs until standard input ends; its first line says where and with which files.
pub(crate) async fn run() -> Result<(), BenchError> {
    let mut stdin = BufReader::new(tokio::io::stdin());
    let line = first_line(&mut stdin).await?;
    let place: Place = parsed(&line)?;
    let unusable = |error: selvedge::tls::ConfigError| BenchError::Embedded(error.to_string());
    let identity = Identity::from_files(&place.certificate, &place.key).map_err(unusable)?;
    let clients =
        fs::read(&place.client_authority).map_err(BenchError::io("the peers' authority cannot be read"))?;
    let security =
        ServerTls::builder(identity).require_client_certificates(clients).build().map_err(unusable)?;
    let failed = |error: selvedge::ServerError| BenchError::Embedded(error.to_string());
    let server = Server::new(AssetTransfer, &place.package_id, security);
    let server = server.bind(&place.address).await.map_err(failed)?;
    print("listening\n")?;
    server.serve(ended(stdin)).await.map_err(failed)
}
