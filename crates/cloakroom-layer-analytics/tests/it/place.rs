//! A sink that remembers, and sessions to tell it of.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::{
    Filter, InMemorySessionBackend, Owner, Record, Removal, Rotate, Scope, SessionBackend, SessionKey, Touch,
    Version, Write,
};
use cloakroom_layer_analytics::{AnalyticsEvent, InstrumentedSessionBackend, Outcome, SessionAnalytics};
use cloakroom_testkit::Faulty;

pub(crate) const PAYLOAD: &str = r#"{"card":"4111111111111111"}"#;
pub(crate) const OWNER: &str = "ada@example.org";

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<AnalyticsEvent>>>);

impl SessionAnalytics for Memory {
    fn record(&self, event: &AnalyticsEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Memory {
    pub(crate) fn take(&self) -> Vec<AnalyticsEvent> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn one(&self) -> AnalyticsEvent {
        let mut events = self.take();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.one().outcome
    }
}

pub(crate) type Store = Faulty<InMemorySessionBackend>;
pub(crate) type Instrumented = InstrumentedSessionBackend<Store>;

pub(crate) fn watched() -> (Instrumented, Memory) {
    let memory = Memory::default();
    let store = Faulty::new(InMemorySessionBackend::new());
    (InstrumentedSessionBackend::new(store, memory.clone()), memory)
}

pub(crate) fn key() -> SessionKey {
    SessionKey::generate().unwrap()
}

pub(crate) fn scope(tenant: &str) -> Scope {
    Scope::parse(&format!("tenant:{tenant}:session:")).unwrap()
}

pub(crate) fn record(backend: &impl SessionBackend) -> Record {
    let owner = Owner::parse(OWNER).unwrap();
    Record::new(PAYLOAD, backend.clock().now()).with_owner(Some(owner))
}

pub(crate) async fn create(backend: &impl SessionBackend) -> (SessionKey, Version) {
    let (key, record) = (key(), record(backend));
    backend.write(&key, record.clone(), Write::create()).await.unwrap();
    (key, record.version)
}

/// Every operation and every outcome that a store has. Errors are welcome.
pub(crate) async fn traffic(backend: &impl SessionBackend, within: Option<&Scope>) -> Vec<SessionKey> {
    let scoped = |key: SessionKey| within.map_or(key.clone(), |scope| key.scoped(scope));
    let (old, new, other, ended) = (scoped(key()), scoped(key()), scoped(key()), scoped(key()));
    let now = backend.clock().now();
    let first = record(backend);
    let next = first.clone().with_version(first.version.next(now));
    let end = now + Duration::from_secs(60);
    let filter = Filter::in_scope(within);
    let _ = backend.read(&old).await;
    let _ = backend.write(&old, first.clone(), Write::create()).await;
    let _ = backend.write(&old, first.clone(), Write::create()).await;
    let _ = backend.write(&old, next.clone(), Write::update(first.version)).await;
    let _ = backend.write(&old, next.clone(), Write::update(first.version)).await;
    let _ = backend.read(&old).await;
    let _ = backend.touch(&old, Touch::new(next.version, end)).await;
    let moved = next.clone().with_version(next.version.next(now));
    let trail = Record::moved(new.id(), now, end);
    let _ = backend.rotate(&old, &new, moved.clone(), Rotate::new(next.version).with_trail(trail)).await;
    let _ = backend.read(&old).await;
    let _ = backend.write(&other, first.clone(), Write::overwrite()).await;
    let _ = backend.write(&ended, Record::ended(now, end), Write::newer()).await;
    let _ = backend.touch(&ended, Touch::new(first.version, end)).await;
    let _ = backend.scan(&filter, None, 10).await;
    let _ = backend.count(&filter).await;
    let _ = backend.remove(&new, Removal::Flushed).await;
    let _ = backend.remove_all(&filter, Removal::Revoked).await;
    let _ = backend.sweep(10).await;
    vec![old, new, other, ended]
}
