//! A development network with its sample, and what is on its channel, as a user meets them.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

#[allow(dead_code, reason = "each test program uses its own part")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::TryRecvError;

use nix::sys::signal::Signal;
use prost::Message;
use selvedge::tls::{Identity, ServerTls};
use selvedge::{Chaincode, Context, Response, Server, async_trait};
use selvedge_proto::common::Block;
use serde_json::{Value, json};
use support::{Up, document, finish, selvedge, wait_for_end};
use tempfile::TempDir;

struct Place {
    temp: TempDir,
    config: PathBuf,
}

impl Place {
    fn of(temp: TempDir, up: &Up) -> Self {
        Self { temp, config: up.config() }
    }

    /// A command for the network.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = selvedge(self.temp.path());
        command.current_dir(self.temp.path()).args(words).env("SELVEDGE_CONFIG", &self.config);
        command
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_sample_is_there_at_once_and_its_blocks_can_be_read() {
    let temp = tempfile::tempdir().unwrap();
    let mut up = Up::start(selvedge(temp.path()).args(["up", "--sample", "--orgs", "2"]));
    let told = up.told();
    let sample = &told["sample"];
    assert_eq!(
        (&sample["chaincode"], &sample["security"], &sample["assets"]),
        (&json!("basic"), &json!("mutual-tls"), &json!(6))
    );
    assert!(number(&told["milliseconds"]) > 0);
    let first = sample["first"].clone();
    let place = Place::of(temp, &up);

    // The newest block is the one of the first transaction.
    let block = document(&mut place.command(&["block"]), 0);
    assert_eq!(block["number"], first["block"]);
    let transaction = &block["transactions"][0];
    assert_eq!(transaction["tx_id"], first["tx_id"]);
    assert_eq!(transaction["validation"], json!({ "code": 0, "name": "VALID", "valid": true }));
    assert_eq!(transaction["creator"], json!({ "msp_id": "Org1MSP", "name": "User1@org1.example.com" }));
    assert_eq!(
        (&transaction["chaincode"], &transaction["arguments"]),
        (&json!("basic"), &json!(["InitLedger"]))
    );
    assert_eq!(transaction["endorsers"].as_array().unwrap().len(), 2, "{transaction}");
    let namespaces = transaction["namespaces"].as_array().unwrap();
    let basic = namespaces.iter().find(|namespace| namespace["name"] == "basic").unwrap();
    assert_eq!(basic["writes"].as_array().unwrap().len(), 6);
    assert_eq!(basic["writes"][0]["key"], "asset1");
    assert!(basic["writes"][0]["value"].as_str().unwrap().contains("Tomoko"));

    // The transaction alone is the same.
    let id = first["tx_id"].as_str().unwrap();
    let mut alone = document(&mut place.command(&["tx", id]), 0);
    assert_eq!(alone["block"], first["block"]);
    alone.as_object_mut().unwrap().remove("block");
    let mut within = transaction.clone();
    within.as_object_mut().unwrap().remove("number");
    assert_eq!(alone, within);
    let unknown = document(&mut place.command(&["tx", "00"]), 1);
    assert_eq!(unknown["found"], false);

    // For a person, within a page.
    let (text, _) = finish(&mut place.command(&["block", "newest"]), 0);
    for wanted in
        ["verdict   VALID", "call      InitLedger", "write     asset1 =", "Org2MSP peer0.org2.example.com"]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(text.lines().all(|line| line.len() <= 80), "{text}");
    let (text, _) = finish(&mut place.command(&["tx", id]), 0);
    assert!(text.starts_with(&format!("transaction in block {} of mychannel", first["block"])), "{text}");

    // The configuration, and its block as bytes, which the other end of a chain of hashes knows.
    let config = document(&mut place.command(&["block", "config"]), 0);
    assert_eq!(config["number"], 0);
    let organizations = config["transactions"][0]["config"]["organizations"].as_array().unwrap();
    assert_eq!(organizations.iter().map(|org| &org["msp_id"]).collect::<Vec<_>>(), ["Org1MSP", "Org2MSP"]);
    let (file, _) = finish(&mut place.command(&["block", "oldest", "--raw", "genesis.block"]), 0);
    assert_eq!(file, "genesis.block\n");
    let raw = fs::read(place.temp.path().join("genesis.block")).unwrap();
    let made = place.config.with_file_name("channels").join("mychannel.block");
    assert_eq!(Block::decode(&*raw).unwrap().data, Block::decode(&*fs::read(made).unwrap()).unwrap().data);
    let next = document(&mut place.command(&["block", "1"]), 0);
    assert_eq!(next["previous_hash"], config["hash"]);
    let refused = document(&mut place.command(&["block", "oldest", "--raw", "genesis.block"]), 2);
    assert_eq!(refused["error"]["code"], "SV-SET-06");
    let none = document(&mut place.command(&["block", "999"]), 1);
    assert_eq!(none["reason"], format!("the newest block of mychannel is {}", first["block"]));

    // Wrong names are told, each in its way.
    for (words, code) in [
        (&["block", "-C", "nowhere"][..], "SV-GW-06"),
        (&["query", "-n", "basic", "-C", "nowhere", "GetAllAssets"], "SV-GW-06"),
        (&["query", "-n", "nothing", "GetAllAssets"], "SV-GW-05"),
        (&["query", "-n", "basic", "NoFunction"], "SV-GW-08"),
        (&["events", "-n", "basic", "--after", "00"], "SV-GW-06"),
        (&["cut", "-C", "nowhere"], "SV-SET-03"),
    ] {
        let mut command = place.command(words);
        assert_eq!(document(&mut command, 2)["error"]["code"], code, "{words:?}");
    }

    // Ctrl-C ends all of it, without a word too many.
    let pid = u32::try_from(number(&sample["pid"])).unwrap();
    up.signal(Signal::SIGINT);
    let (code, talk) = up.wait_with_talk();
    assert_eq!(code, Some(0), "{talk}");
    assert_eq!(talk, "stopping; once more to stop at once\nstopped\n");
    wait_for_end(pid);
}

#[test]
fn a_sample_goes_on_where_it_was_and_ends_with_its_network() {
    let temp = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("my network");
    let start = |more: &[&str]| {
        Up::start(selvedge(temp.path()).args(["up", "--sample", "--dir"]).arg(&dir).args(more))
    };
    let mut up = start(&[]);
    let before = up.told()["sample"].take();
    let config = up.config();
    let invoke = |words: &[&str]| {
        let mut command = selvedge(temp.path());
        command.args(["invoke", "-n", "basic"]).args(words).arg("--config").arg(&config);
        command
    };
    finish(&mut invoke(&["TransferAsset", "asset1", "Ada"]), 0);
    // Killed, it takes its sample with it.
    let pid = u32::try_from(number(&before["pid"])).unwrap();
    up.signal(Signal::SIGKILL);
    up.wait();
    wait_for_end(pid);

    let mut up = start(&[]);
    let after = up.told()["sample"].take();
    assert_eq!((&after["first"], &after["assets"]), (&Value::Null, &json!(6)), "nothing is done twice");
    assert_eq!(after["package_id"], before["package_id"], "its port was free");
    let (asset, _) = finish(
        selvedge(temp.path()).args(["query", "-n", "basic", "ReadAsset", "asset1", "--config"]).arg(&config),
        0,
    );
    assert!(asset.contains("\"Owner\":\"Ada\""), "{asset}");
    up.signal(Signal::SIGTERM);
    assert_eq!(up.wait(), Some(0));

    // Another port is another package, which replaces the one before.
    let address = before["address"].as_str().unwrap();
    let taken = TcpListener::bind(address).unwrap();
    let mut up = start(&[]);
    let moved = up.told()["sample"].take();
    drop(taken);
    assert_ne!(moved["package_id"], before["package_id"]);
    assert_eq!((&moved["first"], &moved["assets"]), (&Value::Null, &json!(6)));
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait(), Some(0));
}

