//! The sample through the real server with mutual TLS.

// The peer that the chaincode library is tested with; not all of it is needed here.
#[allow(dead_code)]
#[path = "../../../crates/chaincode/tests/server/peer.rs"]
mod peer;
#[allow(dead_code)]
#[path = "../../../crates/chaincode/tests/server/support.rs"]
mod support;

use asset_transfer_basic::AssetTransfer;
use serde_json::json;

use crate::peer::{Peer, Puppet};
use crate::support::Running;

const ASSET1: &str = r#"{"AppraisedValue":300,"Color":"blue","ID":"asset1","Owner":"Tomoko","Size":5}"#;

/// A ledger with the sample's assets, and a counter that names transactions.
struct Ledger {
    server: Running,
    peer: Peer,
    transactions: usize,
}

impl Ledger {
    async fn new() -> Self {
        let server = Running::start(AssetTransfer).await;
        let peer = Peer::new(server.connect().await).await;
        Self { server, peer, transactions: 0 }
    }

    async fn initialised() -> Self {
        let mut ledger = Self::new().await;
        ledger.ok(&["InitLedger"], "").await;
        ledger
    }

    async fn invoke(&mut self, args: &[&str]) -> (i32, String, String) {
        self.transactions += 1;
        let response = self.peer.invoke(&self.transactions.to_string(), args).await;
        let payload = String::from_utf8(response.payload.to_vec()).expect("text");
        (response.status, response.message, payload)
    }

    #[track_caller]
    fn ok<'a>(&'a mut self, args: &'a [&str], result: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let expected = (200, String::new(), result.to_owned());
            assert_eq!(self.invoke(args).await, expected, "{args:?} at {caller}");
        }
    }

    async fn fails(&mut self, args: &[&str], message: &str) {
        let expected = (500, message.to_owned(), String::new());
        assert_eq!(self.invoke(args).await, expected, "{args:?}");
    }
}

#[tokio::test]
async fn assets_are_created_read_changed_and_deleted() {
    let mut ledger = Ledger::initialised().await;
    ledger.ok(&["ReadAsset", "asset1"], ASSET1).await;
    ledger.ok(&["AssetExists", "asset1"], "true").await;
    ledger.ok(&["AssetExists", "asset7"], "false").await;
    ledger.ok(&["CreateAsset", "asset7", "pink", "20", "Ada", "900"], "").await;
    let pink = r#"{"AppraisedValue":900,"Color":"pink","ID":"asset7","Owner":"Ada","Size":20}"#;
    ledger.ok(&["ReadAsset", "asset7"], pink).await;
    ledger.ok(&["TransferAsset", "asset7", "Grace"], "Ada").await;
    ledger.ok(&["ReadAsset", "asset7"], &pink.replace("Ada", "Grace")).await;
    ledger.ok(&["UpdateAsset", "asset7", "grey", "-1", "Grace", "0"], "").await;
    let grey = r#"{"AppraisedValue":0,"Color":"grey","ID":"asset7","Owner":"Grace","Size":-1}"#;
    ledger.ok(&["ReadAsset", "asset7"], grey).await;
    ledger.ok(&["DeleteAsset", "asset7"], "").await;
    ledger.ok(&["AssetExists", "asset7"], "false").await;
    ledger.server.stop().await;
}

#[tokio::test]
async fn all_assets_are_listed_in_order() {
    let mut ledger = Ledger::new().await;
    ledger.ok(&["GetAllAssets"], "[]").await;
    ledger.ok(&["InitLedger"], "").await;
    let (status, _, all) = ledger.invoke(&["GetAllAssets"]).await;
    assert_eq!(status, 200);
    assert!(all.starts_with(&format!("[{ASSET1},{{")), "{all}");
    let owners: Vec<usize> = ["Tomoko", "Brad", "Jin Soo", "Max", "Adriana", "Michel"]
        .iter()
        .map(|owner| all.find(owner).expect("an owner"))
        .collect();
    assert!(owners.is_sorted(), "{all}");

    // More than the peer sends at once.
    for n in 0..120 {
        ledger.ok(&["CreateAsset", &format!("more{n:03}"), "red", "1", "Ada", "1"], "").await;
    }
    let (_, _, all) = ledger.invoke(&["GetAllAssets"]).await;
    assert_eq!(all.matches("\"ID\":").count(), 126);
    ledger.server.stop().await;
}

