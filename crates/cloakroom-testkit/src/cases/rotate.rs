use cloakroom_core::{
    ErrorKind, Filter, Record, Rotate, SessionBackend, SessionKey, State, Touch, Version, Write,
};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, kind_of, owner};

async fn rotate(subject: &Subject, old: &SessionKey, new: &SessionKey, record: &Record, how: Rotate) {
    let rotated = subject.backend().rotate(old, new, record.clone(), how).await;
    rotated.unwrap_or_else(|error| panic!("rotate: {error}"));
}

async fn refused(
    subject: &Subject,
    old: &SessionKey,
    new: &SessionKey,
    record: &Record,
    how: Rotate,
) -> ErrorKind {
    kind_of(subject.backend().rotate(old, new, record.clone(), how).await, "rotate")
}

/// A rotation stores the given record at the new key, and nothing but the trail is left at the old one (ST-13).
pub async fn rotate_live_moves_to_new_key(subject: &Subject) {
    for scope in subject.scopes("tenant:a:") {
        let within = || scope.as_ref().map_or_else(fresh_key, |scope| fresh_key().scoped(scope));
        let (old, new) = (within(), within());
        let record = subject.record("before");
        subject.write(&old, &record, Write::create()).await;
        subject.advance(SECOND);
        let mut next = subject.revise(&record, "after").with_owner(Some(owner("user:1")));
        next.created_at = record.created_at - HOUR;
        next.accessed_at = subject.now() - SECOND;
        next.expires_at = Some(subject.now() + HOUR * 2);
        let trail = Record::moved(new.id(), subject.now(), subject.now() + SECOND * 60);
        rotate(subject, &old, &new, &next, Rotate::new(record.version).with_trail(trail.clone())).await;
        assert_eq!(subject.read(&new).await, Some(next), "every field is as given");
        let left = subject.read(&old).await.expect("the trail");
        assert_eq!(left, trail);
        assert_eq!(left.successor(), Some(new.id()));
    }
}

/// A rotation without a trail leaves nothing at the old key.
pub async fn rotate_without_trail_leaves_nothing(subject: &Subject) {
    let record = subject.record("{}");
    let old = subject.create(&record).await;
    let new = fresh_key();
    let next = subject.revise(&record, "{}");
    rotate(subject, &old, &new, &next, Rotate::new(record.version)).await;
    assert_eq!(subject.read(&old).await, None);
    assert_eq!(subject.read(&new).await, Some(next));
}

/// The old key is dead on every path from then on, with a trail and without (ST-13, ST-16).
pub async fn rotate_old_key_dead_on_every_path(subject: &Subject) {
    for trail in [None, Some(Record::moved(fresh_key().id(), subject.now(), subject.now() + HOUR))] {
        let record = subject.record("{}");
        let old = subject.create(&record).await;
        let new = fresh_key();
        let next = subject.revise(&record, "next");
        let mut how = Rotate::new(record.version);
        how.trail = trail.clone();
        rotate(subject, &old, &new, &next, how.clone()).await;
        let late = subject.revise(&next, "late");
        for version in [record.version, next.version] {
            let refusal = subject.write_err(&old, &late, Write::update(version)).await;
            assert_eq!(refusal, ErrorKind::Gone);
            let touch = Touch::new(version, subject.now() + HOUR * 9);
            assert!(subject.backend().touch(&old, touch).await.expect("touch").is_none());
            let refusal = refused(subject, &old, &fresh_key(), &late, Rotate::new(version)).await;
            assert_eq!(refusal, ErrorKind::Gone);
        }
        assert!(!subject.remove(&old).await, "nothing live is at the old key");
        assert_eq!(subject.read(&old).await, trail);
        assert_eq!(subject.read(&new).await, Some(next));
    }
}

/// A trail ends like any record, and then nothing is at the old key.
pub async fn rotate_trail_ends_in_time(subject: &Subject) {
    let record = subject.record("{}").with_expires_at(None);
    let old = subject.create(&record).await;
    let new = fresh_key();
    let next = subject.revise(&record, "next");
    let trail = Record::moved(new.id(), subject.now(), subject.now() + SECOND * 60);
    rotate(subject, &old, &new, &next, Rotate::new(record.version).with_trail(trail)).await;
    subject.advance(SECOND * 60);
    assert_eq!(subject.read(&old).await, None);
    assert_eq!(subject.read(&new).await, Some(next));
}

/// A rotation of nothing is `Gone` and creates nothing, at neither key (CV-14).
pub async fn rotate_nothing_there_gone(subject: &Subject) {
    let expired = subject.record("{}").with_expires_at(Some(subject.now()));
    let removed = subject.create(&subject.record("{}")).await;
    subject.remove(&removed).await;
    let record = subject.revise(&expired, "late").with_expires_at(None);
    for old in [fresh_key(), subject.create(&expired).await, removed] {
        let new = fresh_key();
        let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
        let how = Rotate::new(expired.version).with_trail(trail);
        assert_eq!(refused(subject, &old, &new, &record, how).await, ErrorKind::Gone);
        assert_eq!(subject.read(&new).await, None, "a refused rotation created a session");
        assert!(!subject.lives(&old).await, "a refused rotation left a trail");
    }
}

/// A rotation of a marker is `Gone`, and the marker stays.
pub async fn rotate_marker_there_gone(subject: &Subject) {
    let end = subject.now() + HOUR;
    for marker in [Record::moved(fresh_key().id(), subject.now(), end), Record::ended(subject.now(), end)] {
        let old = subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        let new = fresh_key();
        let record = subject.record("{}");
        let how = Rotate::new(marker.version);
        assert_eq!(refused(subject, &old, &new, &record, how).await, ErrorKind::Gone);
        assert_eq!(subject.read(&new).await, None);
        assert_eq!(subject.read(&old).await, Some(marker));
    }
}

