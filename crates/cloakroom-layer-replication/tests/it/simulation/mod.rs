//! Random histories of two and three replicas: messages are lost, late and overtake each other, servers and processes
//! hang, stand still, crash and come back. One seed is one history.

mod ledger;
mod link;
mod plan;
mod process;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_layer_replication::ReplicationStrategy::AsyncReplication;
use cloakroom_layer_replication::{CopyStatus, Failover};

use crate::pair::pause;
use ledger::{Book, Check, audit, open};
use plan::Plan;
use process::{LONGEST_STANDSTILL, Process, Roles};
use world::{Flaw, World, lock};

#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    promoted: AtomicU64,
    disasters: AtomicU64,
    repairs: AtomicU64,
    lost_copies: AtomicU64,
}

/// One history, in which everything is random.
struct History {
    plan: Plan,
    world: Arc<World>,
    book: Book,
    roles: Arc<Mutex<Roles>>,
    processes: Vec<Process>,
    /// Something that was queued or under way went with a process.
    died_busy: bool,
    /// Somebody had another copy decide.
    promoted: bool,
}

impl History {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let plan = Plan::of(seed);
        let world = World::new(seed, &plan, flaw);
        let mut it = Self {
            plan,
            world,
            book: Book::default(),
            roles: Arc::default(),
            processes: Vec::new(),
            died_busy: false,
            promoted: false,
        };
        it.processes = (0..plan.processes).map(|number| it.process(number)).collect();
        it
    }

    fn process(&self, number: usize) -> Process {
        Process::start(&self.world, &self.book, &self.roles, &self.plan, number)
    }

    fn millis(&self, most: u64) -> Duration {
        Duration::from_millis(self.world.below(most))
    }

    async fn trouble(&mut self) {
        let world = self.world.clone();
        let server = usize::try_from(world.below(self.plan.servers as u64)).unwrap();
        let number = usize::try_from(world.below(self.plan.processes as u64)).unwrap();
        let may_go = !self.plan.spares_roles() || world.others_have_settled(server);
        match world.below(24) {
            0..=6 | 13..=15 if !may_go => {}
            0..=6 => {
                world.tell(&format!("CRASH of server {server}"));
                world.crash(server, world.chance(30));
            }
            7..=12 => {
                world.tell(&format!("START of server {server}"));
                world.start(server);
            }
            13..=15 => {
                let time = self.millis(4_500);
                world.tell(&format!("server {server} HANGS for {time:?}"));
                world.hang(server, time);
            }
            16..=18 => {
                let most = u64::try_from(LONGEST_STANDSTILL.as_millis()).unwrap();
                let time = self.millis(most);
                world.tell(&format!("process {number} STANDS STILL for {time:?}"));
                self.processes[number].life.stand_still(time);
            }
            // Where the one that decides is away, whoever does not know who is behind may lose what others know.
            19 if !lock(&self.roles).is_known_to(&self.processes[number].backend) => {}
            19 => {
                world.tell(&format!("process {number} PROMOTES {server}"));
                self.promoted = true;
                self.processes[number].promote(server, self.millis(4_000));
            }
            20 | 21 if self.plan.partitions() => {
                let cut = world.chance(60);
                world.tell(&format!("server {server} is cut off from process {number}: {cut}"));
                world.cut(number, server, cut);
            }
            _ => {
                world.tell(&format!("CRASH of process {number}"));
                self.died_busy |= self.processes[number].kill();
                pause(self.millis(1_000)).await;
                world.tell(&format!("START of process {number}"));
                self.processes[number] = self.process(number);
            }
        }
    }

    /// The number of the copy that decides by the latest word.
    fn authority(&self) -> usize {
        let latest = self.processes.iter().map(|process| process.backend.status()).max_by_key(|it| it.epoch);
        let copies = latest.map(|status| status.copies).unwrap_or_default();
        copies.iter().position(|copy| *copy == CopyStatus::Authority).unwrap_or(0)
    }

    /// Waits until nothing happens any more; whether that came to pass.
    async fn quiet(&self, copies: bool) -> bool {
        let mut quiet = 0;
        for _ in 0..120 {
            pause(Duration::from_secs(1)).await;
            let is_quiet = self.processes.iter().all(|process| {
                let status = process.backend.status();
                let settled = |copy: &CopyStatus| matches!(copy, CopyStatus::Authority | CopyStatus::InSync);
                process.is_done()
                    && (!copies
                        || (status.queued == 0
                            && !status.copies.is_empty()
                            && status.copies.iter().all(settled)))
            });
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == 8 {
                return true;
            }
        }
        false
    }

    /// By hand, as for a process that was killed with something in its queue.
    async fn reconcile(&self) {
        let backend = &self.processes[0].backend;
        for _ in 0..20 {
            if backend.reconcile().await.is_ok_and(|report| report.undecided == 0) {
                break;
            }
            pause(Duration::from_secs(1)).await;
        }
    }

    async fn live(&mut self) {
        let (plan, world) = (self.plan, self.world.clone());
        for _ in 0..world.below(9) {
            let most = if world.chance(30) { 2_500 } else { 400 };
            pause(self.millis(most)).await;
            self.trouble().await;
        }
        pause(self.millis(1_000)).await;
        let mut check = Check { tokens: true, copies: true };
        (0..plan.servers).for_each(|server| world.start(server));
        while plan.disaster && plan.spares_roles() && !world.others_have_settled(self.authority()) {
            pause(Duration::from_millis(500)).await;
        }
        if plan.disaster {
            // Whoever decides is gone for good.
            let authority = self.authority();
            world.tell(&format!("LOSS of server {authority}"));
            world.crash(authority, false);
            check.copies = false;
        }
        world.calm_down();
        let quiet = self.quiet(check.copies).await;
        let status = self.processes.iter().map(|process| process.backend.status());
        if !quiet {
            let status: Vec<_> = status.collect();
            open(&self.book).violate(format!("it never becomes quiet: {status:?}"));
        }
        // Nobody else knows what a process that is killed had begun.
        if check.copies && (plan.strategy == AsyncReplication || self.died_busy) {
            self.reconcile().await;
        }
        if plan.strategy == AsyncReplication && (plan.failover == Failover::Promote || self.promoted) {
            // What the queues held when another copy took over is merged, not promised.
            check.tokens = false;
        }
        for process in &self.processes {
            audit(&world, &self.book, &process.backend, check).await;
        }
    }
}

