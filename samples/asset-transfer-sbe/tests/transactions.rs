//! The sample on a ledger in memory, called as its official client application calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use asset_transfer_sbe::AssetContract;
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};

const ORG1: &str = "Org1MSP";
const ORG2: &str = "Org2MSP";

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

/// Submits with endorsements of one organisation only.
async fn submit_by(
    ledger: &Ledger,
    sender: &Identity,
    endorser: &str,
    call: Call<Bytes>,
) -> Result<Bytes, TestError> {
    let committed = ledger.transaction(sender, call).endorsed_by([endorser]).submit().await?;
    Ok(committed.result)
}

fn update(value: &str) -> Call<Bytes> {
    call("UpdateAsset", &["asset1", value])
}

/// Everybody sees the same.
async fn check(ledger: &Ledger, value: i64, owner: &str, organization: &str) {
    let expected = json!({"ID": "asset1", "Value": value, "Owner": owner, "OwnerOrg": organization});
    for msp_id in [ORG1, ORG2] {
        let reader = Identity::client(msp_id, "reader");
        let seen: Value = ledger.evaluate(&reader, call("ReadAsset", &["asset1"]).returning()).await.unwrap();
        assert_eq!(seen, expected, "{msp_id}");
    }
}

#[tokio::test]
async fn the_owners_organisation_endorses_every_change() {
    let ledger = Setup::new().compare_batching().start_with(AssetContract).await.unwrap();
    let (tom, henry) = (Identity::client(ORG1, "tom"), Identity::client(ORG2, "henry"));
    let not_endorsed = Some(TxValidationCode::EndorsementPolicyFailure);

    // Creating takes both organisations, as the chaincode's policy says.
    let create = call("CreateAsset", &["asset1", "100", "Tom"]);
    let refused = submit_by(&ledger, &tom, ORG1, create.clone()).await.unwrap_err();
    assert_eq!(refused.validation_code(), not_endorsed);
    assert_eq!(ledger.submit(&tom, create).await.unwrap(), "");
    check(&ledger, 100, "Tom", ORG1).await;

    // From then on it is Org1's, whoever asks.
    assert_eq!(submit_by(&ledger, &tom, ORG1, update("200")).await.unwrap(), "");
    check(&ledger, 200, "Tom", ORG1).await;
    let both = ledger.transaction(&tom, update("300")).endorsed_by([ORG1, ORG2]).submit().await;
    both.unwrap();
    submit_by(&ledger, &henry, ORG1, update("400")).await.unwrap();
    let refused = submit_by(&ledger, &henry, ORG2, update("500")).await.unwrap_err();
    assert_eq!(refused.validation_code(), not_endorsed);
    check(&ledger, 400, "Tom", ORG1).await;

    // With a new owner it is Org2's.
    let transfer = call("TransferAsset", &["asset1", "Henry", ORG2]);
    assert_eq!(submit_by(&ledger, &tom, ORG1, transfer).await.unwrap(), "");
    submit_by(&ledger, &henry, ORG2, update("600")).await.unwrap();
    for refused in [update("700"), call("DeleteAsset", &["asset1"])] {
        let refused = submit_by(&ledger, &tom, ORG1, refused).await.unwrap_err();
        assert_eq!(refused.validation_code(), not_endorsed);
    }
    check(&ledger, 600, "Henry", ORG2).await;
    let exists = call("AssetExists", &["asset1"]);
    assert_eq!(ledger.evaluate(&tom, exists.clone()).await.unwrap(), "true");
    submit_by(&ledger, &henry, ORG2, call("DeleteAsset", &["asset1"])).await.unwrap();
    assert_eq!(ledger.evaluate(&tom, exists).await.unwrap(), "false");
    assert_eq!(ledger.state("asset1").unwrap(), None);
}

#[tokio::test]
async fn the_gateway_finds_the_owners_organisation_itself() {
    let ledger = Setup::new().compare_batching().start_with(AssetContract).await.unwrap();
    let (tom, henry) = (Identity::client(ORG1, "tom"), Identity::client(ORG2, "henry"));
    ledger.submit(&tom, AssetContract::create_asset_call("asset1", 100, "Tom")).await.unwrap();
    ledger.submit(&henry, AssetContract::update_asset_call("asset1", 200)).await.unwrap();
    ledger.submit(&henry, AssetContract::transfer_asset_call("asset1", "Henry", ORG2)).await.unwrap();
    ledger.submit(&tom, AssetContract::update_asset_call("asset1", 300)).await.unwrap();
    check(&ledger, 300, "Henry", ORG2).await;
}

#[tokio::test]
async fn refusals_have_codes_and_the_official_texts() {
    let ledger = Setup::new().compare_batching().start_with(AssetContract).await.unwrap();
    let tom = Identity::client(ORG1, "tom");
    for (function, args) in [
        ("ReadAsset", &["asset1"][..]),
        ("UpdateAsset", &["asset1", "200"]),
        ("TransferAsset", &["asset1", "Henry", ORG2]),
        ("DeleteAsset", &["asset1"]),
    ] {
        let refused = ledger.submit(&tom, call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), "ASSET_MISSING: The asset asset1 does not exist", "{function}");
    }
    let create = call("CreateAsset", &["asset1", "100", "Tom"]);
    ledger.submit(&tom, create.clone()).await.unwrap();
    let refused = ledger.submit(&tom, create).await.unwrap_err();
    assert_eq!(refused.message(), "ASSET_EXISTS: The asset asset1 already exists");
}
