//! A peer that answers chaincode from a map of keys, on the peer's end of the protocol.

use std::collections::{BTreeMap, HashMap};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use selvedge::Bytes;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{
    ChaincodeAdditionalParams, ChaincodeInput, ChaincodeMessage, QueryResponse, QueryResultBytes, Response,
    SignedProposal,
};
use selvedge_proto::queryresult::Kv;
use selvedge_session::host::{Created, Event, Finished, Handshake, Limits, Outcome, Ready, Registering};
use selvedge_session::request::{AnyRequest, Request};
use selvedge_session::{Invocation, Ticket, TxKey};
use tokio::sync::{mpsc, oneshot};

use crate::support::{Stream, soon};

pub(crate) const CHANNEL: &str = "mychannel";

/// How many rows a page has.
const PAGE: usize = 100;

/// Waits for REGISTER.
pub(crate) async fn registration(stream: &mut Stream) -> Registering {
    let register = stream.next().await.expect("a stream in order").expect("REGISTER");
    match Created::new(Limits::default()).receive(register).expect("a registration") {
        Handshake::Register(registering) => registering,
        Handshake::Waiting(_) => panic!("the chaincode does not speak first"),
    }
}

/// Accepts a registration as a peer of Fabric 3.1 does, or with an empty READY as one of 2.5.
pub(crate) async fn accept(stream: &mut Stream, offer: Option<&ChaincodeAdditionalParams>) -> Ready {
    let (session, messages) = registration(stream).await.accept(offer);
    for message in messages {
        stream.send(message).await;
    }
    session
}

/// A peer whose every step the test takes itself.
pub(crate) struct Puppet {
    pub(crate) stream: Stream,
    session: Option<Ready>,
}

impl Puppet {
    pub(crate) async fn new(stream: Stream) -> Self {
        Self::with_offer(stream, None).await
    }

    pub(crate) async fn with_offer(mut stream: Stream, offer: Option<&ChaincodeAdditionalParams>) -> Self {
        let session = accept(&mut stream, offer).await;
        Self { stream, session: Some(session) }
    }

    pub(crate) async fn start<A: AsRef<[u8]>>(&mut self, tx_id: &str, args: &[A]) {
        self.begin(TxKey::new(CHANNEL, tx_id), Invocation::Transaction, &input(args), None).await;
    }

    pub(crate) async fn begin(
        &mut self,
        transaction: TxKey,
        invocation: Invocation,
        input: &ChaincodeInput,
        proposal: Option<SignedProposal>,
    ) {
        let session = self.session.as_mut().expect("a session");
        let message = session.start(transaction, invocation, input, proposal).expect("a new transaction");
        self.stream.send(message).await;
    }

    pub(crate) async fn event(&mut self) -> Event {
        let message = self.stream.next().await.expect("a stream in order").expect("a message");
        let (session, step) = self.session.take().expect("a session").receive(message).expect("the protocol");
        self.session = Some(session);
        step.event.expect("an event")
    }

    /// The next message, which is a request.
    pub(crate) async fn request(&mut self) -> (TxKey, Ticket, AnyRequest) {
        match self.event().await {
            Event::Request { transaction, ticket, request } => (transaction, ticket, request),
            other => panic!("a request was expected: {other:?}"),
        }
    }

    /// The next message, which ends a transaction.
    pub(crate) async fn finished(&mut self) -> Finished {
        match self.event().await {
            Event::Finished(finished) => *finished,
            other => panic!("an end was expected: {other:?}"),
        }
    }

    pub(crate) async fn respond(&mut self, transaction: &TxKey, ticket: Ticket, result: Result<Bytes, &str>) {
        let session = self.session.as_mut().expect("a session");
        let message = session.respond(transaction, ticket, result).expect("an open request");
        self.stream.send(message).await;
    }

    /// Takes GET_STATE of this key and answers with this value.
    pub(crate) async fn give(&mut self, key: &str, value: &'static str) {
        let (transaction, ticket, request) = self.request().await;
        let AnyRequest::GetState(get) = request else { panic!("{request:?}") };
        assert_eq!(get.key, key);
        self.respond(&transaction, ticket, Ok(value.into())).await;
    }
}

/// A peer that runs by itself. Writes take effect at once.
#[derive(Clone)]
pub(crate) struct Peer {
    orders: mpsc::Sender<Order>,
}

struct Order {
    transaction: TxKey,
    invocation: Invocation,
    input: ChaincodeInput,
    proposal: Option<SignedProposal>,
    done: oneshot::Sender<Finished>,
}

impl Peer {
    pub(crate) async fn new(stream: Stream) -> Self {
        Self::with_state(stream, BTreeMap::new()).await
    }

    pub(crate) async fn with_state(mut stream: Stream, state: BTreeMap<String, Bytes>) -> Self {
        let session = accept(&mut stream, None).await;
        let (orders, inbox) = mpsc::channel(64);
        let committed = Committed { state, iterators: HashMap::new(), opened: 0 };
        tokio::spawn(serve(stream, session, committed, inbox));
        Self { orders }
    }

