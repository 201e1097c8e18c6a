//! In-memory sessions by key, as a user of each crate writes it.

use std::sync::Arc;

use cloakroom_core::{InMemorySessionBackend, Session, SessionKey};
use ruts::store::moka::{MokaStore, MokaStoreBuilder};
use ruts::store::{SessionStore as _, Ttl};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_sessions::MemoryStore;

use crate::data::{Payload, Sink};
use crate::run::Role;

/// How many sessions are stored; operations go round.
pub const SESSIONS: usize = 64;

pub trait Store: Clone + Send + Sync + 'static {
    type Handle: Sink + Send;
    const NAME: &'static str;
    const ROLE: Role;

    fn empty() -> Self;
    /// Stores the sessions that are opened later.
    fn populate<P: Payload>(payload: &P) -> impl Future<Output = Self> + Send;
    /// A handle on stored session number `index`.
    fn open(&self, index: usize) -> Self::Handle;
    /// A handle on a new session.
    fn fresh(&self) -> Self::Handle;
    fn get<T: DeserializeOwned + Send + Sync>(
        handle: &mut Self::Handle,
        name: &str,
    ) -> impl Future<Output = T> + Send;
    fn save(handle: &mut Self::Handle) -> impl Future<Output = ()> + Send;
}

#[derive(Clone)]
pub struct Cloakroom {
    backend: InMemorySessionBackend,
    /// Keys whose ids were never asked for: each operation hashes, as with a key that just came from a client.
    keys: Arc<Vec<SessionKey>>,
}

pub struct CloakroomHandle(Session<InMemorySessionBackend>);

impl Sink for CloakroomHandle {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(name, value).expect("set");
    }
}

impl Store for Cloakroom {
    type Handle = CloakroomHandle;
    const NAME: &'static str = "cloakroom";
    const ROLE: Role = Role::Ours;

    fn empty() -> Self {
        Self { backend: InMemorySessionBackend::new(), keys: Arc::default() }
    }

    async fn populate<P: Payload>(payload: &P) -> Self {
        let backend = InMemorySessionBackend::new();
        let mut keys = Vec::new();
        for _ in 0..SESSIONS {
            let mut handle = CloakroomHandle(Session::new(backend.clone()));
            payload.fill(&mut handle).await;
            handle.0.save().await.expect("saved");
            let key = handle.0.key().expect("a key");
            keys.push(SessionKey::from_name(key.expose()).expect("the shape of a key"));
        }
        Self { backend, keys: Arc::new(keys) }
    }

    fn open(&self, index: usize) -> CloakroomHandle {
        CloakroomHandle(Session::with_key(self.backend.clone(), self.keys[index % SESSIONS].clone()))
    }

    fn fresh(&self) -> CloakroomHandle {
        CloakroomHandle(Session::new(self.backend.clone()))
    }

    async fn get<T: DeserializeOwned + Send + Sync>(handle: &mut CloakroomHandle, name: &str) -> T {
        handle.0.load().await.expect("loaded");
        handle.0.get(name).expect("readable").expect("there")
    }

    async fn save(handle: &mut CloakroomHandle) {
        handle.0.save().await.expect("saved");
    }
}

#[derive(Clone)]
pub struct TowerSessions {
    store: Arc<MemoryStore>,
    ids: Arc<Vec<tower_sessions::session::Id>>,
}

pub struct TowerHandle(tower_sessions::Session);

impl Sink for TowerHandle {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.insert(name, value).await.expect("inserted");
    }
}

impl Store for TowerSessions {
    type Handle = TowerHandle;
    const NAME: &'static str = "tower-sessions";
    const ROLE: Role = Role::Peer;

    fn empty() -> Self {
        Self { store: Arc::default(), ids: Arc::default() }
    }

    async fn populate<P: Payload>(payload: &P) -> Self {
        let store: Arc<MemoryStore> = Arc::default();
        let mut ids = Vec::new();
        for _ in 0..SESSIONS {
            let mut handle = TowerHandle(tower_sessions::Session::new(None, store.clone(), None));
            payload.fill(&mut handle).await;
            handle.0.save().await.expect("saved");
            ids.push(handle.0.id().expect("an id"));
        }
        Self { store, ids: Arc::new(ids) }
    }

    fn open(&self, index: usize) -> TowerHandle {
        let id = self.ids[index % SESSIONS];
        TowerHandle(tower_sessions::Session::new(Some(id), self.store.clone(), None))
    }

    fn fresh(&self) -> TowerHandle {
        TowerHandle(tower_sessions::Session::new(None, self.store.clone(), None))
    }

    async fn get<T: DeserializeOwned + Send + Sync>(handle: &mut TowerHandle, name: &str) -> T {
        handle.0.get(name).await.expect("loaded").expect("there")
    }

    async fn save(handle: &mut TowerHandle) {
        handle.0.save().await.expect("saved");
    }
}

/// `ruts` hands out its `Session` only inside a request; this is its store alone, which is less work.
#[derive(Clone)]
pub struct Ruts {
    store: Arc<MokaStore>,
    ids: Arc<Vec<ruts::Id>>,
}

pub struct RutsHandle(Arc<MokaStore>, ruts::Id);

pub fn ruts_ttl() -> Ttl {
    Ttl::new(3600).expect("a lifetime")
}

pub fn ruts_store() -> MokaStore {
    MokaStoreBuilder::new().max_capacity(10_000_000).build()
}

impl Sink for RutsHandle {
    async fn put<T: Serialize + Send + Sync>(&mut self, name: &'static str, value: &T) {
        self.0.set(&self.1, name, value, ruts_ttl(), None).await.expect("set");
    }
}

impl Store for Ruts {
    type Handle = RutsHandle;
    const NAME: &'static str = "ruts (store alone)";
    const ROLE: Role = Role::Shown;

    fn empty() -> Self {
        Self { store: Arc::new(ruts_store()), ids: Arc::default() }
    }

    async fn populate<P: Payload>(payload: &P) -> Self {
        let store = Arc::new(ruts_store());
        let mut ids = Vec::new();
        for _ in 0..SESSIONS {
            let mut handle = RutsHandle(store.clone(), ruts::Id::default());
            payload.fill(&mut handle).await;
            ids.push(handle.1);
        }
        Self { store, ids: Arc::new(ids) }
    }

    fn open(&self, index: usize) -> RutsHandle {
        RutsHandle(self.store.clone(), self.ids[index % SESSIONS].clone())
    }

    fn fresh(&self) -> RutsHandle {
        RutsHandle(self.store.clone(), ruts::Id::default())
    }

    async fn get<T: DeserializeOwned + Send + Sync>(handle: &mut RutsHandle, name: &str) -> T {
        handle.0.get(&handle.1, name).await.expect("loaded").expect("there")
    }

    async fn save(_: &mut RutsHandle) {}
}