/// A rotation of another version is `Conflict` and changes nothing.
pub async fn rotate_other_version_conflict(subject: &Subject) {
    let version = (1 << 62) + (1 << 53) + (1 << 32) + 1;
    let record = subject.record("stored").with_version(Version::from_u64(version));
    let old = subject.create(&record).await;
    for bit in [0, 31, 32, 52, 62] {
        let new = fresh_key();
        let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
        let how = Rotate::new(Version::from_u64(version ^ (1 << bit))).with_trail(trail);
        let next = subject.revise(&record, "offered");
        assert_eq!(refused(subject, &old, &new, &next, how).await, ErrorKind::Conflict);
        assert_eq!(subject.read(&new).await, None);
        assert_eq!(subject.read(&old).await.as_ref(), Some(&record));
    }
}

/// Something unexpired at the new key, session or marker, is never overwritten (CV-15). That holds for the old key
/// itself, too.
pub async fn rotate_new_key_taken_already_exists(subject: &Subject) {
    let record = subject.record("{}");
    let old = subject.create(&record).await;
    let end = subject.now() + HOUR;
    let next = subject.revise(&record, "next");
    for there in [
        subject.owned("user:1"),
        Record::moved(fresh_key().id(), subject.now(), end),
        Record::ended(subject.now(), end),
    ] {
        let new = subject.write(&fresh_key(), &there, Write::overwrite()).await;
        let trail = Record::moved(new.id(), subject.now(), end);
        let how = Rotate::new(record.version).with_trail(trail);
        assert_eq!(refused(subject, &old, &new, &next, how).await, ErrorKind::AlreadyExists);
        assert_eq!(subject.read(&new).await, Some(there));
        assert_eq!(subject.read(&old).await.as_ref(), Some(&record));
    }
    let refusal = refused(subject, &old, &old, &next, Rotate::new(record.version)).await;
    assert_eq!(refusal, ErrorKind::AlreadyExists);
    assert_eq!(subject.read(&old).await, Some(record));
}

/// What has expired at the new key is no obstacle.
pub async fn rotate_new_key_expired_replaces(subject: &Subject) {
    for state in [State::Live, State::Moved, State::Ended] {
        let record = subject.record("{}");
        let old = subject.create(&record).await;
        let expired = subject.owned("user:1").with_state(state).with_expires_at(Some(subject.now()));
        let new = subject.write(&fresh_key(), &expired, Write::overwrite()).await;
        let next = subject.revise(&record, "next");
        rotate(subject, &old, &new, &next, Rotate::new(record.version)).await;
        assert_eq!(subject.read(&new).await, Some(next));
        assert_eq!(subject.read(&old).await, None);
    }
}

/// A payload over the maximum is refused, and both keys are as they were.
pub async fn rotate_payload_too_large_unchanged(subject: &Subject) {
    let Some(large) = super::payload::one_too_many(subject) else { return };
    let record = subject.record("{}");
    let old = subject.create(&record).await;
    let new = fresh_key();
    let next = subject.revise(&record, large);
    let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
    let how = Rotate::new(record.version).with_trail(trail);
    assert_eq!(refused(subject, &old, &new, &next, how).await, ErrorKind::TooLarge);
    assert_eq!(subject.read(&old).await, Some(record));
    assert_eq!(subject.read(&new).await, None);
}

/// A rotated session is listed once, under its new id and its new owner.
pub async fn rotate_live_listed_once(subject: &Subject) {
    let record = subject.owned("guest:1");
    let old = subject.create(&record).await;
    let new = fresh_key();
    let next = subject.revise(&record, "next").with_owner(Some(owner("user:1")));
    let trail = Record::moved(new.id(), subject.now(), subject.now() + HOUR);
    rotate(subject, &old, &new, &next, Rotate::new(record.version).with_trail(trail)).await;
    let listed = subject.scan(&Filter::everywhere().with_payload(), 10).await;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].id, &listed[0].record), (new.id(), &next));
    for (by, count) in [("guest:1", 0), ("user:1", 1)] {
        assert_eq!(subject.count(&Filter::unscoped().with_owner(owner(by))).await, count, "{by}");
        assert_eq!(subject.scan(&Filter::unscoped().with_owner(owner(by)), 10).await.len() as u64, count);
    }
    assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner("guest:1"))).await, 0);
    assert_eq!(subject.remove_all(&Filter::unscoped().with_owner(owner("user:1"))).await, 1);
    assert!(!subject.lives(&new).await);
}

/// After two rotations the trail leads from the first key to the session, and a logout with the first key ends it.
pub async fn rotate_twice_then_logout_by_trail_ends(subject: &Subject) {
    let keys = [fresh_key(), fresh_key(), fresh_key()];
    let mut record = subject.record("{}");
    subject.write(&keys[0], &record, Write::create()).await;
    for pair in keys.windows(2) {
        let next = subject.revise(&record, "{}");
        let trail = Record::moved(pair[1].id(), subject.now(), subject.now() + SECOND * 60);
        rotate(subject, &pair[0], &pair[1], &next, Rotate::new(record.version).with_trail(trail)).await;
        record = next;
    }
    assert!(super::logout(subject, &keys[0]).await, "the trail led nowhere");
    assert!(!subject.lives(&keys[2]).await);
    assert!(!super::logout(subject, &keys[0]).await, "the session was ended twice");
}
