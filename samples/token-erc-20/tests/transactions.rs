//! The sample on a ledger in memory, called as the official tutorial calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use selvedge::{Bytes, Call};
use selvedge_network::testing::{Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};
use token_erc_20::{Movement, TokenErc20};

fn minter() -> Identity {
    Identity::client("Org1MSP", "minter")
}

fn recipient() -> Identity {
    Identity::client("Org2MSP", "recipient")
}

fn spender() -> Identity {
    Identity::client("Org1MSP", "spender")
}

fn id(of: &Identity) -> String {
    of.id().unwrap()
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

async fn submit(ledger: &Ledger, by: &Identity, function: &str, args: &[&str]) -> Result<Bytes, TestError> {
    ledger.submit(by, call(function, args)).await
}

async fn ask(ledger: &Ledger, by: &Identity, function: &str, args: &[&str]) -> Bytes {
    ledger.evaluate(by, call(function, args)).await.unwrap()
}

/// With 5000 tokens of the minter's.
async fn start() -> Ledger {
    let ledger = Setup::new().compare_batching().start_with(TokenErc20).await.unwrap();
    let done = submit(&ledger, &minter(), "Initialize", &["some name", "some symbol", "2"]).await.unwrap();
    assert_eq!(done, "true");
    assert_eq!(submit(&ledger, &minter(), "Mint", &["5000"]).await.unwrap(), "");
    ledger
}

fn last_event(ledger: &Ledger) -> (String, Value) {
    let event = ledger.events().unwrap().pop().unwrap();
    (event.event_name, serde_json::from_slice(&event.payload).unwrap())
}

#[tokio::test]
async fn tokens_are_made_sent_and_destroyed() {
    let ledger = start().await;
    let event = json!({"from": "0x0", "to": id(&minter()), "value": 5000});
    assert_eq!(last_event(&ledger), ("Transfer".to_owned(), event));
    assert_eq!(ask(&ledger, &minter(), "ClientAccountBalance", &[]).await, "5000");
    assert_eq!(ask(&ledger, &recipient(), "ClientAccountID", &[]).await, id(&recipient()));

    submit(&ledger, &minter(), "Transfer", &[&id(&recipient()), "100"]).await.unwrap();
    let event = json!({"from": id(&minter()), "to": id(&recipient()), "value": 100});
    assert_eq!(last_event(&ledger), ("Transfer".to_owned(), event));
    assert_eq!(ask(&ledger, &recipient(), "ClientAccountBalance", &[]).await, "100");
    assert_eq!(ask(&ledger, &recipient(), "BalanceOf", &[&id(&minter())]).await, "4900");
    assert_eq!(ask(&ledger, &recipient(), "TotalSupply", &[]).await, "5000");

    submit(&ledger, &minter(), "Burn", &["900"]).await.unwrap();
    let event = json!({"from": id(&minter()), "to": "0x0", "value": 900});
    assert_eq!(last_event(&ledger), ("Transfer".to_owned(), event));
    assert_eq!(ask(&ledger, &minter(), "ClientAccountBalance", &[]).await, "4000");
    assert_eq!(ask(&ledger, &minter(), "TotalSupply", &[]).await, "4100");
    for (function, value) in [("Name", "some name"), ("Symbol", "some symbol"), ("Decimals", "2")] {
        assert_eq!(ask(&ledger, &recipient(), function, &[]).await, value);
    }
    // As ERC-20 wants it, nothing can be sent, too.
    submit(&ledger, &minter(), "Transfer", &[&id(&spender()), "0"]).await.unwrap();
    assert_eq!(ask(&ledger, &spender(), "ClientAccountBalance", &[]).await, "0");
}

#[tokio::test]
async fn somebody_spends_what_the_owner_allows() {
    let ledger = start().await;
    let (owner, spending) = (id(&minter()), id(&spender()));
    assert_eq!(ask(&ledger, &minter(), "Allowance", &[&owner, &spending]).await, "0");
    assert_eq!(submit(&ledger, &minter(), "Approve", &[&spending, "500"]).await.unwrap(), "");
    let event = ledger.events().unwrap().pop().unwrap();
    assert_eq!(event.event_name, "Approval");
    let expected = Movement { from: owner.clone(), to: spending.clone(), value: 500 };
    assert_eq!(serde_json::from_slice::<Movement>(&event.payload).unwrap(), expected);
    assert_eq!(ask(&ledger, &spender(), "Allowance", &[&owner, &spending]).await, "500");

    let to = id(&recipient());
    assert_eq!(submit(&ledger, &spender(), "TransferFrom", &[&owner, &to, "100"]).await.unwrap(), "");
    let event = json!({"from": owner, "to": to, "value": 100});
    assert_eq!(last_event(&ledger), ("Transfer".to_owned(), event));
    assert_eq!(ask(&ledger, &minter(), "ClientAccountBalance", &[]).await, "4900");
    assert_eq!(ask(&ledger, &recipient(), "ClientAccountBalance", &[]).await, "100");
    assert_eq!(ask(&ledger, &spender(), "Allowance", &[&owner, &spending]).await, "400");
    for (by, value) in [(spender(), "401"), (recipient(), "1")] {
        let refused = submit(&ledger, &by, "TransferFrom", &[&owner, &to, value]).await.unwrap_err();
        assert_eq!(
            refused.message(),
            "INSUFFICIENT_ALLOWANCE: spender does not have enough allowance for transfer"
        );
    }
}

#[tokio::test]
async fn only_the_central_bank_names_makes_and_destroys() {
    let ledger = Setup::new().compare_batching().start_with(TokenErc20).await.unwrap();
    let not_initialized = "NOT_INITIALIZED: Contract options need to be set before calling any function, call \
                           Initialize() to initialize contract";
    for (function, args) in [
        ("Mint", &["1"][..]),
        ("Burn", &["1"]),
        ("Transfer", &["a", "1"]),
        ("TransferFrom", &["a", "b", "1"]),
        ("Approve", &["a", "1"]),
        ("Allowance", &["a", "b"]),
        ("BalanceOf", &["a"]),
        ("ClientAccountBalance", &[]),
        ("ClientAccountID", &[]),
        ("TotalSupply", &[]),
        ("Name", &[]),
        ("Symbol", &[]),
        ("Decimals", &[]),
    ] {
        let refused = submit(&ledger, &minter(), function, args).await.unwrap_err();
        assert_eq!(refused.message(), not_initialized, "{function}");
    }
    let refused = submit(&ledger, &recipient(), "Initialize", &["a", "b", "2"]).await.unwrap_err();
    assert_eq!(refused.message(), "NOT_AUTHORIZED: client is not authorized to initialize contract");
    submit(&ledger, &minter(), "Initialize", &["a", "b", "2"]).await.unwrap();
    let refused = submit(&ledger, &minter(), "Initialize", &["c", "d", "2"]).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "INITIALIZED: contract options are already set, client is not authorized to change them"
    );
    for function in ["Mint", "Burn"] {
        let refused = submit(&ledger, &recipient(), function, &["1"]).await.unwrap_err();
        assert_eq!(refused.message(), "NOT_AUTHORIZED: client is not authorized to mint new tokens");
    }
    assert_eq!(ask(&ledger, &minter(), "TotalSupply", &[]).await, "0");
}

