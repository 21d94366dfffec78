//! Chaincode that a builder runs: it dials the peer, under mutual TLS, with the certificate that it was given.
//!
//! The builder's `bin/run` keeps what it was told beside itself and waits; the test plays the chaincode with it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use selvedge::tls::{ClientTls, Identity, ServerSecurity};
use selvedge::{Chaincode, Context, LaunchingPeer, RegisterError, Response, Server, async_trait};
use selvedge_network::{Deployment, ExternalBuilder};
use selvedge_package::PackageBuilder;
use support::builder::{gone, write_script};
use support::{CHANNEL, World, call, definition, within};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What `bin/run` does: tells and waits for its end, or ends at once.
const WAITING: &str = r#"echo $$ > "$HERE/pid"; cp "$2/chaincode.json" "$HERE/.told" && mv "$HERE/.told" "$HERE/told"
test -d "$1" || exit 9
trap 'echo ended > "$HERE/ended"; exit 0' TERM
while :; do sleep 0.05; done"#;
/// What many builders do: the script ends at once, and the program that it has started takes its time.
const WITH_A_CHILD: &str = r#"cp "$2/chaincode.json" "$HERE/.told" && mv "$HERE/.told" "$HERE/told"
(trap 'sleep 0.5; echo ended > "$HERE/ended"; exit 0' TERM; echo here > "$HERE/child"; while :; do sleep 0.05; done) &
echo $! > "$HERE/pid"; wait"#;
const ENDING: &str = "echo no such image >&2; exit 7";

/// A network whose peer has a builder that runs chaincode.
struct Stage {
    world: World,
    builder: TempDir,
    package_id: String,
}

