//! Random histories of two and three replicas: messages are lost, late and overtake each other, servers and processes
//! crash and come back. One seed is one history.

mod ledger;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cloakroom_layer_replication::ReplicationStrategy::{
    AcknowledgedReplication, AsyncReplication, SyncReplication,
};
use cloakroom_layer_replication::{
    Failover, QueueFull, ReplicatedSessionBackend, ReplicationConfig, ReplicationStrategy, SecondaryDown,
};
use tokio::task::JoinHandle;

use crate::pair::pause;
use ledger::{Book, Check, Client, Strict, audit, open};
use world::{Flaw, Link, World};

/// What the seed chose.
#[derive(Clone, Copy, Debug)]
struct Plan {
    strategy: ReplicationStrategy,
    servers: usize,
    processes: usize,
    failover: Failover,
    /// The authority goes for good in the end, and the others must have everything.
    disaster: bool,
}

impl Plan {
    fn of(seed: u64) -> Self {
        let strategy = [SyncReplication, AcknowledgedReplication, SyncReplication, AsyncReplication]
            [(seed % 4) as usize];
        let failover = if (seed / 4).is_multiple_of(2) { Failover::Promote } else { Failover::Refuse };
        let promotes = failover == Failover::Promote;
        Self {
            strategy,
            servers: 2 + (seed / 8 % 2) as usize,
            // Several processes that see different servers are another promise: see the crate's page.
            processes: if promotes { 1 } else { 2 },
            failover,
            disaster: promotes && strategy != AsyncReplication && (seed / 16).is_multiple_of(2),
        }
    }
}

struct Process {
    alive: Arc<AtomicBool>,
    backend: ReplicatedSessionBackend<Link>,
    tasks: Vec<JoinHandle<()>>,
}

impl Process {
    fn start(world: &Arc<World>, book: &Book, plan: Plan, steps: u64) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let link = |server| Link::new(world, server, &alive);
        let config = ReplicationConfig::new()
            .with_retries(2, Duration::from_millis(50))
            .with_queue_capacity(4)
            .with_queue_full([QueueFull::Wait, QueueFull::Drop, QueueFull::Degrade][world.below(3) as usize])
            .with_secondary_down(if world.chance(20) {
                SecondaryDown::Refuse
            } else {
                SecondaryDown::Continue
            })
            .with_failover(plan.failover)
            .with_poll_interval(Duration::from_millis(500))
            .with_patience(Duration::from_secs(1));
        let others = (1..plan.servers).map(link).collect();
        let backend = ReplicatedSessionBackend::with_config(link(0), others, plan.strategy, config);
        let mut tasks = vec![tokio::spawn(backend.worker().run())];
        for _ in 0..3 {
            let strict = match plan.processes {
                _ if plan.strategy == AsyncReplication => Strict::Never,
                1 => Strict::Always,
                _ => Strict::AtTheAuthority,
            };
            let client =
                Client { world: world.clone(), book: book.clone(), backend: backend.clone(), strict };
            tasks.push(tokio::spawn(client.live(steps)));
        }
        Self { alive, backend, tasks }
    }

    fn kill(&self) {
        self.alive.store(false, Ordering::SeqCst);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

#[derive(Default)]
struct Totals {
    acknowledged: AtomicU64,
    refused: AtomicU64,
    promoted: AtomicU64,
    disasters: AtomicU64,
    repairs: AtomicU64,
    lost_copies: AtomicU64,
}

async fn history(seed: u64, flaw: Flaw, totals: &Totals) -> Result<(), String> {
    let plan = Plan::of(seed);
    let world = World::new(seed, plan.servers, flaw);
    let book = Book::default();
    let start = || Process::start(&world, &book, plan, 12);
    let mut processes: Vec<Process> = (0..plan.processes).map(|_| start()).collect();
    for _ in 0..world.below(7) {
        pause(Duration::from_millis(world.below(500))).await;
        let server = world.below(plan.servers as u64) as usize;
        match world.below(10) {
            0..=4 => {
                world.tell(&format!("CRASH of server {server}"));
                world.crash(server);
            }
            5..=7 => {
                world.tell(&format!("START of server {server}"));
                world.start(server);
            }
            _ => {
                world.tell("CRASH of a process");
                let one = world.below(processes.len() as u64) as usize;
                processes[one].kill();
                pause(Duration::from_millis(world.below(300))).await;
                processes[one] = start();
            }
        }
    }
    pause(Duration::from_millis(world.below(1_000))).await;
    let mut check = Check { tokens: true, copies: true };
    if plan.disaster {
        // Whoever decides is gone for good; in half of the histories the process as well, after others knew.
        let authority = processes[0].backend.status().copies;
        let authority =
            authority.iter().position(|copy| *copy == cloakroom_layer_replication::CopyStatus::Authority);
        (0..plan.servers).for_each(|server| world.start(server));
        world.crash(authority.unwrap_or(0));
        check.copies = false;
        totals.disasters.fetch_add(1, Ordering::Relaxed);
    } else {
        (0..plan.servers).for_each(|server| world.start(server));
    }
    world.calm_down();
    pause(Duration::from_secs(9)).await;
    let backend = &processes[0].backend;
    if check.copies {
        for _ in 0..20 {
            if backend.reconcile().await.is_ok_and(|report| report.undecided == 0) {
                break;
            }
            pause(Duration::from_secs(1)).await;
        }
    }
    if plan.strategy == AsyncReplication && plan.failover == Failover::Promote {
        // What the queue held when another copy took over is merged, not promised.
        check.tokens = false;
    }
    audit(&world, &book, backend, check).await;
    let status = backend.status();
    totals.promoted.fetch_add(status.promotions, Ordering::Relaxed);
    totals.repairs.fetch_add(status.repairs, Ordering::Relaxed);
    totals.lost_copies.fetch_add(status.lost_copies, Ordering::Relaxed);
    processes.iter().for_each(Process::kill);
    let mut book = open(&book);
    totals.acknowledged.fetch_add(book.acknowledged, Ordering::Relaxed);
    totals.refused.fetch_add(book.refused, Ordering::Relaxed);
    book.violation.take().map_or(Ok(()), |what| Err(format!("seed {seed}, {plan:?}: {what}")))
}

fn run(seed: u64, flaw: Flaw, totals: &Totals) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(history(seed, flaw, totals))
}

fn search(seeds: std::ops::Range<u64>, flaw: Flaw, totals: &Totals) -> Vec<String> {
    let next = AtomicU64::new(seeds.start);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let found = std::sync::Mutex::new(Vec::new());
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
    let one: Option<u64> = std::env::var("CLOAKROOM_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..10_000, |seed| seed..seed + 1);
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

/// The simulation is worth something only if it finds what is broken.
#[test]
fn histories_of_broken_copies_are_found() {
    for flaw in [Flaw::NoCompare, Flaw::NoTombstones, Flaw::Lies, Flaw::NoControl] {
        let found = search(0..2_000, flaw, &Totals::default());
        assert!(!found.is_empty(), "{flaw:?} was not noticed");
        println!("{flaw:?}: {}", found[0]);
    }
}
