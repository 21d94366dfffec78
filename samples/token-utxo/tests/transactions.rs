//! The sample on a ledger in memory, called as the official tutorial calls it.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use selvedge::{Bytes, Call};
use selvedge_network::testing::{Identity, Ledger, Setup, TestError, TxValidationCode};
use serde_json::{Value, json};
use token_utxo::{TokenUtxo, Utxo};

fn minter() -> Identity {
    Identity::client("Org1MSP", "minter")
}

fn recipient() -> Identity {
    Identity::client("Org2MSP", "recipient")
}

fn id(of: &Identity) -> String {
    of.id().unwrap()
}

fn call(function: &str, args: &[&str]) -> Call<Bytes> {
    Call::raw(function, args.iter().map(|arg| Bytes::copy_from_slice(arg.as_bytes())))
}

async fn start() -> Ledger {
    let ledger = Setup::new().compare_batching().start_with(TokenUtxo).await.unwrap();
    let done = ledger.submit(&minter(), call("Initialize", &["some name", "some symbol"])).await;
    assert_eq!(done.unwrap(), "true");
    ledger
}

async fn mint(ledger: &Ledger, amount: i64) -> Utxo {
    ledger.submit(&minter(), TokenUtxo::mint_call(amount)).await.unwrap()
}

/// To some owners, as clients send it: without keys.
fn outputs(amounts: &[(&Identity, i64)]) -> String {
    let outputs =
        amounts.iter().map(|(to, amount)| json!({"utxo_key": "", "owner": id(to), "amount": amount}));
    Value::Array(outputs.collect()).to_string()
}

async fn refusal(ledger: &Ledger, inputs: &[&str], outputs: &str) -> String {
    let transfer = call("Transfer", &[&json!(inputs).to_string(), outputs]);
    ledger.submit(&minter(), transfer).await.unwrap_err().message()
}

async fn owned(ledger: &Ledger, by: &Identity) -> Value {
    ledger.evaluate(by, call("ClientUTXOs", &[]).returning()).await.unwrap()
}

#[tokio::test]
async fn outputs_are_spent_whole_and_come_back_as_change() {
    let ledger = start().await;
    let minted = ledger.transaction(&minter(), call("Mint", &["5000"])).submit().await.unwrap();
    let key = format!("{}.0", minted.tx_id);
    let output = json!({"utxo_key": key, "owner": id(&minter()), "amount": 5000});
    assert_eq!(serde_json::from_slice::<Value>(&minted.result).unwrap(), output);
    assert_eq!(owned(&ledger, &minter()).await, json!([output]));
    assert_eq!(ledger.evaluate(&recipient(), call("ClientID", &[])).await.unwrap(), id(&recipient()));
    let ledger_key = format!("\0utxo\0{}\0{key}\0", id(&minter()));
    assert_eq!(ledger.state(&ledger_key).unwrap().unwrap(), "5000");

    let inputs = json!([key]).to_string();
    let to = outputs(&[(&recipient(), 100), (&minter(), 4900)]);
    let sent = ledger.transaction(&minter(), call("Transfer", &[&inputs, &to])).submit().await.unwrap();
    let made = |index: u8, owner: &Identity, amount: i64| json!({"utxo_key": format!("{}.{index}", sent.tx_id), "owner": id(owner), "amount": amount});
    let expected = json!([made(0, &recipient(), 100), made(1, &minter(), 4900)]);
    assert_eq!(serde_json::from_slice::<Value>(&sent.result).unwrap(), expected);
    assert_eq!(owned(&ledger, &minter()).await, json!([made(1, &minter(), 4900)]));
    assert_eq!(owned(&ledger, &recipient()).await, json!([made(0, &recipient(), 100)]));
    assert_eq!(ledger.state(&ledger_key).unwrap(), None);
    for (function, value) in [("Name", "some name"), ("Symbol", "some symbol")] {
        assert_eq!(ledger.evaluate(&recipient(), call(function, &[])).await.unwrap(), value);
    }
}

