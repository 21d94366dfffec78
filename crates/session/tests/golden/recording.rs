//! The recorded streams, as messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use selvedge_golden::Corpus;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::ChaincodeMessage;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_session::{MessageType, TxKey};
use serde_json::Value;

/// One recorded message.
pub(crate) struct Line {
    pub(crate) connection: u64,
    pub(crate) from_peer: bool,
    pub(crate) bytes: Bytes,
    pub(crate) message: ChaincodeMessage,
}

impl Line {
    pub(crate) fn message_type(&self) -> MessageType {
        MessageType(self.message.r#type)
    }

    pub(crate) fn known(&self) -> Option<Type> {
        self.message_type().known()
    }

    pub(crate) fn key(&self) -> TxKey {
        TxKey::new(self.message.channel_id.clone(), self.message.txid.clone())
    }
}

/// What one connection carried of one transaction.
pub(crate) struct Leg {
    pub(crate) file: String,
    pub(crate) connection: u64,
    /// The transaction of the chaincode that the client called, if it is here and not on another connection.
    /// The others are of chaincodes which were called in turn.
    pub(crate) outermost: Option<TxKey>,
    pub(crate) lines: Vec<Line>,
    /// The peer's answer to the client.
    pub(crate) answer: Value,
}

/// The dialogue that opened a connection.
pub(crate) struct Handshake {
    pub(crate) register: Line,
    pub(crate) registered: Line,
    pub(crate) ready: Line,
}

pub(crate) fn handshakes() -> BTreeMap<u64, Handshake> {
    let corpus = Corpus::get();
    let mut found = BTreeMap::new();
    for path in corpus.paths("streams/handshake/") {
        let mut lines = lines(path).into_iter();
        let mut next = || lines.next().unwrap_or_else(|| panic!("{path} has no whole handshake"));
        let handshake = Handshake { register: next(), registered: next(), ready: next() };
        assert_eq!(handshake.register.known(), Some(Type::Register), "{path}");
        found.insert(handshake.register.connection, handshake);
    }
    assert!(!found.is_empty(), "no handshakes recorded");
    found
}

pub(crate) fn legs() -> Vec<Leg> {
    let index = Corpus::get().json("streams/index.json");
    let transcripts = index["transcripts"].as_array().expect("the index lists transcripts");
    let mut legs = Vec::new();
    for transcript in transcripts {
        let file = format!("streams/{}", transcript["file"].as_str().expect("each transcript has a file"));
        let mut connections: Vec<(u64, Vec<Line>)> = Vec::new();
        for line in lines(&file) {
            match connections.iter_mut().find(|(connection, _)| *connection == line.connection) {
                Some((_, lines)) => lines.push(line),
                None => connections.push((line.connection, vec![line])),
            }
        }
        for (at, (connection, lines)) in connections.into_iter().enumerate() {
            let outermost = (at == 0).then(|| lines[0].key());
            let (file, answer) = (file.clone(), transcript["response"].clone());
            legs.push(Leg { file, connection, outermost, lines, answer });
        }
    }
    assert!(!legs.is_empty(), "no transactions recorded");
    legs
}

fn lines(path: &str) -> Vec<Line> {
    Corpus::get()
        .json_lines(path)
        .iter()
        .filter_map(|line| {
            // The lines which say that a connection opened or closed carry no message.
            let bytes: Bytes = hex::decode(line["hex"].as_str()?).expect("hex").into();
            Some(Line {
                connection: line["conn"].as_u64().expect("a connection number"),
                from_peer: line["dir"] == "peer->cc",
                message: ChaincodeMessage::decode(bytes.clone()).expect("a ChaincodeMessage"),
                bytes,
            })
        })
        .collect()
}

/// Compares a message with the recorded bytes.
///
/// Go's protobuf library puts a plain or a no-break space into its error texts, by chance of the build; both
/// count as plain here.
#[track_caller]
pub(crate) fn assert_same(ours: &ChaincodeMessage, recorded: &Line, file: &str) {
    if recorded.known() == Some(Type::Error) {
        let plain = |message: &ChaincodeMessage| {
            let text = String::from_utf8(message.payload.to_vec()).expect("an error is text");
            ChaincodeMessage { payload: text.replace('\u{a0}', " ").into(), ..message.clone() }
        };
        assert_eq!(plain(ours), plain(&recorded.message), "{file}");
    } else {
        let ours_hex = hex::encode(ours.encode_to_vec());
        assert_eq!(ours_hex, hex::encode(&recorded.bytes), "{file}: {ours:?} is not {:?}", recorded.message);
    }
}
