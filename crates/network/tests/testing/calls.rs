//! Calls, typed and not, and what comes back.

use std::time::{Duration, SystemTime};

use selvedge::{Bytes, Call};
use selvedge_network::testing::{self, Deploy, Identity, Setup, TestError};

use crate::contracts::{Asset, Assets, Echo};

pub(crate) fn asset(id: &str, owner: &str) -> Asset {
    Asset { id: id.to_owned(), owner: owner.to_owned(), tags: Some(vec!["new".to_owned()]) }
}

#[tokio::test]
async fn typed_calls_give_typed_results() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    ledger.submit(&alice, Assets::create_call(asset("a1", "alice"))).await.unwrap();
    assert_eq!(ledger.evaluate(&alice, Assets::read_call("a1")).await.unwrap(), asset("a1", "alice"));

    // The same without types.
    let raw = Call::raw("Read", ["a1"]);
    let read: Bytes = ledger.evaluate(&alice, raw.clone()).await.unwrap();
    assert_eq!(&read[..], br#"{"id":"a1","owner":"alice","tags":["new"]}"#);
    assert_eq!(ledger.evaluate(&alice, raw.returning::<Asset>()).await.unwrap(), asset("a1", "alice"));
    // What is no such value is told.
    let error = ledger.evaluate(&alice, Call::raw("Read", ["a1"]).returning::<u64>()).await.unwrap_err();
    assert!(matches!(error, TestError::Call(_)), "{error}");
}

#[tokio::test]
async fn errors_have_codes_statuses_and_texts() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    // The chaincode is asked by endorsing and by evaluating.
    let evaluated = ledger.evaluate(&alice, Assets::read_call("a1")).await.unwrap_err();
    let submitted = ledger.submit(&alice, Assets::read_call("a1")).await.unwrap_err();
    let named = ledger.transaction(&alice, Assets::read_call("a1")).endorsed_by(["Org2MSP"]).endorse().await;
    for error in [evaluated, submitted, named.unwrap_err()] {
        assert_eq!((error.code(), error.status()), (Some("ASSET_MISSING"), Some(404)), "{error}");
        assert_eq!(error.message(), "there is no asset a1");
        assert_eq!(error.validation_code(), None);
    }
    // What goes wrong before the function is called has no code.
    let error = ledger.evaluate(&alice, Call::raw("Read", [""; 0])).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (None, Some(500)));
    assert_eq!(error.message(), "incorrect number of params. Expected 1, received 0");
}

#[tokio::test]
async fn identities_have_attributes_and_the_same_certificate_everywhere() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    ledger.submit(&alice, Assets::create_call(asset("a1", "alice"))).await.unwrap();

    let error = ledger.submit(&alice, Assets::transfer_call("a1", "bob")).await.unwrap_err();
    assert_eq!((error.code(), error.status()), (Some("FORBIDDEN"), Some(403)));
    let allowed = Identity::client("Org2MSP", "bob").attribute("transfer", "true");
    assert_eq!(ledger.submit(&allowed, Assets::transfer_call("a1", "bob")).await.unwrap(), "alice");

    let again = Identity::client("Org2MSP", "bob").attribute("transfer", "true");
    assert_eq!(again.certificate_pem().unwrap(), allowed.certificate_pem().unwrap());
    let other = Identity::client("Org2MSP", "bob");
    assert_ne!(other.certificate_pem().unwrap(), allowed.certificate_pem().unwrap());
    assert_eq!(other.id().unwrap(), allowed.id().unwrap());
}

#[tokio::test]
async fn a_contract_knows_whose_peer_carries_it_out() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    for msp_id in ["Org1MSP", "Org2MSP"] {
        let asked = ledger.transaction(&alice, Assets::peer_call()).endorsed_by([msp_id]);
        assert_eq!(asked.evaluate().await.unwrap(), msp_id);
    }
}

#[tokio::test]
async fn strangers_are_refused() {
    let ledger = testing::start(Assets).await.unwrap();
    let eve = Identity::client("StrangerMSP", "eve");
    let error = ledger.submit(&eve, Assets::create_call(asset("a1", "eve"))).await.unwrap_err();
    let TestError::Refused(text) = error else { panic!("{error}") };
    assert!(text.contains("creator org unknown"), "{text}");
    assert_eq!(ledger.state("a1").unwrap(), None);
}

#[tokio::test]
async fn the_test_says_what_time_it_is() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    for seconds in [0, 1_000_000_000, 4_000_000_000_u64] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let now = ledger.transaction(&alice, Assets::now_call()).at(time);
        assert_eq!(now.clone().evaluate().await.unwrap(), i64::try_from(seconds).unwrap());
        assert_eq!(now.submit().await.unwrap().result, i64::try_from(seconds).unwrap());
    }
}

#[tokio::test]
async fn raw_chaincodes_are_initialised_first() {
    let network = Setup::new().chaincode(Deploy::new("echo", Echo).init_required()).start().await.unwrap();
    let (ledger, alice) = (network.ledger("echo"), Identity::client("Org1MSP", "alice"));
    let error = ledger.evaluate(&alice, Call::raw("a", ["b"])).await.unwrap_err();
    assert!(error.message().contains("must call as init first"), "{error}");

    ledger.transaction(&alice, Call::raw("init", [""; 0])).init().submit().await.unwrap();
    assert_eq!(ledger.state("initialised").unwrap().as_deref(), Some(&b"yes"[..]));
    assert_eq!(ledger.evaluate(&alice, Call::raw("a", ["b"])).await.unwrap(), "ab");
    let error = ledger.evaluate(&alice, Call::raw("fail", [""; 0])).await.unwrap_err();
    assert_eq!((error.status(), error.message()), (Some(500), "as asked".to_owned()));
}

#[tokio::test]
async fn an_events_name_payload_and_place_are_kept() {
    let ledger = testing::start(Assets).await.unwrap();
    let alice = Identity::client("Org1MSP", "alice");
    let created =
        ledger.transaction(&alice, Assets::create_call(asset("a1", "alice"))).submit().await.unwrap();
    let event = created.event.unwrap();
    assert_eq!((event.event_name.as_str(), &event.payload[..]), ("Created", &b"a1"[..]));
    assert_eq!((event.chaincode_id.as_str(), event.tx_id.as_str()), ("chaincode", created.tx_id.as_str()));

    // Neither an evaluation nor an invalid transaction makes one.
    ledger.evaluate(&alice, Assets::create_call(asset("a2", "alice"))).await.unwrap();
    let endorsed =
        ledger.transaction(&alice, Assets::create_call(asset("a3", "alice"))).endorse().await.unwrap();
    let unendorsed = endorsed.change_endorsements(Vec::clear).unwrap();
    unendorsed.submit().await.unwrap_err();
    assert_eq!(ledger.events().unwrap(), [event]);
}
