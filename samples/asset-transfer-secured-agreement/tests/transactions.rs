//! The sample on a ledger in memory, called as its official client application calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::time::{Duration, SystemTime};

use asset_transfer_secured_agreement::SecuredAgreement;
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};

const ORG1: &str = "_implicit_org_Org1MSP";
const ORG2: &str = "_implicit_org_Org2MSP";
const PROPERTIES: &str =
    r#"{"objectType":"asset_properties","color":"blue","size":35,"salt":"a94a8fe5ccb19ba61c4c0873d391e987"}"#;
/// Its SHA-256.
const ID: &str = "43b88aae70918c98d4d7b544629d83d9630d121b5f8bc4702a6d1d204ed37bcb";

async fn start() -> Ledger {
    let chaincode =
        Deploy::new("secured", SecuredAgreement).endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')");
    Setup::new().compare_batching().chaincode(chaincode).start().await.unwrap().ledger("secured")
}

fn seller() -> Identity {
    Identity::client("Org1MSP", "seller")
}

fn buyer() -> Identity {
    Identity::client("Org2MSP", "buyer")
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

/// As the official client application writes it.
fn price(price: i64) -> String {
    format!(r#"{{"assetID":"{ID}","price":{price},"tradeID":"1"}}"#)
}

async fn create(ledger: &Ledger) {
    let create = call("CreateAsset", &["not for sale"]).transient("asset_properties", PROPERTIES);
    assert_eq!(ledger.submit(&seller(), create).await.unwrap(), ID);
}

async fn sell(ledger: &Ledger, sender: &Identity, asked: i64) -> Result<Bytes, TestError> {
    ledger.submit(sender, call("AgreeToSell", &[ID]).transient("asset_price", price(asked))).await
}

async fn buy(ledger: &Ledger, properties: &'static str, offered: i64) -> Result<Bytes, TestError> {
    let buy = call("AgreeToBuy", &[ID]).transient("asset_properties", properties);
    ledger.submit(&buyer(), buy.transient("asset_price", price(offered))).await
}

fn transfer(paid: i64) -> Call<Bytes> {
    call("TransferAsset", &[ID, "Org2MSP"]).transient("asset_price", price(paid))
}

/// With the endorsements of both sides.
async fn sold(ledger: &Ledger, sender: &Identity, paid: i64) -> Result<Bytes, TestError> {
    let transfer = ledger.transaction(sender, transfer(paid)).endorsed_by(["Org1MSP", "Org2MSP"]);
    Ok(transfer.submit().await?.result)
}

async fn ask(ledger: &Ledger, reader: &Identity, function: &str, args: &[&str]) -> Result<Value, TestError> {
    ledger.evaluate(reader, call(function, args).returning()).await
}

fn asset(owner: &str, description: &str) -> Value {
    json!({"objectType": "asset", "assetID": ID, "ownerOrg": owner, "publicDescription": description})
}

/// The way of the official client application.
#[tokio::test]
async fn an_asset_is_sold_when_both_sides_agree() {
    let ledger = start().await;
    create(&ledger).await;
    for reader in [seller(), buyer()] {
        let seen = ask(&ledger, &reader, "ReadAsset", &[ID]).await.unwrap();
        assert_eq!(seen, asset("Org1MSP", "not for sale"));
    }
    let properties: Value = serde_json::from_str(PROPERTIES).unwrap();
    let shown = ask(&ledger, &seller(), "GetAssetPrivateProperties", &[ID]).await.unwrap();
    assert_eq!(shown, properties);
    let refused = ask(&ledger, &buyer(), "GetAssetPrivateProperties", &[ID]).await.unwrap_err();
    assert_eq!(
        refused.message(),
        format!("PROPERTIES_MISSING: asset private details does not exist in client org's collection: {ID}")
    );
    ledger.submit(&seller(), call("ChangePublicDescription", &[ID, "for sale"])).await.unwrap();
    let refused = ledger.submit(&buyer(), call("ChangePublicDescription", &[ID, "mine"])).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "NOT_OWNER: a client from Org2MSP cannot update the description of a asset owned by Org1MSP"
    );

    assert_eq!(sell(&ledger, &seller(), 110).await.unwrap(), "");
    let verify = call("VerifyAssetProperties", &[ID]).transient("asset_properties", PROPERTIES);
    assert_eq!(ledger.evaluate(&buyer(), verify).await.unwrap(), "true");
    assert_eq!(buy(&ledger, PROPERTIES, 100).await.unwrap(), "");
    let asked = ask(&ledger, &seller(), "GetAssetSalesPrice", &[ID]).await.unwrap();
    assert_eq!(asked, json!({"assetID": ID, "price": 110, "tradeID": "1"}));
    let offered = ask(&ledger, &buyer(), "GetAssetBidPrice", &[ID]).await.unwrap();
    assert_eq!(offered, json!({"assetID": ID, "price": 100, "tradeID": "1"}));
    for (reader, function) in [(buyer(), "GetAssetSalesPrice"), (seller(), "GetAssetBidPrice")] {
        let refused = ask(&ledger, &reader, function, &[ID]).await.unwrap_err();
        assert_eq!(refused.message(), format!("PRICE_MISSING: asset price does not exist: {ID}"));
    }
    let refused = sold(&ledger, &seller(), 110).await.unwrap_err();
    assert!(refused.message().starts_with("PRICES_DIFFER: failed transfer verification: hash "), "{refused}");
    assert!(refused.message().ends_with("buyer hasn't agreed to the passed trade id and price"), "{refused}");

    sell(&ledger, &seller(), 100).await.unwrap();
    let refused = sold(&ledger, &buyer(), 100).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "NOT_OWNER: a client from Org2MSP cannot transfer a asset owned by Org1MSP"
    );
    assert_eq!(sold(&ledger, &seller(), 100).await.unwrap(), "");
    let seen = ask(&ledger, &seller(), "ReadAsset", &[ID]).await.unwrap();
    assert_eq!(seen, asset("Org2MSP", "for sale"));
    assert_eq!(ask(&ledger, &buyer(), "GetAssetPrivateProperties", &[ID]).await.unwrap(), properties);
    ask(&ledger, &seller(), "GetAssetPrivateProperties", &[ID]).await.unwrap_err();
    ask(&ledger, &seller(), "GetAssetSalesPrice", &[ID]).await.unwrap_err();
    ask(&ledger, &buyer(), "GetAssetBidPrice", &[ID]).await.unwrap_err();
    ledger.submit(&buyer(), call("ChangePublicDescription", &[ID, "sold"])).await.unwrap();
    ledger.submit(&seller(), call("ChangePublicDescription", &[ID, "mine"])).await.unwrap_err();
}

