use std::path::Path;

use selvedge_tls::{ClientRule, PemFile, UnknownRevocation};

use super::*;

const ADDRESS: &str = "0.0.0.0:9999";

fn id() -> String {
    format!("basic_1.0:{}", "0a".repeat(32))
}

/// Everything that mutual TLS needs, in the names of Go's sample.
fn complete() -> Sources {
    Settings::sources()
        .variable("CHAINCODE_SERVER_ADDRESS", ADDRESS)
        .variable("CHAINCODE_ID", id())
        .variable("CHAINCODE_TLS_CERT", "/tls/server.crt")
        .variable("CHAINCODE_TLS_KEY", "/tls/server.key")
        .variable("CHAINCODE_CLIENT_CA_CERT", "/tls/ca.crt")
}

fn plaintext() -> Sources {
    Settings::sources()
        .variable("CHAINCODE_SERVER_ADDRESS", ADDRESS)
        .variable("CHAINCODE_ID", id())
        .variable("CHAINCODE_TLS_DISABLED", "true")
}

fn files(settings: &Settings) -> (&PemFile, &PemFile, &[PemFile]) {
    let files = settings.tls.as_ref().expect("TLS");
    let clients = files.clients.as_ref().expect("clients with certificates");
    (&files.certificate, &files.key, &clients.authorities)
}

fn at(path: &str) -> PemFile {
    path.into()
}

#[track_caller]
fn refused(sources: Sources, texts: &[&str]) -> SettingsError {
    let error = sources.read().expect_err("a refusal");
    let text = format!("{error} / {} / {}", error.cause(), error.fix());
    for wanted in texts {
        assert!(text.contains(wanted), "{wanted:?} is not in {text:?}");
    }
    error
}

#[test]
fn the_names_of_gos_samples_are_understood() {
    let settings = complete().read().unwrap();
    assert_eq!(settings.address, ADDRESS);
    assert_eq!(settings.package_id, id());
    let expected = (&at("/tls/server.crt"), &at("/tls/server.key"), &[at("/tls/ca.crt")][..]);
    assert_eq!(files(&settings), expected);
    assert_eq!(settings.security(), "mutual TLS");
}

#[test]
fn the_names_of_gos_contract_api_are_understood() {
    let sources = Settings::sources()
        .variable("CHAINCODE_SERVER_ADDRESS", ":9999")
        .variable("CORE_CHAINCODE_ID_NAME", id())
        .variable("CORE_PEER_TLS_ENABLED", "true")
        .variable("CORE_TLS_CLIENT_KEY_FILE", "k.pem")
        .variable("CORE_TLS_CLIENT_CERT_FILE", "c.pem")
        .variable("CORE_PEER_TLS_ROOTCERT_FILE", "ca.pem");
    let settings = sources.read().unwrap();
    // Go listens on all interfaces when there is no host.
    assert_eq!(settings.address, ADDRESS);
    assert_eq!(files(&settings), (&at("c.pem"), &at("k.pem"), &[at("ca.pem")][..]));
}

#[test]
fn nodes_command_line_and_variables_are_understood() {
    let arguments = [
        "--chaincode-address=0.0.0.0:9999".into(),
        "--chaincode-id".into(),
        id(),
        "--chaincode-tls-key-file=k.pem".into(),
        "--chaincode-tls-cert-path=c.b64".into(),
        "--chaincode-tls-client-cacert-file=ca.pem".into(),
    ];
    let settings = Settings::sources().arguments(arguments).unwrap().read().unwrap();
    let certificate = PemFile { path: "c.b64".into(), base64: true };
    assert_eq!(files(&settings), (&certificate, &at("k.pem"), &[at("ca.pem")][..]));

    let settings = Settings::sources()
        .variable("CORE_CHAINCODE_ADDRESS", ADDRESS)
        .variable("CORE_CHAINCODE_ID", id())
        .variable("CORE_CHAINCODE_TLS_KEY_FILE", "k.pem")
        .variable("CORE_CHAINCODE_TLS_CERT_FILE", "c.pem")
        .variable("CORE_CHAINCODE_TLS_CLIENT_CACERT_PATH", "ca.b64")
        .read()
        .unwrap();
    let authority = PemFile { path: "ca.b64".into(), base64: true };
    assert_eq!(files(&settings), (&at("c.pem"), &at("k.pem"), &[authority][..]));
}

