//! Rich queries over a whole network, asked by a chaincode whose every message the test writes itself.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use bytes::Bytes;
use prost::Message;
use selvedge::{Context, LedgerError, Response};
use selvedge_client::{Definition, definition};
use selvedge_network::{Deployment, NetworkConfig};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeMessage, GetQueryResult, PutState, QueryMetadata, QueryResponse, QueryResponseMetadata,
    QueryStateNext,
};
use selvedge_proto::queryresult::Kv;
use support::scripted::{Scripted, Session};
use support::{CHANNEL, Place, World, call, within};
use tokio::task::JoinHandle;

const COLLECTIONS: &str =
    r#"[{"name": "secrets", "policy": "OR('Org1MSP.member')", "memberOnlyRead": true}]"#;

/// A network with a chaincode that has a collection, connected and ready.
struct Stage {
    world: World,
    server: Scripted,
    session: Session,
}

/// One transaction of the chaincode.
struct Running<'a> {
    session: &'a mut Session,
    transaction: ChaincodeMessage,
    client: JoinHandle<Result<Bytes, String>>,
}

impl Stage {
    async fn set(change: impl FnOnce(&mut NetworkConfig)) -> Self {
        let world = World::with(change).await;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let server = world.network.edge().server("docs", &address).unwrap();
        let collections = definition::collections(COLLECTIONS.as_bytes()).unwrap();
        let deployment = Deployment {
            channel: CHANNEL.to_owned(),
            definition: Definition { collections: Some(collections), ..support::definition("docs") },
            package: server.package("docs_1").unwrap().bytes().clone(),
        };
        let package_id = world.network.deploy(&deployment).await.unwrap();
        let mut scripted = Scripted::start(&Place { server, package_id: package_id.clone() }).await;
        let begun = world.begin(call("docs", "hello"));
        let mut session = scripted.accept_ready(&package_id).await;
        let transaction = session.receive().await;
        session.complete(&transaction, "").await;
        within(begun).await.unwrap().unwrap();
        Self { world, server: scripted, session }
    }

    /// A transaction that is only evaluated.
    async fn evaluate(&mut self) -> Running<'_> {
        let client = self.world.begin(call("docs", "read"));
        let transaction = self.session.receive().await;
        Running { session: &mut self.session, transaction, client }
    }

    /// Commits documents `k000` and so on, in public and in the collection.
    async fn fill(&mut self, count: usize) {
        let user = self.world.user.clone();
        let client = tokio::spawn(async move {
            let submitted = within(user.submit_and_wait(call("docs", "write"), &[])).await;
            submitted.map(|(_, commit)| commit).map_err(|error| error.to_string())
        });
        let transaction = self.session.receive().await;
        for at in 0..count {
            for collection in ["", "secrets"] {
                let value = format!("{{\"n\":{at},\"owner\":\"{}\"}}", ["Ann", "ben"][at % 2]);
                let put =
                    PutState { key: format!("k{at:03}"), value: value.into(), collection: collection.into() };
                self.session.reply(&transaction, Type::PutState, put.encode_to_vec()).await;
                assert_eq!(self.session.receive().await.r#type(), Type::Response);
            }
        }
        self.session.complete(&transaction, "").await;
        let commit = client.await.unwrap().unwrap();
        within(self.world.network.wait_for_block(CHANNEL, commit.block)).await.unwrap();
    }

    async fn end(self) {
        self.server.stop().await;
        self.world.stop().await;
    }
}

