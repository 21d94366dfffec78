//! The sample on a ledger in memory, called as its official client application calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use auction::{Auction, FullBid, SimpleAuction, Status};
use selvedge::{Bytes, Call, Collection};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};

const ID: &str = "PaintingAuction";

async fn start() -> Ledger {
    let chaincode =
        Deploy::new("auction", SimpleAuction).endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')");
    Setup::new().compare_batching().chaincode(chaincode).start().await.unwrap().ledger("auction")
}

fn seller() -> Identity {
    Identity::client("Org1MSP", "seller")
}

fn bidder(number: u8) -> Identity {
    let organization = if number < 3 { "Org1MSP" } else { "Org2MSP" };
    Identity::client(organization, format!("bidder{number}"))
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

async fn name(ledger: &Ledger, of: &Identity) -> String {
    ledger.evaluate(of, SimpleAuction::get_submitting_client_identity_call()).await.unwrap()
}

async fn query(ledger: &Ledger) -> Value {
    ledger.evaluate(&seller(), call("QueryAuction", &[ID]).returning()).await.unwrap()
}

async fn create(ledger: &Ledger) {
    let created = ledger.submit(&seller(), call("CreateAuction", &[ID, "painting"])).await;
    assert_eq!(created.unwrap(), "");
}

/// As the official client application writes it.
async fn bid_json(ledger: &Ledger, bidder: &Identity, price: i64) -> String {
    let (org, name) = (bidder.msp_id(), name(ledger, bidder).await);
    format!(r#"{{"objectType":"bid","price":{price},"org":"{org}","bidder":"{name}"}}"#)
}

/// Submits with the endorsements of all organisations that take part.
async fn submit(ledger: &Ledger, sender: &Identity, call: Call<Bytes>) -> Result<Bytes, TestError> {
    let auction: Auction = serde_json::from_value(query(ledger).await).unwrap();
    let transaction = ledger.transaction(sender, call).endorsed_by(auction.organizations);
    Ok(transaction.submit().await?.result)
}

/// Makes a bid and adds it to the auction; gives its id.
async fn bid(ledger: &Ledger, bidder: &Identity, price: i64) -> String {
    let json = bid_json(ledger, bidder, price).await;
    let bid = ledger.transaction(bidder, call("Bid", &[ID]).transient("bid", json));
    let bid = bid.endorsed_by([bidder.msp_id()]).submit().await.unwrap();
    assert_eq!(bid.result, bid.tx_id);
    submit(ledger, bidder, call("SubmitBid", &[ID, &bid.tx_id])).await.unwrap();
    bid.tx_id
}

async fn reveal(ledger: &Ledger, bidder: &Identity, id: &str, price: i64) -> Result<Bytes, TestError> {
    let json = bid_json(ledger, bidder, price).await;
    submit(ledger, bidder, call("RevealBid", &[ID, id]).transient("bid", json)).await
}

async fn close(ledger: &Ledger) {
    submit(ledger, &seller(), call("CloseAuction", &[ID])).await.unwrap();
}

/// The way of the official tutorial.
#[tokio::test]
async fn the_highest_bid_wins() {
    let ledger = start().await;
    create(&ledger).await;
    let mut expected = json!({
        "objectType": "auction", "item": "painting", "seller": name(&ledger, &seller()).await,
        "organizations": ["Org1MSP"], "privateBids": {}, "revealedBids": {}, "winner": "", "price": 0,
        "status": "open"
    });
    assert_eq!(query(&ledger).await, expected);

    let mut bids = Vec::new();
    for (number, price) in [(1, 800), (2, 500), (3, 700), (4, 900)] {
        let id = bid(&ledger, &bidder(number), price).await;
        let json = bid_json(&ledger, &bidder(number), price).await;
        let hash = format!("{:x}", Collection::hash_of(json.as_bytes()));
        let key = format!("\0bid\0{ID}\0{id}\0");
        expected["privateBids"][&key] = json!({"org": bidder(number).msp_id(), "hash": hash});
        let full: Value = serde_json::from_str(&json).unwrap();
        let shown: Value =
            ledger.evaluate(&bidder(number), call("QueryBid", &[ID, &id]).returning()).await.unwrap();
        assert_eq!(shown, full);
        bids.push((bidder(number), id, price, key, full));
    }
    expected["organizations"] = json!(["Org1MSP", "Org2MSP"]);
    assert_eq!(query(&ledger).await, expected);

    close(&ledger).await;
    for (bidder, id, price, key, full) in &bids {
        // The one of 500 need not be shown.
        if *price != 500 {
            assert_eq!(reveal(&ledger, bidder, id, *price).await.unwrap(), "");
            expected["revealedBids"][key] = full.clone();
        }
    }
    expected["status"] = json!("closed");
    assert_eq!(query(&ledger).await, expected);
    assert_eq!(submit(&ledger, &seller(), call("EndAuction", &[ID])).await.unwrap(), "");
    expected["status"] = json!("ended");
    expected["price"] = json!(900);
    expected["winner"] = json!(name(&ledger, &bidder(4)).await);
    assert_eq!(query(&ledger).await, expected);
}

#[tokio::test]
async fn no_auction_ends_below_a_bid_that_is_not_revealed() {
    let ledger = start().await;
    create(&ledger).await;
    let low = bid(&ledger, &bidder(1), 100).await;
    let high = bid(&ledger, &bidder(3), 200).await;
    close(&ledger).await;
    let end = call("EndAuction", &[ID]);
    let refused = submit(&ledger, &seller(), end.clone()).await.unwrap_err();
    assert_eq!(refused.message(), "NO_BIDS: no bids have been revealed, cannot end auction");
    reveal(&ledger, &bidder(1), &low, 100).await.unwrap();

    // Org1's peer does not see the bid; Org2's does, and its endorsement is needed.
    let alone = ledger.transaction(&seller(), end.clone()).endorsed_by(["Org1MSP"]).submit().await;
    let not_endorsed = Some(TxValidationCode::EndorsementPolicyFailure);
    assert_eq!(alone.unwrap_err().validation_code(), not_endorsed);
    let refused = submit(&ledger, &seller(), end.clone()).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "HIGHER_BID: cannot end auction: cannot close auction, bidder has a higher price"
    );
    reveal(&ledger, &bidder(3), &high, 200).await.unwrap();
    submit(&ledger, &seller(), end).await.unwrap();
    assert_eq!(query(&ledger).await["price"], json!(200));
}

/// The official sample takes whichever comes first from a map without an order, so that its endorsers may disagree.
#[tokio::test]
async fn of_equal_bids_all_endorsers_choose_the_same() {
    let ledger = start().await;
    create(&ledger).await;
    let mut bids = Vec::new();
    for number in 1..=4 {
        bids.push((bid(&ledger, &bidder(number), 300).await, bidder(number)));
    }
    close(&ledger).await;
    for (id, bidder) in &bids {
        reveal(&ledger, bidder, id, 300).await.unwrap();
    }
    submit(&ledger, &seller(), call("EndAuction", &[ID])).await.unwrap();
    bids.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(query(&ledger).await["winner"], json!(name(&ledger, &bids[0].1).await));
}

#[tokio::test]
async fn bids_are_their_bidders_own() {
    let ledger = start().await;
    create(&ledger).await;
    let id = bid(&ledger, &bidder(3), 100).await;
    let key = format!("\0bid\0{ID}\0{id}\0");
    let kept = ledger.private_state("Org2MSP", "_implicit_org_Org2MSP", &key).unwrap().unwrap();
    assert_eq!(kept, bid_json(&ledger, &bidder(3), 100).await);
    assert_eq!(ledger.private_state("Org1MSP", "_implicit_org_Org2MSP", &key).unwrap(), None);

    let query_bid = SimpleAuction::query_bid_call(ID, &*id);
    let own: FullBid = ledger.evaluate(&bidder(3), query_bid.clone()).await.unwrap();
    assert_eq!(own.price, 100);
    let refused = ledger.evaluate(&bidder(4), query_bid.clone()).await.unwrap_err();
    let text = format!(
        "permission denied, client id {} is not the owner of the bid",
        name(&ledger, &bidder(4)).await
    );
    assert_eq!((refused.code(), refused.message()), (Some("NOT_BIDDER"), text));
    let refused = ledger.evaluate(&bidder(1), query_bid.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Some("BID_MISSING"), format!("bid {key} does not exist"))
    );
    let elsewhere = ledger.transaction(&bidder(3), query_bid).endorsed_by(["Org1MSP"]).evaluate().await;
    assert_eq!(
        elsewhere.unwrap_err().message(),
        "failed to get implicit collection name: client from org Org2MSP is not authorized to read or write private data \
         from an org Org1MSP peer"
    );
    let elsewhere = call("Bid", &[ID]).transient("bid", "{}");
    let elsewhere = ledger.transaction(&bidder(3), elsewhere).endorsed_by(["Org1MSP"]).endorse().await;
    assert_eq!(
        elsewhere.unwrap_err().message(),
        "FOREIGN_PEER: cannot store bid on this peer, not a member of this org: Error client from org Org2MSP is not \
         authorized to read or write private data from an org Org1MSP peer"
    );

    close(&ledger).await;
    let stolen = bid_json(&ledger, &bidder(3), 100).await;
    let stolen = call("RevealBid", &[ID, &id]).transient("bid", stolen);
    let refused = submit(&ledger, &bidder(4), stolen).await.unwrap_err();
    assert!(refused.message().starts_with("NOT_BIDDER: "), "{refused}");
    let refused = reveal(&ledger, &bidder(3), &id, 99).await.unwrap_err();
    assert!(refused.message().starts_with("BIDS_DIFFER: hash "), "{refused}");
}

