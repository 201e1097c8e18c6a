use cloakroom_core::{
    Capability, Clock, Cursor, Filter, Page, Record, Removal, Result, Rotate, SessionBackend, SessionKey,
    Touch, Write,
};
use cloakroom_seal::{ClientSideBackend, Revocation};

use crate::builder::JwtBuilder;
use crate::codec::JwtCodec;
use crate::key::JwtKey;
use crate::url;

/// Sessions that clients keep, as signed JSON web tokens. Anybody can read them, nobody can change them.
///
/// What it can do, and what its operations cost, is told at [`ClientSideBackend`]. Clones share keys and settings.
#[derive(Clone, Debug)]
pub struct JwtSessionBackend(ClientSideBackend<JwtCodec>);

impl JwtSessionBackend {
    /// Signed with that key, on the system's clock.
    ///
    /// # Errors
    /// `InvalidConfig` for a key that only verifies.
    pub fn new(key: JwtKey) -> Result<Self> {
        Self::builder([key]).build()
    }

    /// The settings, with the key that signs first and then those that still verify.
    pub fn builder(keys: impl IntoIterator<Item = JwtKey>) -> JwtBuilder {
        JwtBuilder::new(keys.into_iter().collect())
    }

    /// From `jwt:?key=…&key=…&issuer=…&audience=…`, signed with HS256. Keys are at least 32 random bytes in base64url
    /// without padding, the newest first. Issuer and audience are percent-encoded, and may be missing.
    ///
    /// # Errors
    /// `InvalidConfig` for anything else. The error shows nothing of the URL.
    pub async fn connect(url: &str) -> Result<Self> {
        url::parse(url)?.build()
    }

    /// Keeps in that backend which sessions ended. See [`JwtBuilder::with_revocation`].
    ///
    /// # Errors
    /// `InvalidConfig` for a backend that does not keep records itself or does not compare versions.
    pub fn with_revocation(self, revocation: impl Into<Revocation>) -> Result<Self> {
        Ok(Self(self.0.with_revocation(revocation)?))
    }

    pub(crate) fn over(backend: ClientSideBackend<JwtCodec>) -> Self {
        Self(backend)
    }
}

impl SessionBackend for JwtSessionBackend {
    fn capability(&self) -> Capability {
        self.0.capability()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
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
