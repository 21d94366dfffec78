//! Rows of `docs/api.md` that no sample needs, on a real ledger.

use aws_lc_rs::digest::{SHA256, digest};
use selvedge::{
    Bytes, Collection, CollectionContext, CompositeKey, Context, KeyPolicy, KeyRole, LedgerError, Query,
    StateIterator, StatePage, contract,
};
use selvedge_network::testing::{Deploy, Identity, Ledger, Setup, TestNetwork, TxValidationCode};
use selvedge_proto::common::{ChannelHeader, Header, SignatureHeader};
use selvedge_proto::prost::Message;
use selvedge_proto::protos::Proposal;
use serde::{Deserialize, Serialize};

const ORG1: &str = "Org1MSP";
const ORG2: &str = "Org2MSP";

/// Either organisation's endorsement is enough, where no key says otherwise.
const EITHER: &str = "OR('Org1MSP.peer','Org2MSP.peer')";
const COLLECTIONS: &str = r#"[{"name":"both","policy":"OR('Org1MSP.member','Org2MSP.member')","requiredPeerCount":0,
    "maxPeerCount":1,"blockToLive":0,"memberOnlyRead":true,"memberOnlyWrite":true}]"#;

/// Keys with their values.
type Entries = Vec<(String, String)>;

/// Exactly what the stub gives.
struct Api;

/// What the stub says of a transaction.
#[derive(Serialize, Deserialize)]
struct About {
    tx_id: String,
    channel: String,
    creator: Bytes,
    msp_id: String,
    client: String,
    peer: String,
    seconds: i64,
    transient: String,
    binding: Vec<u8>,
    proposal: Bytes,
}

#[contract]
impl Api {
    #[transaction]
    async fn put(&self, ctx: &Context, entries: Entries) -> Result<(), LedgerError> {
        for (key, value) in entries {
            ctx.put(&key, value).await?;
        }
        Ok(())
    }

    #[transaction]
    async fn put_composite(
        &self,
        ctx: &Context,
        object_type: String,
        attributes: Vec<String>,
    ) -> Result<(), LedgerError> {
        ctx.put(&CompositeKey::new(&object_type, attributes)?, "value").await
    }

    #[transaction]
    async fn put_private(
        &self,
        ctx: &Context,
        entries: Entries,
        #[private("both")] both: CollectionContext,
    ) -> Result<(), LedgerError> {
        for (key, value) in entries {
            both.put(&key, value).await?;
        }
        both.put(&CompositeKey::new("bid", [ctx.channel_id(), "1"])?, "composite").await
    }

    #[transaction]
    async fn remove_private(
        &self,
        _ctx: &Context,
        deleted: String,
        purged: String,
        #[private("both")] both: CollectionContext,
    ) -> Result<(), LedgerError> {
        both.delete(&deleted).await?;
        both.purge(&purged).await
    }

    #[transaction]
    async fn many(&self, ctx: &Query, keys: Vec<String>) -> Result<Vec<Option<String>>, LedgerError> {
        Ok(texts(ctx.get_many(keys).await?))
    }

    #[transaction]
    async fn many_private(&self, ctx: &Query, keys: Vec<String>) -> Result<Vec<Option<String>>, LedgerError> {
        Ok(texts(ctx.collection("both")?.get_many(keys).await?))
    }

    #[transaction]
    async fn hash(&self, ctx: &Query, key: String) -> Result<Option<Vec<u8>>, LedgerError> {
        Ok(ctx.collection("both")?.hash(&key).await?.map(|hash| hash.to_vec()))
    }

    #[transaction]
    async fn range_private(&self, ctx: &Query, start: String, end: String) -> Result<Entries, LedgerError> {
        entries(ctx.collection("both")?.range(&start, &end).await?).await
    }

    #[transaction]
    async fn composite_private(&self, ctx: &Query, object_type: String) -> Result<Entries, LedgerError> {
        entries(ctx.collection("both")?.composite_range(&object_type, [ctx.channel_id()]).await?).await
    }

