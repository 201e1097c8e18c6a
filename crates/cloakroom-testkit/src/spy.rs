use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloakroom_core::{
    Capability, Clock, Cursor, Filter, Page, Record, Removal, Result, Rotate, Scope, SessionBackend,
    SessionId, SessionKey, Touch, Write,
};

use crate::operation::Operation;

/// How many calls of each operation there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls of `read`.
    pub read: u64,
    /// Calls of `write`.
    pub write: u64,
    /// Calls of `rotate`.
    pub rotate: u64,
    /// Calls of `touch`.
    pub touch: u64,
    /// Calls of `remove`.
    pub remove: u64,
    /// Calls of `scan`.
    pub scan: u64,
    /// Calls of `count`.
    pub count: u64,
    /// Calls of `remove_all`.
    pub remove_all: u64,
    /// Calls of `sweep`.
    pub sweep: u64,
}

impl Calls {
    /// All of them together.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.read
            + self.write
            + self.rotate
            + self.touch
            + self.remove
            + self.scan
            + self.count
            + self.remove_all
            + self.sweep
    }

    fn of(&mut self, operation: Operation) -> &mut u64 {
        match operation {
            Operation::Read => &mut self.read,
            Operation::Write => &mut self.write,
            Operation::Rotate => &mut self.rotate,
            Operation::Touch => &mut self.touch,
            Operation::Remove => &mut self.remove,
            Operation::Scan => &mut self.scan,
            Operation::Count => &mut self.count,
            Operation::RemoveAll => &mut self.remove_all,
            Operation::Sweep => &mut self.sweep,
        }
    }
}

/// One call that a [`Spy`] saw. It holds ids, never a key or a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// What was called.
    pub operation: Operation,
    /// The id it was called for; for a rotation the old one. `None` where the operation names none.
    pub id: Option<SessionId>,
    /// The new id of a rotation.
    pub successor: Option<SessionId>,
    /// The scope of the key.
    pub scope: Option<Scope>,
}

/// A backend that counts the calls it forwards. Clones count together.
///
/// ```
/// use cloakroom_testkit::core::{InMemorySessionBackend, SessionBackend, SessionKey};
/// use cloakroom_testkit::{Operation, Spy};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let spy = Spy::new(InMemorySessionBackend::new());
/// let key = SessionKey::generate()?;
/// spy.read(&key).await?;
/// assert_eq!((spy.calls().read, spy.calls().total()), (1, 1));
/// assert_eq!(spy.seen()[0].operation, Operation::Read);
/// assert_eq!(spy.seen()[0].id, Some(key.id()));
/// spy.reset();
/// assert_eq!(spy.calls().total(), 0);
/// # Ok::<(), cloakroom_testkit::core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Spy<B> {
    inner: B,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    calls: Calls,
    seen: Vec<Call>,
}

impl<B> Spy<B> {
    /// A spy on that backend.
    #[must_use]
    pub fn new(inner: B) -> Self {
        Self { inner, log: Arc::default() }
    }

    /// The backend behind it; what is called there is not counted.
    #[must_use]
    pub fn inner(&self) -> &B {
        &self.inner
    }

    /// The calls since the start or the last [`reset`](Self::reset). A call counts when it begins, whatever becomes
    /// of it.
    #[must_use]
    pub fn calls(&self) -> Calls {
        self.log().calls
    }

    /// The same calls one by one, in the order in which they began.
    #[must_use]
    pub fn seen(&self) -> Vec<Call> {
        self.log().seen.clone()
    }

    /// Forgets the calls so far.
    pub fn reset(&self) {
        *self.log() = Log::default();
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, operation: Operation, key: Option<&SessionKey>, successor: Option<&SessionKey>) {
        let mut log = self.log();
        *log.calls.of(operation) += 1;
        log.seen.push(Call {
            operation,
            id: key.map(SessionKey::id),
            successor: successor.map(SessionKey::id),
            scope: key.and_then(SessionKey::scope).cloned(),
        });
    }
}

impl<B: fmt::Debug> fmt::Debug for Spy<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spy").field("inner", &self.inner).field("calls", &self.calls()).finish()
    }
}

impl<B: SessionBackend> SessionBackend for Spy<B> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.note(Operation::Read, Some(key), None);
        self.inner.read(key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.note(Operation::Write, Some(key), None);
        self.inner.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.note(Operation::Rotate, Some(old), Some(new));
        self.inner.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.note(Operation::Touch, Some(key), None);
        self.inner.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.note(Operation::Remove, Some(key), None);
        self.inner.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.note(Operation::Scan, None, None);
        self.inner.scan(filter, after, limit).await
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.note(Operation::Count, None, None);
        self.inner.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.note(Operation::RemoveAll, None, None);
        self.inner.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.note(Operation::Sweep, None, None);
        self.inner.sweep(limit).await
    }
}
