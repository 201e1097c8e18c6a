//! Payloads from before the layer was added.

use std::time::Duration;

use cloakroom_core::{ErrorKind, Filter, Session, SessionBackend, Write};
use cloakroom_layer_encryption::EncryptionLayer;

use crate::place::{Place, SECRET, key, kind, owner, ring};

#[tokio::test]
async fn plain_payload_refused_unless_accepted() {
    let place = Place::new(); // CV-24
    for payload in [SECRET, "", "{}"] {
        let key = place.create(&place.store, &place.record(payload)).await;
        assert_eq!(kind(place.with([1]).read(&key).await), ErrorKind::Corrupted);
    }
}

#[tokio::test]
async fn plain_payload_accepted_up_to_the_date_and_not_at_it() {
    let place = Place::new();
    let record = place.record(SECRET).with_expires_at(None);
    let session = place.create(&place.store, &record).await;
    let end = place.clock.now() + Duration::from_secs(60);
    let backend = place.layered(EncryptionLayer::new(ring([1])).accept_plain_until(end));

    assert_eq!(backend.read(&session).await.unwrap(), Some(record.clone()));
    place.clock.advance(Duration::from_millis(59_999));
    assert_eq!(backend.read(&session).await.unwrap(), Some(record.clone()));
    place.clock.advance(Duration::from_millis(1));
    assert_eq!(kind(backend.read(&session).await), ErrorKind::Corrupted);
    let scanned = backend.scan(&Filter::everywhere().with_payload(), None, 10).await.unwrap();
    assert_eq!(scanned.entries.len(), 0);
}

#[tokio::test]
async fn plain_session_saved_meanwhile_is_sealed_and_stays() {
    let place = Place::new();
    let plain = Session::new(place.store.clone());
    plain.set("cart", "hat").unwrap();
    plain.save().await.unwrap();
    let shown = plain.key().unwrap();

    let end = place.clock.now() + Duration::from_secs(60);
    let backend = place.layered(EncryptionLayer::new(ring([1])).accept_plain_until(end));
    let session = Session::from_key(backend.clone(), shown.expose()).await.unwrap();
    session.set("coat", true).unwrap();
    session.save().await.unwrap();
    assert_eq!(place.stored(&shown).await.payload.first(), Some(&0x80));

    place.clock.advance(Duration::from_secs(61));
    let session = Session::from_key(backend, shown.expose()).await.unwrap();
    assert_eq!(session.get::<String>("cart").unwrap().as_deref(), Some("hat"));
}

#[tokio::test]
async fn sealed_payload_that_does_not_open_is_never_taken_for_plain() {
    let place = Place::new();
    let end = place.clock.now() + Duration::from_secs(60);
    let backend = place.layered(EncryptionLayer::new(ring([1])).accept_plain_until(end));
    let session = place.create(&place.with([2]), &place.record(SECRET)).await;
    assert_eq!(kind(backend.read(&session).await), ErrorKind::Corrupted);
}

#[tokio::test]
async fn plain_session_of_an_owner_found_and_then_hashed() {
    let place = Place::new();
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    let session = place.create(&place.store, &record).await;
    let end = place.clock.now() + Duration::from_secs(60);
    let layer = EncryptionLayer::new(ring([1])).accept_plain_until(end);
    let backend = place.layered(layer.with_hashed_owner(&key(9)).with_former_plain_owner());
    let mine = Filter::unscoped().with_owner(owner("user:1"));
    assert_eq!(backend.count(&mine).await.unwrap(), 1);
    assert_eq!(backend.read(&session).await.unwrap(), Some(record.clone()));
    let next = record.clone().with_version(record.version.next(place.clock.now()));
    backend.write(&session, next.clone(), Write::update(record.version)).await.unwrap();
    assert_ne!(place.stored(&session).await.owner, record.owner);
    assert_eq!(backend.count(&mine).await.unwrap(), 1);
    assert_eq!(backend.read(&session).await.unwrap(), Some(next));
}
