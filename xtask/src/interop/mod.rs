//! Official parts against ours: Fabric's Node and Go clients at our gateway, with chaincode on Fabric's
//! Node and Go shims behind our peer, and with our own.

mod network;
mod parts;
mod process;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::command;
use crate::error::Error;
use crate::workspace::Workspace;

use network::Network;
use parts::{Client, Server};
pub(crate) use parts::{build_selvedge, selvedge};
pub(crate) use process::Process;

/// The Go client with the Node shim is left out: it would show nothing that the others do not.
const SCENARIOS: [(Client, Server); 5] = [
    (Client::Node, Server::NodeShim),
    (Client::Node, Server::Selvedge),
    (Client::Node, Server::GoShim),
    (Client::Go, Server::Selvedge),
    (Client::Go, Server::GoShim),
];

/// Generous: they only end what hangs.
const SERVER_LIMIT: Duration = Duration::from_secs(60);
const CLIENT_LIMIT: Duration = Duration::from_secs(300);

/// Every combination runs in a network of its own; all of them run, whatever fails before.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Error> {
    parts::build(workspace)?;
    let mut failed = 0;
    for (client, server) in SCENARIOS {
        let begin = Instant::now();
        println!("== {} with {}", client.title(), server.title());
        match scenario(workspace, client, server) {
            Ok(()) => println!("== passed in {:.1} s", begin.elapsed().as_secs_f64()),
            Err(error) => {
                failed += 1;
                println!("== FAILED: {error}");
            }
        }
    }
    println!("{} scenarios passed, {failed} failed", SCENARIOS.len() - failed);
    if failed == 0 { Ok(()) } else { Err(Error::Scenarios { failed, total: SCENARIOS.len() }) }
}

fn scenario(workspace: &Workspace, client: Client, server: Server) -> Result<(), Error> {
    let folder = workspace.fresh_folder(&format!("interop/{}-{}", client.name(), server.name()))?;
    let network = Network::start(selvedge(workspace), &folder)?;
    let chaincode = network.deploy(&free_address()?)?;

    let mut command = server.command(workspace, &chaincode);
    let mut serving = Process::start("chaincode", &mut command, &folder.join("chaincode.log"))?;
    serving.wait_until("listening port", SERVER_LIMIT, || TcpStream::connect(&chaincode.address).is_ok())?;

    let mut client = client.command(workspace, server, &network.description_file(), &chaincode);
    let driven = command::run_within(&mut client, CLIENT_LIMIT);
    if let Err(error) = driven {
        println!("{}", serving.error("its side of the story".to_owned()));
        println!("{}", network.error("its side of the story".to_owned()));
        return Err(error);
    }
    serving.kill()?;
    network.stop()
}

/// An address that nobody listens on. The package names it before the server starts, so that the
/// server cannot choose for itself.
fn free_address() -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Error::Port)?;
    Ok(listener.local_addr().map_err(Error::Port)?.to_string())
}
