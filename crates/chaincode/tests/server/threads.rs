//! Contracts that hold their threads, and cancelled ones.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::available_parallelism;
use std::time::Duration;

use futures_util::future::join_all;
use selvedge::{Context, Response};
use tokio::sync::watch;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::peer::{Peer, Puppet, response};
use crate::support::{Running, contract, soon};

/// A door that threads wait at, without giving way to anything else.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn wait(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_while(open.lock().expect("not poisoned"), |open| !*open).expect("not poisoned"));
    }

    fn open(&self) {
        let (open, changed) = &*self.0;
        *open.lock().expect("not poisoned") = true;
        changed.notify_all();
    }
}

/// Opens the door when the test ends in any way, so that no thread outlives it.
impl Drop for Opener {
    fn drop(&mut self) {
        self.door.open();
        self.spinning.store(false, Ordering::Relaxed);
    }
}

struct Opener {
    door: Door,
    spinning: Arc<AtomicBool>,
}

#[tokio::test]
async fn contracts_that_block_or_spin_hold_up_nobody() {
    let (door, spinning) = (Door::default(), Arc::new(AtomicBool::new(true)));
    let opener = Opener { door: door.clone(), spinning: Arc::clone(&spinning) };
    let (begun, mut count) = watch::channel(0);
    let server = Running::start(contract(move |ctx: Context| {
        let (door, spinning, begun) = (door.clone(), Arc::clone(&spinning), begun.clone());
        async move {
            let (function, _) = ctx.function_and_parameters().expect("text");
            match function {
                "block" => {
                    begun.send_modify(|count| *count += 1);
                    door.wait();
                }
                "spin" => {
                    begun.send_modify(|count| *count += 1);
                    while spinning.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }
                _ => {}
            }
            Response::success(ctx.get("a").await.expect("a value").unwrap_or_default())
        }
    }))
    .await;
    let cores = available_parallelism().map_or(2, usize::from);
    let state = [("a".to_owned(), "1".into())];
    let peer = Peer::with_state(server.connect().await, state.clone().into()).await;
    let held = |function: &'static str, count: usize| -> Vec<_> {
        (0..count).map(|n| tokio::spawn(peer.invoke(&format!("{function} {n}"), &[function]))).collect()
    };
    let spinners = cores + 1;
    let blockers = 20 * cores;
    let holding = [held("spin", spinners), held("block", blockers)];
    soon(count.wait_for(|count| *count == spinners + blockers)).await.expect("all begin");

    // Other transactions, other streams, new connections and questions for its health are served.
    for n in 0..20 {
        assert_eq!(peer.invoke(&format!("free {n}"), &["free"]).await.payload, "1");
    }
    let other = Peer::with_state(server.connect().await, state.into()).await;
    assert_eq!(other.invoke("free", &["free"]).await.payload, "1");
    let mut health = HealthClient::new(server.dial(&server.peer_tls()).await.expect("a connection"));
    let asked = soon(health.check(HealthCheckRequest::default())).await;
    assert_eq!(asked.expect("an answer").into_inner().status(), ServingStatus::Serving);

    drop(opener);
    for held in join_all(holding.into_iter().flatten()).await {
        assert_eq!(held.expect("no panic").payload, "1");
    }
    server.stop().await;
}

#[tokio::test]
async fn more_contracts_than_threads_take_their_turns() {
    let door = Door::default();
    let opener = Opener { door: door.clone(), spinning: Arc::default() };
    let (begun, mut count) = watch::channel(0);
    let server = Running::start_with(
        contract(move |ctx: Context| {
            let (door, begun) = (door.clone(), begun.clone());
            async move {
                begun.send_modify(|count| *count += 1);
                door.wait();
                Response::success(ctx.tx_id().to_owned())
            }
        }),
        |server| server.contract_threads(2),
    )
    .await;
    let peer = Peer::new(server.connect().await).await;
    let held: Vec<_> = (0..5).map(|n| tokio::spawn(peer.invoke(&n.to_string(), &["x"]))).collect();
    soon(count.wait_for(|count| *count == 2)).await.expect("two begin");
    // New streams are still served up to the contract.
    drop(Puppet::new(server.connect().await).await);
    drop(opener);
    for (n, held) in join_all(held).await.into_iter().enumerate() {
        assert_eq!(held.expect("no panic").payload, n.to_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn contracts_may_use_timers_and_tasks() {
    let server = Running::start(contract(|_| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let worked = tokio::spawn(async { 42 }).await.expect("no panic");
        Response::success(worked.to_string())
    }))
    .await;
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("t1", &["x"]).await.payload, "42");
    server.stop().await;
}

/// Counts the contracts that are alive.
struct Alive(watch::Sender<usize>);

impl Alive {
    fn new(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[tokio::test]
async fn contracts_end_with_their_stream() {
    let (alive, mut count) = watch::channel(0);
    let after = Arc::new(AtomicUsize::new(0));
    let server = Running::start(contract({
        let after = Arc::clone(&after);
        move |ctx: Context| {
            let (alive, after) = (alive.clone(), Arc::clone(&after));
            async move {
                let _alive = Alive::new(&alive);
                let (function, _) = ctx.function_and_parameters().expect("text");
                match function {
                    "call" => drop(ctx.get("a").await),
                    "iterate" => {
                        let mut entries = ctx.range("", "").await.expect("an iterator");
                        drop(entries.next().await);
                    }
                    _ => std::future::pending().await,
                }
                after.fetch_add(1, Ordering::SeqCst);
                Response::success("")
            }
        }
    }))
    .await;
    for round in 0..3 {
        let mut peer = Puppet::new(server.connect().await).await;
        for n in 0..10 {
            for function in ["call", "iterate", "wait"] {
                peer.start(&format!("{function} {n}"), &[function]).await;
            }
        }
        for _ in 0..20 {
            peer.request().await;
        }
        soon(count.wait_for(|count| *count == 30)).await.expect("all run");
        // The connection goes too, since the peer has one stream on it.
        drop(peer);
        soon(count.wait_for(|count| *count == 0)).await.expect("all are gone");
        assert_eq!(after.load(Ordering::SeqCst), 0, "round {round}: a contract went on");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_gives_up_a_transaction_does_not_disturb_the_others() {
    let server = Running::start(contract(|ctx: Context| async move {
        match ctx.get("a").await {
            Ok(value) => Response::success(value.unwrap_or_default()),
            Err(error) => Response::error(error.to_string()),
        }
    }))
    .await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["x"]).await;
    let (transaction, ticket, _) = peer.request().await;
    // As when the peer's time for it is over: the request is answered, and its end comes for nobody.
    peer.respond(&transaction, ticket, Err("no ledger context")).await;
    assert_eq!(response(peer.finished().await).status, 500);
    peer.start("t1", &["x"]).await;
    peer.give("a", "again").await;
    assert_eq!(response(peer.finished().await).payload, "again");
    server.stop().await;
}