#[test]
fn javas_names_are_understood_although_it_demands_each_file_twice() {
    let sources = Settings::sources()
        .variable("PORT_CHAINCODE_SERVER", "9999")
        .variable("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:9999")
        .variable("CORE_CHAINCODE_ID_NAME", id())
        .variable("CORE_PEER_TLS_ENABLED", "true")
        .variable("CORE_TLS_CLIENT_KEY_FILE", "k.pem")
        .variable("CORE_TLS_CLIENT_KEY_PATH", "k.b64")
        .variable("CORE_TLS_CLIENT_CERT_FILE", "c.pem")
        .variable("CORE_TLS_CLIENT_CERT_PATH", "c.b64")
        .variable("CORE_PEER_TLS_ROOTCERT_FILE", "ca.pem");
    let settings = sources.clone().read().unwrap();
    assert_eq!(settings.address, "127.0.0.1:9999");
    assert_eq!(files(&settings), (&at("c.pem"), &at("k.pem"), &[at("ca.pem")][..]));
    refused(
        sources.variable("CHAINCODE_SERVER_ADDRESS", "127.0.0.1:9998"),
        &["CHAINCODE_SERVER_ADDRESS is \"127.0.0.1:9999\"", "\"127.0.0.1:9998\""],
    );
    let port = Settings::sources().variable("PORT_CHAINCODE_SERVER", "9999").variable("CHAINCODE_ID", id());
    let settings = port.variable("CHAINCODE_TLS_DISABLED", "1").read().unwrap();
    assert_eq!(settings.address, ADDRESS);
}

#[test]
fn two_names_that_say_the_same_agree() {
    // As deployCCAAS.sh of the test network gives them.
    let settings = plaintext().variable("CORE_CHAINCODE_ID_NAME", id()).read().unwrap();
    assert_eq!(settings.package_id, id());
    assert!(settings.tls.is_none());
    let settings = plaintext().variable("CORE_PEER_TLS_ENABLED", "false").read().unwrap();
    assert!(settings.tls.is_none());
}

#[test]
fn two_names_that_say_different_things_are_both_named() {
    let error = refused(
        complete().variable("CORE_CHAINCODE_ID_NAME", "another"),
        &["CHAINCODE_ID is", "CORE_CHAINCODE_ID_NAME is \"another\"", "set one of"],
    );
    assert!(matches!(error, SettingsError::Contradiction { .. }));
    refused(
        complete().variable("CORE_PEER_TLS_ENABLED", "true").variable("CHAINCODE_TLS_DISABLED", "true"),
        &["CHAINCODE_TLS_DISABLED is \"true\"", "CORE_PEER_TLS_ENABLED is \"true\""],
    );
    refused(
        complete().variable("CORE_PEER_TLS_ROOTCERT_FILE", "/other/ca.crt"),
        &["CHAINCODE_CLIENT_CA_CERT", "CORE_PEER_TLS_ROOTCERT_FILE", "/other/ca.crt"],
    );
    let twice = ["--address", "a:1", "--chaincode-address", "a:2"];
    refused(
        complete().arguments(twice).unwrap(),
        &["--address is \"a:1\"", "--chaincode-address is \"a:2\""],
    );
    refused(
        complete().variable("PORT_CHAINCODE_SERVER", "1"),
        &["CHAINCODE_SERVER_ADDRESS", "PORT_CHAINCODE_SERVER is \"1\""],
    );
}

