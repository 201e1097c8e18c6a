//! Tenants do not see each other (CV-28).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloakroom_core::{
    BackendLayer, Capability, Clock, Cursor, ErrorKind, Filter, InMemorySessionBackend, Page, Record,
    Removal, Result, Rotate, Scope, SecurityEvent, SessionBackend, SessionBackendExt, SessionError,
    SessionEvent, SessionKey, SessionObserver, Touch, Write,
};
use cloakroom_layer_tenancy::{TenancyLayer, TenantConfig, TenantId, TenantSessionOperations, Tenants};
use cloakroom_testkit::Spy;

#[derive(Clone, Debug, Default)]
struct Events(Arc<Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Events {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

/// A backend that checks no limits, and says so.
#[derive(Clone, Debug)]
pub(crate) struct NoLimits(pub(crate) InMemorySessionBackend);

fn unsupported<T>(operation: &'static str) -> Result<T> {
    Err(SessionError::new(ErrorKind::Unsupported, operation))
}

impl SessionBackend for NoLimits {
    fn capability(&self) -> Capability {
        self.0.capability().with_limits(false)
    }
    fn clock(&self) -> &Clock {
        self.0.clock()
    }
    async fn read(&self, key: &SessionKey) -> Result<Option<Record>> {
        self.0.read(key).await
    }
    async fn write(&self, key: &SessionKey, record: Record, how: Write) -> Result<SessionKey> {
        if how.limits.is_none() { self.0.write(key, record, how).await } else { unsupported("write") }
    }
    async fn rotate(
        &self,
        old: &SessionKey,
        new: &SessionKey,
        record: Record,
        how: Rotate,
    ) -> Result<SessionKey> {
        if how.limits.is_none() { self.0.rotate(old, new, record, how).await } else { unsupported("rotate") }
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

/// What each operation says about a key, and about a filter.
async fn errors(backend: &impl SessionBackend, key: &SessionKey, filter: &Filter) -> Vec<SessionError> {
    let now = backend.clock().now();
    let record = Record::new("{}", now);
    let plain = SessionKey::generate().unwrap();
    let rotate = || Rotate::new(record.version);
    vec![
        backend.read(key).await.unwrap_err(),
        backend.write(key, record.clone(), Write::create()).await.unwrap_err(),
        backend.write(key, record.clone(), Write::update(record.version)).await.unwrap_err(),
        backend.rotate(key, &plain, record.clone(), rotate()).await.unwrap_err(),
        backend.rotate(&plain, key, record.clone(), rotate()).await.unwrap_err(),
        backend.touch(key, Touch::new(record.version, now + Duration::from_secs(9))).await.unwrap_err(),
        backend.remove(key, Removal::Flushed).await.unwrap_err(),
        backend.scan(filter, None, 10).await.unwrap_err(),
        backend.count(filter).await.unwrap_err(),
        backend.remove_all(filter, Removal::Revoked).await.unwrap_err(),
    ]
}

pub(crate) async fn refuses_everything(backend: &impl SessionBackend, kind: ErrorKind) {
    let key = SessionKey::generate().unwrap();
    let mut all = errors(backend, &key, &Filter::everywhere()).await;
    all.push(backend.sweep(10).await.unwrap_err());
    for error in all {
        assert_eq!((error.kind(), error.backend()), (kind, "tenancy"), "{error}");
    }
}

#[tokio::test]
async fn foreign_scope_refused_before_the_backend_is_called_and_raises_an_event() {
    let (spy, events) = (Spy::new(InMemorySessionBackend::new()), Events::default());
    let config = TenantConfig::default().with_observer(events.clone());
    let tenants = Tenants::new(spy.clone(), config.clone());
    let (acme, globex) = (tenants.of("acme").unwrap(), tenants.of("globex").unwrap());
    let record = Record::new("{}", spy.clock().now());
    let key = globex.write(&SessionKey::generate().unwrap(), record, Write::create()).await.unwrap();
    let theirs = config.scope(globex.tenant()).unwrap();
    for scope in [theirs, Scope::parse("tenant:acme:session").unwrap(), Scope::parse("x").unwrap()] {
        spy.reset();
        events.0.lock().unwrap().clear();
        let all = errors(&acme, &key.scoped(&scope), &Filter::in_scope(Some(&scope))).await;
        for error in &all {
            assert_eq!((error.kind(), error.backend()), (ErrorKind::InvalidKey, "tenancy"), "{error}");
        }
        assert_eq!(spy.calls().total(), 0);
        let raised = events.0.lock().unwrap().clone();
        let event = |id| SessionEvent::Security(SecurityEvent::ForeignTenant(id));
        let expected: Vec<_> = [event(Some(key.id())); 7].into_iter().chain([event(None); 3]).collect();
        assert_eq!(raised, expected);
    }
    assert!(globex.read(&key).await.unwrap().is_some(), "nothing happened to it");
}

/// The log names the tenant and a hash; no key, no id, no name of the other.
#[test]
fn log_of_a_foreign_scope_names_the_tenant_and_no_id() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let key = SessionKey::generate().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = tracing::subscriber::with_default(subscriber, || {
        let acme = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default()).of("acme").unwrap();
        let foreign = Scope::parse("tenant:globex:session:").unwrap();
        runtime.block_on(acme.read(&key.scoped(&foreign))).unwrap_err()
    });
    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("WARN") && log.contains("cloakroom::security") && log.contains("acme"), "{log}");
    assert!(log.contains(&key.id().log_hash().to_string()), "{log}");
    for text in [log, format!("{error} {error:?}")] {
        assert!(
            !text.contains(key.expose()) && !text.contains(&*key.id().as_text()) && !text.contains("globex")
        );
    }
}

#[tokio::test]
async fn one_secret_is_a_session_for_each_tenant() {
    let store = InMemorySessionBackend::new();
    let tenants = Tenants::new(store.clone(), TenantConfig::default());
    let (acme, globex) = (tenants.of("acme").unwrap(), tenants.of("globex").unwrap());
    let key = SessionKey::generate().unwrap();
    for backend in [&acme, &globex] {
        let record = Record::new(backend.tenant().as_str().to_owned(), backend.clock().now());
        assert!(backend.read(&key).await.unwrap().is_none());
        let returned = backend.write(&key, record, Write::create()).await.unwrap();
        assert!(returned.scope().is_none());
    }
    assert!(store.read(&key).await.unwrap().is_none(), "none outside the tenants");
    // With its own scope a key is the tenant's, as an operator has it from a scan of the store.
    for entry in store.scan(&Filter::everywhere(), None, 10).await.unwrap().entries {
        let read = tenants.of(if entry.scope.as_ref().unwrap().as_str().contains("acme") {
            "acme"
        } else {
            "globex"
        });
        assert!(read.unwrap().read(&entry.address()).await.unwrap().is_some());
    }
    assert!(acme.remove(&key, Removal::Flushed).await.unwrap());
    assert_eq!(globex.read(&key).await.unwrap().unwrap().payload, "globex");
}

#[tokio::test]
async fn every_filter_sees_this_tenant_only_and_addresses_work() {
    let store = InMemorySessionBackend::new();
    let config = TenantConfig::default();
    let tenants = Tenants::new(store.clone(), config.clone());
    let (acme, globex) = (tenants.of("acme").unwrap(), tenants.of("globex").unwrap());
    for (name, at) in [("a", &acme), ("b", &acme), ("c", &globex)] {
        at.save(name, name, None).await.unwrap();
    }
    store.save("d", "d", None).await.unwrap();
    let own = config.scope(acme.tenant()).unwrap();
    for filter in [Filter::everywhere(), Filter::unscoped(), Filter::in_scope(Some(&own))] {
        assert_eq!(acme.count(&filter).await.unwrap(), 2);
        let mut after = None;
        let mut found = 0;
        loop {
            let page = acme.scan(&filter, after, 1).await.unwrap();
            for entry in page.entries {
                assert!(entry.scope.is_none());
                assert!(acme.read(&entry.address()).await.unwrap().is_some());
                assert!(globex.read(&entry.address()).await.unwrap().is_none());
                found += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, 2);
    }
    assert_eq!(acme.list_sessions(None, 10).await.unwrap().entries.len(), 2);
    assert_eq!(acme.remove_all(&Filter::everywhere(), Removal::Revoked).await.unwrap(), 2);
    assert_eq!((globex.count_sessions().await.unwrap(), acme.delete_all_sessions().await.unwrap()), (1, 0));
    assert_eq!(store.count(&Filter::everywhere()).await.unwrap(), 2);
}

/// The layer costs the calls of the backend and no more.
#[tokio::test]
async fn every_operation_costs_one_call() {
    let spy = Spy::new(InMemorySessionBackend::new());
    let acme = Tenants::new(spy.clone(), TenantConfig::default().with_max_sessions(9)).of("acme").unwrap();
    let record = Record::new("{}", acme.clock().now());
    let (key, new) = (SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
    acme.write(&key, record.clone(), Write::create()).await.unwrap();
    acme.read(&key).await.unwrap();
    acme.touch(&key, Touch::new(record.version, acme.clock().now())).await.unwrap();
    acme.rotate(&key, &new, record.clone(), Rotate::new(record.version)).await.unwrap();
    acme.remove(&new, Removal::Flushed).await.unwrap();
    acme.list_sessions(None, 1).await.unwrap();
    acme.count_sessions().await.unwrap();
    acme.delete_all_sessions().await.unwrap();
    acme.sweep(1).await.unwrap();
    assert_eq!(spy.calls().total(), 9);
}

#[tokio::test]
async fn tenancy_in_tenancy_every_operation_invalid_config() {
    let outer = TenancyLayer::new(TenantId::parse("sub").unwrap(), TenantConfig::default());
    let acme = Tenants::new(InMemorySessionBackend::new(), TenantConfig::default()).of("acme").unwrap();
    assert!(!acme.capability().scopes);
    refuses_everything(&outer.layer(acme), ErrorKind::InvalidConfig).await;
}
