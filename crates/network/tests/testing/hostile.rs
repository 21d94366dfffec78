//! Contracts that make odd calls or leave them half done, against a real peer: typed errors in the one transaction, the
//! same at every endorser, and nothing left behind.

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use selvedge::{
    Bytes, Call, Chaincode, CompositeKey, Context, LedgerError, Query, Response, async_trait, contract,
};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestError};
use tokio::runtime::Handle;

/// How many keys `k000` to … there are. A page of the peer has 100.
const KEYS: u32 = 250;

struct Odd;

#[contract(rename_all = "PascalCase")]
impl Odd {
    #[transaction]
    async fn fill(&self, ctx: &Context) -> Result<(), LedgerError> {
        for number in 0..KEYS {
            ctx.put(&format!("k{number:03}"), number.to_string()).await?;
        }
        Ok(())
    }

    /// Writes a key, whatever it is.
    #[transaction]
    async fn put(&self, ctx: &Context, key: String) -> Result<(), LedgerError> {
        ctx.put(&key, "v").await
    }

    #[transaction]
    async fn get(&self, ctx: &Query, key: String) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(ctx.get(&key).await?.map(|value| value.to_vec()))
    }

    #[transaction]
    async fn range(&self, ctx: &Query, start: String, end: String) -> Result<usize, LedgerError> {
        Ok(ctx.range(&start, &end).await?.take(1000).await?.len())
    }

    #[transaction]
    async fn composite(
        &self,
        ctx: &Context,
        object_type: String,
        parts: Vec<String>,
    ) -> Result<(), LedgerError> {
        ctx.put(CompositeKey::new(&object_type, parts)?.as_ref(), "v").await
    }

    /// Drops calls before they are answered, in every way, and then asks for one key.
    #[transaction]
    async fn impatient(&self, ctx: &Context, key: String) -> Result<String, LedgerError> {
        for number in 0..20 {
            let key = format!("k{number:03}");
            tokio::select! {
                biased;
                _ = ctx.get(&key) => {}
                () = ready(()) => {}
            }
        }
        drop(tokio::time::timeout(Duration::ZERO, ctx.range("k", "l")).await);
        drop(tokio::time::timeout(Duration::ZERO, ctx.put("dropped", "v")).await);
        drop(tokio::time::timeout(Duration::ZERO, ctx.collection("nowhere")?.get("k")).await);
        let value = ctx.get(&key).await?;
        Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or_default())
    }

    /// Takes some keys of several ranges, and leaves them open, drops or closes them.
    #[transaction]
    async fn half_read(&self, ctx: &Context, taken: u32) -> Result<String, LedgerError> {
        let mut last = String::new();
        let mut open = ctx.range("k", "l").await?;
        let mut dropped = ctx.range("k", "l").await?;
        let mut closed = ctx.range("k", "l").await?;
        for _ in 0..taken {
            for entries in [&mut open, &mut dropped, &mut closed] {
                last = entries.next().await?.map(|entry| entry.key).unwrap_or_default();
            }
        }
        drop(dropped);
        closed.close().await?;
        ctx.put("last", last.clone()).await?;
        Ok(last)
    }
}

fn alice() -> Identity {
    Identity::client("Org1MSP", "alice")
}

async fn odd() -> Ledger {
    let ledger = Setup::new().compare_batching().start_with(Odd).await.unwrap();
    ledger.submit(&alice(), Odd::fill_call()).await.unwrap();
    ledger
}

#[track_caller]
fn refused(error: &TestError, text: &str) {
    assert_eq!(error.status(), Some(500), "{error}");
    assert!(error.message().contains(text), "{error}");
}

#[tokio::test]
async fn keys_may_be_odd_and_not_empty() {
    let ledger = odd().await;
    for key in ["a\0b", "\u{10ffff}", "\u{7f}", "é/ö", " ", "\u{0}\u{0}"] {
        ledger.submit(&alice(), Odd::put_call(key)).await.unwrap();
        assert_eq!(ledger.evaluate(&alice(), Odd::get_call(key)).await.unwrap().as_deref(), Some(&b"v"[..]));
    }
    refused(
        &ledger.submit(&alice(), Odd::put_call("")).await.unwrap_err(),
        "key must not be an empty string",
    );
    assert_eq!(ledger.evaluate(&alice(), Odd::get_call("")).await.unwrap(), None);
    // Text is text, and keys are text.
    let bytes = Call::raw("Put", [Bytes::from_static(b"\xff\xfe")]);
    refused(&ledger.submit(&alice(), bytes).await.unwrap_err(), "value is not UTF-8");

    refused(&ledger.evaluate(&alice(), Odd::range_call("\0", "z")).await.unwrap_err(), "null character");
    refused(&ledger.evaluate(&alice(), Odd::range_call("a", "\0")).await.unwrap_err(), "null character");
    // From behind to before there is nothing.
    assert_eq!(ledger.evaluate(&alice(), Odd::range_call("z", "a")).await.unwrap(), 0);
}

