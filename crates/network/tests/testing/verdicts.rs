//! Transactions that are endorsed and not valid, each with its code.

use selvedge_network::testing::{
    self, Deploy, Endorsed, Identity, Ledger, Setup, TestError, TxValidationCode,
};

use crate::calls::asset;
use crate::contracts::Assets;

async fn endorsed(ledger: &Ledger, id: &str) -> Endorsed<()> {
    let alice = Identity::client("Org1MSP", "alice");
    ledger.transaction(&alice, Assets::create_call(asset(id, "alice"))).endorse().await.unwrap()
}

#[track_caller]
fn code(error: &TestError) -> TxValidationCode {
    error.validation_code().unwrap_or_else(|| panic!("{error}"))
}

#[tokio::test]
async fn two_writers_at_one_height_conflict() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice").attribute("transfer", "true");
    ledger.submit(&alice, Assets::create_call(asset("a1", "alice"))).await.unwrap();
    let to = |owner: &str| ledger.transaction(&alice, Assets::transfer_call("a1", owner)).endorse();
    let (first, second) = (to("bob").await.unwrap(), to("carol").await.unwrap());
    first.submit().await.unwrap();
    assert_eq!(code(&second.submit().await.unwrap_err()), TxValidationCode::MvccReadConflict);
    assert_eq!(ledger.evaluate(&alice, Assets::read_call("a1")).await.unwrap().owner, "bob");

    // The same within one block, in the order of the block.
    let (first, second) = (to("dave").await.unwrap(), to("erin").await.unwrap());
    let judged = Endorsed::submit_together([second, first]).await.unwrap();
    let [Ok(second), Err(first)] = &judged[..] else { panic!("{judged:?}") };
    assert_eq!(second.result, "bob");
    assert_eq!(code(first), TxValidationCode::MvccReadConflict);
    assert_eq!(ledger.evaluate(&alice, Assets::read_call("a1")).await.unwrap().owner, "erin");
}

#[tokio::test]
async fn a_range_that_has_changed_is_a_phantom() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    ledger.submit(&alice, Assets::create_call(asset("a1", "alice"))).await.unwrap();
    let counted = ledger.transaction(&alice, Assets::count_call("a", "b")).endorse().await.unwrap();
    assert_eq!(*counted.result(), 1);
    assert_eq!(counted.rwset().ranges("chaincode"), [("a", "b")]);
    endorsed(&ledger, "a2").await.submit().await.unwrap();
    assert_eq!(code(&counted.submit().await.unwrap_err()), TxValidationCode::PhantomReadConflict);
    assert_eq!(ledger.state("count").unwrap(), None);
}

#[tokio::test]
async fn too_few_or_wrong_endorsements_are_invalid() {
    let both = Deploy::new("chaincode", Assets).endorsement_policy("AND('Org1MSP.peer','Org2MSP.peer')");
    let network = Setup::new().organizations(["Org1MSP", "Org2MSP", "Org3MSP"]).chaincode(both);
    let ledger = network.start().await.unwrap().ledger("chaincode");
    let failure = TxValidationCode::EndorsementPolicyFailure;

    let good = endorsed(&ledger, "a1").await;
    assert_eq!(good.endorsers().unwrap(), ["Org1MSP", "Org2MSP"]);
    let one = good.clone().change_endorsements(|endorsements| endorsements.truncate(1)).unwrap();
    assert_eq!(code(&one.submit().await.unwrap_err()), failure);

    let good = endorsed(&ledger, "a1").await;
    let spoilt = good.change_endorsements(|endorsements| {
        endorsements[1].signature = endorsements[0].signature.clone();
    });
    assert_eq!(code(&spoilt.unwrap().submit().await.unwrap_err()), failure);

    // Others than the policy names.
    let alice = Identity::client("Org1MSP", "alice");
    let create = ledger.transaction(&alice, Assets::create_call(asset("a1", "alice")));
    let others = create.endorsed_by(["Org1MSP", "Org3MSP"]).endorse().await.unwrap();
    assert_eq!(others.endorsers().unwrap(), ["Org1MSP", "Org3MSP"]);
    assert_eq!(code(&others.submit().await.unwrap_err()), failure);

    assert_eq!(ledger.state("a1").unwrap(), None);
    endorsed(&ledger, "a1").await.submit().await.unwrap();
    assert!(ledger.state("a1").unwrap().is_some());
}

#[tokio::test]
async fn a_wrong_signature_is_refused_by_the_orderer_and_by_peers() {
    let ledger = testing::start(Assets).await.unwrap();
    let mallory = Identity::client("Org2MSP", "mallory");
    let error = endorsed(&ledger, "a1").await.signed_by(&mallory).submit().await.unwrap_err();
    let TestError::Refused(text) = error else { panic!("{error}") };
    assert!(text.contains("status=FORBIDDEN"), "{text}");

    let past = endorsed(&ledger, "a1").await.signed_by(&mallory).submit_past_the_orderer().await;
    assert_eq!(code(&past.unwrap_err()), TxValidationCode::BadCreatorSignature);
    assert_eq!(ledger.state("a1").unwrap(), None);
}

#[tokio::test]
async fn a_transaction_counts_once() {
    let ledger = testing::start(Assets).await.unwrap();
    let transaction = endorsed(&ledger, "a1").await;
    transaction.clone().submit().await.unwrap();
    let again = transaction.submit_past_the_orderer().await.unwrap_err();
    assert_eq!(code(&again), TxValidationCode::DuplicateTxid);
}
