//! What a chaincode and a client may ask of a running peer: histories in batches, with the settings that bound them, and
//! the system chaincodes.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod endorser_support;
#[allow(dead_code, reason = "it serves the tests of the host, which use more of it")]
mod host_server;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use selvedge_package::pack::PackageBuilder;
use selvedge_proto::common::{Block, BlockchainInfo};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeInput, ChaincodeMessage, ChannelQueryResponse, GetHistoryForKey, ProcessedTransaction,
    QueryResponse, QueryStateClose, QueryStateNext, TxValidationCode,
};
use selvedge_proto::queryresult::KeyModification;
use selvedge_session::query::Limits;
use tonic::Code;

use endorser_support::{CHANNEL, Draft, Network, define, install};
use host_server::{Certificates, Server, Session};

/// A network with the chaincode `basic`, whose server the test plays.
struct Running {
    network: Arc<Network>,
    _server: Server,
}

/// What the chaincode does: `put KEY VALUE`, `history KEY`, `first KEY`.
async fn play(mut session: Session) {
    loop {
        let begin = session.receive().await;
        let input = ChaincodeInput::decode(begin.payload.clone()).unwrap();
        let args: Vec<String> =
            input.args.iter().map(|arg| String::from_utf8(arg.to_vec()).unwrap()).collect();
        match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["put", key, value] => {
                let answer = session.put(&begin, key, value.as_bytes()).await;
                session.complete(&begin, 200, &answer.payload).await;
            }
            ["history", key] => match history(&mut session, &begin, key).await {
                Ok(told) => session.complete(&begin, 200, told.as_bytes()).await,
                Err(error) => session.complete(&begin, 500, &error).await,
            },
            ["first", key] => {
                let told = first_batch(&mut session, &begin, key).await;
                session.complete(&begin, 200, told.as_bytes()).await;
            }
            _ => session.complete(&begin, 500, b"no such function").await,
        }
    }
}

async fn ask(
    session: &mut Session,
    begin: &ChaincodeMessage,
    what: Type,
    request: impl Message,
) -> Result<QueryResponse, Bytes> {
    session.reply(begin, what, request.encode_to_vec()).await;
    let answer = session.receive().await;
    match answer.r#type() {
        Type::Response => Ok(QueryResponse::decode(answer.payload).unwrap()),
        _ => Err(answer.payload),
    }
}

/// The sizes of the batches, then the values, the newest first.
async fn history(session: &mut Session, begin: &ChaincodeMessage, key: &str) -> Result<String, Bytes> {
    let request = GetHistoryForKey { key: key.to_owned() };
    let mut batch = ask(session, begin, Type::GetHistoryForKey, request).await?;
    let (mut sizes, mut values) = (Vec::new(), Vec::new());
    loop {
        sizes.push(batch.results.len().to_string());
        for result in batch.results {
            let change = KeyModification::decode(result.result_bytes).unwrap();
            assert!(!change.tx_id.is_empty() && change.timestamp.is_some());
            assert_eq!(change.is_delete, change.value.is_empty());
            values.push(String::from_utf8(change.value.to_vec()).unwrap());
        }
        if !batch.has_more {
            return Ok(format!("{}: {}", sizes.join("+"), values.join(" ")));
        }
        batch = ask(session, begin, Type::QueryStateNext, QueryStateNext { id: batch.id }).await?;
    }
}

/// Closes a history after its first batch; what comes of asking for more.
async fn first_batch(session: &mut Session, begin: &ChaincodeMessage, key: &str) -> String {
    let request = GetHistoryForKey { key: key.to_owned() };
    let batch = ask(session, begin, Type::GetHistoryForKey, request).await.unwrap();
    assert!(batch.has_more);
    let id = batch.id;
    let closed =
        ask(session, begin, Type::QueryStateClose, QueryStateClose { id: id.clone() }).await.unwrap();
    assert_eq!(closed, QueryResponse { id: id.clone(), ..QueryResponse::default() });
    let refused = ask(session, begin, Type::QueryStateNext, QueryStateNext { id }).await.unwrap_err();
    String::from_utf8(refused.to_vec()).unwrap()
}

impl Running {
    async fn start(history: bool, queries: Limits) -> Self {
        let network = Arc::new(Network::with(history, queries).await);
        let certificates = Certificates::new();
        let mut server = Server::start(certificates.mutual()).await;
        let connection = certificates.connection(server.address);
        let package =
            PackageBuilder::new("basic_1").unwrap().connection(&connection).unwrap().build().unwrap();
        let package_id = install(&network, package.bytes().clone()).await;
        define(&network, "basic", &package_id, false).await;
        let caller = Arc::clone(&network);
        let first = tokio::spawn(async move { caller.evaluate("basic", &[b"none"]).await });
        let session = server.accept_ready(&package_id).await;
        tokio::spawn(play(session));
        assert_eq!(first.await.unwrap().unwrap_err().code, Code::Unknown);
        Self { network, _server: server }
    }

