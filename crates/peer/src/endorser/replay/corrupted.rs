//! The replays of this folder notice when a recording says something else: each is run on a copy of the corpus in which
//! one byte is another.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use futures_util::FutureExt;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_proto::common::{Block, Metadata};
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{ChaincodeMessage, ProposalResponse, QueryResponse};
use serde_json::Value;

use super::{Peer, organisations, refusals, streams, system};

/// Runs a replay that must find a difference.
async fn assert_differs(what: &str, replay: impl Future<Output = ()>) {
    let Err(panic) = AssertUnwindSafe(replay).catch_unwind().await else {
        panic!("a change of {what} was not noticed");
    };
    let said = panic.downcast_ref::<String>().map(String::as_str);
    let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(said.contains("differs"), "the change of {what} made another failure: {said}");
}

/// The bytes with another last bit.
fn flipped(bytes: &[u8]) -> Bytes {
    let mut bytes = bytes.to_vec();
    *bytes.last_mut().expect("there is something to change") ^= 1;
    bytes.into()
}

/// A corpus with one line of a file changed.
fn with_line(corpus: &Corpus, path: &str, number: usize, line: &Value) -> Corpus {
    let mut lines = corpus.json_lines(path);
    lines[number] = line.clone();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    corpus.with(path, text.into_bytes())
}

/// Commits a channel after its last block was changed.
async fn commit_changed(what: &str, change: impl Fn(&mut Block)) {
    let corpus = Corpus::get();
    for channel in corpus.channels() {
        let (number, bytes) = corpus.blocks(channel).into_iter().next_back().expect("a block");
        let mut block = Block::decode(bytes).unwrap();
        change(&mut block);
        let path = format!("chains/{channel}/{number:05}.block");
        let changed = corpus.with(&path, block.encode_to_vec());
        let organisation = organisations(corpus, channel).remove(0);
        let commit = async { Peer::new(&changed, channel, &organisation).commit_all() };
        assert_differs(&format!("{what} of {path}"), commit).await;
    }
}

#[tokio::test]
async fn golden_corpus_with_a_changed_flag_is_refused() {
    commit_changed("a flag", |block| {
        let filter = &mut block.metadata.as_mut().unwrap().metadata[2];
        *filter = flipped(filter);
    })
    .await;
}

#[tokio::test]
async fn golden_corpus_with_a_changed_commit_hash_is_refused() {
    commit_changed("the commit hash", |block| {
        let slot = &mut block.metadata.as_mut().unwrap().metadata[4];
        let mut hash = Metadata::decode(slot.clone()).unwrap();
        hash.value = flipped(&hash.value);
        *slot = hash.encode_to_vec().into();
    })
    .await;
}

/// A change of what a reply says: in a result of a query, else in its last byte.
fn change_reply(what: Type, message: &mut ChaincodeMessage) -> bool {
    let is_query = matches!(what, Type::GetStateByRange | Type::GetHistoryForKey | Type::QueryStateNext);
    if !is_query {
        // A reply without a payload has nothing to change.
        let changed = !message.payload.is_empty() && what != Type::QueryStateClose;
        message.payload = if changed { flipped(&message.payload) } else { message.payload.clone() };
        return changed;
    }
    let mut response = QueryResponse::decode(message.payload.clone()).unwrap();
    let Some(result) = response.results.last_mut() else { return false };
    result.result_bytes = flipped(&result.result_bytes);
    message.payload = response.encode_to_vec().into();
    true
}

/// The first reply to each kind of request, changed: the kind, and the transcript with the change.
fn changed_replies(corpus: &Corpus) -> Vec<(Type, Value, Corpus)> {
    let mut kinds = BTreeSet::new();
    let mut changed = Vec::new();
    for transcript in streams::transcripts(corpus) {
        let path = format!("streams/{}", transcript["file"].as_str().unwrap());
        let mut request = None;
        for (number, mut line) in corpus.json_lines(&path).into_iter().enumerate() {
            let Some(bytes) = line["hex"].as_str().map(|text| hex::decode(text).unwrap()) else { continue };
            let mut message = ChaincodeMessage::decode(bytes.as_slice()).unwrap();
            if line["dir"] == "cc->peer" {
                request = Some(message.r#type());
                continue;
            }
            let Some(what) = request.take().filter(|_| message.r#type() == Type::Response) else { continue };
            if !kinds.contains(&(what as i32)) && change_reply(what, &mut message) {
                kinds.insert(what as i32);
                line["hex"] = hex::encode(message.encode_to_vec()).into();
                changed.push((what, transcript.clone(), with_line(corpus, &path, number, &line)));
            }
        }
    }
    changed
}

#[tokio::test]
async fn golden_corpus_with_a_changed_stream_message_is_refused() {
    let corpus = Corpus::get();
    let replies = changed_replies(corpus);
    let kinds: BTreeSet<_> = replies.iter().map(|(what, ..)| *what as i32).collect();
    for what in [Type::GetState, Type::GetStateByRange, Type::GetHistoryForKey, Type::GetStateMultiple] {
        assert!(kinds.contains(&(what as i32)), "no reply to {what:?} was changed");
    }
    for (what, transcript, changed) in replies {
        let file = transcript["file"].as_str().unwrap();
        let replay = async { drop(streams::replay(&changed, std::slice::from_ref(&transcript)).await) };
        assert_differs(&format!("the reply to {what:?} in {file}"), replay).await;
    }
}

/// A system chaincode's answer of this kind, changed in what it says; with the line that was changed.
fn changed_answer(corpus: &Corpus, is_good: bool) -> (String, Corpus) {
    let path = "exchanges/syscc.jsonl";
    for (number, mut line) in corpus.json_lines(path).into_iter().enumerate() {
        let Some(bytes) = line["response"].as_str().map(|text| hex::decode(text).unwrap()) else { continue };
        let mut answer = ProposalResponse::decode(bytes.as_slice()).unwrap();
        let response = answer.response.as_mut().unwrap();
        match (response.status == 200, response.payload.is_empty()) {
            (true, false) if is_good => response.payload = flipped(&response.payload),
            (false, _) if !is_good => response.message.push('!'),
            _ => continue,
        }
        let label = line["label"].as_str().unwrap().to_owned();
        line["response"] = hex::encode(answer.encode_to_vec()).into();
        return (label, with_line(corpus, path, number, &line));
    }
    panic!("no answer to change in {path}")
}

#[tokio::test]
async fn golden_corpus_with_a_changed_exchange_is_refused() {
    let corpus = Corpus::get();
    for is_good in [true, false] {
        let (label, changed) = changed_answer(corpus, is_good);
        assert_differs(&label, async { drop(system::replay(&changed).await) }).await;
    }

    let path = "exchanges/endorser.jsonl";
    let lines = corpus.json_lines(path);
    let number = lines.iter().position(|line| line["grpc"]["code"] != 0).expect("a refusal");
    let mut line = lines[number].clone();
    line["grpc"]["message"] = format!("{}!", line["grpc"]["message"].as_str().unwrap()).into();
    let changed = with_line(corpus, path, number, &line);
    assert_differs("a refusal", async { assert_ne!(refusals::replay(&changed).await, (0, 0)) }).await;
}
