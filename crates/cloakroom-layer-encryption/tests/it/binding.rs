//! A record opens only where it was sealed.

use cloakroom_core::{ErrorKind, Rotate, SessionBackend, SessionKey, State, Write};

use crate::place::{Place, SECRET, kind, owner, scope};

#[tokio::test]
async fn record_copied_to_another_id_corrupted() {
    let place = Place::new();
    let backend = place.with([1]);
    let (mine, theirs) = (
        place.create(&backend, &place.record("{}")).await,
        place.create(&backend, &place.record(SECRET)).await,
    );
    // Whoever can write into the store and has a session puts another's payload into it.
    place.plant(&mine, place.stored(&theirs).await).await;
    assert_eq!(kind(backend.read(&mine).await), ErrorKind::Corrupted);
    assert!(backend.read(&theirs).await.unwrap().is_some(), "the other session is not concerned");
}

#[tokio::test]
async fn record_copied_to_another_scope_or_to_none_corrupted() {
    let place = Place::new();
    let backend = place.with([1]);
    let key = SessionKey::generate().unwrap();
    let (here, there) = (key.scoped(&scope("tenant:a:")), key.scoped(&scope("tenant:b:")));
    backend.write(&here, place.record(SECRET), Write::create()).await.unwrap();
    let sealed = place.stored(&here).await;
    for other in [&there, &key] {
        place.plant(other, sealed.clone()).await;
        assert_eq!(kind(backend.read(other).await), ErrorKind::Corrupted);
    }
    assert!(backend.read(&here).await.unwrap().is_some());
    // From no scope into one.
    backend.write(&key, place.record(SECRET), Write::overwrite()).await.unwrap();
    place.plant(&there, place.stored(&key).await).await;
    assert_eq!(kind(backend.read(&there).await), ErrorKind::Corrupted);
}

#[tokio::test]
async fn owner_changed_added_or_taken_away_in_the_store_corrupted() {
    let place = Place::new();
    let backend = place.with([1]);
    let owned = place.record(SECRET).with_owner(Some(owner("user:1")));
    for (record, forged) in
        [(owned.clone(), Some(owner("user:2"))), (owned, None), (place.record(SECRET), Some(owner("user:2")))]
    {
        let key = place.create(&backend, &record).await;
        let stored = place.stored(&key).await;
        place.plant(&key, stored.with_owner(forged)).await;
        assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted);
    }
}

#[tokio::test]
async fn times_and_version_stay_outside() {
    let place = Place::new();
    let backend = place.with([1]);
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    let key = place.create(&backend, &record).await;
    let mut stored = place.stored(&key).await;
    assert_ne!(stored.payload, record.payload);
    stored.payload = record.payload.clone();
    assert_eq!(stored, record, "all else is as it was given");
}

#[tokio::test]
async fn rotated_record_sealed_for_its_new_id_only() {
    let place = Place::new();
    let backend = place.with([1]);
    let record = place.record(SECRET);
    let old = place.create(&backend, &record).await;
    let before = place.stored(&old).await;
    let new = SessionKey::generate().unwrap();
    let next = record.clone().with_version(record.version.next(place.clock.now()));
    backend.rotate(&old, &new, next.clone(), Rotate::new(record.version)).await.unwrap();
    assert_eq!(backend.read(&new).await.unwrap(), Some(next));
    let after = place.stored(&new).await;
    place.plant(&new, before).await;
    assert_eq!(kind(backend.read(&new).await), ErrorKind::Corrupted, "the payload of the old id");
    place.plant(&old, after).await;
    assert_eq!(kind(backend.read(&old).await), ErrorKind::Corrupted, "the payload of the new id");
}

#[tokio::test]
async fn marker_stored_and_read_as_it_is() {
    let place = Place::new();
    let backend = place.with([1]);
    let key = SessionKey::generate().unwrap();
    for state in [State::Moved, State::Ended] {
        let marker = place.record("a marker").with_state(state);
        backend.write(&key, marker.clone(), Write::overwrite()).await.unwrap();
        assert_eq!(place.stored(&key).await, marker);
        assert_eq!(backend.read(&key).await.unwrap(), Some(marker));
    }
    // A marker turned into a session is not one that was sealed.
    let forged = place.stored(&key).await.with_state(State::Live);
    place.plant(&key, forged).await;
    assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted);
}

#[tokio::test]
async fn address_opens_what_its_key_sealed() {
    let place = Place::new();
    let backend = place.with([1]);
    let record = place.record(SECRET);
    let key = place.create(&backend, &record).await;
    assert_eq!(backend.read(&SessionKey::from_id(key.id())).await.unwrap(), Some(record));
}
