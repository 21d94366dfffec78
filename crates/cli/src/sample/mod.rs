//! `selvedge sample`: a sample chaincode as a server.

mod settings;

use asset_transfer_basic::AssetTransfer;
use selvedge::settings::Settings;
use selvedge::tls::Refusal;
use selvedge::{Operations, Server};
use selvedge_network::sample::{Refused, ServerEvent};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use self::settings::{cannot_listen, level};
use crate::arguments::{Sample, SampleArguments};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::signals;

pub(crate) async fn run(arguments: &SampleArguments) -> Result<Answer, Failure> {
    let stop = signals::stop()?;
    let settings = settings::read(arguments)?;
    let server = match arguments.name {
        Sample::AssetTransferBasic => Server::from_settings(AssetTransfer, &settings),
    };
    let server = server.map_err(|error| cannot_listen(&error))?;
    if let Some(peer) = &settings.peer {
        output::tell(&format!("registering with the peer at {} as {}", peer.address(), peer.package_id()));
        let registered = server.register(peer, stop).await;
        registered.map_err(|error| errors::machine("the sample's peer cannot be served", &error))?;
        return Ok(Answer::Done);
    }
    let operations = open_operations(&settings).await?;
    let server = operations.iter().fold(server, Server::operations);
    let server = server.bind(&settings.address).await.map_err(|error| cannot_listen(&error))?;
    let package_id = settings.package_id.clone();
    let bound = server.local_addr();
    let reporter = arguments.json.then(|| report(server.refusals()));
    output::tell(&format!("listening on {bound} for {package_id} ({})", settings.security()));
    if arguments.json {
        event(&ServerEvent::Listening {
            address: bound.to_string(),
            package_id,
            security: level(&settings).to_owned(),
        })?;
    }
    let stop_with_stdin = arguments.stop_with_stdin;
    let stopped = async move {
        tokio::select! {
            () = stop => {}
            () = signals::stdin_closed(), if stop_with_stdin => {}
        }
    };
    server
        .serve(stopped)
        .await
        .map_err(|error| errors::machine("the sample cannot serve any longer", &error))?;
    if let Some(reporter) = reporter {
        // The port is closed, so what was refused is told soon, and then there is no more.
        reporter.await.map_err(|error| errors::machine("the sample's report broke off", &error))??;
        event(&ServerEvent::Stopped)?;
    }
    output::tell("stopped");
    Ok(Answer::Done)
}

/// Opens the operations port, if there is to be one; it is closed when what is returned is dropped.
async fn open_operations(settings: &Settings) -> Result<Option<Operations>, Failure> {
    let Some(address) = &settings.operations_address else { return Ok(None) };
    let failed = |error| {
        errors::text(
            catalogue::LISTEN,
            format!("the sample cannot listen on {address} for operations"),
            &error,
        )
    };
    let operations = Operations::bind(address).await.map_err(failed)?;
    output::tell(&format!("operations on http://{}", operations.local_addr()));
    Ok(Some(operations))
}

fn report(mut refusals: Receiver<Refusal>) -> JoinHandle<Result<(), Failure>> {
    tokio::spawn(async move {
        loop {
            match refusals.recv().await {
                Ok(refusal) => event(&ServerEvent::Refused(Refused::from(&refusal)))?,
                Err(RecvError::Lagged(count)) => event(&ServerEvent::RefusalsMissed { count })?,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    })
}

fn event(event: &ServerEvent) -> Result<(), Failure> {
    output::result(&event.to_line()).map_err(|error| errors::output(&error))
}
