//! What `selvedge up` tells a person: everything that is needed to use the network. Names and files are never broken,
//! so that they can be copied.

use selvedge_network::sample::SampleFacts;
use selvedge_network::{Cutting, Description, Keeping, Network, Node, quoted};

use crate::output::{FAINT, GOOD, STRONG, wrapped};

/// How long it took since the command began, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// Until the network was ready.
    pub(super) ready: u64,
    /// Until the sample's first transaction was committed, or its first answer was there.
    pub(super) first: Option<u64>,
}

pub(super) fn render(
    description: &Description,
    network: &Network,
    sample: Option<&SampleFacts>,
    times: Times,
    width: usize,
) -> String {
    let Description { folder, keeping, channels, orderer, organizations, .. } = description;
    let mut lines = Vec::new();
    let peers: Vec<&Node> = organizations.iter().flat_map(|organization| &organization.peers).collect();
    let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    lines.push(wrapped(
        &format!(
            "{STRONG}A Fabric network in this process{STRONG:#}: {}, {}, {}; TLS everywhere, on this machine only.",
            count(organizations.len(), "organisation"),
            count(peers.len(), "peer"),
            count(channels.len(), "channel"),
        ),
        "",
        "",
        width,
    ));
    lines.push(section("Endpoints", ""));
    let longest = peers.iter().map(|peer| peer.name.len()).max().unwrap_or(0).max(orderer.name.len());
    for node in std::iter::once(&orderer).chain(&peers) {
        lines.push(format!("  {:longest$}  {}  {}", node.name, node.address, node.msp_id));
    }
    lines.push(section("Channels", ""));
    lines.push(wrapped(&channels.join(", "), "  ", "  ", width));

    let stays = match keeping {
        Keeping::Disk => "identities and ledgers, which stay",
        Keeping::Memory => "identities; the ledgers are in memory, and all is gone when it stops",
    };
    lines.push(section("Folder", ""));
    lines.push(format!("  {}", folder.display()));
    lines.push(wrapped(stays, "  ", "  ", width));

    lines.push(section("Identities", "MSP folders below the folder"));
    for user in organizations.iter().flat_map(|organization| &organization.users) {
        let place = user.msp.strip_prefix(folder).unwrap_or(&user.msp);
        lines.push(format!("  {}", place.display()));
    }

    for (number, organization) in organizations.iter().enumerate() {
        let file = organization.environment_file.display();
        if number == 0 {
            let title = format!("For Fabric's peer command, as {}'s administrator", organization.msp_id);
            lines.push(section(&title, ""));
            lines.extend(organization.exports().lines().map(|line| format!("  {line}")));
            lines.push(format!("  {FAINT}the same:{FAINT:#} . {file}"));
        } else {
            lines.push(format!("  {FAINT}{}:{FAINT:#} . {file}", organization.msp_id));
        }
    }
    lines.push(format!(
        "  {FAINT}ordering:{FAINT:#} -o {} --tls --cafile {}",
        orderer.address,
        orderer.tls_root.display()
    ));

    if let Some(facts) = sample {
        lines.push(section("Sample", "asset-transfer-basic"));
        let SampleFacts { chaincode, channel, address, pid, assets, .. } = facts;
        let text = format!(
            "the chaincode {chaincode} on {channel}: process {pid} at {address}, mutual TLS, {assets} assets"
        );
        lines.push(wrapped(&text, "  ", "  ", width));
    }
    if network.cutting() == Cutting::Manual {
        lines.push(section("Blocks", ""));
        let text = "are closed when Enter is pressed here, or by the command selvedge cut; until then transactions wait";
        lines.push(wrapped(text, "  ", "  ", width));
    }
    lines.push(section("Next", "in another terminal"));
    lines.push(format!("  {}", next(description, network, sample)));
    lines.push(String::new());
    let Times { ready, first } = times;
    lines.push(match (first, sample.and_then(|facts| facts.first.as_ref())) {
        (Some(first), Some(_)) => {
            format!("{GOOD}Ready{GOOD:#} in {ready} ms, first transaction committed {first} ms after start.")
        }
        (Some(first), None) => {
            format!("{GOOD}Ready{GOOD:#} in {ready} ms, the sample answered {first} ms after start.")
        }
        (None, _) => format!("{GOOD}Ready{GOOD:#} in {ready} ms."),
    });
    lines.push("Ctrl-C stops it.".to_owned());
    lines.join("\n")
}

/// One command that can be copied, and that does something for a network in this state.
fn next(description: &Description, network: &Network, sample: Option<&SampleFacts>) -> String {
    let program = called_as();
    let config = description.file().display().to_string();
    let config = quoted(&config);
    // With several channels the command must say which.
    let channel = match (&description.channels[..], sample) {
        ([_], _) => String::new(),
        (_, Some(facts)) => format!(" -C {}", facts.channel),
        (channels, None) => channels.first().map(|first| format!(" -C {first}")).unwrap_or_default(),
    };
    let to = format!("--config {config}{channel}");
    if let Some(facts) = sample {
        return format!("{program} invoke {to} -n {} TransferAsset asset1 Ada", facts.chaincode);
    }
    let peer = network.peers().first();
    let first = peer.zip(description.channels.first()).and_then(|(peer, id)| peer.channel(id));
    if first.is_some_and(|channel| *channel.ledger().subscribe().borrow() > 1) {
        return format!("{program} chaincode query-committed {to}");
    }
    format!("{program} block config {to}")
}

/// How the command is called: by its name where the shell finds it, else by its place.
fn called_as() -> String {
    let first = std::env::args_os().next().unwrap_or_default();
    match std::env::current_exe() {
        Ok(program) if first.to_string_lossy().contains('/') => quoted(&program.display().to_string()),
        _ => "selvedge".to_owned(),
    }
}

fn section(title: &str, more: &str) -> String {
    let space = if more.is_empty() { "" } else { "  " };
    format!("\n{STRONG}{title}{STRONG:#}{space}{FAINT}{more}{FAINT:#}")
}
