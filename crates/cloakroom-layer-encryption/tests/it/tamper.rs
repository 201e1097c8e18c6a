//! What somebody changed in the store does not open, and does not keep others from theirs.

use std::sync::{Arc, Mutex};

use cloakroom_core::{
    ErrorKind, Filter, SecurityEvent, Session, SessionBackend, SessionBackendExt, SessionConfig,
    SessionEvent, SessionKey, SessionObserver,
};
use proptest::prelude::*;

use crate::place::{Place, SECRET, kind};

#[tokio::test]
async fn every_byte_changed_corrupted() {
    let place = Place::new();
    let backend = place.with([1, 2]);
    let key = place.create(&backend, &place.record(SECRET)).await;
    let sealed = place.stored(&key).await;
    for at in 0..sealed.payload.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut forged = sealed.clone();
            let mut bytes = forged.payload.to_vec();
            bytes[at] ^= change;
            forged.payload = bytes.into();
            place.plant(&key, forged).await;
            assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted, "byte {at} xor {change:#04x}");
        }
    }
    place.plant(&key, sealed).await;
    assert!(backend.read(&key).await.unwrap().is_some());
}

#[tokio::test]
async fn every_truncation_and_extension_corrupted() {
    let place = Place::new();
    let backend = place.with([1]);
    let key = place.create(&backend, &place.record(SECRET)).await;
    let sealed = place.stored(&key).await;
    for length in 0..sealed.payload.len() {
        let mut forged = sealed.clone();
        forged.payload = sealed.payload.slice(..length);
        place.plant(&key, forged).await;
        assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted, "{length} bytes");
        let mut forged = sealed.clone();
        forged.payload = sealed.payload.slice(sealed.payload.len() - length..);
        place.plant(&key, forged).await;
        assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted, "the last {length} bytes");
    }
    let mut longer = sealed.clone();
    longer.payload = [&sealed.payload[..], b"\0"].concat().into();
    place.plant(&key, longer).await;
    assert_eq!(kind(backend.read(&key).await), ErrorKind::Corrupted);
}

#[tokio::test]
async fn unknown_key_corrupted_for_that_session_only() {
    let place = Place::new();
    let (ours, theirs) = (place.with([1]), place.with([2]));
    let mine = place.create(&ours, &place.record(SECRET)).await;
    let other = place.create(&theirs, &place.record(SECRET)).await;
    assert_eq!(kind(ours.read(&other).await), ErrorKind::Corrupted);
    assert!(ours.read(&mine).await.unwrap().is_some());

    let everywhere = Filter::everywhere();
    let listed = ours.scan(&everywhere, None, 10).await.unwrap();
    assert_eq!(listed.entries.len(), 2, "asked without payloads, a scan lists what does not open");
    let opened = ours.scan(&everywhere.clone().with_payload(), None, 10).await.unwrap();
    let ids: Vec<_> = opened.entries.iter().map(|entry| entry.id).collect();
    assert_eq!(ids, [mine.id()], "asked with payloads, it leaves that out");
    assert_eq!(ours.count(&everywhere).await.unwrap(), 2);

    // It can be ended all the same.
    assert!(ours.remove(&other, cloakroom_core::Removal::Explicit).await.unwrap());
}

#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<SessionEvent>>>);

impl SessionObserver for Seen {
    fn notify(&self, event: &SessionEvent) {
        self.0.lock().unwrap().push(*event);
    }
}

#[tokio::test]
async fn visitor_with_a_session_of_a_lost_key_goes_on_with_a_new_one() {
    let place = Place::new();
    let session = Session::new(place.with([1]));
    session.set("cart", "hat").unwrap();
    session.save().await.unwrap();
    let old = session.key().unwrap();

    let backend = place.with([2]);
    let seen = Seen::default();
    let config = SessionConfig::default().with_observer(seen.clone());
    let shown = SessionKey::parse(old.expose(), &backend.capability()).unwrap();
    let again = Session::with_config(backend.clone(), Some(shown), Arc::new(config));
    again.load().await.unwrap();
    assert!(again.is_empty());
    let corrupted = SessionEvent::Security(SecurityEvent::Corrupted(old.id()));
    assert_eq!(*seen.0.lock().unwrap(), [corrupted]);
    again.set("cart", "coat").unwrap();
    again.save().await.unwrap();
    let new = again.key().unwrap();
    assert_ne!(new.id(), old.id());
    assert!(backend.read(&new).await.unwrap().is_some());
}

#[tokio::test]
async fn empty_payload_round_trips_sealed() {
    let place = Place::new();
    let backend = place.with([1]);
    let record = place.record("");
    let key = place.create(&backend, &record).await;
    assert!(!place.stored(&key).await.payload.is_empty());
    assert_eq!(backend.read(&key).await.unwrap(), Some(record));
}

#[tokio::test]
async fn equal_payloads_sealed_differently_each_time() {
    let place = Place::new();
    let backend = place.with([1]);
    let record = place.record(&"same ".repeat(20)); // CV-29: no equal blocks either
    let (one, other) = (place.create(&backend, &record).await, place.create(&backend, &record).await);
    let (one, other) = (place.stored(&one).await.payload, place.stored(&other).await.payload);
    assert_eq!(one.len(), other.len());
    assert_ne!(one, other);
    let blocks: std::collections::HashSet<&[u8]> = one.chunks(16).collect();
    assert_eq!(blocks.len(), one.chunks(16).count());
}

proptest! {
    /// CV-24: with a key configured nothing that was not sealed is ever read.
    #[test]
    fn foreign_bytes_never_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), sealed_mark in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let key = SessionKey::generate().unwrap();
            let mut bytes = bytes;
            if let (true, Some(first)) = (sealed_mark, bytes.first_mut()) {
                *first = 0x80;
            }
            let mut record = place.record("");
            record.payload = bytes.into();
            place.plant(&key, record).await;
            assert_eq!(kind(place.with([1]).read(&key).await), ErrorKind::Corrupted);
        });
    }

    #[test]
    fn every_payload_round_trips(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let place = Place::new();
            let mut record = place.record("");
            record.payload = bytes.into();
            let backend = place.with([1]).shared();
            let key = place.create(&backend, &record).await;
            assert_eq!(backend.read(&key).await.unwrap(), Some(record));
        });
    }
}
