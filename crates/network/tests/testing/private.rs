//! Private data: who holds it, who may touch it, how long it lives.

use std::collections::BTreeMap;

use selvedge::{Bytes, Call, CollectionContext, Context, LedgerError, Query, contract};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TxValidationCode};

const COLLECTIONS: &str = r#"[
    {"name": "org1", "policy": "OR('Org1MSP.member')", "memberOnlyRead": true, "memberOnlyWrite": true,
     "endorsementPolicy": {"signaturePolicy": "OR('Org1MSP.peer')"}},
    {"name": "both", "policy": "OR('Org1MSP.member','Org2MSP.member')", "blockToLive": 2}
]"#;

struct Secrets;

#[contract(rename_all = "PascalCase")]
impl Secrets {
    #[transaction]
    async fn put(
        &self,
        ctx: &Context,
        collection: String,
        key: String,
        #[transient] secret: String,
    ) -> Result<(), LedgerError> {
        ctx.collection(&collection)?.put(&key, secret).await
    }

    #[transaction]
    async fn get(&self, ctx: &Query, collection: String, key: String) -> Result<Option<String>, LedgerError> {
        let value = ctx.collection(&collection)?.get(&key).await?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    #[transaction]
    async fn hash(
        &self,
        ctx: &Query,
        collection: String,
        key: String,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(ctx.collection(&collection)?.hash(&key).await?.map(|hash| hash.to_vec()))
    }

    #[transaction]
    async fn purge(
        &self,
        ctx: &Context,
        #[private("org1")] collection: CollectionContext,
        key: String,
    ) -> Result<(), LedgerError> {
        // Who purges must be able to read.
        let _ = ctx;
        collection.purge(&key).await
    }
}

async fn started() -> Ledger {
    let deploy = Deploy::new("secrets", Secrets).collections(COLLECTIONS);
    let setup = Setup::new().organizations(["Org1MSP", "Org2MSP", "Org3MSP"]).chaincode(deploy);
    setup.start().await.unwrap().ledger("secrets")
}

fn members() -> [Identity; 3] {
    ["Org1MSP", "Org2MSP", "Org3MSP"].map(|msp_id| Identity::client(msp_id, "user"))
}

#[tokio::test]
async fn only_members_hold_what_is_private() {
    let ledger = started().await;
    let [one, two, three] = members();
    let put = Secrets::put_call("org1", "k", "s3cret");
    let committed = ledger.transaction(&one, put).submit().await.unwrap();
    assert!(committed.rwset.writes_private("secrets", "org1", "k", Some(b"s3cret")));
    assert!(!committed.rwset.writes_private("secrets", "org1", "k", Some(b"other")));
    assert!(!committed.rwset.writes_private("secrets", "org1", "k", None));
    assert_eq!(committed.rwset.collections("secrets"), ["org1"]);
    // Neither keys nor values are in what everybody sees.
    assert!(!committed.rwset.bytes().windows(6).any(|window| window == b"s3cret"));

    let held = |msp_id: &str| ledger.private_state(msp_id, "org1", "k").unwrap();
    assert_eq!(held("Org1MSP").as_deref(), Some(&b"s3cret"[..]));
    assert_eq!((held("Org2MSP"), held("Org3MSP")), (None, None));
    let hash = ledger.private_hash("org1", "k").unwrap().unwrap();
    for somebody in [&one, &two, &three] {
        let told: Option<Vec<u8>> = ledger.evaluate(somebody, Secrets::hash_call("org1", "k")).await.unwrap();
        assert_eq!(told.unwrap(), hash);
    }

    assert_eq!(ledger.evaluate(&one, Secrets::get_call("org1", "k")).await.unwrap().unwrap(), "s3cret");
    let error = ledger.evaluate(&two, Secrets::get_call("org1", "k")).await.unwrap_err();
    assert!(error.message().contains("does not have read access permission"), "{error}");
    let error = ledger.submit(&two, Secrets::put_call("org1", "k", "mine")).await.unwrap_err();
    assert!(error.message().contains("does not have write access permission"), "{error}");
    let error = ledger.evaluate(&one, Secrets::get_call("nowhere", "k")).await.unwrap_err();
    assert!(error.message().contains("nowhere could not be found"), "{error}");
}

#[tokio::test]
async fn what_is_purged_is_gone() {
    let ledger = started().await;
    let [one, ..] = members();
    ledger.submit(&one, Secrets::put_call("org1", "k", "v")).await.unwrap();
    let purged = ledger.transaction(&one, Secrets::purge_call("k")).submit().await.unwrap();
    assert!(purged.rwset.writes_private("secrets", "org1", "k", None));
    assert_eq!(ledger.private_state("Org1MSP", "org1", "k").unwrap(), None);
    assert_eq!(ledger.private_hash("org1", "k").unwrap(), None);
}

#[tokio::test]
async fn private_data_live_for_a_number_of_blocks() {
    let ledger = started().await;
    let [one, two, _] = members();
    ledger.submit(&one, Secrets::put_call("both", "k", "v")).await.unwrap();
    let held = || ledger.private_state("Org2MSP", "both", "k").unwrap();
    let height = ledger.height().unwrap();
    ledger.network().pass_blocks("mychannel", 2).await.unwrap();
    assert_eq!(ledger.height().unwrap(), height + 2);
    assert_eq!(held().as_deref(), Some(&b"v"[..]));
    assert_eq!(ledger.evaluate(&two, Secrets::get_call("both", "k")).await.unwrap().unwrap(), "v");
    ledger.network().pass_blocks("mychannel", 1).await.unwrap();
    assert_eq!(held(), None);
    assert_eq!(ledger.evaluate(&two, Secrets::get_call("both", "k")).await.unwrap(), None);
}

#[tokio::test]
async fn what_a_hash_was_read_for_conflicts_as_well() {
    let ledger = started().await;
    let [one, ..] = members();
    ledger.submit(&one, Secrets::put_call("both", "k", "v")).await.unwrap();
    let read = ledger.transaction(&one, Secrets::get_call("both", "k")).endorse().await.unwrap();
    assert!(read.rwset().reads_private("secrets", "both", "k"));
    assert!(!read.rwset().reads_private("secrets", "both", "other"));
    ledger.submit(&one, Secrets::put_call("both", "k", "w")).await.unwrap();
    let error = read.submit().await.unwrap_err();
    assert_eq!(error.validation_code(), Some(TxValidationCode::MvccReadConflict));
}

#[tokio::test]
async fn transient_data_come_from_the_call_and_beside_it() {
    let ledger = started().await;
    let [one, ..] = members();
    let call = Secrets::put_call("both", "k", "typed");
    assert_eq!(call.transient_map(), &BTreeMap::from([("secret".to_owned(), Bytes::from_static(b"typed"))]));
    let raw = Call::raw("Put", ["both", "k"]);
    let error = ledger.submit(&one, raw.clone()).await.unwrap_err();
    assert!(error.message().contains("secret not found in the transient map"), "{error}");
    ledger.transaction(&one, raw).transient("secret", "beside").submit().await.unwrap();
    assert_eq!(ledger.private_state("Org1MSP", "both", "k").unwrap().as_deref(), Some(&b"beside"[..]));
}
