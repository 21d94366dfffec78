//! The sample on a ledger in memory, called as its official client applications call it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use asset_transfer_private_data::{
    AssetName, AssetPrivateDetails, AssetProperties, PrivateAssetTransfer, TransferAgreement,
};
use selvedge::creator::{Creator, serialize};
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestError};
use serde_json::{Value, json};

const ASSETS: &str = "assetCollection";
const ORG1: &str = "Org1MSPPrivateCollection";
const ORG2: &str = "Org2MSPPrivateCollection";

async fn start() -> Ledger {
    let chaincode = Deploy::new("private", PrivateAssetTransfer)
        .endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')")
        .collections(include_str!("../collections_config.json"));
    Setup::new().compare_batching().chaincode(chaincode).start().await.unwrap().ledger("private")
}

fn seller() -> Identity {
    Identity::client("Org1MSP", "seller")
}

fn buyer() -> Identity {
    Identity::client("Org2MSP", "buyer")
}

/// Somebody as assets have them.
fn name(of: &Identity) -> String {
    Creator::parse(&serialize(of.msp_id(), &of.certificate_pem().unwrap())).unwrap().decoded_id()
}

/// Submits a function that takes everything from the transient map.
async fn submit(
    ledger: &Ledger,
    sender: &Identity,
    function: &str,
    entry: &str,
    value: &Value,
) -> Result<Bytes, TestError> {
    let call = Call::raw(function, [""; 0]).transient(entry, value.to_string());
    ledger.submit(sender, call).await
}

async fn create(ledger: &Ledger, id: &str, color: &str, size: i64, value: i64) {
    let asset = json!({
        "objectType": "ValuableAsset", "assetID": id, "color": color, "size": size, "appraisedValue": value
    });
    let created = submit(ledger, &seller(), "CreateAsset", "asset_properties", &asset).await;
    assert_eq!(created.unwrap(), "");
}

async fn agree(ledger: &Ledger, id: &str, value: i64) -> Result<Bytes, TestError> {
    // Not in the order in which the contract writes them.
    let agreed = json!({"assetID": id, "appraisedValue": value});
    submit(ledger, &buyer(), "AgreeToTransfer", "asset_value", &agreed).await
}

async fn transfer(ledger: &Ledger, sender: &Identity, id: &str) -> Result<Bytes, TestError> {
    let to = json!({"assetID": id, "buyerMSP": "Org2MSP"});
    submit(ledger, sender, "TransferAsset", "asset_owner", &to).await
}

async fn ask(ledger: &Ledger, reader: &Identity, function: &str, args: &[&str]) -> Bytes {
    let args = args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes()));
    ledger.evaluate(reader, Call::raw(function, args)).await.unwrap()
}

async fn ask_json(ledger: &Ledger, reader: &Identity, function: &str, args: &[&str]) -> Value {
    serde_json::from_slice(&ask(ledger, reader, function, args).await).unwrap()
}

fn asset(id: &str, color: &str, size: i64, owner: &Identity) -> Value {
    json!({"objectType": "ValuableAsset", "assetID": id, "color": color, "size": size, "owner": name(owner)})
}

/// The way of the official client application, from the first asset to the last purge.
#[tokio::test]
async fn an_asset_is_sold_for_a_value_that_nobody_else_knows() {
    let ledger = start().await;
    create(&ledger, "asset1", "green", 20, 100).await;
    create(&ledger, "asset2", "blue", 35, 727).await;
    assert_eq!(
        ask_json(&ledger, &seller(), "GetAssetByRange", &["asset1", "asset3"]).await,
        json!([asset("asset1", "green", 20, &seller()), asset("asset2", "blue", 35, &seller())])
    );
    let early = transfer(&ledger, &seller(), "asset1").await.unwrap_err();
    assert_eq!(
        early.message(),
        "NOT_AGREED: failed transfer verification: hash of appraised value for asset1 does not exist in collection \
         Org2MSPPrivateCollection. AgreeToTransfer must be called by the buyer first"
    );

    let seen = ask_json(&ledger, &buyer(), "ReadAsset", &["asset1"]).await;
    assert_eq!(seen, asset("asset1", "green", 20, &seller()));
    agree(&ledger, "asset1", 100).await.unwrap();
    assert_eq!(
        ask_json(&ledger, &seller(), "ReadTransferAgreement", &["asset1"]).await,
        json!({"assetID": "asset1", "buyerID": name(&buyer())})
    );
    assert_eq!(transfer(&ledger, &seller(), "asset1").await.unwrap(), "");

    // The value has moved with the asset, and the agreement is gone.
    let seen = ask_json(&ledger, &seller(), "ReadAsset", &["asset1"]).await;
    assert_eq!(seen, asset("asset1", "green", 20, &buyer()));
    assert_eq!(ask(&ledger, &seller(), "ReadAssetPrivateDetails", &[ORG1, "asset1"]).await, "");
    assert_eq!(
        ask_json(&ledger, &buyer(), "ReadAssetPrivateDetails", &[ORG2, "asset1"]).await,
        json!({"assetID": "asset1", "appraisedValue": 100})
    );
    assert_eq!(ask(&ledger, &seller(), "ReadTransferAgreement", &["asset1"]).await, "");

    let named = json!({"assetID": "asset2"});
    let refused = submit(&ledger, &buyer(), "DeleteAsset", "asset_delete", &named).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "NOT_OWNER: asset not found in owner's private Collection Org2MSPPrivateCollection: asset2"
    );
    submit(&ledger, &seller(), "DeleteAsset", "asset_delete", &named).await.unwrap();
    assert_eq!(ask(&ledger, &seller(), "ReadAsset", &["asset2"]).await, "");
    assert_eq!(ledger.private_hash(ORG1, "asset2").unwrap(), None);
    submit(&ledger, &seller(), "PurgeAsset", "asset_purge", &named).await.unwrap();
    let refused = submit(&ledger, &seller(), "DeleteAsset", "asset_delete", &named).await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_MISSING: asset not found: asset2");
}