    /// The last attributes of the composite keys that begin with these.
    #[transaction]
    async fn composite(
        &self,
        ctx: &Query,
        object_type: String,
        first: Vec<String>,
    ) -> Result<Vec<String>, LedgerError> {
        lasts(entries(ctx.composite_range(&object_type, first).await?).await?)
    }

    #[transaction]
    async fn composite_page(
        &self,
        ctx: &Query,
        object_type: String,
        size: i32,
        bookmark: String,
    ) -> Result<(Vec<String>, String), LedgerError> {
        page(ctx.composite_range_page(&object_type, ["alice"], size, &bookmark).await?)
    }

    #[transaction]
    async fn every_composite_page(
        &self,
        ctx: &Query,
        size: i32,
        bookmark: String,
    ) -> Result<(Vec<String>, String), LedgerError> {
        page(ctx.composite_keys_page(size, &bookmark).await?)
    }

    /// Has Org2's peers endorse changes of a public and a private key.
    #[transaction]
    async fn guard(
        &self,
        ctx: &Context,
        key: String,
        #[private("both")] both: CollectionContext,
    ) -> Result<(), LedgerError> {
        let policy = KeyPolicy::all_of(KeyRole::Peer, [ORG2]);
        ctx.set_endorsement_policy(&key, &policy).await?;
        both.set_endorsement_policy(&key, &policy).await
    }

    /// The organisations in the policies of a public and a private key.
    #[transaction]
    async fn guards(&self, ctx: &Query, key: String) -> Result<Vec<Option<String>>, LedgerError> {
        let public = ctx.endorsement_policy(&key).await?;
        let private = ctx.collection("both")?.endorsement_policy(&key).await?;
        let names = |policy: KeyPolicy| policy.organizations().map(|(name, _)| name.to_owned()).collect();
        Ok(vec![public.map(names), private.map(names)])
    }

    #[transaction]
    async fn call(&self, ctx: &Context, chaincode: String, entries: String) -> Result<i32, LedgerError> {
        Ok(ctx.call(&chaincode, ["put", &entries]).await?.status)
    }

    #[transaction]
    async fn call_elsewhere(
        &self,
        ctx: &Query,
        channel: String,
        chaincode: String,
        keys: String,
    ) -> Result<Bytes, LedgerError> {
        Ok(ctx.call_on_channel(&channel, &chaincode, ["many", &keys]).await?.payload)
    }

    #[transaction]
    async fn about(&self, ctx: &Query) -> Result<About, LedgerError> {
        let client = ctx.client_identity().expect("a client");
        let secret = ctx.transient().get("secret").cloned().unwrap_or_default();
        Ok(About {
            tx_id: ctx.tx_id().to_owned(),
            channel: ctx.channel_id().to_owned(),
            creator: ctx.creator_bytes().clone(),
            msp_id: client.msp_id().to_owned(),
            client: client.id(),
            peer: ctx.peer_msp_id()?.to_owned(),
            seconds: ctx.timestamp().expect("a proposal").seconds,
            transient: String::from_utf8_lossy(&secret).into_owned(),
            binding: ctx.binding().expect("a proposal").to_vec(),
            proposal: ctx.signed_proposal().expect("a proposal").proposal_bytes.clone(),
        })
    }
}

fn texts(values: Vec<Option<Bytes>>) -> Vec<Option<String>> {
    let text = |value: Bytes| String::from_utf8_lossy(&value).into_owned();
    values.into_iter().map(|value| value.map(text)).collect()
}

async fn entries(found: StateIterator) -> Result<Entries, LedgerError> {
    let rows = found.take(usize::MAX).await?;
    Ok(rows.into_iter().map(|row| (row.key, String::from_utf8_lossy(&row.value).into_owned())).collect())
}

fn lasts(entries: Entries) -> Result<Vec<String>, LedgerError> {
    let last = |(key, _): (String, String)| {
        let key = CompositeKey::parse(&key)?;
        Ok(key.attributes().last().unwrap_or_default().to_owned())
    };
    entries.into_iter().map(last).collect()
}

fn page(page: StatePage) -> Result<(Vec<String>, String), LedgerError> {
    let entries = page.entries.into_iter().map(|entry| (entry.key, String::new())).collect();
    Ok((lasts(entries)?, page.bookmark))
}

