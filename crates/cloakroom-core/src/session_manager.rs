use std::sync::Arc;

use crate::backend::SessionBackend;
use crate::config::SessionConfig;
use crate::error::{ErrorKind, Result, SessionError};
use crate::key::SessionKey;
use crate::operation::{Filter, Removal};
use crate::session::Session;

/// Sessions without HTTP: for command-line tools, sockets, jobs, and protocols of one's own.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, SessionManager};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let manager = SessionManager::new(InMemorySessionBackend::new());
/// let session = manager.create(|session| session.set("user", "ada")).await?;
/// let key = session.key().expect("stored");
///
/// manager.update(&key, |session| session.set("user", "grace")).await?;
/// let key = manager.regenerate(&key).await?;
/// assert_eq!(manager.load(&key).await?.and_then(|session| session.get("user").ok()?), Some("grace".to_owned()));
/// assert!(manager.delete(&key).await?);
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SessionManager<B> {
    backend: B,
    config: Arc<SessionConfig>,
}

impl<B: SessionBackend + Clone> SessionManager<B> {
    /// With the default settings.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self::with_config(backend, SessionConfig::default())
    }

    /// With settings.
    #[must_use]
    pub fn with_config(backend: B, config: SessionConfig) -> Self {
        Self { backend, config: Arc::new(config) }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn handle(&self, key: Option<SessionKey>) -> Session<B> {
        Session::with_config(self.backend.clone(), key, Arc::clone(&self.config))
    }

    /// Reads the text of a key.
    ///
    /// # Errors
    /// `InvalidKey` when it cannot be one.
    pub fn parse(&self, key: &str) -> Result<SessionKey> {
        SessionKey::parse(key, &self.backend.capability())
    }

    /// Fills and stores a new session, empty ones too. One backend call.
    ///
    /// # Errors
    /// What the closure and [`Session::save`] return.
    pub async fn create(&self, fill: impl FnOnce(&Session<B>) -> Result<()>) -> Result<Session<B>> {
        let session = self.handle(None);
        fill(&session)?;
        session.mark_modified();
        session.save().await?;
        Ok(session)
    }

    /// The session of a key; `None` when it has none. One backend call.
    ///
    /// # Errors
    /// What [`read`](SessionBackend::read) returns.
    pub async fn load(&self, key: &SessionKey) -> Result<Option<Session<B>>> {
        let session = self.handle(Some(key.clone()));
        session.load().await?;
        if session.is_degraded() {
            return Err(SessionError::new(ErrorKind::Unavailable, "load"));
        }
        Ok(session.key().is_some().then_some(session))
    }

    async fn existing(&self, key: &SessionKey) -> Result<Session<B>> {
        self.load(key).await?.ok_or_else(|| SessionError::new(ErrorKind::Gone, "load"))
    }

    /// Changes and saves a session. Two backend calls; over conflicts the changes are replayed.
    ///
    /// # Errors
    /// `Gone` when there is no such session; what the closure and [`Session::save`] return.
    pub async fn update(
        &self,
        key: &SessionKey,
        change: impl FnOnce(&Session<B>) -> Result<()>,
    ) -> Result<Session<B>> {
        let session = self.existing(key).await?;
        change(&session)?;
        session.save().await?;
        Ok(session)
    }

    /// Extends a session's life as a use of it does. Two backend calls.
    ///
    /// # Errors
    /// `Gone` when there is no such session; what [`Session::touch`] returns.
    pub async fn touch(&self, key: &SessionKey) -> Result<()> {
        self.existing(key).await?.touch().await
    }

    /// Moves a session to a new key, which is returned. Two backend calls.
    ///
    /// # Errors
    /// `Gone` when there is no such session; what [`Session::cycle_key`] returns.
    pub async fn regenerate(&self, key: &SessionKey) -> Result<SessionKey> {
        let session = self.existing(key).await?;
        session.cycle_key().await?;
        session.key().ok_or_else(|| SessionError::new(ErrorKind::Gone, "regenerate"))
    }

    /// Ends a session, also where it moved to another key; says whether there was one. One backend call, more to
    /// follow a rotation.
    ///
    /// # Errors
    /// What the backend returns.
    pub async fn delete(&self, key: &SessionKey) -> Result<bool> {
        self.handle(Some(key.clone())).end(key.clone(), Removal::Explicit).await
    }

    /// How many sessions there are outside any scope.
    ///
    /// # Errors
    /// What [`count`](SessionBackend::count) returns.
    pub async fn count(&self) -> Result<u64> {
        self.backend.count(&Filter::unscoped()).await
    }

    /// Ends all sessions outside any scope; says how many.
    ///
    /// # Errors
    /// What [`remove_all`](SessionBackend::remove_all) returns.
    pub async fn clear(&self) -> Result<u64> {
        self.backend.remove_all(&Filter::unscoped(), Removal::Explicit).await
    }
}