#[tokio::test]
async fn every_peer_holds_its_own_organisations_values_only() {
    let ledger = start().await;
    create(&ledger, "asset1", "green", 20, 100).await;
    agree(&ledger, "asset1", 100).await.unwrap();
    let value = r#"{"appraisedValue":100,"assetID":"asset1"}"#;
    for (collection, msp_id, held) in [
        (ORG1, "Org1MSP", Some(value)),
        (ORG1, "Org2MSP", None),
        (ORG2, "Org1MSP", None),
        (ORG2, "Org2MSP", Some(value)),
    ] {
        let found = ledger.private_state(msp_id, collection, "asset1").unwrap();
        assert_eq!(found.as_deref(), held.map(str::as_bytes), "{collection} at {msp_id}");
    }
    // Both know the hashes, by which the sale is checked.
    assert_eq!(ledger.private_hash(ORG1, "asset1").unwrap(), ledger.private_hash(ORG2, "asset1").unwrap());
    for msp_id in ["Org1MSP", "Org2MSP"] {
        assert!(ledger.private_state(msp_id, ASSETS, "asset1").unwrap().is_some(), "{msp_id}");
    }
    assert_eq!(ledger.state("asset1").unwrap(), None);

    // Strangers of a collection do not read it, wherever they ask, and the assets are for clients at their own peers.
    let details = PrivateAssetTransfer::read_asset_private_details_call(ORG1, "asset1");
    for endorser in ["Org1MSP", "Org2MSP"] {
        let read = ledger.transaction(&buyer(), details.clone()).endorsed_by([endorser]).evaluate().await;
        assert!(read.unwrap_err().code() == Some("LEDGER"), "{endorser}");
    }
    let details = PrivateAssetTransfer::agree_to_transfer_call(AssetPrivateDetails {
        id: "asset1".to_owned(),
        appraised_value: 100,
    });
    let elsewhere = ledger.transaction(&buyer(), details).endorsed_by(["Org1MSP"]).endorse().await;
    let refused = elsewhere.unwrap_err();
    assert_eq!(refused.code(), Some("FOREIGN_PEER"));
    assert_eq!(
        refused.message(),
        "client from org Org2MSP is not authorized to read or write private data from an org Org1MSP peer"
    );
}

#[tokio::test]
async fn a_sale_takes_the_owner_and_the_same_value() {
    let ledger = start().await;
    create(&ledger, "asset1", "green", 20, 100).await;
    agree(&ledger, "asset1", 99).await.unwrap();
    let refused = transfer(&ledger, &seller(), "asset1").await.unwrap_err();
    let text = "VALUES_DIFFER: failed transfer verification: hash for appraised value for owner ";
    assert!(refused.message().starts_with(text), "{refused}");
    agree(&ledger, "asset1", 100).await.unwrap();
    let colleague = Identity::client("Org1MSP", "colleague");
    for sender in [colleague, buyer()] {
        let refused = transfer(&ledger, &sender, "asset1").await.unwrap_err();
        assert_eq!(
            refused.message(),
            "NOT_OWNER: failed transfer verification: error: submitting client identity does not own asset"
        );
    }

    // The buyer takes it back, and then there is nothing to be sold or to be taken back.
    let named = AssetName { id: "asset1".to_owned() };
    let take_back = PrivateAssetTransfer::delete_transfer_agreement_call(named);
    assert_eq!(take_back.function(), "SmartContract:DeleteTranferAgreement");
    ledger.submit(&buyer(), take_back.clone()).await.unwrap();
    let agreement = PrivateAssetTransfer::read_transfer_agreement_call("asset1");
    assert_eq!(ledger.evaluate::<Option<TransferAgreement>>(&seller(), agreement).await.unwrap(), None);
    assert_eq!(ledger.private_hash(ORG2, "asset1").unwrap(), None);
    let refused = transfer(&ledger, &seller(), "asset1").await.unwrap_err();
    assert!(refused.message().starts_with("NOT_AGREED: "), "{refused}");
    let refused = ledger.submit(&buyer(), take_back).await.unwrap_err();
    assert_eq!(refused.message(), "asset's transfer_agreement does not exist: asset1");
}

