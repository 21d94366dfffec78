//! Packages and builders as nobody honest makes them, through a peer's own installation, and a foreign builder whose
//! chaincode is invoked. Each fails its own installation with a clear error, and the next one works.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use selvedge::Response;
use selvedge_client::Lifecycle;
use selvedge_golden::Corpus;
use selvedge_network::{Deployment, ExternalBuilder, NetworkConfig};
use support::builder::{gone, write_script};
use support::sharing::{Shared, Sharing};
use support::{CHANNEL, Place, World, call, definition, serve, within};
use tempfile::TempDir;

static STAGE: LazyLock<Sharing<Stage>> = Sharing::new();
static IMPATIENT: LazyLock<Sharing<Impatient>> = Sharing::new();

/// A network of one peer with external builders, each of which takes the packages of a type of its own name.
struct Stage {
    world: World,
    builders: TempDir,
    admin: Lifecycle,
}

impl Stage {
    async fn with(change: impl FnOnce(&mut NetworkConfig)) -> Self {
        let builders = tempfile::tempdir().unwrap();
        let world = World::with(|config| {
            config.builders = SCRIPTS.iter().map(|(name, _, _)| builder(builders.path(), name)).collect();
            change(config);
        })
        .await;
        let (network, peer) = (&world.network, world.peer());
        let admin = network.lifecycle(peer, network.admin_of(peer).unwrap()).await.unwrap();
        Self { admin, builders, world }
    }
}

impl Shared for Stage {
    async fn start() -> Self {
        Self::with(|_| {}).await
    }

    async fn stop(self) {
        self.world.stop().await;
    }
}

/// The same, but builders do not have as much time as they have otherwise.
struct Impatient(Stage);

impl Shared for Impatient {
    async fn start() -> Self {
        Self(Stage::with(|config| config.chaincode.install = Duration::from_secs(5)).await)
    }

    async fn stop(self) {
        self.0.stop().await;
    }
}