impl Stage {
    async fn with(run: &str) -> Self {
        let builder = tempfile::tempdir().unwrap();
        let here = builder.path().to_owned();
        for (name, script) in [("detect", "exit 0"), ("build", r#"cp -r "$1/." "$3""#), ("run", run)] {
            write_script(&here.join("bin").join(name), &format!("HERE={}\n{script}", here.display()));
        }
        let world = World::with(|config| {
            config.builders = vec![ExternalBuilder {
                name: "runner".to_owned(),
                path: here,
                propagate_environment: Vec::new(),
            }];
            config.chaincode.startup = Duration::from_secs(60);
        })
        .await;
        let code = PackageBuilder::new("launched_1")
            .unwrap()
            .chaincode_type("binary")
            .file("program", "any")
            .unwrap();
        let deployment = Deployment {
            channel: CHANNEL.to_owned(),
            definition: definition("launched"),
            package: code.build().unwrap().bytes().clone(),
        };
        let package_id = within(world.network.deploy(&deployment)).await.unwrap();
        Self { world, builder, package_id }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.builder.path().join(name)
    }

    /// What the builder's next run is told.
    async fn told(&self) -> LaunchingPeer {
        let told = self.file("told");
        within(appeared(&told)).await;
        let peer = LaunchingPeer::from_run_metadata(&told).unwrap();
        fs::remove_file(&told).unwrap();
        peer
    }

    fn begin(&self, function: &'static str) -> JoinHandle<Result<Bytes, String>> {
        self.world.begin(call("launched", function))
    }
}

struct Launched;

#[async_trait]
impl Chaincode for Launched {
    async fn invoke(&self, ctx: &Context) -> Response {
        match ctx.function_and_parameters() {
            Ok(("who", _)) => Response::success(ctx.peer_msp_id().unwrap_or_default().to_owned()),
            _ => match ctx.put("key", "value").await {
                Ok(()) => Response::success("written"),
                Err(error) => Response::error(error.to_string()),
            },
        }
    }
}

/// The chaincode, which has dialled the peer.
struct Playing {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RegisterError>>,
}

fn play(peer: LaunchingPeer) -> Playing {
    let (stop, stopped) = oneshot::channel();
    let server = Server::new(Launched, peer.package_id(), ServerSecurity::Plaintext);
    let task = tokio::spawn(async move { server.register(&peer, async { drop(stopped.await) }).await });
    Playing { stop, task }
}

#[tokio::test(flavor = "multi_thread")]
async fn launched_chaincode_registers_and_is_invoked_and_ends_with_its_peer() {
    let stage = Stage::with(WAITING).await;
    let evaluated = stage.begin("who");
    let playing = play(stage.told().await);
    assert_eq!(within(evaluated).await.unwrap().unwrap(), "Org1MSP");
    assert_eq!(stage.world.submit(call("launched", "put")).await.unwrap(), "written");

    // Whoever ends by itself is started again by the next call, and its first process is asked to end.
    let first = pid(&stage.file("pid"));
    playing.stop.send(()).unwrap();
    within(playing.task).await.unwrap().unwrap();
    within(gone(first)).await;
    assert!(stage.file("ended").exists(), "it was killed before it could end by itself");
    let evaluated = stage.begin("who");
    let playing = play(stage.told().await);
    assert_eq!(within(evaluated).await.unwrap().unwrap(), "Org1MSP");

    // The peer's end is its chaincode's.
    let second = pid(&stage.file("pid"));
    assert_ne!(first, second);
    stage.world.stop().await;
    let ended = within(playing.task).await.unwrap().unwrap_err();
    assert!(matches!(ended, RegisterError::Ended | RegisterError::Stream(_)), "{ended}");
    within(gone(second)).await;
    drop(playing.stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_that_was_started_may_register_and_only_once() {
    let stage = Stage::with(WAITING).await;
    let evaluated = stage.begin("who");
    let told = stage.file("told");
    within(appeared(&told)).await;
    let text = fs::read_to_string(&told).unwrap();
    let metadata: serde_json::Value = serde_json::from_str(&text).unwrap();
    let field = |name: &str| metadata[name].as_str().unwrap().to_owned();
    assert_eq!((field("chaincode_id"), field("mspid")), (stage.package_id.clone(), "Org1MSP".to_owned()));
    let address = field("peer_address");
    let refused = |peer: LaunchingPeer| async move {
        let Playing { stop, task } = play(peer);
        let error = within(task).await.unwrap().unwrap_err().to_string();
        drop(stop);
        error
    };

    // Nobody gets in without the certificate, not even with one that the peer trusts elsewhere.
    let roots = ClientTls::builder(field("root_cert"));
    let nobody = roots.build().unwrap();
    let error = refused(LaunchingPeer::new(&address, &stage.package_id, nobody).unwrap()).await;
    assert!(error.contains("cannot be reached"), "{error}");
    let other = stage.world.peer().tls_identity();
    let other = Identity::from_pem(&other.certificate_pem, other.key_pem.as_str()).unwrap();
    let stranger = ClientTls::builder(field("root_cert")).identity(other).build().unwrap();
    let error = refused(LaunchingPeer::new(&address, &stage.package_id, stranger).unwrap()).await;
    assert!(error.contains("cannot be reached"), "{error}");

    // With it, nothing but the package that was started.
    let own = || {
        let identity = Identity::from_pem(field("client_cert"), field("client_key")).unwrap();
        ClientTls::builder(field("root_cert")).identity(identity).build().unwrap()
    };
    let error = refused(LaunchingPeer::new(&address, "other:0", own()).unwrap()).await;
    assert!(error.contains("nobody has started a chaincode of this name"), "{error}");
    let playing = play(LaunchingPeer::from_run_metadata(&told).unwrap());
    assert_eq!(within(evaluated).await.unwrap().unwrap(), "Org1MSP");
    let error = refused(LaunchingPeer::new(&address, &stage.package_id, own()).unwrap()).await;
    assert!(error.contains("or it has registered"), "{error}");
    assert_eq!(stage.world.submit(call("launched", "put")).await.unwrap(), "written");
    stage.world.stop().await;
    drop(playing);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_has_started_has_its_time_to_end() {
    let stage = Stage::with(WITH_A_CHILD).await;
    let evaluated = stage.begin("who");
    within(appeared(&stage.file("child"))).await;
    let playing = play(stage.told().await);
    assert_eq!(within(evaluated).await.unwrap().unwrap(), "Org1MSP");
    let ended = stage.file("ended");
    let child = pid(&stage.file("pid"));
    stage.world.stop().await;
    within(gone(child)).await;
    assert!(ended.exists(), "it was killed before it could end by itself");
    drop(playing);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_before_its_chaincode_registers_is_told_at_once() {
    let stage = Stage::with(ENDING).await;
    let error = stage.world.evaluate(call("launched", "who")).await.unwrap_err();
    assert!(error.contains("chaincode registration failed: container exited with"), "{error}");
    assert!(error.contains("exit status 7") && error.contains("no such image"), "{error}");
    stage.world.stop().await;
}

async fn appeared(path: &Path) {
    while !path.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pid(path: &Path) -> i32 {
    fs::read_to_string(path).unwrap().trim().parse().unwrap()
}
