//! One slow or hanging call never delays another transaction, an approval or a commit. Fabric's does: simulations hold
//! a lock there that commits need.
//!
//! A call is slow here until the test lets it go, instead of for eight seconds. That shows more: whatever the test
//! does before, it does while the call is held, on the fastest machine and on the slowest, and had anything to wait
//! for the call it would wait for ever instead of for eight seconds.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::available_parallelism;

use bytes::Bytes;
use selvedge::{Context, Response};
use selvedge_proto::protos::endorser_client::EndorserClient;
use support::line::Line;
use support::scripted::Scripted;
use support::{CHANNEL, PATIENCE, World, call, definition, serve, within};
use tokio::sync::{Semaphore, watch};

/// Installs, approves and commits another chaincode, and submits to the one that is there and reads it back.
async fn work(world: &World, other: &str) {
    let package = world.network.edge().server(other, "127.0.0.1:9").unwrap().package("other_1").unwrap();
    let package_id = within(world.network.install(package.bytes())).await.unwrap();
    within(world.network.approve(CHANNEL, &definition(other), &package_id)).await.unwrap();
    world.submit(call("basic", "put")).await.unwrap();
    within(world.network.commit(CHANNEL, &definition(other))).await.unwrap();
    assert_eq!(world.evaluate(call("basic", "get")).await.unwrap(), "new");
}

async fn keep(ctx: &Context, function: &str) -> Response {
    match function {
        "put" => ctx.put("k", "new").await.map(|()| Response::success("")),
        _ => ctx.get("k").await.map(|value| Response::success(value.unwrap_or_default())),
    }
    .unwrap_or_else(|error| Response::error(error.to_string()))
}

#[tokio::test(flavor = "multi_thread")]
async fn evaluations_that_are_held_delay_nobody() {
    const HELD: usize = 20;
    let world = World::with(|config| config.chaincode.execute = PATIENCE).await;
    let place = world.deploy("basic").await;
    let (door, (begun, mut count)) = (Arc::new(Semaphore::new(0)), watch::channel(0));
    let opener = Arc::clone(&door);
    let serving = serve(&place, move |ctx: Context| {
        let (door, begun) = (Arc::clone(&door), begun.clone());
        async move {
            let (function, _) = ctx.function_and_parameters().expect("text");
            if function == "wait" {
                begun.send_modify(|count| *count += 1);
                door.acquire().await.expect("the door stays").forget();
            }
            keep(&ctx, function).await
        }
    })
    .await;
    let held: Vec<_> = (0..HELD).map(|_| world.begin(call("basic", "wait"))).collect();
    within(count.wait_for(|count| *count == HELD)).await.unwrap();

    work(&world, "second").await;
    assert!(held.iter().all(|held| !held.is_finished()), "they are held still");

    opener.add_permits(HELD);
    for held in held {
        // They read the state as it was when they began.
        assert_eq!(within(held).await.unwrap().unwrap(), "");
    }
    serving.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_hangs_delays_nobody() {
    let world = World::start().await;
    let hanging = world.deploy("hanging").await;
    let mut silent = Scripted::start(&hanging).await;
    let place = world.deploy("basic").await;
    let serving = serve(&place, |ctx: Context| async move {
        let (function, _) = ctx.function_and_parameters().expect("text");
        keep(&ctx, function).await
    })
    .await;
    let held: Vec<_> = (0..20).map(|_| world.begin(call("hanging", "act"))).collect();
    // It is connected, and never registers.
    let session = silent.accept().await;

    work(&world, "second").await;
    assert!(held.iter().all(|held| !held.is_finished()), "they are held still");

    drop(session);
    for held in held {
        assert!(within(held).await.unwrap().unwrap_err().contains("could not launch chaincode"));
    }
    silent.stop().await;
    serving.stop().await;
    world.stop().await;
}

/// Reads through the other peer, which has no stream to the chaincode server yet: it connects, registers and answers.
async fn over_another_stream(world: &World) -> Bytes {
    let peer = &world.network.peers()[1];
    let line = Line::dial(peer.address(), peer.tls_roots_pem()).await;
    let identity = world.member().signing_identity().unwrap();
    let proposal = call("basic", "get").sign(&identity).unwrap().signed;
    let answer = within(EndorserClient::new(line.channel).process_proposal(proposal)).await.unwrap();
    let response = answer.into_inner().response.unwrap();
    assert_eq!(response.status, 200, "{}", response.message);
    response.payload
}

/// Where contracts block their thread until it opens; also when the test fails, so that the process can end.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
    /// Contracts spin until this is set.
    spun: AtomicBool,
}

impl Door {
    fn block(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }

    fn spin(&self) {
        while !self.spun.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
    }
}

struct Opener(Arc<Door>);

impl Drop for Opener {
    fn drop(&mut self) {
        *self.0.open.lock().unwrap() = true;
        self.0.opened.notify_all();
        self.0.spun.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn contracts_that_panic_block_or_spin_hold_up_nobody() {
    let world = World::with(|config| {
        config.chaincode.execute = PATIENCE;
        config.organizations[0].peers = 2;
    })
    .await;
    let place = world.deploy("basic").await;
    let (door, (begun, mut count)) = (Arc::new(Door::default()), watch::channel(0));
    let opener = Opener(Arc::clone(&door));
    let serving = serve(&place, move |ctx: Context| {
        let (door, begun) = (Arc::clone(&door), begun.clone());
        async move {
            let (function, _) = ctx.function_and_parameters().expect("text");
            begun.send_modify(|count| *count += usize::from(matches!(function, "block" | "spin")));
            match function {
                "block" => door.block(),
                "spin" => door.spin(),
                "panic" => panic!("the contract is at its wits' end"),
                _ => {}
            }
            keep(&ctx, function).await
        }
    })
    .await;
    let cores = available_parallelism().map_or(2, usize::from);
    let (spinners, blockers) = (cores + 1, 4 * cores);
    let functions = [vec!["spin"; spinners], vec!["block"; blockers]].concat();
    let held: Vec<_> = functions.iter().map(|function| world.begin(call("basic", function))).collect();
    within(count.wait_for(|count| *count == spinners + blockers)).await.unwrap();
    let panicking: Vec<_> = (0..2 * cores + 1).map(|_| world.begin(call("basic", "panic"))).collect();
    for panicked in panicking {
        let error = within(panicked).await.unwrap().unwrap_err();
        assert!(error.contains("panic"), "{error}");
    }
    assert_eq!(over_another_stream(&world).await, "");

    work(&world, "second").await;
    assert!(held.iter().all(|held| !held.is_finished()), "they are held still");

    drop(opener);
    for held in held {
        assert_eq!(within(held).await.unwrap().unwrap(), "");
    }
    serving.stop().await;
    world.stop().await;
}
