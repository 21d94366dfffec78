//! Puts recorded seeks, with the signatures they had, to our own service on the recorded channel: each must be answered
//! as the real peer answered it.

use std::time::SystemTime;

use bytes::Bytes;
use futures_util::poll;
use prost::Message;
use selvedge_golden::Corpus;
use selvedge_proto::common::{ChannelHeader, Envelope, Payload};
use selvedge_proto::protos::DeliverResponse;
use selvedge_proto::protos::deliver_response::Type as Answer;
use serde_json::Value;
use tokio::sync::mpsc;

use super::reader::{Form, Reader};
use crate::endorser::Channels;
use crate::endorser::replay::{Peer, organisations, target};

fn list<M: Message + Default>(row: &Value, name: &str) -> Vec<M> {
    let values = row[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let bytes = values.iter().map(|value| Bytes::from(hex::decode(value.as_str().unwrap()).unwrap()));
    bytes.map(|bytes| M::decode(bytes).unwrap()).collect()
}

fn made_at(envelope: &Envelope) -> SystemTime {
    let header = Payload::decode(envelope.payload.clone()).unwrap().header.unwrap();
    let header = ChannelHeader::decode(header.channel_header).unwrap();
    header.timestamp.unwrap().try_into().unwrap()
}

fn form(row: &Value) -> Option<Form> {
    match row["method"].as_str().unwrap() {
        "/protos.Deliver/Deliver" => Some(Form::Whole),
        "/protos.Deliver/DeliverFiltered" => Some(Form::Filtered),
        "/protos.Deliver/DeliverWithPrivateData" => Some(Form::WithPrivateData),
        _ => None,
    }
}

/// The numbers of the blocks in the answers to a seek.
fn delivered(row: &Value) -> Vec<u64> {
    let number = |answer: DeliverResponse| match answer.r#type? {
        Answer::Block(block) => Some(block.header?.number),
        Answer::FilteredBlock(block) => Some(block.number),
        Answer::BlockAndPrivateData(answer) => Some(answer.block?.header?.number),
        Answer::Status(_) => None,
    };
    list(row, "responses").into_iter().filter_map(number).collect()
}

#[tokio::test]
async fn golden_seeks_are_answered_as_recorded() {
    let corpus = Corpus::get();
    let rows = corpus.json_lines("exchanges/deliver.jsonl");
    let index = corpus.json("streams/index.json");
    let of_peers = rows.iter().find(|row| form(row).is_some()).expect("a seek of a peer");
    let peer = Peer::new(corpus, index["channel"].as_str().unwrap(), target(of_peers));
    // The recorded peer had committed all that it delivered, the newest block among it.
    let newest = rows.iter().filter(|row| form(row).is_some()).flat_map(delivered).max();
    peer.commit_up_to(newest.expect("a block") + 1);
    let channels = Channels::default();
    channels.insert(peer.channel.clone());
    let now = made_at(&list::<Envelope>(&rows[0], "requests")[0]);
    let mut checked = 0;
    for row in &rows {
        let Some(form) = form(row) else { continue };
        let label = row["label"].as_str().unwrap();
        let (answers, mut told) = mpsc::channel(100);
        let (channels, own_msp_id) = (channels.clone(), peer.local_msp().id().to_owned());
        let reader = Reader { channels, own_msp_id, form, certificate_hash: None, answers };
        let expected: Vec<DeliverResponse> = list(row, "responses");
        let mut goes_on = true;
        for seek in list(row, "requests") {
            assert!(goes_on, "{label}");
            let mut serving = Box::pin(reader.serve(seek, now));
            if expected.is_empty() {
                assert!(poll!(&mut serving).is_pending(), "{label}");
            } else {
                goes_on = serving.await;
            }
        }
        drop(reader);
        for expected in expected {
            assert_eq!(told.recv().await.unwrap().unwrap(), expected, "{label}");
        }
        assert!(told.recv().await.is_none(), "{label}");
        // The stream of two seeks was ended by its reader.
        let was_ended = row["end"] == "eof" && list::<Envelope>(row, "requests").len() == 1;
        assert_eq!(goes_on, !was_ended, "{label}");
        checked += 1;
    }
    assert_eq!(checked, rows.iter().filter(|row| form(row).is_some()).count());
}

/// What a member of an organisation got from its own peer when the block was new.
#[tokio::test]
async fn golden_private_data_is_delivered_to_members() {
    use selvedge_identity::SignedData;

    let corpus = Corpus::get();
    let of =
        |channel| organisations(corpus, channel).into_iter().map(move |organisation| (channel, organisation));
    let mut delivered = 0;
    for (channel, organisation) in corpus.channels().into_iter().flat_map(of) {
        let peer = Peer::new(corpus, channel, &organisation);
        let own_msp_id = peer.local_msp().id().to_owned();
        for (number, recorded) in corpus.private_blocks(channel, &format!("pvt-{organisation}")) {
            peer.commit_up_to(number + 1);
            let recorded = selvedge_proto::protos::BlockAndPrivateData::decode(recorded).unwrap();
            // Nobody's signature: what is left is what anybody on the channel may read.
            let stranger = SignedData { data: Bytes::new(), identity: Bytes::new(), signature: Bytes::new() };
            let answer =
                Form::WithPrivateData.answer(&peer.channel, number, false, &stranger, &own_msp_id).unwrap();
            let Some(Answer::BlockAndPrivateData(answer)) = answer else { panic!("another form") };
            assert_eq!(answer.block, recorded.block, "block {number}");
            for (index, writes) in &answer.private_data_map {
                let all = &recorded.private_data_map[index];
                for set in &writes.ns_pvt_rwset {
                    let all = all.ns_pvt_rwset.iter().find(|all| all.namespace == set.namespace).unwrap();
                    assert!(
                        set.collection_pvt_rwset.iter().all(|set| all.collection_pvt_rwset.contains(set))
                    );
                }
                delivered += 1;
            }
        }
    }
    assert!(delivered > 0);
}