impl Running<'_> {
    async fn ask(&mut self, kind: Type, payload: impl Message) -> Result<QueryResponse, String> {
        self.session.reply(&self.transaction, kind, payload.encode_to_vec()).await;
        let answer = self.session.receive().await;
        match answer.r#type() {
            Type::Response => Ok(QueryResponse::decode(answer.payload).unwrap()),
            Type::Error => Err(String::from_utf8(answer.payload.to_vec()).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    async fn query(&mut self, query: &str, collection: &str) -> Result<QueryResponse, String> {
        let query =
            GetQueryResult { query: query.into(), collection: collection.into(), metadata: Bytes::new() };
        self.ask(Type::GetQueryResult, query).await
    }

    async fn page(&mut self, query: &str, page_size: i32, bookmark: &str) -> (Vec<String>, String) {
        let metadata = QueryMetadata { page_size, bookmark: bookmark.into() }.encode_to_vec().into();
        let query = GetQueryResult { query: query.into(), collection: String::new(), metadata };
        let response = self.ask(Type::GetQueryResult, query).await.unwrap();
        assert!(!response.has_more, "a page is one answer");
        let page = QueryResponseMetadata::decode(response.metadata.clone()).unwrap();
        let keys = keys(&response);
        assert_eq!(usize::try_from(page.fetched_records_count), Ok(keys.len()));
        (keys, page.bookmark)
    }

    async fn end(self) {
        self.session.complete(&self.transaction, "done").await;
        assert_eq!(within(self.client).await.unwrap().unwrap(), "done");
    }
}

fn rows(response: &QueryResponse) -> Vec<Kv> {
    response.results.iter().map(|row| Kv::decode(row.result_bytes.clone()).unwrap()).collect()
}

fn keys(response: &QueryResponse) -> Vec<String> {
    rows(response).into_iter().map(|row| row.key).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn results_come_in_batches_and_pages_and_from_collections() {
    let mut stage = Stage::set(|_| {}).await;
    stage.fill(250).await;
    let mut running = stage.evaluate().await;

    let all = r#"{"selector":{"n":{"$gte":20}},"sort":[{"n":"desc"}],"fields":["n"]}"#;
    let first = running.query(all, "").await.unwrap();
    assert!(first.has_more);
    assert_eq!(first.results.len(), 100);
    let row = rows(&first).remove(0);
    assert_eq!(
        (row.namespace.as_str(), row.key.as_str(), &row.value[..]),
        ("docs", "k249", &b"{\"n\":249}"[..])
    );
    let second = running.ask(Type::QueryStateNext, QueryStateNext { id: first.id }).await.unwrap();
    let third = running.ask(Type::QueryStateNext, QueryStateNext { id: second.id.clone() }).await.unwrap();
    assert_eq!(
        (second.has_more, third.has_more, keys(&third).last().unwrap().as_str()),
        (true, false, "k020")
    );

    let bens = r#"{"selector":{"owner":"ben"},"limit":3}"#;
    let (mut found, mut bookmark) = running.page(bens, 50, "").await;
    while bookmark != "nil" {
        let (page, next) = running.page(bens, 50, &bookmark).await;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 50);
        found.extend(page);
        bookmark = next;
    }
    assert_eq!(found.len(), 125);
    assert_eq!(found.last().unwrap(), "k249");

    let secrets = running.query(r#"{"selector":{"owner":"Ann","n":{"$lt":5}}}"#, "secrets").await.unwrap();
    assert_eq!(keys(&secrets), ["k000", "k002", "k004"]);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_query_says_why_and_the_transaction_goes_on() {
    let mut stage = Stage::set(|_| {}).await;
    let mut running = stage.evaluate().await;
    let error = running.query(r#"{"selector":{"a":{"$like":"b"}}}"#, "").await.unwrap_err();
    let text = "error handling CouchDB request. Error:invalid_operator,  Status Code:400,  Reason:Invalid operator: $like";
    assert!(error.starts_with("GET_QUERY_RESULT failed: transaction ID: "), "{error}");
    assert!(error.ends_with(text), "{error}");
    let error = running.query(r#"{"selector":{}}"#, "none").await.unwrap_err();
    assert!(error.ends_with("collection mychannel/docs/none could not be found"), "{error}");
    assert_eq!(running.query(r#"{"selector":{}}"#, "").await.unwrap().results.len(), 0);
    running.end().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_without_rich_queries_answers_as_leveldb_does() {
    let mut stage = Stage::set(|config| config.requests.rich_queries = false).await;
    let mut running = stage.evaluate().await;
    for collection in ["", "secrets"] {
        let error = running.query(r#"{"selector":{}}"#, collection).await.unwrap_err();
        assert!(error.ends_with(": ExecuteQuery not supported for leveldb"), "{error}");
    }
    running.end().await;
    stage.end().await;
}

/// Fills the ledger, or lists what a query finds at once and page by page.
async fn library(ctx: Context) -> Response {
    match run(&ctx).await {
        Ok(text) => Response::success(text),
        Err(error) => Response::error(error.to_string()),
    }
}

async fn run(ctx: &Context) -> Result<String, LedgerError> {
    const QUERY: &str = r#"{"selector":{"size":{"$gt":1}},"sort":[{"size":"desc"}]}"#;
    if ctx.args()[0] == "fill" {
        for (key, size) in [("a", 1), ("b", 2), ("c", 5), ("d", 3)] {
            ctx.put(key, format!("{{\"size\":{size}}}")).await?;
        }
        return Ok(String::new());
    }
    let mut keys = Vec::new();
    let mut found = ctx.rich_query(QUERY).await?;
    while let Some(entry) = found.next().await? {
        keys.push(entry.key);
    }
    let mut bookmark = String::new();
    loop {
        let page = ctx.rich_query_page(QUERY, 2, &bookmark).await?;
        if page.entries.is_empty() {
            return Ok(keys.join(" "));
        }
        keys.push("|".to_owned());
        keys.extend(page.entries.into_iter().map(|entry| entry.key));
        bookmark = page.bookmark;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_contract_of_the_library_lists_and_pages() {
    let world = World::start().await;
    let place = world.deploy("docs").await;
    let serving = support::serve(&place, library).await;
    world.submit(call("docs", "fill")).await.unwrap();
    assert_eq!(world.evaluate(call("docs", "list")).await.unwrap(), "c d b | c d | b");
    serving.stop().await;
    world.stop().await;
}
