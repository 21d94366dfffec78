//! The requests of one transaction, in the order in which the contract has made them: which goes out next, and as what.

use std::collections::VecDeque;

use bytes::Bytes;
use selvedge_proto::protos::chaincode_message::Type;
use selvedge_proto::protos::write_record::Type as RecordType;
use selvedge_proto::protos::{DelState, GetState, GetStateMultiple, PutState, WriteBatchState, WriteRecord};
use selvedge_session::chaincode::Offer;
use selvedge_session::request::Request;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::CallFailure;

/// The most bytes of keys in one GET_STATE_MULTIPLE, beyond which further reads wait for the next one.
const KEY_BYTES: usize = 1 << 20;

/// The bytes of collected writes from which on they are sent.
const WRITE_BYTES: usize = 8 << 20;

/// What a request is answered with.
pub(super) type Answer<T> = Result<T, CallFailure>;

/// The batch operations that are used, with the most keys or records in one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batching {
    reads: Option<usize>,
    writes: Option<usize>,
}

impl Batching {
    /// Whatever the peer offers.
    pub(crate) fn of(offer: Offer) -> Self {
        let size = |offered: Option<u32>| offered.and_then(|size| usize::try_from(size).ok());
        Self { reads: size(offer.get_multiple_keys), writes: size(offer.write_batch) }
    }

    /// Whether public writes are collected.
    pub(super) fn collects(self) -> bool {
        self.writes.is_some()
    }
}

/// Where an answer goes. The caller may have gone away.
pub(super) struct Waiter<T> {
    pub(super) reply: oneshot::Sender<Answer<T>>,
    /// Its place among the requests that wait; given back with the answer.
    pub(super) _place: Option<OwnedSemaphorePermit>,
}

impl<T> Waiter<T> {
    fn answer(self, answer: Answer<T>) {
        // The caller may have dropped its call; then nobody wants the answer.
        drop(self.reply.send(answer));
    }
}

/// Plain reads that one caller waits for.
pub(super) struct Read {
    pub(super) collection: String,
    pub(super) keys: Vec<String>,
    pub(super) waiter: Waiter<Vec<Bytes>>,
    /// The values that have come, in the order of the keys.
    values: Vec<Bytes>,
    /// Whether the caller has listed the keys, and so asks for them together even if one is left.
    listed: bool,
    /// Whether the keys are asked for one by one: a batch with one of them was refused.
    singly: bool,
}

impl Read {
    pub(super) fn new(
        collection: String,
        keys: Vec<String>,
        listed: bool,
        waiter: Waiter<Vec<Bytes>>,
    ) -> Self {
        Self { collection, keys, waiter, values: Vec::new(), listed, singly: false }
    }

    fn left(&self) -> &[String] {
        self.keys.get(self.values.len()..).unwrap_or_default()
    }
}

enum Item {
    Read(Read),
    Request {
        message_type: Type,
        payload: Bytes,
        waiter: Waiter<Bytes>,
    },
    /// Collected writes, with who asked for them to be sent.
    Writes(Vec<WriteRecord>, Option<Waiter<Bytes>>),
}

/// What the peer has been asked and has not answered.
enum Open {
    /// Keys of these reads, as many of each as the number says, together or one alone.
    Reads {
        reads: Vec<(Read, usize)>,
        together: bool,
    },
    Request(Waiter<Bytes>),
    Writes(Option<Waiter<Bytes>>),
}

/// One request is open at a time; the others wait here in order.
#[derive(Default)]
pub(super) struct Queue {
    batching: Batching,
    waiting: VecDeque<Item>,
    open: Option<Open>,
    writes: Vec<WriteRecord>,
    write_bytes: usize,
    /// Why collected writes were refused. Nothing is sent any more then, so that no half of them is committed.
    poison: Option<CallFailure>,
}

impl Queue {
    pub(super) fn new(batching: Batching) -> Self {
        Self { batching, ..Self::default() }
    }

    pub(super) fn read(&mut self, read: Read) {
        self.push(Item::Read(read));
    }

    /// A request that is sent as it is, behind the writes that were collected before it.
    pub(super) fn request(&mut self, message_type: Type, payload: Bytes, waiter: Waiter<Bytes>) {
        self.send_writes(None);
        self.push(Item::Request { message_type, payload, waiter });
    }

