//! After a loss of power at any moment the ledger holds whole blocks, all that were acknowledged, and their state.
#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]

mod store_support;

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_ledger::log::Record;
use selvedge_ledger::state::Tip;
use selvedge_ledger::storage::{Fault, FaultyStorage, MemoryStorage, Storage};
use selvedge_ledger::{Ledger, LedgerConfig, Snapshot, Space, StoreError, StoredValue};
use selvedge_proto::queryresult::KeyModification;

use store_support::Dice;
use store_support::chain::{CHAINCODE, COLLECTION, KEYS, Link, commit, expiring_chain, genesis};

const BLOCKS: u64 = 14;

/// All of a ledger at one height.
#[derive(Debug, PartialEq)]
struct Image {
    tip: Tip,
    records: Vec<Record>,
    state: BTreeMap<(Space, Vec<u8>), StoredValue>,
    histories: BTreeMap<&'static str, Vec<KeyModification>>,
}

impl Image {
    fn of(ledger: &Arc<Ledger>) -> Self {
        let snapshot = ledger.snapshot();
        let spaces = [
            Space::public(CHAINCODE),
            Space::hashed(CHAINCODE, COLLECTION),
            Space::private(CHAINCODE, COLLECTION),
        ];
        let mut state = BTreeMap::new();
        for space in spaces {
            for row in snapshot.range(&space, b"", b"").unwrap() {
                let (key, stored) = row.unwrap();
                state.insert((space.clone(), key.to_vec()), stored);
            }
        }
        let history = |key: &str| -> Result<Vec<_>, _> {
            ledger.history(CHAINCODE, key, ledger.height()).unwrap().collect()
        };
        let histories = KEYS.map(|key| (key, history(key).unwrap())).into();
        let records = (0..ledger.height()).map(|number| ledger.record(number).unwrap().unwrap());
        Self { tip: ledger.tip(), records: records.collect(), state, histories }
    }
}

fn open(storage: impl Storage + 'static, durable_every: u64) -> Result<Arc<Ledger>, StoreError> {
    let mut config = LedgerConfig::new("/ledger");
    config.durable_every = durable_every;
    config.log.segment_bytes = 3000;
    config.state_cache_bytes = 1 << 20;
    config.transient.cache_bytes = 1 << 20;
    Ledger::open(Arc::new(storage), config, Some(genesis())).map(Arc::new)
}

/// The images of an undisturbed ledger, by height.
fn images(links: &[Link]) -> BTreeMap<u64, Image> {
    let ledger = open(MemoryStorage::new(), 1).unwrap();
    let mut images = BTreeMap::from([(1, Image::of(&ledger))]);
    for link in &links[1..] {
        commit(&ledger, link).unwrap();
        images.insert(ledger.height(), Image::of(&ledger));
    }
    assert!(images[&BLOCKS].histories.values().any(|history| history.len() > 1));
    let private =
        |height: u64| images[&height].state.keys().filter(|key| matches!(key.0, Space::Private { .. }));
    let gone = |height: u64| private(height).any(|key| !images[&BLOCKS].state.contains_key(key));
    assert!((1..BLOCKS).any(gone), "no private value has gone");
    images
}

/// Opens the ledger and commits blocks until something fails; returns how many blocks were acknowledged.
fn run(storage: &FaultyStorage, links: &[Link], dice: &mut Dice) -> u64 {
    let Ok(ledger) = open(storage.clone(), 1 + dice.below(6)) else { return 0 };
    for link in links.iter().skip(ledger.height() as usize) {
        if commit(&ledger, link).is_err() || (dice.below(5) == 0 && ledger.flush().is_err()) {
            break;
        }
    }
    ledger.height()
}

fn check(storage: FaultyStorage, links: &[Link], images: &BTreeMap<u64, Image>, acknowledged: u64) {
    let ledger = open(storage, 3).unwrap();
    let height = ledger.height();
    assert!(height >= acknowledged, "{height} blocks are left of {acknowledged} acknowledged");
    assert!(height <= acknowledged + 1, "{height} blocks appeared, {acknowledged} were acknowledged");
    assert_eq!(Image::of(&ledger), images[&height]);
    links.iter().skip(height as usize).for_each(|link| commit(&ledger, link).unwrap());
    assert_eq!(Image::of(&ledger), images[&BLOCKS]);
}

#[test]
fn a_loss_of_power_leaves_a_prefix_with_all_that_was_acknowledged() {
    let mut heights = BTreeMap::<u64, u32>::new();
    for seed in 0..400 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let links = expiring_chain(seed % 5, BLOCKS);
        let images = images(&links);
        let mut storage = FaultyStorage::new();
        let mut acknowledged = 0;
        for _ in 0..1 + dice.below(4) {
            storage.set_fault(Some(Fault::Crash(storage.changes() + dice.below(120))));
            acknowledged = run(&storage, &links, &mut dice).max(acknowledged);
            // Either the machine stops, or only the process: then what it wrote is there, but not yet safe.
            match dice.below(2) {
                0 => storage = storage.after_power_loss(dice.below(u64::MAX)),
                _ => storage.set_fault(None),
            }
        }
        *heights.entry(acknowledged).or_default() += 1;
        check(storage, &links, &images, acknowledged);
    }
    assert!(heights.len() > 8, "the crashes came at few heights only: {heights:?}");
}

#[test]
fn a_failing_disk_halts_the_ledger_and_loses_nothing() {
    let mut halted = 0;
    for seed in 0..150 {
        println!("seed {seed}");
        let mut dice = Dice::new(seed);
        let links = expiring_chain(seed % 5, BLOCKS);
        let images = images(&links);
        let storage = FaultyStorage::new();
        storage.set_fault(Some(Fault::Fail(dice.below(150))));
        let acknowledged = run(&storage, &links, &mut dice);
        halted += u32::from(acknowledged < BLOCKS);
        storage.set_fault(None);
        check(storage, &links, &images, acknowledged);
    }
    assert!(halted > 50, "only {halted} runs met the fault");
}