#[tokio::test]
async fn parts_of_composite_keys_are_checked() {
    let ledger = odd().await;
    let alice = alice();
    let composite = |object_type: &str, part: &str| {
        ledger.submit(&alice, Odd::composite_call(object_type, vec![part.to_owned()]))
    };
    refused(&composite("a\0b", "c").await.unwrap_err(), "U+0000");
    refused(&composite("a", "b\u{10ffff}c").await.unwrap_err(), "U+10FFFF starting at position [1]");
    composite("a", "").await.unwrap();
    composite("", "").await.unwrap();
    assert_eq!(ledger.state("\0a\0\0").unwrap().as_deref(), Some(&b"v"[..]));
}

#[tokio::test]
async fn dropped_calls_cross_no_replies_and_endorsers_agree() {
    let ledger = odd().await;
    for round in 0..5 {
        let number = 20 + round;
        let asked = Odd::impatient_call(format!("k{number:03}"));
        let done = ledger.transaction(&alice(), asked).submit().await.unwrap();
        assert_eq!(done.result, number.to_string());
        // What was begun was sent, by every endorser.
        assert_eq!(done.rwset.reads("chaincode").len(), 21);
        assert_eq!(done.rwset.writes("chaincode"), [("dropped", Some(&Bytes::from_static(b"v")))]);
    }
}

#[tokio::test]
async fn iterators_end_wherever_they_are_left() {
    let ledger = odd().await;
    // At once, within a page, at its end, behind it, and at the end of all.
    for taken in [0, 7, 100, 101, 249, 250, 251] {
        let read = ledger.transaction(&alice(), Odd::half_read_call(taken)).submit().await.unwrap();
        let last = if (1..=KEYS).contains(&taken) { format!("k{:03}", taken - 1) } else { String::new() };
        assert_eq!(read.result, last, "{taken}");
    }
}

/// Counts the calls that run.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

struct Running(Arc<AtomicUsize>);

impl Running {
    fn begin(counting: &Counting) -> Self {
        counting.0.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(&counting.0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Chaincode for Counting {
    async fn invoke(&self, ctx: &Context) -> Response {
        let _running = Running::begin(self);
        let (function, _) = ctx.function_and_parameters().unwrap();
        match function {
            "hang" => pending().await,
            "panic" => panic!("as asked"),
            "leave" => {
                let mut entries = ctx.range("", "").await.unwrap();
                drop(entries.next().await);
                drop(tokio::time::timeout(Duration::ZERO, ctx.get("k")).await);
                Response::success("")
            }
            "keep" => {
                // A context that outlives its transaction; what it is answered is tested with the library.
                let (kept, running) = (ctx.clone(), Running::begin(self));
                tokio::spawn(async move {
                    let _running = running;
                    drop(kept.get("k").await);
                });
                Response::success("")
            }
            _ => Response::error("as asked"),
        }
    }
}

#[tokio::test]
async fn nothing_is_left_of_transactions_and_networks() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    // What is made once for the process is made before.
    Setup::new().start_with(Counting::default()).await.unwrap().network().clone().shutdown().await;
    tokio::task::yield_now().await;
    let before = tasks();

    let counting = Counting::default();
    let deploy = Deploy::new("counting", counting.clone());
    let setup = Setup::new().execute_timeout(Duration::from_secs(1)).chaincode(deploy);
    let network = setup.start().await.unwrap();
    let ledger = network.ledger("counting");
    let alice = alice();
    let call = |function: &'static str| ledger.evaluate(&alice, Call::raw(function, [""; 0]));
    call("leave").await.unwrap();
    call("keep").await.unwrap();
    for function in ["panic", "fail"] {
        call(function).await.unwrap_err();
    }
    let error = call("hang").await.unwrap_err();
    assert!(error.message().contains("timeout expired while executing transaction"), "{error}");
    call("leave").await.unwrap();
    // A client that goes away.
    drop(tokio::time::timeout(Duration::from_millis(1), call("hang")).await);
    let running = tasks();
    for _ in 0..50 {
        call("leave").await.unwrap();
        call("fail").await.unwrap_err();
    }
    assert_eq!(tasks(), running, "transactions leave tasks");

    drop(ledger);
    network.shutdown().await;
    // Contracts end with their stream, whatever they wait for.
    let ended = async {
        while counting.0.load(Ordering::SeqCst) > 0 || tasks() > before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.unwrap_or_else(|_| {
        panic!("{} transactions, {} tasks more", counting.0.load(Ordering::SeqCst), tasks() - before)
    });
}
