//! Certificates and lists that are renewed while a peer's stream is open.

use selvedge::tls::{ClientFiles, Fingerprint, Loaded, ServerFiles, Target, probe};
use selvedge::{Context, Response, Server};
use selvedge_pki::{Leaf, Usage};
use selvedge_session::host::Event;
use tempfile::TempDir;

use crate::peer::{Puppet, response};
use crate::support::{PACKAGE_ID, PATIENCE, Running, authority, contract, leaf, soon};

async fn get(ctx: Context) -> Response {
    match ctx.get("a").await {
        Ok(value) => Response::success(value.unwrap_or_default()),
        Err(error) => Response::error(error.to_string()),
    }
}

/// A server that is made of files, and their folder.
async fn start(rules: &str) -> (Running, TempDir) {
    let (servers, peers) = (authority("servers"), authority("peers"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    write_identity(&folder, &leaf(&servers, "chaincode", Usage::Server));
    write(&folder, "ca.crt", peers.certificate_pem());
    write(&folder, "clients", rules);
    let files = ServerFiles {
        certificate: path("tls.crt").into(),
        key: path("tls.key").into(),
        clients: Some(ClientFiles {
            authorities: vec![path("ca.crt").into()],
            rule_list: Some(path("clients")),
            ..ClientFiles::default()
        }),
    };
    let server = Server::reloading(contract(get), PACKAGE_ID, Loaded::read(files).expect("files"));
    (Running::serve(server, servers, peers).await, folder)
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let new = folder.path().join("new");
    std::fs::write(&new, text).expect("a file");
    std::fs::rename(new, folder.path().join(name)).expect("in its place");
}

fn write_identity(folder: &TempDir, leaf: &Leaf) {
    write(folder, "tls.crt", &leaf.certificate_pem);
    write(folder, "tls.key", leaf.key_pem.as_str());
}

async fn shown(server: &Running) -> Fingerprint {
    let target = Target { host: "127.0.0.1".into(), port: server.address.port() };
    let seen = probe(&target, &server.peer_tls(), PATIENCE).await.expect("a connection");
    Fingerprint::of(&seen.certificates[0])
}

#[tokio::test]
async fn a_transaction_goes_on_while_the_certificate_is_renewed() {
    let (server, folder) = start("dns:localhost").await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    let before = shown(&server).await;

    let mut reloads = server.reloads.clone().expect("a server made of files");
    write_identity(&folder, &leaf(&server.servers, "chaincode", Usage::Server));
    soon(reloads.wait_for(|reloads| reloads.taken > 0 && reloads.failure.is_none())).await.expect("a reload");
    assert_ne!(shown(&server).await, before);
    peer.respond(&transaction, ticket, Ok("done".into())).await;
    assert_eq!(response(peer.finished().await).payload, "done");
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_is_struck_off_the_list_loses_its_stream_at_once() {
    let (mut server, folder) = start("dns:localhost").await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let Event::Request { .. } = peer.event().await else { panic!("a request was expected") };

    write(&folder, "clients", "dns:peer1.org1.example.com");
    let refusal = soon(server.refusals.recv()).await.expect("a refusal");
    assert!(refusal.was_let_in);
    assert_eq!(refusal.reason.name(), "not-allowed");
    peer.stream.next().await.expect_err("the stream has broken");
    server.dial(&server.peer_tls()).await.expect_err("a refusal");

    // Once it is on the list again, it is served again.
    let mut reloads = server.reloads.clone().expect("a server made of files");
    write(&folder, "clients", "dns:localhost");
    soon(reloads.wait_for(|reloads| reloads.taken == 2)).await.expect("a reload");
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    peer.give("a", "again").await;
    assert_eq!(response(peer.finished().await).payload, "again");
    server.stop().await;
}
