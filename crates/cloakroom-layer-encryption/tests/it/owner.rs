//! Owners under another name in the store.

use cloakroom_core::{Entry, ErrorKind, Filter, Limits, Removal, Session, SessionBackend, SessionKey, Write};
use cloakroom_layer_encryption::EncryptionLayer;
use cloakroom_testkit::Spy;

use crate::place::{Encrypted, Place, SECRET, key, kind, owner, ring};

fn hashed() -> EncryptionLayer {
    EncryptionLayer::new(ring([1])).with_hashed_owner(&key(9))
}

fn mine() -> Filter {
    Filter::everywhere().with_owner(owner("user:1"))
}

async fn scanned(backend: &Encrypted, filter: &Filter, limit: usize) -> Vec<Entry> {
    let (mut entries, mut after) = (Vec::new(), None);
    loop {
        let page = backend.scan(filter, after, limit).await.unwrap();
        entries.extend(page.entries);
        after = page.next;
        if after.is_none() {
            return entries;
        }
    }
}

#[tokio::test]
async fn hash_independent_of_the_ring_and_of_the_scope_and_bound_to_its_key() {
    let place = Place::new();
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    let mut names = Vec::new();
    for layer in [hashed(), EncryptionLayer::new(ring([2])).with_hashed_owner(&key(9))] {
        let session = place.create(&place.layered(layer), &record).await;
        names.push(place.stored(&session).await.owner.unwrap());
    }
    assert_eq!(names[0], names[1]);
    assert_eq!(names[0].as_str().len(), 43);
    let session = place.create(&place.layered(hashed().with_hashed_owner(&key(7))), &record).await;
    assert_ne!(place.stored(&session).await.owner, Some(names[0].clone()));
}

#[tokio::test]
async fn owner_looked_up_limited_and_revoked_by_its_hash() {
    let place = Place::new();
    let backend = place.layered(hashed());
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    let other = place.record(SECRET).with_owner(Some(owner("user:2")));
    let limits = Write::create().with_limits(Limits::none().with_per_owner(2));
    let first = place.create(&backend, &record).await;
    let theirs = place.create(&backend, &other).await;
    place.create(&backend, &record).await;
    let third = SessionKey::generate().unwrap();
    assert_eq!(kind(backend.write(&third, record.clone(), limits).await), ErrorKind::QuotaExceeded);
    assert_eq!(backend.count(&mine()).await.unwrap(), 2);
    for filter in [mine(), mine().with_payload()] {
        let entries = scanned(&backend, &filter, 1).await;
        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.record.owner == record.owner));
        assert!(entries.iter().all(|entry| entry.record.payload.is_empty() != filter.payload));
    }
    let kept = mine().with_except(first.id());
    assert_eq!(backend.remove_all(&kept, Removal::Revoked).await.unwrap(), 1);
    assert_eq!(backend.remove_all(&mine(), Removal::Revoked).await.unwrap(), 1);
    assert!(backend.read(&theirs).await.unwrap().is_some());
}

#[tokio::test]
async fn scan_of_all_owners_tells_them_with_payloads_and_without() {
    let place = Place::new();
    let backend = place.layered(hashed());
    for user in [Some("user:1"), Some("user:2"), None] {
        place.create(&backend, &place.record(SECRET).with_owner(user.map(owner))).await;
    }
    for filter in [Filter::everywhere(), Filter::everywhere().with_payload()] {
        let entries = scanned(&backend, &filter, 2).await;
        let mut owners: Vec<_> = entries.iter().map(|entry| entry.record.owner.clone()).collect();
        owners.sort();
        assert_eq!(owners, [None, Some(owner("user:1")), Some(owner("user:2"))]);
        assert!(entries.iter().all(|entry| entry.record.payload.is_empty() != filter.payload));
    }
    // Of what does not open nobody can tell the owner; its hash is none.
    place
        .create(
            &place.layered(EncryptionLayer::new(ring([2])).with_hashed_owner(&key(9))),
            &place.record("").with_owner(Some(owner("user:3"))),
        )
        .await;
    let entries = scanned(&backend, &Filter::everywhere(), 2).await;
    assert_eq!(entries.len(), 4);
    assert_eq!(entries.iter().filter(|entry| entry.record.owner.is_none()).count(), 2);
}

