//! Where the builder goes beyond the stock one, and what it refuses.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use selvedge_package::builder::{self, BuilderError, Warning};
use selvedge_package::connection::{Connection, Security};
use tempfile::TempDir;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";

struct Folders {
    root: TempDir,
}

impl Folders {
    fn new(connection: &str) -> Self {
        let folders = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["src", "meta", "bld", "rel"] {
            fs::create_dir(folders.at(folder)).unwrap();
        }
        fs::write(folders.at("meta/metadata.json"), r#"{"type":"ccaas","label":"a"}"#).unwrap();
        fs::write(folders.at("src/connection.json"), connection).unwrap();
        folders
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn build(&self, configuration: &str) -> Result<Vec<Warning>, BuilderError> {
        builder::build(&self.at("src"), &self.at("meta"), &self.at("bld"), configuration)
    }
}

#[test]
fn certificate_files_are_inlined_and_the_domain_is_kept() {
    let folders = Folders::new(
        r#"{"address":"cc:1","dial_timeout":"10s","tls_required":true,"client_auth_required":true,"domain":"{{.peer}}.x",
            "root_cert":"tls/ca.pem","client_cert":"{{.peer}}.pem","client_key":"absent.pem"}"#,
    );
    fs::create_dir(folders.at("src/tls")).unwrap();
    fs::write(folders.at("src/tls/ca.pem"), PEM).unwrap();
    fs::write(folders.at("src/p0.pem"), PEM).unwrap();
    let warnings = folders.build(r#"{"peer":"p0"}"#).unwrap();
    assert_eq!(
        warnings,
        [
            Warning::Inlined { field: "root_cert", path: "tls/ca.pem".into() },
            Warning::Inlined { field: "client_cert", path: "p0.pem".into() },
            Warning::DomainKept,
        ]
    );
    builder::release(&folders.at("bld"), &folders.at("rel")).unwrap();
    let released = folders.at("rel").join(builder::RELEASED_CONNECTION);
    assert_eq!(fs::metadata(&released).unwrap().permissions().mode() & 0o777, 0o600);
    let server = Connection::parse(&fs::read(released).unwrap()).unwrap().server().unwrap();
    let Security::Tls { root_cert, client: Some(client) } = server.security else {
        panic!("no client certificate")
    };
    assert_eq!((root_cert.as_str(), client.certificate.as_str()), (PEM, PEM));
    assert_eq!((client.key.as_str(), client.domain.as_deref()), ("absent.pem", Some("p0.x")));
}

#[test]
fn only_plain_paths_inside_the_source_are_inlined() {
    for value in ["../outside.pem", "/etc/hostname", "tls/../../outside.pem", "./a.pem", "src", "folder"] {
        let folders = Folders::new(&format!(
            r#"{{"address":"cc:1","dial_timeout":"10s","tls_required":true,"root_cert":"{value}"}}"#
        ));
        fs::write(folders.at("outside.pem"), PEM).unwrap();
        fs::create_dir(folders.at("src/folder")).unwrap();
        assert_eq!(folders.build("").unwrap(), [], "{value}");
        let built = Connection::parse(&fs::read(folders.at("bld/connection.json")).unwrap()).unwrap();
        assert_eq!(built.root_cert, value);
    }
}

#[test]
fn links_are_refused() {
    let connection =
        r#"{"address":"cc:1","dial_timeout":"10s","tls_required":true,"root_cert":"tls/ca.pem"}"#;
    let folders = Folders::new(connection);
    fs::create_dir(folders.at("outside")).unwrap();
    fs::write(folders.at("outside/ca.pem"), PEM).unwrap();
    symlink(folders.at("outside"), folders.at("src/tls")).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::FileType(_))));

    let folders = Folders::new(connection);
    fs::create_dir_all(folders.at("src/META-INF/statedb")).unwrap();
    symlink("/etc/hostname", folders.at("src/META-INF/statedb/x.json")).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::FileType(_))));

    let folders = Folders::new(connection);
    fs::rename(folders.at("src/connection.json"), folders.at("elsewhere.json")).unwrap();
    symlink(folders.at("elsewhere.json"), folders.at("src/connection.json")).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::FileType(_))));
}

#[test]
fn a_file_that_is_no_pem_is_not_inlined() {
    let folders =
        Folders::new(r#"{"address":"cc:1","dial_timeout":"10s","tls_required":true,"root_cert":"ca.der"}"#);
    fs::write(folders.at("src/ca.der"), [0x30, 0x82]).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::NotText(path)) if path == "ca.der"));
}

#[test]
fn missing_and_large_files_are_told() {
    let folders = Folders::new("{}");
    fs::remove_file(folders.at("src/connection.json")).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::NotFound(_))));
    fs::write(folders.at("src/connection.json"), vec![b' '; (1 << 20) + 1]).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::Limit { .. })));
    let empty = folders.at("rel");
    assert!(matches!(builder::detect(&empty, &empty), Err(BuilderError::NotFound(_))));
    assert!(matches!(builder::release(&empty, &folders.at("bld")), Err(BuilderError::NotFound(_))));
}

#[test]
fn deep_trees_are_refused() {
    let folders = Folders::new(r#"{"address":"cc:1","dial_timeout":"10s"}"#);
    fs::create_dir_all(folders.at("src/META-INF").join("d/".repeat(40))).unwrap();
    assert!(matches!(folders.build(""), Err(BuilderError::Limit { limit: "32 levels", .. })));
}

#[test]
fn an_absent_dial_timeout_is_warned_of() {
    let folders = Folders::new(r#"{"address":"cc:1"}"#);
    assert_eq!(folders.build("null").unwrap(), [Warning::NoDialTimeout]);
    assert!(matches!(folders.build("[]"), Err(BuilderError::Configuration(_))));
}