    /// Collects a public write, which is put or deleted. Whether there are now as many as go out together: then whoever
    /// has made the last one is to send them and wait, so that no more of them pile up.
    ///
    /// # Errors
    /// When earlier writes were refused.
    pub(super) fn write(&mut self, record: WriteRecord) -> Result<bool, CallFailure> {
        if let Some(poison) = &self.poison {
            return Err(poison.clone());
        }
        self.write_bytes += record.key.len() + record.value.len();
        self.writes.push(record);
        Ok(self.writes.len() >= self.batching.writes.unwrap_or(1) || self.write_bytes >= WRITE_BYTES)
    }

    /// Sends the writes that are collected.
    pub(super) fn send_writes(&mut self, waiter: Option<Waiter<Bytes>>) {
        self.write_bytes = 0;
        let writes = std::mem::take(&mut self.writes);
        if !writes.is_empty() || waiter.is_some() {
            self.push(Item::Writes(writes, waiter));
        }
    }

    /// Whether everything is sent and answered.
    pub(super) fn is_done(&self) -> bool {
        self.open.is_none() && self.waiting.is_empty()
    }

    /// Why writes were refused that the contract believes made.
    pub(super) fn refused(&self) -> Option<&CallFailure> {
        self.poison.as_ref()
    }

    /// Forgets everybody who waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.open = None;
        self.writes.clear();
    }

    /// The message that goes out next; `None` while one is open or when nothing waits.
    pub(super) fn next(&mut self) -> Option<(Type, Bytes)> {
        if self.open.is_some() {
            return None;
        }
        loop {
            match self.waiting.pop_front()? {
                Item::Read(read) if read.left().is_empty() => read.waiter.answer(Ok(read.values)),
                Item::Read(read) => return Some(self.ask(read)),
                Item::Request { message_type, payload, waiter } => {
                    self.open = Some(Open::Request(waiter));
                    return Some((message_type, payload));
                }
                Item::Writes(records, waiter) if records.is_empty() => {
                    if let Some(waiter) = waiter {
                        waiter.answer(Ok(Bytes::new()));
                    }
                }
                Item::Writes(records, waiter) => {
                    self.open = Some(Open::Writes(waiter));
                    return Some(write(records));
                }
            }
        }
    }

    /// Takes the answer to the open request.
    pub(super) fn answer(&mut self, answer: Answer<Bytes>) {
        match self.open.take() {
            Some(Open::Request(waiter)) => waiter.answer(answer),
            Some(Open::Writes(waiter)) => {
                if let Err(failure) = &answer {
                    self.poison(CallFailure::Unwritten(failure.to_string()));
                }
                if let Some(waiter) = waiter {
                    waiter.answer(answer);
                }
            }
            Some(Open::Reads { reads, together }) => self.answer_reads(reads, together, answer),
            None => {}
        }
    }

    fn push(&mut self, item: Item) {
        match &self.poison {
            Some(poison) => refuse(item, poison),
            None => self.waiting.push_back(item),
        }
    }

    fn poison(&mut self, failure: CallFailure) {
        self.writes.clear();
        for item in self.waiting.drain(..) {
            refuse(item, &failure);
        }
        self.poison = Some(failure);
    }

    /// The message for a read, and for those right behind it that go along.
    fn ask(&mut self, read: Read) -> (Type, Bytes) {
        let most = self.batching.reads.filter(|_| !read.singly);
        let mut together = most.is_some() && read.listed;
        let most = most.unwrap_or(1).max(1);
        let collection = read.collection.clone();
        let mut keys = Vec::new();
        let mut reads = Vec::new();
        let mut next = Some(read);
        while let Some(read) = next.take() {
            let before = keys.len();
            take_keys(&mut keys, read.left(), most);
            let taken = keys.len() - before;
            let whole = taken == read.left().len();
            together |= keys.len() > 1;
            reads.push((read, taken));
            let goes_along = |item: &mut Item| matches!(item, Item::Read(read) if read.collection == collection && !read.singly);
            if whole
                && keys.len() < most
                && let Some(Item::Read(read)) = self.waiting.pop_front_if(goes_along)
            {
                next = Some(read);
            }
        }
        self.open = Some(Open::Reads { reads, together });
        if together {
            return (Type::GetStateMultiple, GetStateMultiple { keys, collection }.encode());
        }
        let key = keys.pop().unwrap_or_default();
        (Type::GetState, GetState { key, collection }.encode())
    }

    fn answer_reads(&mut self, reads: Vec<(Read, usize)>, together: bool, answer: Answer<Bytes>) {
        let asked: usize = reads.iter().map(|(_, count)| count).sum();
        let values = answer.and_then(|payload| match together {
            true => values(payload, asked),
            false => Ok(vec![payload]),
        });
        match values {
            Ok(values) => {
                let mut values = values.into_iter();
                for (mut read, count) in reads {
                    read.values.extend(values.by_ref().take(count));
                    if read.left().is_empty() {
                        read.waiter.answer(Ok(read.values));
                    } else {
                        // Only the last one can have keys left.
                        self.waiting.push_front(Item::Read(read));
                    }
                }
            }
            // Who of them would have been refused alone?
            Err(CallFailure::Peer(_)) if asked > 1 => {
                for (mut read, _) in reads.into_iter().rev() {
                    read.singly = true;
                    self.waiting.push_front(Item::Read(read));
                }
            }
            Err(failure) => {
                for (read, _) in reads {
                    read.waiter.answer(Err(failure.clone()));
                }
            }
        }
    }
}

