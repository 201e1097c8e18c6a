//! Sessions over the layer: what applications see.

use std::sync::{Arc, Mutex};

use cloakroom_core::{
    InMemorySessionBackend, SecurityEvent, Session, SessionBackend, SessionBackendExt, SessionConfig,
    SessionEvent, SessionKey, SessionObserver,
};
use cloakroom_layer_compression::{CompressionLayer, ZstdCompressor};

use crate::place::{create, over, read};

#[tokio::test]
async fn session_over_a_shared_stack_saves_loads_and_merges() {
    let store = InMemorySessionBackend::new();
    let backend = store.clone().layer(CompressionLayer::new(ZstdCompressor::new())).shared();
    let session = Session::new(backend.clone());
    session.set("text", "many words, ".repeat(200)).unwrap();
    session.save().await.unwrap();
    let key = session.get_or_create_key().unwrap();
    assert_eq!(read(&store, &key).await.unwrap()[0], 0x11);

    let other = Session::from_key(backend.clone(), key.expose()).await.unwrap();
    other.set("b", 2).unwrap();
    other.save().await.unwrap();
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    let both = Session::from_key(backend, key.expose()).await.unwrap();
    assert_eq!((both.get("a").unwrap(), both.get("b").unwrap()), (Some(1), Some(2)));
    assert_eq!(both.get::<String>("text").unwrap().map(|text| text.len()), Some(2_400));
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Seen {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

#[tokio::test]
async fn session_that_cannot_be_opened_starts_empty_under_a_new_key_and_tells() {
    let store = InMemorySessionBackend::new();
    let key = create(&store, b"\x11not a frame".as_slice()).await;
    let backend = over(&store, ZstdCompressor::new());
    let seen = Seen::default();
    let config = Arc::new(SessionConfig::default().with_observer(seen.clone()));
    let held = SessionKey::parse(key.expose(), &backend.capability()).unwrap();
    let session = Session::with_config(backend, Some(held), config);
    session.load().await.unwrap();
    assert!(session.is_empty());
    session.set("a", 1).unwrap();
    session.save().await.unwrap();
    assert_ne!(session.get_or_create_key().unwrap().expose(), key.expose());
    let seen = seen.0.lock().unwrap();
    let corrupted =
        |event: &SessionEvent| matches!(event, SessionEvent::Security(SecurityEvent::Corrupted(_)));
    assert!(seen.iter().any(corrupted), "{seen:?}");
}
