//! Contracts through the real server: routing, parameters, results, events and who is asking.

use std::collections::BTreeMap;

use selvedge::{Bytes, ClientIdentityError, Context, Contracts, LedgerError, Query, Response, contract};
use selvedge_pki::{Authority, LeafSpec, Usage};
use selvedge_proto::common::{ChannelHeader, Header, HeaderType, SignatureHeader};
use selvedge_proto::msp::SerializedIdentity;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{ChaincodeProposalPayload, Proposal, SignedProposal};
use selvedge_session::Invocation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::peer::{Peer, input, response};
use crate::support::{Running, authority};

#[derive(Serialize, Deserialize)]
struct Book {
    title: String,
    pages: u32,
}

struct Library;

#[contract(rename_all = "PascalCase")]
impl Library {
    #[transaction]
    async fn add(&self, ctx: &Context, id: String, book: Book) -> Result<(), LedgerError> {
        ctx.put(&id, serde_json::to_vec(&book).expect("JSON")).await?;
        ctx.set_event("Added", id)?;
        Ok(())
    }

    #[transaction]
    async fn lengthen(&self, _ctx: &Query, mut book: Book, by: u32, really: bool) -> Result<Book, String> {
        if !really {
            return Err("not really".to_owned());
        }
        book.pages += by;
        Ok(book)
    }

    #[transaction]
    async fn reverse(&self, _ctx: &Query, mut bytes: Vec<u8>) -> Result<Bytes, String> {
        bytes.reverse();
        Ok(bytes.into())
    }

    #[transaction(name = "librarian")]
    async fn check_librarian(&self, ctx: &Query) -> Result<String, ClientIdentityError> {
        let client = ctx.client_identity()?;
        client.assert_attribute("role", "librarian")?;
        Ok(client.msp_id().to_owned())
    }

    #[transaction]
    async fn panics(&self, _ctx: &Query) -> Result<(), String> {
        Err(helper())
    }

    #[cfg(any())]
    #[transaction]
    async fn absent(&self, _ctx: &Query) -> Result<NoSuchType, String> {
        Err(helper())
    }
}

/// Functions that are not marked are not the clients'.
fn helper() -> String {
    panic!("as it is called")
}

struct Desk;

#[contract(name = "front:desk", default)]
impl Desk {
    #[transaction]
    async fn count(&self, _ctx: &Query, ids: Vec<String>) -> Result<usize, String> {
        Ok(ids.len())
    }
}

struct Case<'a> {
    args: &'a [&'a str],
    status: i32,
    text: &'a str,
}

const fn ok<'a>(args: &'a [&'a str], text: &'a str) -> Case<'a> {
    Case { args, status: 200, text }
}

const fn fails<'a>(args: &'a [&'a str], text: &'a str) -> Case<'a> {
    Case { args, status: 500, text }
}

