use std::time::Duration;

use cloakroom_core::{Filter, Record, SessionBackend, Timestamp, Touch, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key};

/// 9999-12-31 23:59:59.999
const FAR: Timestamp = Timestamp::from_millis(253_402_300_799_999);

/// Times come back to the millisecond: any millisecond, far ahead and before 1970.
pub async fn time_of_any_kind_to_the_millisecond(subject: &Subject) {
    let past = [-1, -999, -1_000, -86_400_001, -2_208_988_800_001, 0, 1].map(Timestamp::from_millis);
    let near = [0, 1, 9, 10, 99, 100, 123, 500, 999]
        .map(|millis| Timestamp::from_millis(1_700_000_000_000 + millis));
    for moment in past.into_iter().chain(near) {
        let record = subject.record("{}").with_created_at(moment).with_accessed_at(moment);
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await, Some(record), "created and accessed at {moment:?}");
    }
    for end in [FAR, FAR - Duration::from_millis(1), subject.now() + Duration::from_millis(1)] {
        let record = subject.record("{}").with_expires_at(Some(end)).with_created_at(FAR);
        let key = subject.create(&record).await;
        assert_eq!(subject.read(&key).await, Some(record), "ends at {end:?}");
    }
    let record = Record::new("{}", subject.now());
    let key = subject.create(&record).await;
    assert_eq!(subject.read(&key).await.map(|read| read.expires_at), Some(None), "no end");
    let touched = subject.backend().touch(&key, Touch::new(record.version, FAR)).await;
    assert!(touched.expect("touch").is_some());
}

/// A record that ended before 1970 is over, and one of the year 9999 is not.
pub async fn time_of_end_compared_as_a_number(subject: &Subject) {
    for end in [-62_135_596_800_000, -1_000, -1, 0, 1, 999, 9_999_999_999] {
        let record = subject.record("{}").with_expires_at(Some(Timestamp::from_millis(end)));
        let key = subject.write(&fresh_key(), &record, Write::overwrite()).await;
        assert_eq!(subject.read(&key).await, None, "ended {end} ms after 1970");
    }
    let record = subject.record("{}").with_expires_at(Some(FAR));
    let key = subject.create(&record).await;
    subject.clock().set(FAR - Duration::from_millis(1));
    assert_eq!(subject.read(&key).await, Some(record));
    subject.clock().set(FAR);
    assert_eq!(subject.read(&key).await, None);
}

/// A clock that steps back ends nothing early and lets nothing live for ever (CV-47).
pub async fn time_stepping_back_ends_as_promised(subject: &Subject) {
    let end = subject.now() + SECOND * 10;
    let record = subject.record("{}").with_expires_at(Some(end));
    let key = subject.create(&record).await;
    subject.clock().step_back(HOUR);
    assert_eq!(subject.read(&key).await.as_ref(), Some(&record), "created in the future");
    subject.sweep(100).await;
    let mut next = subject.revise(&record, "next");
    assert!(next.version > record.version, "versions go up whatever the clock does");
    let mut key = key;
    match subject.update(&key, &next, record.version).await {
        Some(updated) => key = updated,
        None => next = record,
    }
    assert_eq!(subject.read(&key).await.as_ref(), Some(&next));
    let earlier = subject.now() + SECOND;
    let touched = subject.backend().touch(&key, Touch::new(next.version, earlier)).await.expect("touch");
    let key = touched.expect("a live record was touched");
    assert_eq!(subject.read(&key).await.and_then(|read| read.expires_at), Some(end), "a touch only extends");
    let short = subject.create(&subject.record("{}").with_expires_at(Some(earlier))).await;
    assert!(subject.read(&short).await.is_some(), "made after the step back, it lives a second");
    subject.advance(SECOND);
    assert_eq!(subject.read(&short).await, None, "it ends by the clock that it was made by");
    subject.clock().set(end - Duration::from_millis(1));
    assert!(subject.read(&key).await.is_some(), "up to its end");
    subject.clock().set(end);
    assert_eq!(subject.read(&key).await, None, "and not beyond");
}

/// Every operation asks the backend's clock, the one that it was given and that it shows.
pub async fn time_from_the_given_clock_everywhere(subject: &Subject) {
    assert_eq!(subject.backend().clock().now(), subject.now());
    assert_eq!(subject.twin().clock().now(), subject.now());
    subject.advance(HOUR * 24 * 365 * 20);
    assert_eq!(subject.backend().clock().now(), subject.now(), "the clock moves with the test's");
    let record = subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND));
    let key = subject.create(&record).await;
    assert_eq!(subject.read(&key).await, Some(record.clone()), "twenty years ahead");
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 1);
        assert_eq!(subject.scan(&Filter::everywhere(), 5).await.len(), 1);
    }
    subject.clock().step_back(HOUR * 24 * 365 * 40);
    assert!(subject.read(&key).await.is_some(), "twenty years back");
    let short = subject.owned("user:1").with_expires_at(Some(subject.now() + SECOND));
    let ended = subject.create(&short).await;
    assert_eq!(subject.read(&ended).await, Some(short), "made twenty years ago, a second before its end");
    subject.advance(SECOND);
    assert_eq!(subject.read(&ended).await, None, "ended twenty years ago");
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 1);
        let listed = subject.scan(&Filter::everywhere(), 5).await;
        assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [key.id()]);
        assert_eq!(subject.remove_all(&Filter::everywhere()).await, 1);
        assert!(!subject.lives(&key).await);
    }
}
