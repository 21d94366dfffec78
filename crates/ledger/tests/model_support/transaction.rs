//! Random transactions: how they run in the simulator, what they must see there, and what they write.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use selvedge_ledger::simulator::{RangeId, Simulator};
use selvedge_ledger::{Space, Version};

use super::{Entry, LIVES, Model, NAMESPACE, NAMESPACES, sha256};

/// Simple keys come first, composite ones after them.
const SIMPLE: u32 = 150;
const KEYS: u32 = 200;
const PRIVATE_KEYS: u32 = 5;

#[derive(Clone, Debug)]
pub(crate) struct Transaction(Vec<Action>);

#[derive(Clone, Debug)]
enum Action {
    Public(usize, Public),
    Private(usize, Private),
}

#[derive(Clone, Debug)]
enum Public {
    Get(u32),
    GetMetadata(u32),
    Put(u32, u8),
    Delete(u32),
    PutMetadata(u32, Option<u8>),
    /// From one key to before another or to the end, of which some results are pulled.
    Range(u32, Option<u32>, usize),
    /// The composite keys that begin alike.
    Composite(u32, usize),
    /// Pages of this size, and how many at most.
    Pages(u32, Option<u32>, usize, usize),
}

#[derive(Clone, Debug)]
enum Private {
    Get(u32),
    GetMultiple(u32, u32),
    GetHash(u32),
    Put(u32, u8),
    Delete(u32),
    Purge(u32),
    PutMetadata(u32, Option<u8>),
    Range(u32, Option<u32>),
}

/// What a transaction does to one key: its value (`Some(None)` for none) and its metadata likewise.
#[derive(Clone, Debug, Default)]
pub(crate) struct Write {
    pub(crate) value: Option<Option<Bytes>>,
    pub(crate) metadata: Option<Option<u8>>,
    pub(crate) purge: bool,
}

/// What a transaction saw, by namespace.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) BTreeMap<&'static str, SeenIn>);

