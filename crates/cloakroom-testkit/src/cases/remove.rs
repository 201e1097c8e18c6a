use cloakroom_core::{Filter, Record, Removal, SessionBackend, SessionKey, Write};

use crate::subject::{HOUR, SECOND, Subject, fresh_key, owner, scope};

/// Ends the session of that key, following the trail of rotations as a logout does; says whether it met a live one.
pub(crate) async fn logout(subject: &Subject, key: &SessionKey) -> bool {
    let mut key = key.clone();
    // Each turn follows one rotation; the races of this suite make far fewer.
    for _ in 0..10_000 {
        if subject.remove(&key).await {
            return true;
        }
        let Some(successor) = subject.read(&key).await.and_then(|record| record.successor()) else {
            return false;
        };
        let address = SessionKey::from_id(successor);
        key = key.scope().map_or_else(|| address.clone(), |scope| address.scoped(scope));
    }
    panic!("the trail has no end");
}

/// A removed session is gone, and the second removal says that nothing was there (ST-16, ST-25).
pub async fn remove_live_true_then_false(subject: &Subject) {
    for reason in [Removal::Explicit, Removal::Flushed, Removal::Expired, Removal::Revoked, Removal::Rotated]
    {
        let key = subject.create(&subject.owned("user:1")).await;
        assert!(subject.backend().remove(&key, reason).await.expect("remove"), "{reason:?}");
        for _ in 0..2 {
            assert!(!subject.backend().remove(&key, reason).await.expect("remove"));
            let read = subject.read(&key).await;
            assert!(read.is_none_or(|record| !record.is_live()), "a removed session is alive");
        }
    }
}

/// A removal where nothing is says so, and leaves nothing.
pub async fn remove_nothing_there_false(subject: &Subject) {
    let key = fresh_key();
    assert!(!subject.remove(&key).await);
    assert_eq!(subject.read(&key).await, None);
    subject.write(&key, &subject.record("{}"), Write::create()).await;
}

/// An expired record is not a live one.
pub async fn remove_expired_false(subject: &Subject) {
    let key = subject.create(&subject.record("{}").with_expires_at(Some(subject.now() + SECOND))).await;
    subject.advance(SECOND);
    assert!(!subject.remove(&key).await, "an expired record was live");
    subject.sweep(10).await;
    assert!(!subject.remove(&key).await);
}

/// A removal leaves markers alone: they keep a session from coming back.
pub async fn remove_marker_there_stays(subject: &Subject) {
    let end = subject.now() + HOUR;
    for marker in [Record::moved(fresh_key().id(), subject.now(), end), Record::ended(subject.now(), end)] {
        let key = subject.write(&fresh_key(), &marker, Write::overwrite()).await;
        for _ in 0..2 {
            assert!(!subject.remove(&key).await, "a marker is not a live record");
            assert_eq!(subject.read(&key).await.as_ref(), Some(&marker));
        }
    }
}

/// A removal ends one record: not the others of its owner, nor the same secret in another scope.
pub async fn remove_one_of_many_others_stay(subject: &Subject) {
    let record = subject.owned("user:1");
    let key = fresh_key();
    let mut others = vec![fresh_key(), fresh_key()];
    if subject.capability().scopes {
        others.extend(["tenant:a:", "tenant:b:"].map(|text| key.scoped(&scope(text))));
    }
    subject.write(&key, &record, Write::create()).await;
    for other in &others {
        subject.write(other, &record, Write::create()).await;
    }
    assert!(subject.remove(&key).await);
    for other in &others {
        assert_eq!(subject.read(other).await.as_ref(), Some(&record));
    }
    assert!(subject.remove(&others[0]).await);
    assert!(!subject.remove(&others[0]).await);
    assert_eq!(subject.read(&others[1]).await.as_ref(), Some(&record));
}

/// After a removal the key is free, or buried for a while; what is stored there next has nothing of what was.
pub async fn remove_then_store_starts_afresh(subject: &Subject) {
    let key = subject.create(&subject.owned("user:1")).await;
    subject.remove(&key).await;
    let record = subject.record("fresh");
    assert!(!subject.lives(&key).await);
    let how = if subject.read(&key).await.is_none() { Write::create() } else { Write::overwrite() };
    subject.write(&key, &record, how).await;
    assert_eq!(subject.read(&key).await, Some(record));
    if subject.capability().enumerable {
        assert_eq!(subject.count(&Filter::unscoped().with_owner(owner("user:1"))).await, 0);
        assert_eq!(subject.count(&Filter::unscoped()).await, 1);
    }
}
