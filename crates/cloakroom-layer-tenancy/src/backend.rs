use std::sync::Arc;

use cloakroom_core::{
    Capability, Clock, Cursor, Filter, Mode, Page, Record, Removal, Result, Rotate, SessionBackend,
    SessionKey, Touch, Write,
};

use crate::config::TenantConfig;
use crate::space::Space;
use crate::tenant_id::TenantId;

/// One tenant's sessions in a backend that all tenants share. See the [crate's page](crate) for what each operation does.
///
/// Clones share all but what the inner backend's clones do not.
#[derive(Clone, Debug)]
pub struct TenantSessionBackend<B> {
    inner: B,
    space: Arc<Space>,
}

impl<B: SessionBackend> TenantSessionBackend<B> {
    /// That tenant's sessions in a backend. Every operation is `InvalidConfig` over a backend of one tenant, and with a
    /// limit over one that does not check limits.
    #[must_use]
    pub fn new(inner: B, tenant: TenantId, config: &TenantConfig) -> Self {
        let space = Arc::new(Space::new(tenant, config, inner.capability()));
        Self::in_space(inner, space)
    }

    pub(crate) const fn in_space(inner: B, space: Arc<Space>) -> Self {
        Self { inner, space }
    }

    /// Whose sessions these are.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        self.space.tenant()
    }

    /// The backend within, which holds the sessions of all tenants.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }
}

impl<B: SessionBackend> SessionBackend for TenantSessionBackend<B> {
    fn capability(&self) -> Capability {
        self.space.capability().clone()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        let key = self.space.own(key, "read")?;
        self.inner.read(&key).await
    }

    async fn write(&self, key: &SessionKey, record: Record, mut how: Write) -> Result<SessionKey> {
        let key = self.space.own(key, "write")?;
        self.space.check_size(&record, "write")?;
        if !matches!(how.mode, Mode::Update(_)) {
            how.limits = self.space.limit(how.limits);
        }
        self.inner.write(&key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        let (old, new) = (self.space.own(old, "rotate")?, self.space.own(new, "rotate")?);
        self.space.check_size(&record, "rotate")?;
        self.inner.rotate(&old, &new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        let key = self.space.own(key, "touch")?;
        self.inner.touch(&key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        let key = self.space.own(key, "remove")?;
        self.inner.remove(&key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        let filter = self.space.within(filter, "scan")?;
        let mut page = self.inner.scan(&filter, after, limit).await?;
        // A backend that shows more than it was asked for shows it to nobody.
        page.entries.retain(|entry| filter.scope.matches(entry.scope.as_ref()));
        for entry in &mut page.entries {
            entry.scope = None;
        }
        Ok(page)
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        let filter = self.space.within(filter, "count")?;
        self.inner.count(&filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        let filter = self.space.within(filter, "remove all")?;
        self.inner.remove_all(&filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.space.scope("sweep")?;
        self.inner.sweep(limit).await
    }
}