#[test]
fn blocks_that_are_closed_by_hand_wait_and_say_so() {
    let temp = tempfile::tempdir().unwrap();
    let mut up = Up::start(selvedge(temp.path()).args(["up", "--sample", "--cutting", "manual"]));
    let first = up.told()["sample"]["first"].take();
    let place = Place::of(temp, &up);
    let cut = |code| document(&mut place.command(&["cut"]), code);
    assert_eq!(cut(1)["closed"][0]["transactions"], 0);
    let waiting = || document(&mut place.command(&["status"]), 0)["network"].take();
    assert_eq!((&waiting()["cutting"], &waiting()["waiting"]["mychannel"]), (&json!("manual"), &json!(0)));

    // A definition's approval waits like everything else, and the command says what for.
    let mut approve =
        place.command(&["chaincode", "approve", "-n", "other"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut talk = BufReader::new(approve.stderr.take().unwrap()).lines();
    let said = talk.next().unwrap().unwrap();
    assert!(said.contains("still waiting for the approval of other on mychannel"), "{said}");
    assert!(said.contains("selvedge cut"), "{said}");
    let (submitted, _) = finish(
        &mut place.command(&["invoke", "--no-wait", "-n", "basic", "TransferAsset", "asset1", "Ada"]),
        0,
    );
    assert_eq!(submitted, "Tomoko");
    assert_eq!(waiting()["waiting"]["mychannel"], 2);
    let closed = cut(0);
    assert_eq!(
        closed["closed"],
        json!([
            { "channel": "mychannel", "block": number(&first["block"]) + 1, "transactions": 2 }
        ])
    );
    assert!(approve.wait().unwrap().success());
    assert_eq!(waiting()["waiting"]["mychannel"], 0);
    up.signal(Signal::SIGINT);
    let (code, talk) = up.wait_with_talk();
    assert_eq!(code, Some(0));
    assert!(talk.contains("mychannel: 1 transaction waits for a block; selvedge cut closes it"), "{talk}");
}

/// Sets an event with its argument, with bytes in it that a terminal would obey.
struct Crier;

#[async_trait]
impl Chaincode for Crier {
    async fn init(&self, ctx: &Context) -> Response {
        self.invoke(ctx).await
    }

    async fn invoke(&self, ctx: &Context) -> Response {
        let text = ctx.args().get(1).cloned().unwrap_or_default();
        match ctx.set_event("Cried\u{1b}[2J", text) {
            Ok(()) => Response::success("done"),
            Err(error) => Response::error(error.to_string()),
        }
    }
}

/// The crier as a server in this process, on its way onto the channel by commands.
async fn cry(place: &Place) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let folder = place.temp.path();
    finish(&mut place.command(&["tls", "ca"]), 0);
    finish(&mut place.command(&["tls", "issue", "--address", &address]), 0);
    let package = ["package", "build", "--label", "crier", "--tls-root", "ca.crt", "--address", &address];
    let id = finish(&mut place.command(&package), 0).0.trim().to_owned();
    let peers = place.config.with_file_name("chaincode").join("basic/client-ca.crt");
    let read = |path: PathBuf| fs::read(path).unwrap();
    let identity =
        Identity::from_pem(read(folder.join("server.crt")), read(folder.join("server.key"))).unwrap();
    let tls = ServerTls::builder(identity).require_client_certificates(read(peers)).build().unwrap();
    let server = Server::new(Crier, &id, tls).bind(&address).await.unwrap();
    tokio::spawn(server.serve(std::future::pending()));
    // What people write of policies and collections goes the whole way.
    fs::write(
        folder.join("collections.json"),
        br#"[{"name":"secret","policy":"OR('Org1MSP.member')","memberOnlyRead":true}]"#,
    )
    .unwrap();
    let definition = [
        "-n",
        "crier",
        "--signature-policy",
        "OR('Org1MSP.peer')",
        "--collections-config",
        "collections.json",
    ];
    finish(&mut place.command(&["chaincode", "install", "crier.tgz"]), 0);
    finish(
        place.command(&["chaincode", "approve", "--package-id", &id, "--init-required"]).args(definition),
        0,
    );
    // Readiness is for this very definition.
    finish(place.command(&["chaincode", "readiness"]).args(definition), 1);
    finish(place.command(&["chaincode", "readiness", "--init-required"]).args(definition), 0);
    finish(place.command(&["chaincode", "commit", "--init-required"]).args(definition), 0);
    let committed = document(&mut place.command(&["chaincode", "query-committed", "-n", "crier"]), 0);
    assert_eq!(committed[0]["init_required"], true);
    let early = document(&mut place.command(&["invoke", "-n", "crier", "Cry", "too early"]), 2);
    assert!(early.to_string().contains("must call as init first"), "{early}");
    finish(&mut place.command(&["invoke", "-n", "crier", "--init", "Cry", "one"]), 0);
}

/// `selvedge events`, line by line.
struct Events {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Events {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("another event").unwrap();
        assert!(!line.contains(['\u{1b}', '\u{9b}']), "{line:?}");
        serde_json::from_str(&line).unwrap()
    }

    fn payloads(mut self, count: usize) -> Vec<Value> {
        let payloads = (0..count).map(|_| self.next()["payload"].take()).collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        payloads
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn invoke(place: &Place, text: &str) -> Value {
    document(&mut place.command(&["invoke", "-n", "crier", "Cry", text]), 0)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_and_gone_on_with() {
    let temp = tempfile::tempdir().unwrap();
    let up = Up::start(selvedge(temp.path()).args(["up", "--sample"]));
    let place = Place::of(temp, &up);
    cry(&place).await;
    let two = invoke(&place, "two");

    // From the beginning, and on as they come.
    let from = ["events", "--chaincode", "crier", "--from", "oldest", "--json"];
    let mut events = Events::start(&mut place.command(&from));
    let one = events.next();
    assert_eq!(
        (&one["payload"], &one["name"], &one["chaincode"]),
        (&json!("one"), &json!("Cried\u{1b}[2J"), &json!("crier"))
    );
    assert_eq!((&events.next()["tx_id"], &two["block"]), (&two["transaction_id"], &two["block"]));
    invoke(&place, "three\u{9b}2J");
    assert_eq!(events.next()["payload"], "three\u{9b}2J");
    drop(events);

    // After a transaction, and so many.
    let id = one["tx_id"].as_str().unwrap();
    let after = ["events", "-n", "crier", "--after", id, "--count", "2", "--json"];
    let events = Events::start(&mut place.command(&after));
    assert_eq!(events.payloads(2), ["two", "three\u{9b}2J"]);
    let (text, _) = finish(&mut place.command(&["events", "-n", "crier", "--from", "0", "--count", "1"]), 0);
    assert_eq!(text, format!("{}  {id}  Cried\\u{{1b}}[2J  one\n", one["block"]));

    // Each run goes on where the one before was.
    let kept = ["events", "-n", "crier", "--from", "0", "--checkpoint", "kept.json", "--json", "--count"];
    let run = |count: &str| Events::start(place.command(&kept).arg(count));
    assert_eq!(run("1").payloads(1), ["one"]);
    assert_eq!(run("2").payloads(2), ["two", "three\u{9b}2J"]);
    invoke(&place, "four");
    assert_eq!(run("1").payloads(1), ["four"]);
    let other = ["events", "-n", "basic", "--checkpoint", "kept.json"];
    assert_eq!(document(&mut place.command(&other), 2)["error"]["code"], "SV-SET-13");

    // A name that nobody has is waited for, but not without a word.
    let mut unknown = place.command(&["events", "-n", "cryer"]).stderr(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(unknown.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains("cryer is not committed on mychannel yet"), "{said}");
    unknown.kill().unwrap();
    unknown.wait().unwrap();

    // When the network goes, so does the stream, with an error that says how to go on.
    let mut last =
        place.command(&["events", "-n", "crier", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(last.stdout.take().unwrap()).lines();
    invoke_until_seen(&place, &mut lines);
    up.signal(Signal::SIGINT);
    up.wait();
    let end: Value = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).last().unwrap();
    assert!(
        end["error"]["what"].as_str().unwrap().contains("the events of crier on mychannel end here"),
        "{end}"
    );
    assert_eq!(last.wait().unwrap().code(), Some(2));
}

/// Whoever follows what is committed from now on may begin a moment later.
fn invoke_until_seen(place: &Place, lines: &mut impl Iterator<Item = std::io::Result<String>>) {
    std::thread::scope(|scope| {
        let (seen, heard) = std::sync::mpsc::sync_channel(1);
        scope.spawn(move || {
            // It ends too when the other side has failed.
            while matches!(heard.try_recv(), Err(TryRecvError::Empty)) {
                invoke(place, "again");
            }
        });
        let line = lines.next().expect("an event").unwrap();
        assert!(line.contains("again"), "{line}");
        seen.send(()).unwrap();
    });
}

#[test]
fn a_folder_with_another_basic_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let dir: &Path = folder.path();
    let up = Up::start(selvedge(temp.path()).args(["up", "--dir"]).arg(dir));
    let command = |words: &[&str]| {
        let mut command = selvedge(temp.path());
        command.args(words).arg("--config").arg(up.config());
        command
    };
    finish(&mut command(&["chaincode", "approve", "-n", "basic", "-v", "2.0"]), 0);
    finish(&mut command(&["chaincode", "commit", "-n", "basic", "-v", "2.0"]), 0);
    up.signal(Signal::SIGINT);
    assert_eq!(up.wait(), Some(0));
    let mut again = selvedge(temp.path());
    let (stdout, _) = finish(again.args(["up", "--sample", "--port", "0", "--json", "--dir"]).arg(dir), 2);
    let error: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "SV-NET-09", "{error}");
    assert!(error.to_string().contains("version 2.0"), "{error}");
}
