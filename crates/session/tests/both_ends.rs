//! Both ends drive each other in random interleavings: no reply is lost or reaches the wrong caller, the
//! limits hold, and both ends come to rest.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use proptest::prelude::*;
use selvedge_proto::prost::Message;
use selvedge_proto::protos::{ChaincodeInput, ChaincodeMessage, Response};
use selvedge_session::chaincode::{self, CallError};
use selvedge_session::host::{self, StartError};
use selvedge_session::request::{AnyRequest, GetState};
use selvedge_session::{Invocation, Ticket, TxKey, keepalive};

const RUNNING: usize = 3;
const QUEUED: usize = 2;
const HOST_RUNNING: usize = 4;

#[derive(Clone, Debug)]
enum Action {
    Start(usize),
    Request(usize),
    Cancel(usize),
    Complete(usize),
    Fail(usize),
    Abandon(usize),
    Respond(usize, bool),
    DeliverToPeer,
    DeliverToChaincode,
    Keepalive,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let at = 0usize..6;
    let action = prop_oneof![
        4 => at.clone().prop_map(Action::Start),
        8 => at.clone().prop_map(Action::Request),
        2 => (0usize..64).prop_map(Action::Cancel),
        2 => at.clone().prop_map(Action::Complete),
        1 => at.clone().prop_map(Action::Fail),
        1 => at.clone().prop_map(Action::Abandon),
        6 => (0usize..8, any::<bool>()).prop_map(|(at, fails)| Action::Respond(at, fails)),
        10 => Just(Action::DeliverToPeer),
        10 => Just(Action::DeliverToChaincode),
        1 => Just(Action::Keepalive),
    ];
    proptest::collection::vec(action, 0..300)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Answered,
    Cancelled,
    Ended,
}

struct Asked {
    transaction: TxKey,
    question: String,
    fate: Fate,
}

/// Two ends, the wires between them, and what the test knows of both.
struct World {
    chaincode: Option<chaincode::Ready>,
    host: Option<host::Ready>,
    to_peer: VecDeque<Bytes>,
    to_chaincode: VecDeque<Bytes>,
    /// Running in the author's code.
    running: Vec<TxKey>,
    asked: BTreeMap<Ticket, Asked>,
    /// Open in the peer's ledger, with the question.
    open: Vec<(TxKey, Ticket, String)>,
    abandoned: bool,
}

impl World {
    fn new() -> Self {
        let limits = chaincode::Limits { transactions: RUNNING, queued_requests: QUEUED };
        let (created, register) = chaincode::Created::new("label:hash", limits);
        let Ok(host::Handshake::Register(registering)) =
            host::Created::new(host::Limits { transactions: HOST_RUNNING }).receive(register)
        else {
            panic!("no registration")
        };
        let (host, [registered, ready]) = registering.accept(None);
        let Ok(chaincode::Handshake::Done(established)) = created.receive(registered) else {
            panic!("not established")
        };
        let Ok(chaincode::Handshake::Done(chaincode)) = established.receive(ready) else {
            panic!("not ready")
        };
        Self {
            chaincode: Some(chaincode),
            host: Some(host),
            to_peer: VecDeque::new(),
            to_chaincode: VecDeque::new(),
            running: Vec::new(),
            asked: BTreeMap::new(),
            open: Vec::new(),
            abandoned: false,
        }
    }

    fn chaincode(&mut self) -> &mut chaincode::Ready {
        self.chaincode.as_mut().expect("the chaincode's end lives")
    }

    fn host(&mut self) -> &mut host::Ready {
        self.host.as_mut().expect("the peer's end lives")
    }

    fn chaincode_sends(&mut self, message: Option<ChaincodeMessage>) {
        self.to_peer.extend(message.map(|message| Bytes::from(message.encode_to_vec())));
    }