#[tokio::test]
async fn everything_has_its_time_and_its_person() {
    let ledger = start().await;
    for (function, args) in [
        ("QueryAuction", &[ID][..]),
        ("SubmitBid", &[ID, "x"]),
        ("CloseAuction", &[ID]),
        ("EndAuction", &[ID]),
    ] {
        let refused = ledger.submit(&seller(), call(function, args)).await.unwrap_err();
        assert_eq!(refused.message(), "AUCTION_MISSING: auction does not exist", "{function}");
    }
    create(&ledger).await;
    let again = ledger.submit(&bidder(1), call("CreateAuction", &[ID, "mine"])).await.unwrap_err();
    assert_eq!(again.message(), "AUCTION_EXISTS: auction already exists");
    let first = bid(&ledger, &bidder(1), 100).await;
    let late = call("Bid", &[ID]).transient("bid", bid_json(&ledger, &bidder(1), 900).await);
    let late = ledger.transaction(&bidder(1), late).submit().await.unwrap().tx_id;

    let owner = seller();
    let by_seller = |function: &'static str| submit(&ledger, &owner, call(function, &[ID]));
    let refused = reveal(&ledger, &bidder(1), &first, 100).await.unwrap_err();
    assert_eq!(refused.message(), "NOT_CLOSED: cannot reveal bid for open or ended auction");
    let refused = by_seller("EndAuction").await.unwrap_err();
    assert_eq!(refused.message(), "NOT_CLOSED: can only end a closed auction");
    for (function, done) in [("CloseAuction", "closed"), ("EndAuction", "ended")] {
        let refused = submit(&ledger, &bidder(1), call(function, &[ID])).await.unwrap_err();
        assert_eq!(refused.message(), format!("NOT_SELLER: auction can only be {done} by seller"));
    }
    by_seller("CloseAuction").await.unwrap();
    let refused = by_seller("CloseAuction").await.unwrap_err();
    assert_eq!(refused.message(), "NOT_OPEN: cannot close auction that is not open");
    let refused = submit(&ledger, &bidder(1), call("SubmitBid", &[ID, &late])).await.unwrap_err();
    assert_eq!(refused.message(), "NOT_OPEN: cannot join closed or ended auction");
    // A bid that was made in time, but not submitted to the auction.
    let refused = reveal(&ledger, &bidder(1), &late, 900).await.unwrap_err();
    assert!(refused.message().starts_with("BID_CHANGED: "), "{refused}");
    let refused = reveal(&ledger, &bidder(1), "x", 900).await.unwrap_err();
    assert!(refused.message().starts_with("BID_MISSING: bid hash does not exist: "), "{refused}");

    reveal(&ledger, &bidder(1), &first, 100).await.unwrap();
    by_seller("EndAuction").await.unwrap();
    let ended: Auction = ledger.evaluate(&seller(), SimpleAuction::query_auction_call(ID)).await.unwrap();
    assert_eq!((ended.status, ended.price), (Status::Ended, 100));
    by_seller("EndAuction").await.unwrap_err();
    reveal(&ledger, &bidder(1), &first, 100).await.unwrap_err();
}

#[tokio::test]
async fn errors_do_not_tell_a_hidden_bid() {
    let ledger = start().await;
    create(&ledger).await;
    let faulty =
        call("Bid", &[ID]).transient("bid", r#"{"objectType":"bid","price":"4711","org":"Org1MSP"}"#);
    let made = ledger.transaction(&bidder(1), faulty).endorsed_by(["Org1MSP"]).submit().await;
    let refused = match made {
        Ok(made) => ledger.evaluate(&bidder(1), call("QueryBid", &[ID, &made.tx_id])).await.unwrap_err(),
        Err(refused) => refused,
    };
    assert_eq!(refused.message(), "JSON: failed to read or write JSON");
}
