//! A backend that counts calls and fails when told, before or after the inner call took effect.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cloakroom_core::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
    /// At `release`: cut off, but still under way in the server.
    Late,
}

#[derive(Debug, Default)]
struct Switches {
    calls: AtomicU64,
    fail: Mutex<Option<(When, ErrorKind)>>,
    hang_after: AtomicBool,
    under_way: Mutex<Option<(SessionKey, Record, Write)>>,
}

#[derive(Clone, Debug)]
pub struct Fault {
    inner: InMemorySessionBackend,
    switches: Arc<Switches>,
}

impl Fault {
    pub fn new(inner: &InMemorySessionBackend) -> Self {
        Self { inner: inner.clone(), switches: Arc::default() }
    }

    pub fn calls(&self) -> u64 {
        self.switches.calls.swap(0, Ordering::SeqCst)
    }

    /// The next write or rotate fails.
    pub fn fail_next(&self, when: When, kind: ErrorKind) {
        *self.switches.fail.lock().unwrap() = Some((when, kind));
    }

    /// Writes and rotates take effect and never answer.
    pub fn hang_after(&self, hang: bool) {
        self.switches.hang_after.store(hang, Ordering::SeqCst);
    }

    /// What was cut off with [`When::Late`] arrives.
    pub async fn release(&self) {
        let (key, record, how) = self.switches.under_way.lock().unwrap().take().unwrap();
        self.inner.write(&key, record, how).await.unwrap();
    }

    fn count(&self) {
        self.switches.calls.fetch_add(1, Ordering::SeqCst);
    }

    async fn around<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        self.count();
        let fail = self.switches.fail.lock().unwrap().take();
        if let Some((When::Before | When::Late, kind)) = fail {
            return Err(SessionError::new(kind, "injected"));
        }
        let result = call.await;
        if let Some((When::After, kind)) = fail {
            return Err(SessionError::new(kind, "injected"));
        }
        if self.switches.hang_after.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        result
    }
}

impl SessionBackend for Fault {
    fn capability(&self) -> Capability {
        self.inner.capability()
    }
    fn clock(&self) -> &Clock {
        self.inner.clock()
    }
    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.count();
        self.inner.read(key).await
    }
    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        let late = matches!(*self.switches.fail.lock().unwrap(), Some((When::Late, _)));
        if late {
            *self.switches.under_way.lock().unwrap() = Some((key.clone(), record.clone(), how));
        }
        self.around(self.inner.write(key, record, how)).await
    }
    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.around(self.inner.rotate(old, new, record, how)).await
    }
    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.around(self.inner.touch(key, how)).await
    }
    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.around(self.inner.remove(key, reason)).await
    }
    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.count();
        self.inner.scan(filter, after, limit).await
    }
    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.count();
        self.inner.count(filter).await
    }
    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.around(self.inner.remove_all(filter, reason)).await
    }
    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.around(self.inner.sweep(limit)).await
    }
}