#[tokio::test]
async fn what_is_missing_or_wrong_in_the_transient_map_is_told() {
    let ledger = start().await;
    create(&ledger, "asset1", "green", 20, 100).await;
    let whole = json!({
        "objectType": "ValuableAsset", "assetID": "asset1", "color": "red", "size": 1, "appraisedValue": 1
    });
    let mut cases = vec![(whole.clone(), "ASSET_EXISTS: this asset already exists: asset1".to_owned())];
    for (field, wrong, text) in [
        ("objectType", json!(""), "FIELD_EMPTY: objectType field must be a non-empty string"),
        ("assetID", json!(""), "FIELD_EMPTY: assetID field must be a non-empty string"),
        ("color", json!(""), "FIELD_EMPTY: color field must be a non-empty string"),
        ("size", json!(0), "FIELD_NOT_POSITIVE: size field must be a positive integer"),
        ("appraisedValue", json!(-1), "FIELD_NOT_POSITIVE: appraisedValue field must be a positive integer"),
    ] {
        let mut spoilt = whole.clone();
        spoilt[field] = wrong;
        cases.push((spoilt.clone(), text.to_owned()));
        spoilt.as_object_mut().unwrap().remove(field);
        cases.push((spoilt, text.to_owned()));
    }
    for (properties, text) in cases {
        let refused = submit(&ledger, &seller(), "CreateAsset", "asset_properties", &properties).await;
        assert_eq!(refused.unwrap_err().message(), text);
    }
    for (function, entry) in [
        ("CreateAsset", "asset_properties"),
        ("AgreeToTransfer", "asset_value"),
        ("TransferAsset", "asset_owner"),
        ("DeleteAsset", "asset_delete"),
        ("PurgeAsset", "asset_purge"),
        ("DeleteTranferAgreement", "agreement_delete"),
    ] {
        let refused = submit(&ledger, &seller(), function, "other", &json!({})).await.unwrap_err();
        assert_eq!(refused.message(), format!("{entry} not found in the transient map"));
        let refused = submit(&ledger, &seller(), function, entry, &json!({})).await.unwrap_err();
        assert!(refused.message().ends_with("field must be a non-empty string"), "{function}: {refused}");
    }
    let refused = agree(&ledger, "asset9", 1).await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_MISSING: asset9 does not exist");
    let refused = transfer(&ledger, &seller(), "asset9").await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_MISSING: asset9 does not exist");
}

#[tokio::test]
async fn rich_queries_find_private_assets() {
    let ledger = start().await;
    create(&ledger, "asset1", "green", 20, 100).await;
    create(&ledger, "asset2", "blue", 35, 727).await;
    let owner = name(&seller());
    let owned = ask_json(&ledger, &seller(), "QueryAssetByOwner", &["ValuableAsset", &owner]).await;
    assert_eq!(
        owned,
        json!([asset("asset1", "green", 20, &seller()), asset("asset2", "blue", 35, &seller())])
    );
    let query = r#"{"selector":{"size":{"$gt":30}}}"#;
    let found = ask_json(&ledger, &buyer(), "QueryAssets", &[query]).await;
    assert_eq!(found, json!([asset("asset2", "blue", 35, &seller())]));
    // A name is never a part of the query.
    let none = ask_json(&ledger, &seller(), "QueryAssetByOwner", &["x", r#"","size":{"$gt":0},"y":""#]).await;
    assert_eq!(none, json!([]));
}

#[tokio::test]
async fn values_are_forgotten_after_three_blocks_and_purged_at_once() {
    let ledger = start().await;
    let properties = AssetProperties {
        object_type: "ValuableAsset".to_owned(),
        id: "asset1".to_owned(),
        color: "green".to_owned(),
        size: 20,
        appraised_value: 100,
    };
    ledger.submit(&seller(), PrivateAssetTransfer::create_asset_call(properties)).await.unwrap();
    ledger.network().pass_blocks(ledger.channel(), 3).await.unwrap();
    assert!(ledger.private_state("Org1MSP", ORG1, "asset1").unwrap().is_some());
    ledger.network().pass_blocks(ledger.channel(), 1).await.unwrap();
    assert_eq!(ledger.private_state("Org1MSP", ORG1, "asset1").unwrap(), None);
    assert!(ledger.private_state("Org1MSP", ASSETS, "asset1").unwrap().is_some(), "it lives longer");

    let purge = PrivateAssetTransfer::purge_asset_call(AssetName { id: "asset1".to_owned() });
    ledger.submit(&seller(), purge).await.unwrap();
    for msp_id in ["Org1MSP", "Org2MSP"] {
        assert_eq!(ledger.private_state(msp_id, ASSETS, "asset1").unwrap(), None, "{msp_id}");
    }
    assert_eq!(ledger.private_hash(ASSETS, "asset1").unwrap(), None);
}
