//! What stands around a contract's functions: hooks, data of the transaction, transient and private parameters, states
//! and error codes.

use std::collections::BTreeMap;
use std::fmt;

use selvedge::{
    Bytes, Collection, CollectionContext, Context, ErrorCode, LedgerError, Query, Response, State, contract,
};
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{ChaincodeProposalPayload, Proposal, SignedProposal};
use selvedge_session::request::AnyRequest;
use selvedge_session::{Invocation, TxKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::peer::{CHANNEL, Peer, Puppet, input, response};
use crate::support::Running;

#[derive(Debug, PartialEq, Serialize, Deserialize, State)]
struct Asset {
    #[key]
    id: String,
    value: u64,
    /// Sorted before the others on the ledger.
    colour: Option<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, State)]
#[state(object_type = "bid")]
struct Bid {
    #[key]
    asset: String,
    #[key]
    number: u32,
    price: u64,
}

#[derive(Debug, ErrorCode)]
enum AssetError {
    #[code("ASSET_MISSING", status = 404)]
    Missing(String),
    #[code("LEDGER")]
    Ledger { source: LedgerError },
    #[code("CLOSED", status = 423)]
    Closed,
}

impl fmt::Display for AssetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(id) => write!(f, "the asset {id} does not exist"),
            Self::Ledger { source } => write!(f, "{source}"),
            Self::Closed => f.write_str("it is closed"),
        }
    }
}

impl From<LedgerError> for AssetError {
    fn from(source: LedgerError) -> Self {
        Self::Ledger { source }
    }
}

/// What the hook found out.
struct Opened(u64);

struct Market;

#[contract(rename_all = "PascalCase")]
impl Market {
    #[before_transaction]
    async fn open(&self, ctx: &Query) -> Result<(), AssetError> {
        ctx.set_data(Opened(7));
        match ctx.args().iter().any(|argument| argument == "closed") {
            true => Err(AssetError::Closed),
            false => Ok(()),
        }
    }

    #[after_transaction]
    async fn judge(&self, _ctx: &Query, response: &Response) -> Result<(), String> {
        match response.payload.starts_with(b"forbidden") {
            true => Err("this must not be said".to_owned()),
            false => Ok(()),
        }
    }

    #[unknown_transaction]
    async fn guess(&self, _ctx: &Query, function: &str) -> Result<String, String> {
        Ok(format!("what is {function}?"))
    }

    /// Gives back
    /// what it got.
    ///
    /// Twice.
    #[transaction]
    async fn echo(&self, _ctx: &Query, text: String) -> Result<String, String> {
        Ok(format!("{text}{text}"))
    }

    #[transaction]
    async fn opened(&self, ctx: &Query) -> Result<u64, String> {
        assert!(ctx.data::<String>().is_none());
        Ok(ctx.data::<Opened>().ok_or("not opened")?.0)
    }

    #[transaction]
    async fn keep(&self, ctx: &Context, id: String, value: u64) -> Result<(), AssetError> {
        ctx.store(&Asset { id: id.clone(), value, colour: Some("blue".into()) }).await?;
        ctx.store(&Bid { asset: id, number: 3, price: value }).await?;
        Ok(())
    }

    #[transaction]
    async fn find(&self, ctx: &Query, id: String) -> Result<u64, AssetError> {
        let asset = ctx.load::<Asset>(&id).await?.ok_or(AssetError::Missing(id))?;
        let bid = ctx.load::<Bid>((&asset.id, &3)).await?.ok_or(AssetError::Closed)?;
        Ok(asset.value + bid.price)
    }

    #[transaction]
    async fn total(&self, ctx: &Query) -> Result<u64, AssetError> {
        let (mut total, mut entries) = (0, ctx.range("", "").await?);
        while let Some(entry) = entries.next().await? {
            total += entry.json::<Asset>()?.value;
        }
        Ok(total)
    }

