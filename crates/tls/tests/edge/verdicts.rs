//! One cause after the other, and the verdict the client gives.

use std::sync::Arc;

use selvedge_pki::{Authority, LeafSpec, Usage, Validity, self_signed};
use selvedge_tls::{
    CertificateProblem, ClientSecurity, ClientTls, ServerSecurity, ServerTls, Target, Verdict, dial, probe,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Duration;
use tokio_rustls::TlsAcceptor;

use crate::support::*;

/// For servers that stay silent: long enough to tell, short enough to wait for.
const SHORT: Duration = Duration::from_millis(600);

/// Runs `serve` for each connection to a new port.
async fn raw<F, S>(serve: F) -> Target
where
    F: Fn(TcpStream) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Target { host: "127.0.0.1".into(), port }
}

/// A server made with the library itself, for what this crate's server would never do.
async fn foreign(config: rustls::ServerConfig) -> Target {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    raw(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(tcp).await {
                let _ = stream.read(&mut [0; 1024]).await;
            }
        }
    })
    .await
}

fn foreign_config(
    authority: &Authority,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> rustls::ServerConfig {
    use rustls_pki_types::pem::PemObject;
    let leaf = server_leaf(authority);
    let chain =
        vec![rustls_pki_types::CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).expect("PEM")];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).expect("PEM");
    rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate")
}

fn nobody() -> ClientSecurity {
    trusting(authority("CA").certificate_pem())
}

async fn verdict_of_server(leaf: &selvedge_pki::Leaf, roots: &str) -> Verdict {
    let mut server = Running::start(one_way(leaf)).await;
    let error = refused(&server.target(), &trusting(roots)).await;
    assert_eq!(error.server_chain.len(), 1, "the refused chain is kept as evidence");
    assert_eq!(server.reason().await.name(), "refused-by-client");
    *error.verdict
}

#[tokio::test]
async fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let target = Target { host: "127.0.0.1".into(), port };
    assert_eq!(*refused(&target, &nobody()).await.verdict, Verdict::Refused);
    assert_eq!(*refused(&target, &ClientSecurity::Plaintext).await.verdict, Verdict::Refused);
}

#[tokio::test]
async fn the_name_is_unknown() {
    let target = Target { host: "no-such-host.invalid".into(), port: 1 };
    assert_eq!(refused(&target, &nobody()).await.verdict.name(), "unresolved");
}

#[tokio::test]
async fn the_connection_itself_gets_no_answer() {
    // A full backlog drops further attempts, as a firewall does.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        held.push(stream);
        assert!(held.len() < 64, "the backlog does not fill");
    }
    let target = Target { host: "127.0.0.1".into(), port: address.port() };
    let error = dial(&target, &nobody(), SHORT).await.unwrap_err();
    assert_eq!(error.verdict.name(), "connect-timeout", "{error}");
}

