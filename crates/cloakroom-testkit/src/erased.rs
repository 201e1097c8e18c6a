use cloakroom_core::{
    Capability, Clock, Cursor, Filter, Page, Record, Removal, Result, Rotate, SessionBackend, SessionKey,
    SharedBackend, Touch, Write,
};

/// A shared backend behind a name of its own: the futures of a `Session` on it are `Send` wherever they are used,
/// which the compiler cannot see through the `dyn` inside an alias.
#[derive(Clone, Debug)]
pub(crate) struct Erased(pub(crate) SharedBackend);

impl SessionBackend for Erased {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn clock(&self) -> &Clock {
        SessionBackend::clock(&self.0)
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