    #[transaction]
    async fn own_collection(&self, ctx: &Query) -> Result<String, AssetError> {
        let msp_id = ctx.peer_msp_id().map_err(LedgerError::from)?;
        Ok(ctx.implicit_collection(msp_id).name().to_owned())
    }

    #[transaction]
    async fn drop(&self, ctx: &Context, id: String) -> Result<(), AssetError> {
        ctx.remove::<Bid>((&id, &3)).await?;
        Ok(ctx.remove::<Asset>(&id).await?)
    }

    #[transaction]
    async fn appraise(
        &self,
        _ctx: &Context,
        id: String,
        #[transient] asset: Asset,
        #[transient("the price")] price: u64,
        #[private("appraisals")] appraisals: CollectionContext,
        #[private("others")] others: Collection,
    ) -> Result<String, AssetError> {
        appraisals.put(&id, price.to_string()).await?;
        Ok(format!("{} {price} {}", asset.value, others.name()))
    }
}

#[tokio::test]
async fn hooks_run_around_functions() {
    let server = Running::start(Market).await;
    let peer = Peer::new(server.connect().await).await;
    let cases = [
        (&["Echo", "a"][..], 200, "aa"),
        (&["Opened"], 200, "7"),
        (&["Echo", "closed"], 423, "CLOSED: it is closed"),
        // As in Go, it runs whether or not there is such a function.
        (&["Nothing", "closed"], 423, "CLOSED: it is closed"),
        (&["Nothing"], 200, "what is Nothing?"),
        (&["Echo", "forbidden"], 500, "this must not be said"),
    ];
    for (n, (args, status, text)) in cases.into_iter().enumerate() {
        let response = peer.invoke(&n.to_string(), args).await;
        let said = response.message + &String::from_utf8_lossy(&response.payload);
        assert_eq!((response.status, &*said), (status, text), "{args:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn states_are_kept_under_their_keys() {
    let server = Running::start(Market).await;
    let mut peer = Puppet::new(server.connect().await).await;
    peer.start("t1", &["Keep", "a1", "5"]).await;
    for (key, value) in [
        ("a1", r#"{"colour":"blue","id":"a1","value":5}"#),
        ("\u{0}bid\u{0}a1\u{0}3\u{0}", r#"{"asset":"a1","number":3,"price":5}"#),
    ] {
        let (transaction, ticket, request) = peer.request().await;
        assert!(
            matches!(&request, AnyRequest::PutState(put) if put.key == key && put.value == value),
            "{request:?}"
        );
        peer.respond(&transaction, ticket, Ok("".into())).await;
    }
    assert_eq!(response(peer.finished().await).status, 200);
    peer.start("t2", &["Find", "a1"]).await;
    peer.give("a1", "[]").await;
    let wrong = response(peer.finished().await);
    assert!(wrong.message.starts_with(r#"LEDGER: the value of key "a1" is not"#), "{}", wrong.message);
    server.stop().await;

    let server = Running::start(Market).await;
    let peer = Peer::new(server.connect().await).await;
    assert_eq!(peer.invoke("1", &["Keep", "a1", "5"]).await.status, 200);
    assert_eq!(peer.invoke("2", &["Find", "a1"]).await.payload, "10");
    assert_eq!(peer.invoke("3", &["Drop", "a1"]).await.status, 200);
    assert_eq!(peer.invoke("5", &["Keep", "a2", "6"]).await.status, 200);
    assert_eq!(peer.invoke("6", &["Keep", "a3", "7"]).await.status, 200);
    assert_eq!(peer.invoke("7", &["Total"]).await.payload, "13");
    let missing = peer.invoke("4", &["Find", "a1"]).await;
    assert_eq!((missing.status, &*missing.message), (404, "ASSET_MISSING: the asset a1 does not exist"));
    server.stop().await;
}

#[tokio::test]
async fn parameters_come_from_the_transient_map_and_from_collections() {
    let server = Running::start(Market).await;
    let mut peer = Puppet::new(server.connect().await).await;
    let good = [("asset", r#"{"id":"a1","value":4,"colour":null}"#), ("the price", "9")];
    peer.propose("t1", &["Appraise", "a1"], transient(&good)).await;
    let (transaction, ticket, request) = peer.request().await;
    assert!(
        matches!(&request, AnyRequest::PutState(put) if put.collection == "appraisals" && put.value == "9"),
        "{request:?}"
    );
    peer.respond(&transaction, ticket, Ok("".into())).await;
    assert_eq!(response(peer.finished().await).payload, "4 9 others");

    for (n, (entries, text)) in [
        (&good[1..], "asset not found in the transient map"),
        (&[("asset", "secret"), ("the price", "9")][..], "error managing parameter asset. conversion error."),
        (&[good[0], ("the price", "secret")][..], "error managing parameter the price. conversion error."),
    ]
    .into_iter()
    .enumerate()
    {
        peer.propose(&format!("w{n}"), &["Appraise", "a1"], transient(entries)).await;
        let refused = response(peer.finished().await);
        assert!(refused.message.starts_with(text), "{}", refused.message);
        assert!(!refused.message.contains("secret"), "{}", refused.message);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_contract_knows_whose_peer_it_serves_if_the_server_was_told() {
    for (msp_id, status, expected) in [
        (Some("Org1MSP"), 200, "_implicit_org_Org1MSP"),
        (
            None,
            500,
            "LEDGER: 'CORE_PEER_LOCALMSPID' is not set: the server needs it, or Server::peer_msp_id, to know the peer's \
             MSP",
        ),
    ] {
        let server = Running::start_with(Market, |server| match msp_id {
            Some(msp_id) => server.peer_msp_id(msp_id),
            None => server,
        })
        .await;
        let response = Peer::new(server.connect().await).await.invoke("1", &["OwnCollection"]).await;
        let said = response.message + &String::from_utf8_lossy(&response.payload);
        assert_eq!((response.status, said.as_str()), (status, expected));
        server.stop().await;
    }
}

#[tokio::test]
async fn metadata_tells_arguments_and_descriptions_only() {
    let server = Running::start(Market).await;
    let peer = Peer::new(server.connect().await).await;
    let metadata = peer.invoke("1", &["org.hyperledger.fabric:GetMetadata"]).await;
    let document: Value = serde_json::from_slice(&metadata.payload).expect("JSON");
    let transactions = document["contracts"]["Market"]["transactions"].as_array().expect("transactions");
    let found = |name: &str| transactions.iter().find(|one| one["name"] == name).expect("a transaction");
    assert_eq!(found("Echo")["description"], "Gives back what it got.\nTwice.");
    assert_eq!(found("Appraise")["parameters"].as_array().expect("parameters").len(), 1);
    assert!(transactions.iter().all(|one| one["name"] != "Guess" && one["name"] != "Open"));
    server.stop().await;
}

fn transient(entries: &[(&str, &'static str)]) -> SignedProposal {
    let transient_map: BTreeMap<String, Bytes> =
        entries.iter().map(|(name, value)| ((*name).to_owned(), Bytes::from(*value))).collect();
    let channel =
        ChannelHeader { r#type: HeaderType::EndorserTransaction.into(), ..ChannelHeader::default() };
    let header = Header {
        channel_header: channel.encode_to_vec().into(),
        signature_header: SignatureHeader::default().encode_to_vec().into(),
    };
    let payload = ChaincodeProposalPayload { transient_map, ..ChaincodeProposalPayload::default() };
    let proposal = Proposal {
        header: header.encode_to_vec().into(),
        payload: payload.encode_to_vec().into(),
        ..Proposal::default()
    };
    SignedProposal { proposal_bytes: proposal.encode_to_vec().into(), signature: "sig".into() }
}

impl Puppet {
    async fn propose(&mut self, tx_id: &str, args: &[&str], proposal: SignedProposal) {
        let transaction = TxKey::new(CHANNEL, tx_id);
        self.begin(transaction, Invocation::Transaction, &input(args), Some(proposal)).await;
    }
}
