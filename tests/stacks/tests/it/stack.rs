//! Layers on layers: every ordered pair, and all four over everything they are used with.

use cloakroom_core::{
    BackendLayer, Clock, ErrorKind, InMemorySessionBackend, Record, Scope, Session, SessionBackend,
    SessionBackendExt, SessionKey, SharedBackend, Write,
};
use cloakroom_layer_analytics::{AnalyticsLayer, PrometheusAnalytics};
use cloakroom_layer_compression::{CompressionLayer, ZstdCompressor};
use cloakroom_layer_encryption::{EncryptionLayer, KeyRing, SealKey};
use cloakroom_layer_replication::{ReplicatedSessionBackend, ReplicationStrategy::SyncReplication};
use cloakroom_layer_tenancy::{TenancyLayer, TenantConfig, TenantId};
use prometheus::Registry;

use crate::place;

/// Everything, not only what is large.
fn compression() -> CompressionLayer {
    CompressionLayer::new(ZstdCompressor::new()).with_threshold(0)
}

fn encryption() -> EncryptionLayer {
    let [sealing, owners] = [1, 2].map(|byte| SealKey::from_bytes([byte; 32]));
    EncryptionLayer::new(KeyRing::new([sealing]).unwrap()).with_hashed_owner(&owners)
}

fn tenancy() -> TenancyLayer {
    let config = TenantConfig::default().with_max_sessions(1_000_000);
    TenancyLayer::new(TenantId::parse("acme").unwrap(), config)
}

fn analytics() -> AnalyticsLayer {
    let metrics = PrometheusAnalytics::builder().with_tenants(10).register(&Registry::new()).unwrap();
    AnalyticsLayer::new(metrics)
}

/// The first one is next to the store.
fn pair(
    store: impl SessionBackend,
    inner: &impl BackendLayer<SharedBackend>,
    outer: &impl BackendLayer<SharedBackend>,
) -> SharedBackend {
    outer.layer(inner.layer(store.shared()).shared()).shared()
}

/// In the order that the book recommends.
fn all(store: impl SessionBackend) -> SharedBackend {
    pair(pair(store, &encryption(), &compression()), &tenancy(), &analytics())
}

macro_rules! pairs {
    ($($name:ident: $inner:ident, $outer:ident;)*) => {$(
        mod $name {
            use super::*;

            cloakroom_testkit::conformance!(memory, |clock| async move {
                pair(InMemorySessionBackend::with_clock(clock), &$inner(), &$outer())
            });

            cloakroom_testkit::conformance!(sqlite, |clock| async move {
                pair(place::sqlite(clock).await, &$inner(), &$outer())
            });
        }
    )*};
}

pairs! {
    encryption_then_compression: encryption, compression;
    encryption_then_tenancy: encryption, tenancy;
    encryption_then_analytics: encryption, analytics;
    compression_then_encryption: compression, encryption;
    compression_then_tenancy: compression, tenancy;
    compression_then_analytics: compression, analytics;
    tenancy_then_encryption: tenancy, encryption;
    tenancy_then_compression: tenancy, compression;
    tenancy_then_analytics: tenancy, analytics;
    analytics_then_encryption: analytics, encryption;
    analytics_then_compression: analytics, compression;
    analytics_then_tenancy: analytics, tenancy;
}

cloakroom_testkit::conformance!(
    memory,
    |clock| async move { all(InMemorySessionBackend::with_clock(clock)) }
);

cloakroom_testkit::conformance!(memory_upside_down, |clock| async move {
    let store = InMemorySessionBackend::with_clock(clock);
    pair(pair(store, &analytics(), &tenancy()), &compression(), &encryption())
});

cloakroom_testkit::conformance!(sqlite, |clock| async move { all(place::sqlite(clock).await) });

cloakroom_testkit::conformance!(
    postgres,
    optional | clock | async move { Some(all(place::postgres(clock).await?)) }
);

cloakroom_testkit::conformance!(file, |clock| async move { all(place::file(clock).await) });

// Cookies are sealed already, and check no limits.
cloakroom_testkit::conformance!(cookie, |clock| async move {
    let compressed = place::cookie(clock).layer(compression().allow_inside_sealed());
    let acme = TenancyLayer::new(TenantId::parse("acme").unwrap(), TenantConfig::default());
    pair(compressed, &acme, &analytics())
});

async fn stores() -> Vec<(&'static str, SharedBackend)> {
    let clock = Clock::system;
    let mut stores = vec![
        ("memory", InMemorySessionBackend::new().shared()),
        ("SQLite", place::sqlite(clock()).await.shared()),
        ("files", place::file(clock()).await.shared()),
    ];
    stores.extend(place::postgres(clock()).await.map(|store| ("PostgreSQL", store.shared())));
    stores
}

/// What is stored of the session of that key, as the store has it.
async fn stored(store: &SharedBackend, key: &SessionKey) -> (SessionKey, Record) {
    let place = key.scoped(&Scope::parse("tenant:acme:session:").unwrap());
    let record = store.read(&place).await.unwrap().unwrap();
    (place, record)
}

