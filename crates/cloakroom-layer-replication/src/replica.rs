use cloakroom_core::{
    Capability, Cursor, Filter, Page, Record, Result, Rotate, SessionBackend, SessionKey, Touch, Write,
};

/// One copy: the primary, which is number 0, or one of the secondaries.
pub(crate) enum Replica<'a, P, S> {
    Primary(&'a P),
    Secondary(&'a S),
}

macro_rules! on {
    ($replica:expr, $it:ident => $call:expr) => {
        match $replica {
            Replica::Primary($it) => $call,
            Replica::Secondary($it) => $call,
        }
    };
}

impl<P: SessionBackend, S: SessionBackend> Replica<'_, P, S> {
    pub(crate) fn capability(&self) -> Capability {
        on!(self, it => it.capability())
    }

    pub(crate) async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        on!(self, it => it.read(key).await)
    }

    pub(crate) async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        on!(self, it => it.write(key, record, how).await)
    }

    pub(crate) async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        on!(self, it => it.rotate(old, new, record, how).await)
    }

    pub(crate) async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        on!(self, it => it.touch(key, how).await)
    }

    pub(crate) async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        on!(self, it => it.scan(filter, after, limit).await)
    }

    pub(crate) async fn count(&self, filter: &Filter) -> Result<u64> {
        on!(self, it => it.count(filter).await)
    }

    pub(crate) async fn sweep(&self, limit: usize) -> Result<u64> {
        on!(self, it => it.sweep(limit).await)
    }
}
