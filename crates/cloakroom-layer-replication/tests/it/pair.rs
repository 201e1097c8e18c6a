//! Two copies in memory that fail on request.

use std::time::Duration;

use cloakroom_core::{InMemorySessionBackend, ManualClock, Record, SessionBackend, SessionKey, Write};
use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationConfig, ReplicationStrategy};
use cloakroom_testkit::{Faulty, Spy};

pub(crate) type Copy = Faulty<Spy<InMemorySessionBackend>>;

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
        let copy = || Faulty::new(Spy::new(InMemorySessionBackend::with_clock(clock.clock())));
        let (primary, secondary) = (copy(), copy());
        let copies = (primary.clone(), vec![secondary.clone()]);
        let backend = ReplicatedSessionBackend::with_config(copies.0, copies.1, strategy, config.clone());
        Self { clock, primary, secondary, backend, config, strategy }
    }

    /// Another process over the same copies.
    pub(crate) fn other(&self) -> ReplicatedSessionBackend<Copy> {
        let copies = (self.primary.clone(), vec![self.secondary.clone()]);
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