/// A builder's name, its `build`, and its `release`. `$HERE` is its folder.
const SCRIPTS: [(&str, &str, &str); 6] = [
    // Makes connection.json from a template of its own and the address in the package.
    (
        "foreign",
        r#"cp "$1/address" "$3/address""#,
        r#"mkdir -p "$2/chaincode/server" &&
           sed "s/ADDRESS/$(cat "$1/address")/" "$HERE/template.json" > "$2/chaincode/server/connection.json""#,
    ),
    ("hanging", r#"sleep 600 & echo $! > "$HERE/pids"; echo $$ >> "$HERE/pids"; wait"#, ""),
    ("talking", r#"echo $$ > "$HERE/pids"; yes 'and so on'; exit 1"#, ""),
    ("complaining", r#"echo $$ > "$HERE/pids"; exec yes 'and so on' >&2"#, ""),
    (
        "writing",
        r#"echo $$ > "$HERE/pids"; while :; do
               n=$((n + 1)); dd if=/dev/zero of="$3/large" bs=1 count=1 seek=$((n * 100000000)) 2> /dev/null
           done"#,
        "",
    ),
    (
        "forking",
        r#"for n in 1 2 3 4 5 6 7 8; do (sleep 600 & echo $! >> "$HERE/pids"; wait) & done
           until test "$(wc -l < "$HERE/pids")" = 8; do sleep 0.1; done; exit 3"#,
        "",
    ),
];

fn builder(folder: &Path, name: &str) -> ExternalBuilder {
    let path = folder.join(name);
    let (_, build, release) = SCRIPTS.into_iter().find(|(known, _, _)| *known == name).unwrap();
    fs::create_dir_all(path.join("bin")).unwrap();
    let here = format!("HERE={}", path.display());
    write_script(&path.join("bin/detect"), &format!("grep -q '\"type\":\"{name}\"' \"$2/metadata.json\""));
    write_script(&path.join("bin/build"), &format!("{here}\n{build}"));
    if !release.is_empty() {
        write_script(&path.join("bin/release"), &format!("{here}\n{release}"));
    }
    ExternalBuilder { name: name.to_owned(), path, propagate_environment: Vec::new() }
}

impl Stage {
    /// Installs a package that is refused, and tells why.
    async fn refusal(&self, package: impl Into<Bytes>) -> String {
        within(self.admin.install(package)).await.unwrap_err().to_string()
    }

    /// A package that nobody has installed yet installs.
    async fn works(&self) {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let label = format!("good_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let connection = file("connection.json", br#"{"address":"127.0.0.1:1","dial_timeout":"3s"}"#);
        let good = package(&label, "ccaas", &archive(&[connection]));
        let installed = within(self.admin.install(good)).await.unwrap();
        assert_eq!(installed.label, label);
    }

    /// The folder in which the peer keeps what it installs and builds.
    fn peers_folder(&self) -> PathBuf {
        self.world.network.folder().join("ledgers").join(self.world.peer().name())
    }

    async fn is_installed(&self, label: &str) -> bool {
        let installed = within(self.admin.installed()).await.unwrap();
        installed.iter().any(|package| package.label == label)
    }

    /// The builder's processes end.
    async fn no_processes_of(&self, builder: &str) {
        let pids = fs::read_to_string(self.builders.path().join(builder).join("pids")).unwrap();
        for pid in pids.lines() {
            within(gone(pid.parse().unwrap())).await;
        }
    }
}

/// One entry of an archive made without any of our own checks: name, type byte, link and content.
#[derive(Clone, Copy)]
struct Raw<'a> {
    name: &'a str,
    kind: u8,
    link: &'a str,
    content: &'a [u8],
}

fn file<'a>(name: &'a str, content: &'a [u8]) -> Raw<'a> {
    Raw { name, kind: b'0', link: "", content }
}

fn link<'a>(name: &'a str, kind: u8, link: &'a str) -> Raw<'a> {
    Raw { name, kind, link, content: b"" }
}

fn tar(entries: &[Raw<'_>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for Raw { name, kind, link, content } in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.as_mut_bytes()[156] = *kind;
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn archive(entries: &[Raw<'_>]) -> Vec<u8> {
    gzip(&tar(entries))
}

fn metadata(label: &str, kind: &str) -> Vec<u8> {
    format!(r#"{{"path":"","type":"{kind}","label":"{label}"}}"#).into_bytes()
}

fn package(label: &str, kind: &str, code: &[u8]) -> Vec<u8> {
    archive(&[file("metadata.json", &metadata(label, kind)), file("code.tar.gz", code)])
}

const CONNECTION: Raw<'_> =
    Raw { name: "connection.json", kind: b'0', link: "", content: br#"{"address":"127.0.0.1:1"}"# };

#[test]
fn code_with_paths_that_lead_out_links_or_duplicates_is_refused_and_nothing_is_written() {
    STAGE.run(async |stage| {
        let mark = "escaped-from-a-package";
        let outside = stage.builders.path().join(mark);
        let absolute = outside.to_str().unwrap();
        let deep = format!("{}{absolute}", "../".repeat(12));
        let cases: [(&str, &[Raw<'_>], &str); 10] = [
            ("up", &[CONNECTION, file("../x", b"")], "../x"),
            ("up_within", &[CONNECTION, file("a/../../x", b"")], "a/../../x"),
            ("absolute", &[CONNECTION, file(absolute, b"")], mark),
            ("far_up", &[CONNECTION, file(&deep, b"")], mark),
            ("symlink", &[CONNECTION, link("l", b'2', "/etc/passwd")], "'l'"),
            ("through_a_link", &[CONNECTION, link("l", b'2', "/tmp"), file("l/x", b"")], "'l'"),
            ("hard_link", &[CONNECTION, link("l", b'1', "connection.json")], "'l'"),
            ("device", &[CONNECTION, link("l", b'3', "")], "'l'"),
            ("twice", &[CONNECTION, CONNECTION], "connection.json"),
            ("file_as_folder", &[CONNECTION, file("x", b"1"), file("x/y", b"2")], "x/y"),
        ];
        for (label, entries, named) in cases {
            let refusal = stage.refusal(package(label, "ccaas", &archive(entries))).await;
            assert!(refusal.contains("could not build chaincode"), "{label}: {refusal}");
            assert!(refusal.contains(named), "{label}: {refusal}");
            assert!(!stage.is_installed(label).await, "{label}");
            assert!(!outside.exists(), "{label}");
            stage.works().await;
        }
        // Neither the package nor a part of its build stays.
        for folder in ["externalbuilder/builds", "lifecycle/chaincodes"] {
            for entry in fs::read_dir(stage.peers_folder().join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(cases.iter().all(|(label, _, _)| !name.starts_with(&format!("{label}-"))), "{name}");
                assert!(cases.iter().all(|(label, _, _)| !name.starts_with(&format!("{label}."))), "{name}");
            }
        }
    });
}

#[test]
fn packages_with_links_folders_or_duplicates_are_refused() {
    STAGE.run(async |stage| {
        let (metadata, code) = (metadata("outer", "ccaas"), archive(&[CONNECTION]));
        let (metadata, code) = (file("metadata.json", &metadata), file("code.tar.gz", &code));
        let cases: [(&[Raw<'_>], &str); 5] = [
            (
                &[link("metadata.json", b'2', "/etc/passwd"), code],
                "tar entry metadata.json is not a regular file",
            ),
            (
                &[metadata, link("code.tar.gz", b'1', "metadata.json")],
                "tar entry code.tar.gz is not a regular file",
            ),
            (&[link("folder", b'5', ""), metadata, code], "tar entry folder is not a regular file"),
            (&[metadata, metadata, code], "metadata.json"),
            (&[metadata, code, code], "code.tar.gz"),
        ];
        for (entries, text) in cases {
            let refusal = stage.refusal(archive(entries)).await;
            assert!(refusal.contains("could not parse as a chaincode install package"), "{refusal}");
            assert!(refusal.contains(text), "{refusal}");
        }
        assert!(!stage.is_installed("outer").await);
        stage.works().await;
    });
}

#[test]
fn truncated_packages_are_refused_wherever_they_end() {
    STAGE.run(async |stage| {
        let code = archive(&[CONNECTION]);
        let whole = package("cut", "ccaas", &code);
        for parts in 0..12 {
            let refusal = stage.refusal(whole[..whole.len() * parts / 12].to_vec()).await;
            assert!(refusal.contains("could not parse as a chaincode install package"), "{refusal}");
        }
        let cut_inside = package("cut_inside", "ccaas", &code[..code.len() / 2]);
        let refusal = stage.refusal(cut_inside).await;
        assert!(refusal.contains("could not build chaincode") && refusal.contains("untar"), "{refusal}");
        // An archive that promises more than it holds.
        let mut tar = tar(&[file("metadata.json", &metadata("cut_tar", "ccaas"))]);
        tar.truncate(512 + 10);
        let refusal = stage.refusal(gzip(&tar)).await;
        assert!(refusal.contains("could not parse as a chaincode install package"), "{refusal}");
        assert!(!stage.is_installed("cut").await && !stage.is_installed("cut_inside").await);
        stage.works().await;
    });
}

#[test]
fn gzip_bombs_are_refused_at_the_limit() {
    STAGE.run(async |stage| {
        let zeros = vec![0; 160 << 20];
        let metadata = metadata("bomb", "ccaas");
        let outer = archive(&[file("metadata.json", &metadata), file("zeros", &zeros)]);
        assert!(outer.len() < 2 << 20, "it is small: {}", outer.len());
        let refusal = stage.refusal(outer).await;
        assert!(refusal.contains("could not parse as a chaincode install package"), "{refusal}");
        assert!(refusal.contains("134217728"), "the limit is told: {refusal}");

        // Four files of it are more than the code may unpack to.
        let code = ["a", "b", "c", "d"].map(|name| file(name, &zeros));
        let refusal = stage.refusal(package("bomb", "ccaas", &archive(&code))).await;
        assert!(refusal.contains("could not build chaincode") && refusal.contains("536870912"), "{refusal}");
        assert!(!stage.is_installed("bomb").await);
        stage.works().await;
    });
}

#[test]
fn golden_packages_that_are_none_are_refused_in_fabrics_words() {
    STAGE.run(async |stage| {
        let mut refused = 0;
        for row in Corpus::get().json_lines("vectors/packages.jsonl") {
            let Some(error) = row["error"].as_str() else { continue };
            let path = format!("vectors/{}", row["file"].as_str().unwrap());
            let refusal = stage.refusal(Corpus::get().file(&path).to_vec()).await;
            // What Go's JSON library says behind it is its own.
            let error = error.find(" as json: ").map_or(error, |end| &error[..end]);
            let expected = format!("could not parse as a chaincode install package: {error}");
            assert!(refusal.contains(&expected), "{path}: {refusal}");
            refused += 1;
        }
        assert!(refused > 8, "{refused}");
        stage.works().await;
    });
}

#[test]
fn a_builder_that_hangs_is_killed_in_time_with_its_children() {
    IMPATIENT.run(async |Impatient(stage)| {
        let installing = stage.refusal(package("hanging", "hanging", &archive(&[CONNECTION])));
        // Others install meanwhile.
        let (refusal, ()) = tokio::join!(installing, stage.works());
        assert!(refusal.contains("timeout expired while building chaincode hanging"), "{refusal}");
        assert!(refusal.contains("5 s"), "{refusal}");
        stage.no_processes_of("hanging").await;
        assert!(!stage.is_installed("hanging").await);
        stage.works().await;
    });
}

#[test]
fn builders_that_talk_or_complain_without_end_are_killed_in_time() {
    IMPATIENT.run(async |Impatient(stage)| {
        for name in ["talking", "complaining"] {
            let refusal = stage.refusal(package(name, name, &archive(&[CONNECTION]))).await;
            assert!(
                refusal.contains(&format!("timeout expired while building chaincode {name}")),
                "{refusal}"
            );
            stage.no_processes_of(name).await;
        }
        stage.works().await;
    });
}

#[test]
fn a_builder_that_writes_without_end_is_killed_at_the_limit() {
    STAGE.run(async |stage| {
        let refusal = stage.refusal(package("writing", "writing", &archive(&[CONNECTION]))).await;
        assert!(refusal.contains("outgrew its limit"), "{refusal}");
        stage.no_processes_of("writing").await;
        stage.works().await;
    });
}

#[test]
fn what_a_failing_builder_forked_is_killed_with_it() {
    STAGE.run(async |stage| {
        let refusal = stage.refusal(package("forking", "forking", &archive(&[CONNECTION]))).await;
        assert!(refusal.contains("external builder 'forking' failed: exit status 3"), "{refusal}");
        stage.no_processes_of("forking").await;
        stage.works().await;
    });
}

#[test]
fn a_foreign_builder_brings_chaincode_that_is_invoked() {
    STAGE.run(async |stage| {
        let (network, peer) = (&stage.world.network, stage.world.peer());
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let server = network.edge().server("foreign", &address).unwrap();
        // The builder knows the peer's own certificate and key, as whoever runs the peer has given them to it.
        let template = serde_json::json!({
            "address": "ADDRESS",
            "dial_timeout": "10s",
            "tls_required": true,
            "client_auth_required": true,
            "root_cert": network.edge().authority_pem(),
            "client_cert": peer.tls_identity().certificate_pem,
            "client_key": peer.tls_identity().key_pem.as_str(),
        });
        fs::write(stage.builders.path().join("foreign/template.json"), template.to_string()).unwrap();
        let code = archive(&[file("address", address.as_bytes())]);
        let deployment = Deployment {
            channel: CHANNEL.to_owned(),
            definition: definition("foreign"),
            package: package("foreign_1", "foreign", &code).into(),
        };
        let package_id = within(network.deploy(&deployment)).await.unwrap();
        let place = Place { server, package_id };
        let serving = serve(&place, |ctx| async move {
            match ctx.put("built", "by somebody else").await {
                Ok(()) => Response::success("done"),
                Err(error) => Response::error(error.to_string()),
            }
        })
        .await;
        assert_eq!(stage.world.submit(call("foreign", "put")).await.unwrap(), "done");
        serving.stop().await;
    });
}
