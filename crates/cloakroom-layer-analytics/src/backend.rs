use std::time::Instant;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, Mode, Page, Record, Removal, Result, Rotate, Scope,
    ScopeFilter, SessionBackend, SessionError, SessionId, SessionKey, Touch, Write,
};

use crate::event::{AnalyticsEvent, Operation, Outcome};
use crate::sink::{Guarded, SessionAnalytics};

/// A backend whose every call is timed and told to a sink. What goes in and what comes out is the inner backend's,
/// untouched. See the [crate's page](crate) for what each operation reports.
#[derive(Clone, Debug)]
pub struct InstrumentedSessionBackend<B> {
    inner: B,
    sink: Guarded,
}

impl<B: SessionBackend> InstrumentedSessionBackend<B> {
    /// Around a backend, as [`AnalyticsLayer::new`](crate::AnalyticsLayer::new). The sink runs on the thread of each
    /// request: a panic in it is caught, the time it takes is not.
    #[must_use]
    pub fn new(inner: B, sink: impl SessionAnalytics) -> Self {
        Self::with_sink(inner, Guarded::new(sink))
    }

    pub(crate) const fn with_sink(inner: B, sink: Guarded) -> Self {
        Self { inner, sink }
    }

    /// How many events the sink panicked at.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.sink.panics()
    }

    /// The backend within.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    fn of_key<'a>(&'a self, operation: Operation, key: &'a SessionKey) -> Call<'a> {
        Call::begin(&self.sink, operation, Some(key), key.scope())
    }

    fn of_many<'a>(&'a self, operation: Operation, filter: &'a Filter) -> Call<'a> {
        let scope = if let ScopeFilter::Is(scope) = &filter.scope { Some(scope) } else { None };
        Call::begin(&self.sink, operation, None, scope)
    }
}

/// A call under way. Dropped without an answer, it tells that it was cancelled.
struct Call<'a> {
    sink: &'a Guarded,
    operation: Operation,
    key: Option<&'a SessionKey>,
    scope: Option<&'a Scope>,
    payload: Option<usize>,
    is_answered: bool,
    begun: Instant,
}

impl<'a> Call<'a> {
    fn begin(
        sink: &'a Guarded,
        operation: Operation,
        key: Option<&'a SessionKey>,
        scope: Option<&'a Scope>,
    ) -> Self {
        let begun = Instant::now();
        Self { sink, operation, key, scope, payload: None, is_answered: false, begun }
    }

    fn with_payload(mut self, record: &Record) -> Self {
        self.payload = Some(record.payload.len());
        self
    }

    /// Of the session whose key was given.
    fn answer(mut self, outcome: Outcome) {
        self.tell(outcome, None);
    }

    /// Of a session that has this id by now.
    fn answer_of(mut self, id: SessionId, outcome: Outcome) {
        self.tell(outcome, Some(id));
    }

    fn fail(self, error: &SessionError) {
        self.answer(match error.kind() {
            ErrorKind::Conflict => Outcome::Conflicted,
            ErrorKind::Gone => Outcome::Gone,
            kind => Outcome::Failed { kind },
        });
    }

    fn tell(&mut self, outcome: Outcome, id: Option<SessionId>) {
        self.is_answered = true;
        let latency = self.begun.elapsed();
        // Only now: a sealed key knows its id once it was opened, and other keys have been asked for it by then.
        let session = id.or_else(|| self.key.map(SessionKey::id)).map(|id| id.log_hash());
        let (operation, payload, scope) = (self.operation, self.payload, self.scope.cloned());
        self.sink.record(&AnalyticsEvent { operation, outcome, latency, payload, session, scope });
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.tell(Outcome::Cancelled, None);
        }
    }
}

impl<B: SessionBackend> SessionBackend for InstrumentedSessionBackend<B> {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let mut call = self.of_key(Operation::Read, key);
        let result = self.inner.read(key).await;
        match &result {
            Ok(Some(record)) if record.is_live() => {
                call.payload = Some(record.payload.len());
                call.answer(Outcome::Accessed { hit: true });
            }
            Ok(_) => call.answer(Outcome::Accessed { hit: false }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let call = self.of_key(Operation::Write, key).with_payload(&record);
        let done = match how.mode {
            _ if !record.is_live() => Outcome::Marked,
            Mode::Create => Outcome::Created,
            Mode::Update(_) => Outcome::Saved,
            _ => Outcome::Stored,
        };
        let result = self.inner.write(key, record, how).await;
        match &result {
            Ok(key) => call.answer_of(key.id(), done),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let call = self.of_key(Operation::Rotate, old).with_payload(&record);
        let result = self.inner.rotate(old, new, record, how).await;
        match &result {
            Ok(key) => call.answer(Outcome::Rotated { to: key.id().log_hash() }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let call = self.of_key(Operation::Touch, key);
        let result = self.inner.touch(key, how).await;
        match &result {
            Ok(Some(_)) => call.answer(Outcome::Touched),
            Ok(None) => call.answer(Outcome::Gone),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        let call = self.of_key(Operation::Remove, key);
        let result = self.inner.remove(key, reason).await;
        match &result {
            Ok(was_live) => call.answer(Outcome::Deleted { reason, count: u64::from(*was_live) }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let call = self.of_many(Operation::Scan, filter);
        let result = self.inner.scan(filter, after, limit).await;
        match &result {
            Ok(page) => call.answer(Outcome::Listed { count: page.entries.len() as u64 }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let call = self.of_many(Operation::Count, filter);
        let result = self.inner.count(filter).await;
        match &result {
            Ok(count) => call.answer(Outcome::Counted { count: *count }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        let call = self.of_many(Operation::RemoveAll, filter);
        let result = self.inner.remove_all(filter, reason).await;
        match &result {
            Ok(count) => call.answer(Outcome::Deleted { reason, count: *count }),
            Err(error) => call.fail(error),
        }
        result
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        let call = Call::begin(&self.sink, Operation::Sweep, None, None);
        let result = self.inner.sweep(limit).await;
        match &result {
            Ok(count) => call.answer(Outcome::Expired { count: *count }),
            Err(error) => call.fail(error),
        }
        result
    }
}