#[tokio::test]
async fn an_output_is_spent_once_and_by_its_owner() {
    let ledger = start().await;
    let (first, second) = (mint(&ledger, 10).await, mint(&ledger, 20).await);
    let twice = refusal(&ledger, &[&first.key, &first.key], &outputs(&[(&minter(), 20)])).await;
    assert_eq!(twice, "SPENT_TWICE: the same utxo input can not be spend twice");
    let theft = call("Transfer", &[&json!([first.key]).to_string(), &outputs(&[(&recipient(), 10)])]);
    let refused = ledger.submit(&recipient(), theft).await.unwrap_err();
    let text = format!("OUTPUT_MISSING: utxoInput {} not found for client {}", first.key, id(&recipient()));
    assert_eq!(refused.message(), text);

    // Two transactions that spend it at the same time.
    let to = vec![Utxo { key: String::new(), owner: id(&recipient()), amount: 30 }];
    let spend = || {
        let inputs = vec![first.key.clone(), second.key.clone()];
        ledger.transaction(&minter(), TokenUtxo::transfer_call(inputs, to.clone())).endorse()
    };
    let (one, other) = (spend().await.unwrap(), spend().await.unwrap());
    one.submit().await.unwrap();
    let refused = other.submit().await.unwrap_err();
    assert_eq!(refused.validation_code(), Some(TxValidationCode::MvccReadConflict));
    assert_eq!(owned(&ledger, &minter()).await, json!([]));
    let gone = refusal(&ledger, &[&first.key], &outputs(&[(&minter(), 10)])).await;
    assert!(gone.starts_with("OUTPUT_MISSING: "), "{gone}");
}

#[tokio::test]
async fn amounts_are_checked() {
    let ledger = start().await;
    let (most, more) = (mint(&ledger, i64::MAX).await, mint(&ledger, 5).await);
    for (inputs, to, text) in [
        (
            &[&*more.key][..],
            outputs(&[(&minter(), 6)]),
            "AMOUNTS_DIFFER: total utxoInput amount 5 does not equal total utxoOutput amount 6",
        ),
        (
            &[&more.key],
            "[]".to_owned(),
            "AMOUNTS_DIFFER: total utxoInput amount 5 does not equal total utxoOutput amount 0",
        ),
        (
            &[],
            outputs(&[(&minter(), 1)]),
            "AMOUNTS_DIFFER: total utxoInput amount 0 does not equal total utxoOutput amount 1",
        ),
        (
            &[&more.key],
            outputs(&[(&minter(), 6), (&minter(), -1)]),
            "NOT_POSITIVE: utxo output amount must be a positive integer",
        ),
        (
            &[&most.key, &more.key],
            outputs(&[(&minter(), 4)]),
            "OVERFLOW: math: addition overflow occurred 9223372036854775807 + 5",
        ),
        (
            &[&more.key],
            outputs(&[(&minter(), i64::MAX), (&minter(), 6)]),
            "OVERFLOW: math: addition overflow occurred 9223372036854775807 + 6",
        ),
    ] {
        assert_eq!(refusal(&ledger, inputs, &to).await, text);
    }
    for amount in ["0", "-5"] {
        let refused = ledger.submit(&minter(), call("Mint", &[amount])).await.unwrap_err();
        assert_eq!(refused.message(), "NOT_POSITIVE: mint amount must be a positive integer");
    }
}

#[tokio::test]
async fn only_the_central_bank_names_and_makes() {
    let ledger = Setup::new().compare_batching().start_with(TokenUtxo).await.unwrap();
    let not_initialized = "NOT_INITIALIZED: contract options need to be set before calling any function, call \
                           Initialize() to initialize contract";
    let refused = |refused: Result<Bytes, TestError>| refused.unwrap_err().message();
    for (function, args) in [
        ("Mint", &["1"][..]),
        ("Transfer", &["[]", "[]"]),
        ("ClientUTXOs", &[]),
        ("ClientID", &[]),
        ("Name", &[]),
        ("Symbol", &[]),
    ] {
        let text = refused(ledger.submit(&minter(), call(function, args)).await);
        assert_eq!(text, not_initialized, "{function}");
    }
    let initialize = call("Initialize", &["a", "b"]);
    let text = refused(ledger.submit(&recipient(), initialize.clone()).await);
    assert_eq!(text, "NOT_AUTHORIZED: client is not authorized to initialize contract");
    ledger.submit(&minter(), initialize.clone()).await.unwrap();
    let text = refused(ledger.submit(&minter(), initialize).await);
    assert_eq!(
        text,
        "INITIALIZED: contract options are already set, client is not authorized to change them"
    );
    let text = refused(ledger.submit(&recipient(), call("Mint", &["1"])).await);
    assert_eq!(text, "NOT_AUTHORIZED: client is not authorized to mint new tokens");
    assert_eq!(owned(&ledger, &recipient()).await, json!([]));
}
