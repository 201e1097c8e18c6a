use std::time::Duration;

use cloakroom_core::{
    Capability, Filter, KEY_LENGTH, Record, SessionBackend, SessionId, SessionKey, State, Version, Write,
};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};

/// A key that was never issued finds nothing, and asking creates nothing (CV-01, ST-24).
pub async fn read_never_issued_nothing(subject: &Subject) {
    let key = fresh_key();
    for _ in 0..3 {
        assert_eq!(subject.read(&key).await, None);
    }
    assert_eq!(subject.read(&SessionKey::from_id(SessionId::from_bytes([0; 32]))).await, None);
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 0, "reading created something");
    }
}

/// What was written comes back with every field.
pub async fn read_after_write_every_field(subject: &Subject) {
    let mut record = subject.record(r#"{"a":1}"#).with_owner(Some(owner("user:42")));
    record.created_at = subject.now() - Duration::from_millis(7_001);
    record.accessed_at = subject.now() - Duration::from_millis(3);
    let key = subject.create(&record).await;
    assert_eq!(subject.read(&key).await, Some(record));
    let bare = Record::new("{}", subject.now());
    let key = subject.create(&bare).await;
    assert_eq!(subject.read(&key).await, Some(bare), "a record without owner and end");
}

/// A record lives up to, not including, its end, to the millisecond (CV-47, ST-16).
pub async fn read_at_its_end_nothing(subject: &Subject) {
    for ttl in [Duration::from_millis(1), Duration::from_millis(999), SECOND, HOUR] {
        let record = subject.record("{}").with_expires_at(Some(subject.now() + ttl));
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await, Some(record.clone()), "at the start of {ttl:?}");
        subject.advance(ttl - Duration::from_millis(1));
        assert_eq!(subject.read(&key).await, Some(record), "a millisecond before the end of {ttl:?}");
        subject.advance(Duration::from_millis(1));
        assert_eq!(subject.read(&key).await, None, "at the end of {ttl:?}");
        subject.advance(HOUR);
        assert_eq!(subject.read(&key).await, None, "long after the end of {ttl:?}");
    }
}

/// A record whose end is now, or has been, is never seen: 0 does not mean for ever (CV-47).
pub async fn read_expired_at_birth_nothing(subject: &Subject) {
    for age in [Duration::ZERO, Duration::from_millis(1), SECOND, HOUR * 24 * 365] {
        let record = subject.record("{}").with_expires_at(Some(subject.now() - age));
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await, None, "ended {age:?} ago");
    }
}

/// An expired record is not seen, whether the sweeper was there or not (ST-36).
pub async fn read_expired_nothing_whatever_was_swept(subject: &Subject) {
    let record = subject.record("{}").with_expires_at(Some(subject.now() + SECOND));
    let key = subject.create(&record).await;
    subject.advance(SECOND * 2);
    assert_eq!(subject.read(&key).await, None, "before the sweep");
    subject.sweep(100).await;
    assert_eq!(subject.read(&key).await, None, "after the sweep");
}

/// A record without an end is there a hundred years later.
pub async fn read_without_end_found_for_ever(subject: &Subject) {
    let record = Record::new("{}", subject.now());
    let key = subject.create(&record).await;
    subject.advance(HOUR * 24 * 365 * 100);
    subject.sweep(100).await;
    assert_eq!(subject.read(&key).await, Some(record));
}

/// Markers are read like records, and end like records.
pub async fn read_marker_found_until_its_end(subject: &Subject) {
    let end = subject.now() + SECOND * 60;
    let markers = [Record::moved(fresh_key().id(), subject.now(), end), Record::ended(subject.now(), end)];
    let mut keys = Vec::new();
    for marker in &markers {
        let key = subject.write(&fresh_key(), marker, Write::overwrite()).await;
        assert_eq!(subject.read(&key).await.as_ref(), Some(marker));
        keys.push(key);
    }
    subject.advance(SECOND * 60 - Duration::from_millis(1));
    for (key, marker) in keys.iter().zip(&markers) {
        let read = subject.read(key).await;
        assert_eq!(read.as_ref(), Some(marker));
        assert_eq!(read.and_then(|read| read.successor()), marker.successor());
    }
    subject.advance(Duration::from_millis(1));
    for key in &keys {
        assert_eq!(subject.read(key).await, None, "a marker at its end");
    }
}

