//! How many networks run at once.

use selvedge_network::testing::{self, Deploy, Identity, Setup, TestError};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::calls::asset;
use crate::contracts::Assets;

/// A net against hanging.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

/// What a network that was dropped holds is given back, or a runtime would run out of threads.
#[test]
fn networks_that_are_dropped_end() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(8).build().unwrap();
    runtime.block_on(async {
        for _ in 0..10 {
            let started = timeout(PATIENCE, testing::start(Assets)).await.expect("threads are left");
            drop(started.unwrap());
        }
    });
}

#[tokio::test]
async fn a_network_that_was_shut_down_and_a_channel_that_is_not_there_are_told() {
    let ledger = testing::start(Assets).await.unwrap();
    let network = ledger.network().clone();
    network.clone().shutdown().await;
    let ended = timeout(PATIENCE, network.pass_blocks("mychannel", 1)).await.expect("it ends");
    assert!(matches!(ended, Err(TestError::Ended)), "{ended:?}");
    let misspelt = Setup::new().chaincode(Deploy::new("assets", Assets).on(["mychanel"])).start().await;
    assert!(matches!(misspelt, Err(TestError::Unknown(what)) if what == "channel mychanel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_run_in_parallel() {
    let mut tests = JoinSet::new();
    for number in 0..100 {
        tests.spawn(async move {
            let ledger = testing::start(Assets).await.unwrap();
            let alice = Identity::client("Org1MSP", "alice");
            let id = format!("a{number}");
            ledger.submit(&alice, Assets::create_call(asset(&id, "alice"))).await.unwrap();
            // None sees what another one wrote.
            assert_eq!(ledger.submit(&alice, Assets::count_call("a", "b")).await.unwrap(), 1);
            assert_eq!(ledger.evaluate(&alice, Assets::read_call(&id)).await.unwrap().id, id);
            ledger.network().clone().shutdown().await;
        });
    }
    while let Some(test) = tests.join_next().await {
        test.unwrap();
    }
}