#[derive(Default)]
pub(crate) struct SeenIn {
    pub(crate) gets: Vec<(String, Option<Version>)>,
    pub(crate) ranges: Vec<SeenRange>,
    /// By collection and key; the last look counts.
    pub(crate) hashed: BTreeMap<(&'static str, String), Option<Version>>,
}

pub(crate) struct SeenRange {
    pub(crate) start: String,
    pub(crate) end: String,
    pub(crate) exhausted: bool,
    pub(crate) results: Vec<(String, Version)>,
}

pub(crate) fn strategy() -> impl Strategy<Value = Transaction> {
    let public = (0..NAMESPACES.len(), public()).prop_map(|(name, action)| Action::Public(name, action));
    let private = (0..LIVES.len(), private()).prop_map(|(name, action)| Action::Private(name, action));
    prop::collection::vec(prop_oneof![2 => public, 1 => private], 0..7).prop_map(Transaction)
}

fn public() -> impl Strategy<Value = Public> {
    // A few keys are used often, so that transactions meet.
    let key = || prop_oneof![1 => 0..4_u32, 1 => SIMPLE..SIMPLE + 4, 2 => 0..KEYS];
    let end = || prop::option::weighted(0.8, 0..KEYS);
    let pulls = || prop_oneof![Just(usize::MAX), 1..130_usize];
    prop_oneof![
        3 => key().prop_map(Public::Get),
        1 => key().prop_map(Public::GetMetadata),
        3 => (key(), any::<u8>()).prop_map(|(key, value)| Public::Put(key, value)),
        2 => key().prop_map(Public::Delete),
        2 => (key(), any::<Option<u8>>()).prop_map(|(key, value)| Public::PutMetadata(key, value)),
        2 => (0..KEYS, end(), pulls()).prop_map(|(start, end, pulls)| Public::Range(start, end, pulls)),
        1 => (0..5_u32, pulls()).prop_map(|(first, pulls)| Public::Composite(first, pulls)),
        1 => (0..KEYS, end(), 1..60_usize, 1..4_usize)
            .prop_map(|(start, end, size, count)| Public::Pages(start, end, size, count)),
    ]
}

fn private() -> impl Strategy<Value = Private> {
    let key = || 0..PRIVATE_KEYS;
    prop_oneof![
        2 => key().prop_map(Private::Get),
        1 => (key(), key()).prop_map(|(one, other)| Private::GetMultiple(one, other)),
        2 => key().prop_map(Private::GetHash),
        // Few values, so that a stale one may be equal to the one that is wanted.
        4 => (key(), 0..3_u8).prop_map(|(key, value)| Private::Put(key, value)),
        1 => key().prop_map(Private::Delete),
        2 => key().prop_map(Private::Purge),
        2 => (key(), any::<Option<u8>>()).prop_map(|(key, value)| Private::PutMetadata(key, value)),
        1 => (key(), prop::option::of(key())).prop_map(|(start, end)| Private::Range(start, end)),
    ]
}

/// Most keys in both namespaces.
pub(crate) fn many_keys() -> Transaction {
    let put = |key| (0..NAMESPACES.len()).map(move |name| Action::Public(name, Public::Put(key, 1)));
    Transaction((0..KEYS).filter(|key| key % 5 != 0).flat_map(put).collect())
}

fn key(number: u32) -> String {
    match number.checked_sub(SIMPLE) {
        None => format!("k{number:03}"),
        Some(number) => format!("\0pair\0{}\0{}\0", number % 5, number / 5),
    }
}

fn end_key(number: Option<u32>) -> String {
    number.map(key).unwrap_or_default()
}

fn value(byte: u8) -> Bytes {
    Bytes::from(vec![byte])
}

fn metadata(byte: Option<u8>) -> BTreeMap<String, Bytes> {
    byte.map(|byte| ("M".to_owned(), value(byte))).into_iter().collect()
}

impl Transaction {
    /// What it wants of every key that it writes; keys of collections are in their hashed spaces.
    pub(crate) fn writes(&self) -> BTreeMap<(Space, String), Write> {
        let mut writes = BTreeMap::new();
        let mut run = Rules::default();
        for action in &self.0 {
            let (space, key, value, metadata, purge) = match action {
                Action::Public(name, action) => {
                    let (number, value, metadata) = match action {
                        Public::Put(key, byte) => (key, Some(Some(value(*byte))), None),
                        Public::Delete(key) => (key, Some(None), None),
                        Public::PutMetadata(key, metadata) => (key, None, Some(*metadata)),
                        Public::Pages(..) => {
                            run.page();
                            continue;
                        }
                        _ => continue,
                    };
                    (Space::public(NAMESPACES[*name]), key(*number), value, metadata, false)
                }
                Action::Private(name, action) => {
                    let (number, value, metadata) = match action {
                        Private::Put(key, byte) => (key, Some(Some(value(*byte))), None),
                        Private::Delete(key) | Private::Purge(key) => (key, Some(None), None),
                        Private::PutMetadata(key, metadata) => (key, None, Some(*metadata)),
                        Private::Range(..) => {
                            run.query_private();
                            continue;
                        }
                        _ => continue,
                    };
                    let purge = matches!(action, Private::Purge(_));
                    (Space::hashed(NAMESPACE, LIVES[*name].0), key(*number), value, metadata, purge)
                }
            };
            if run.write() {
                let write: &mut Write = writes.entry((space, key)).or_default();
                if value.is_some() {
                    (write.value, write.purge) = (value, purge);
                }
                write.metadata = metadata.or(write.metadata);
            }
        }
        writes
    }

    /// Runs it, and holds every answer against the model of the same height.
    pub(crate) fn simulate(&self, simulator: &mut Simulator, model: &Model) -> Result<Seen, TestCaseError> {
        let mut run = Run { simulator, model, rules: Rules::default(), seen: Seen::default() };
        for action in &self.0 {
            match action {
                Action::Public(name, action) => run.public(NAMESPACES[*name], action)?,
                Action::Private(name, action) => run.private(LIVES[*name].0, action)?,
            }
        }
        Ok(run.seen)
    }
}

/// Which calls Fabric refuses: writes after a paged or a private query, and the other way around.
#[derive(Default)]
struct Rules {
    wrote: bool,
    queried: bool,
}

impl Rules {
    fn write(&mut self) -> bool {
        self.wrote |= !self.queried;
        !self.queried
    }

