//! What a person is told about an error of a network in this process or on this machine.

use selvedge_network::sample::SampleError;
use selvedge_network::{NetworkError, quoted};

use super::{client, package};
use crate::catalogue;
use crate::failure::Failure;

/// A network cannot do what was asked of it.
pub(crate) fn network(error: &NetworkError) -> Failure {
    use NetworkError as E;
    match error {
        E::Held { folder, holder } => {
            let folder = quoted(&folder.display().to_string());
            let who = match holder {
                Some(holder) => format!("process {} has run it since {}", holder.pid, holder.since),
                None => "the process does not say which it is".to_owned(),
            };
            let what = format!("another process runs the network in {folder}");
            Failure::new(catalogue::NETWORK_HELD, what).evidence(who).fix(format!(
                "look at it with selvedge status --dir {folder}, stop it with selvedge down --dir {folder}, or give \
                 another --dir"
            ))
        }
        E::NotReady { process, .. } => {
            let what = format!("process {} runs the network and does not answer", process.pid);
            Failure::new(catalogue::NETWORK_NOT_READY, what)
                .chain(error)
                .fix("wait until it is ready, and try again")
        }
        E::Port { name, port, .. } => Failure::new(
            catalogue::NETWORK_PORT,
            format!("{name} cannot have port {port}"),
        )
        .chain(error)
        .fix(
            "stop what listens there, or give --port 0 for any free ports, or --port with another first port",
        ),
        E::OtherOrganizations { found, .. } => {
            let what = "the folder's network has other organisations";
            Failure::new(catalogue::NETWORK_OTHER, what).chain(error).fix(format!(
                "give --orgs {}, or another --dir: organisations cannot be added to a channel or taken from it",
                found.len()
            ))
        }
        E::File { .. } => Failure::new(catalogue::FILE, "the network cannot use its folder").chain(error),
        E::Pki(_)
        | E::Identity { .. }
        | E::Genesis { .. }
        | E::Channel { .. }
        | E::Description { .. }
        | E::Orderer(_)
        | E::Host(_)
        | E::Registrar(_)
        | E::Join(_) => {
            Failure::new(catalogue::NETWORK_FILES, "what the network's folder holds cannot be used")
                .chain(error)
                .fix("take the folder from a copy of it, or begin a new network in another --dir")
        }
        E::Refused(reason) => Failure::new(catalogue::UNKNOWN_NAME, "the network refuses")
            .evidence(reason.clone())
            .fix("give a --channel that selvedge status names"),
        E::OtherDefinition { .. } => {
            Failure::new(catalogue::NETWORK_SAMPLE, "the channel has another chaincode of the sample's name")
                .chain(error)
                .fix("start the network without --sample, or in another --dir")
        }
        E::Package(error) => package("the network cannot make a chaincode package", error),
        E::Client(error) => client("a call within the network failed", error),
        error => Failure::new(catalogue::NETWORK_INNER, "the network failed").chain(error),
    }
}

/// A sample cannot be brought onto a network.
pub(crate) fn sample(error: &SampleError) -> Failure {
    match error {
        SampleError::Network(error) => network(error),
        SampleError::Client(error) => client("a transaction of the sample failed", error),
        error => Failure::new(catalogue::NETWORK_SAMPLE, "the sample failed").chain(error),
    }
}
