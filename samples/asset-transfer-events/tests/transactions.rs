//! The sample on a ledger in memory, called as its official client applications call it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use asset_transfer_events::{AssetTransferEvents, AssetView};
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};

const ORG1: &str = "_implicit_org_Org1MSP";

/// With the policy that the official sample is deployed with, so that an organisation's private data are written by its own
/// peer alone.
async fn start() -> Ledger {
    let chaincode =
        Deploy::new("events", AssetTransferEvents).endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')");
    Setup::new().compare_batching().chaincode(chaincode).start().await.unwrap().ledger("events")
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

/// Creates `asset1` of Sam's, with private properties.
async fn create(ledger: &Ledger, sender: &Identity, properties: &'static str) -> Result<Bytes, TestError> {
    let create = call("CreateAsset", &["asset1", "blue", "10", "Sam", "100"]);
    ledger.submit(sender, create.transient("asset_properties", properties)).await
}

async fn read(ledger: &Ledger, sender: &Identity) -> Value {
    ledger.evaluate(sender, call("ReadAsset", &["asset1"]).returning()).await.unwrap()
}

fn asset(owner: &str, value: i64) -> Value {
    json!({"ID": "asset1", "Color": "blue", "Size": 10, "Owner": owner, "AppraisedValue": value})
}

fn events(ledger: &Ledger) -> Vec<(String, Value)> {
    let events = ledger.events().unwrap().into_iter();
    events.map(|event| (event.event_name, serde_json::from_slice(&event.payload).unwrap())).collect()
}

#[tokio::test]
async fn every_change_is_an_event() {
    let (ledger, sam) = (start().await, Identity::client("Org1MSP", "sam"));
    let created = ledger.submit(&sam, call("CreateAsset", &["asset1", "blue", "10", "Sam", "100"])).await;
    assert_eq!(created.unwrap(), "");
    assert_eq!(ledger.state("asset1").unwrap().unwrap(), ledger.events().unwrap()[0].payload);
    assert_eq!(read(&ledger, &sam).await, asset("Sam", 100));
    for (function, args, result) in [
        ("UpdateAsset", &["asset1", "blue", "10", "Sam", "200"][..], ""),
        ("TransferAsset", &["asset1", "Mary"], "Sam"),
        ("DeleteAsset", &["asset1"], ""),
    ] {
        assert_eq!(ledger.submit(&sam, call(function, args)).await.unwrap(), result, "{function}");
    }
    assert_eq!(ledger.state("asset1").unwrap(), None);
    let expected = [
        ("CreateAsset", asset("Sam", 100)),
        ("UpdateAsset", asset("Sam", 200)),
        ("TransferAsset", asset("Mary", 200)),
        ("DeleteAsset", asset("Mary", 200)),
    ];
    assert_eq!(events(&ledger), expected.map(|(name, payload)| (name.to_owned(), payload)));
}

#[tokio::test]
async fn a_transaction_that_is_not_valid_has_no_event() {
    let (ledger, sam) = (start().await, Identity::client("Org1MSP", "sam"));
    create(&ledger, &sam, "{}").await.unwrap();
    let transfer = |to| ledger.transaction(&sam, call("TransferAsset", &["asset1", to])).endorse();
    let (first, second) = (transfer("Mary").await.unwrap(), transfer("Tom").await.unwrap());
    first.submit().await.unwrap();
    let refused = second.submit().await.unwrap_err();
    assert_eq!(refused.validation_code(), Some(TxValidationCode::MvccReadConflict));
    assert_eq!(events(&ledger).last().unwrap(), &("TransferAsset".to_owned(), asset("Mary", 100)));
}

#[tokio::test]
async fn private_properties_stay_in_the_senders_organisation() {
    let ledger = start().await;
    let (sam, mary) = (Identity::client("Org1MSP", "sam"), Identity::client("Org2MSP", "mary"));
    create(&ledger, &sam, r#"{"weight":7}"#).await.unwrap();
    assert_eq!(ledger.private_state("Org1MSP", ORG1, "asset1").unwrap().unwrap(), r#"{"weight":7}"#);
    assert_eq!(ledger.private_state("Org2MSP", ORG1, "asset1").unwrap(), None);
    assert_eq!(read(&ledger, &mary).await, asset("Sam", 100));
    let seen: AssetView =
        ledger.evaluate(&sam, AssetTransferEvents::read_asset_call("asset1")).await.unwrap();
    assert_eq!(seen.asset_properties, Some(json!({"weight": 7})));
    // Its own organisation's peer is the only one that shows them.
    let elsewhere = ledger.transaction(&sam, AssetTransferEvents::read_asset_call("asset1"));
    let elsewhere = elsewhere.endorsed_by(["Org2MSP"]).evaluate().await.unwrap();
    assert_eq!(elsewhere.asset_properties, None);
    // Nor does another's peer keep what is passed to it.
    let update = call("UpdateAsset", &["asset1", "blue", "10", "Sam", "200"]);
    let update = update.transient("asset_properties", "8");
    let foreign = ledger.transaction(&sam, update.clone()).endorsed_by(["Org2MSP"]).submit().await.unwrap();
    assert!(foreign.rwset.collections("events").is_empty());

    ledger.submit(&sam, update).await.unwrap();
    let mut whole = asset("Sam", 200);
    whole["asset_properties"] = json!(8);
    assert_eq!(read(&ledger, &sam).await, whole);
    let transfer = call("TransferAsset", &["asset1", "Mary"]).transient("asset_properties", "[9]");
    ledger.submit(&sam, transfer).await.unwrap();
    assert_eq!(ledger.private_state("Org1MSP", ORG1, "asset1").unwrap().unwrap(), "[9]");

    ledger.submit(&sam, call("DeleteAsset", &["asset1"])).await.unwrap();
    assert_eq!(ledger.private_hash(ORG1, "asset1").unwrap(), None);
    let shown = events(&ledger).into_iter().any(|(_, payload)| payload.get("asset_properties").is_some());
    assert!(!shown, "events are for everybody");
}

#[tokio::test]
async fn refusals_have_codes_and_the_official_texts() {
    let (ledger, sam) = (start().await, Identity::client("Org1MSP", "sam"));
    let refused = create(&ledger, &sam, "{").await.unwrap_err();
    assert_eq!(refused.message(), "PROPERTIES: asset_properties is not JSON");
    for (function, args) in [
        ("ReadAsset", &["asset1"][..]),
        ("UpdateAsset", &["asset1", "blue", "10", "Sam", "200"]),
        ("TransferAsset", &["asset1", "Mary"]),
        ("DeleteAsset", &["asset1"]),
    ] {
        let refused = ledger.submit(&sam, call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), "ASSET_MISSING: the asset asset1 does not exist", "{function}");
        assert_eq!(refused.status(), Some(500), "{function}");
    }
    create(&ledger, &sam, "null").await.unwrap();
    let refused = create(&ledger, &sam, "null").await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_EXISTS: the asset asset1 already exists");
    assert_eq!(ledger.events().unwrap().len(), 1);
}
