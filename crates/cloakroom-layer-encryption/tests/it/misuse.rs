//! Where there is nothing to encrypt, or no room for it.

use cloakroom_core::{
    Capability, Clock, Cursor, ErrorKind, Filter, InMemorySessionBackend, Page, Record, Removal, Result,
    Rotate, SessionBackend, SessionBackendExt, SessionKey, Touch, Write,
};
use cloakroom_layer_encryption::{EncryptedSessionBackend, EncryptionLayer};

use crate::place::{Place, key, kind, max_payload, owner, ring};

/// A backend that says otherwise what it can do, and must not be called.
#[derive(Clone, Debug)]
struct Says(Capability, Clock);

impl SessionBackend for Says {
    fn capability(&self) -> Capability {
        self.0.clone()
    }

    fn clock(&self) -> &Clock {
        &self.1
    }

    async fn read(&self, _: &SessionKey) -> Result<Option<Record>> {
        panic!("called")
    }

    async fn write(&self, _: &SessionKey, _: Record, _: Write) -> Result<SessionKey> {
        panic!("called")
    }

    async fn rotate(&self, _: &SessionKey, _: &SessionKey, _: Record, _: Rotate) -> Result<SessionKey> {
        panic!("called")
    }

    async fn touch(&self, _: &SessionKey, _: Touch) -> Result<Option<SessionKey>> {
        panic!("called")
    }

    async fn remove(&self, _: &SessionKey, _: Removal) -> Result<bool> {
        panic!("called")
    }

    async fn scan(&self, _: &Filter, _: Option<Cursor>, _: usize) -> Result<Page> {
        panic!("called")
    }

    async fn count(&self, _: &Filter) -> Result<u64> {
        panic!("called")
    }

    async fn remove_all(&self, _: &Filter, _: Removal) -> Result<u64> {
        panic!("called")
    }

    async fn sweep(&self, _: usize) -> Result<u64> {
        panic!("called")
    }
}

fn says(capability: Capability) -> Says {
    Says(capability, Clock::system())
}

#[tokio::test]
async fn over_sessions_of_clients_every_call_refused_and_nothing_passed_on() {
    for inner in [says(Capability::sealed(4087, 2900)), says(Capability::store().with_max_payload(77))] {
        assert_eq!(kind(EncryptedSessionBackend::new(inner.clone(), ring([1]))), ErrorKind::InvalidConfig);

        let backend = inner.layer(EncryptionLayer::new(ring([1])));
        let (one, other) = (SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
        let record = Record::new("{}", backend.clock().now());
        let (version, end, all) = (record.version, backend.clock().now(), Filter::everywhere());
        let why = Removal::Explicit;
        let refusals = [
            kind(backend.read(&one).await),
            kind(backend.write(&one, record.clone(), Write::create()).await),
            kind(backend.rotate(&one, &other, record, Rotate::new(version)).await),
            kind(backend.touch(&one, Touch::new(version, end)).await),
            kind(backend.remove(&one, why).await),
            kind(backend.scan(&all, None, 1).await),
            kind(backend.count(&all).await),
            kind(backend.remove_all(&all, why).await),
            kind(backend.sweep(1).await),
            kind(backend.reencrypt(None, 1).await),
            kind(backend.ping().await),
        ];
        assert_eq!(refusals, [ErrorKind::InvalidConfig; 11]);
    }
}

#[tokio::test]
async fn capability_is_the_inner_one_but_for_the_overhead() {
    let inner = Capability::store().with_max_payload(1000).with_durable(true).with_limits(false);
    let plain = says(inner.clone()).layer(EncryptionLayer::new(ring([1])));
    assert_eq!(plain.capability(), inner.with_max_payload(1000 - 78));
    let hashed = says(plain.capability()).layer(EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9)));
    assert_eq!(max_payload(&hashed), 1000 - 78 - 78 - 255);
}

#[tokio::test]
async fn overhead_is_what_the_store_sees() {
    let place = Place::new();
    let backend = place.layered(EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9)));
    let longest = "o".repeat(255);
    let session = place.create(&backend, &place.record("12345").with_owner(Some(owner(&longest)))).await;
    let most = max_payload(&place.store) - max_payload(&backend);
    assert_eq!(place.stored(&session).await.payload.len(), 5 + most);
    let session = place.create(&place.with([1]), &place.record("12345")).await;
    assert_eq!(place.stored(&session).await.payload.len(), 5 + 78);
}

#[tokio::test]
async fn too_large_refused_before_the_store_is_asked() {
    let backend = says(Capability::store().with_max_payload(100)).layer(EncryptionLayer::new(ring([1])));
    let (one, other) = (SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
    let record = Record::new(vec![b'x'; 23], backend.clock().now());
    assert_eq!(kind(backend.write(&one, record.clone(), Write::create()).await), ErrorKind::TooLarge);
    let how = Rotate::new(record.version);
    assert_eq!(kind(backend.rotate(&one, &other, record, how).await), ErrorKind::TooLarge);
}

#[test]
fn layer_and_constructor_take_the_same() {
    let store = InMemorySessionBackend::new();
    assert!(EncryptedSessionBackend::new(store.clone(), EncryptionLayer::new(ring([1]))).is_ok());
    assert!(EncryptedSessionBackend::new(store.shared(), ring([1])).is_ok());
}