#[tokio::test]
async fn the_server_accepts_and_never_answers() {
    let target = raw(|mut tcp| async move {
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    for security in [nobody(), ClientSecurity::Plaintext] {
        let error = probe(&target, &security, SHORT).await.unwrap_err();
        assert_eq!(error.verdict.name(), "no-answer", "{error}");
        let options = selvedge_tls::DialOptions { timeout: SHORT, ..options() };
        let error = selvedge_tls::channel(&target, &security, &options).await.unwrap_err();
        assert_eq!(error.verdict.name(), "no-answer", "{error}");
    }
}

#[tokio::test]
async fn the_server_closes_at_once() {
    let target = raw(|mut tcp| async move {
        let _ = tcp.read(&mut [0; 4096]).await;
    })
    .await;
    assert_eq!(refused(&target, &nobody()).await.verdict.name(), "closed");
    assert_eq!(refused(&target, &ClientSecurity::Plaintext).await.verdict.name(), "closed");
}

#[tokio::test]
async fn tls_is_dialled_and_the_server_is_plaintext() {
    let mut server = Running::start(ServerSecurity::Plaintext).await;
    let error = refused(&server.target(), &nobody()).await;
    assert_eq!(error.verdict.name(), "server-is-plaintext", "{error}");
    assert_eq!(server.reason().await.name(), "tls-client");

    // As grpc-go does: SETTINGS before it has read anything.
    let grpc = raw(|mut tcp| async move {
        let _ = tcp.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(refused(&grpc, &nobody()).await.verdict.name(), "server-is-plaintext");
}

#[tokio::test]
async fn plaintext_is_dialled_and_the_server_speaks_tls() {
    let ca = authority("CA");
    let mut server = Running::start(one_way(&server_leaf(&ca))).await;
    let error = refused(&server.target(), &ClientSecurity::Plaintext).await;
    assert_eq!(error.verdict.name(), "server-is-tls", "{error}");
    assert!(error.to_string().contains("tls_required true"), "{error}");
    assert_eq!(server.reason().await.name(), "plaintext-client");

    // A server that closes without a word, as Go's does, is found out by a greeting.
    let config = foreign_config(&ca, &[&rustls::version::TLS13]);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let silent = raw(move |tcp| {
        let acceptor = acceptor.clone();
        async move {
            let mut first = [0];
            if tcp.peek(&mut first).await.is_ok() && first == [22] {
                let _ = acceptor.accept(tcp).await;
            }
        }
    })
    .await;
    let error = refused(&silent, &ClientSecurity::Plaintext).await;
    assert_eq!(error.verdict.name(), "server-is-tls", "{error}");
}

#[tokio::test]
async fn something_else_listens_there() {
    let ssh = raw(|mut tcp| async move {
        let _ = tcp.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await;
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = refused(&ssh, &ClientSecurity::Plaintext).await;
    assert_eq!(*error.verdict, Verdict::NotHttp2 { first_bytes: "\"SSH-2.0-OpenSSH_9.2\"".into() });
    let error = refused(&ssh, &nobody()).await;
    assert_eq!(error.verdict.name(), "server-is-plaintext", "{error}");
}

#[tokio::test]
async fn the_issuer_is_unknown() {
    let (theirs, ours) = (authority("their CA"), authority("our CA"));
    let verdict = verdict_of_server(&server_leaf(&theirs), ours.certificate_pem()).await;
    assert!(matches!(
        verdict,
        Verdict::Certificate(CertificateProblem::UnknownIssuer { same_name: false, .. })
    ));
}

#[tokio::test]
async fn the_authority_was_made_anew() {
    let (before, after) = (authority("CA"), authority("CA"));
    let verdict = verdict_of_server(&server_leaf(&after), before.certificate_pem()).await;
    assert!(matches!(
        verdict,
        Verdict::Certificate(CertificateProblem::UnknownIssuer { same_name: true, .. })
    ));
}

#[tokio::test]
async fn the_name_is_another() {
    let ca = authority("CA");
    let leaf = ca.issue(&spec("cc", &["cc.example.com", "10.0.0.1"], Usage::Server)).unwrap();
    let verdict = verdict_of_server(&leaf, ca.certificate_pem()).await;
    let Verdict::Certificate(CertificateProblem::NameMismatch { expected, names, .. }) = &verdict else {
        panic!("{verdict}");
    };
    assert_eq!(expected, "127.0.0.1");
    assert_eq!(names, &["cc.example.com", "10.0.0.1"]);
    assert!(verdict.fix().contains("subjectAltName=IP:127.0.0.1"), "{}", verdict.fix());
}

#[tokio::test]
async fn there_is_only_a_common_name() {
    let ca = authority("CA");
    let leaf = ca.issue(&spec("127.0.0.1", &[], Usage::Server)).unwrap();
    for (leaf, roots) in [
        (leaf, ca.certificate_pem().to_owned()),
        self_signed(&spec("127.0.0.1", &[], Usage::Unrestricted))
            .map(|leaf| (leaf.clone(), leaf.certificate_pem))
            .unwrap(),
    ] {
        let verdict = verdict_of_server(&leaf, &roots).await;
        let Verdict::Certificate(CertificateProblem::NoAlternativeName { common_name, .. }) = &verdict else {
            panic!("{verdict}");
        };
        assert_eq!(common_name.as_deref(), Some("127.0.0.1"));
    }
}

#[tokio::test]
async fn the_time_is_over_or_has_not_begun() {
    let ca = authority("CA");
    let issue =
        |validity| ca.issue(&LeafSpec { validity, ..spec("s", &["127.0.0.1"], Usage::Server) }).unwrap();
    let verdict = verdict_of_server(&issue(Validity::expired()), ca.certificate_pem()).await;
    assert_eq!(verdict.name(), "expired");
    let verdict = verdict_of_server(&issue(Validity::not_yet()), ca.certificate_pem()).await;
    assert_eq!(verdict.name(), "not-yet-valid");
}

#[tokio::test]
async fn a_certificate_that_is_itself_trusted_is_checked_like_any_other() {
    let make = |usage, validity, name: &str| {
        self_signed(&LeafSpec { validity, ..spec("s", &[name], usage) }).unwrap()
    };
    for (leaf, expected) in [
        (make(Usage::Unrestricted, Validity::expired(), "127.0.0.1"), "expired"),
        (make(Usage::Unrestricted, Validity::not_yet(), "127.0.0.1"), "not-yet-valid"),
        (make(Usage::Unrestricted, Validity::default(), "10.0.0.1"), "name-mismatch"),
        (make(Usage::Client, Validity::default(), "127.0.0.1"), "wrong-usage"),
    ] {
        assert_eq!(verdict_of_server(&leaf, &leaf.certificate_pem).await.name(), expected);
    }
}

#[tokio::test]
async fn a_trusted_certificate_that_is_no_authority_vouches_for_itself_only() {
    // Same name and key as the authority that signed, but CA:FALSE in the copy that is trusted.
    let ca = authority("CA");
    let leaf = server_leaf(&ca);
    let pinned = ca.issue(&spec("pinned", &["127.0.0.1"], Usage::Server)).unwrap();
    assert_eq!(verdict_of_server(&leaf, &pinned.certificate_pem).await.name(), "unknown-issuer");
    let server = Running::start(one_way(&pinned)).await;
    connect(&server.target(), &trusting(&pinned.certificate_pem)).await.unwrap();
}

#[tokio::test]
async fn an_authoritys_dates_count_as_go_counts_them() {
    let late = late_authority("late CA");
    let verdict = verdict_of_server(&server_leaf(&late), late.certificate_pem()).await;
    assert_eq!(verdict.name(), "authority-outside-validity");
}

#[tokio::test]
async fn a_clients_certificate_is_used_by_a_server() {
    let ca = authority("CA");
    let leaf = ca.issue(&spec("c", &["127.0.0.1"], Usage::Client)).unwrap();
    assert_eq!(verdict_of_server(&leaf, ca.certificate_pem()).await.name(), "wrong-usage");
}

#[tokio::test]
async fn an_authoritys_own_certificate_is_used_by_a_server() {
    let (ca, trusted) = (authority("CA"), authority("CA"));
    let leaf = self_signed(&spec("CA", &["127.0.0.1"], Usage::Unrestricted)).unwrap();
    drop(ca);
    // Not trusted itself, so it is an authority that stands for a server.
    let verdict = verdict_of_server(&leaf, trusted.certificate_pem()).await;
    assert_eq!(verdict.name(), "authority-as-leaf");
}

#[tokio::test]
async fn the_server_does_not_agree_on_http2() {
    let ca = authority("CA");
    let config = foreign_config(&ca, &[&rustls::version::TLS13]);
    let error = refused(&foreign(config).await, &trusting(ca.certificate_pem())).await;
    assert_eq!(*error.verdict, Verdict::NoHttp2Alpn { answer: None });
    let mut config = foreign_config(&ca, &[&rustls::version::TLS12]);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = refused(&foreign(config).await, &trusting(ca.certificate_pem())).await;
    assert_eq!(error.verdict.name(), "no-http2-alpn", "{error}");
}

#[tokio::test]
async fn the_server_wants_a_client_certificate_and_none_is_configured() {
    let ca = authority("CA");
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let error = refused(&server.target(), &trusting(ca.certificate_pem())).await;
    assert_eq!(error.verdict.name(), "client-certificate-required", "{error}");
    assert!(error.to_string().contains("certificate_required"), "{error}");
    assert_eq!(server.reason().await.name(), "no-client-certificate");
}

#[tokio::test]
async fn a_bare_connection_tells_of_a_late_refusal_in_its_first_read() {
    let ca = authority("CA");
    let server = Running::start(mutual(&ca, &ca)).await;
    let mut connection = dial(&server.target(), &trusting(ca.certificate_pem()), PATIENCE).await.unwrap();
    let error = connection.read(&mut [0; 16]).await.unwrap_err();
    assert!(error.to_string().contains("demands a client certificate"), "{error}");
}

#[tokio::test]
async fn the_server_does_not_accept_the_client_certificate() {
    let (ca, strange) = (authority("CA"), authority("strange CA"));
    let mut server = Running::start(mutual(&ca, &ca)).await;
    let expired = LeafSpec { validity: Validity::expired(), ..spec("e", &[], Usage::Client) };
    let wrong = spec("w", &[], Usage::Server);
    for (leaf, told, reason) in [
        (client_leaf(&strange), "unknown_ca", "unknown-issuer"),
        (ca.issue(&expired).unwrap(), "certificate_expired", "expired"),
        (ca.issue(&wrong).unwrap(), "unsupported_certificate", "wrong-usage"),
    ] {
        let security = trusting_as(ca.certificate_pem(), &leaf);
        let error = refused(&server.target(), &security).await;
        assert_eq!(error.verdict.name(), "client-certificate-refused", "{error}");
        assert!(error.to_string().contains(told), "{error}");
        for _ in ["probe", "channel"] {
            assert_eq!(server.reason().await.name(), reason);
        }
    }
}

#[tokio::test]
async fn clients_need_no_names_in_their_certificates() {
    let ca = authority("CA");
    let server = Running::start(mutual(&ca, &ca)).await;
    let leaf = ca.issue(&spec("peer0", &[], Usage::Client)).unwrap();
    let channel = connect(&server.target(), &trusting_as(ca.certificate_pem(), &leaf)).await.unwrap();
    assert_eq!(who_am_i(channel).await.unwrap(), "CN=peer0 of none");
}

#[tokio::test]
async fn no_certificate_can_carry_the_host() {
    let target = Target { host: "bad..name".into(), port: 1 };
    let error = dial(&target, &nobody(), PATIENCE).await.unwrap_err();
    assert_eq!(error.verdict.name(), "invalid-server-name", "{error}");
    assert!(ClientTls::builder(authority("CA").certificate_pem()).server_name("a b").build().is_err());
}

#[tokio::test]
async fn hostile_text_in_a_certificate_is_escaped() {
    let ca = authority("CA");
    let leaf = ca.issue(&spec("evil\u{1b}[2J\u{202e}", &["10.0.0.1"], Usage::Server)).unwrap();
    let verdict = verdict_of_server(&leaf, ca.certificate_pem()).await.to_string();
    assert!(!verdict.contains('\u{1b}') && !verdict.contains('\u{202e}'), "{verdict:?}");
    assert!(verdict.contains("evil\\u{1b}"), "{verdict}");
    let tls = ServerTls::builder(identity(&leaf)).without_client_certificates().unwrap();
    assert!(!format!("{tls:?}").contains("PRIVATE"));
}
