//! openssl at the other end, in both roles, and certificates as the usual recipes make them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use selvedge_tls::{ClientSecurity, Identity, RefusalReason, ServerTls, Target, Verdict};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::*;

/// A folder for files, or nothing and a notice when openssl is not installed.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn folder() -> Option<TempDir> {
    if std::process::Command::new("openssl").arg("version").output().is_err() {
        println!("skipped: openssl is not installed");
        return None;
    }
    Some(tempfile::tempdir().expect("a folder"))
}

fn write(folder: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, text).expect("written");
    path
}

/// `openssl req -x509` with a new RSA-4096 key, as the article has it.
async fn self_signed(folder: &TempDir, more: &[&str]) -> (PathBuf, PathBuf) {
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:4096", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(more)
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .await
        .expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (certificate, key)
}

/// Runs `openssl s_client` against a server until it ends or the server's first frame arrives, and returns all
/// it printed. The frame is binary, and nothing else that is printed has a zero byte.
async fn s_client(address: std::net::SocketAddr, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let mut command = Command::new("openssl");
    command.arg("s_client").arg("-connect").arg(address.to_string()).args(["-alpn", "h2"]);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl runs");
    let (mut out, mut err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        let _ = err.read_to_end(&mut text).await;
        text
    });
    let mut printed = Vec::new();
    while !printed.contains(&0) {
        let more = tokio::time::timeout(PATIENCE, out.read_buf(&mut printed)).await;
        if more.expect("in time").expect("readable") == 0 {
            break;
        }
    }
    drop(child);
    printed.extend(errors.await.expect("no panic"));
    String::from_utf8_lossy(&printed).into_owned()
}

/// Starts `openssl s_server` and waits until it listens.
async fn s_server(
    certificate: &Path,
    key: &Path,
    arguments: &[&dyn AsRef<std::ffi::OsStr>],
) -> (Target, Child) {
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", "127.0.0.1:0", "-cert"]).arg(certificate).arg("-key").arg(key);
    for argument in arguments {
        command.arg(argument.as_ref());
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("openssl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let port = loop {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("in time");
        let line = line.expect("readable").expect("a line before the end");
        if let Some(address) = line.strip_prefix("ACCEPT ") {
            break address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        }
    };
    // Kept empty, so that the server never waits for someone to read.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (Target { host: "127.0.0.1".into(), port }, child)
}

#[tokio::test]
async fn the_articles_certificates_work_when_they_carry_a_name() {
    let Some(folder) = folder() else { return };
    let (certificate, key) =
        self_signed(&folder, &["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]).await;
    let identity = Identity::from_files(&certificate, &key).unwrap();
    let pem = std::fs::read(&certificate).unwrap();
    let tls = ServerTls::builder(identity.clone()).require_client_certificates(&pem).build().unwrap();
    let server = Running::start(tls).await;
    let security: ClientSecurity =
        selvedge_tls::ClientTls::builder(&pem).identity(identity).build().unwrap().into();
    let channel = connect(&server.localhost(), &security).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "CN=localhost of none");
}

#[tokio::test]
async fn the_articles_certificates_are_explained_when_they_carry_none() {
    let Some(folder) = folder() else { return };
    let (certificate, key) = self_signed(&folder, &[]).await;
    let tls = ServerTls::builder(Identity::from_files(&certificate, &key).unwrap());
    let server = Running::start(tls.without_client_certificates().unwrap()).await;
    let roots = std::fs::read_to_string(&certificate).unwrap();
    let error = refused(&server.localhost(), &trusting(&roots)).await;
    assert_eq!(error.verdict.name(), "no-alternative-name");
    assert!(error.to_string().contains("-addext \"subjectAltName=DNS:localhost\""), "{error}");
}

#[tokio::test]
async fn openssl_clients_connect_with_either_version() {
    let Some(folder) = folder() else { return };
    let ca = authority("CA");
    let leaf = client_leaf(&ca);
    let certificate = write(&folder, "client.pem", &leaf.certificate_pem);
    let key = write(&folder, "client.key", leaf.key_pem.as_bytes());
    let root = write(&folder, "ca.pem", ca.certificate_pem());
    let server = Running::start(mutual(&ca, &ca)).await;
    for (version, name) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
        let printed =
            s_client(server.address, &[&version, &"-CAfile", &root, &"-cert", &certificate, &"-key", &key])
                .await;
        assert!(printed.contains(&format!("New, {name}, Cipher is ")), "{printed}");
        assert!(printed.contains("ALPN protocol: h2"), "{printed}");
        assert!(printed.contains("Verify return code: 0 (ok)"), "{printed}");
        assert!(!printed.contains("alert"), "{printed}");
        // Neither a ticket nor a session id to resume by.
        assert!(!printed.contains("TLS session ticket:"), "{printed}");
    }
}

#[tokio::test]
async fn a_refused_openssl_client_sees_the_alert() {
    let Some(folder) = folder() else { return };
    let (ca, strange) = (authority("CA"), authority("strange CA"));
    let leaf = client_leaf(&strange);
    let certificate = write(&folder, "client.pem", &leaf.certificate_pem);
    let key = write(&folder, "client.key", leaf.key_pem.as_bytes());
    let mut server = Running::start(mutual(&ca, &ca)).await;
    for version in ["-tls1_3", "-tls1_2"] {
        let printed = s_client(server.address, &[&version, &"-cert", &certificate, &"-key", &key]).await;
        assert!(printed.contains("alert unknown ca"), "{printed}");
        assert_eq!(server.reason().await.name(), "unknown-issuer");
        let printed = s_client(server.address, &[&version]).await;
        assert!(printed.contains("alert"), "{printed}");
        assert_eq!(server.reason().await, RefusalReason::NoClientCertificate);
    }
    let printed = s_client(server.address, &[&"-tls1_1", &"-cipher", &"ALL:@SECLEVEL=0"]).await;
    assert!(printed.contains("alert handshake failure"), "{printed}");
    assert_eq!(server.reason().await.name(), "nothing-in-common");
}

#[tokio::test]
async fn openssl_servers_get_their_verdicts() {
    let Some(folder) = folder() else { return };
    let ca = authority("CA");
    let leaf = server_leaf(&ca);
    let certificate = write(&folder, "server.pem", &leaf.certificate_pem);
    let key = write(&folder, "server.key", leaf.key_pem.as_bytes());
    let root = write(&folder, "ca.pem", ca.certificate_pem());
    let stranger = client_leaf(&authority("strange CA"));

    let (target, _child) = s_server(&certificate, &key, &[]).await;
    let error = refused(&target, &trusting(ca.certificate_pem())).await;
    assert_eq!(*error.verdict, Verdict::NoHttp2Alpn { answer: None });
    let error = refused(&target, &ClientSecurity::Plaintext).await;
    assert_eq!(error.verdict.name(), "server-is-tls", "{error}");

    for version in ["-tls1_3", "-tls1_2"] {
        let demanding: [&dyn AsRef<std::ffi::OsStr>; 8] =
            [&version, &"-alpn", &"h2", &"-Verify", &"2", &"-verify_return_error", &"-CAfile", &root];
        let (target, _child) = s_server(&certificate, &key, &demanding).await;
        let error = refused(&target, &trusting(ca.certificate_pem())).await;
        assert_eq!(error.verdict.name(), "client-certificate-required", "{version}: {error}");
        let error = refused(&target, &trusting_as(ca.certificate_pem(), &stranger)).await;
        assert_eq!(error.verdict.name(), "client-certificate-refused", "{version}: {error}");
        assert!(error.to_string().contains("CN=CA"), "the accepted authorities are named: {error}");
    }
}