#[test]
fn what_deployccaas_sets_alone_is_explained() {
    let sources = Settings::sources()
        .variable("CHAINCODE_SERVER_ADDRESS", ADDRESS)
        .variable("CHAINCODE_ID", id())
        .variable("CORE_CHAINCODE_ID_NAME", id());
    let error = refused(
        sources,
        &["nothing about TLS", "deployCCAAS.sh", "tls_required false", "CHAINCODE_TLS_DISABLED=true"],
    );
    assert_eq!(error, SettingsError::OnlyAddressAndId);
}

#[test]
fn the_program_counts_more_than_the_command_line_and_that_more_than_the_environment_and_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    let path = file.to_str().unwrap();
    std::fs::write(&file, r#"{ "drain": "1s", "contract_threads": 1, "strict": true, "batching": false }"#)
        .unwrap();
    let settings = complete()
        .variable("SELVEDGE_CHAINCODE_CONFIG", path)
        .variable("SELVEDGE_DRAIN", "2s")
        .variable("SELVEDGE_CONTRACT_THREADS", "2")
        .variable("SELVEDGE_STRICT", "false")
        .arguments(["--drain=3s", "--contract-threads", "3"])
        .unwrap()
        .set(Setting::Drain, "4s")
        .read()
        .unwrap();
    assert_eq!(settings.drain, Some(Duration::from_secs(4)));
    assert_eq!(settings.contract_threads, Some(3));
    assert_eq!(settings.strict, Some(false));
    assert_eq!(settings.batching, Some(false));
    let decision = settings.decisions.iter().find(|decision| decision.setting == Setting::Drain).unwrap();
    let told: Vec<String> = decision.overruled.iter().map(ToString::to_string).collect();
    assert_eq!(decision.winner.to_string(), "the program's own value is \"4s\"");
    assert_eq!(told, ["--drain is \"3s\"", "SELVEDGE_DRAIN is \"2s\"", "drain is \"1s\""]);
}