#[tokio::test]
async fn both_sides_keep_a_receipt_and_everybody_the_history() {
    let ledger = start().await;
    create(&ledger).await;
    sell(&ledger, &seller(), 100).await.unwrap();
    buy(&ledger, PROPERTIES, 100).await.unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    let transfer = ledger.transaction(&seller(), transfer(100)).endorsed_by(["Org1MSP", "Org2MSP"]);
    let sold = transfer.at(time).submit().await.unwrap();
    let receipt = r#"{"price":100,"timestamp":"2020-09-13T12:26:40Z"}"#;
    let bought = ledger.private_state("Org2MSP", ORG2, &format!("\0BR\0{ID}\0{}\0", sold.tx_id)).unwrap();
    assert_eq!(bought.unwrap(), receipt);
    let sale = ledger.private_state("Org1MSP", ORG1, &format!("\0SR\0{}\0{ID}\0", sold.tx_id)).unwrap();
    assert_eq!(sale.unwrap(), receipt);

    let history = ask(&ledger, &buyer(), "QueryAssetHistory", &[ID]).await.unwrap();
    let owners: Vec<_> = history.as_array().unwrap().iter().map(|one| &one["Record"]["ownerOrg"]).collect();
    assert_eq!(owners, ["Org2MSP", "Org1MSP"]);
    assert_eq!(
        history[0],
        json!({
            "Record": asset("Org2MSP", "not for sale"), "txId": sold.tx_id, "timestamp": "2020-09-13T12:26:40Z"
        })
    );
}

#[tokio::test]
async fn a_sale_takes_the_endorsements_of_both_sides() {
    let ledger = start().await;
    create(&ledger).await;
    sell(&ledger, &seller(), 100).await.unwrap();
    buy(&ledger, PROPERTIES, 100).await.unwrap();
    for alone in ["Org1MSP", "Org2MSP"] {
        let transfer = ledger.transaction(&seller(), transfer(100)).endorsed_by([alone]);
        let refused = transfer.submit().await.unwrap_err();
        assert_eq!(refused.validation_code(), Some(TxValidationCode::EndorsementPolicyFailure), "{alone}");
    }
    sold(&ledger, &seller(), 100).await.unwrap();
}

