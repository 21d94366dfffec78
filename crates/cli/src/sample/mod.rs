//! `selvedge sample`: a sample chaincode as a server.

mod settings;

use asset_transfer_basic::AssetTransfer;
use selvedge::Server;
use selvedge::tls::Refusal;
use selvedge_network::sample::{Refused, ServerEvent};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use self::settings::Settings;
use crate::arguments::{Sample, SampleArguments};
use crate::catalogue;
use crate::errors;
use crate::failure::Failure;
use crate::output::{self, Answer};
use crate::signals;

pub(crate) async fn run(arguments: &SampleArguments) -> Result<Answer, Failure> {
    let stop = signals::stop()?;
    let settings = Settings::read(arguments)?;
    let Settings { address, package_id, security, level } = settings;
    let server = match arguments.name {
        Sample::AssetTransferBasic => Server::new(AssetTransfer, &package_id, security),
    };
    let server = server
        .bind(&address)
        .await
        .map_err(|error| errors::text(catalogue::LISTEN, "the sample cannot listen", &error))?;
    let bound = server.local_addr();
    let reporter = arguments.json.then(|| report(server.refusals()));
    output::tell(&format!("listening on {bound} for {package_id} ({})", level.description()));
    if arguments.json {
        event(&ServerEvent::Listening {
            address: bound.to_string(),
            package_id,
            security: level.name().to_owned(),
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