    fn page(&mut self) -> bool {
        self.queried |= !self.wrote;
        !self.wrote
    }

    fn query_private(&mut self) -> bool {
        self.page()
    }
}

struct Run<'a> {
    simulator: &'a mut Simulator,
    model: &'a Model,
    rules: Rules,
    seen: Seen,
}

type Done = Result<(), TestCaseError>;

impl Run<'_> {
    fn public(&mut self, name: &'static str, action: &Public) -> Done {
        let space = Space::public(name);
        let is_allowed = match action {
            Public::Put(..) | Public::Delete(_) | Public::PutMetadata(..) => self.rules.write(),
            Public::Pages(..) => self.rules.page(),
            _ => true,
        };
        let simulator = &mut *self.simulator;
        let done = match action {
            Public::Get(number) | Public::GetMetadata(number) => {
                let key = key(*number);
                let entry = self.model.get(&space, &key);
                if matches!(action, Public::Get(_)) {
                    prop_assert_eq!(
                        simulator.get(name, &key).unwrap(),
                        entry.map(|entry| entry.value.clone())
                    );
                } else {
                    let expected = metadata(entry.and_then(|entry| entry.metadata));
                    prop_assert_eq!(simulator.metadata(name, &key).unwrap(), expected);
                }
                let seen = self.seen.0.entry(name).or_default();
                seen.gets.push((key, entry.map(|entry| entry.version)));
                return Ok(());
            }
            Public::Put(number, byte) => simulator.put(name, &key(*number), value(*byte)),
            Public::Delete(number) => simulator.delete(name, &key(*number)),
            Public::PutMetadata(number, byte) => simulator.put_metadata(name, &key(*number), metadata(*byte)),
            Public::Range(start, end, pulls) => {
                return self.range(name, &key(*start), &end_key(*end), *pulls);
            }
            Public::Composite(first, pulls) => {
                let start = format!("\0pair\0{first}\0");
                return self.range(name, &start, &format!("{start}\u{10ffff}"), *pulls);
            }
            Public::Pages(start, end, size, count) => {
                if is_allowed {
                    return self.pages(name, &key(*start), &end_key(*end), *size, *count);
                }
                simulator.paged_range(name, &key(*start), &end_key(*end)).map(drop)
            }
        };
        prop_assert_eq!(done.is_ok(), is_allowed, "{:?}: {:?}", action, done);
        Ok(())
    }

    fn range(&mut self, name: &'static str, start: &str, end: &str, pulls: usize) -> Done {
        let range = self.simulator.range(name, start, end);
        self.pull(name, range, start, end, pulls)
    }

    /// Page after page, each from where the one before ended.
    fn pages(&mut self, name: &'static str, start: &str, end: &str, size: usize, count: usize) -> Done {
        let mut start = start.to_owned();
        for _ in 0..count {
            let range = self.simulator.paged_range(name, &start, end).unwrap();
            self.pull(name, range, &start, end, size)?;
            let rest = self.model.range(&Space::public(name), &start, end);
            let expected = rest.get(size).map(|(key, _)| key.clone()).unwrap_or_default();
            let bookmark = self.simulator.bookmark(range).unwrap();
            prop_assert_eq!(&bookmark, &expected);
            if bookmark.is_empty() {
                break;
            }
            start = bookmark;
        }
        Ok(())
    }

    /// Pulls results, at least one if there is any, and notes them.
    fn pull(&mut self, name: &'static str, range: RangeId, start: &str, end: &str, pulls: usize) -> Done {
        let all = self.model.range(&Space::public(name), start, end);
        let mut results = Vec::new();
        for (key, Entry { value, version, .. }) in all.iter().take(pulls) {
            let found = self.simulator.next(range).unwrap();
            let found = found.map(|found| (found.key, found.value));
            prop_assert_eq!(found, Some((key.clone(), value.clone())));
            results.push((key.clone(), *version));
        }
        let exhausted = pulls > all.len();
        if exhausted {
            prop_assert_eq!(self.simulator.next(range).unwrap(), None);
        }
        let range = SeenRange { start: start.to_owned(), end: end.to_owned(), exhausted, results };
        self.seen.0.entry(name).or_default().ranges.push(range);
        Ok(())
    }

    fn private(&mut self, collection: &'static str, action: &Private) -> Done {
        let is_allowed = match action {
            Private::Put(..) | Private::Delete(_) | Private::Purge(_) | Private::PutMetadata(..) => {
                self.rules.write()
            }
            Private::Range(..) => self.rules.query_private(),
            _ => true,
        };
        let simulator = &mut *self.simulator;
        let done = match action {
            Private::Get(number) => return self.get_private(collection, key(*number)),
            Private::GetMultiple(one, other) => {
                return self.get_private_multiple(collection, &[key(*one), key(*other)]);
            }
            Private::GetHash(number) => return self.get_private_hash(collection, key(*number)),
            Private::Range(start, end) if is_allowed => {
                return self.private_range(collection, &key(*start), &end_key(*end));
            }
            Private::Range(start, end) => {
                simulator.private_range(NAMESPACE, collection, &key(*start), &end_key(*end)).map(drop)
            }
            Private::Put(number, byte) => {
                simulator.put_private(NAMESPACE, collection, &key(*number), value(*byte))
            }
            Private::Delete(number) => simulator.delete_private(NAMESPACE, collection, &key(*number)),
            Private::Purge(number) => simulator.purge_private(NAMESPACE, collection, &key(*number)),
            Private::PutMetadata(number, byte) => {
                simulator.put_private_metadata(NAMESPACE, collection, &key(*number), metadata(*byte))
            }
        };
        prop_assert_eq!(done.is_ok(), is_allowed, "{:?}: {:?}", action, done);
        Ok(())
    }

    /// A value is given only if it is the one that the hash stands for.
    fn get_private(&mut self, collection: &'static str, key: String) -> Done {
        let (value, hash) = self.both(collection, &key);
        let found = self.simulator.get_private(NAMESPACE, collection, &key);
        let version = value.as_ref().map(|entry| entry.version);
        if version != hash.map(|entry| entry.version) {
            prop_assert!(found.is_err(), "stale: {:?}", found);
            return Ok(());
        }
        prop_assert_eq!(found.unwrap(), value.map(|entry| entry.value));
        self.see_hashed(collection, key, version);
        Ok(())
    }

    /// Here a stale value is given, and makes the transaction invalid later.
    fn get_private_multiple(&mut self, collection: &'static str, keys: &[String]) -> Done {
        for key in keys {
            let (value, _) = self.both(collection, key);
            let found = self.simulator.get_private_of_multiple(NAMESPACE, collection, key).unwrap();
            self.see_hashed(collection, key.clone(), value.as_ref().map(|entry| entry.version));
            prop_assert_eq!(found, value.map(|entry| entry.value));
        }
        Ok(())
    }

    fn get_private_hash(&mut self, collection: &'static str, key: String) -> Done {
        let (_, hash) = self.both(collection, &key);
        let found = self.simulator.get_private_hash(NAMESPACE, collection, &key).unwrap();
        prop_assert_eq!(found, hash.as_ref().map(|entry| sha256(&entry.value)));
        self.see_hashed(collection, key, hash.map(|entry| entry.version));
        Ok(())
    }

    /// What it gives is not recorded.
    fn private_range(&mut self, collection: &'static str, start: &str, end: &str) -> Done {
        let range = self.simulator.private_range(NAMESPACE, collection, start, end).unwrap();
        for (key, entry) in self.model.range(&Space::private(NAMESPACE, collection), start, end) {
            let found = self.simulator.next(range).unwrap().map(|found| (found.key, found.value));
            prop_assert_eq!(found, Some((key, entry.value)));
        }
        prop_assert_eq!(self.simulator.next(range).unwrap(), None);
        Ok(())
    }

    fn both(&self, collection: &'static str, key: &str) -> (Option<Entry>, Option<Entry>) {
        let private = self.model.get(&Space::private(NAMESPACE, collection), key);
        let hashed = self.model.get(&Space::hashed(NAMESPACE, collection), key);
        (private.cloned(), hashed.cloned())
    }

    fn see_hashed(&mut self, collection: &'static str, key: String, version: Option<Version>) {
        self.seen.0.entry(NAMESPACE).or_default().hashed.insert((collection, key), version);
    }
}