#[tokio::test]
async fn owner_found_under_every_former_name_until_renamed() {
    let place = Place::new();
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    let was = [
        EncryptionLayer::new(ring([1])),
        EncryptionLayer::new(ring([1])).with_hashed_owner(&key(8)),
        hashed(),
    ];
    for layer in was {
        let backend = place.layered(layer);
        place.create(&backend, &record).await;
        place.create(&backend, &place.record(SECRET).with_owner(Some(owner("user:2")))).await;
    }
    let changing = hashed().with_former_owner_key(&key(8)).with_former_plain_owner();
    let backend = place.layered(changing);
    assert_eq!(backend.count(&mine()).await.unwrap(), 3);
    for (filter, limit) in [(mine(), 1), (mine().with_payload(), 2), (mine(), 10)] {
        let entries = scanned(&backend, &filter, limit).await;
        assert_eq!(entries.len(), 3);
        assert!(entries.iter().all(|entry| entry.record.owner == record.owner));
    }

    let done = backend.reencrypt(None, 100).await.unwrap();
    assert_eq!((done.resealed, done.current, done.changed, done.refused), (4, 2, 0, 0));
    let settled = place.layered(hashed());
    assert_eq!(settled.count(&mine()).await.unwrap(), 3);
    assert_eq!(scanned(&settled, &mine(), 2).await.len(), 3);
    assert_eq!(settled.remove_all(&mine(), Removal::Revoked).await.unwrap(), 3);
    assert_eq!(settled.count(&Filter::everywhere()).await.unwrap(), 3);
}

#[tokio::test]
async fn everywhere_signed_out_under_all_names_at_once() {
    let place = Place::new();
    let record = place.record(SECRET).with_owner(Some(owner("user:1")));
    place.create(&place.with([1]), &record).await;
    place.create(&place.layered(hashed()), &record).await;
    // Hashing was ended again.
    let backend = place.layered(EncryptionLayer::new(ring([1])).with_former_owner_key(&key(9)));
    assert_eq!(backend.remove_all(&mine(), Removal::Revoked).await.unwrap(), 2);
    assert_eq!(place.store.count(&Filter::everywhere()).await.unwrap(), 0);
}

#[tokio::test]
async fn calls_by_owner_one_for_each_name() {
    let place = Place::new();
    let spy = Spy::new(place.store.clone());
    let layers = [(hashed(), 1), (hashed().with_former_plain_owner(), 2)];
    for (layer, calls) in layers {
        let backend = cloakroom_layer_encryption::EncryptedSessionBackend::new(spy.clone(), layer).unwrap();
        let before = spy.calls();
        backend.count(&mine()).await.unwrap();
        backend.remove_all(&mine(), Removal::Revoked).await.unwrap();
        let after = spy.calls();
        assert_eq!((after.count - before.count, after.remove_all - before.remove_all), (calls, calls));
    }
}

#[tokio::test]
async fn cursor_of_another_scan_refused() {
    let place = Place::new();
    let backend = place.layered(hashed().with_former_plain_owner());
    for bytes in [&b""[..], b"\0\0", &[0, 0, 0, 9, 0], &[255; 5]] {
        let cursor = cloakroom_core::Cursor::new(bytes);
        assert_eq!(kind(backend.scan(&mine(), Some(cursor), 1).await), ErrorKind::InvalidKey);
    }
}

#[tokio::test]
async fn session_of_an_owner_lists_and_revokes_its_devices() {
    let place = Place::new();
    let backend = place.layered(hashed());
    let mut sessions = Vec::new();
    for _ in 0..2 {
        let session = Session::new(backend.clone());
        session.login("user:1").await.unwrap();
        sessions.push(session.key().unwrap());
    }
    let session = Session::from_key(backend.clone(), sessions[0].expose()).await.unwrap();
    assert_eq!(session.owner().as_ref().map(|owner| owner.as_str().to_owned()).as_deref(), Some("user:1"));
    assert_eq!(session.revoke_others().await.unwrap(), 1);
    assert_eq!(backend.count(&mine()).await.unwrap(), 1);
}
