use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, KeyKind, Page, Record, Removal, Result, Rotate, Scope,
    SessionBackend, SessionId, SessionKey, Timestamp, Touch, Write,
};

/// Serves what this process read last while the store cannot be reached, so that pages which only look into their
/// session go on.
///
/// # Behavior
/// - `read`: remembers what the store returned. When the store is `Unavailable`, returns what was remembered, unless
///   it has expired or is older than `max_age`.
/// - `write`, `touch`, and everything else: as the inner backend, errors too.
/// - What this process removes, rotates or ends is forgotten before it asks the store, and again afterwards, so that
///   a read which was under way brings nothing back.
///
/// Over sessions that clients keep (a sealed cookie, a JWT) it remembers nothing and serves nothing: many texts stand for
/// one session, and only the store knows whether it ended. They are `Unavailable` while their revocation store is.
///
/// What another process ended while the store is away cannot be known here: such a session stays readable for up to
/// `max_age`. Choose it accordingly, and check privileges that must end at once elsewhere.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionBackendExt};
/// use cloakroom_http::StaleBackend;
/// use std::time::Duration;
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = StaleBackend::new(InMemorySessionBackend::new(), 10_000, Duration::from_secs(60));
/// backend.save("greeting", &"hello", None).await?;
/// assert_eq!(backend.load::<String>("greeting").await?.as_deref(), Some("hello"));
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct StaleBackend<B> {
    inner: B,
    max_age: Duration,
    /// Whether one key stands for one record.
    remembers: bool,
    memory: Arc<Mutex<Memory>>,
}

type Place = (SessionId, Option<Scope>);

/// Two generations: what was read lately, and before. When the young one is full it becomes the old one.
struct Memory {
    young: HashMap<Place, (Record, Timestamp)>,
    old: HashMap<Place, (Record, Timestamp)>,
    half: usize,
    /// Counts what was forgotten. A read that began before may not be remembered.
    forgotten: u64,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory")
            .field("sessions", &(self.young.len() + self.old.len()))
            .finish_non_exhaustive()
    }
}

impl Memory {
    fn remember(&mut self, place: Place, record: Record, at: Timestamp) {
        self.old.remove(&place);
        if self.young.len() >= self.half && !self.young.contains_key(&place) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, (record, at));
    }

    fn recall(&self, place: &Place) -> Option<&(Record, Timestamp)> {
        self.young.get(place).or_else(|| self.old.get(place))
    }

    /// For what the store no longer has. Keys that were never there must not keep others from being remembered.
    fn drop_if_there(&mut self, place: &Place) {
        if self.recall(place).is_some() {
            self.forget(Some(place));
        }
    }

    fn forget(&mut self, place: Option<&Place>) {
        self.forgotten += 1;
        match place {
            Some(place) => {
                self.young.remove(place);
                self.old.remove(place);
            }
            None => {
                self.young.clear();
                self.old.clear();
            }
        }
    }
}

/// Forgets once more when the call is over, also when its future is dropped half-way.
struct Forgetting<'a> {
    memory: &'a Mutex<Memory>,
    place: Option<Place>,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        lock(self.memory).forget(self.place.as_ref());
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

fn place(key: &SessionKey) -> Place {
    (key.id(), key.scope().cloned())
}

impl<B: SessionBackend> StaleBackend<B> {
    /// Remembers at most `capacity` sessions, and serves them for at most `max_age` after they were read.
    #[must_use]
    pub fn new(inner: B, capacity: usize, max_age: Duration) -> Self {
        let memory = Memory {
            young: HashMap::new(),
            old: HashMap::new(),
            half: capacity.div_ceil(2).max(1),
            forgotten: 0,
        };
        let remembers = inner.capability().key_kind == KeyKind::Secret;
        Self { inner, max_age, remembers, memory: Arc::new(Mutex::new(memory)) }
    }

    fn forgetting(&self, key: Option<&SessionKey>) -> Forgetting<'_> {
        let place = key.map(place);
        lock(&self.memory).forget(place.as_ref());
        Forgetting { memory: &self.memory, place }
    }

    fn recall(&self, key: &SessionKey) -> Option<Record> {
        let now = self.clock().now();
        let memory = lock(&self.memory);
        let (record, at) = memory.recall(&place(key))?;
        let fresh = now.duration_since(*at) <= self.max_age && !record.is_expired(now);
        fresh.then(|| record.clone())
    }
}

impl<B: SessionBackend> SessionBackend for StaleBackend<B> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        if !self.remembers {
            return self.inner.read(key).await;
        }
        let before = lock(&self.memory).forgotten;
        let read = self.inner.read(key).await;
        match &read {
            Ok(Some(record)) if record.is_live() => {
                let now = self.clock().now();
                let mut memory = lock(&self.memory);
                if memory.forgotten == before {
                    memory.remember(place(key), record.clone(), now);
                }
            }
            Ok(_) => lock(&self.memory).drop_if_there(&place(key)),
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                if let Some(record) = self.recall(key) {
                    tracing::warn!(target: "cloakroom", %error, "the session store is down; serving what was read last");
                    return Ok(Some(record));
                }
            }
            Err(_) => {}
        }
        read
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let forgetting = (!record.is_live()).then(|| self.forgetting(Some(key)));
        let written = self.inner.write(key, record, how).await;
        drop(forgetting);
        if matches!(&written, Err(error) if error.kind() == ErrorKind::Gone) {
            lock(&self.memory).drop_if_there(&place(key));
        }
        written
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let _forgetting = self.forgetting(Some(old));
        self.inner.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let touched = self.inner.touch(key, how).await;
        if matches!(touched, Ok(None)) {
            lock(&self.memory).drop_if_there(&place(key));
        }
        touched
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        let _forgetting = self.forgetting(Some(key));
        self.inner.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.inner.scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.inner.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        let _forgetting = self.forgetting(None);
        self.inner.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.inner.sweep(limit).await
    }
}
