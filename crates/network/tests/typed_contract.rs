//! Calls of a contract with typed arguments, from a client through a gateway and over mutual TLS.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod support;

use bytes::Bytes;
use selvedge::{Context, LedgerError, Query, contract};
use selvedge_client::ProposalBuilder;
use support::{CHANNEL, World, serve_chaincode};

struct Notes;

#[contract]
impl Notes {
    #[transaction]
    async fn keep(&self, ctx: &Context, name: String, note: Bytes) -> Result<Bytes, LedgerError> {
        ctx.put(&name, note.clone()).await?;
        Ok(note)
    }

    #[transaction]
    async fn find(&self, ctx: &Query, name: String) -> Result<Bytes, LedgerError> {
        Ok(ctx.get(&name).await?.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_refused_as_text_and_kept_as_bytes() {
    let world = World::start().await;
    let place = world.deploy("notes").await;
    let serving = serve_chaincode(&place, Notes).await;
    let bytes = Bytes::from_static(b"ok\xff");
    let call = |function: &'static str| ProposalBuilder::new(CHANNEL, "notes").arg(function);

    // Where text is wanted, whoever evaluates or submits is told which argument is none.
    let texts = [
        world.evaluate(call("find").arg(bytes.clone())).await.unwrap_err(),
        world.submit(call("keep").arg(bytes.clone()).arg("note")).await.unwrap_err(),
    ];
    for text in texts {
        let expected = "error managing parameter name. conversion error. value is not UTF-8: invalid utf-8 sequence of \
                        1 bytes from index 2";
        assert!(text.contains(expected), "{text}");
    }
    let name = ProposalBuilder::new(CHANNEL, "notes").arg(bytes.clone());
    let text = world.evaluate(name).await.unwrap_err();
    assert!(text.contains("the function's name is not UTF-8"), "{text}");

    // Where bytes are wanted they go all the way and come back.
    assert_eq!(world.submit(call("keep").arg("mine").arg(bytes.clone())).await.unwrap(), bytes);
    assert_eq!(world.evaluate(call("find").arg("mine")).await.unwrap(), bytes);
    serving.stop().await;
    world.stop().await;
}
