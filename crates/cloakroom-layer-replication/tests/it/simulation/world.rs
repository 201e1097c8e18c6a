//! Servers behind a network that loses, delays and reorders. All chance comes from one seed, all time from tokio's
//! paused clock.

use std::future::{Future, pending};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, InMemorySessionBackend, ManualClock, Mode, Page, Record,
    Removal, Result, Rotate, SessionBackend, SessionError, SessionKey, State, Timestamp, Touch, Version,
    Write,
};
use tokio::time::{Instant, timeout};

use crate::pair::pause;

/// How long a caller waits for an answer.
const TIMEOUT: Duration = Duration::from_millis(300);

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
    /// Goes up with each crash: what was under way then is lost.
    life: u64,
}

pub(crate) struct World {
    rng: Mutex<Rng>,
    clock: ManualClock,
    begin: (Instant, Timestamp),
    servers: Vec<Mutex<Server>>,
    calm: AtomicBool,
    flaw: Flaw,
    /// Whether each message is printed: for one seed.
    story: bool,
    told: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64, servers: usize, flaw: Flaw) -> Arc<Self> {
        let clock = ManualClock::new();
        clock.set(Timestamp::from_millis(1_700_000_000_000));
        let begin = (Instant::now(), clock.now());
        let server = |_| {
            Mutex::new(Server { store: InMemorySessionBackend::with_clock(clock.clock()), up: true, life: 0 })
        };
        let servers = (0..servers).map(server).collect();
        let rng = Mutex::new(Rng(seed.wrapping_mul(0xD129_0C3B_5F2E_7A4D) ^ seed));
        Arc::new(Self {
            rng,
            clock: clock.clone(),
            begin,
            servers,
            calm: AtomicBool::new(false),
            flaw,
            story: std::env::var_os("CLOAKROOM_SEED").is_some(),
            told: AtomicU64::new(0),
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
    pub(crate) fn crash(&self, server: usize) {
        let mut server = lock(&self.servers[server]);
        server.up = false;
        server.life += 1;
    }

    pub(crate) fn start(&self, server: usize) {
        lock(&self.servers[server]).up = true;
    }

    /// Nothing is lost or late any more.
    pub(crate) fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    fn delay(&self) -> Duration {
        if self.calm.load(Ordering::SeqCst) {
            return Duration::from_millis(self.below(2));
        }
        let most = match self.below(100) {
            0 => 1_800,
            1..=5 => 250,
            _ => 8,
        };
        Duration::from_millis(self.below(most))
    }

    fn is_lost(&self) -> bool {
        !self.calm.load(Ordering::SeqCst) && self.below(1_000) < 15
    }
}

/// A server as one process sees it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) world: Arc<World>,
    pub(crate) server: usize,
    /// Whether the process lives. The dead send nothing and hear nothing; what they sent arrives all the same.
    pub(crate) alive: Arc<AtomicBool>,
    pub(crate) clock: Clock,
}

impl Link {
    pub(crate) fn new(world: &Arc<World>, server: usize, alive: &Arc<AtomicBool>) -> Self {
        Self { world: world.clone(), server, alive: alive.clone(), clock: world.clock.clock() }
    }

    async fn call<T, F>(
        &self,
        what: impl Fn() -> String,
        call: impl FnOnce(InMemorySessionBackend) -> F + Send + 'static,
    ) -> Result<T>
    where
        T: Send + std::fmt::Debug + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        if !self.alive.load(Ordering::SeqCst) {
            return pending().await;
        }
        let world = &self.world;
        world.now();
        let (there, back) = (world.delay(), world.delay());
        let (request_lost, answer_lost) = (world.is_lost(), world.is_lost());
        let (answer, hear) = tokio::sync::oneshot::channel();
        let (far, server) = (world.clone(), self.server);
        let said = world.story.then(|| format!("{}: {}", self.server, what()));
        let number = world.told.fetch_add(1, Ordering::Relaxed);
        if let Some(said) = &said {
            world.tell(&format!("#{number} sent     {said}"));
        }
        drop(tokio::spawn(async move {
            pause(there).await;
            if request_lost {
                return pause(TIMEOUT).await;
            }
            let (store, life) = {
                let server = lock(&far.servers[server]);
                if !server.up {
                    return;
                }
                (server.store.clone(), server.life)
            };
            far.now();
            let result = call(store).await;
            if let Some(said) = &said {
                far.tell(&format!("#{number} applied  {said} -> {result:?}"));
            }
            pause(back).await;
            if answer_lost {
                return pause(TIMEOUT).await;
            }
            if lock(&far.servers[server]).life == life {
                drop(answer.send(result));
            }
        }));
        let heard = timeout(TIMEOUT, hear).await;
        world.now();
        if !self.alive.load(Ordering::SeqCst) {
            return pending().await;
        }
        match heard {
            Ok(Ok(result)) => result,
            _ => Err(SessionError::new(ErrorKind::Unavailable, "call")),
        }
    }

    fn flawed(&self, flaw: Flaw) -> bool {
        self.world.flaw == flaw && (self.server > 0 || flaw == Flaw::NoControl)
    }
}

/// The beginning of an id: enough to tell keys of a story apart.
pub(crate) fn name(key: &SessionKey) -> String {
    key.id().as_text()[..6].to_owned()
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.server)
    }
}

impl SessionBackend for Link {
    fn capability(&self) -> Capability {
        Capability::store().with_durable(true).with_shared(true)
    }

    fn clock(&self) -> &Clock {
        self.world.now();
        &self.clock
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("read {}", name(&label)),
            move |store| async move { store.read(&key).await },
        )
        .await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let mut how = how;
        let skip = (self.flawed(Flaw::NoTombstones) && record.state == State::Ended)
            || (self.flawed(Flaw::Lies) && self.world.chance(5))
            || (self.flawed(Flaw::NoControl) && key.scope().is_some());
        if self.flawed(Flaw::NoCompare) && matches!(how.mode, Mode::Update(_)) {
            how = Write::overwrite();
        }
        let (key, label) = (key.clone(), key.clone());
        let (mode, shown) = (how.mode, record.clone());
        self.call(
            move || format!("write {} {mode:?} {shown:?}", name(&label)),
            move |store| async move {
                if skip {
                    return Ok(key.unscoped());
                }
                store.write(&key, record, how).await
            },
        )
        .await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let (old, new) = (old.clone(), new.clone());
        let (a, b, shown) = (old.clone(), new.clone(), how.expected);
        self.call(
            move || format!("rotate {} to {} from {shown:?}", name(&a), name(&b)),
            move |store| async move { store.rotate(&old, &new, record, how).await },
        )
        .await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("touch {} {how:?}", name(&label)),
            move |store| async move { store.touch(&key, how).await },
        )
        .await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        let (key, label) = (key.clone(), key.clone());
        self.call(
            move || format!("remove {}", name(&label)),
            move |store| async move { store.remove(&key, reason).await },
        )
        .await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let filter = filter.clone();
        self.call(|| "scan".to_owned(), move |store| async move { store.scan(&filter, after, limit).await })
            .await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let filter = filter.clone();
        self.call(|| "count".to_owned(), move |store| async move { store.count(&filter).await }).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        let filter = filter.clone();
        self.call(
            || "remove_all".to_owned(),
            move |store| async move { store.remove_all(&filter, reason).await },
        )
        .await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.call(|| "sweep".to_owned(), move |store| async move { store.sweep(limit).await }).await
    }
}
