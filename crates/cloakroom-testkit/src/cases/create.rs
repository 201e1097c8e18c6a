use std::time::Duration;

use cloakroom_core::{ErrorKind, Mode, Record, Version, Write};

use crate::subject::{SECOND, Subject, fresh_key, owner};

fn marker(subject: &Subject, moved: bool) -> Record {
    let end = subject.now() + SECOND * 60;
    if moved {
        Record::moved(fresh_key().id(), subject.now(), end)
    } else {
        Record::ended(subject.now(), end)
    }
}

/// A create over a live record is refused, and the record stays (CV-15).
pub async fn create_live_there_already_exists(subject: &Subject) {
    let record = subject.record("first");
    let key = subject.create(&record).await;
    let second = subject.revise(&record, "second").with_owner(Some(owner("user:1")));
    assert_eq!(subject.write_err(&key, &second, Write::create()).await, ErrorKind::AlreadyExists);
    assert_eq!(subject.write_err(&key, &record, Write::create()).await, ErrorKind::AlreadyExists);
    assert_eq!(subject.read(&key).await, Some(record));
}

/// A create over a marker is refused until the marker ends: gone is gone (CV-14).
pub async fn create_marker_there_already_exists(subject: &Subject) {
    for moved in [true, false] {
        let marker = marker(subject, moved);
        let key = subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        let record = subject.record("{}");
        assert_eq!(subject.write_err(&key, &record, Write::create()).await, ErrorKind::AlreadyExists);
        assert_eq!(subject.read(&key).await, Some(marker));
    }
}

/// What has expired, swept or not, is no obstacle to a create.
pub async fn create_expired_there_replaces(subject: &Subject) {
    for moved in [None, Some(true), Some(false)] {
        let old = moved.map_or_else(|| subject.owned("user:1"), |moved| marker(subject, moved));
        let old = old.with_expires_at(Some(subject.now() + SECOND));
        let key = subject.write(&fresh_key(), &old, Write::overwrite()).await;
        subject.advance(SECOND);
        let record = subject.record("new");
        subject.write(&key, &record, Write::create()).await;
        assert_eq!(subject.read(&key).await, Some(record));
    }
}

/// An overwrite takes effect whatever is there.
pub async fn overwrite_anything_there_replaces(subject: &Subject) {
    let expired = subject.record("expired").with_expires_at(Some(subject.now() - SECOND));
    let there = [
        None,
        Some(subject.owned("user:1")),
        Some(subject.record("later").with_version(Version::from_u64((1 << 63) - 1))),
        Some(marker(subject, true)),
        Some(marker(subject, false)),
        Some(expired),
    ];
    for old in there {
        let key = fresh_key();
        if let Some(old) = &old {
            subject.write(&key, old, Write::overwrite()).await;
        }
        let record = subject.record("new").with_owner(Some(owner("user:2")));
        subject.write(&key, &record, Write::overwrite()).await;
        assert_eq!(subject.read(&key).await, Some(record), "over {old:?}");
    }
}

/// A tombstone put over a session ends it on every path (CV-14).
pub async fn overwrite_ended_buries(subject: &Subject) {
    let record = subject.record("{}");
    let key = subject.create(&record).await;
    let tomb = marker(subject, false);
    subject.write(&key, &tomb, Write::overwrite()).await;
    assert_eq!(subject.read(&key).await.as_ref(), Some(&tomb));
    let late = subject.revise(&tomb, "{}").with_state(cloakroom_core::State::Live);
    for (how, refusal) in [
        (Write::create(), ErrorKind::AlreadyExists),
        (Write::update(record.version), ErrorKind::Gone),
        (Write::update(tomb.version), ErrorKind::Gone),
        (Write::newer(), ErrorKind::Conflict),
    ] {
        assert_eq!(subject.write_err(&key, &late, how).await, refusal, "{:?}", how.mode);
    }
    assert!(!subject.remove(&key).await, "nothing live was there");
    assert_eq!(subject.read(&key).await, Some(tomb));
}

