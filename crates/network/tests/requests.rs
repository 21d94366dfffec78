//! The settings of a network reach what its peers answer: how much a query gives, whether keys have a history, and what
//! chaincode is offered. And the peers' own chaincodes are asked through the gateway.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use selvedge::{Context, LedgerError, Response};
use selvedge_client::ProposalBuilder;
use selvedge_network::RequestSettings;
use selvedge_proto::common::{Block, BlockchainInfo};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::ChannelQueryResponse;

use support::{CHANNEL, World, call, serve};

/// What the chaincode does: `fill` writes five keys, `many` counts what a range gives of them, `history` tells what
/// became of one.
async fn answer(ctx: &Context) -> Result<String, LedgerError> {
    let (function, _) = ctx.function_and_parameters().expect("text");
    match function {
        "fill" => {
            for number in 0..5 {
                ctx.put(&format!("k{number}"), "value").await?;
            }
            Ok(String::new())
        }
        "many" => {
            let mut rows = ctx.range("k", "l").await?;
            let mut count = 0;
            while rows.next().await?.is_some() {
                count += 1;
            }
            Ok(count.to_string())
        }
        _ => {
            let mut changes = ctx.history("k1").await?;
            let mut told = Vec::new();
            while let Some(change) = changes.next().await? {
                told.push(String::from_utf8_lossy(&change.value).into_owned());
            }
            Ok(told.join(" "))
        }
    }
}

async fn run(ctx: Context) -> Response {
    answer(&ctx).await.map_or_else(|error| Response::error(error.to_string()), Response::success)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_of_a_network_bound_what_chaincode_gets() {
    let requests =
        RequestSettings { total_query_limit: 3, history: false, rich_queries: false, runtime_params: None };
    let world = World::with(|config| config.requests = requests).await;
    let place = world.deploy("basic").await;
    let serving = serve(&place, run).await;
    world.submit(call("basic", "fill")).await.unwrap();
    assert_eq!(world.evaluate(call("basic", "many")).await.unwrap(), "3");
    let refused = world.evaluate(call("basic", "history")).await.unwrap_err();
    assert!(refused.contains("history database is not enabled"), "{refused}");
    serving.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_are_those_of_fabrics_sample() {
    let world = World::start().await;
    let place = world.deploy("basic").await;
    let serving = serve(&place, run).await;
    world.submit(call("basic", "fill")).await.unwrap();
    world.submit(call("basic", "fill")).await.unwrap();
    assert_eq!(world.evaluate(call("basic", "many")).await.unwrap(), "5");
    assert_eq!(world.evaluate(call("basic", "history")).await.unwrap(), "value value");
    serving.stop().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_own_chaincodes_answer_through_the_gateway() {
    let world = World::start().await;
    let ask =
        |chaincode: &str, function: &'static str| ProposalBuilder::new(CHANNEL, chaincode).arg(function);
    let info = world.evaluate(ask("qscc", "GetChainInfo").arg(CHANNEL)).await.unwrap();
    let info = BlockchainInfo::decode(info).unwrap();
    let newest = (info.height - 1).to_string();
    let block = world.evaluate(ask("qscc", "GetBlockByNumber").arg(CHANNEL).arg(newest)).await.unwrap();
    assert_eq!(Block::decode(block).unwrap().header.unwrap().previous_hash, info.previous_block_hash);
    let joined = world.evaluate(ask("cscc", "GetChannels")).await.unwrap();
    assert_eq!(ChannelQueryResponse::decode(joined).unwrap().channels[0].channel_id, CHANNEL);
    let refused =
        world.evaluate(ask("qscc", "GetBlockByHash").arg(CHANNEL).arg("nothing")).await.unwrap_err();
    assert!(refused.contains("no such block hash [6e6f7468696e67] in index"), "{refused}");
    world.stop().await;
}