    /// Puts a value and returns the transaction's id.
    async fn put(&self, key: &str, value: &str) -> String {
        let draft = Draft::new("basic", &[b"put", key.as_bytes(), value.as_bytes()]);
        let tx_id = draft.tx_id(&self.network.org.client);
        let status = self.network.submit(&self.network.org.client, draft).await.unwrap();
        assert_eq!(status.result(), TxValidationCode::Valid);
        tx_id
    }

    async fn asked(&self, args: &[&[u8]]) -> Result<String, String> {
        match self.network.evaluate("basic", args).await {
            Ok(response) => Ok(String::from_utf8(response.payload.to_vec()).unwrap()),
            Err(error) => Err(error.message),
        }
    }
}

#[tokio::test]
async fn a_history_comes_in_batches_of_a_hundred() {
    let running = Running::start(true, Limits::default()).await;
    for number in 0..104 {
        running.put("k", &number.to_string()).await;
    }
    running.put("k", "").await;
    running.put("k2", "another").await;
    let values: Vec<_> = (0..104).rev().map(|number| number.to_string()).collect();
    let expected = format!("100+5:  {}", values.join(" "));
    assert_eq!(running.asked(&[b"history", b"k"]).await, Ok(expected));
    assert_eq!(running.asked(&[b"history", b"never"]).await, Ok("0: ".to_owned()));
    let refused = running.asked(&[b"first", b"k"]).await.unwrap();
    assert!(refused.ends_with(": query iterator not found"), "{refused}");
}

#[tokio::test]
async fn the_total_limit_cuts_a_history_without_a_word() {
    let queries = Limits { total_results: 3, ..Limits::default() };
    let running = Running::start(true, queries).await;
    for number in 0..5 {
        running.put("k", &number.to_string()).await;
    }
    assert_eq!(running.asked(&[b"history", b"k"]).await, Ok("3: 4 3 2".to_owned()));
}

#[tokio::test]
async fn a_peer_without_histories_has_fabrics_text() {
    let running = Running::start(false, Limits::default()).await;
    running.put("k", "value").await;
    let refused = running.network.evaluate("basic", &[b"history", b"k"]).await.unwrap_err();
    assert_eq!(refused.code, Code::Unknown);
    let response = running.network.endorser_says(&[b"history", b"k"]).await;
    let text = String::from_utf8(response.payload.to_vec()).unwrap();
    assert!(text.starts_with("GET_HISTORY_FOR_KEY failed: transaction ID: "), "{text}");
    assert!(text.ends_with(": history database is not enabled"), "{text}");
}

#[tokio::test]
async fn system_chaincodes_are_evaluated_through_the_gateway() {
    let running = Running::start(true, Limits::default()).await;
    let tx_id = running.put("k", "value").await;
    let network = &running.network;
    let qscc = async |function: &str, argument: &[u8]| {
        network.evaluate("qscc", &[function.as_bytes(), CHANNEL.as_bytes(), argument]).await.unwrap().payload
    };
    let info = BlockchainInfo::decode(qscc("GetChainInfo", b"").await).unwrap();
    let newest = (info.height - 1).to_string();
    let block = Block::decode(qscc("GetBlockByNumber", newest.as_bytes()).await).unwrap();
    assert_eq!(block.header.as_ref().unwrap().previous_hash, info.previous_block_hash);
    assert_eq!(Block::decode(qscc("GetBlockByHash", &info.current_block_hash).await).unwrap(), block);
    assert_eq!(Block::decode(qscc("GetBlockByTxID", tx_id.as_bytes()).await).unwrap(), block);
    let found = ProcessedTransaction::decode(qscc("GetTransactionByID", tx_id.as_bytes()).await).unwrap();
    assert_eq!(found.validation_code, TxValidationCode::Valid as i32);
    assert_eq!(found.transaction_envelope.unwrap().encode_to_vec(), block.data.unwrap().data[0]);

    let joined = network.evaluate("cscc", &[b"GetChannels"]).await.unwrap().payload;
    let joined = ChannelQueryResponse::decode(joined).unwrap();
    assert_eq!(joined.channels[0].channel_id, CHANNEL);
    let refused =
        network.evaluate("qscc", &[b"GetBlockByNumber", CHANNEL.as_bytes(), b"99"]).await.unwrap_err();
    assert_eq!(refused.code, Code::Unknown);
    assert!(
        refused.message.ends_with("Failed to get block number 99, error no such block number [99] in index"),
        "{}",
        refused.message
    );
    let gone = network.evaluate("lscc", &[b"GetChaincodes"]).await.unwrap_err();
    let details: Vec<_> = gone.details.iter().map(|detail| detail.message.as_str()).collect();
    assert!(details[0].contains("could not launch chaincode lscc.syscc"), "{details:?}");
}