/// A site goes on with an empty session when the one that is stored cannot be read.
async fn gives_an_empty_session(backend: &SharedBackend, key: &SessionKey) {
    let session = Session::with_key(backend.clone(), key.clone());
    session.load().await.unwrap();
    assert!(session.is_empty());
    session.set("begun", "anew").unwrap();
    session.save().await.unwrap();
    assert_ne!(session.key().unwrap(), *key);
}

/// CV-40: 8 MiB in a few KiB, sealed by somebody who has the key.
#[tokio::test]
async fn memory_bomb_behind_all_layers_corrupted() {
    for (name, store) in stores().await {
        let backend = all(store.clone());
        let key = SessionKey::generate().unwrap();
        let wide = compression().with_expansion_limit(1 << 24);
        let bomb = pair(pair(store.clone(), &encryption(), &wide), &tenancy(), &analytics());
        let record = Record::new(vec![b' '; 1 << 23], backend.clock().now());
        bomb.write(&key, record, Write::create()).await.unwrap();
        assert!(stored(&store, &key).await.1.payload.len() < 1 << 14, "{name}");
        assert_eq!(backend.read(&key).await.unwrap_err().kind(), ErrorKind::Corrupted, "{name}");
        gives_an_empty_session(&backend, &key).await;
    }
}

#[tokio::test]
async fn ciphertext_changed_anywhere_corrupted() {
    for (name, store) in stores().await {
        let backend = all(store.clone());
        let session = Session::new(backend.clone());
        session.set("cart", ["hat", "coat"]).unwrap();
        session.save().await.unwrap();
        let key = session.key().unwrap();
        let (place, whole) = stored(&store, &key).await;
        for at in [0, 1, whole.payload.len() / 2, whole.payload.len() - 1] {
            let mut payload = whole.payload.to_vec();
            payload[at] ^= 1;
            let mut changed = whole.clone();
            changed.payload = payload.into();
            store.write(&place, changed, Write::overwrite()).await.unwrap();
            let error = backend.read(&key).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupted, "{name}, byte {at}");
        }
        gives_an_empty_session(&backend, &key).await;
        store.write(&place, whole, Write::overwrite()).await.unwrap();
        assert!(backend.read(&key).await.unwrap().is_some(), "{name}");
    }
}

/// CV-28: by its key the session of another is not there; by its address it is refused, and the store is not asked.
#[tokio::test]
async fn id_of_another_tenant_nothing_and_its_address_refused() {
    for (name, store) in stores().await {
        let acme = all(store.clone());
        let globex = TenancyLayer::new(TenantId::parse("globex").unwrap(), TenantConfig::default());
        let globex = pair(pair(store.clone(), &encryption(), &compression()), &globex, &analytics());
        let session = Session::new(globex.clone());
        session.set("cart", "hat").unwrap();
        session.save().await.unwrap();
        let key = session.key().unwrap();
        assert!(acme.read(&key).await.unwrap().is_none(), "{name}");
        let address = SessionKey::from_id(key.id()).scoped(&Scope::parse("tenant:globex:session:").unwrap());
        assert_eq!(acme.read(&address).await.unwrap_err().kind(), ErrorKind::InvalidKey, "{name}");
        // What is moved into the other's key space does not open there.
        let record = store.read(&address).await.unwrap().unwrap();
        let moved = key.scoped(&Scope::parse("tenant:acme:session:").unwrap());
        store.write(&moved, record, Write::create()).await.unwrap();
        assert_eq!(acme.read(&key).await.unwrap_err().kind(), ErrorKind::Corrupted, "{name}");
        assert!(globex.read(&key).await.unwrap().is_some(), "{name}");
    }
}

/// Two requests of one session, through everything.
#[tokio::test]
async fn counter_through_all_layers_counts_every_time() {
    const TASKS: u64 = 16;
    for (name, store) in stores().await {
        let backend = all(store);
        let session = Session::new(backend.clone());
        session.set("notes", "as long as it takes to be worth compressing, ".repeat(40)).unwrap();
        session.save().await.unwrap();
        let key = session.key().unwrap();
        let count = |backend: SharedBackend, key: SessionKey| async move {
            let session = Session::with_key(backend, key);
            session.load().await.unwrap();
            session.update("count", |count: Option<u64>| count.unwrap_or(0) + 1).unwrap();
            session.save().await.unwrap();
        };
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(count(backend.clone(), key.clone()))).collect();
        for task in tasks {
            task.await.unwrap();
        }
        let session = Session::with_key(backend, key);
        session.load().await.unwrap();
        assert_eq!(session.get::<u64>("count").unwrap(), Some(TASKS), "{name}");
    }
}

/// The record of who decides needs a scope of its own.
#[tokio::test]
async fn replication_of_one_tenants_backend_invalid_config() {
    let plain = InMemorySessionBackend::new().shared();
    let acme = tenancy().layer(InMemorySessionBackend::new()).shared();
    for [primary, secondary] in [[plain.clone(), acme.clone()], [acme, plain]] {
        let backend = ReplicatedSessionBackend::new(primary, secondary, SyncReplication);
        assert_eq!(backend.save("a", &1, None).await.unwrap_err().kind(), ErrorKind::InvalidConfig);
    }
}