#[tokio::test]
async fn amounts_and_accounts_are_checked() {
    let ledger = start().await;
    let (own, other) = (id(&minter()), id(&recipient()));
    let largest = i64::MAX.to_string();
    let overflow = format!("OVERFLOW: Math: addition overflow occurred 5000 + {largest}");
    for (function, args, text) in [
        ("Mint", &["0"][..], "NOT_POSITIVE: mint amount must be a positive integer"),
        ("Mint", &["-1"], "NOT_POSITIVE: mint amount must be a positive integer"),
        ("Mint", &[&largest], &overflow),
        ("Burn", &["0"], "NOT_POSITIVE: burn amount must be a positive integer"),
        (
            "Burn",
            &["5001"],
            "INSUFFICIENT_FUNDS: Error: the number 5000 is not enough to be subtracted by 5001",
        ),
        (
            "Transfer",
            &[&own, "1"],
            "SAME_ACCOUNT: failed to transfer: cannot transfer to and from same client account",
        ),
        ("Transfer", &[&other, "-1"], "NEGATIVE: failed to transfer: transfer amount cannot be negative"),
        ("Approve", &[&other, "-1"], "NEGATIVE: approval amount cannot be negative"),
        ("BalanceOf", &["nobody"], "ACCOUNT_MISSING: the account nobody does not exist"),
        (
            "TransferFrom",
            &["nobody", &other, "0"],
            "ACCOUNT_MISSING: failed to transfer: client account nobody has no balance",
        ),
    ] {
        let refused = submit(&ledger, &minter(), function, args).await.unwrap_err();
        assert_eq!(refused.message(), text, "{function} {args:?}");
    }
    let refused = submit(&ledger, &minter(), "Transfer", &[&other, "5001"]).await.unwrap_err();
    let text = format!("INSUFFICIENT_FUNDS: failed to transfer: client account {own} has insufficient funds");
    assert_eq!(refused.message(), text);
    let refused = submit(&ledger, &recipient(), "Transfer", &[&own, "1"]).await.unwrap_err();
    let text = format!("ACCOUNT_MISSING: failed to transfer: client account {other} has no balance");
    assert_eq!(refused.message(), text);

    // An account of any name is an account and nothing else.
    submit(&ledger, &minter(), "Transfer", &["totalSupply", "7"]).await.unwrap();
    assert_eq!(ask(&ledger, &minter(), "BalanceOf", &["totalSupply"]).await, "7");
    assert_eq!(ask(&ledger, &minter(), "TotalSupply", &[]).await, "5000");
}

#[tokio::test]
async fn nothing_is_spent_twice() {
    let ledger = start().await;
    let send = || ledger.transaction(&minter(), call("Transfer", &[&id(&recipient()), "3000"])).endorse();
    let (first, second) = (send().await.unwrap(), send().await.unwrap());
    first.submit().await.unwrap();
    let refused = second.submit().await.unwrap_err();
    assert_eq!(refused.validation_code(), Some(TxValidationCode::MvccReadConflict));
    assert_eq!(ask(&ledger, &minter(), "ClientAccountBalance", &[]).await, "2000");
}