/// Adds keys up to this number, the first one in any case.
fn take_keys(keys: &mut Vec<String>, from: &[String], most: usize) {
    let mut bytes: usize = keys.iter().map(String::len).sum();
    for key in from {
        bytes += key.len();
        if !keys.is_empty() && (keys.len() >= most || bytes > KEY_BYTES) {
            return;
        }
        keys.push(key.clone());
    }
}

/// The values of an answer to as many keys.
fn values(payload: Bytes, asked: usize) -> Answer<Vec<Bytes>> {
    let values = GetStateMultiple::decode_reply(payload).map_err(CallFailure::Answer)?.values;
    match values.len() {
        sent if sent == asked => Ok(values),
        sent => Err(CallFailure::Values { asked, sent }),
    }
}

/// One write goes out as itself.
fn write(mut records: Vec<WriteRecord>) -> (Type, Bytes) {
    if records.len() == 1
        && let Some(WriteRecord { key, value, collection, r#type, .. }) = records.pop()
    {
        return match RecordType::try_from(r#type) {
            Ok(RecordType::DelState) => (Type::DelState, DelState { key, collection }.encode()),
            _ => (Type::PutState, PutState { key, value, collection }.encode()),
        };
    }
    (Type::WriteBatchState, WriteBatchState { rec: records }.encode())
}

fn refuse(item: Item, failure: &CallFailure) {
    match item {
        Item::Read(read) => read.waiter.answer(Err(failure.clone())),
        Item::Request { waiter, .. } | Item::Writes(_, Some(waiter)) => waiter.answer(Err(failure.clone())),
        Item::Writes(_, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use prost::Message;
    use selvedge_proto::protos::GetStateMultipleResult;
    use selvedge_session::chaincode::PeerError;
    use selvedge_session::request::AnyRequest;

    use super::*;

    #[derive(Clone, Debug)]
    enum Act {
        Read(Vec<u8>, bool),
        Write(u8, u8),
        Request(u8),
        Flush,
        /// The contract waits; this many replies come.
        Replies(usize),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            3 => (prop::collection::vec(any::<u8>(), 0..6), any::<bool>())
                .prop_map(|(keys, listed)| Act::Read(keys, listed)),
            3 => (any::<u8>(), any::<u8>()).prop_map(|(key, value)| Act::Write(key, value)),
            1 => any::<u8>().prop_map(Act::Request),
            1 => Just(Act::Flush),
            2 => (0_usize..4).prop_map(Act::Replies),
        ]
    }

    fn waiter<T>() -> (Waiter<T>, oneshot::Receiver<Answer<T>>) {
        let (reply, answer) = oneshot::channel();
        (Waiter { reply, _place: None }, answer)
    }

    fn value(key: &str) -> Bytes {
        format!("value of {key}").into()
    }

    fn write_record(key: u8, value: u8) -> WriteRecord {
        WriteRecord {
            key: key.to_string(),
            value: vec![value].into(),
            r#type: RecordType::PutState.into(),
            ..WriteRecord::default()
        }
    }

    /// A peer that refuses one of these keys together with others, and notes what it is asked.
    #[derive(Default)]
    struct Peer {
        poor: HashSet<String>,
        reads: Vec<String>,
        others: Vec<String>,
    }

    impl Peer {
        fn answer(&mut self, message_type: Type, payload: Bytes) -> Answer<Bytes> {
            match AnyRequest::decode(message_type.into(), payload).expect("a request") {
                AnyRequest::GetState(get) => {
                    self.reads.push(get.key.clone());
                    Ok(value(&get.key))
                }
                AnyRequest::GetStateMultiple(get) => {
                    if get.keys.len() > 1 && get.keys.iter().any(|key| self.poor.contains(key)) {
                        return Err(CallFailure::Peer(PeerError("too much".into())));
                    }
                    let values = get.keys.iter().map(|key| value(key)).collect();
                    self.reads.extend(get.keys);
                    Ok(GetStateMultipleResult { values }.encode_to_vec().into())
                }
                AnyRequest::PutState(put) => {
                    self.others.push(format!("{}={}", put.key, put.value[0]));
                    Ok(Bytes::new())
                }
                AnyRequest::WriteBatchState(batch) => {
                    self.others.extend(batch.rec.iter().map(|rec| format!("{}={}", rec.key, rec.value[0])));
                    Ok(Bytes::new())
                }
                AnyRequest::GetStateMetadata(get) => {
                    self.others.push(get.key);
                    Ok(Bytes::new())
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn step(queue: &mut Queue, peer: &mut Peer) -> bool {
        let Some((message_type, payload)) = queue.next() else { return false };
        assert!(queue.next().is_none(), "one request is open at a time");
        let answer = peer.answer(message_type, payload);
        queue.answer(answer);
        true
    }

    proptest! {
        /// The peer sees the same reads in the same order, and the same writes and requests in the same order, with and
        /// without batches; and every caller gets its own values.
        #[test]
        fn batches_change_nothing_that_counts(
            acts in prop::collection::vec(act(), 0..60),
            reads in prop::option::of(1_usize..5),
            writes in prop::option::of(1_usize..5),
            poor: HashSet<u8>,
        ) {
            let mut queue = Queue::new(Batching { reads, writes });
            let poor = poor.into_iter().map(|key| key.to_string()).collect();
            let mut peer = Peer { poor, ..Peer::default() };
            let (mut expected_reads, mut expected_others) = (Vec::new(), Vec::new());
            let (mut answers, mut done) = (Vec::new(), Vec::new());
            for act in acts {
                match act {
                    Act::Read(keys, listed) => {
                        let keys: Vec<String> = keys.iter().map(u8::to_string).collect();
                        expected_reads.extend(keys.clone());
                        let (waiter, answer) = waiter();
                        queue.read(Read::new(String::new(), keys.clone(), listed, waiter));
                        answers.push((keys, answer));
                    }
                    Act::Write(key, value) => {
                        expected_others.push(format!("{key}={value}"));
                        if writes.is_some() {
                            if queue.write(write_record(key, value)).expect("a healthy queue") {
                                queue.send_writes(None);
                            }
                        } else {
                            let (waiter, answer) = waiter();
                            let (message_type, payload) = write(vec![write_record(key, value)]);
                            queue.request(message_type, payload, waiter);
                            done.push(answer);
                        }
                    }
                    Act::Request(name) => {
                        let get = selvedge_proto::protos::GetStateMetadata {
                            key: name.to_string(),
                            collection: String::new(),
                        };
                        expected_others.push(name.to_string());
                        let (waiter, answer) = waiter();
                        queue.request(Type::GetStateMetadata, get.encode_to_vec().into(), waiter);
                        done.push(answer);
                    }
                    Act::Flush => {
                        let (waiter, answer) = waiter();
                        queue.send_writes(Some(waiter));
                        done.push(answer);
                    }
                    Act::Replies(count) => {
                        (0..count).for_each(|_| { step(&mut queue, &mut peer); });
                    }
                }
            }
            queue.send_writes(None);
            while step(&mut queue, &mut peer) {}
            prop_assert!(queue.is_done());
            prop_assert_eq!(peer.reads, expected_reads);
            prop_assert_eq!(peer.others, expected_others);
            for (keys, mut answer) in answers {
                let expected: Vec<Bytes> = keys.iter().map(|key| value(key)).collect();
                prop_assert_eq!(answer.try_recv().expect("an answer").expect("values"), expected);
            }
            for mut answer in done {
                prop_assert!(answer.try_recv().expect("an answer").is_ok());
            }
        }
    }

    #[test]
    fn refused_writes_end_everything() {
        let mut queue = Queue::new(Batching { reads: None, writes: Some(100) });
        queue.write(write_record(1, 1)).expect("a healthy queue");
        queue.write(write_record(2, 2)).expect("a healthy queue");
        let (first, mut answer) = waiter();
        queue.request(Type::GetStateMetadata, Bytes::new(), first);
        assert_eq!(queue.next().expect("a message").0, Type::WriteBatchState);
        queue.answer(Err(CallFailure::Peer(PeerError("no".into()))));
        let refused = answer.try_recv().expect("an answer").expect_err("a refusal");
        assert!(matches!(&refused, CallFailure::Unwritten(text) if text == "no"), "{refused:?}");
        assert!(queue.write(write_record(3, 3)).is_err() && queue.next().is_none() && queue.is_done());
        assert!(queue.refused().is_some());
    }
}
