//! A client follows what a chaincode tells, across a restart of the whole network.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use selvedge::tls::{Identity, ServerTls};
use selvedge::{Chaincode, Context, Response, Server};
use selvedge_client::{
    BlockPosition, BlockRange, ChaincodeEvent, Checkpoint, Definition, Gateway, ProposalBuilder,
};
use selvedge_network::identities::Member;
use selvedge_network::{Deployment, EdgeServer, Network, NetworkConfig, Ports};
use selvedge_proto::protos::filtered_transaction::Data;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const CHANNEL: &str = "mychannel";

/// A safety net: nothing here is meant to take as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// Puts its second argument under its first one and tells of it.
struct Teller;

#[async_trait::async_trait]
impl Chaincode for Teller {
    async fn invoke(&self, ctx: &Context) -> Response {
        let told = async {
            let (name, parameters) = ctx.function_and_parameters().map_err(|error| error.to_string())?;
            let value = parameters.first().copied().unwrap_or_default().to_owned();
            ctx.put(name, value.clone()).await.map_err(|error| error.to_string())?;
            ctx.set_event(name, value).map_err(|error| error.to_string())
        };
        match told.await {
            Ok(()) => Response::success(""),
            Err(error) => Response::error(error),
        }
    }
}

struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

async fn serve(place: &EdgeServer, package_id: &str) -> Serving {
    let identity = Identity::from_files(&place.certificate_file, &place.key_file).unwrap();
    let tls = ServerTls::builder(identity)
        .require_client_certificates(std::fs::read(&place.client_authority_file).unwrap())
        .build()
        .unwrap();
    let server = Server::new(Teller, package_id, tls).bind(place.address.clone()).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        server.serve(async { drop(stopped.await) }).await.unwrap();
    });
    Serving { stop, task }
}

async fn start(folder: &Path) -> Network {
    let config = NetworkConfig { ports: Ports::Free, ..NetworkConfig::test_network(folder, 1) };
    Network::start(config).await.unwrap()
}

fn member(network: &Network) -> &Member {
    network.organizations()[0].member("User1@org1.example.com").unwrap()
}

async fn user(network: &Network) -> Gateway {
    network.gateway(&network.peers()[0], member(network)).await.unwrap()
}

async fn tell(user: &Gateway, name: &'static str, value: &'static str) -> (String, u64) {
    let call = ProposalBuilder::new(CHANNEL, "teller").arg(name).arg(value);
    let (submitted, commit) = user.submit_and_wait(call, &[]).await.unwrap();
    (submitted.tx_id, commit.block)
}

/// The next events from a checkpoint on.
async fn follow(user: &Gateway, from: &Checkpoint, count: usize) -> Vec<ChaincodeEvent> {
    let events = user.chaincode_events(CHANNEL, "teller", from).await.unwrap();
    let events = events.map(Result::unwrap).take(count).collect();
    tokio::time::timeout(PATIENCE, events).await.expect("in time")
}

fn names(events: &[ChaincodeEvent]) -> Vec<(&str, &[u8])> {
    events.iter().map(|event| (event.name.as_str(), &event.payload[..])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_replayed_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let network = start(folder.path()).await;
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let place = network.edge().server("teller", &address).unwrap();
    let deployment = Deployment {
        channel: CHANNEL.to_owned(),
        definition: Definition {
            name: "teller".to_owned(),
            version: "1.0".to_owned(),
            sequence: 1,
            ..Definition::default()
        },
        package: place.package("teller_1").unwrap().bytes().to_vec().into(),
    };
    let package_id = network.deploy(&deployment).await.unwrap();
    let serving = serve(&place, &package_id).await;

    let client = user(&network).await;
    let (first, first_block) = tell(&client, "first", "one").await;
    let (second, _) = tell(&client, "second", "two").await;
    let events = follow(&client, &Checkpoint::start(), 2).await;
    assert_eq!(names(&events), [("first", &b"one"[..]), ("second", b"two")]);
    assert_eq!((&events[0].tx_id, events[0].block), (&first, first_block));
    let checkpoint = events[0].checkpoint();

    // A reader of filtered blocks learns that there was an event, and not what it says.
    let deliver = network.deliver(&network.peers()[0], member(&network)).await.unwrap();
    let last = BlockRange::new(BlockPosition::Number(first_block), BlockPosition::Newest);
    let blocks: Vec<_> = deliver.filtered_blocks(CHANNEL, last).await.unwrap().collect().await;
    let events = blocks.into_iter().flat_map(|block| block.unwrap().filtered_transactions);
    let events: Vec<_> = events
        .filter_map(|transaction| match transaction.data? {
            Data::TransactionActions(actions) => actions.chaincode_actions.into_iter().next(),
        })
        .map(|action| action.chaincode_event.unwrap())
        .collect();
    assert_eq!(events.iter().map(|event| &event.tx_id).collect::<Vec<_>>(), [&first, &second]);
    assert!(events.iter().all(|event| event.payload.is_empty() && event.chaincode_id == "teller"));

    // A client that still listens learns of the end, and holds it up for nobody.
    let mut listening = client.chaincode_events(CHANNEL, "teller", &Checkpoint::now()).await.unwrap();
    tokio::time::timeout(PATIENCE, network.shutdown()).await.expect("in time");
    let end = tokio::time::timeout(PATIENCE, listening.next()).await.expect("in time");
    assert!(end.unwrap().is_err());

    let network = start(folder.path()).await;
    let client = user(&network).await;
    assert_eq!(names(&follow(&client, &checkpoint, 1).await), [("second", &b"two"[..])]);
    let (third, third_block) = tell(&client, "third", "three").await;
    let events = follow(&client, &checkpoint, 2).await;
    assert_eq!(names(&events), [("second", &b"two"[..]), ("third", b"three")]);
    assert_eq!((&events[1].tx_id, events[1].block), (&third, third_block));

    serving.stop.send(()).unwrap();
    serving.task.await.unwrap();
    network.shutdown().await;
}
