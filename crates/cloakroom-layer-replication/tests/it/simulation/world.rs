//! Servers that crash and hang. All chance comes from one seed, all time from tokio's paused clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::{InMemorySessionBackend, ManualClock, Timestamp, Version};
use tokio::time::Instant;

use crate::pair::pause;

use super::plan::Plan;

/// With fail-over and several processes, one server after the other goes only with so much time between, in which a copy that
/// took over tells the one that came back. Else a process may meet the former authority and never the new one, and
/// goes on with it: there is no quorum.
const SETTLED: Duration = Duration::from_secs(4);

/// With fail-over, of what one process and one server say about roles only one message in so long a time is lost or late:
/// more would be a network that is split.
const SPARED: Duration = Duration::from_secs(3);

/// Deliberate damage, to see that the simulation finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// The secondaries take any version for the expected one.
    NoCompare,
    /// The secondaries forget tombstones.
    NoTombstones,
    /// The secondaries say yes and do nothing, one time in twenty.
    Lies,
    /// No copy keeps control records.
    NoControl,
}

pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

struct Server {
    store: InMemorySessionBackend,
    up: bool,
    /// Does not even refuse.
    silent: bool,
    /// Goes up with each crash: what was under way then is lost.
    life: u64,
    /// Until then it takes calls and executes or answers none.
    hangs: Instant,
    started: Instant,
}

/// What a process has of a server.
#[derive(Default)]
struct Path {
    cut: bool,
    /// When the last message about roles was lost or late.
    failed: Option<Instant>,
}

pub(crate) struct World {
    rng: Mutex<Rng>,
    pub(crate) clock: ManualClock,
    begin: (Instant, Timestamp),
    servers: Vec<Mutex<Server>>,
    paths: Mutex<HashMap<(usize, usize), Path>>,
    spares_roles: bool,
    calm: AtomicBool,
    pub(crate) flaw: Flaw,
    /// Whether each message is printed: for one seed.
    pub(crate) story: bool,
    told: AtomicU64,
    /// Of all that was said, to see that one seed is one history.
    digest: AtomicU64,
}

/// How a message fares.
pub(crate) struct Fate {
    pub(crate) there: Duration,
    pub(crate) back: Duration,
    pub(crate) request_lost: bool,
    pub(crate) answer_lost: bool,
}

