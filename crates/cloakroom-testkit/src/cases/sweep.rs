use cloakroom_core::{Filter, Record, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key};

/// A sweep deletes expired records and markers, no more than asked for, and counts them.
///
/// A store that deletes expired records by itself may find none; but what it says must add up.
pub async fn sweep_expired_in_batches_counted(subject: &Subject) {
    let soon = subject.now() + SECOND;
    for _ in 0..10 {
        subject.create(&subject.owned("user:1").with_expires_at(Some(soon))).await;
    }
    for marker in [Record::moved(fresh_key().id(), subject.now(), soon), Record::ended(subject.now(), soon)] {
        subject.write(&fresh_key(), &marker, Write::overwrite()).await;
    }
    assert_eq!(subject.sweep(100).await, 0, "nothing had expired");
    subject.advance(SECOND);
    assert_eq!(subject.sweep(0).await, 0, "nothing was asked for");
    let mut total = 0;
    for _ in 0..20 {
        let swept = subject.sweep(4).await;
        assert!(swept <= 4, "{swept} swept, 4 asked for");
        total += swept;
        if swept == 0 {
            break;
        }
    }
    assert!(total == 12 || total == 0, "{total} swept, 12 had expired");
    for wait in [SECOND, HOUR] {
        assert_eq!(subject.sweep(100).await, 0, "everything was swept already");
        subject.advance(wait);
    }
}

/// A sweep leaves what lives: sessions, unexpired markers, and what has no end.
pub async fn sweep_live_stays(subject: &Subject) {
    let now = subject.now();
    let records = [
        subject.record("soon").with_expires_at(Some(now + SECOND * 2)),
        subject.record("later").with_expires_at(Some(now + HOUR)),
        subject.record("endless").with_expires_at(None),
        Record::moved(fresh_key().id(), now, now + HOUR),
        Record::ended(now, now + HOUR),
    ];
    let mut kept = Vec::new();
    for record in records {
        kept.push((subject.write(&fresh_key(), &record, Write::overwrite()).await, record));
    }
    subject.create(&subject.record("expired").with_expires_at(Some(now + SECOND))).await;
    subject.advance(SECOND);
    for limit in [1, 1_000, 1_000] {
        subject.sweep(limit).await;
    }
    for (key, record) in kept {
        assert_eq!(subject.read(&key).await, Some(record));
    }
}

/// A sweep does not end what a touch or an update has extended.
pub async fn sweep_extended_stays(subject: &Subject) {
    use cloakroom_core::{SessionBackend, Touch};
    let record = subject.record("{}").with_expires_at(Some(subject.now() + SECOND));
    let touched = subject.create(&record).await;
    let updated = subject.create(&record).await;
    let end = subject.now() + HOUR;
    subject.backend().touch(&touched, Touch::new(record.version, end)).await.expect("touch");
    let next = subject.revise(&record, "{}").with_expires_at(None);
    subject.write(&updated, &next, Write::update(record.version)).await;
    subject.advance(SECOND * 2);
    subject.sweep(100).await;
    assert!(subject.read(&touched).await.is_some(), "the sweep ended what was touched");
    assert_eq!(subject.read(&updated).await, Some(next));
}

/// More expired records than fit into one batch all go in the end.
pub async fn sweep_many_every_one(subject: &Subject) {
    let expiring = subject.record("{}").with_expires_at(Some(subject.now() + SECOND));
    super::create_many(subject, 1_500, &expiring).await;
    let live = super::create_many(subject, 20, &subject.record("{}")).await;
    subject.advance(SECOND);
    let mut total = 0;
    for _ in 0..100 {
        match subject.sweep(400).await {
            0 => break,
            swept => total += swept,
        }
    }
    assert!(total == 1_500 || total == 0, "{total} swept, 1500 had expired");
    for key in &live {
        assert!(subject.read(key).await.is_some());
    }
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::everywhere()).await, 20);
    }
}