#[test]
fn a_file_holds_lists_and_its_paths_begin_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    let text = format!(
        r#"{{
            "address": "{ADDRESS}", "package_id": "{}",
            "tls_cert": "server.crt", "tls_key": "/absolute/server.key",
            "client_msps": {{ "Org1MSP": "org1.pem", "Org2MSP": "org2.pem" }},
            "allowed_clients": ["msp:Org1MSP", "spiffe://example.com/peer0"],
            "allowed_clients_file": "clients", "crl": ["one.crl", "two.crl"], "crl_unknown": "allow",
            "keepalive_interval": "30s"
        }}"#,
        id()
    );
    std::fs::write(&file, text).unwrap();
    let arguments = ["--config".into(), file.clone()];
    let settings = Settings::sources().arguments(arguments).unwrap().read().unwrap();
    let here = |name: &str| folder.path().join(name);
    let files = settings.tls.unwrap();
    assert_eq!(files.certificate.path, here("server.crt"));
    assert_eq!(files.key.path, Path::new("/absolute/server.key"));
    let clients = files.clients.unwrap();
    let msps: Vec<(&str, &Path)> =
        clients.msps.iter().map(|(msp, file)| (msp.as_str(), file.path.as_path())).collect();
    assert_eq!(msps, [("Org1MSP", here("org1.pem").as_path()), ("Org2MSP", here("org2.pem").as_path())]);
    let spiffe = ClientRule::Uri("spiffe://example.com/peer0".into());
    assert_eq!(clients.rules, [ClientRule::Msp("Org1MSP".into()), spiffe]);
    assert_eq!(clients.rule_list, Some(here("clients")));
    assert_eq!(clients.revocation_lists, [here("one.crl"), here("two.crl")]);
    assert_eq!(clients.unknown_revocation, UnknownRevocation::Allow);
    assert_eq!(settings.keepalive_interval, Some(Duration::from_secs(30)));
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        complete().flag("--config", file.to_str().unwrap())
    };
    refused(with("[]"), &["settings.json", "expected a map"]);
    refused(with("{"), &["settings.json", "EOF"]);
    refused(with(r#"{ "adress": "x" }"#), &["\"adress\" is no setting", "address, package_id"]);
    refused(with(r#"{ "drain": null }"#), &["the value of \"drain\""]);
    refused(with(r#"{ "crl": [1] }"#), &["the value of \"crl\""]);
    refused(with(&format!("{{ \"drain\": \"{}\" }}", "x".repeat(1 << 20))), &["more than 1048576 bytes"]);
    refused(
        complete().flag("--config", "/nowhere"),
        &["/nowhere", "No such file", "SELVEDGE_CHAINCODE_CONFIG"],
    );
}

#[test]
fn values_that_cannot_be_used_are_named() {
    let arguments = |arguments: &[&str]| complete().arguments(arguments.iter().copied()).unwrap();
    refused(arguments(&["--address", "localhost"]), &["--address is \"localhost\"", "host:port", ADDRESS]);
    refused(
        arguments(&["--package-id", "basic"]),
        &["the package id is none", "queryinstalled", "keeps callers"],
    );
    refused(arguments(&["-i", "basic:00"]), &["-i is \"basic:00\""]);
    refused(arguments(&["--drain", "10"]), &["--drain is \"10\"", "10s"]);
    refused(arguments(&["--drain", "-1s"]), &["it is not a time"]);
    refused(arguments(&["--keepalive-timeout", "0s"]), &["it is not a time"]);
    refused(arguments(&["--contract-threads", "many"]), &["it is not a number"]);
    refused(arguments(&["--strict=maybe"]), &["--strict is \"maybe\"", "neither true nor false"]);
    refused(arguments(&["--crl-unknown", "ignore"]), &["refuse or allow"]);
    refused(arguments(&["--allowed-clients", "peer0"]), &["allows no client", "dns:NAME"]);
    refused(arguments(&["--allowed-clients", ","]), &["it names nothing"]);
    refused(arguments(&["--client-msps", "org1.pem"]), &["is not MSP=FILE"]);
    // Nobody forges a line of the log.
    refused(arguments(&["--address", "a\nb"]), &["\"a\\nb\""]);
}

#[test]
fn what_is_missing_is_named_with_a_fix() {
    let without = |missing: &str| {
        let mut sources = complete();
        sources.layers.variables.retain(|(name, _)| name != missing);
        sources
    };
    refused(without("CHAINCODE_SERVER_ADDRESS"), &["neither --address nor CHAINCODE_SERVER_ADDRESS is set"]);
    refused(without("CHAINCODE_ID"), &["neither --package-id nor CHAINCODE_ID is set"]);
    refused(without("CHAINCODE_TLS_CERT"), &["its certificate", "TLS is on unless", "--tls-disabled"]);
    refused(without("CHAINCODE_TLS_KEY"), &["its private key", "CHAINCODE_TLS_KEY"]);
    refused(
        without("CHAINCODE_CLIENT_CA_CERT"),
        &["whoever reaches the port can act as a peer", "--without-client-certificates"],
    );
    // An empty variable counts as not set.
    refused(without("CHAINCODE_ID").variable("CHAINCODE_ID", ""), &["CHAINCODE_ID is set"]);
}

#[test]
fn clients_without_certificates_cannot_be_narrowed() {
    let without = |sources: Sources| sources.arguments(["--without-client-certificates"]).unwrap();
    refused(
        without(complete()),
        &[
            "--without-client-certificates is \"true\"",
            "CHAINCODE_CLIENT_CA_CERT is",
            "one excludes the other",
        ],
    );
    let mut sources = complete();
    sources.layers.variables.retain(|(name, _)| name != "CHAINCODE_CLIENT_CA_CERT");
    let settings = without(sources).read().unwrap();
    assert_eq!(settings.security(), "TLS, clients not verified");
}

#[test]
fn a_command_line_that_is_misspelt_is_refused() {
    let parse = |arguments: &[&str]| Settings::sources().arguments(arguments.iter().copied()).unwrap_err();
    let error = parse(&["--adress", "x"]);
    assert_eq!(error, SettingsError::UnknownArgument { argument: "--adress".into() });
    assert!(error.fix().contains("--help"));
    assert_eq!(parse(&["--address"]), SettingsError::NoValue { flag: "--address".into() });
    assert_eq!(parse(&["stray"]), SettingsError::UnknownArgument { argument: "stray".into() });
    for name in ["--address", "CHAINCODE_ID", "SELVEDGE_CHAINCODE_CONFIG", "crl_unknown"] {
        assert!(Settings::help().contains(name), "{name}");
    }
}

#[test]
fn what_a_peer_tells_the_chaincode_that_it_launches_is_understood() {
    use selvedge_pki::{Authority, AuthoritySpec, LeafSpec};
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let authority = Authority::new(&AuthoritySpec::default()).unwrap();
    let leaf = authority.issue(&LeafSpec::default()).unwrap();
    let root = file("root.pem", authority.certificate_pem());
    let key = file("key.pem", leaf.key_pem.as_str());
    let certificate = file("certificate.pem", &leaf.certificate_pem);
    let launched = || {
        Settings::sources()
            .variable("CORE_PEER_TLS_ENABLED", "true")
            .variable("CORE_PEER_TLS_ROOTCERT_FILE", &root)
            .variable("CORE_TLS_CLIENT_KEY_FILE", &key)
            .variable("CORE_TLS_CLIENT_CERT_FILE", &certificate)
            .variable("CORE_CHAINCODE_ID_NAME", "basic:1.0")
            .variable("CORE_PEER_LOCALMSPID", "Org1MSP")
    };
    for sources in [
        launched().variable("CORE_PEER_ADDRESS", "peer:7052"),
        launched().arguments(["--peer.address", "peer:7052"]).unwrap(),
    ] {
        let settings = sources.read().unwrap();
        let peer = settings.peer.as_ref().unwrap();
        assert_eq!((peer.address(), peer.package_id()), ("peer:7052", "basic:1.0"));
        assert_eq!(settings.package_id, "basic:1.0");
        assert!(settings.tls.is_none() && settings.address.is_empty());
    }
    // As a server it would need the id of a package.
    let with_address =
        launched().variable("CORE_PEER_ADDRESS", "peer:7052").variable("CHAINCODE_SERVER_ADDRESS", ADDRESS);
    refused(with_address, &["64 lower-case hexadecimal digits"]);
    let plain = Settings::sources()
        .variable("CORE_PEER_ADDRESS", "peer:7052")
        .variable("CORE_PEER_TLS_ENABLED", "false");
    refused(plain.clone(), &["under which id the peer has launched it"]);
    assert!(plain.variable("CORE_CHAINCODE_ID_NAME", "basic:1.0").read().unwrap().peer.is_some());
    let blind = Settings::sources()
        .variable("CORE_PEER_ADDRESS", "peer:7052")
        .variable("CORE_CHAINCODE_ID_NAME", "basic:1.0");
    refused(blind, &["CORE_PEER_TLS_ROOTCERT_FILE"]);

    // All of it in the file that a builder's run is given.
    let metadata = serde_json::json!({
        "chaincode_id": id(), "peer_address": "127.0.0.1:7052", "mspid": "Org1MSP",
        "client_cert": leaf.certificate_pem, "client_key": leaf.key_pem.as_str(), "root_cert": authority.certificate_pem(),
    });
    let told = file("chaincode.json", &metadata.to_string());
    let settings = Settings::sources().arguments(["--run-metadata", &told]).unwrap().read().unwrap();
    assert_eq!(settings.peer.unwrap().package_id(), id());
    let error = Settings::sources().arguments(["--run-metadata", &root]).unwrap();
    refused(error, &["is not the chaincode.json"]);
}
