//! The sample on a ledger in memory, called as the official tutorial calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use asset_transfer_abac::AttributeBasedAccess;
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Identity, Ledger, Setup};
use serde_json::{Value, json};

const NOT_OWNER: &str = "NOT_OWNER: submitting client not authorized to update asset, does not own asset";

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

fn creator() -> Identity {
    Identity::client("Org1MSP", "creator1").attribute("abac.creator", "true")
}

async fn name(ledger: &Ledger, of: &Identity) -> String {
    ledger.evaluate(of, AttributeBasedAccess::get_submitting_client_identity_call()).await.unwrap()
}

async fn read(ledger: &Ledger, id: &str) -> Value {
    ledger.evaluate(&creator(), call("ReadAsset", &[id]).returning()).await.unwrap()
}

#[tokio::test]
async fn the_attribute_creates_and_the_owner_changes() {
    let ledger = Setup::new().compare_batching().start_with(AttributeBasedAccess).await.unwrap();
    let (creator, user) = (creator(), Identity::client("Org1MSP", "user1"));
    ledger.submit(&creator, call("CreateAsset", &["Asset1", "blue", "20", "100"])).await.unwrap();
    let owner = name(&ledger, &creator).await;
    assert!(owner.starts_with("x509::CN=creator1,OU=client") && owner.contains("::CN=ca.org1."), "{owner}");
    let asset = |color: &str, owner: &str| json!({"ID": "Asset1", "color": color, "size": 20, "owner": owner, "appraisedValue": 100});
    assert_eq!(read(&ledger, "Asset1").await, asset("blue", &owner));

    let recipient = name(&ledger, &user).await;
    ledger.submit(&creator, call("TransferAsset", &["Asset1", &recipient])).await.unwrap();
    assert_eq!(read(&ledger, "Asset1").await, asset("blue", &recipient));

    let update = call("UpdateAsset", &["Asset1", "green", "20", "100"]);
    let refused = ledger.submit(&creator, update.clone()).await.unwrap_err();
    assert_eq!(refused.message(), NOT_OWNER);
    ledger.submit(&user, update).await.unwrap();
    assert_eq!(read(&ledger, "Asset1").await, asset("green", &recipient));

    ledger.submit(&user, call("DeleteAsset", &["Asset1"])).await.unwrap();
    assert_eq!(ledger.state("Asset1").unwrap(), None);
}

#[tokio::test]
async fn nobody_else_creates() {
    let ledger = Setup::new().compare_batching().start_with(AttributeBasedAccess).await.unwrap();
    let text =
        "NOT_CREATOR: submitting client not authorized to create asset, does not have abac.creator role";
    let user = Identity::client("Org1MSP", "user1");
    for sender in
        [user.clone(), user.clone().attribute("abac.creator", "false"), user.attribute("creator", "true")]
    {
        let create = call("CreateAsset", &["Asset2", "red", "20", "100"]);
        assert_eq!(ledger.submit(&sender, create).await.unwrap_err().message(), text);
    }
    assert_eq!(ledger.state("Asset2").unwrap(), None);
    // The attribute alone counts, whatever the organisation.
    let other = Identity::client("Org2MSP", "creator2").attribute("abac.creator", "true");
    ledger.submit(&other, call("CreateAsset", &["Asset2", "red", "20", "100"])).await.unwrap();
}

#[tokio::test]
async fn only_the_owner_updates_transfers_and_deletes() {
    let ledger = Setup::new().compare_batching().start_with(AttributeBasedAccess).await.unwrap();
    ledger.submit(&creator(), call("CreateAsset", &["Asset1", "blue", "20", "100"])).await.unwrap();
    // Of the same name, but of another organisation.
    let namesake = Identity::client("Org2MSP", "creator1").attribute("abac.creator", "true");
    for (function, args) in [
        ("UpdateAsset", &["Asset1", "green", "20", "100"][..]),
        ("TransferAsset", &["Asset1", "somebody"]),
        ("DeleteAsset", &["Asset1"]),
    ] {
        let refused = ledger.submit(&namesake, call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), NOT_OWNER, "{function}");
    }
}

#[tokio::test]
async fn assets_are_listed_and_missing_ones_refused() {
    let ledger = Setup::new().compare_batching().start_with(AttributeBasedAccess).await.unwrap();
    let creator = creator();
    assert_eq!(ledger.evaluate(&creator, call("GetAllAssets", &[])).await.unwrap(), "[]");
    for id in ["b", "a"] {
        ledger.submit(&creator, call("CreateAsset", &[id, "blue", "20", "100"])).await.unwrap();
    }
    let all: Vec<Value> = ledger.evaluate(&creator, call("GetAllAssets", &[]).returning()).await.unwrap();
    let ids: Vec<_> = all.iter().map(|asset| &asset["ID"]).collect();
    assert_eq!(ids, ["a", "b"]);
    for (id, exists) in [("a", "true"), ("c", "false")] {
        assert_eq!(ledger.evaluate(&creator, call("AssetExists", &[id])).await.unwrap(), exists);
    }
    let refused = ledger.submit(&creator, call("CreateAsset", &["a", "red", "1", "1"])).await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_EXISTS: the asset a already exists");
    for (function, args) in [
        ("ReadAsset", &["c"][..]),
        ("UpdateAsset", &["c", "green", "20", "100"]),
        ("TransferAsset", &["c", "somebody"]),
        ("DeleteAsset", &["c"]),
    ] {
        let refused = ledger.submit(&creator, call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), "ASSET_MISSING: the asset c does not exist", "{function}");
    }
}