    /// Starts a transaction and waits for its end.
    pub(crate) async fn transact(
        &self,
        tx_id: &str,
        invocation: Invocation,
        input: ChaincodeInput,
        proposal: Option<SignedProposal>,
    ) -> Finished {
        let (done, finished) = oneshot::channel();
        let transaction = TxKey::new(CHANNEL, tx_id);
        let order = Order { transaction, invocation, input, proposal, done };
        assert!(self.orders.send(order).await.is_ok(), "the peer has stopped");
        soon(finished).await.expect("the transaction's end")
    }

    /// Invokes a function and returns the chaincode's response.
    pub(crate) fn invoke<A: AsRef<[u8]>>(&self, tx_id: &str, args: &[A]) -> BoxFuture<'static, Response> {
        let (peer, tx_id, input) = (self.clone(), tx_id.to_owned(), input(args));
        async move { response(peer.transact(&tx_id, Invocation::Transaction, input, None).await) }.boxed()
    }
}

pub(crate) fn input<A: AsRef<[u8]>>(args: &[A]) -> ChaincodeInput {
    let args = args.iter().map(|arg| Bytes::copy_from_slice(arg.as_ref())).collect();
    ChaincodeInput { args, ..ChaincodeInput::default() }
}

pub(crate) fn response(finished: Finished) -> Response {
    match finished.outcome {
        Outcome::Completed(response) => response,
        other => panic!("a response was expected: {other:?}"),
    }
}

pub(crate) fn failure(finished: Finished) -> String {
    match finished.outcome {
        Outcome::Failed(text) => text,
        other => panic!("ERROR was expected: {other:?}"),
    }
}

async fn serve(
    mut stream: Stream,
    mut session: Ready,
    mut committed: Committed,
    mut inbox: mpsc::Receiver<Order>,
) {
    let mut waiting = HashMap::new();
    loop {
        tokio::select! {
            order = inbox.recv() => {
                let Some(order) = order else { return };
                let Order { transaction, invocation, input, proposal, done } = order;
                let message = session.start(transaction.clone(), invocation, &input, proposal).expect("new");
                waiting.insert(transaction, done);
                stream.send(message).await;
            }
            message = stream.from.message() => {
                let Ok(Some(message)) = message else { return };
                let (same, step) = session.receive(message).expect("the protocol");
                session = same;
                match step.event {
                    Some(Event::Request { transaction, ticket, request }) => {
                        let result = committed.answer(request);
                        let reply = session.respond(&transaction, ticket, result).expect("an open request");
                        stream.send(reply).await;
                    }
                    Some(Event::Finished(finished)) => {
                        let done: oneshot::Sender<_> =
                            waiting.remove(&finished.transaction).expect("a transaction of ours");
                        drop(done.send(*finished));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

struct Committed {
    state: BTreeMap<String, Bytes>,
    iterators: HashMap<String, Vec<QueryResultBytes>>,
    opened: usize,
}

impl Committed {
    fn answer(&mut self, request: AnyRequest) -> Result<Bytes, String> {
        match request {
            AnyRequest::GetState(get) => Ok(self.state.get(&get.key).cloned().unwrap_or_default()),
            AnyRequest::PutState(put) => {
                self.state.insert(put.key, put.value);
                Ok(Bytes::new())
            }
            AnyRequest::DelState(del) => {
                self.state.remove(&del.key);
                Ok(Bytes::new())
            }
            AnyRequest::GetStateByRange(range) => {
                let before_end = |key: &String| range.end_key.is_empty() || *key < range.end_key;
                let rows = self
                    .state
                    .range(range.start_key.clone()..)
                    .take_while(|(key, _)| before_end(key))
                    .map(row)
                    .collect();
                self.opened += 1;
                Ok(self.page(format!("iterator-{}", self.opened), rows))
            }
            AnyRequest::QueryStateNext(next) => {
                let rows = self.iterators.remove(&next.id).ok_or("query iterator not found")?;
                Ok(self.page(next.id, rows))
            }
            AnyRequest::QueryStateClose(close) => {
                self.iterators.remove(&close.id);
                let reply = QueryResponse { id: close.id, ..QueryResponse::default() };
                Ok(selvedge_session::request::QueryStateClose::encode_reply(&reply))
            }
            other => Err(format!("{other:?} is not what this peer knows")),
        }
    }

    fn page(&mut self, id: String, mut rows: Vec<QueryResultBytes>) -> Bytes {
        let rest = rows.split_off(rows.len().min(PAGE));
        let has_more = !rest.is_empty();
        if has_more {
            self.iterators.insert(id.clone(), rest);
        }
        let page = QueryResponse { results: rows, has_more, id, ..QueryResponse::default() };
        page.encode_to_vec().into()
    }
}

fn row((key, value): (&String, &Bytes)) -> QueryResultBytes {
    let kv = Kv { namespace: "basic".into(), key: key.clone(), value: value.clone() };
    QueryResultBytes { result_bytes: kv.encode_to_vec().into() }
}

/// A message of a type in a transaction.
pub(crate) fn message(
    message_type: selvedge_proto::protos::chaincode_message::Type,
    tx_id: &str,
    payload: impl Into<Bytes>,
) -> ChaincodeMessage {
    ChaincodeMessage {
        r#type: message_type.into(),
        payload: payload.into(),
        txid: tx_id.into(),
        channel_id: CHANNEL.into(),
        ..ChaincodeMessage::default()
    }
}
