//! The sample on a ledger in memory, called as its official client applications call it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::time::{Duration, SystemTime};

use asset_transfer_ledger_queries::AssetTransferContract;
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Identity, Ledger, Setup, TxValidationCode};
use serde_json::{Value, json};

/// With the index that lies beside the sample. There is none at a peer without CouchDB, and it is not missed.
const MAX: &str =
    r#"{"selector":{"docType":"asset","owner":"Max"}, "use_index":["_design/indexOwnerDoc", "indexOwner"]}"#;

fn user() -> Identity {
    Identity::client("Org1MSP", "appUser")
}

async fn start() -> Ledger {
    let ledger = Setup::new().compare_batching().start_with(AssetTransferContract).await.unwrap();
    submit(&ledger, "InitLedger", &[]).await;
    ledger
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

async fn submit(ledger: &Ledger, function: &str, args: &[&str]) {
    assert_eq!(ledger.submit(&user(), call(function, args)).await.unwrap(), "", "{function} {args:?}");
}

async fn ask(ledger: &Ledger, function: &str, args: &[&str]) -> Value {
    ledger.evaluate(&user(), call(function, args).returning()).await.unwrap()
}

/// The ids of an array of assets.
fn ids(assets: &Value) -> Vec<&str> {
    assets.as_array().unwrap().iter().map(|asset| asset["ID"].as_str().unwrap()).collect()
}

fn asset7(owner: &str) -> Value {
    json!({
        "docType": "asset", "ID": "asset7", "color": "yellow", "size": 5, "owner": owner, "appraisedValue": 1300
    })
}

#[tokio::test]
async fn assets_are_created_read_transferred_and_deleted() {
    let ledger = start().await;
    submit(&ledger, "CreateAsset", &["asset7", "yellow", "5", "Tom", "1300"]).await;
    assert_eq!(ask(&ledger, "ReadAsset", &["asset7"]).await, asset7("Tom"));
    assert_eq!(ask(&ledger, "AssetExists", &["asset7"]).await, json!(true));
    let index = "\0color~name\0yellow\0asset7\0";
    assert_eq!(ledger.state(index).unwrap().unwrap(), &b"\0"[..]);
    submit(&ledger, "TransferAsset", &["asset7", "Max"]).await;
    assert_eq!(ask(&ledger, "ReadAsset", &["asset7"]).await, asset7("Max"));
    submit(&ledger, "DeleteAsset", &["asset7"]).await;
    assert_eq!(ask(&ledger, "AssetExists", &["asset7"]).await, json!(false));
    assert_eq!(ledger.state(index).unwrap(), None);
}

#[tokio::test]
async fn ranges_are_open_or_not_and_have_pages() {
    let ledger = start().await;
    for (start, end, expected) in
        [("asset1", "asset6", 1..=5), ("", "", 1..=6), ("asset3", "", 3..=6), ("", "asset3", 1..=2)]
    {
        let expected: Vec<_> = expected.map(|n| format!("asset{n}")).collect();
        assert_eq!(ids(&ask(&ledger, "GetAssetsByRange", &[start, end]).await), expected);
    }
    let page = ask(&ledger, "GetAssetsByRangeWithPagination", &["asset2", "asset6", "2", ""]).await;
    assert_eq!(ids(&page["records"]), ["asset2", "asset3"]);
    assert_eq!((&page["fetchedRecordsCount"], &page["bookmark"]), (&json!(2), &json!("asset4")));
    let page = ask(&ledger, "GetAssetsByRangeWithPagination", &["asset2", "asset6", "2", "asset4"]).await;
    assert_eq!(ids(&page["records"]), ["asset4", "asset5"]);
    let page = ask(&ledger, "GetAssetsByRangeWithPagination", &["asset6", "", "2", ""]).await;
    assert_eq!(page["records"], json!([ask(&ledger, "ReadAsset", &["asset6"]).await]));
    assert_eq!((&page["fetchedRecordsCount"], &page["bookmark"]), (&json!(1), &json!("")));
}

#[tokio::test]
async fn all_assets_of_a_colour_change_hands() {
    let ledger = start().await;
    submit(&ledger, "CreateAsset", &["asset7", "yellow", "5", "Tom", "1300"]).await;
    submit(&ledger, "TransferAssetByColor", &["yellow", "Michel"]).await;
    let found = ask(&ledger, "QueryAssetsByOwner", &["Michel"]).await;
    assert_eq!(ids(&found), ["asset4", "asset6", "asset7"]);

    // One more of the colour before the commit: the transaction would have missed it.
    let transfer = call("TransferAssetByColor", &["yellow", "Tom"]);
    let endorsed = ledger.transaction(&user(), transfer).endorse().await.unwrap();
    submit(&ledger, "CreateAsset", &["asset8", "yellow", "5", "Max", "1"]).await;
    let refused = endorsed.submit().await.unwrap_err();
    assert_eq!(refused.validation_code(), Some(TxValidationCode::PhantomReadConflict));
    assert_eq!(ask(&ledger, "QueryAssetsByOwner", &["Tom"]).await, json!([]));
}

#[tokio::test]
async fn rich_queries_find_by_contents() {
    let ledger = start().await;
    let found = ask(&ledger, "QueryAssets", &[r#"{"selector":{"size":15}}"#]).await;
    assert_eq!(ids(&found), ["asset5", "asset6"]);
    let jin_soo = MAX.replace("Max", "Jin Soo");
    assert_eq!(ids(&ask(&ledger, "QueryAssets", &[&jin_soo]).await), ["asset3"]);
    // Only the fields that the query keeps, in the order that it asks for.
    let query = r#"{"selector":{"size":{"$gt":10}},"sort":[{"appraisedValue":"desc"}],"fields":["owner"]}"#;
    let found = ask(&ledger, "QueryAssets", &[query]).await;
    assert_eq!(found, json!([{"owner": "Michel"}, {"owner": "Adriana"}]));
    // An owner is a name, whatever is in it, and never a part of the query.
    let found = ask(&ledger, "QueryAssetsByOwner", &[r#"x","size":{"$gt":0},"y":""#]).await;
    assert_eq!(found, json!([]));
    let refused = ledger.evaluate(&user(), call("QueryAssets", &["{"])).await.unwrap_err();
    assert!(refused.message().starts_with("LEDGER: "), "{refused}");
}

#[tokio::test]
async fn rich_queries_have_pages() {
    let ledger = start().await;
    submit(&ledger, "TransferAsset", &["asset2", "Max"]).await;
    let mut bookmark = String::new();
    for expected in [&["asset2"][..], &["asset4"], &[]] {
        let page = ask(&ledger, "QueryAssetsWithPagination", &[MAX, "1", &bookmark]).await;
        assert_eq!(ids(&page["records"]), expected);
        assert_eq!(page["fetchedRecordsCount"], json!(expected.len()));
        page["bookmark"].as_str().unwrap().clone_into(&mut bookmark);
    }
}

#[tokio::test]
async fn the_history_has_every_change_and_the_deletion() {
    let ledger = start().await;
    let mut made = Vec::new();
    for (seconds, function, args) in [
        (1_600_000_000, "CreateAsset", &["asset7", "yellow", "5", "Tom", "1300"][..]),
        (1_600_000_001, "TransferAsset", &["asset7", "Max"]),
        (1_600_000_002, "DeleteAsset", &["asset7"]),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 250);
        let committed = ledger.transaction(&user(), call(function, args)).at(time).submit().await.unwrap();
        made.push(committed.tx_id);
    }
    let entry = |tx_id: &str, second: u8, record: Value, is_delete: bool| {
        let timestamp = format!("2020-09-13T12:26:4{second}.250Z");
        json!({"txId": tx_id, "timestamp": timestamp, "record": record, "isDelete": is_delete})
    };
    assert_eq!(
        ask(&ledger, "GetAssetHistory", &["asset7"]).await,
        json!([
            entry(&made[2], 2, Value::Null, true),
            entry(&made[1], 1, asset7("Max"), false),
            entry(&made[0], 0, asset7("Tom"), false),
        ])
    );
    assert_eq!(ask(&ledger, "GetAssetHistory", &["asset8"]).await, json!([]));
}

#[tokio::test]
async fn refusals_have_codes_and_the_official_texts() {
    let ledger = start().await;
    for (function, args) in
        [("ReadAsset", &["asset9"][..]), ("TransferAsset", &["asset9", "Tom"]), ("DeleteAsset", &["asset9"])]
    {
        let refused = ledger.submit(&user(), call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), "ASSET_MISSING: Asset asset9 does not exist", "{function}");
    }
    let refused = ledger.submit(&user(), call("InitLedger", &[])).await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_EXISTS: Asset already exists: asset1");
    let odd = call("CreateAsset", &["a", "b\0c", "1", "d", "1"]);
    let refused = ledger.submit(&user(), odd).await.unwrap_err();
    assert!(refused.message().starts_with("ARGUMENT: input contains unicode U+0000"), "{refused}");
}
