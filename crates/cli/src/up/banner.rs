//! What `selvedge up` tells a person: everything that is needed to use the network. Names and files are never broken,
//! so that they can be copied.

use selvedge_network::{Description, Keeping, Node};

use crate::output::{FAINT, GOOD, STRONG, wrapped};

pub(super) fn render(description: &Description, milliseconds: u64, width: usize) -> String {
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

    lines.push(section("Next", ""));
    lines.push(format!("  selvedge status --dir {}", folder.display()));
    lines.extend([String::new(), format!("{GOOD}Ready{GOOD:#} in {milliseconds} ms. Ctrl-C stops it.")]);
    lines.join("\n")
}

fn section(title: &str, more: &str) -> String {
    let space = if more.is_empty() { "" } else { "  " };
    format!("\n{STRONG}{title}{STRONG:#}{space}{FAINT}{more}{FAINT:#}")
}
