//! A chaincode that does what its arguments say with collections, spoken on the stream itself.

use bytes::Bytes;
use prost::Message;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::{
    ChaincodeInput, ChaincodeMessage, DelState, GetState, PurgePrivateState, PutState, Response,
};
use tokio::task::JoinHandle;

use super::Place;
use super::scripted::{Scripted, Session};

/// Serves any number of peers until it is dropped.
pub(crate) struct Collections(JoinHandle<()>);

impl Collections {
    /// Functions: `put COLLECTION KEY VALUE`, `get COLLECTION KEY`, `delete COLLECTION KEY`, `purge COLLECTION KEY`.
    pub(crate) async fn serve(place: &Place) -> Self {
        let mut server = Scripted::start(place).await;
        let package_id = place.package_id.clone();
        Self(tokio::spawn(async move {
            loop {
                let session = server.accept_forever().await;
                let package_id = package_id.clone();
                tokio::spawn(async move { serve(session, &package_id).await });
            }
        }))
    }
}

impl Drop for Collections {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn serve(mut session: Session, package_id: &str) {
    session.register(package_id).await;
    while let Some(message) = session.next().await {
        if message.r#type() == Type::Transaction {
            let response = act(&mut session, &message).await;
            session.reply(&message, Type::Completed, response.encode_to_vec()).await;
        }
    }
}

async fn act(session: &mut Session, transaction: &ChaincodeMessage) -> Response {
    let args = ChaincodeInput::decode(transaction.payload.clone()).unwrap().args;
    let text = |place: usize| String::from_utf8(args[place].to_vec()).unwrap();
    let (collection, key) = (text(1), text(2));
    let (kind, request) = match &*text(0) {
        "put" => {
            let put = PutState { key, value: args[3].clone(), collection };
            (Type::PutState, put.encode_to_vec())
        }
        "get" => (Type::GetState, GetState { key, collection }.encode_to_vec()),
        "delete" => (Type::DelState, DelState { key, collection }.encode_to_vec()),
        "purge" => (Type::PurgePrivateData, PurgePrivateState { key, collection }.encode_to_vec()),
        other => panic!("no function {other}"),
    };
    session.reply(transaction, kind, request).await;
    let answer = session.next().await.expect("the peer answers");
    let (status, message, payload) = match answer.r#type() {
        Type::Response => (200, String::new(), answer.payload),
        _ => (500, String::from_utf8_lossy(&answer.payload).into_owned(), Bytes::new()),
    };
    Response { status, message, payload }
}
