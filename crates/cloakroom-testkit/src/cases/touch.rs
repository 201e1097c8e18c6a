use std::time::Duration;

use cloakroom_core::{Filter, Record, SessionBackend, SessionKey, Timestamp, Touch, Version, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};

async fn touch(subject: &Subject, key: &SessionKey, version: Version, end: Timestamp) -> Option<SessionKey> {
    let touched = subject.backend().touch(key, Touch::new(version, end)).await;
    let touched = touched.unwrap_or_else(|error| panic!("touch: {error}"));
    touched.map(|new| key.scope().map_or_else(|| new.clone(), |scope| new.scoped(scope)))
}

/// A touch extends the life and sets `accessed_at`, and nothing else.
pub async fn touch_same_version_extends_only(subject: &Subject) {
    let mut record = subject.record("{\"a\":1}").with_owner(Some(owner("user:1")));
    record.created_at = subject.now() - HOUR;
    let key = subject.create(&record).await;
    subject.advance(Duration::from_millis(61_234));
    let end = subject.now() + HOUR;
    let key = touch(subject, &key, record.version, end).await.expect("a live record was touched");
    record.accessed_at = subject.now();
    record.expires_at = Some(end);
    assert_eq!(subject.read(&key).await, Some(record.clone()));
    subject.advance(HOUR - Duration::from_millis(1));
    assert_eq!(subject.read(&key).await, Some(record), "up to the new end");
    subject.advance(Duration::from_millis(1));
    assert_eq!(subject.read(&key).await, None, "from the new end on");
}

/// A touch never shortens a life, and gives none to what has no end.
pub async fn touch_earlier_end_kept(subject: &Subject) {
    for end in [Some(subject.now() + HOUR), None] {
        let record = subject.record("{}").with_expires_at(end);
        let key = subject.create(&record).await;
        for earlier in [subject.now() + SECOND, subject.now(), subject.now() - SECOND] {
            assert!(touch(subject, &key, record.version, earlier).await.is_some());
            assert_eq!(subject.read(&key).await.map(|read| read.expires_at), Some(end));
        }
        let accessed = subject.read(&key).await.map(|read| read.accessed_at);
        assert_eq!(accessed, Some(subject.now()), "it was used all the same");
    }
    let endless = subject.create(&Record::new("{}", subject.now()).with_version(Version::from_u64(1))).await;
    assert!(touch(subject, &endless, Version::from_u64(1), subject.now() + SECOND).await.is_some());
    subject.advance(HOUR);
    assert!(subject.read(&endless).await.is_some(), "a touch gave an end to an endless record");
}

/// A touch for another version changes nothing and returns the key: the session is there.
pub async fn touch_other_version_unchanged(subject: &Subject) {
    let record = subject.record("{}").with_version(Version::from_u64((1 << 40) + 5));
    let key = subject.create(&record).await;
    subject.advance(SECOND);
    for version in [4, 5, (1 << 40) + 4, (1 << 62) + (1 << 40) + 5] {
        let touched = touch(subject, &key, Version::from_u64(version), subject.now() + HOUR * 9).await;
        assert!(touched.is_some_and(|touched| touched == key), "the key of a live record");
        assert_eq!(subject.read(&key).await.as_ref(), Some(&record));
    }
}

/// A touch where nothing is creates nothing (CV-14).
pub async fn touch_nothing_there_none(subject: &Subject) {
    let key = fresh_key();
    let end = subject.now() + HOUR;
    assert!(touch(subject, &key, Version::from_u64(1), end).await.is_none());
    assert_eq!(subject.read(&key).await, None, "the touch created a record");
    let record = subject.record("{}");
    let key = subject.create(&record).await;
    subject.remove(&key).await;
    assert!(touch(subject, &key, record.version, end).await.is_none());
    assert!(!subject.lives(&key).await, "the touch brought a removed session back");
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 0);
    }
}

/// A touch of an expired session does not revive it, from its end on.
pub async fn touch_expired_none(subject: &Subject) {
    let record = subject.record("{}").with_expires_at(Some(subject.now() + SECOND));
    let key = subject.create(&record).await;
    for wait in [SECOND, SECOND] {
        subject.advance(wait);
        assert!(touch(subject, &key, record.version, subject.now() + HOUR).await.is_none());
        assert_eq!(subject.read(&key).await, None, "the touch revived an expired session");
    }
}

/// A touch of a marker finds nothing live, and the marker ends when it would have.
pub async fn touch_marker_none(subject: &Subject) {
    let end = subject.now() + SECOND * 60;
    for marker in [Record::moved(fresh_key().id(), subject.now(), end), Record::ended(subject.now(), end)] {
        let key = subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        assert!(touch(subject, &key, marker.version, subject.now() + HOUR).await.is_none());
        assert_eq!(subject.read(&key).await, Some(marker), "the touch changed a marker");
    }
}