#[tokio::test]
async fn properties_are_those_that_the_asset_was_made_with() {
    const OTHERS: &str = r#"{"color":"red"}"#;
    let ledger = start().await;
    create(&ledger).await;
    let create = call("CreateAsset", &["again"]).transient("asset_properties", PROPERTIES);
    let refused = ledger.submit(&seller(), create).await.unwrap_err();
    assert_eq!(refused.message(), format!("ASSET_EXISTS: {ID} already exists"));

    let hash_id = |properties| call("GetAssetHashId", &[]).transient("asset_properties", properties);
    assert_eq!(ledger.evaluate(&buyer(), hash_id(PROPERTIES)).await.unwrap(), ID);
    let refused = ledger.evaluate(&buyer(), hash_id(OTHERS)).await.unwrap_err();
    assert!(refused.message().starts_with("ASSET_MISSING: "), "{refused}");
    let verify = call("VerifyAssetProperties", &[ID]).transient("asset_properties", OTHERS);
    let refused = ledger.evaluate(&buyer(), verify).await.unwrap_err();
    assert!(refused.message().starts_with("PROPERTIES_DIFFER: hash "), "{refused}");
    assert!(refused.message().ends_with(&format!("does not match on-chain hash {ID}")), "{refused}");

    sell(&ledger, &seller(), 100).await.unwrap();
    let missing = sold(&ledger, &seller(), 100).await.unwrap_err();
    let text = format!("PROPERTIES_MISSING: asset private properties hash does not exist: {ID}");
    assert_eq!(missing.message(), text);
    buy(&ledger, OTHERS, 100).await.unwrap();
    let refused = sold(&ledger, &seller(), 100).await.unwrap_err();
    let text = "PROPERTIES_DIFFER: failed transfer verification: on chain hash of seller ";
    assert!(refused.message().starts_with(text), "{refused}");

    // The owner keeps others than those that the asset was made with.
    buy(&ledger, PROPERTIES, 100).await.unwrap();
    sold(&ledger, &seller(), 100).await.unwrap();
    buy(&ledger, OTHERS, 100).await.unwrap();
    let verify = call("VerifyAssetProperties", &[ID]).transient("asset_properties", OTHERS);
    let refused = ledger.evaluate(&seller(), verify).await.unwrap_err();
    assert!(refused.message().starts_with("PROPERTIES_ALTERED: hash "), "{refused}");
}

#[tokio::test]
async fn what_was_agreed_to_is_listed_for_its_own_side() {
    let ledger = start().await;
    create(&ledger).await;
    // As the commands of the official tutorial write it.
    let asked = format!(r#"{{"asset_id":"{ID}","trade_id":"109f4b3c","price":110}}"#);
    let sell = call("AgreeToSell", &[ID]).transient("asset_price", asked);
    ledger.submit(&seller(), sell).await.unwrap();
    buy(&ledger, PROPERTIES, 100).await.unwrap();
    for (reader, function, expected) in [
        (
            seller(),
            "QueryAssetSaleAgreements",
            json!([{"asset_id": ID, "price": 110, "trade_id": "109f4b3c"}]),
        ),
        (seller(), "QueryAssetBuyAgreements", json!([])),
        (buyer(), "QueryAssetSaleAgreements", json!([])),
        (buyer(), "QueryAssetBuyAgreements", json!([{"asset_id": ID, "price": 100, "trade_id": "1"}])),
    ] {
        assert_eq!(ask(&ledger, &reader, function, &[]).await.unwrap(), expected, "{function}");
    }
}

#[tokio::test]
async fn private_data_are_for_clients_at_their_own_peers() {
    let ledger = start().await;
    create(&ledger).await;
    sell(&ledger, &seller(), 100).await.unwrap();
    let text = "FOREIGN_PEER: client from org Org2MSP is not authorized to read or write private data from an org \
                Org1MSP peer";
    for foreign in [
        call("CreateAsset", &["mine"]).transient("asset_properties", PROPERTIES),
        call("AgreeToSell", &[ID]).transient("asset_price", price(1)),
        call("AgreeToBuy", &[ID])
            .transient("asset_properties", PROPERTIES)
            .transient("asset_price", price(1)),
        call("GetAssetPrivateProperties", &[ID]),
        call("GetAssetSalesPrice", &[ID]),
        call("QueryAssetSaleAgreements", &[]),
    ] {
        let elsewhere = ledger.transaction(&buyer(), foreign).endorsed_by(["Org1MSP"]);
        assert_eq!(elsewhere.evaluate().await.unwrap_err().message(), text);
    }
    let refused = sell(&ledger, &buyer(), 1).await.unwrap_err();
    assert_eq!(refused.message(), "NOT_OWNER: a client from Org2MSP cannot sell an asset owned by Org1MSP");
    let without_price = ledger.submit(&seller(), call("TransferAsset", &[ID, "Org2MSP"])).await.unwrap_err();
    assert_eq!(without_price.message(), "asset_price not found in the transient map");
}

#[tokio::test]
async fn errors_do_not_tell_a_price() {
    let ledger = start().await;
    create(&ledger).await;
    let faulty = call("TransferAsset", &[ID, "Org2MSP"]);
    let faulty = faulty.transient("asset_price", r#"{"assetID":"x","price":"4711","tradeID":"1"}"#);
    let refused = ledger.submit(&seller(), faulty).await.unwrap_err();
    assert_eq!(refused.message(), "JSON: failed to read or write JSON");
}
