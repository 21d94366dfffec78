//! Installing and building: the package store on disk and external builders as real processes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use selvedge_package::pack::PackageBuilder;
use selvedge_package::{Connection, Package};
use selvedge_peer::host::{
    BuildError, ExternalBuilder, Host, HostConfig, HostError, InstallError, LaunchError, StepError,
};

/// What a release needs so that the peer knows where the server is.
const RELEASE: &str = r#"mkdir -p "$2/chaincode/server" && echo '{"address":"127.0.0.1:1"}' > "$2/chaincode/server/connection.json""#;

/// A peer's folder with builders beside it.
struct Place {
    folder: tempfile::TempDir,
    config: HostConfig,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = HostConfig::new(folder.path().join("peer"));
        config.temp_dir = folder.path().join("tmp");
        fs::create_dir(&config.temp_dir).unwrap();
        Self { folder, config }
    }

    /// Adds a builder whose programs are these shell scripts.
    fn builder(&mut self, name: &str, scripts: &[(&str, &str)]) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.join("bin")).unwrap();
        for (program, script) in scripts {
            write_script(&path.join("bin").join(program), script);
        }
        self.config.builders.push(ExternalBuilder {
            name: name.into(),
            path,
            propagate_environment: Vec::new(),
        });
    }

    fn open(&self) -> Host {
        Host::open(self.config.clone()).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn packages(&self) -> PathBuf {
        self.config.root.join("lifecycle/chaincodes")
    }

    fn kept(&self, package_id: &str) -> PathBuf {
        self.config.root.join("externalbuilder/builds").join(package_id.replace(':', "-"))
    }

    fn scratch_is_empty(&self) -> bool {
        fs::read_dir(&self.config.temp_dir).unwrap().next().is_none()
    }
}

