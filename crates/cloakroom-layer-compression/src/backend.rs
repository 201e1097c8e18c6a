use std::sync::Arc;

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, KeyKind, Page, Record, Removal, Result, Rotate,
    SessionBackend, SessionError, SessionKey, Touch, Write,
};

use crate::compressor::Compressor;
use crate::envelope::largest_payload;
use crate::layer::CompressionLayer;

/// What errors call it.
pub(crate) const NAME: &str = "compression";

/// A backend whose payloads are compressed. See the [crate's page](crate) for what each operation does.
#[derive(Clone, Debug)]
pub struct CompressedSessionBackend<B> {
    inner: B,
    layer: Arc<CompressionLayer>,
    capability: Capability,
    sealed: bool,
}

impl<B: SessionBackend> CompressedSessionBackend<B> {
    /// Around a backend, as [`CompressionLayer::new`].
    ///
    /// Over a backend whose clients hold sealed sessions, every operation is `InvalidConfig` until
    /// [`allow_inside_sealed`](Self::allow_inside_sealed).
    #[must_use]
    pub fn new(inner: B, compressor: impl Compressor) -> Self {
        Self::with_layer(inner, Arc::new(CompressionLayer::new(compressor)))
    }

    pub(crate) fn with_layer(inner: B, layer: Arc<CompressionLayer>) -> Self {
        let capability = inner.capability();
        let sealed = matches!(capability.key_kind, KeyKind::Sealed { .. });
        let largest = largest_payload(capability.max_payload, sealed);
        Self { inner, layer, capability: capability.with_max_payload(largest), sealed }
    }

    /// See [`CompressionLayer::with_threshold`].
    #[must_use]
    pub fn with_threshold(self, bytes: usize) -> Self {
        self.with(|layer| layer.with_threshold(bytes))
    }

    /// See [`CompressionLayer::with_expansion_limit`].
    #[must_use]
    pub fn with_expansion_limit(self, bytes: usize) -> Self {
        self.with(|layer| layer.with_expansion_limit(bytes))
    }

    /// See [`CompressionLayer::with_reader`].
    #[must_use]
    pub fn with_reader(self, compressor: impl Compressor) -> Self {
        self.with(|layer| layer.with_reader(compressor))
    }

    /// See [`CompressionLayer::allow_inside_sealed`].
    #[must_use]
    pub fn allow_inside_sealed(self) -> Self {
        self.with(CompressionLayer::allow_inside_sealed)
    }

    fn with(mut self, change: impl FnOnce(CompressionLayer) -> CompressionLayer) -> Self {
        self.layer = Arc::new(change(Arc::unwrap_or_clone(self.layer)));
        self
    }

    /// From how many bytes on payloads are compressed.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.layer.threshold()
    }

    /// The backend within.
    #[must_use]
    pub const fn inner(&self) -> &B {
        &self.inner
    }

    /// CV-42: sealed sessions are compressed by name only.
    fn check(&self, operation: &'static str) -> Result<()> {
        if self.sealed && !self.layer.is_allowed_inside_sealed() {
            return Err(SessionError::new(ErrorKind::InvalidConfig, operation)
                .with_backend(NAME)
                .with_message("compressing sealed sessions gives their content away by its length; see `allow_inside_sealed`"));
        }
        Ok(())
    }

    /// A record as it is stored.
    fn close(&self, mut record: Record, operation: &'static str) -> Result<Record> {
        if !record.is_live() {
            return Ok(record);
        }
        let (length, most) = (record.payload.len(), self.capability.max_payload);
        if length > most {
            let message = format!("a payload of {length} bytes, at most {most} fit");
            return Err(SessionError::new(ErrorKind::TooLarge, operation)
                .with_backend(NAME)
                .with_message(message));
        }
        record.payload = self.layer.close(record.payload, self.sealed);
        Ok(record)
    }
}

impl<B: SessionBackend> SessionBackend for CompressedSessionBackend<B> {
    fn capability(&self) -> Capability {
        self.capability.clone()
    }

    fn clock(&self) -> &Clock {
        self.inner.clock()
    }

    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.check("read")?;
        let Some(mut record) = self.inner.read(key).await? else { return Ok(None) };
        if record.is_live() {
            record.payload = self.layer.open(record.payload).map_err(|error| error.into_error())?;
        }
        Ok(Some(record))
    }

    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        self.check("write")?;
        let record = self.close(record, "write")?;
        self.inner.write(key, record, how).await
    }

    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        self.check("rotate")?;
        let record = self.close(record, "rotate")?;
        self.inner.rotate(old, new, record, how).await
    }

    async fn touch(&self, key: &SessionKey, how: Touch) -> Result<Option<SessionKey>> {
        self.check("touch")?;
        self.inner.touch(key, how).await
    }

    async fn remove(&self, key: &SessionKey, reason: Removal) -> Result<bool> {
        self.check("remove")?;
        self.inner.remove(key, reason).await
    }

    async fn scan(&self, filter: &Filter, after: Option<Cursor>, limit: usize) -> Result<Page> {
        self.check("scan")?;
        let mut page = self.inner.scan(filter, after, limit).await?;
        if filter.payload {
            for entry in &mut page.entries {
                // One that cannot be opened stays as it is stored: no format begins so, and the others are listed.
                if let Ok(payload) = self.layer.open(entry.record.payload.clone()) {
                    entry.record.payload = payload;
                }
            }
        }
        Ok(page)
    }

    async fn count(&self, filter: &Filter) -> Result<u64> {
        self.check("count")?;
        self.inner.count(filter).await
    }

    async fn remove_all(&self, filter: &Filter, reason: Removal) -> Result<u64> {
        self.check("remove all")?;
        self.inner.remove_all(filter, reason).await
    }

    async fn sweep(&self, limit: usize) -> Result<u64> {
        self.check("sweep")?;
        self.inner.sweep(limit).await
    }
}
