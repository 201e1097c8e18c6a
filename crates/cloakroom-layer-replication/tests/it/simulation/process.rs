//! Processes over the same servers. A process can stand still, all of it, and it can be killed.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use cloakroom_layer_replication::ReplicatedSessionBackend;
use cloakroom_layer_replication::ReplicationStrategy::AsyncReplication;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::pair::pause;

use super::ledger::{Book, Client};
use super::link::Link;
use super::plan::{POLL, Plan};
use super::world::{World, lock};

/// What a process that hears of everything may lag behind: one poll, one that was lost, and the time they take.
const LAG: Duration = Duration::from_millis(1_300);

/// What clients and links of a process share.
pub(crate) struct Life {
    pub(crate) number: usize,
    alive: AtomicBool,
    still: Mutex<Instant>,
    /// Operations that clients wait for.
    pub(crate) busy: AtomicU64,
    /// When a client last went away in the middle of one.
    left: Mutex<Option<Instant>>,
}

impl Life {
    fn new(number: usize) -> Arc<Self> {
        Arc::new(Self {
            number,
            alive: AtomicBool::new(true),
            still: Mutex::new(Instant::now()),
            busy: AtomicU64::new(0),
            left: Mutex::new(None),
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    pub(crate) fn stand_still(&self, time: Duration) {
        let mut still = lock(&self.still);
        *still = (*still).max(Instant::now() + time);
    }

    fn wait(&self) -> Option<Duration> {
        let wait = lock(&self.still).saturating_duration_since(Instant::now());
        (!wait.is_zero()).then_some(wait)
    }

    /// Nothing leaves and nothing enters a process that stands still.
    pub(crate) async fn go_on(&self) {
        while let Some(wait) = self.wait() {
            pause(wait).await;
        }
    }

    fn went_on(&self) -> Instant {
        *lock(&self.still)
    }

    pub(crate) fn note_left(&self) {
        *lock(&self.left) = Some(Instant::now());
    }
}

/// A task that is not polled while its process stands still.
struct Scheduled<F> {
    life: Arc<Life>,
    still: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    task: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Scheduled<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(still) = &mut self.still {
                std::task::ready!(still.as_mut().poll(context));
                self.still = None;
            }
            let Some(wait) = self.life.wait() else { return self.task.as_mut().poll(context) };
            self.still = Some(Box::pin(pause(wait)));
        }
    }
}

pub(crate) struct Process {
    pub(crate) life: Arc<Life>,
    pub(crate) backend: ReplicatedSessionBackend<Link>,
    worker: JoinHandle<()>,
    clients: Vec<JoinHandle<()>>,
}

/// What is known in all processes, dead ones too.
#[derive(Default)]
pub(crate) struct Roles {
    backends: Vec<(ReplicatedSessionBackend<Link>, Arc<Life>)>,
    latest: u64,
    since: Option<Instant>,
}

impl Roles {
    /// Whether it knows the latest ones.
    pub(crate) fn is_known_to(&mut self, backend: &ReplicatedSessionBackend<Link>) -> bool {
        self.look();
        backend.status().epoch >= self.latest
    }

    fn look(&mut self) {
        let latest = self.backends.iter().map(|(backend, _)| backend.status().epoch).max().unwrap_or(0);
        if latest > self.latest {
            self.latest = latest;
            self.since = Some(Instant::now());
        }
    }
}

/// Whether a process has heard, or must have heard, of the roles that somebody knows.
pub(crate) fn must_know(roles: &Mutex<Roles>, backend: &ReplicatedSessionBackend<Link>, life: &Life) -> bool {
    let mut roles = lock(roles);
    roles.look();
    let known = backend.status().epoch >= roles.latest;
    known || (roles.since.is_none_or(|since| since.elapsed() > LAG) && life.went_on().elapsed() > LAG)
}

impl Process {
    pub(crate) fn start(
        world: &Arc<World>,
        book: &Book,
        roles: &Arc<Mutex<Roles>>,
        plan: &Plan,
        number: usize,
    ) -> Self {
        let life = Life::new(number);
        let link = |server| Link::new(world, server, &life, plan);
        let others = (1..plan.servers).map(link).collect();
        let backend =
            ReplicatedSessionBackend::with_config(link(0), others, plan.strategy, plan.config(world));
        lock(roles).backends.push((backend.clone(), life.clone()));
        let worker = tokio::spawn(Self::scheduled(&life, backend.worker().run()));
        let clients = (0..plan.clients).map(|_| {
            let client = Client {
                world: world.clone(),
                book: book.clone(),
                backend: backend.clone(),
                life: life.clone(),
                roles: roles.clone(),
                strict: plan.strategy != AsyncReplication,
                fallen_over_too: !plan.partitions(),
            };
            tokio::spawn(Self::scheduled(&life, client.live(plan.steps)))
        });
        let clients = clients.collect();
        Self { life, backend, worker, clients }
    }

    fn scheduled<F: Future<Output = ()>>(life: &Arc<Life>, task: F) -> Scheduled<F> {
        Scheduled { life: life.clone(), still: None, task: Box::pin(task) }
    }

    /// Whether something that was under way, or queued, goes with it.
    pub(crate) fn kill(&self) -> bool {
        self.life.alive.store(false, Ordering::SeqCst);
        self.worker.abort();
        self.clients.iter().for_each(JoinHandle::abort);
        let status = self.backend.status();
        let finishing = lock(&self.life.left).is_some_and(|at| at.elapsed() < Duration::from_secs(60));
        finishing || status.queued > 0 || status.unsettled > 0 || self.life.busy.load(Ordering::SeqCst) > 0
    }

    pub(crate) fn is_done(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished)
    }

    /// Has a copy decide, and perhaps does not wait until it does.
    pub(crate) fn promote(&self, copy: usize, wait: Duration) {
        let backend = self.backend.clone();
        drop(tokio::spawn(Self::scheduled(&self.life, async move {
            drop(tokio::time::timeout(wait, backend.promote(copy)).await);
        })));
    }
}

/// How long a process may stand still at most.
pub(crate) const LONGEST_STANDSTILL: Duration = POLL.saturating_mul(9);