/// The id that a leaked store shows opens nothing when it is fed back as a key (CV-07).
pub async fn read_id_as_key_nothing(subject: &Subject) {
    let key = subject.create(&subject.record("{}")).await;
    let id = key.id().as_text();
    assert_eq!(id.len(), KEY_LENGTH);
    let guess = SessionKey::parse(&id, &Capability::store()).expect("an id is shaped like a key");
    assert_eq!(subject.read(&guess).await, None);
    let named = SessionKey::from_name(&format!("{}=", &*id)).expect("a name");
    assert_eq!(subject.read(&named).await, None);
}

/// An address reads, updates, touches and removes what its key reaches.
pub async fn address_of_key_reaches_the_record(subject: &Subject) {
    for scope in subject.scopes("tenant:a:") {
        let within = |key: SessionKey| scope.as_ref().map_or_else(|| key.clone(), |scope| key.scoped(scope));
        let record = subject.record("old");
        let key = subject.write(&within(fresh_key()), &record, Write::create()).await;
        let address = within(SessionKey::from_id(key.id()));
        assert_eq!(subject.read(&address).await, Some(record.clone()), "read by address");
        let next = subject.revise(&record, "new");
        let returned = subject.write(&address, &next, Write::update(record.version)).await;
        assert!(returned == address, "the update returned another key than the address");
        assert_eq!(subject.read(&key).await, Some(next.clone()), "updated by address");
        assert!(subject.remove(&address).await, "removed by address");
        assert!(!subject.lives(&key).await);
        // And what an address creates, its key reaches.
        let key = within(fresh_key());
        subject.write(&within(SessionKey::from_id(key.id())), &record, Write::create()).await;
        assert_eq!(subject.read(&key).await, Some(record), "created by address");
    }
}

/// Any non-empty name of up to 4,096 bytes is a key.
pub async fn key_of_name_reaches_its_record(subject: &Subject) {
    let long = "n".repeat(4096);
    let names = ["a", "A", "../../etc/passwd", "nul\0name", "ключ", "a b", "'; drop table s; --", &long];
    let mut written = Vec::new();
    for name in names {
        let key = SessionKey::from_name(name).expect("a name");
        let record = subject.record(format!("{{\"length\":{}}}", name.len()));
        subject.write(&key, &record, Write::create()).await;
        written.push((name, record));
    }
    for (name, record) in written {
        let key = SessionKey::from_name(name).expect("a name");
        assert_eq!(subject.read(&key).await, Some(record), "named {name:.40?}");
    }
}

/// Every operation returns the key that it was given, outside any scope.
pub async fn key_returned_is_the_given_one_unscoped(subject: &Subject) {
    let backend = subject.backend();
    for scope in subject.scopes("tenant:a:") {
        let within = |key: &SessionKey| scope.as_ref().map_or_else(|| key.clone(), |scope| key.scoped(scope));
        let (first, second) = (fresh_key(), fresh_key());
        let (old, new) = (within(&first), within(&second));
        let mut record = subject.record("{}");
        for how in [Write::create(), Write::overwrite(), Write::newer(), Write::update(record.version)] {
            let returned = backend.write(&old, record.clone(), how).await.expect("write");
            assert!(returned == first, "the key returned by {:?}", how.mode);
        }
        let how = cloakroom_core::Touch::new(record.version, subject.now() + HOUR * 2);
        let returned = backend.touch(&old, how).await.expect("touch");
        assert!(returned.is_some_and(|key| key == first), "the key returned by touch");
        let how = cloakroom_core::Rotate::new(record.version);
        record = subject.revise(&record, "{}");
        let returned = backend.rotate(&old, &new, record, how).await.expect("rotate");
        assert!(returned == second, "the key returned by rotate");
    }
}

/// Versions come back exactly, up to 2^63 - 1, and are told apart in every bit.
pub async fn version_of_any_size_round_trips(subject: &Subject) {
    let largest = (1_u64 << 63) - 1;
    for version in [0, 1, 255, (1 << 32) + 1, (1 << 53) + 1, 1 << 62, largest - 1, largest] {
        let record = subject.record("{}").with_version(Version::from_u64(version));
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await.map(|read| read.version.as_u64()), Some(version));
    }
}

/// Each state comes back as itself.
pub async fn state_of_any_kind_round_trips(subject: &Subject) {
    for state in [State::Live, State::Moved, State::Ended] {
        let record = subject.record("{\"state\":true}").with_state(state);
        let key = subject.write(&fresh_key(), &record, Write::overwrite()).await;
        assert_eq!(subject.read(&key).await, Some(record));
    }
}
