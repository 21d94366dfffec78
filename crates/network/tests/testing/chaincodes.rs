//! Several chaincodes and channels, endorsement of single keys, and what peers and servers are told to do.

use std::sync::atomic::{AtomicU32, Ordering};

use selvedge::{CheckError, Context, Contracts, KeyPolicy, KeyRole, LedgerError, Query, contract};
use selvedge_network::testing::{
    Deploy, Identity, Ledger, RequestSettings, Setup, TestError, TxValidationCode,
};

use crate::calls::asset;
use crate::contracts::{AssetError, Assets};

/// Calls others, and does what servers may be told to refuse.
struct Caller;

#[contract(rename_all = "PascalCase")]
impl Caller {
    /// Calls a function of a chaincode of this channel, or of another one, with one argument.
    #[transaction]
    async fn ask(
        &self,
        ctx: &Context,
        channel: String,
        chaincode: String,
        function: String,
        argument: String,
    ) -> Result<String, LedgerError> {
        let args = [function, argument];
        let response = match channel == ctx.channel_id() {
            true => ctx.call(&chaincode, args).await?,
            false => ctx.call_on_channel(&channel, &chaincode, args).await?,
        };
        Ok(format!("{} {}{}", response.status, response.message, String::from_utf8_lossy(&response.payload)))
    }

    /// Has these organisations endorse changes of a key from now on.
    #[transaction]
    async fn guard(&self, ctx: &Context, key: String, organizations: Vec<String>) -> Result<(), LedgerError> {
        ctx.put(&key, "guarded").await?;
        ctx.set_endorsement_policy(&key, &KeyPolicy::all_of(KeyRole::Peer, organizations)).await
    }

    #[transaction]
    async fn read_after_write(&self, ctx: &Context, key: String) -> Result<bool, LedgerError> {
        ctx.put(&key, "new").await?;
        Ok(ctx.get(&key).await?.is_some())
    }

