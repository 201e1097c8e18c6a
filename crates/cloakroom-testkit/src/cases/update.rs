use std::time::Duration;

use cloakroom_core::{ErrorKind, Filter, Record, Version, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner};

/// An update replaces every field.
pub async fn update_same_version_replaces_every_field(subject: &Subject) {
    let record = subject.owned("user:1");
    let key = subject.create(&record).await;
    subject.advance(SECOND);
    let mut next = subject.revise(&record, "a longer payload").with_owner(Some(owner("user:2")));
    next.created_at = record.created_at - HOUR;
    next.expires_at = Some(subject.now() + SECOND);
    let Some(key) = subject.update(&key, &next, record.version).await else { return };
    assert_eq!(subject.read(&key).await.as_ref(), Some(&next), "to another owner and a nearer end");
    let last = subject.revise(&next, "").with_owner(None).with_expires_at(None);
    let Some(key) = subject.update(&key, &last, next.version).await else { return };
    assert_eq!(subject.read(&key).await, Some(last), "to no owner and no end");
}

/// An update that stores the version that was there replaces too: equal is not the same as unchanged.
pub async fn update_to_same_version_replaces(subject: &Subject) {
    let record = subject.record("old");
    let key = subject.create(&record).await;
    let mut next = record.clone();
    next.payload = "new".into();
    let Some(key) = subject.update(&key, &next, record.version).await else { return };
    assert_eq!(subject.read(&key).await.as_ref(), Some(&next));
    // Nor is a write of what is there already a failure, as a count of changed rows may suggest.
    let Some(key) = subject.update(&key, &next, next.version).await else { return };
    assert_eq!(subject.read(&key).await, Some(next));
}

/// An update of nothing is `Gone` and creates nothing (CV-14, MW-015).
pub async fn update_nothing_there_gone(subject: &Subject) {
    let record = subject.owned("user:1");
    let key = fresh_key();
    assert_eq!(subject.write_err(&key, &record, Write::update(record.version)).await, ErrorKind::Gone);
    assert_eq!(subject.read(&key).await, None, "the update created a record");
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 0);
    }
}

/// An update of a removed session is `Gone` and brings nothing back (CV-14).
pub async fn update_removed_gone(subject: &Subject) {
    let record = subject.record("{}");
    let key = subject.create(&record).await;
    assert!(subject.remove(&key).await);
    let next = subject.revise(&record, "late");
    assert_eq!(subject.write_err(&key, &next, Write::update(record.version)).await, ErrorKind::Gone);
    assert!(!subject.lives(&key).await);
}

/// An update of an expired session is `Gone`, from its end on, swept or not.
pub async fn update_expired_gone(subject: &Subject) {
    let record = subject.record("{}").with_expires_at(Some(subject.now() + SECOND));
    let key = subject.create(&record).await;
    let next = subject.revise(&record, "late").with_expires_at(Some(subject.now() + HOUR));
    for wait in [SECOND, Duration::ZERO, SECOND] {
        subject.advance(wait);
        assert_eq!(subject.write_err(&key, &next, Write::update(record.version)).await, ErrorKind::Gone);
        assert_eq!(subject.read(&key).await, None, "the update revived an expired session");
    }
    subject.sweep(10).await;
    assert_eq!(subject.write_err(&key, &next, Write::update(record.version)).await, ErrorKind::Gone);
}

/// An update of a marker is `Gone`, even with the marker's version, and the marker stays.
pub async fn update_marker_there_gone(subject: &Subject) {
    let end = subject.now() + SECOND * 60;
    for marker in [Record::moved(fresh_key().id(), subject.now(), end), Record::ended(subject.now(), end)] {
        let key = subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        let record = subject.record("{}");
        for version in [marker.version, record.version] {
            assert_eq!(subject.write_err(&key, &record, Write::update(version)).await, ErrorKind::Gone);
        }
        assert_eq!(subject.read(&key).await, Some(marker));
    }
}

/// An update of another version is `Conflict` and changes nothing. Versions differ in any bit.
pub async fn update_other_version_conflict(subject: &Subject) {
    let version = (1 << 62) + (1 << 53) + (1 << 32) + 1;
    let record = subject.record("stored").with_version(Version::from_u64(version));
    let key = subject.create(&record).await;
    for bit in [0, 1, 20, 31, 32, 52, 53, 61, 62] {
        let expected = Version::from_u64(version ^ (1 << bit));
        // Whether the offered version is higher or lower does not matter.
        for offered in [expected, record.version, Version::from_u64(1), Version::from_u64((1 << 63) - 1)] {
            let next = subject.record("offered").with_version(offered);
            let refusal = subject.write_err(&key, &next, Write::update(expected)).await;
            assert_eq!(refusal, ErrorKind::Conflict, "bit {bit} of the version differs");
        }
    }
    assert_eq!(subject.read(&key).await, Some(record));
}

/// An update may lower the version number: the expected one is what counts.
pub async fn update_to_lower_version_replaces(subject: &Subject) {
    let record = subject.record("high").with_version(Version::from_u64(1 << 60));
    let key = subject.create(&record).await;
    let next = subject.record("low").with_version(Version::from_u64(7));
    subject.write(&key, &next, Write::update(record.version)).await;
    assert_eq!(subject.read(&key).await, Some(next));
}

/// An update that ends a session at once, or turns it into a marker, does so.
pub async fn update_to_expired_or_marker_ends(subject: &Subject) {
    let record = subject.owned("user:1");
    let key = subject.create(&record).await;
    let past = subject.revise(&record, "{}").with_expires_at(Some(subject.now()));
    subject.write(&key, &past, Write::update(record.version)).await;
    assert_eq!(subject.read(&key).await, None);
    let key = subject.create(&record).await;
    let tomb = Record::ended(subject.now(), subject.now() + HOUR);
    subject.write(&key, &tomb, Write::update(record.version)).await;
    assert_eq!(subject.read(&key).await, Some(tomb));
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::unscoped().with_owner(owner("user:1"))).await, 0);
    }
}