async fn check(chaincode: impl selvedge::Chaincode, cases: &[Case<'_>]) {
    let server = Running::start(chaincode).await;
    let peer = Peer::new(server.connect().await).await;
    for (n, case) in cases.iter().enumerate() {
        let response = peer.invoke(&n.to_string(), case.args).await;
        let payload = String::from_utf8_lossy(&response.payload).into_owned();
        let text = if case.status == 200 { payload } else { response.message };
        assert_eq!((response.status, &*text), (case.status, case.text), "{:?}", case.args);
    }
    server.stop().await;
}

#[tokio::test]
async fn functions_are_found_as_in_go() {
    let contracts = Contracts::new().with(Library).with(Desk);
    let cases = [
        ok(&["count", r#"["a","b"]"#], "2"),
        ok(&["front:desk:count", "[]"], "0"),
        ok(&["Library:Reverse", "abc"], "cba"),
        ok(&["Library:reverse", "abc", "ignored"], "cba"),
        fails(&["Library:REVERSE", "abc"], "Function REVERSE not found in contract Library"),
        fails(&["Reverse", "abc"], "Function Reverse not found in contract front:desk"),
        fails(&["Library:helper"], "Function helper not found in contract Library"),
        fails(&["Library:absent"], "Function absent not found in contract Library"),
        fails(&["library:reverse"], "Contract not found with name library"),
        fails(&[":count"], "Contract not found with name "),
        fails(&["front:desk:"], "Blank function name passed"),
        fails(&[""], "Blank function name passed"),
        fails(&[], "Blank function name passed"),
        fails(
            &["org.hyperledger.fabric:Nothing"],
            "Function Nothing not found in contract org.hyperledger.fabric",
        ),
    ];
    check(contracts, &cases).await;
    check(Contracts::new(), &[fails(&["count"], "Contract not found with name ")]).await;
}

#[tokio::test]
async fn parameters_and_results_have_the_forms_of_their_types() {
    const BOOK: &str = r#"{"pages":7,"title":"\"It\" <b>"}"#;
    let cases = [
        ok(&["Lengthen", BOOK, "3", "T"], r#"{"pages":10,"title":"\"It\" <b>"}"#),
        fails(&["Lengthen", BOOK, "3", ""], "not really"),
        fails(&["Lengthen", BOOK], "incorrect number of params. Expected 3, received 1"),
        fails(
            &["Lengthen", BOOK, "-3", "true"],
            "error managing parameter by. conversion error. cannot convert passed value -3 to uint32",
        ),
        ok(&["Add", "b1", BOOK], ""),
    ];
    check(Library, &cases).await;
}

#[tokio::test]
async fn events_failures_and_bytes() {
    let server = Running::start(Library).await;
    let peer = Peer::new(server.connect().await).await;
    let book = r#"{"title":"It","pages":7}"#;
    let added = peer.transact("t1", Invocation::Transaction, input(&["add", "b1", book]), None).await;
    let event = added.message.chaincode_event.as_ref().expect("an event");
    assert_eq!((&*event.event_name, &event.payload[..]), ("Added", &b"b1"[..]));
    assert_eq!(response(added).status, Response::OK);

    let reversed = peer.invoke("t2", &[&b"reverse"[..], b"\xff\x00a"]).await;
    assert_eq!(reversed.payload, Bytes::from_static(b"a\x00\xff"));
    let text = peer.invoke("t3", &[&b"add"[..], b"\xff", book.as_bytes()]).await;
    assert!(text.message.starts_with("error managing parameter id. conversion error. value is not UTF-8"));
    let name = peer.invoke("t4", &[&b"\xff"[..]]).await;
    assert_eq!(name.message, "the function's name is not UTF-8");

    let panicked = peer.transact("t5", Invocation::Transaction, input(&["panics"]), None).await;
    assert!(crate::peer::failure(panicked).contains("panicked"));
    let again = peer.invoke("t6", &["reverse", "ab"]).await;
    assert_eq!(again.payload, Bytes::from_static(b"ba"));
    server.stop().await;
}

#[tokio::test]
async fn initialisation_without_a_function_succeeds() {
    let server = Running::start(Library).await;
    let peer = Peer::new(server.connect().await).await;
    for (tx_id, args, payload) in
        [("t1", &[][..], "Default initiator successful."), ("t2", &["reverse", "ab"][..], "ba")]
    {
        let done = peer.transact(tx_id, Invocation::Init, input(args), None).await;
        assert_eq!(response(done).payload, Bytes::from_static(payload.as_bytes()));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_contract_asks_who_is_calling() {
    let server = Running::start(Library).await;
    let peer = Peer::new(server.connect().await).await;
    let org1 = authority("org1");
    let cases = [
        (Some("librarian"), 200, "Org1MSP"),
        (Some("reader"), 500, "attribute 'role' equals 'reader', not 'librarian'"),
        (None, 500, "attribute 'role' was not found"),
    ];
    for (n, (role, status, text)) in cases.into_iter().enumerate() {
        let proposal = Some(proposal(&org1, role));
        let done =
            peer.transact(&n.to_string(), Invocation::Transaction, input(&["librarian"]), proposal).await;
        let response = response(done);
        let payload = String::from_utf8_lossy(&response.payload).into_owned();
        assert_eq!((response.status, response.message + &payload), (status, text.to_owned()));
    }
    server.stop().await;
}

#[tokio::test]
async fn metadata_describes_all_contracts() {
    let server = Running::start(Contracts::new().with(Library).with(Desk)).await;
    let peer = Peer::new(server.connect().await).await;
    let response = peer.invoke("t1", &["org.hyperledger.fabric:GetMetadata"]).await;
    let document: Value = serde_json::from_slice(&response.payload).expect("JSON");
    assert_eq!(document.to_string().as_bytes(), response.payload, "sorted and in one line");
    let contracts = document["contracts"].as_object().expect("contracts");
    let names: Vec<_> = contracts.keys().collect();
    assert_eq!(names, ["Library", "front:desk", "org.hyperledger.fabric"]);
    assert_eq!(contracts["front:desk"]["default"], true);
    assert_eq!(contracts["Library"]["default"], false);
    let transactions = contracts["Library"]["transactions"].as_array().expect("transactions");
    let names: Vec<_> = transactions.iter().map(|transaction| &transaction["name"]).collect();
    assert_eq!(names, ["Add", "Lengthen", "Panics", "Reverse", "librarian"]);
    assert_eq!(transactions[0]["tag"], json!(["SUBMIT", "submit", "submitTx"]));
    assert_eq!(transactions[1]["tag"], json!(["EVALUATE", "evaluate", "evaluateTx"]));
    // A type that tells no schema allows everything.
    assert_eq!(
        transactions[1]["parameters"],
        json!([
            {"name": "book", "schema": {}},
            {"name": "by", "schema": {"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX}},
            {"name": "really", "schema": {"type": "boolean"}},
        ])
    );
    assert_eq!(transactions[3]["returns"], json!({"type": "string", "format": "byte"}));
    server.stop().await;
}

#[test]
#[should_panic(expected = r#"there is a contract of the name "Library" already"#)]
fn two_contracts_of_one_name_are_refused() {
    drop(Contracts::new().with(Library).with(Library));
}

fn proposal(authority: &Authority, role: Option<&str>) -> SignedProposal {
    let spec = LeafSpec {
        common_name: "user".into(),
        usage: Usage::Signing,
        attributes: role
            .map(|role| ("role".to_owned(), role.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        ..LeafSpec::default()
    };
    let leaf = authority.issue(&spec).expect("a certificate");
    let identity = SerializedIdentity {
        mspid: "Org1MSP".into(),
        id_bytes: Bytes::copy_from_slice(leaf.certificate_pem.as_bytes()),
    };
    let channel =
        ChannelHeader { r#type: HeaderType::EndorserTransaction.into(), ..ChannelHeader::default() };
    let signature =
        SignatureHeader { creator: identity.encode_to_vec().into(), ..SignatureHeader::default() };
    let header = Header {
        channel_header: channel.encode_to_vec().into(),
        signature_header: signature.encode_to_vec().into(),
    };
    let proposal = Proposal {
        header: header.encode_to_vec().into(),
        payload: ChaincodeProposalPayload::default().encode_to_vec().into(),
        ..Proposal::default()
    };
    SignedProposal { proposal_bytes: proposal.encode_to_vec().into(), signature: "sig".into() }
}