    #[transaction]
    async fn keys(&self, ctx: &Query) -> Result<usize, LedgerError> {
        let mut entries = ctx.range("", "").await?;
        let mut count = 0;
        while entries.next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[transaction]
    async fn fill(&self, ctx: &Context, count: u32) -> Result<(), LedgerError> {
        for number in 0..count {
            ctx.put(&format!("k{number:03}"), "v").await?;
        }
        Ok(())
    }

    #[transaction]
    async fn search(&self, ctx: &Query, selector: String) -> Result<usize, LedgerError> {
        Ok(ctx.rich_query(&selector).await?.take(100).await?.len())
    }

    #[transaction]
    async fn past(&self, ctx: &Query, key: String) -> Result<usize, LedgerError> {
        Ok(ctx.history(&key).await?.take(100).await?.len())
    }
}

fn alice() -> Identity {
    Identity::client("Org1MSP", "alice")
}

async fn caller(setup: Setup, deploy: impl FnOnce(Deploy) -> Deploy) -> Ledger {
    let deployed = deploy(Deploy::new("caller", Caller));
    setup.chaincode(deployed).start().await.unwrap().ledger("caller")
}

#[tokio::test]
async fn chaincodes_call_each_other_on_their_own_and_on_other_channels() {
    let network = Setup::new()
        .channels(["mychannel", "other"])
        .chaincode(Deploy::new("caller", Caller).on(["mychannel"]))
        .chaincode(Deploy::new("assets", Assets))
        .start()
        .await
        .unwrap();
    let (caller, here, there) =
        (network.ledger("caller"), network.ledger("assets"), network.ledger_on("other", "assets"));
    here.submit(&alice(), Assets::create_call(asset("a1", "here"))).await.unwrap();
    there.submit(&alice(), Assets::create_call(asset("a1", "there"))).await.unwrap();

    let ask = |channel: &str, function: &str| Caller::ask_call(channel, "assets", function, "a1");
    let asked = caller.transaction(&alice(), ask("mychannel", "Read")).submit().await.unwrap();
    assert!(asked.result.contains(r#""owner":"here""#), "{}", asked.result);
    assert_eq!(asked.rwset.reads("assets"), ["a1"]);
    // What is read on another channel is no part of the transaction.
    let asked = caller.transaction(&alice(), ask("other", "Read")).submit().await.unwrap();
    assert!(asked.result.contains(r#""owner":"there""#), "{}", asked.result);
    assert!(asked.rwset.reads("assets").is_empty());

    // What is written there is lost; here it becomes part of the transaction.
    caller.submit(&alice(), ask("other", "Delete")).await.unwrap();
    assert!(there.state("a1").unwrap().is_some());
    let deleted = caller.transaction(&alice(), ask("mychannel", "Delete")).submit().await.unwrap();
    assert_eq!(deleted.rwset.writes("assets"), [("a1", None)]);
    assert_eq!(here.state("a1").unwrap(), None);

    // A callee's refusal is a response, that of the peer an error.
    let refused = caller.evaluate(&alice(), ask("mychannel", "Read")).await.unwrap();
    assert_eq!(refused, "404 ASSET_MISSING: there is no asset a1");
    let nobody = Caller::ask_call("mychannel", "nobody", "Read", "a1");
    let error = caller.evaluate(&alice(), nobody).await.unwrap_err();
    assert!(error.message().contains("chaincode nobody not found"), "{error}");

    let error =
        network.ledger_on("other", "caller").evaluate(&alice(), Caller::keys_call()).await.unwrap_err();
    assert!(matches!(error, TestError::Refused(_)), "{error}");
}

#[tokio::test]
async fn keys_have_endorsers_of_their_own() {
    let any = |deploy: Deploy| deploy.endorsement_policy("OR('Org1MSP.peer','Org2MSP.peer')");
    let ledger = caller(Setup::new(), any).await;
    let guard = Caller::guard_call("k000", vec!["Org1MSP".to_owned(), "Org2MSP".to_owned()]);
    let guarded = ledger.transaction(&alice(), guard).submit().await.unwrap();
    let metadata = guarded.rwset.metadata_writes("caller");
    let [("k000", entries)] = &metadata[..] else { panic!("{metadata:?}") };
    assert_eq!(entries[0].0, "VALIDATION_PARAMETER");

    // The gateway finds out whom it takes, and one alone will not do.
    let planned = ledger.transaction(&alice(), Caller::fill_call(1_u32)).endorse().await.unwrap();
    assert_eq!(planned.endorsers().unwrap(), ["Org1MSP", "Org2MSP"]);
    let alone = ledger.transaction(&alice(), Caller::fill_call(1_u32)).endorsed_by(["Org1MSP"]);
    let error = alone.submit().await.unwrap_err();
    assert_eq!(error.validation_code(), Some(TxValidationCode::EndorsementPolicyFailure));
    assert_eq!(ledger.state("k000").unwrap().as_deref(), Some(&b"guarded"[..]));
    planned.submit().await.unwrap();
    assert_eq!(ledger.state("k000").unwrap().as_deref(), Some(&b"v"[..]));
}

#[tokio::test]
async fn a_strict_server_fails_what_is_hardly_meant() {
    let call = Caller::read_after_write_call("k");
    let ledger = caller(Setup::new(), |deploy| deploy).await;
    assert!(!ledger.submit(&alice(), call.clone()).await.unwrap());
    let ledger = caller(Setup::new(), |deploy| deploy.server(|server| server.strict(true))).await;
    let error = ledger.submit(&alice(), call).await.unwrap_err();
    assert_eq!(error.message(), CheckError::ReadAfterWrite { key: "k".to_owned() }.to_string());
}

#[tokio::test]
async fn batching_is_offered_and_used_or_not() {
    let mut rwsets = Vec::new();
    for (offered, used) in [(true, true), (true, false), (false, true)] {
        let setup = if offered { Setup::new() } else { Setup::new().without_batching() };
        let ledger = caller(setup, |deploy| deploy.server(|server| server.batching(used))).await;
        let filled = ledger.transaction(&alice(), Caller::fill_call(20_u32)).submit().await.unwrap();
        assert_eq!(filled.rwset.writes("caller").len(), 20);
        rwsets.push(filled.rwset);
        assert_eq!(ledger.evaluate(&alice(), Caller::keys_call()).await.unwrap(), 20);
    }
    assert!(rwsets.windows(2).all(|pair| pair[0] == pair[1]));
}

/// Counts its calls, which no contract may.
#[derive(Default)]
struct Forgetful(AtomicU32);

#[contract(rename_all = "PascalCase")]
impl Forgetful {
    #[transaction]
    async fn write(&self, ctx: &Context) -> Result<(), LedgerError> {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        ctx.put("k", number.to_string()).await
    }

    #[transaction]
    async fn read(&self, ctx: &Query) -> Result<u32, LedgerError> {
        ctx.get("k").await?;
        Ok(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_contract_that_depends_on_more_than_the_ledger_is_found_out() {
    let setup = Setup::new().compare_batching().chaincode(Deploy::new("forgetful", Forgetful::default()));
    let ledger = setup.start().await.unwrap().ledger("forgetful");
    let error = ledger.submit(&alice(), Forgetful::write_call()).await.unwrap_err();
    let TestError::Batching { batched, single } = error else { panic!("{error}") };
    assert_ne!(batched, single);
    assert_eq!(ledger.state("k").unwrap(), None);
    let error = ledger.evaluate(&alice(), Forgetful::read_call()).await.unwrap_err();
    assert!(matches!(error, TestError::Batching { .. }), "{error}");

    // What depends on the ledger alone passes.
    let ledger = caller(Setup::new().compare_batching(), |deploy| deploy).await;
    ledger.submit(&alice(), Caller::fill_call(20_u32)).await.unwrap();
    assert_eq!(ledger.evaluate(&alice(), Caller::keys_call()).await.unwrap(), 20);
    // So do failures, which are the same twice.
    let nobody = Caller::ask_call("mychannel", "nobody", "Read", "a1");
    let error = ledger.evaluate(&alice(), nobody).await.unwrap_err();
    assert!(error.message().contains("chaincode nobody not found"), "{error}");
}

#[tokio::test]
async fn peers_have_the_limits_that_the_test_sets() {
    let requests = RequestSettings {
        total_query_limit: 3,
        history: false,
        rich_queries: false,
        ..RequestSettings::default()
    };
    let ledger = caller(Setup::new().requests(requests), |deploy| deploy).await;
    ledger.submit(&alice(), Caller::fill_call(5_u32)).await.unwrap();
    assert_eq!(ledger.evaluate(&alice(), Caller::keys_call()).await.unwrap(), 3);
    let error = ledger.evaluate(&alice(), Caller::search_call("{\"selector\":{}}")).await.unwrap_err();
    assert!(error.message().contains("ExecuteQuery not supported for leveldb"), "{error}");
    let error = ledger.evaluate(&alice(), Caller::past_call("k000")).await.unwrap_err();
    assert!(error.message().contains("history database is not enabled"), "{error}");

    let ledger = caller(Setup::new(), |deploy| deploy).await;
    ledger.submit(&alice(), Caller::fill_call(5_u32)).await.unwrap();
    assert_eq!(ledger.evaluate(&alice(), Caller::keys_call()).await.unwrap(), 5);
    assert_eq!(ledger.evaluate(&alice(), Caller::past_call("k000")).await.unwrap(), 1);
}

/// A second contract of the same chaincode.
struct Second;

#[contract(name = "second", rename_all = "PascalCase")]
impl Second {
    #[transaction]
    async fn read(&self, _ctx: &Query, id: String) -> Result<String, AssetError> {
        Ok(format!("second {id}"))
    }
}

#[tokio::test]
async fn calls_name_their_contract() {
    let contracts = Contracts::new().with(Assets).with(Second);
    let network = Setup::new().chaincode(Deploy::new("two", contracts)).start().await.unwrap();
    let ledger = network.ledger("two");
    ledger.submit(&alice(), Assets::create_call(asset("a1", "alice"))).await.unwrap();
    assert_eq!(ledger.evaluate(&alice(), Second::read_call("a1")).await.unwrap(), "second a1");
    assert_eq!(ledger.evaluate(&alice(), Assets::read_call("a1")).await.unwrap().id, "a1");
}

#[tokio::test]
async fn what_cannot_be_set_up_is_told() {
    let start = |deploy: Deploy| Setup::new().chaincode(deploy).start();
    let policy = start(Deploy::new("a", Caller).endorsement_policy("AND(")).await.unwrap_err();
    assert!(matches!(policy, TestError::Network(_)), "{policy}");
    let collections = start(Deploy::new("a", Caller).collections("{}")).await.unwrap_err();
    assert!(matches!(collections, TestError::Network(_)), "{collections}");
    let name = start(Deploy::new("a/b", Caller)).await.unwrap_err();
    assert!(name.to_string().contains("invalid chaincode name"), "{name}");
    let channels = Setup::new().channels([""; 0]).start().await.unwrap_err();
    assert!(matches!(channels, TestError::Unknown(_)), "{channels}");
    let organizations = Setup::new().organizations([""; 0]).chaincode(Deploy::new("a", Caller));
    assert!(organizations.start().await.is_err());
}