async fn history(seed: u64, flaw: Flaw, totals: &Totals) -> Result<u64, String> {
    let mut it = History::new(seed, flaw);
    it.live().await;
    for process in &it.processes {
        let status = process.backend.status();
        totals.promoted.fetch_add(status.promotions, Ordering::Relaxed);
        totals.repairs.fetch_add(status.repairs, Ordering::Relaxed);
        totals.lost_copies.fetch_add(status.lost_copies, Ordering::Relaxed);
        process.kill();
    }
    totals.disasters.fetch_add(u64::from(it.plan.disaster), Ordering::Relaxed);
    let mut book = open(&it.book);
    totals.acknowledged.fetch_add(book.acknowledged, Ordering::Relaxed);
    totals.refused.fetch_add(book.refused, Ordering::Relaxed);
    let violation = book.violation.take();
    violation.map_or(Ok(it.world.digest()), |what| Err(format!("seed {seed}, {:?}: {what}", it.plan)))
}

fn run(seed: u64, flaw: Flaw, totals: &Totals) -> Result<u64, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(history(seed, flaw, totals))
}

fn search(seeds: std::ops::Range<u64>, flaw: Flaw, totals: &Totals) -> Vec<String> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || found.lock().unwrap().len() >= 10 {
                        break;
                    }
                    if let Err(what) = run(seed, flaw, totals) {
                        found.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

/// No acknowledged write is lost, nothing that ended comes back, and the copies converge.
#[test]
fn histories_of_replicas_keep_every_promise() {
    let number = |name| std::env::var(name).ok().and_then(|seed| seed.parse::<u64>().ok());
    let one = number("CLOAKROOM_SEED");
    let more = number("CLOAKROOM_HISTORIES_FROM").map_or(0..10_000, |from| from..from + 10_000);
    let seeds = one.map_or(more, |seed| seed..seed + 1);
    let (totals, begin) = (Totals::default(), std::time::Instant::now());
    let found = search(seeds, Flaw::None, &totals);
    let count = |total: &AtomicU64| total.load(Ordering::Relaxed);
    println!(
        "{} acknowledged, {} refused, {} promotions, {} disasters, {} repairs, {} copies lost, in {:?}",
        count(&totals.acknowledged),
        count(&totals.refused),
        count(&totals.promoted),
        count(&totals.disasters),
        count(&totals.repairs),
        count(&totals.lost_copies),
        begin.elapsed()
    );
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(one.is_some() || count(&totals.acknowledged) > 100_000, "hardly anything was written");
    assert!(one.is_some() || count(&totals.promoted) > 500, "hardly anything failed over");
}

#[test]
fn one_seed_is_one_history() {
    for seed in 0..60 {
        let [one, other] = [(); 2].map(|()| run(seed, Flaw::None, &Totals::default()));
        assert_eq!(one, other, "seed {seed}");
    }
}

/// The simulation is worth something only if it finds what is broken.
#[test]
fn histories_of_broken_copies_are_found() {
    for flaw in [Flaw::NoCompare, Flaw::NoTombstones, Flaw::Lies, Flaw::NoControl] {
        let found = search(0..2_000, flaw, &Totals::default());
        assert!(!found.is_empty(), "{flaw:?} was not noticed");
        println!("{flaw:?}: {}", found[0]);
    }
}