    fn host_sends(&mut self, message: Option<ChaincodeMessage>) {
        self.to_chaincode.extend(message.map(|message| Bytes::from(message.encode_to_vec())));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Start(at) => self.start(&key(at)),
            Action::Request(at) => self.request(at),
            Action::Cancel(at) => self.cancel(at),
            Action::Complete(at) => self.finish(at, true),
            Action::Fail(at) => self.finish(at, false),
            Action::Abandon(at) => self.abandoned |= self.host().abandon(&key(at)),
            Action::Respond(at, fails) => self.respond(at, fails),
            Action::DeliverToPeer => self.deliver_to_peer(),
            Action::DeliverToChaincode => self.deliver_to_chaincode(),
            Action::Keepalive => self.host_sends(Some(keepalive())),
        }
        assert!(self.chaincode().live() <= RUNNING);
        assert!(self.host().live() <= HOST_RUNNING);
        for transaction in &self.running {
            assert!(self.waiting(transaction) <= QUEUED + 1);
        }
    }

    fn waiting(&self, transaction: &TxKey) -> usize {
        let waits = |asked: &&Asked| asked.fate == Fate::Waiting && asked.transaction == *transaction;
        self.asked.values().filter(waits).count()
    }

    fn start(&mut self, key: &TxKey) {
        match self.host().start(key.clone(), Invocation::Transaction, &ChaincodeInput::default(), None) {
            Ok(message) => self.host_sends(Some(message)),
            Err(StartError::Exists(_)) => assert!(self.host().live() > 0),
            Err(StartError::TooMany { .. }) => assert_eq!(self.host().live(), HOST_RUNNING),
            Err(other) => panic!("{other}"),
        }
    }

    fn request(&mut self, at: usize) {
        let Some(transaction) = pick(&self.running, at).cloned() else { return };
        let question = format!("question {}", self.asked.len());
        let request = GetState { key: question.clone(), ..Default::default() };
        match self.chaincode().request(&transaction, &request) {
            Ok(requested) => {
                self.chaincode_sends(requested.send);
                let asked = Asked { transaction, question, fate: Fate::Waiting };
                assert!(self.asked.insert(requested.ticket, asked).is_none(), "a ticket was given twice");
            }
            Err(CallError::QueueFull { .. }) => assert!(self.waiting(&transaction) >= QUEUED),
            Err(other) => panic!("{other}"),
        }
    }

    fn cancel(&mut self, at: usize) {
        let tickets: Vec<_> = self.asked.keys().copied().collect();
        let Some(ticket) = pick(&tickets, at) else { return };
        let asked = self.asked.get_mut(ticket).expect("a known ticket");
        if asked.fate == Fate::Waiting {
            asked.fate = Fate::Cancelled;
        }
        let transaction = asked.transaction.clone();
        self.chaincode().cancel(&transaction, *ticket);
    }

    fn finish(&mut self, at: usize, completes: bool) {
        let Some(transaction) = pick(&self.running, at).cloned() else { return };
        self.running.retain(|running| *running != transaction);
        let finished = if completes {
            self.chaincode().complete(&transaction, &Response { status: 200, ..Default::default() }, None)
        } else {
            self.chaincode().fail(&transaction, "gives up", None)
        };
        let finished = finished.expect("a running transaction");
        for ticket in finished.unanswered {
            let asked = self.asked.get_mut(&ticket).expect("a known ticket");
            assert_eq!((asked.fate, &asked.transaction), (Fate::Waiting, &transaction));
            asked.fate = Fate::Ended;
        }
        assert_eq!(self.waiting(&transaction), 0);
        self.chaincode_sends(finished.send);
    }

    fn respond(&mut self, at: usize, fails: bool) {
        if self.open.is_empty() {
            return;
        }
        let (transaction, ticket, question) = self.open.remove(at % self.open.len());
        let result = if fails { Err(question) } else { Ok(question.into()) };
        let answer = self.host().respond(&transaction, ticket, result).expect("an open request");
        let again = self.host().respond(&transaction, ticket, Ok::<_, String>(Bytes::new()));
        assert!(again.is_err(), "a request was answered twice");
        self.host_sends(Some(answer));
    }

    fn deliver_to_peer(&mut self) {
        let Some(bytes) = self.to_peer.pop_front() else { return };
        let message = ChaincodeMessage::decode(bytes).expect("a message");
        let (host, step) = self.host.take().expect("lives").receive(message).expect("no violation");
        self.host = Some(host);
        self.host_sends(step.send);
        match step.event {
            Some(host::Event::Request { transaction, ticket, request: AnyRequest::GetState(request) }) => {
                self.open.push((transaction, ticket, request.key));
            }
            Some(host::Event::Late { .. } | host::Event::Unsolicited { .. }) => assert!(self.abandoned),
            Some(host::Event::Finished(finished)) => {
                assert!(finished.open.is_none() || self.abandoned, "it ended with a request open");
            }
            None => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    fn deliver_to_chaincode(&mut self) {
        let Some(bytes) = self.to_chaincode.pop_front() else { return };
        let message = ChaincodeMessage::decode(bytes).expect("a message");
        let (chaincode, step) = self.chaincode.take().expect("lives").receive(message).expect("no violation");
        self.chaincode = Some(chaincode);
        self.chaincode_sends(step.send);
        match step.event {
            Some(chaincode::Event::Start(start)) => {
                assert!(!self.running.contains(&start.transaction), "it runs already");
                self.running.push(start.transaction);
            }
            Some(chaincode::Event::Answer { transaction, ticket, result }) => {
                let asked = self.asked.get_mut(&ticket).expect("a known ticket");
                assert_eq!((asked.fate, &asked.transaction), (Fate::Waiting, &transaction));
                asked.fate = Fate::Answered;
                match result {
                    Ok(payload) => assert_eq!(payload, asked.question),
                    Err(error) if error.0.ends_with("no ledger context") => assert!(self.abandoned),
                    Err(error) => assert!(error.0.ends_with(&asked.question), "{error}"),
                }
            }
            Some(chaincode::Event::Refused { .. }) | None => {}
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Everything that is on its way arrives, every request is answered, every transaction ends.
    fn settle(&mut self) {
        let busy = |world: &Self| {
            !(world.to_peer.is_empty() && world.to_chaincode.is_empty() && world.open.is_empty())
        };
        while busy(self) {
            self.deliver_to_peer();
            self.deliver_to_chaincode();
            self.respond(0, false);
        }
        for asked in self.asked.values() {
            assert_ne!(asked.fate, Fate::Waiting, "{} of {} was lost", asked.question, asked.transaction);
        }
        while !self.running.is_empty() {
            self.finish(0, true);
        }
        while busy(self) {
            self.deliver_to_peer();
            self.deliver_to_chaincode();
        }
        assert_eq!(self.chaincode().live(), 0);
        assert_eq!(self.host().live(), 0);
    }
}

fn key(at: usize) -> TxKey {
    TxKey::new(format!("channel{}", at % 2), format!("transaction{}", at / 2))
}

fn pick<T>(list: &[T], at: usize) -> Option<&T> {
    list.get(at.checked_rem(list.len())?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_reply_is_lost_or_crossed(actions in actions()) {
        let mut world = World::new();
        for action in actions {
            world.act(action);
        }
        world.settle();
    }
}