#[tokio::test]
async fn errors_have_the_official_samples_texts() {
    let mut ledger = Ledger::initialised().await;
    let create = ["CreateAsset", "asset1", "blue", "5", "Tomoko", "300"];
    ledger.fails(&create, "the asset asset1 already exists").await;
    for function in ["ReadAsset", "DeleteAsset"] {
        ledger.fails(&[function, "nope"], "the asset nope does not exist").await;
    }
    ledger.fails(&["TransferAsset", "nope", "Ada"], "the asset nope does not exist").await;
    ledger
        .fails(&["UpdateAsset", "nope", "blue", "5", "Tomoko", "300"], "the asset nope does not exist")
        .await;
    ledger.fails(&["ReadAsset"], "incorrect number of params. Expected 1, received 0").await;
    ledger
        .fails(
            &["CreateAsset", "a", "blue", "big", "Tomoko", "300"],
            "error managing parameter size. conversion error. cannot convert passed value big to int64",
        )
        .await;
    ledger.fails(&["Nothing"], "Function Nothing not found in contract SmartContract").await;
    ledger.fails(&[""], "Blank function name passed").await;
    // As with Go's contracts: the first letter's case and further parameters do not matter.
    ledger.ok(&["readAsset", "asset1", "more"], ASSET1).await;
    ledger.server.stop().await;
}

#[tokio::test]
async fn the_metadata_tells_types_and_true_names() {
    let mut ledger = Ledger::new().await;
    let (status, _, document) = ledger.invoke(&["org.hyperledger.fabric:GetMetadata"]).await;
    assert_eq!(status, 200);
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!(document["info"], json!({"title": "SmartContract", "version": "latest"}));
    let contract = &document["contracts"]["SmartContract"];
    assert_eq!(contract["default"], true);
    let transactions = contract["transactions"].as_array().expect("transactions");
    let named = |name: &str| transactions.iter().find(|transaction| transaction["name"] == name).expect(name);
    let text = |name: &str| json!({"name": name, "schema": {"type": "string"}});
    let number = |name: &str| json!({"name": name, "schema": {"type": "integer", "format": "int64"}});
    assert_eq!(transactions.len(), 8);
    assert_eq!(
        named("CreateAsset")["parameters"],
        json!([text("id"), text("color"), number("size"), text("owner"), number("appraised_value")])
    );
    assert_eq!(named("CreateAsset")["tag"][0], "SUBMIT");
    assert_eq!(named("CreateAsset").get("returns"), None);
    assert_eq!(named("ReadAsset")["tag"][0], "EVALUATE");
    let reference = json!({"$ref": "#/components/schemas/Asset"});
    assert_eq!(named("ReadAsset")["returns"], reference);
    assert_eq!(named("GetAllAssets")["returns"], json!({"type": "array", "items": reference}));
    let asset = &document["components"]["schemas"]["Asset"];
    assert_eq!(asset["$id"], "Asset");
    assert_eq!(asset["required"], json!(["AppraisedValue", "Color", "ID", "Owner", "Size"]));
    assert_eq!(asset["properties"]["Size"]["format"], "int64");
    ledger.server.stop().await;
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_is_reported() {
    let server = Running::start(AssetTransfer).await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["ReadAsset", "asset1"]).await;
    let (transaction, ticket, _) = peer.request().await;
    peer.respond(&transaction, ticket, Err("disk on fire")).await;
    let response = peer::response(peer.finished().await);
    assert_eq!(
        response.message,
        "failed to read from world state: GET_STATE failed: transaction ID: t1: disk on fire"
    );
    server.stop().await;
}
