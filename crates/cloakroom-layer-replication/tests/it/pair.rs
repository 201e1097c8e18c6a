//! Two copies in memory that fail on request.

use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, Filter, InMemorySessionBackend, ManualClock, Page, Record, Removal, Result,
    Rotate, SessionBackend, SessionKey, Touch, Write,
};
use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationConfig, ReplicationStrategy};
use cloakroom_testkit::{Faulty, Spy};

pub(crate) type Copy = Faulty<Spy<Kept>>;

/// A store in memory that outlives its processes.
#[derive(Clone, Debug)]
pub(crate) struct Kept(InMemorySessionBackend);

impl Kept {
    pub(crate) fn new(store: InMemorySessionBackend) -> Self {
        Self(store)
    }
}

impl SessionBackend for Kept {
    fn capability(&self) -> Capability {
        self.0.capability().with_durable(true)
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.0.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.0.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.0.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.0.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.0.scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.0.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.0.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.0.sweep(limit).await
    }
}

pub(crate) struct Pair {
    pub(crate) clock: ManualClock,
    pub(crate) primary: Copy,
    pub(crate) secondary: Copy,
    pub(crate) backend: ReplicatedSessionBackend<Copy>,
    config: ReplicationConfig,
    strategy: ReplicationStrategy,
}

/// Short in all that takes time.
pub(crate) fn quick() -> ReplicationConfig {
    ReplicationConfig::new()
        .with_retries(2, Duration::from_millis(10))
        .with_poll_interval(Duration::from_millis(100))
        .with_patience(Duration::from_millis(500))
}

impl Pair {
    pub(crate) fn new(strategy: ReplicationStrategy, config: ReplicationConfig) -> Self {
        let clock = ManualClock::new();
        let copy = || Faulty::new(Spy::new(Kept::new(InMemorySessionBackend::with_clock(clock.clock()))));
        let (primary, secondary) = (copy(), copy());
        let copies = (primary.clone(), vec![secondary.clone()]);
        let backend = ReplicatedSessionBackend::with_config(copies.0, copies.1, strategy, config.clone());
        Self { clock, primary, secondary, backend, config, strategy }
    }

    /// Another process over the same copies.
    pub(crate) fn other(&self) -> ReplicatedSessionBackend<Copy> {
        self.other_over(&self.primary, &self.secondary)
    }

    /// Another process that reaches the same stores by ways of its own.
    pub(crate) fn other_over(&self, primary: &Copy, secondary: &Copy) -> ReplicatedSessionBackend<Copy> {
        let copies = (primary.clone(), vec![secondary.clone()]);
        ReplicatedSessionBackend::with_config(copies.0, copies.1, self.strategy, self.config.clone())
    }

    pub(crate) fn record(&self, payload: &str) -> Record {
        let now = self.clock.now();
        Record::new(payload.to_owned(), now).with_expires_at(Some(now + Duration::from_secs(3_600)))
    }

    pub(crate) async fn create(&self, payload: &str) -> (SessionKey, Record) {
        let (key, record) = (SessionKey::generate().unwrap(), self.record(payload));
        self.backend.write(&key, record.clone(), Write::create()).await.unwrap();
        (key, record)
    }

    /// The next record of a session.
    pub(crate) fn next(&self, before: &Record, payload: &str) -> Record {
        self.record(payload)
            .with_version(before.version.next(self.clock.now()))
            .with_created_at(before.created_at)
    }
}

/// Another way to the same store, with faults of its own.
pub(crate) fn way_to(copy: &Copy) -> Copy {
    Faulty::new(Spy::new(copy.inner().inner().clone()))
}

/// What a copy holds, past its faults.
pub(crate) async fn held(copy: &Copy, key: &SessionKey) -> Option<Record> {
    copy.inner().inner().read(key).await.unwrap()
}

pub(crate) async fn lives(copy: &Copy, key: &SessionKey) -> bool {
    held(copy, key).await.is_some_and(|record| record.is_live())
}

/// Lets tokio's clock run, which is paused.
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await; // tidy-allow: no test waits, the clock jumps
}