async fn start() -> TestNetwork {
    let deploy = |name: &str| Deploy::new(name, Api).endorsement_policy(EITHER).collections(COLLECTIONS);
    let setup = Setup::new().channels(["mychannel", "elsewhere"]);
    setup.chaincode(deploy("api")).chaincode(deploy("other")).start().await.unwrap()
}

fn pairs(entries: &[(&str, &str)]) -> Entries {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn alice() -> Identity {
    Identity::client(ORG1, "alice")
}

async fn put(ledger: &Ledger, entries: &[(&str, &str)]) {
    ledger.submit(&alice(), Api::put_call(pairs(entries))).await.unwrap();
    ledger.submit(&alice(), Api::put_private_call(pairs(entries))).await.unwrap();
}

#[tokio::test]
async fn several_keys_are_read_at_once() {
    let ledger = start().await.ledger("api");
    put(&ledger, &[("a", "1"), ("b", "2")]).await;
    let keys: Vec<String> = ["b", "missing", "a"].map(str::to_owned).into();
    let values = [Some("2".to_owned()), None, Some("1".to_owned())];
    let endorsed = ledger.transaction(&alice(), Api::many_call(&keys)).endorse().await.unwrap();
    assert_eq!(*endorsed.result(), values);
    assert_eq!(endorsed.rwset().reads("api"), ["a", "b", "missing"]);
    assert_eq!(ledger.evaluate(&alice(), Api::many_private_call(&keys)).await.unwrap(), values);
}

#[tokio::test]
async fn composite_keys_are_found_by_their_first_parts_and_have_pages() {
    let ledger = start().await.ledger("api");
    put(&ledger, &[("simple", "1")]).await;
    for attributes in [["alice", "1"], ["alice", "2"], ["alice", "3"], ["bob", "4"]] {
        let attributes: Vec<String> = attributes.map(str::to_owned).into();
        ledger.submit(&alice(), Api::put_composite_call("asset", attributes)).await.unwrap();
    }
    let first = |name: &str| Api::composite_call("asset", vec![name.to_owned()]);
    assert_eq!(ledger.evaluate(&alice(), first("alice")).await.unwrap(), ["1", "2", "3"]);
    assert_eq!(ledger.evaluate(&alice(), first("bob")).await.unwrap(), ["4"]);
    // A part is not the beginning of a part.
    assert!(ledger.evaluate(&alice(), first("ali")).await.unwrap().is_empty());

    let (found, next) = ledger.evaluate(&alice(), Api::composite_page_call("asset", 2, "")).await.unwrap();
    assert_eq!(found, ["1", "2"]);
    let (found, next) = ledger.evaluate(&alice(), Api::composite_page_call("asset", 2, next)).await.unwrap();
    assert_eq!((found, next.as_str()), (vec!["3".to_owned()], ""));

    let (found, next) = ledger.evaluate(&alice(), Api::every_composite_page_call(3, "")).await.unwrap();
    assert_eq!(found, ["1", "2", "3"]);
    let (found, _) = ledger.evaluate(&alice(), Api::every_composite_page_call(3, next)).await.unwrap();
    assert_eq!(found, ["4"]);
}

#[tokio::test]
async fn private_data_is_listed_hashed_deleted_and_purged() {
    let ledger = start().await.ledger("api");
    put(&ledger, &[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let range = async |start: &str, end: &str| {
        ledger.evaluate(&alice(), Api::range_private_call(start, end)).await.unwrap()
    };
    assert_eq!(range("a", "c").await, pairs(&[("a", "1"), ("b", "2")]));
    let composite = ledger.evaluate(&alice(), Api::composite_private_call("bid")).await.unwrap();
    assert_eq!(composite, pairs(&[("\0bid\0mychannel\x001\0", "composite")]));
    let hash = async |key: &str| ledger.evaluate(&alice(), Api::hash_call(key)).await.unwrap();
    assert_eq!(hash("a").await, Some(Collection::hash_of(b"1").to_vec()));
    assert_eq!(hash("missing").await, None);

    let removed = ledger.transaction(&alice(), Api::remove_private_call("a", "b")).submit().await.unwrap();
    for key in ["a", "b"] {
        assert!(removed.rwset.writes_private("api", "both", key, None));
        assert_eq!(ledger.private_state(ORG2, "both", key).unwrap(), None);
        assert_eq!(hash(key).await, None);
    }
    assert_eq!(range("", "").await, pairs(&[("c", "3")]));
}

#[tokio::test]
async fn keys_have_endorsement_policies_of_their_own() {
    let ledger = start().await.ledger("api");
    put(&ledger, &[("a", "1")]).await;
    assert_eq!(ledger.evaluate(&alice(), Api::guards_call("a")).await.unwrap(), [None, None]);
    let guarded = ledger.transaction(&alice(), Api::guard_call("a")).endorsed_by([ORG1]).submit().await;
    guarded.unwrap();
    let org2 = Some(ORG2.to_owned());
    assert_eq!(ledger.evaluate(&alice(), Api::guards_call("a")).await.unwrap(), [org2.clone(), org2]);

    for change in [Api::put_call(pairs(&[("a", "2")])), Api::put_private_call(pairs(&[("a", "2")]))] {
        let by = |endorser| ledger.transaction(&alice(), change.clone()).endorsed_by([endorser]);
        let refused = by(ORG1).submit().await.unwrap_err();
        assert_eq!(refused.validation_code(), Some(TxValidationCode::EndorsementPolicyFailure));
        by(ORG2).submit().await.unwrap();
    }
    assert_eq!(ledger.state("a").unwrap().unwrap(), "2");
    assert_eq!(ledger.private_state(ORG1, "both", "a").unwrap().unwrap(), "2");
}

#[tokio::test]
async fn other_chaincodes_are_called() {
    let network = start().await;
    let (ledger, elsewhere) = (network.ledger("api"), network.ledger_on("elsewhere", "other"));
    let call = Api::call_call("other", r#"[["a","here"]]"#);
    let called = ledger.transaction(&alice(), call).submit().await.unwrap();
    assert_eq!((called.result, called.rwset.writes("other").len()), (200, 1));
    assert_eq!(network.ledger("other").state("a").unwrap().unwrap(), "here");

    elsewhere.submit(&alice(), Api::put_call(pairs(&[("a", "elsewhere")]))).await.unwrap();
    let call = Api::call_elsewhere_call("elsewhere", "other", r#"["a"]"#);
    let read = ledger.transaction(&alice(), call).endorse().await.unwrap();
    assert_eq!(*read.result(), r#"["elsewhere"]"#);
    // Nothing of another channel is checked at the commit.
    assert!(read.rwset().reads("other").is_empty());
    let own = ledger.evaluate(&alice(), Api::call_elsewhere_call("mychannel", "other", "[]")).await;
    assert!(own.unwrap_err().message().contains("use Context::call"));
}

#[tokio::test]
async fn a_transaction_knows_its_proposal() {
    let ledger = start().await.ledger("api");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let made = ledger.transaction(&alice(), Api::about_call()).transient("secret", "hush").at(time);
    let made = made.endorse().await.unwrap();
    let about = made.result();
    assert_eq!(about.tx_id, made.tx_id());
    assert_eq!((about.channel.as_str(), about.msp_id.as_str()), ("mychannel", ORG1));
    assert_eq!(about.client, alice().id().unwrap());
    assert!(about.peer == ORG1 || about.peer == ORG2);
    assert_eq!((about.seconds, about.transient.as_str()), (1_700_000_000, "hush"));

    // Fabric's rule of the binding, on the proposal as the client sent it.
    let proposal = Proposal::decode(about.proposal.clone()).unwrap();
    let header = Header::decode(proposal.header).unwrap();
    let epoch = ChannelHeader::decode(header.channel_header).unwrap().epoch;
    let signature = SignatureHeader::decode(header.signature_header).unwrap();
    assert_eq!(about.creator, signature.creator);
    let bound = [&signature.nonce[..], &signature.creator, &epoch.to_le_bytes()].concat();
    assert_eq!(about.binding, digest(&SHA256, &bound).as_ref());
}
