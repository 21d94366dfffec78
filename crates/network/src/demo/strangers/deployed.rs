//! The wrong server as a chaincode of the channel: what the peer does with it, and what its client is told.

use std::time::Duration;

use selvedge_client::{ClientError, Definition, ProposalBuilder};
use tokio::time::timeout;

use super::super::DemoError;
use super::super::step::{Refusal, Seen, Told};
use super::misnamed::{self, Misnamed};
use crate::{Deployment, Network, NetworkError};

const NAME: &str = "misnamed";
/// How long the wrong server may take to tell of the peer's refusal.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deploys the server and calls it through a peer's gateway, which must fail because the server's certificate is
/// for `other_host`.
pub(super) async fn run(
    network: &Network,
    misnamed: &mut Misnamed,
    other_host: &str,
) -> Result<((), Told), DemoError> {
    let channel = network.channels().first().ok_or(NetworkError::NoPeers)?;
    let package = misnamed.place().package(NAME)?;
    let definition =
        Definition { name: NAME.to_owned(), version: "1.0".to_owned(), sequence: 1, ..Definition::default() };
    network
        .deploy(&Deployment { channel: channel.clone(), definition, package: package.bytes().clone() })
        .await?;

    let (peer, user) = network.first_user()?;
    let gateway = network.gateway(peer, user).await?;
    let call = ProposalBuilder::new(channel, NAME).arg("GetAllAssets");
    let message = match gateway.evaluate(call).await {
        Ok(_) => return Err(DemoError::unexpected("an error", "the chaincode answered")),
        Err(ClientError::Service { message, details, .. }) => details
            .into_iter()
            .map(|detail| detail.message)
            .fold(message, |all, more| if all.contains(&more) { all } else { format!("{all}; {more}") }),
        Err(other) => return Err(other.into()),
    };
    if !message.contains(other_host) {
        let expected = format!("the client to be told that the certificate is for {other_host}");
        return Err(DemoError::unexpected(expected, format!("it was told: {message}")));
    }
    let client = Seen { by: peer.name().to_owned(), verdict: "name-mismatch".to_owned(), message };
    let refused = match timeout(PATIENCE, misnamed.next()).await {
        Ok(Some(refused)) => refused,
        Ok(None) | Err(_) => {
            return Err(DemoError::unexpected("the server to tell of the refusal", "it told of nothing"));
        }
    };
    let server = Seen { by: misnamed::NAME.to_owned(), verdict: refused.reason, message: refused.message };
    Ok(((), Told::default().refused(Refusal { client, server })))
}
