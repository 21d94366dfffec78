//! How many networks run at once.

use selvedge_network::testing::{self, Identity};
use tokio::task::JoinSet;

use crate::calls::asset;
use crate::contracts::Assets;

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
