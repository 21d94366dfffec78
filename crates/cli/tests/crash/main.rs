//! Kill -9 of a network's process at random moments under load.
//!
//! A network of two organisations runs as `selvedge up --dir`, its chaincode as a process of its own under mutual TLS.
//! Clients submit through both gateways over TLS, while administrators install, approve and commit. At a moment that
//! the seed chooses the process is killed: while it starts, under load, or while it stops. After each start everything
//! that anybody was told is read back from every peer, and all blocks are judged by a ledger in this process. After
//! some rounds the network is stopped in peace, its files are opened, and a new one takes its place.
//!
//! `cargo xtask crash` runs many rounds with the release build. Here `SELVEDGE_CRASH_ROUNDS` and `SELVEDGE_CRASH_SEED`
//! say how many kills under load there are, and which; those while starting or stopping come on top.

#![expect(clippy::unwrap_used, reason = "a helper of a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "it says how to repeat what it did")]

mod audit;
mod changes;
mod dice;
mod disk;
mod load;
mod parties;
mod process;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "each test program uses its own part")]
mod support;
mod told;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use selvedge_client::Definition;
use tokio::time::{sleep, timeout};

use crate::audit::Audit;
use crate::changes::Changes;
use crate::dice::Dice;
use crate::load::{Amount, Load, Names};
use crate::parties::Party;
use crate::process::{Chaincode, Place, Up};
use crate::told::Told;

/// How many kills under load a network lives through.
const KILLS_OF_A_NETWORK: u64 = 25;

/// The longest that a process may live before it is killed, in milliseconds: while it starts, under load, and after
/// it was asked to stop.
const STARTING: u64 = 200;
const LOADED: u64 = 500;
const STOPPING: u64 = 40;

/// One in so many processes is killed while it starts, and one while it stops.
const UNLOADED: u64 = 10;

/// A safety net against hanging: nothing is meant to take as long.
const PATIENCE: Duration = Duration::from_secs(120);

const POLL: Duration = Duration::from_millis(10);

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("no {what} within {} s", PATIENCE.as_secs()))
}

/// When processes were killed.
#[derive(Debug, Default)]
struct Kills {
    starting: u64,
    loaded: u64,
    stopping: u64,
    chaincode: u64,
}

impl Kills {
    fn of_networks(&self) -> u64 {
        self.starting + self.loaded + self.stopping
    }
}

fn from_environment(name: &str, otherwise: impl FnOnce() -> u64) -> u64 {
    std::env::var(name).map_or_else(|_| otherwise(), |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_anybody_was_told_survives_every_kill() {
    let rounds = from_environment("SELVEDGE_CRASH_ROUNDS", || 6);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let seed = from_environment("SELVEDGE_CRASH_SEED", now);
    println!("{rounds} rounds, SELVEDGE_CRASH_SEED={seed}");
    let began = Instant::now();
    let (mut dice, mut kills, mut amount) = (Dice::new(seed), Kills::default(), Amount::default());
    let mut networks = 0;
    let is_enough = |amount: &Amount| amount.valid >= rounds && amount.steps >= rounds;
    // A slow machine does less before each kill; it is killed more often then, until enough was done to lose.
    while kills.loaded < rounds || (!is_enough(&amount) && kills.loaded < 5 * rounds) {
        networks += 1;
        let left = rounds.checked_sub(kills.loaded).filter(|left| *left > 0).unwrap_or(rounds);
        let until = kills.loaded + left.min(KILLS_OF_A_NETWORK);
        let place = Place::new(&format!("crash-{seed}-{networks}"));
        Life::new(&place).live(until, &mut dice, &mut kills, &mut amount).await;
        place.remove();
    }
    println!(
        "{} kills of {networks} networks ({} while starting, {} under load, {} while stopping), {} of chaincode, in {} s",
        kills.of_networks(),
        kills.starting,
        kills.loaded,
        kills.stopping,
        kills.chaincode,
        began.elapsed().as_secs()
    );
    println!(
        "{} transactions ordered, {} acknowledged and read back, {} of them valid; {} packages, approvals and definitions",
        amount.ordered, amount.acknowledged, amount.valid, amount.steps
    );
    println!("failed calls: {:?}", amount.failures);
    assert!(amount.valid >= rounds, "there was hardly any load");
    assert!(amount.acknowledged > amount.valid || rounds < 20, "no transactions were in each other's way");
    assert!(amount.steps >= rounds, "hardly anything was installed, approved or committed");
}

/// A network from its first start to its end.
struct Life<'a> {
    place: &'a Place,
    names: Arc<Names>,
    told: Told,
    /// There from the first time on that the network was ready.
    grown: Option<(Chaincode, Audit)>,
}

impl<'a> Life<'a> {
    fn new(place: &'a Place) -> Self {
        Self { place, names: Arc::default(), told: Told::default(), grown: None }
    }

    async fn live(mut self, until: u64, dice: &mut Dice, kills: &mut Kills, amount: &mut Amount) {
        while kills.loaded < until {
            if dice.once_in(UNLOADED) {
                let up = Up::start(self.place);
                sleep(Duration::from_millis(dice.below(STARTING))).await;
                kills.starting += u64::from(up.kill().await);
                continue;
            }
            let mut up = Up::start(self.place);
            up.ready().await;
            let parties = self.check().await;
            let (chaincode, _) = self.grown.as_mut().unwrap();
            let load = Load::begin(&parties, &self.names, chaincode.packages(), &chaincode.package, dice);
            sleep(Duration::from_millis(dice.below(LOADED))).await;
            if dice.once_in(10) {
                kills.chaincode += 1;
                chaincode.restart(self.place).await;
                sleep(Duration::from_millis(dice.below(LOADED))).await;
            }
            if dice.once_in(UNLOADED) {
                let killed = up.stop_and_kill(Duration::from_millis(dice.below(STOPPING))).await;
                kills.stopping += u64::from(killed);
            } else {
                kills.loaded += u64::from(up.kill().await);
            }
            load.end(&mut self.told, amount).await;
        }
        let mut up = Up::start(self.place);
        up.ready().await;
        self.check().await;
        up.stop().await;
        let (_, audit) = self.grown.as_ref().unwrap();
        disk::check(&self.place.network(), audit);
    }

    /// Checks a network that has just started; the first time there is its chaincode to be deployed.
    async fn check(&mut self) -> Vec<Party> {
        let parties = parties::connect(&self.place.description()).await;
        if self.grown.is_none() {
            let chaincode = Chaincode::start(self.place).await;
            let mut changes = Changes::default();
            let definition = Definition {
                name: "basic".to_owned(),
                version: "first".to_owned(),
                sequence: 1,
                ..Definition::default()
            };
            changes.install(&parties, &chaincode.package).await.unwrap();
            changes.agree(&parties, &definition, &chaincode.package.id().to_string()).await.unwrap();
            self.told.steps.extend(changes.steps);
            let genesis = parties[0].genesis().await;
            self.grown = Some((chaincode, Audit::new(genesis)));
        }
        let (_, audit) = self.grown.as_ref().unwrap();
        audit.check(&parties, &self.names, &mut self.told).await;
        parties
    }
}