/// Writes a program. Another process does it: a file that this one has open for writing could be inherited by a
/// builder that another test starts at this moment, and could not be run then.
fn write_script(path: &Path, script: &str) {
    let mut writer = Command::new("sh")
        .args(["-c", r#"cat > "$0" && chmod 755 "$0""#])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(format!("#!/bin/sh\n{script}\n").as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

fn ccaas(label: &str) -> Package {
    let connection = Connection { address: "127.0.0.1:1".into(), ..Connection::default() };
    PackageBuilder::new(label).unwrap().connection(&connection).unwrap().build().unwrap()
}

/// A package that the built-in builder does not take.
fn foreign(label: &str) -> Package {
    let builder = PackageBuilder::new(label).unwrap().chaincode_type("wasm");
    builder.file("src/main.wat", "(module)").unwrap().build().unwrap()
}

async fn install(host: &Host, package: &Package) -> Result<String, InstallError> {
    host.install(package.bytes().clone()).await.map(|installed| installed.package_id)
}

async fn build_error(host: &Host, package: &Package) -> BuildError {
    match install(host, package).await {
        Err(InstallError::Build(error)) => *error,
        other => panic!("{other:?}"),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[tokio::test]
async fn a_package_is_installed_once_listed_and_found_again_after_a_restart() {
    let place = Place::new();
    let host = place.open();
    let (second, first) = (ccaas("b_1"), ccaas("a_1"));
    for package in [&second, &first] {
        let installed = host.install(package.bytes().clone()).await.unwrap();
        assert_eq!(installed.package_id, package.id().to_string());
        assert_eq!(installed.label, package.id().label());
    }
    let id = first.id().to_string();
    let again = install(&host, &first).await.unwrap_err().to_string();
    assert_eq!(again, format!("chaincode already successfully installed (package ID '{id}')"));
    assert_eq!(first.bytes(), &fs::read(place.packages().join(first.id().file_name())).unwrap());
    drop(host);

    let host = place.open();
    let ids: Vec<_> = host.installed().into_iter().map(|installed| installed.package_id).collect();
    assert_eq!(ids, [id.clone(), second.id().to_string()]);
    assert_eq!(host.package(&id).as_ref(), Some(first.bytes()));
    assert!(host.is_installed(&id) && !host.is_installed("a_1:00") && host.package("a_1:00").is_none());
    assert!(matches!(install(&host, &first).await, Err(InstallError::AlreadyInstalled(_))));
}

#[tokio::test]
async fn what_is_not_a_whole_package_is_ignored_after_a_restart() {
    let place = Place::new();
    let host = place.open();
    let (cut, swapped) = (ccaas("cut_1"), ccaas("swapped_1"));
    for package in [&cut, &swapped] {
        install(&host, package).await.unwrap();
    }
    let file = |package: &Package| place.packages().join(package.id().file_name());
    fs::write(file(&cut), cut.bytes().slice(..cut.bytes().len() / 2)).unwrap();
    assert!(host.package(&cut.id().to_string()).is_none());
    fs::write(file(&swapped), ccaas("swapped_2").bytes()).unwrap();
    fs::write(place.packages().join("readme.txt"), "").unwrap();
    fs::write(place.packages().join(".tmp-left"), "").unwrap();
    let half = place.config.root.join("externalbuilder/builds/.tmp-left");
    fs::create_dir(&half).unwrap();
    let host = place.open();
    assert_eq!(host.installed(), []);
    assert!(!place.packages().join(".tmp-left").exists() && !half.exists());
    // The place of a package that was damaged can be taken again.
    install(&host, &cut).await.unwrap();
    assert_eq!(host.package(&cut.id().to_string()).as_ref(), Some(cut.bytes()));
}

#[tokio::test]
async fn hostile_and_oversized_packages_are_refused() {
    let mut place = Place::new();
    place.config.limits.package.package = 20_000;
    place.config.limits.packages = 1;
    let host = place.open();
    let large = PackageBuilder::new("l").unwrap().file("f", vec![0; 30_000]).unwrap().build().unwrap();
    for bytes in [Bytes::new(), Bytes::from_static(b"no package"), large.bytes().clone()] {
        let error = host.install(bytes).await.unwrap_err();
        assert!(matches!(error, InstallError::Parse(_)), "{error}");
        assert!(error.to_string().starts_with("could not parse as a chaincode install package: "), "{error}");
    }
    install(&host, &ccaas("a")).await.unwrap();
    assert!(matches!(install(&host, &ccaas("b")).await, Err(InstallError::TooMany { limit: 1 })));
    assert_eq!(fs::read_dir(place.packages()).unwrap().count(), 1);
}

#[tokio::test]
async fn concurrent_installations_of_one_package_build_it_once() {
    let mut place = Place::new();
    let builds = place.path("builds");
    let build = format!("echo built >> {}", builds.display());
    place.builder("b", &[("detect", "exit 0"), ("build", &build), ("release", RELEASE)]);
    let (host, package) = (place.open(), foreign("p"));
    let results = futures_util::future::join_all((0..4).map(|_| install(&host, &package))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let already = |result: &&Result<_, _>| matches!(result, Err(InstallError::AlreadyInstalled(_)));
    assert_eq!(results.iter().filter(already).count(), 3);
    assert_eq!(read(&builds), "built\n");
}

#[tokio::test]
async fn builders_are_tried_in_order_and_get_fabrics_folders() {
    let mut place = Place::new();
    let log = place.path("log");
    let note = |what: &str| format!("echo {what} >> {}", log.display());
    place.builder("no", &[("detect", &format!("{}; exit 1", note("no-detect"))), ("build", "exit 0")]);
    place.builder("absent", &[]);
    place.builder("killed", &[("detect", &format!("{}; kill -9 $$", note("killed-detect")))]);
    let check = format!(
        r#"set -e; {}; test $# = 2; test "$(cat "$1/src/main.wat")" = "(module)"; test "$(ls "$2")" = metadata.json"#,
        note("yes-detect")
    );
    let build = format!(
        r#"set -e; {}; test $# = 3; test -z "$(ls -A "$3")"; test "$(stat -c %a "$3")" = 700
        cp -r "$1/src" "$3/src"; cp "$2/metadata.json" "$3"; ln -s src/main.wat "$3/link"; echo "$1" > "$3/where""#,
        note("yes-build")
    );
    let release =
        format!("set -e; {}; test $# = 2; test -f \"$1/metadata.json\"; {RELEASE}", note("yes-release"));
    place.builder("yes", &[("detect", &check), ("build", &build), ("release", &release)]);
    place.builder("later", &[("detect", &note("later-detect"))]);
    let (host, package) = (place.open(), foreign("p"));
    let id = install(&host, &package).await.unwrap();
    assert_eq!(read(&log), "no-detect\nkilled-detect\nyes-detect\nyes-build\nyes-release\n");
    let kept = place.kept(&id);
    assert_eq!(read(kept.join("build-info.json")), r#"{"builder_name":"yes"}"#);
    assert_eq!(read(kept.join("bld/link")), "(module)");
    assert_eq!(read(kept.join("bld/metadata.json")).as_bytes(), package.metadata().bytes());
    assert!(kept.join("release/chaincode/server/connection.json").exists());
    let scratch = PathBuf::from(read(kept.join("bld/where")).trim());
    let name = scratch.strip_prefix(&place.config.temp_dir).unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with(&format!("fabric-{}", id.replace(':', "-"))), "{name}");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(place.scratch_is_empty());
}

#[tokio::test]
async fn builders_see_only_what_they_may_of_the_environment() {
    let mut place = Place::new();
    place.builder(
        "b",
        &[("detect", ""), ("build", r#"/usr/bin/env > "$3/env"; cat > "$3/stdin""#), ("release", RELEASE)],
    );
    let path = std::env::var("PATH").unwrap();
    let pairs = [
        ("PATH", path.as_str()),
        ("TMPDIR", "/some/tmp"),
        ("LD_LIBRARY_PATH", "/some/lib"),
        ("GOPROXY", "chosen"),
        ("SECRET", "not to be seen"),
        ("HOME", "/root"),
    ];
    place.config.environment =
        pairs.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    place.config.builders[0].propagate_environment = vec!["GOPROXY".into(), "NOT_SET".into()];
    let host = place.open();
    let id = install(&host, &foreign("p")).await.unwrap();
    let text = read(place.kept(&id).join("bld/env"));
    let mut seen: BTreeMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
    // The shell that plays the builder adds these itself.
    for own in ["PWD", "OLDPWD", "SHLVL", "_"] {
        seen.remove(own);
    }
    let expected: BTreeMap<_, _> = pairs[..4].iter().copied().collect();
    assert_eq!(seen, expected);
    assert_eq!(read(place.kept(&id).join("bld/stdin")), "");
}

#[tokio::test]
async fn a_failed_step_is_told_with_its_exit_code_and_leaves_nothing() {
    let mut place = Place::new();
    place.builder("b", &[("detect", "exit 0"), ("build", "echo first >&2; echo 'the\tlast' >&2; exit 7")]);
    let (host, package) = (place.open(), foreign("p"));
    let text = install(&host, &package).await.unwrap_err().to_string();
    assert_eq!(
        text,
        "could not build chaincode: external builder failed: external builder failed to build: external builder \
         'b' failed: exit status 7: the\\tlast"
    );
    assert!(host.installed().is_empty() && fs::read_dir(place.packages()).unwrap().next().is_none());
    assert!(!place.kept(&package.id().to_string()).exists() && place.scratch_is_empty());

    let bin = place.path("b/bin");
    write_script(&bin.join("build"), "kill -9 $$");
    let text = build_error(&host, &package).await.to_string();
    assert!(text.ends_with("external builder 'b' failed: killed by signal 9 (SIGKILL)"), "{text}");

    fs::remove_file(bin.join("build")).unwrap();
    let error = build_error(&host, &package).await;
    assert!(matches!(error, BuildError::Build { source: StepError::Start { .. }, .. }), "{error}");

    write_script(&bin.join("build"), "exit 0");
    write_script(&bin.join("release"), "exit 3");
    let text = build_error(&host, &package).await.to_string();
    assert!(
        text.ends_with("external builder failed to release: builder 'b' release failed: exit status 3"),
        "{text}"
    );

    // Once the builder is repaired, the same package installs.
    write_script(&bin.join("release"), RELEASE);
    install(&host, &package).await.unwrap();
}

#[tokio::test]
async fn a_package_that_nobody_detects_names_who_was_asked() {
    let mut place = Place::new();
    place.builder("b", &[("detect", "exit 1")]);
    let text = build_error(&place.open(), &foreign("p")).await.to_string();
    assert!(text.contains("'wasm'") && text.contains("b, ccaas_builder"), "{text}");
}

#[tokio::test]
async fn a_hanging_builder_is_killed_with_its_children() {
    async fn hangs_at(step: &str) {
        let mut place = Place::new();
        let pids = place.path("pids");
        let script = format!("sleep 600 & echo $! > {0}; echo $$ >> {0}; wait", pids.display());
        let of = |program| (program, if program == step { script.as_str() } else { "exit 0" });
        place.builder("b", &["detect", "build", "release"].map(of));
        place.config.install_timeout = Duration::from_secs(5);
        let (host, package) = (place.open(), foreign("p"));
        let error = build_error(&host, &package).await;
        assert!(matches!(error, BuildError::Timeout { .. }), "{step}: {error}");
        let pids = read(&pids);
        assert_eq!(pids.lines().count(), 2, "{step}");
        for pid in pids.lines() {
            gone(pid.parse().unwrap()).await;
        }
        assert!(host.installed().is_empty() && place.scratch_is_empty(), "{step}");
    }
    futures_util::future::join_all(["detect", "build", "release"].map(hangs_at)).await;
}

#[tokio::test]
async fn what_a_builder_leaves_running_is_killed_when_it_ends() {
    let mut place = Place::new();
    let pid = place.path("pid");
    let script = format!("sleep 600 & echo $! > {}", pid.display());
    place.builder("b", &[("detect", "exit 0"), ("build", &script), ("release", RELEASE)]);
    install(&place.open(), &foreign("p")).await.unwrap();
    gone(read(&pid).trim().parse().unwrap()).await;
}

#[tokio::test]
async fn a_shut_down_host_kills_its_builders() {
    let mut place = Place::new();
    let pid = place.path("pid");
    let script = format!("echo $$ > {0}.new && mv {0}.new {0}; exec sleep 600", pid.display());
    place.builder("b", &[("detect", "exit 0"), ("build", &script)]);
    let host = place.open();
    let installing = tokio::spawn({
        let (host, package) = (host.clone(), foreign("p"));
        async move { install(&host, &package).await }
    });
    until(|| pid.exists()).await;
    host.shutdown().await;
    assert!(matches!(installing.await.unwrap(), Err(InstallError::ShuttingDown)));
    gone(read(&pid).trim().parse().unwrap()).await;
    assert!(matches!(install(&host, &foreign("p")).await, Err(InstallError::ShuttingDown)));
}

#[tokio::test]
async fn a_builder_that_never_stops_talking_does_not_harm() {
    let mut place = Place::new();
    let build = "head -c 30000000 /dev/zero | tr '\\0' 'x' >&2; yes line | head -n 200000 >&2";
    place.builder("b", &[("detect", "exit 0"), ("build", build), ("release", RELEASE)]);
    install(&place.open(), &foreign("p")).await.unwrap();
}

#[tokio::test]
async fn what_a_builder_leaves_is_bounded_and_stays_inside() {
    let mut place = Place::new();
    place.builder("b", &[("detect", "exit 0"), ("build", r#"ln -s /etc/passwd "$3/link""#)]);
    place.config.limits.build_bytes = 1000;
    let (host, package) = (place.open(), foreign("p"));
    let error = build_error(&host, &package).await;
    assert!(matches!(error, BuildError::Output { .. }) && error.to_string().contains("outside"), "{error}");
    write_script(&place.path("b/bin/build"), r#"head -c 1001 /dev/zero > "$3/large""#);
    let error = build_error(&host, &package).await;
    assert!(matches!(error, BuildError::Output { .. }) && error.to_string().contains("bytes"), "{error}");
    let builds = fs::read_dir(place.config.root.join("externalbuilder/builds")).unwrap();
    assert_eq!(builds.count(), 0);
}

#[tokio::test]
async fn a_builder_that_writes_without_end_is_killed_with_its_children() {
    let mut place = Place::new();
    let pid = place.path("pid");
    let writing = |what: &str| format!("(while :; do {what}; done) & echo $! > {}; wait", pid.display());
    place.builder("b", &[("detect", "exit 0"), ("build", ""), ("release", "")]);
    place.config.limits.build_bytes = 1 << 20;
    place.config.limits.build_entries = 1000;
    let (host, package) = (place.open(), foreign("p"));
    for (program, what) in [
        ("build", r#"head -c 10000 /dev/zero >> "$3/large""#),
        ("build", r#"n=$((n + 1)); : > "$3/$n""#),
        ("build", r#"n=$((n + 1)); mkdir "$1/$n""#),
        ("release", r#"head -c 10000 /dev/zero >> "$2/large""#),
        ("release", r#"n=$((n + 1)); : > "$2/$n""#),
    ] {
        write_script(&place.path("b/bin").join(program), &writing(what));
        let error = build_error(&host, &package).await;
        assert!(matches!(error, BuildError::Growth { .. }), "{what}: {error}");
        gone(read(&pid).trim().parse().unwrap()).await;
        assert!(host.installed().is_empty() && place.scratch_is_empty());
        write_script(&place.path("b/bin").join(program), "exit 0");
    }
    install(&host, &package).await.unwrap();
}

#[tokio::test]
async fn a_kept_build_is_used_again_and_remade_when_it_is_gone() {
    let mut place = Place::new();
    let builds = place.path("builds");
    let build = format!("echo built >> {}", builds.display());
    place.builder("b", &[("detect", "exit 0"), ("build", &build), ("release", RELEASE)]);
    let package = foreign("p");
    let id = install(&place.open(), &package).await.unwrap();

    let host = place.open();
    let error = host.probe(&id).await.unwrap_err();
    assert!(matches!(*error, LaunchError::Dial { .. }), "{error}");
    assert_eq!(read(&builds), "built\n");

    fs::remove_dir_all(place.kept(&id)).unwrap();
    let error = host.probe(&id).await.unwrap_err();
    assert!(matches!(*error, LaunchError::Dial { .. }), "{error}");
    assert_eq!(read(&builds), "built\nbuilt\n");

    fs::write(place.kept(&id).join("build-info.json"), "{").unwrap();
    let error = host.probe(&id).await.unwrap_err();
    let LaunchError::Build(build) = &*error else { panic!("{error}") };
    assert!(matches!(**build, BuildError::BuildInfo { .. }), "{error}");
    fs::write(place.kept(&id).join("build-info.json"), r#"{"builder_name":"gone"}"#).unwrap();
    let error = host.probe(&id).await.unwrap_err().to_string();
    let text = format!(
        "chaincode '{id}' was already built with builder 'gone', but that builder is no longer available"
    );
    assert!(error.ends_with(&text), "{error}");
}

#[tokio::test]
async fn connection_json_is_read_anew_for_every_launch() {
    let mut place = Place::new();
    place.builder("b", &[("detect", "exit 0"), ("build", "exit 0"), ("release", RELEASE)]);
    let host = place.open();
    let id = install(&host, &foreign("p")).await.unwrap();
    let connection = place.kept(&id).join("release/chaincode/server/connection.json");
    fs::write(&connection, r#"{"address":"127.0.0.1:2"}"#).unwrap();
    let error = host.probe(&id).await.unwrap_err().to_string();
    assert!(error.contains("error creating grpc connection to 127.0.0.1:2"), "{error}");
    fs::write(&connection, r#"{"address":"127.0.0.1:2","tls_required":"true"}"#).unwrap();
    let error = host.probe(&id).await.unwrap_err();
    assert!(matches!(*error, LaunchError::Connection { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("malformed chaincode info") && text.contains("without quotes"), "{text}");
}

#[tokio::test]
async fn a_builder_without_connection_json_installs_but_needs_a_run_and_a_listener() {
    let mut place = Place::new();
    place.builder(
        "runs",
        &[("detect", "grep -q runs \"$2/metadata.json\""), ("build", "exit 0"), ("run", "exit 0")],
    );
    place.builder("rests", &[("detect", "exit 0"), ("build", "exit 0")]);
    let host = place.open();
    let id = install(&host, &foreign("runs")).await.unwrap();
    let error = host.probe(&id).await.unwrap_err();
    assert!(matches!(&*error, LaunchError::NoListener { builder } if builder == "runs"), "{error}");
    let id = install(&host, &foreign("other")).await.unwrap();
    let error = host.probe(&id).await.unwrap_err();
    assert!(matches!(&*error, LaunchError::NoRun { builder } if builder == "rests"), "{error}");
    let text = error.to_string();
    assert!(text.contains("bin/run") && text.contains("connection.json"), "{text}");
}

#[tokio::test]
async fn the_built_in_builder_fills_in_its_configuration() {
    let mut place = Place::new();
    place.config.ccaas_builder = Some(r#"{"peername":"peer0org1"}"#.into());
    let address = "{{.peername}}_cc:9999".to_owned();
    let connection = Connection { address, ..Connection::default() };
    let package = PackageBuilder::new("p").unwrap().connection(&connection).unwrap().build().unwrap();
    let id = install(&place.open(), &package).await.unwrap();
    let released = read(place.kept(&id).join("release/chaincode/server/connection.json"));
    assert!(released.contains("peer0org1_cc:9999"), "{released}");
    assert_eq!(read(place.kept(&id).join("build-info.json")), r#"{"builder_name":"ccaas_builder"}"#);

    let mut without = Place::new();
    without.config.ccaas_builder = Some("no JSON".into());
    let text = install(&without.open(), &package).await.unwrap_err().to_string();
    let fabrics = "could not build chaincode: external builder failed: external builder failed to build: external \
                   builder 'ccaas_builder' failed: exit status 1: ";
    assert!(text.starts_with(fabrics) && text.len() > fabrics.len(), "{text}");
    without.config.ccaas_builder = None;
    assert!(matches!(build_error(&without.open(), &package).await, BuildError::NotDetected { .. }));
}

#[test]
fn a_faulty_list_of_builders_is_refused() {
    let mut place = Place::new();
    place.builder("b", &[]);
    let mut twice = place.config.clone();
    twice.builders.push(twice.builders[0].clone());
    assert!(matches!(Host::open(twice), Err(HostError::BuilderName(_))));
    let mut relative = place.config.clone();
    relative.builders[0].path = "builders/b".into();
    assert!(matches!(Host::open(relative), Err(HostError::BuilderPath { .. })));
}

/// Waits until a process is gone or only waits for its parent to take notice.
async fn gone(pid: i32) {
    let state = format!("/proc/{pid}/stat");
    let running = || {
        let stat = fs::read_to_string(&state).unwrap_or_default();
        let zombie = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
        kill(Pid::from_raw(pid), None).is_ok() && !zombie
    };
    until(|| !running()).await;
}

async fn until(holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect("it should not take that long");
}
