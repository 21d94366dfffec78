//! The sample on a ledger in memory, every transaction with batch operations and without.

use asset_transfer_basic::{Asset, AssetTransfer};
use selvedge_network::testing::{Identity, Setup, TxValidationCode};

#[tokio::test]
async fn assets_live_from_creation_to_deletion() {
    let ledger = Setup::new().compare_batching().start_with(AssetTransfer).await.unwrap();
    let user = Identity::client("Org1MSP", "user");
    ledger.submit(&user, AssetTransfer::init_ledger_call()).await.unwrap();
    ledger.submit(&user, AssetTransfer::create_asset_call("a7", "pink", 1, "Ada", 5)).await.unwrap();
    let all = ledger.evaluate(&user, AssetTransfer::get_all_assets_call()).await.unwrap();
    assert_eq!(all.len(), 7);

    let update = AssetTransfer::update_asset_call("a7", "grey", 2, "Ada", 6);
    let updated = ledger.transaction(&user, update).submit().await.unwrap();
    assert_eq!(updated.rwset.reads("chaincode"), ["a7"]);
    let stored = br#"{"AppraisedValue":6,"Color":"grey","ID":"a7","Owner":"Ada","Size":2}"#;
    assert_eq!(updated.rwset.writes("chaincode"), [("a7", Some(&stored[..].into()))]);
    let before = ledger.submit(&user, AssetTransfer::transfer_asset_call("a7", "Bo")).await.unwrap();
    assert_eq!(before, "Ada");
    let asset: Asset = ledger.evaluate(&user, AssetTransfer::read_asset_call("a7")).await.unwrap();
    assert_eq!((asset.owner.as_str(), asset.size), ("Bo", 2));

    ledger.submit(&user, AssetTransfer::delete_asset_call("a7")).await.unwrap();
    assert!(!ledger.evaluate(&user, AssetTransfer::asset_exists_call("a7")).await.unwrap());
    let error = ledger.submit(&user, AssetTransfer::delete_asset_call("a7")).await.unwrap_err();
    assert_eq!(error.message(), "the asset a7 does not exist");
}

#[tokio::test]
async fn two_transfers_at_once_conflict() {
    let ledger = Setup::new().compare_batching().start_with(AssetTransfer).await.unwrap();
    let user = Identity::client("Org2MSP", "user");
    ledger.submit(&user, AssetTransfer::init_ledger_call()).await.unwrap();
    let to = |owner: &str| ledger.transaction(&user, AssetTransfer::transfer_asset_call("asset1", owner));
    let (first, second) = (to("Ada").endorse().await.unwrap(), to("Bo").endorse().await.unwrap());
    first.submit().await.unwrap();
    let error = second.submit().await.unwrap_err();
    assert_eq!(error.validation_code(), Some(TxValidationCode::MvccReadConflict));
}
