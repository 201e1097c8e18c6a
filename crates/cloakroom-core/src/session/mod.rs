pub(crate) mod data;
mod dictionary;
mod life;
mod log;
pub(crate) mod owner;
mod save;
mod state;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::{SessionBackend, SharedBackend};
use crate::clock::{Now, Timestamp};
use crate::config::SessionConfig;
use crate::error::Result;
use crate::key::SessionKey;
use crate::observer::{SecurityEvent, SessionEvent};

pub use life::KeyChange;
pub use owner::{Device, SessionHandle, SessionInfo};

use state::State;

/// A session, used like a dictionary: the fields are read and changed in memory, `load` and `save` talk to the
/// backend.
///
/// Cheap to clone; clones are the same session. Changes are kept in a log. When another request saved first, the log
/// is replayed on what it wrote, so that neither loses anything; closures of [`update`](Self::update) run again.
///
/// A session that was not loaded accepts changes; reading it first needs [`load`](Self::load). In handlers the
/// middleware's extractor has done that.
///
/// ```
/// use cloakroom_core::{InMemorySessionBackend, Session};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let backend = InMemorySessionBackend::new();
/// let session = Session::new(backend.clone());
/// session.set("user_id", 42)?;
/// session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
/// session.save().await?;
///
/// let key = session.key().expect("saved");
/// let again = Session::from_key(backend, key.expose()).await?;
/// assert_eq!(again.get::<u32>("user_id")?, Some(42));
/// again.flush().await?;
/// # Ok::<(), cloakroom_core::SessionError>(()) }).unwrap();
/// ```
pub struct Session<B: SessionBackend = SharedBackend>(Arc<Shared<B>>);

struct Shared<B> {
    backend: B,
    config: Arc<SessionConfig>,
    /// Further keys that the client sent under the same name, to try in order.
    others: Box<[SessionKey]>,
    /// Where in a request the keys came from.
    place: u64,
    state: Mutex<State>,
    /// Loads and saves of one handle queue here. The one lock that is held across an await.
    gate: tokio::sync::Mutex<()>,
}

impl<B: SessionBackend> Clone for Session<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B: SessionBackend> Session<B> {
    /// A new, empty session with the default settings. Costs nothing until it is saved.
    #[must_use]
    pub fn new(backend: B) -> Self {
        Self::with_config(backend, None, Arc::default())
    }

    /// The session of a key, not loaded yet.
    #[must_use]
    pub fn with_key(backend: B, key: SessionKey) -> Self {
        Self::with_config(backend, Some(key), Arc::default())
    }

    /// A session with settings of its own: of a key, not loaded yet, or new.
    #[must_use]
    pub fn with_config(backend: B, key: Option<SessionKey>, config: Arc<SessionConfig>) -> Self {
        Self::of_request(backend, key, Box::default(), config, 0)
    }

    /// As [`with_config`](Self::with_config), for middleware: of a request with several keys, the first that has a
    /// session is taken. `place` stands for the cookie or header they came in, so that a nested layer can tell whose
    /// session is there already.
    #[must_use]
    pub fn of_request(
        backend: B,
        key: Option<SessionKey>,
        others: Box<[SessionKey]>,
        config: Arc<SessionConfig>,
        place: u64,
    ) -> Self {
        let state = Mutex::new(State::new(key, &config));
        Self(Arc::new(Shared { backend, config, others, place, state, gate: tokio::sync::Mutex::default() }))
    }

    /// What [`of_request`](Self::of_request) was told; 0 for other sessions.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.0.place
    }

    /// Loads the session that a client's text names. A text that cannot be a key, or is none any more, gives an
    /// empty session; it gets a key of its own when it is first saved. One backend call, or none.
    ///
    /// # Errors
    /// What [`read`](SessionBackend::read) returns, such as `Unavailable`.
    pub async fn from_key(backend: B, key: impl AsRef<str>) -> Result<Self> {
        let key = SessionKey::parse(key.as_ref(), &backend.capability()).ok();
        let session = Self::with_config(backend, key, Arc::default());
        session.load().await?;
        Ok(session)
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &B {
        &self.0.backend
    }

    /// The settings.
    pub fn config(&self) -> &SessionConfig {
        &self.0.config
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A closure of the application may panic, but none runs under this lock while the state is half-changed.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for loads and saves of other clones. Nearly always there are none.
    async fn enter(&self) -> tokio::sync::MutexGuard<'_, ()> {
        match self.0.gate.try_lock() {
            Ok(entered) => entered,
            Err(_) => self.0.gate.lock().await,
        }
    }

    fn now(&self) -> Timestamp {
        self.0.backend.clock().now()
    }

    fn lazy_now(&self) -> Now<'_> {
        Now::Of(self.0.backend.clock())
    }

    fn notify(&self, event: SessionEvent) {
        self.0.config.notify(event);
    }

    fn security(&self, event: SecurityEvent) {
        self.notify(SessionEvent::Security(event));
    }
}

impl<B: SessionBackend> fmt::Debug for Session<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Session")
            .field("loaded", &state.loaded)
            .field("stored", &state.stored.is_some())
            .field("accessed", &state.accessed)
            .field("modified", &state.modified)
            .finish_non_exhaustive()
    }
}
