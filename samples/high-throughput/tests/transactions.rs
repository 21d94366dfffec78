//! The sample on a ledger in memory, called as its official client application calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use high_throughput::HighThroughput;
use selvedge::{Bytes, Call};
use selvedge_network::testing::{Endorsed, Identity, Ledger, Setup, TestError, TxValidationCode};

fn user() -> Identity {
    Identity::client("Org1MSP", "user")
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

async fn submit(ledger: &Ledger, function: &str, args: &[&str]) -> Result<Bytes, TestError> {
    ledger.submit(&user(), call(function, args)).await
}

async fn get(ledger: &Ledger, function: &str) -> Bytes {
    ledger.evaluate(&user(), call(function, &["v"])).await.unwrap()
}

/// What becomes of some transactions of the same call that are endorsed before any of them is committed.
async fn at_once(ledger: &Ledger, count: usize, function: &str) -> Vec<Option<TxValidationCode>> {
    let mut endorsed = Vec::new();
    for _ in 0..count {
        let update = call(function, &["v", "2.5", "+"]);
        endorsed.push(ledger.transaction(&user(), update).endorse().await.unwrap());
    }
    let committed = Endorsed::submit_together(endorsed).await.unwrap().into_iter();
    committed.map(|one| one.err().and_then(|error| error.validation_code())).collect()
}

#[tokio::test]
async fn changes_are_summed_pruned_and_deleted() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    for (delta, op, text) in [
        ("100", "+", "Successfully added +100 to v"),
        ("0.25", "+", "Successfully added +0.25 to v"),
        ("1e1", "-", "Successfully added -1e1 to v"),
    ] {
        assert_eq!(submit(&ledger, "Update", &["v", delta, op]).await.unwrap(), text);
    }
    submit(&ledger, "Update", &["vv", "7", "+"]).await.unwrap();
    assert_eq!(get(&ledger, "Get").await, "90.25");

    let pruned = ledger.transaction(&user(), call("Prune", &["v"])).submit().await.unwrap();
    assert_eq!(pruned.result, "Successfully pruned variable v, final value is 90.250000, 3 rows pruned");
    let key = format!("\0varName~op~value~txID\0v\0+\090.25\0{}\0", pruned.tx_id);
    assert_eq!(ledger.state(&key).unwrap().unwrap(), &b"\0"[..]);
    assert_eq!(get(&ledger, "Get").await, "90.25");
    assert_eq!(submit(&ledger, "Delete", &["v"]).await.unwrap(), "Deleted v, 1 rows removed");
    for function in ["Get", "Prune", "Delete"] {
        let refused = submit(&ledger, function, &["v"]).await.unwrap_err();
        assert_eq!(refused.message(), "VARIABLE_MISSING: no variable by the name v exists");
    }
    assert_eq!(ledger.evaluate(&user(), call("Get", &["vv"])).await.unwrap(), "7");
}

#[tokio::test]
async fn many_change_a_variable_at_once() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    assert_eq!(at_once(&ledger, 20, "Update").await, [None; 20]);
    assert_eq!(get(&ledger, "Get").await, "50");

    // In a single row one of them succeeds.
    let mut codes = at_once(&ledger, 20, "UpdateStandard").await.into_iter();
    assert_eq!(codes.next(), Some(None));
    assert!(codes.all(|code| code == Some(TxValidationCode::MvccReadConflict)));
    assert_eq!(get(&ledger, "GetStandard").await, "2.5");
}

/// More rows than a peer sends at once, deleted while they are read.
#[tokio::test]
async fn pruning_takes_all_rows_or_none() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    assert_eq!(at_once(&ledger, 120, "Update").await, [None; 120]);
    let prune = ledger.transaction(&user(), call("Prune", &["v"]));
    let endorsed = prune.clone().endorse().await.unwrap();
    submit(&ledger, "Update", &["v", "1", "+"]).await.unwrap();
    let refused = endorsed.submit().await.unwrap_err();
    assert_eq!(refused.validation_code(), Some(TxValidationCode::PhantomReadConflict));
    assert_eq!(get(&ledger, "Get").await, "301");
    let pruned = prune.submit().await.unwrap();
    assert_eq!(pruned.result, "Successfully pruned variable v, final value is 301.000000, 121 rows pruned");
    assert_eq!(pruned.rwset.writes("chaincode").len(), 122);
    assert_eq!(get(&ledger, "Get").await, "301");
}

#[tokio::test]
async fn a_single_row_is_changed_and_deleted() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    assert_eq!(submit(&ledger, "UpdateStandard", &["v", "1000000", "+"]).await.unwrap(), "1e+06");
    assert_eq!(submit(&ledger, "UpdateStandard", &["v", "0.5", "-"]).await.unwrap(), "999999.5");
    assert_eq!(get(&ledger, "GetStandard").await, "999999.5");
    assert_eq!(ledger.state("v").unwrap().unwrap(), "999999.5");
    assert_eq!(submit(&ledger, "DelStandard", &["v"]).await.unwrap(), "");
    let refused = submit(&ledger, "GetStandard", &["v"]).await.unwrap_err();
    assert_eq!(refused.message(), "VARIABLE_MISSING: no variable by the name v exists");
}

#[tokio::test]
async fn what_is_no_change_is_refused() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    for function in ["Update", "UpdateStandard"] {
        for delta in ["", "ten", "NaN", "inf", "1e999"] {
            let refused = submit(&ledger, function, &["v", delta, "+"]).await.unwrap_err();
            let text = format!("NOT_A_NUMBER: provided value was not a number: {delta}");
            assert_eq!(refused.message(), text, "{function}");
        }
        let refused = submit(&ledger, function, &["v", "1", "*"]).await.unwrap_err();
        assert_eq!(refused.message(), "UNKNOWN_OPERATION: operator * is unrecognized", "{function}");
    }
}

#[tokio::test]
async fn a_sum_beyond_the_largest_number_spoils_nothing() {
    let ledger = Setup::new().compare_batching().start_with(HighThroughput).await.unwrap();
    for _ in 0..2 {
        submit(&ledger, "Update", &["v", "1e308", "+"]).await.unwrap();
    }
    let refused = submit(&ledger, "Prune", &["v"]).await.unwrap_err();
    assert_eq!(refused.message(), "NOT_A_NUMBER: provided value was not a number: inf");
    submit(&ledger, "Update", &["v", "1e308", "-"]).await.unwrap();
    submit(&ledger, "Delete", &["v"]).await.unwrap();
    submit(&ledger, "UpdateStandard", &["s", "1.5e308", "+"]).await.unwrap();
    submit(&ledger, "UpdateStandard", &["s", "1.5e308", "+"]).await.unwrap_err();
    submit(&ledger, "GetStandard", &["s"]).await.unwrap();
}
