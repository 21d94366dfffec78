//! A configuration that is read from files, and again when they change.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use selvedge_pki::time::{Duration, OffsetDateTime};
use selvedge_pki::{Authority, Leaf};
use selvedge_tls::{
    ClientFiles, ConfigError, Fingerprint, Identity, Loaded, PemFile, PemProblem, Reloading, Reloads,
    ServerFiles, UnknownRevocation, probe,
};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::live::ends;
use crate::support::*;

/// The files of a server in a folder.
struct Files {
    folder: TempDir,
    ca: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap(), ca: authority("CA") };
        let leaf = server_leaf(&files.ca);
        files.write_identity(&leaf);
        files.write("ca.crt", files.ca.certificate_pem());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in its place as a whole, as tools that renew certificates do.
    fn write(&self, name: &str, text: &str) {
        let new = self.path(&format!(".{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    fn write_identity(&self, leaf: &Leaf) {
        self.write("server.crt", &leaf.certificate_pem);
        self.write("server.key", leaf.key_pem.as_str());
    }

    fn server(&self, clients: ClientFiles) -> ServerFiles {
        let authorities = vec![self.path("ca.crt").into()];
        ServerFiles {
            certificate: self.path("server.crt").into(),
            key: self.path("server.key").into(),
            clients: Some(ClientFiles { authorities, ..clients }),
        }
    }

    async fn start(&self, clients: ClientFiles) -> (Running, Reloading) {
        start(self.server(clients)).await
    }

    fn client(&self) -> selvedge_tls::ClientSecurity {
        trusting_as(self.ca.certificate_pem(), &client_leaf(&self.ca))
    }
}

async fn start(files: ServerFiles) -> (Running, Reloading) {
    let loaded = Loaded::read(files).unwrap();
    let running = Running::start(loaded.tls().clone()).await;
    let reloading = loaded.keep(running.switch.clone());
    (running, reloading)
}

async fn until(reloads: &mut watch::Receiver<Reloads>, wanted: impl FnMut(&Reloads) -> bool) -> Reloads {
    tokio::time::timeout(PATIENCE, reloads.wait_for(wanted))
        .await
        .expect("in time")
        .expect("a reloader")
        .clone()
}

/// The certificate that the server shows to a newcomer.
async fn shown(running: &Running, security: &selvedge_tls::ClientSecurity) -> Fingerprint {
    let seen = probe(&running.target(), security, PATIENCE).await.unwrap();
    Fingerprint::of(&seen.certificates[0])
}

fn fingerprint(leaf: &Leaf) -> Fingerprint {
    Identity::from_pem(&leaf.certificate_pem, &leaf.key_pem).unwrap().certificate().fingerprint
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_newcomers_and_good_connections_stay() {
    let files = Files::new();
    let (running, reloading) = files.start(ClientFiles::default()).await;
    let mut reloads = reloading.reloads();
    let security = files.client();
    let before = connect(&running.target(), &security).await.unwrap();
    who_am_i(before.clone()).await.unwrap();

    let renewed = server_leaf(&files.ca);
    files.write_identity(&renewed);
    until(&mut reloads, |reloads| reloads.taken > 0 && reloads.failure.is_none()).await;
    assert_eq!(shown(&running, &security).await, fingerprint(&renewed));
    // The same connection, since a channel of ours does not dial again.
    assert_eq!(who_am_i(before).await.unwrap(), "CN=client of none");
    running.stop().await;
}

#[tokio::test]
async fn a_secret_that_kubernetes_swaps_is_noticed() {
    let files = Files::new();
    let mount = files.path("mount");
    let version = |name: &str, leaf: &Leaf| {
        let folder = mount.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("tls.crt"), &leaf.certificate_pem).unwrap();
        std::fs::write(folder.join("tls.key"), leaf.key_pem.as_str()).unwrap();
    };
    let link = |target: &Path, at: &Path| std::os::unix::fs::symlink(target, at).unwrap();
    version("..2026_01", &server_leaf(&files.ca));
    link(Path::new("..2026_01"), &mount.join("..data"));
    link(Path::new("..data/tls.crt"), &mount.join("tls.crt"));
    link(Path::new("..data/tls.key"), &mount.join("tls.key"));
    // And the whole folder is reached through one more link.
    link(&mount, &files.path("certificates"));
    let server = ServerFiles {
        certificate: files.path("certificates/tls.crt").into(),
        key: files.path("certificates/tls.key").into(),
        ..files.server(ClientFiles::default())
    };
    let (running, reloading) = start(server).await;
    let mut reloads = reloading.reloads();
    for (round, name) in ["..2026_02", "..2026_03"].into_iter().enumerate() {
        let renewed = server_leaf(&files.ca);
        version(name, &renewed);
        link(Path::new(name), &mount.join("..data_tmp"));
        std::fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
        let rounds = u64::try_from(round).unwrap() + 1;
        let seen = until(&mut reloads, |reloads| reloads.taken == rounds).await;
        assert_eq!(seen.refused, 0, "a swap is one change");
        assert_eq!(shown(&running, &files.client()).await, fingerprint(&renewed));
    }
    running.stop().await;
}

#[tokio::test]
async fn a_broken_file_is_reported_and_the_old_one_kept() {
    let files = Files::new();
    let (running, reloading) = files.start(ClientFiles::default()).await;
    let mut reloads = reloading.reloads();
    let security = files.client();
    let old = shown(&running, &security).await;
    let channel = connect(&running.target(), &security).await.unwrap();

    files.write("server.crt", "-----BEGIN CERTIFICATE-----\nMIIB");
    let seen = until(&mut reloads, |reloads| reloads.failure.is_some()).await;
    let failure = seen.failure.unwrap().to_string();
    assert!(failure.contains("server.crt"), "{failure}");
    assert_eq!(seen.taken, 0);
    assert_eq!(shown(&running, &security).await, old);
    who_am_i(channel.clone()).await.unwrap();

    std::fs::remove_file(files.path("ca.crt")).unwrap();
    let gone =
        |reloads: &Reloads| reloads.failure.as_ref().is_some_and(|why| why.to_string().contains("ca.crt"));
    files.write_identity(&server_leaf(&files.ca));
    until(&mut reloads, gone).await;
    assert_eq!(shown(&running, &security).await, old);

    let renewed = server_leaf(&files.ca);
    files.write_identity(&renewed);
    files.write("ca.crt", files.ca.certificate_pem());
    until(&mut reloads, |reloads| reloads.failure.is_none()).await;
    assert_eq!(shown(&running, &security).await, fingerprint(&renewed));
    who_am_i(channel).await.unwrap();
    running.stop().await;
}

#[tokio::test]
async fn a_key_of_another_pair_is_reported_and_the_old_pair_kept() {
    let files = Files::new();
    let (running, reloading) = files.start(ClientFiles::default()).await;
    let old = shown(&running, &files.client()).await;
    files.write("server.key", server_leaf(&files.ca).key_pem.as_str());
    let mut reloads = reloading.reloads();
    let seen = until(&mut reloads, |reloads| reloads.failure.is_some()).await;
    assert!(matches!(seen.failure, Some(ConfigError::KeyMismatch { .. })), "{seen:?}");
    assert_eq!(shown(&running, &files.client()).await, old);
    running.stop().await;
}

#[tokio::test]
async fn lists_authorities_and_revocations_count_for_connections_that_live() {
    let files = Files::new();
    let client = client_leaf(&files.ca);
    let next_update = OffsetDateTime::now_utc() + Duration::DAY;
    let revoke = |names: &[&str]| files.ca.revocation_list(names, next_update).unwrap();
    files.write("clients", "# the peers\ndns:peer0.org1.example.com\n");
    files.write("crl.pem", &revoke(&[]));
    let clients = ClientFiles {
        rule_list: Some(files.path("clients")),
        revocation_lists: vec![files.path("crl.pem")],
        unknown_revocation: UnknownRevocation::Refuse,
        ..ClientFiles::default()
    };
    let (mut running, _reloading) = files.start(clients).await;
    let security = trusting_as(files.ca.certificate_pem(), &client);
    let changes: [(&str, String, &str); 3] = [
        ("clients", "dns:peer1.org1.example.com".into(), "not-allowed"),
        ("crl.pem", revoke(&[client.certificate_pem.as_str()]), "revoked"),
        ("ca.crt", authority("another").certificate_pem().into(), "unknown-issuer"),
    ];
    for (name, text, reason) in changes {
        let before = std::fs::read_to_string(files.path(name)).unwrap();
        let channel = connect(&running.target(), &security).await.unwrap();
        who_am_i(channel.clone()).await.unwrap();
        files.write(name, &text);
        let refusal = running.refusal().await;
        assert!(refusal.was_let_in);
        assert_eq!(refusal.reason.name(), reason);
        ends(&channel).await;
        // And back again.
        files.write(name, &before);
        let welcome = async { while connect(&running.target(), &security).await.is_err() {} };
        tokio::time::timeout(PATIENCE, welcome).await.expect("in time");
        while running.refusals_so_far() {}
    }
    running.stop().await;
}

#[tokio::test]
async fn an_empty_list_lets_nobody_in() {
    let files = Files::new();
    files.write("clients", "# nobody yet\n");
    let clients = ClientFiles { rule_list: Some(files.path("clients")), ..ClientFiles::default() };
    let (mut running, _reloading) = files.start(clients).await;
    connect(&running.target(), &files.client()).await.unwrap_err();
    assert_eq!(running.reason().await.name(), "not-allowed");
    running.stop().await;
}

#[tokio::test]
async fn msps_come_from_their_authorities_files() {
    let files = Files::new();
    let mut server = files.server(ClientFiles::default());
    server.clients = Some(ClientFiles {
        msps: vec![("Org1MSP".into(), files.path("ca.crt").into())],
        rules: vec!["msp:Org1MSP".parse().unwrap()],
        ..ClientFiles::default()
    });
    let (running, _reloading) = start(server).await;
    let channel = connect(&running.target(), &files.client()).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "CN=client of Org1MSP");
    running.stop().await;
}

#[test]
fn files_in_base64_are_read_as_nodes_and_javas_shims_write_them() {
    let files = Files::new();
    let encode = |name: &str| {
        let text = STANDARD.encode(std::fs::read(files.path(name)).unwrap());
        // A line break at the end, as `base64` leaves it.
        files.write(&format!("{name}.b64"), &format!("{text}\n"));
        PemFile { path: files.path(&format!("{name}.b64")), base64: true }
    };
    let server = ServerFiles {
        certificate: encode("server.crt"),
        key: encode("server.key"),
        clients: Some(ClientFiles { authorities: vec![encode("ca.crt")], ..ClientFiles::default() }),
    };
    let tls = server.load().unwrap();
    assert_eq!(tls.client_authorities().next().unwrap().subject, "CN=CA");

    let plain = ServerFiles { key: PemFile { base64: true, ..files.path("server.key").into() }, ..server };
    let Err(ConfigError::Pem(error)) = plain.load() else { panic!("PEM is not base64") };
    assert!(matches!(error.problem, PemProblem::NotBase64 { .. }));
    assert!(error.to_string().contains("server.key"));
}
