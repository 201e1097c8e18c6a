use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use cloakroom_core::{
    Capability, Entry, ErrorKind, Filter, KeyKind, ManualClock, Owner, Record, Removal, Result, Scope,
    SessionBackend, SessionBackendExt, SessionKey, SharedBackend, State, Timestamp, Version, Write,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// No scan of the suite has more pages than this.
const MAX_PAGES: usize = 10_000;

/// The backend under test, with the clock that it was given.
///
/// Its short methods panic where the operation fails, so that a case reads as a list of steps.
#[derive(Clone)]
pub struct Subject {
    backend: SharedBackend,
    twin: SharedBackend,
    clock: ManualClock,
    capability: Capability,
}

impl Subject {
    /// A subject made of an empty backend and the clock that it runs on.
    pub fn new<B: SessionBackend + Clone>(backend: B, clock: ManualClock) -> Self {
        let capability = backend.capability();
        Self { twin: backend.clone().shared(), backend: backend.shared(), clock, capability }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &SharedBackend {
        &self.backend
    }

    /// A clone of the backend.
    #[must_use]
    pub fn twin(&self) -> &SharedBackend {
        &self.twin
    }

    /// The clock that the backend was given.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// What the backend can do.
    #[must_use]
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The time by that clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether sessions stay in a store rather than with the client.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.capability.key_kind == KeyKind::Secret
    }

    /// No scope and that one, where keys may name one.
    pub(crate) fn scopes(&self, text: &str) -> Vec<Option<Scope>> {
        let named = self.capability.scopes.then(|| Some(scope(text)));
        [None].into_iter().chain(named).collect()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// A live record made now that ends in an hour.
    pub(crate) fn record(&self, payload: impl Into<Bytes>) -> Record {
        Record::new(payload, self.now()).with_expires_at(Some(self.now() + HOUR))
    }

    /// A live record of an owner.
    pub(crate) fn owned(&self, by: &str) -> Record {
        self.record("{}").with_owner(Some(owner(by)))
    }

    /// What follows a record: another payload, a later version.
    pub(crate) fn revise(&self, record: &Record, payload: impl Into<Bytes>) -> Record {
        let mut next = record.clone();
        next.payload = payload.into();
        next.version = record.version.next(self.now());
        next.accessed_at = self.now();
        next
    }

    pub(crate) async fn read(&self, key: &SessionKey) -> Option<Record> {
        self.backend.read(key).await.unwrap_or_else(|error| panic!("read: {error}"))
    }

    /// Whether a live record is there. What was removed may leave a tombstone, as long as nothing lives.
    pub(crate) async fn lives(&self, key: &SessionKey) -> bool {
        self.read(key).await.is_some_and(|record| record.is_live())
    }

    /// A record as a reader sees it, but for the tombstone of a removal: there is nothing any more.
    pub(crate) async fn alive(&self, key: &SessionKey) -> Option<Record> {
        self.read(key).await.filter(|record| record.state != State::Ended)
    }

    /// Writes, and gives the key to use from now on, in the scope of the given one.
    pub(crate) async fn write(&self, key: &SessionKey, record: &Record, how: Write) -> SessionKey {
        let returned = self.backend.write(key, record.clone(), how).await;
        let returned = returned.unwrap_or_else(|error| panic!("write {:?}: {error}", how.mode));
        key.scope().map_or_else(|| returned.clone(), |scope| returned.scoped(scope))
    }

    /// Updates, and gives the key to use from now on; `None` where a backend without versions does not support it.
    pub(crate) async fn update(
        &self,
        key: &SessionKey,
        next: &Record,
        expected: Version,
    ) -> Option<SessionKey> {
        match self.backend.write(key, next.clone(), Write::update(expected)).await {
            Ok(new) => Some(key.scope().map_or_else(|| new.clone(), |scope| new.scoped(scope))),
            Err(error) if error.kind() == ErrorKind::Unsupported && !self.capability.versioned => None,
            Err(error) => panic!("update: {error}"),
        }
    }

    pub(crate) async fn write_err(&self, key: &SessionKey, record: &Record, how: Write) -> ErrorKind {
        kind_of(self.backend.write(key, record.clone(), how).await, &format!("write {:?}", how.mode))
    }

    /// Creates a record under a new key.
    pub(crate) async fn create(&self, record: &Record) -> SessionKey {
        self.write(&fresh_key(), record, Write::create()).await
    }

    pub(crate) async fn create_in(&self, scope: &Scope, record: &Record) -> SessionKey {
        self.write(&fresh_key().scoped(scope), record, Write::create()).await
    }

    pub(crate) async fn remove(&self, key: &SessionKey) -> bool {
        let removed = self.backend.remove(key, Removal::Explicit).await;
        removed.unwrap_or_else(|error| panic!("remove: {error}"))
    }

    pub(crate) async fn remove_all(&self, filter: &Filter) -> u64 {
        let removed = self.backend.remove_all(filter, Removal::Revoked).await;
        removed.unwrap_or_else(|error| panic!("remove_all: {error}"))
    }

    pub(crate) async fn count(&self, filter: &Filter) -> u64 {
        self.backend.count(filter).await.unwrap_or_else(|error| panic!("count: {error}"))
    }

    /// How many live records there are; 0 where that cannot be asked.
    pub(crate) async fn count_live(&self) -> u64 {
        if self.capability.enumerable { self.count(&Filter::everywhere()).await } else { 0 }
    }

    pub(crate) async fn sweep(&self, limit: usize) -> u64 {
        self.backend.sweep(limit).await.unwrap_or_else(|error| panic!("sweep: {error}"))
    }

    /// All entries that a filter gives, page by page.
    pub(crate) async fn scan(&self, filter: &Filter, limit: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut after = None;
        for _ in 0..MAX_PAGES {
            let page = self.backend.scan(filter, after, limit).await;
            let page = page.unwrap_or_else(|error| panic!("scan: {error}"));
            assert!(
                page.entries.len() <= limit,
                "a page of {} entries, {limit} asked for",
                page.entries.len()
            );
            entries.extend(page.entries);
            let Some(next) = page.next else { return entries };
            after = Some(next);
        }
        panic!("the scan did not end after {MAX_PAGES} pages");
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend).finish_non_exhaustive()
    }
}

pub(crate) fn fresh_key() -> SessionKey {
    SessionKey::generate().expect("the operating system gives randomness")
}

pub(crate) fn owner(text: &str) -> Owner {
    Owner::parse(text).expect("a valid owner")
}

pub(crate) fn scope(text: &str) -> Scope {
    Scope::parse(text).expect("a valid scope")
}

/// The kind of the error that was expected.
pub(crate) fn kind_of<T>(result: Result<T>, what: &str) -> ErrorKind {
    match result {
        Ok(_) => panic!("{what} was accepted"),
        Err(error) => error.kind(),
    }
}