/// A newer record is stored where nothing is, or what was there has expired.
pub async fn newer_nothing_there_stores(subject: &Subject) {
    let record = subject.owned("user:1");
    let key = subject.write(&fresh_key(), &record, Write::newer()).await;
    assert_eq!(subject.read(&key).await, Some(record));
    for state in [cloakroom_core::State::Live, cloakroom_core::State::Ended] {
        let expired = subject
            .record("expired")
            .with_state(state)
            .with_version(Version::from_u64((1 << 63) - 1))
            .with_expires_at(Some(subject.now() - Duration::from_millis(1)));
        let key = subject.write(&fresh_key(), &expired, Write::overwrite()).await;
        let record = subject.record("{}");
        subject.write(&key, &record, Write::newer()).await;
        assert_eq!(subject.read(&key).await, Some(record), "over an expired {state:?} record");
    }
}

/// A newer record replaces an older one, session or `Moved` marker, and buries one.
pub async fn newer_older_there_replaces(subject: &Subject) {
    let old = subject.owned("user:1");
    let key = subject.create(&old).await;
    // Numbers are compared, not texts.
    for (version, payload) in [(9, "9"), (10, "10"), (100, "100"), (1 << 40, "2^40"), (1 << 62, "2^62")] {
        let key = fresh_key();
        let first = subject.record("first").with_version(Version::from_u64(version - 1));
        subject.write(&key, &first, Write::overwrite()).await;
        let next = subject.record(payload).with_version(Version::from_u64(version));
        subject.write(&key, &next, Write::newer()).await;
        assert_eq!(subject.read(&key).await, Some(next));
    }
    let newer = subject.revise(&old, "newer").with_owner(None);
    subject.write(&key, &newer, Write::newer()).await;
    assert_eq!(subject.read(&key).await.as_ref(), Some(&newer));
    let moved = marker(subject, true).with_version(newer.version.next(subject.now()));
    subject.write(&key, &moved, Write::newer()).await;
    assert_eq!(subject.read(&key).await.as_ref(), Some(&moved));
    let tomb = marker(subject, false).with_version(moved.version.next(subject.now()));
    subject.write(&key, &tomb, Write::newer()).await;
    assert_eq!(subject.read(&key).await, Some(tomb));
}

/// The same version again is done already: no error, no change, so that a retry is safe.
pub async fn newer_same_version_there_done_already(subject: &Subject) {
    let record = subject.record("stored");
    let key = subject.create(&record).await;
    let mut again = record.clone();
    again.payload = "again".into();
    subject.write(&key, &again, Write::newer()).await;
    assert_eq!(subject.read(&key).await, Some(record));
}

/// An older record never replaces a newer one.
pub async fn newer_later_there_conflict(subject: &Subject) {
    for (there, offered) in [(10, 9), (1 << 32, 1), ((1 << 62) + 1, 1 << 62), ((1 << 63) - 1, 0)] {
        let record = subject.record("stored").with_version(Version::from_u64(there));
        let key = subject.create(&record).await;
        let older = subject.record("older").with_version(Version::from_u64(offered));
        assert_eq!(subject.write_err(&key, &older, Write::newer()).await, ErrorKind::Conflict);
        assert_eq!(subject.read(&key).await, Some(record));
    }
    let moved = marker(subject, true).with_version(Version::from_u64(1 << 62));
    let key = subject.write(&fresh_key(), &moved, Write::overwrite()).await;
    let older = subject.record("older").with_version(Version::from_u64(1 << 61));
    assert_eq!(subject.write_err(&key, &older, Write::newer()).await, ErrorKind::Conflict);
    assert_eq!(subject.read(&key).await, Some(moved));
}

/// Nothing is newer than a tombstone.
pub async fn newer_ended_there_conflict(subject: &Subject) {
    let tomb = marker(subject, false).with_version(Version::from_u64(5));
    let key = subject.write(&fresh_key(), &tomb, Write::overwrite()).await;
    for version in [4, 6, (1 << 63) - 1] {
        let record = subject.record("{}").with_version(Version::from_u64(version));
        assert_eq!(subject.write_err(&key, &record, Write::newer()).await, ErrorKind::Conflict);
    }
    assert_eq!(subject.read(&key).await, Some(tomb));
}

/// A hint for caches changes nothing else.
pub async fn write_with_hot_ttl_same_result(subject: &Subject) {
    let record = subject.record("{}");
    let how = Write::create().with_hot_ttl(Duration::from_millis(1));
    assert_eq!(how.mode, Mode::Create);
    let key = subject.write(&fresh_key(), &record, how).await;
    subject.advance(SECOND);
    assert_eq!(subject.read(&key).await, Some(record), "only the cache forgets");
}