impl Fate {
    /// Whether the caller may take the server for lost.
    fn is_bad(&self) -> bool {
        self.request_lost || self.answer_lost || self.there + self.back > Duration::from_millis(150)
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64, plan: &Plan, flaw: Flaw) -> Arc<Self> {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_millis(1_700_000_000_000));
        let begin = (Instant::now(), clock.now());
        let server = |_| {
            let store = InMemorySessionBackend::with_clock(clock.clock());
            Mutex::new(Server { store, up: true, silent: false, life: 0, hangs: begin.0, started: begin.0 })
        };
        let servers = (0..plan.servers).map(server).collect();
        let rng = Mutex::new(Rng(seed.wrapping_mul(0xD129_0C3B_5F2E_7A4D) ^ seed));
        Arc::new(Self {
            rng,
            clock: clock.clone(),
            begin,
            servers,
            paths: Mutex::default(),
            spares_roles: plan.spares_roles(),
            calm: AtomicBool::new(false),
            flaw,
            story: std::env::var_os("CLOAKROOM_SEED").is_some(),
            told: AtomicU64::new(0),
            digest: AtomicU64::new(0),
        })
    }

    pub(crate) fn tell(&self, what: &str) {
        if self.story {
            println!("{:>6} ms {what}", self.begin.0.elapsed().as_millis());
        }
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        lock(&self.rng).below(bound)
    }

    pub(crate) fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.set(self.begin.1 + self.begin.0.elapsed());
        self.clock.now()
    }

    /// The version that a session would choose.
    pub(crate) fn version(&self, after: Option<Version>) -> Version {
        let millis = u64::try_from(self.now().as_millis()).unwrap();
        let next = (millis << 20) + self.below(1 << 20);
        let least = after.map_or(0, |after| after.as_u64() + 1 + self.below(1 << 20));
        Version::from_u64(next.max(least))
    }

    pub(crate) fn store(&self, server: usize) -> InMemorySessionBackend {
        lock(&self.servers[server]).store.clone()
    }

    pub(crate) fn servers(&self) -> usize {
        self.servers.len()
    }

    pub(crate) fn is_up(&self, server: usize) -> bool {
        lock(&self.servers[server]).up
    }

    /// Data stays; what was under way is lost.
    pub(crate) fn crash(&self, server: usize, silent: bool) {
        let mut server = lock(&self.servers[server]);
        server.up = false;
        server.silent = silent;
        server.life += 1;
    }

    pub(crate) fn start(&self, server: usize) {
        let mut server = lock(&self.servers[server]);
        if !server.up {
            server.up = true;
            server.started = Instant::now();
        }
    }

    /// Whether all the other servers have answered for so long that whoever decides has told them.
    pub(crate) fn others_have_settled(&self, server: usize) -> bool {
        let settled = |server: &Mutex<Server>| {
            let server = lock(server);
            server.up && server.hangs.max(server.started).elapsed() > SETTLED
        };
        self.begin.0.elapsed() < SETTLED && self.have_all_been_up(server)
            || self.servers.iter().enumerate().all(|(other, it)| other == server || settled(it))
    }

    fn have_all_been_up(&self, server: usize) -> bool {
        let steady = |it: &Mutex<Server>| {
            let it = lock(it);
            it.up && it.hangs <= self.begin.0 && it.started <= self.begin.0
        };
        self.servers.iter().enumerate().all(|(other, it)| other == server || steady(it))
    }

    /// For all processes.
    pub(crate) fn hang(&self, server: usize, time: Duration) {
        lock(&self.servers[server]).hangs = Instant::now() + time;
    }

    /// For one process.
    pub(crate) fn cut(&self, process: usize, server: usize, cut: bool) {
        lock(&self.paths).entry((process, server)).or_default().cut = cut;
    }

    pub(crate) fn is_cut(&self, process: usize, server: usize) -> bool {
        lock(&self.paths).get(&(process, server)).is_some_and(|path| path.cut)
    }

    /// Nothing is lost or late any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
        lock(&self.paths).clear();
    }

    /// The store, once it executes something, and the life in which it does; `Err` says whether it is silent.
    pub(crate) async fn reach(&self, server: usize) -> Result<(InMemorySessionBackend, u64), bool> {
        let life = lock(&self.servers[server]).life;
        loop {
            let wait = {
                let server = lock(&self.servers[server]);
                if !server.up || server.life != life {
                    return Err(server.silent);
                }
                let wait = server.hangs.saturating_duration_since(Instant::now());
                if wait.is_zero() {
                    return Ok((server.store.clone(), life));
                }
                wait
            };
            // What waited is not executed in the order in which it came.
            pause(wait + Duration::from_millis(self.below(20))).await;
        }
    }

    fn delay(&self) -> Duration {
        if self.calm.load(Ordering::SeqCst) {
            return Duration::from_millis(self.below(2));
        }
        let most = match self.below(200) {
            0..=2 => 3_500,
            3..=12 => 250,
            _ => 8,
        };
        Duration::from_millis(self.below(most))
    }

    fn is_lost(&self) -> bool {
        !self.calm.load(Ordering::SeqCst) && self.below(1_000) < 15
    }

    pub(crate) fn fate(&self, process: usize, server: usize, about_roles: bool) -> Fate {
        let fate = Fate {
            there: self.delay(),
            back: self.delay(),
            request_lost: self.is_lost(),
            answer_lost: self.is_lost(),
        };
        if !self.spares_roles || !about_roles || !fate.is_bad() {
            return fate;
        }
        let mut paths = lock(&self.paths);
        let path = paths.entry((process, server)).or_default();
        if path.failed.is_none_or(|at| at.elapsed() > SPARED) {
            path.failed = Some(Instant::now());
            return fate;
        }
        let quick = || Duration::from_millis(self.below(8));
        Fate { there: quick(), back: quick(), request_lost: false, answer_lost: false }
    }

    pub(crate) fn number(&self) -> u64 {
        let digest =
            self.digest.load(Ordering::Relaxed).rotate_left(7) ^ self.now().as_millis().unsigned_abs();
        self.digest.store(digest.wrapping_mul(0x9E37_79B9_7F4A_7C15), Ordering::Relaxed);
        self.told.fetch_add(1, Ordering::Relaxed)
    }

    /// What happened when, as a number.
    pub(crate) fn digest(&self) -> u64 {
        self.digest.load(Ordering::Relaxed) ^ self.below(u64::MAX)
    }
}
